"""Rules 4 and 5: when a push and an ack are answered, and what a push is told that did not get its copies in time."""

import pytest

from dqtw.core.links.peer_messages import Applied, Delta, Failed, NoSession, Open, Role
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import MessageId

from .cluster import Cluster, cluster, key_at
from .parts import Ticket


def removed_by(world: Cluster, *addresses: str, n: int = 1) -> list[bool]:
    """Which copies of `a` know its n-th message as removed."""
    id = MessageId("a", world["a"].incarnation, n)
    return [world.copy(address, "a").knows_removed(id) for address in addresses]


# Rule 4: commit.


def test_rule_04_a_push_is_answered_when_copies_minus_one_peers_know_it() -> None:
    """With `--copies=2` of 3 one peer is enough, with all of 3 one is not."""
    for copies, code in ((2, "Pushed"), (3, "")):
        world = cluster("a", "b", "c", copies=copies)
        world.hold(Applied, by="a", at="c")
        push = world.push("a")
        world.settle()
        assert push.code == code


def test_rule_04_with_one_copy_a_push_is_answered_at_once_and_still_sent_to_all() -> None:
    """`--copies=1` waits for nobody."""
    world = cluster("a", "b", "c", copies=1)
    push = world.push("a")
    assert push.code == "Pushed"
    world.settle()
    assert world.bodies("b", "a") == world.bodies("c", "a") == [b"x"]


def test_rule_04_only_a_peer_that_is_in_session_now_counts() -> None:
    """A peer that held the message and then lost its memory is not counted among its copies."""
    world = cluster("a", "b", "c", push_timeout_s=20)
    gate = world.hold(Applied, by="a", at="c")
    push = world.push("a")
    world.settle()
    world.kill("b")
    world.settle(1.5)
    assert world.in_session("a") == ["c"]
    gate.open()
    assert push.code == ""
    world.start("b")
    world.settle(1.5)
    assert push.code == "Pushed"


def test_rule_04_what_the_digest_of_a_peer_shows_counts() -> None:
    """The answer was lost, the message was not: when the peers meet again the push is answered."""
    world = cluster("a", "b", push_timeout_s=20)
    gate = world.hold(Applied, by="a", at="b")
    push = world.push("a")
    world.settle()
    gate.items.clear()
    world.settle(4.9)
    assert push.code == ""
    world.settle(0.3)
    assert push.code == "Pushed"


def test_rule_04_an_ack_is_answered_when_all_in_session_know_the_removal() -> None:
    """Also with fewer `--copies`: the removal is not undone while any of them lives."""
    world = cluster("a", "b", "c", copies=2)
    push = world.push("a")
    world.settle()
    gate = world.hold(Applied, by="a", at="c")
    ack, again = world.ack("a", push.id), world.ack("b", push.id)
    world.settle()
    assert (ack.code, again.code) == ("", "")
    gate.open()
    assert (ack.code, again.code) == ("Done", "Done")
    assert removed_by(world, "a", "b", "c") == [True, True, True]


def test_rule_04_a_peer_that_comes_into_session_while_an_ack_waits_must_know_the_removal_too() -> None:
    """The answer says that all in session know, and means those that are in session when it is given."""
    world = cluster("a", "b", "c", copies=2)
    push = world.push("a")
    world.settle()
    world.cut("a", "c")
    world.settle(8)
    assert world.in_session("a") == ["b"]
    gates = {at: world.hold(Applied, by="a", at=at) for at in ("b", "c")}
    ack = world.ack("a", push.id)
    world.heal()
    world.cut("b", "c")
    world.settle(4)
    assert world.in_session("a") == ["b", "c"]
    gates["b"].open()
    world.settle()
    assert ack.code == ""
    gates["c"].open()
    assert ack.code == "Done"
    assert removed_by(world, "a", "b", "c") == [True, True, True]


def test_rule_04_a_second_ack_of_a_removal_under_way_waits_as_the_first_does() -> None:
    """Nobody is told that it is done before it is."""
    world = cluster("a", "b")
    push = world.push("a")
    world.settle()
    gate = world.hold(Applied, by="a", at="b")
    world.ack("a", push.id)
    world.settle()
    second = world.ack("a", push.id)
    world.settle()
    assert second.code == ""
    gate.open()
    assert second.code == "Done"
    assert world.ack("a", push.id).code == "unknown"


def test_rule_04_with_nobody_in_session_an_ack_is_answered_at_once() -> None:
    """Workers go on while all peers are down."""
    world = cluster("a", "b", "c", copies=1)
    push = world.push("a")
    world.settle()
    world.kill("b")
    world.kill("c")
    world.settle(5)
    assert world.ack("a", push.id).code == "Done"


def test_rule_04_a_peer_that_leaves_its_session_keeps_no_ack_waiting() -> None:
    """An ack waits no longer than a dead peer takes to be noticed."""
    world = cluster("a", "b", "c", copies=2)
    push = world.push("a")
    world.settle()
    world.cut("a", "c")
    ack = world.ack("a", push.id)
    world.settle(4.9)
    assert ack.code == ""
    world.settle(0.2)
    assert ack.code == "Done"


def test_rule_04_a_get_that_removes_at_delivery_waits_for_the_removal() -> None:
    """`ack=now` hands bytes out only when nobody can hand them out again."""
    world = cluster("a", "b")
    world.push("a", b"once")
    world.settle()
    gate = world.hold(Applied, by="a", at="b")
    get = world.get("a", ack_now=True)
    world.settle()
    assert get.code == ""
    gate.open()
    assert get.bodies == [b"once"]
    assert removed_by(world, "a", "b") == [True, True]


def test_rule_04_a_peer_whose_backlog_is_under_way_counts_for_pushes_and_acks() -> None:
    """A peer that is catching up takes part at once; a long backlog keeps nobody waiting."""
    world = cluster("a", "b", "c", copies=3, max_message=2**21)
    ids = []
    for _ in range(5):
        push = world.push("a", b"x" * 2**21)
        world.settle()
        ids.append(push.id)
    world.cut("b", "c")
    world.kill("b")
    world.start("b")
    gate = world.hold(Applied, by="a", at="b")
    world.settle(1.5)
    assert world.in_session("a") == ["b", "c"]
    assert len(world.copy("b", "a").live) == 1
    push, ack = world.push("a", b"new"), world.ack("a", ids[4])
    world.settle()
    gate.let()
    assert gate.items
    gate.let()
    session = world["a"].owner.links["b"].session
    assert session is not None
    assert session.backlog
    assert (push.code, ack.code) == ("Pushed", "Done")


def test_rule_04_with_too_few_sessions_a_push_is_refused_at_once_and_no_id_is_given() -> None:
    """`unreplicated` in a moment, nothing stored; the refused pushes leave no gap."""
    world = cluster("a", "b", "c")
    world.kill("c")
    world.settle(2)
    refused = world.push("a")
    assert refused.code == "unreplicated"
    assert world.bodies("a", "a") == []
    world.start("c")
    world.settle(2)
    push = world.push("a")
    world.settle()
    assert push.id.n == 1


def test_rule_04_a_push_that_waited_for_a_slot_looks_again_whether_it_can_get_its_copies() -> None:
    """A slot that becomes free while peers are away is no reason to store what can't be replicated."""
    world = cluster("a", "b", size=1)
    push = world.push("a")
    world.settle()
    waiting = world.push("a", b"waits", wait_s=30)
    world.kill("b")
    world.settle(2)
    world.ack("a", push.id)
    world.settle()
    assert waiting.code == "unreplicated"
    assert world.bodies("a", "a") == []


# Rule 5: a push that times out.


def held_up(*, push_timeout_s: float = 2) -> tuple[Cluster, Ticket]:
    """A push that `b` holds; what `c` confirms is kept back."""
    world = cluster("a", "b", "c", push_timeout_s=push_timeout_s)
    world.hold(Applied, by="a", at="c")
    push = world.push("a", b"late")
    world.settle()
    return world, push


def test_rule_05_a_push_that_times_out_is_unreplicated_only_when_every_peer_confirmed_that_it_is_gone() -> None:
    """`unreplicated` means: it is not on the queue, anywhere."""
    world, push = held_up()
    [gate] = world.gates
    world.settle(2.1)
    assert removed_by(world, "a", "b") == [True, True]
    assert (push.code, world.bodies("c", "a")) == ("", [b"late"])
    gate.let()
    assert push.code == ""
    assert removed_by(world, "c") == [True]
    gate.let()
    assert push.code == "unreplicated"


def test_rule_05_a_peer_to_which_it_was_never_sent_need_not_confirm() -> None:
    """What was still in line for a slow peer is taken back without asking it."""
    world = cluster("a", "b", push_timeout_s=2)
    world.hold(Applied, by="a")
    world.push("a", b"in flight")
    world.settle()
    in_line = world.push("a", b"in line")
    world.settle(2.1)
    assert in_line.code == "unreplicated"


def test_rule_05_a_confirmation_in_another_session_is_too_late() -> None:
    """In between, the peer may have given the message away: nobody can tell, and the answer says so."""
    world, push = held_up(push_timeout_s=2)
    world.settle(2.1)
    [gate] = world.gates
    gate.items.clear()
    world.settle(3)
    assert push.code == "uncertain"
    gate.open()
    world.settle(1)
    assert removed_by(world, "a", "b", "c") == [True, True, True]


def test_rule_05_a_session_that_ends_before_the_time_is_out_leaves_the_push_uncertain() -> None:
    """A peer that is gone may hold it: taken back here, but it may be delivered if this node dies."""
    world, push = held_up(push_timeout_s=10)
    world.settle(3)
    assert push.code == ""
    world.kill("c")
    world.settle(4)
    assert push.code == "uncertain"
    assert removed_by(world, "a", "b") == [True, True]


def test_rule_05_a_peer_that_has_given_its_copy_away_meanwhile_makes_it_uncertain() -> None:
    """The answers of the peer say that it has shared: then its confirmation says nothing of the others."""
    world = cluster("a", "b", "c", push_timeout_s=2, copies=3)
    world.hold(Delta, by="a", at="c")
    push = world.push("a")
    world.settle()
    world["b"].holder.held["a"].shared = True
    world.settle(2.1)
    assert push.code == "uncertain"


def shares_told(world: Cluster) -> list[bool]:
    return [each.what.shared for each in world.sent if isinstance(each.what, Applied) and each.what.shared]


def test_rule_05_a_copy_that_another_peer_fetched_was_given_away() -> None:
    """The owner is told with the next answer, once."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.settle(6)
    world.push("a")
    world.settle()
    assert not shares_told(world)
    world.settle(7)
    assert world.bodies("c", "a") == [b"x"]
    assert len(shares_told(world)) == 1


def test_rule_05_a_copy_that_a_peer_told_to_another_was_given_away() -> None:
    """Whichever of the two began the exchange: here the peer is leaving."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.settle(6)
    world.hold(Open, by="c", at="b", when=lambda asked: asked.role is Role.COPY)
    world.hold(Applied, by="b")
    world.push("a")
    world.push("b")
    world.settle()
    world.drain("b")
    world.settle(2)
    assert world.bodies("c", "a") == [b"x"]
    assert len(shares_told(world)) == 1


def test_rule_05_shared_is_told_again_when_the_answer_that_told_it_was_lost() -> None:
    """A proxy that repeats the request and swallows the first answer hides nothing."""
    world = cluster("a", "b", "c", push_timeout_s=20, copies=3)
    gate = world.hold(Delta, by="a", at="c")
    applied = world.hold(Applied, by="a", at="b")
    deltas = world.hold(Delta, by="a", at="b")
    push = world.push("a")
    world.settle()
    [request] = deltas.items
    world["b"].holder.held["a"].shared = True
    world.deliver(request)
    world.settle()
    world.deliver(request)
    world.settle()
    assert [each.what.shared for each in applied.items] == [True, True]
    assert (push.code, len(gate.items)) == ("", 1)


def test_rule_05_a_message_that_a_join_removed_while_it_waited_was_delivered_so_the_push_succeeded() -> None:
    """Recovered, delivered and acknowledged elsewhere: the client is told that it is done, not that it failed."""
    world = cluster("a", "b", "c", push_timeout_s=20)
    world.hold(Applied, by="a", at="c")
    push = world.push("a")
    world.settle()
    held = world["b"].holder.held["a"]
    held.remove(IdSet.of("a", [MessageId("a", world["a"].incarnation, 1)]))
    held.changed_elsewhere()
    world.settle(1.5)
    assert push.code == "Pushed"
    assert removed_by(world, "a") == [True]
    assert world.get("a").bodies == []


def test_rule_05_when_the_time_is_out_nobody_gets_the_message_any_more() -> None:
    """A push that was refused is never delivered while its owner lives, though a peer confirms it late."""
    world, push = held_up()
    world.settle(2.1)
    world.gates[0].open()
    world.settle(3)
    assert push.code == "unreplicated"
    assert [world.get(address).bodies for address in "a"] == [[]]
    assert [world.bodies(address, "a") for address in ("a", "b", "c")] == [[], [], []]


def test_rule_05_everybody_who_shares_a_push_is_told_what_became_of_it() -> None:
    """A retry with the same key gets the same refusal as the first try."""
    world = cluster("a", "b", "c", push_timeout_s=2)
    key = key_at("a", world)
    world.hold(Applied, by="a", at="c")
    first, second = world.push("a", key=key), world.push("b", key=key)
    world.settle(2.1)
    assert (first.code, second.code) == ("", "")
    world.gates[0].open()
    assert (first.code, second.code) == ("unreplicated", "unreplicated")


def test_rule_05_a_refused_connection_after_the_message_was_sent_leaves_it_uncertain() -> None:
    """A request without an answer may have arrived."""
    world = cluster("a", "b", "c", push_timeout_s=1)
    gate = world.hold(Delta, by="a", at="c")
    push = world.push("a")
    world.settle()
    gate.answer(Failed("reset"))
    world.settle(1.5)
    assert push.code == "uncertain"


def test_rule_05_a_push_that_lost_its_peers_waits_a_second_for_them_and_not_for_its_time_out() -> None:
    """A client is not kept waiting for copies that can't be had any more."""
    world, push = held_up(push_timeout_s=60)
    world.settle(0.3)
    world.kill("c")
    world.settle(4.6)
    assert (push.code, world.in_session("a")) == ("", ["b", "c"])
    world.settle(1)
    assert (push.code, world.in_session("a")) == ("", ["b"])
    world.settle(0.5)
    assert push.code == "uncertain"
    assert removed_by(world, "a", "b") == [True, True]


def test_rule_05_a_peer_that_is_back_within_that_second_gets_it_and_the_push_succeeds() -> None:
    """A hiccup of a link fails no push."""
    world, push = held_up(push_timeout_s=60)
    world.settle(5.5)
    assert push.code == "Pushed"
    assert world.bodies("c", "a") == [b"late"]


def test_rule_05_with_enough_peers_left_a_push_waits_for_its_own_time_out() -> None:
    """Only who is short of peers hurries."""
    world = cluster("a", "b", "c", "d", copies=3, push_timeout_s=12)
    for at in ("b", "c"):
        world.hold(Applied, by="a", at=at)
    push = world.push("a")
    world.settle(0.3)
    world.kill("b")
    world.start("b")
    world.settle(2)
    assert push.code == ""


def test_rule_05_what_surely_never_left_this_node_leaves_nothing_uncertain() -> None:
    """A connection that was refused carried nothing: the push is `unreplicated`, and may be made anew without a key."""
    world = cluster("a", "b", "c", push_timeout_s=60)
    gate = world.hold(Delta, by="a", at="c", when=lambda delta: bool(delta.put))
    push = world.push("a")
    world.settle(0.2)
    gate.answer(Failed("connection refused", was_sent=False))
    world.gates.clear()
    world.kill("c")
    world.settle(3)
    assert push.code == "unreplicated"
    assert removed_by(world, "a", "b") == [True, True]


def test_rule_05_what_turns_out_never_to_have_left_need_not_be_confirmed() -> None:
    """The push was taken back already when its request is known to have failed on this side."""
    world = cluster("a", "b", "c", push_timeout_s=1)
    gate = world.hold(Delta, by="a", at="c", when=lambda delta: bool(delta.put))
    push = world.push("a")
    world.settle(1.5)
    assert push.code == ""
    gate.answer(Failed("connection refused", was_sent=False))
    assert push.code == "unreplicated"


def test_rule_05_what_was_sent_before_is_in_doubt_though_a_later_request_never_left() -> None:
    """The refused connection says nothing of the request before it, which had no answer."""
    world = cluster("a", "b", "c", push_timeout_s=8)
    gate = world.hold(Delta, by="a", at="c", when=lambda delta: bool(delta.put))
    push = world.push("a")
    world.settle(0.2)
    gate.answer(Failed("reset"))
    world.settle(0.5)
    gate.answer(Failed("connection refused", was_sent=False))
    world.gates.clear()
    world.kill("c")
    world.settle(4)
    assert push.code == "uncertain"


def test_rule_05_a_push_that_has_its_peers_back_has_its_time_back() -> None:
    """A hiccup of a link fails no push, though the peer that is back takes half a second to answer."""
    world = cluster("a", "b", "c")
    delta = world.hold(Delta, by="a", at="c", when=lambda delta: bool(delta.put))
    opens = world.hold(Open, by="a", at="c")
    push = world.push("a")
    world.settle(0.1)
    delta.answer(NoSession("c", world["c"].boot))
    world.settle(0.8)
    opens.open()
    assert world.in_session("a") == ["b", "c"]
    world.settle(0.5)
    assert push.code == ""
    delta.open()
    world.settle(1)
    assert push.code == "Pushed"


def test_rule_05_a_withdrawal_stays_in_doubt_until_every_member_knows_it() -> None:
    """One peer's word is not enough: a successor may recover the push from another one, and answer its retry."""
    world = cluster("a", "b", "c", push_timeout_s=1)
    world.hold(Applied, by="a", at="c")
    push = world.push("a")
    world.settle(0.2)
    world.cut("a", "c")
    world.settle(8)
    assert push.code == "uncertain"
    pushes = world["a"].owner.intake.pushes
    assert not world.copy("b", "a").live
    assert len(pushes.unsure()) == 1
    world.gates.clear()
    world.heal()
    world.settle(3)
    assert not pushes.unsure()


def test_rule_5_a_push_is_taken_back_though_a_slow_peer_is_always_in_doubt() -> None:
    """What it confirms is 4 s old when it comes, but it was asked since the push's time was up: that is enough."""
    world = cluster("a", "b", "c")
    slow = world.hold(Applied, by="a", at="b")

    def answer_of_b() -> None:
        while not slow.items:
            world.settle(0.1)
        world.settle(4)
        slow.let()

    answer_of_b()
    push = world.push("a")
    to_c = world.hold(Delta, by="a", at="c", when=lambda delta: bool(delta.put))
    answer_of_b()
    assert to_c.items
    world.cut("a", "c")
    for _ in range(6):
        answer_of_b()
    assert push.code == "uncertain"
    assert not world.bodies("a", "a")


def test_rule_5_a_push_is_not_taken_back_on_what_was_confirmed_before_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time was up before that, and it was put off; a successor may have answered it meanwhile."""
    monkeypatch.setattr("dqtw.core.replication.session.chunk_messages_max", 1)
    world = cluster("a", "b", push_timeout_s=3.5)
    answers = world.hold(Applied, by="a")
    for _ in range(3):
        world.push("a")
    world.settle(4)
    answers.let()
    world.settle(0.3)
    assert len(world.bodies("a", "a")) == 3
    assert world["a"].owner.links.in_doubt(world.processes["a"].latest)
    world.pause("a")
    world.settle(3)
    answers.let()
    world.resume("a", timers_first=False)
    world.settle(0.5)
    assert len(world.bodies("a", "a")) == 3
    answers.open()
