"""Rules 11 and 12: what a process does that was replaced, and how a process leaves."""

from typing import Any

import pytest

from dqtw.core.effects import Departure, Status
from dqtw.core.lifecycle.life import Phase
from dqtw.core.links.peer_messages import (
    Applied,
    Ask,
    Asked,
    Delta,
    Failed,
    FencedOff,
    Fetched,
    Forwarded,
    Open,
    Opened,
    Role,
)
from dqtw.core.model.commands import Get
from dqtw.core.model.incarnation import fresh_incarnation
from dqtw.core.model.message import Message, MessageId

from .cluster import Cluster, Gate, cluster, keeping, key_at, wall_ms_at_start
from .parts import Item

old = "01HF0000000000000000000000"


def replaced(*, pause_s: float = 4.0, **settings: object) -> Cluster:
    """`a` was paused with a message on its queue, and replaced at another address."""
    world = cluster("a", "b", "c", **settings)  # type: ignore[arg-type]
    world.push("a", b"kept")
    world.settle(0.3)
    world.pause("a")
    world.settle(pause_s)
    world.start("a", at="a2")
    world.settle(4)
    assert world["a2"].life.is_serving
    return world


def paused(seconds: float, **settings: object) -> Cluster:
    """`a` was paused for a while, and is the owner still; what its peers answer when it goes on is kept back."""
    world = cluster("a", "b", "c", **settings)  # type: ignore[arg-type]
    world.push("a", b"kept")
    world.settle(0.3)
    world.pause("a")
    world.settle(seconds)
    return world


# Rule 11: fencing.


def test_rule_11_a_peer_that_knows_a_greater_incarnation_fences_and_the_process_leaves_with_status_3() -> None:
    """The old process stops serving, hands over, and exits; its replacement goes on."""
    world = replaced()
    world.resume("a")
    since = len(world.sent)
    world.settle(10)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert world.get("a2").bodies == [b"kept"]
    told = [each.what for each in world.sent[since:] if each.is_answer and each.asker.address == "a"]
    assert isinstance(told[0], FencedOff)


@pytest.mark.parametrize("timers_first", [True, False])
@pytest.mark.parametrize("pause_s", [4.0, 20.0])
def test_rule_11_a_continued_zombie_hands_out_nothing(timers_first: bool, pause_s: float) -> None:
    """Whether its timers or its sockets come first, and whether its sessions have timed out in the pause or not."""
    world = replaced(pause_s=pause_s)
    world.settle(0.1)
    [kept] = world.copy("a", "a").live
    process = world.processes["a"]
    gate = world.hold(Delta, by="a")
    opens = world.hold(Open, by="a")
    world.resume("a", timers_first=timers_first)
    get, ack, taken = world.get("a"), world.ack("a", kept), world.get("a", ack_now=True)
    world.settle(2)
    assert (get.code, ack.code, taken.code) == ("", "", "")
    assert kept in process.node.owner.copy.live
    gate.open()
    opens.open()
    world.settle(5)
    assert (get.code, ack.code, taken.code) == ("fenced", "fenced", "fenced")
    assert kept in world.copy("a2", "a").live


@pytest.mark.parametrize("key", [True, False])
def test_rule_11_a_continued_zombie_takes_nothing_in(key: bool) -> None:
    """What lay in its sockets is refused, and is not on the queue: its client may have pushed it again meanwhile."""
    world = replaced()
    name = key_at("a", world) if key else None
    again = world.push("a2", b"once", key=name)
    world.settle(1)
    process = world.processes["a"]
    world.resume("a", timers_first=False)
    first = world.push("a", b"once", key=name)
    assert first.code == ""
    world.settle(5)
    assert (first.code, again.code) == ("fenced", "Pushed")
    assert [each.body for each in process.node.owner.copy.live.values()].count(b"once") <= 1
    assert sorted(world.bodies("a2", "a")) == [b"kept", b"once"]


def test_rule_11_a_node_that_was_only_paused_takes_pushes_in_once_its_peers_have_confirmed() -> None:
    """The pause costs a push a round trip."""
    world = paused(4.0)
    gate = world.hold(Applied, by="a", at="c")
    world.resume("a")
    push = world.push("a", b"new")
    world.settle(0.2)
    assert push.code == ""
    assert len(world.copy("a", "a").live) == 1
    gate.open()
    world.settle(1)
    assert push.code == "Pushed"


def test_rule_11_a_push_waits_for_no_peer_whose_copy_it_does_not_need() -> None:
    """Enough others have said lately that this is the owner still."""
    world = cluster("a", "b", "c", copies=2)
    world.hold(Delta, by="a", at="c")
    world.settle(3.5)
    push = world.push("a", b"new")
    world.settle(0.2)
    assert push.code == "Pushed"


@pytest.mark.parametrize("timers_first", [True, False])
def test_rule_11_a_poll_that_waited_through_the_pause_gets_nothing_of_a_zombie(timers_first: bool) -> None:
    """A lease that ends in the pause does not lead to a delivery before the peers were heard."""
    world = keeping("a", "b", "c")
    world.get("a", lease_s=2)
    poll = world.get("a", wait_s=30)
    world.settle(0.3)
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    gates = [world.hold(kind, by="a") for kind in (Delta, Open)]
    world.resume("a", timers_first=timers_first)
    world.settle(0.5)
    assert poll.code == ""
    for gate in gates:
        gate.open()
    world.settle(5)
    assert poll.code == "fenced"


@pytest.mark.parametrize("timers_first", [True, False])
@pytest.mark.parametrize("pause_s", [3.5, 8.0, 60.0])
def test_rule_11_a_node_that_was_only_paused_serves_once_each_peer_has_confirmed(
    timers_first: bool, pause_s: float
) -> None:
    """After a pause the first get takes a round trip more, and is answered."""
    world = paused(pause_s)
    gates = [world.hold(kind, by="a", at="c") for kind in (Applied, Opened)]
    world.resume("a", timers_first=timers_first)
    get = world.get("a")
    world.settle(0.2)
    assert get.code == ""
    for gate in gates:
        gate.open()
    world.settle(2)
    assert get.bodies == [b"kept"]


def test_rule_11_answers_that_came_in_before_the_pause_confirm_nothing() -> None:
    """They were read only now, and say what was true then."""
    world = cluster("a", "b", "c")
    world.push("a", b"kept")
    world.settle(0.3)
    answers = world.hold(Applied, by="a")
    world.settle(0.7)
    assert len(answers.items) == 2
    world.pause("a")
    world.settle(10)
    fresh = world.hold(Delta, by="a")
    opens = world.hold(Open, by="a")
    world.resume("a", timers_first=False)
    while answers.items:
        world.deliver(answers.items.pop(0))
    get = world.get("a")
    world.settle(0.2)
    assert get.code == ""
    for gate in (fresh, opens, answers):
        gate.open()
    world.settle(1)
    assert get.bodies == [b"kept"]


@pytest.mark.parametrize("timers_first", [True, False])
def test_rule_11_an_answer_to_a_question_from_before_the_pause_confirms_nothing(timers_first: bool) -> None:
    """A request that was in doubt when the node froze is not served by what its sockets held."""
    world = paused(4)
    deltas = world.hold(Delta, by="a")
    world.resume("a")
    get = world.get("a")
    world.settle(0.1)
    assert (get.code, len(deltas.items)) == ("", 2)
    answers = world.hold(Applied, by="a")
    deltas.open()
    assert len(answers.items) == 2
    world.pause("a")
    answers.open()
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    gates = [world.hold(kind, by="a") for kind in (Delta, Open)]
    world.resume("a", timers_first=timers_first)
    world.settle(0.2)
    assert get.code == ""
    for gate in gates:
        gate.open()
    world.settle(3)
    assert get.code == "fenced"


def test_rule_11_a_push_whose_time_is_over_is_not_taken_back_before_the_peers_were_heard() -> None:
    """After a pause it may be its successor's, and answered there."""
    world = cluster("a", "b", "c", push_timeout_s=5)
    gate = world.hold(Applied, by="a", at="c")
    push = world.push("a", b"late")
    world.settle(0.3)
    world.pause("a")
    world.settle(4.5)
    gates = [world.hold(kind, by="a") for kind in (Delta, Open)]
    world.resume("a")
    world.settle(0.4)
    [id] = world.copy("a", "a").live
    assert push.code == ""
    for each in (*gates, gate):
        each.open()
    world.settle(3)
    assert push.code in ("Pushed", "uncertain", "unreplicated")
    assert (id in world.copy("a", "a").live) == (push.code == "Pushed")


def test_rule_11_what_one_peer_confirmed_is_old_when_the_other_answers_at_last() -> None:
    """All have to have said it lately: who was silent since may have met a successor."""
    world = paused(4)
    gate = world.hold(Applied, by="a", at="c")
    world.resume("a")
    get = world.get("a")
    world.settle(0.1)
    world.pause("b")
    world.settle(3.4)
    gate.open()
    assert get.code == ""
    world.resume("b")
    world.settle(4)
    assert get.bodies == [b"kept"]


def test_rule_11_a_short_silence_puts_nothing_in_doubt() -> None:
    """No request pays for it in normal life."""
    world = paused(2.0)
    world.hold(Applied, by="a")
    world.resume("a")
    assert world.get("a").bodies == [b"kept"]


def test_rule_11_a_node_cut_off_from_a_peer_asks_it_and_goes_on_when_that_does_not_answer() -> None:
    """A peer that went away holds requests up for no longer than it takes to call it gone."""
    world = cluster("a", "b", "c", copies=2)
    world.push("a", b"kept")
    world.settle(0.3)
    world.cut("a", "c")
    world.settle(4)
    get = world.get("a")
    world.settle(6)
    assert get.bodies == [b"kept"]


def test_rule_11_what_is_under_way_at_a_fenced_node_is_uncertain_and_who_only_waits_is_refused() -> None:
    """A push that waits for its copies may be recovered by the replacement; a poll has lost nothing."""
    world = cluster("a", "b", "c")
    world.hold(Applied, by="a", at="c")
    push = world.push("a", b"may be there")
    slot, poll = world.push("a", wait_s=30), world.get("a", wait_s=30)
    world.settle(0.3)
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    world.resume("a")
    world.settle(3)
    assert (push.code, poll.code) == ("uncertain", "fenced")
    assert slot.code in ("uncertain", "fenced", "unreplicated")
    assert world.get("a2").bodies == [b"may be there"]


def test_rule_11_the_zombie_cut_off_from_all_learns_it_from_the_first_peer_it_meets() -> None:
    """What it took in meanwhile is not lost."""
    world = cluster("a", "b", "c", copies=1)
    for peer in ("b", "c"):
        world.cut("a", peer)
    world.settle(6)
    world.start("a", at="a2")
    world.settle(8)
    taken = world.push("a", b"taken in by the zombie")
    assert taken.code == "Pushed"
    world.heal()
    world.cut("a", "c")
    world.settle(15)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert world.get("a2").bodies == [b"taken in by the zombie"]


def test_rule_11_a_peer_that_holds_a_message_of_a_greater_incarnation_fences_too() -> None:
    """Whether it has ever heard the successor itself or not."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.settle(6)
    greater = fresh_incarnation(2 * wall_ms_at_start, bytes(10))
    world.copy("c", "a").put(MessageId("a", greater, 1), Message(b"of the successor"))
    world.settle(8)
    assert MessageId("a", greater, 1) in world.copy("b", "a").live
    assert world["b"].holder.held["a"].greatest == greater
    assert [event for at, event in world.events if at == "a" and "fenced" in event.what]


def test_rule_11_a_zombie_that_comes_back_disturbs_no_session_of_its_successor() -> None:
    """Its requests are refused, and change nothing."""
    world = replaced()
    world.settle(1)
    world.events.clear()
    world.resume("a")
    world.settle(10)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert not [event for at, event in world.events if at == "a2" and "out of session" in event.what]


def test_rule_11_who_has_heard_of_a_successor_does_not_take_the_old_processs_word_for_its() -> None:
    """In sync with the one is not in sync with the other."""
    world = cluster("a", "b")
    world.settle(2)
    held = world["b"].holder.held["a"]
    assert held.in_sync
    held.heard_of(world["a"].incarnation)
    assert held.in_sync
    held.heard_of(fresh_incarnation(2 * wall_ms_at_start, bytes(10)))
    assert not held.in_sync


@pytest.mark.parametrize("how", ["members", "cluster"])
def test_rule_11_a_peer_that_comes_back_and_declines_keeps_nobody_waiting(how: str) -> None:
    """It will never confirm anything; it was restarted with other members, or as a node of another cluster."""
    world = cluster("a", "b", "c", copies=2)
    push = world.push("a", b"kept")
    world.settle(0.3)
    world.pause("c")
    world.settle(5.6)
    world.kill("c")
    changes: dict[str, Any] = {"peers": {"b": "b"}, "copies": 2} if how == "members" else {"cluster": "x"}
    world.start("c", **changes)
    world.settle(10)
    get, ack = world.get("a"), world.ack("a", push.id)
    world.settle(20)
    assert get.code
    assert ack.code == "Done"


def test_rule_11_a_get_whose_client_goes_while_it_waits_for_the_peers_gets_nothing() -> None:
    """Else a message would be removed for nobody, or a ghost stand in line."""
    world = paused(4)
    gates = [world.hold(kind, by="a") for kind in (Applied, Opened)]
    world.resume("a")
    polls = [world.get("a", ack_now=True, wait_s=30) for _ in range(2)]
    world.settle(0.1)
    for poll in polls:
        assert world.withdraw("a", poll)
    for gate in gates:
        gate.open()
    world.settle(5)
    world.push("a", b"long after")
    world.settle(1)
    assert world.bodies("a", "a") == [b"kept", b"long after"]


# Rule 12: leaving.


def test_rule_12_what_waits_for_the_peers_is_answered_before_a_node_leaves() -> None:
    """An ack that was held back in doubt is not left without an answer."""
    world = cluster("a", "b", "c", copies=1)
    push = world.push("a", b"kept")
    world.settle(0.3)
    world.cut("a", "c")
    world.settle(3.9)
    ack, get = world.ack("a", push.id), world.get("a")
    world.settle(0.01)
    world.drain("a")
    world.settle(10)
    assert "a" in world.departed
    assert ack.code
    assert get.code


def test_rule_12_an_owner_that_is_gone_keeps_nothing_that_it_pushed_after_the_copies_were_equal() -> None:
    """What a node had told a third one before counts for no more than it was."""
    world = cluster("a", "b", "c", copies=2)
    own = world.hold(Delta, by="b", when=lambda delta: delta.queue == "b")
    world.push("b", b"under way")
    world.drain("b")
    world.settle(1)
    world.hold(Delta, by="a", at="c", when=lambda delta: bool(delta.put))
    push = world.push("a", b"answered")
    world.settle(0.1)
    assert push.code == "Pushed"
    world.kill("a")
    world.settle(1)
    assert not world["b"].peers["a"].is_up(world.processes["b"].latest)
    own.open()
    world.settle(3)
    assert "b" in world.processes or world.bodies("c", "a") == [b"answered"]


def test_rule_12_nor_does_a_fenced_process_count_on_such_an_owner() -> None:
    world = cluster("a", "b", "c", copies=2)
    world.push("a", b"kept")
    world.settle(0.3)
    world["b"].holder.held["a"].heard_of("0" + "7" * 25)  # a newer process of a was here, and died
    gate = world.hold(Asked, by="a")
    world.settle(3)
    assert world["a"].phase is Phase.FENCED
    world.hold(Delta, by="b", at="c", when=lambda delta: bool(delta.put))
    push = world.push("b", b"answered")
    world.settle(0.1)
    assert push.code == "Pushed"
    world.kill("b")
    world.settle(1)
    gate.open()
    world.settle(8)
    assert "a" in world.processes or world.bodies("c", "b") == [b"answered"]


def test_rule_12_a_node_that_is_asked_to_leave_while_it_starts_hands_over_what_it_recovers() -> None:
    """Its own copy changes by its sessions, after it was equal with a peer's."""
    world = cluster("a", "b", "c", copies=1)
    push = world.push("a", b"k")
    world.settle(1)
    world.kill("a")
    world.settle(4)
    fetched = world.hold(Fetched, by="a", at="c")
    world.copy("c", "a").put(MessageId("a", old, 1), Message(b"only c has it"))
    for by, at in ("bc", "cb"):
        world.hold(Open, by=by, at=at)
    world.start("a")
    world.settle(0.3)
    assert fetched.items
    for by, at in ("ac", "ca"):
        world.hold(Open, by=by, at=at, when=lambda opened: opened.role is Role.COPY)
    world.drain("a")
    own = world["a"].incarnation
    world.hold(Delta, by="a", at="b", when=lambda delta: bool(delta.gone) and delta.incarnation == own)
    world.ack("a", push.id)  # keeps it from being quiet
    world.settle(1.5)
    world.hold(Open, by="a", at="b")
    fetched.let()
    world.kill("c")
    world.settle(4)
    assert "a" in world.processes or world.bodies("b", "a") == [b"only c has it"]


def test_rule_12_a_fenced_process_hands_over_what_only_it_has_and_waits_for_the_successor() -> None:
    """It exits when a peer that has it all says that the successor has it, too."""
    world = cluster("a", "b", "c", copies=1)
    world.settle(0.3)
    gates = [world.hold(Delta, by="a", at=peer) for peer in ("b", "c")]
    push = world.push("a", b"only here")
    world.settle(0.1)
    assert push.code == "Pushed"
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    world.gates.clear()
    assert gates
    successor = world.hold(Fetched, by="a2")
    world.resume("a")
    world.settle(4)
    assert push.id in world.copy("b", "a").live
    assert "a" in world.processes
    successor.open()
    world.settle(4)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert world.bodies("a2", "a") == [b"only here"]
    assert all(each.what.incarnation for each in world.sent if isinstance(each.what, Delta))


def test_rule_12_a_fenced_process_hands_over_the_copies_of_others_too() -> None:
    """It may be the last that holds a message of a third node that is down."""
    world = cluster("a", "b", "c", copies=1)
    world.kill("c")
    world.settle(6)
    id = MessageId("c", old, 1)
    world.pause("a")
    world.copy("a", "c").put(id, Message(b"of c"))
    world.settle(4)
    world.start("a", at="a2")
    world.settle(40)
    assert world["a2"].life.is_serving
    gate = world.hold(Open, by="a", when=lambda asked: asked.queue == "c")
    world.resume("a")
    for _ in range(20):
        world.settle(0.3)
        while gate.items:
            gate.answer(Failed("not now"))
    assert world["a"].life.phase is Phase.FENCED
    gate.open()
    world.settle(20)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert id in world.copy("b", "c").live
    assert id in world.copy("a2", "c").live


def test_rule_12_a_fenced_process_gives_a_peer_the_copy_of_that_peers_own_queue() -> None:
    """The peer lost its memory while the zombie was away; its messages come back."""
    world = cluster("a", "b", "c", copies=1)
    world.pause("a")
    id = MessageId("b", old, 1)
    world.copy("a", "b").put(id, Message(b"of b"))
    world.settle(4)
    world.start("a", at="a2")
    world.settle(5)
    world.resume("a")
    world.settle(15)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert id in world.copy("b", "b").live
    assert world.get("b").bodies == [b"of b"]
    assert id in world.copy("c", "b").live


def test_rule_12_a_fenced_process_does_not_leave_while_no_peer_has_all() -> None:
    """As long as the hand-over is not done, it stays."""
    world = replaced(copies=1)
    world["a"].owner.copy.put(MessageId("a", old, 1), Message(b"only here"))
    gate = world.hold(Open, by="a", when=lambda asked: asked.role is Role.COPY)
    world.resume("a")
    world.settle(3)
    for _ in range(4):
        world.settle(5)
        gate.items.clear()
    assert "a" in world.processes
    assert world["a"].life.phase is Phase.FENCED
    gate.open()
    world.settle(20)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert b"only here" in world.bodies("a2", "a")


def test_rule_12_a_fenced_process_whose_successor_has_died_goes_when_a_peer_has_all() -> None:
    """The next start finds it there; the old process does not wait for ever for one that is gone."""
    world = replaced(copies=1)
    world["a"].owner.copy.put(MessageId("a", old, 1), Message(b"only here"))
    world.kill("a2")
    world.resume("a")
    world.settle(30)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert world.bodies("b", "a") == [b"only here", b"kept"]
    world.start("a", at="a3")
    world.settle(5)
    assert world.bodies("a3", "a") == [b"only here", b"kept"]


def test_rule_12_what_a_peer_said_before_it_had_all_does_not_let_a_fenced_process_go() -> None:
    """It was in sync with the successor, before it got what the successor lacks."""
    world = replaced(copies=1)
    world["a"].owner.copy.put(MessageId("a", old, 1), Message(b"only here"))
    world.cut("a", "c")
    asked = world.hold(Asked, by="a", at="b")
    successor = world.hold(Fetched, by="a2")
    world.resume("a")
    world.settle(1)
    assert asked.items[0].what.in_sync
    assert b"only here" in world.bodies("b", "a")
    asked.let()
    assert world.departed == {}
    asked.open()
    successor.open()
    world.heal()
    world.settle(10)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert b"only here" in world.bodies("a2", "a")


def test_rule_12_a_peer_that_is_leaving_is_no_holder_for_a_fenced_process() -> None:
    """It would hand its messages to a process that takes them along."""
    world = replaced()
    world.cut("a", "c")
    asked = world.hold(Asked, by="a", at="b")
    world.resume("a")
    world.settle(3)
    for _ in range(10):
        while asked.items:
            asked.alter(leaving=True)
        world.settle(0.6)
    assert "a" in world.processes
    asked.open()
    world.heal()
    world.settle(10)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}


def all_fenced(world: Cluster) -> None:
    """Every process was replaced by one that has died since."""
    for name in world.members:
        for other in world.members:
            if other != name:
                greater = fresh_incarnation(2 * wall_ms_at_start, bytes(10))
                world[other].holder.held[name].heard_of(greater)


def test_rule_12_nodes_that_are_all_fenced_do_not_wait_for_each_other_for_ever() -> None:
    """One goes first, with the others holding all; its next start is who the others hand over to."""
    world = cluster("a", "b", "c")
    for name in world.members:
        world.push(name, name.encode())
    world.settle()
    all_fenced(world)
    world.settle(10)
    assert world.departed["a"] == Departure(Status.FENCED, 0)
    assert "c" not in world.departed
    for name in ("a", "b", "c"):
        assert name not in world.processes
        world.start(name)
        world.settle(10)
    assert all(each.status is Status.FENCED for each in world.departed.values())
    for name in world.members:
        assert world[name].life.is_serving
        assert world.bodies(name, name) == [name.encode()]


def test_rule_12_a_node_that_is_asked_to_leave_exits_with_0_when_another_holds_everything() -> None:
    """SIGTERM on one node of a healthy cluster: gone in a moment, nothing lost."""
    world = keeping("a", "b", "c")
    world.drain("a")
    world.settle(1)
    assert world.departed == {"a": Departure(Status.DRAINED, 0)}
    assert world.bodies("b", "a") == world.bodies("c", "a") == [b"kept"]


def test_rule_12_a_node_that_leaves_takes_nothing_in_and_finishes_what_is_under_way() -> None:
    """Pushes are refused with `draining`, waiting polls are answered, a push under way gets its copies."""
    world = cluster("a", "b", "c")
    poll = world.get("a", wait_s=30)
    world.settle()
    gate = world.hold(Applied, by="a", at="c")
    world.get("a", wait_s=30)
    world.withdraw("a", poll)
    under_way = world.push("a", b"under way")
    world.settle()
    world.drain("a")
    world.settle()
    late, get = world.push("a"), world.get("a")
    assert (late.code, get.code) == ("draining", "draining")
    world.settle(1)
    assert under_way.code == ""
    assert "a" in world.processes
    gate.open()
    world.settle(1)
    assert under_way.code == "Pushed"
    assert world.departed["a"] == Departure(Status.DRAINED, 0)


def test_rule_12_waiting_polls_are_answered_and_waiting_pushes_refused_at_once() -> None:
    """No client hangs on a node that is about to stop."""
    world = cluster("a", "b", size=1)
    poll = world.get("a", wait_s=30)
    world.drain("a")
    assert poll.bodies == []
    world = cluster("a", "b", size=1)
    world.push("a")
    world.settle()
    slot = world.push("a", wait_s=30)
    world.drain("a")
    assert slot.code == "draining"


def test_rule_12_acks_go_on_while_a_node_leaves() -> None:
    """Work that is done is not done again because its owner is stopping."""
    world = cluster("a", "b", "c")
    push = world.push("a")
    world.settle()
    gate = world.hold(Applied, by="a")
    world.push("a", b"keeps it")
    world.settle()
    world.drain("a")
    ack = world.ack("a", push.id)
    world.settle()
    gate.open()
    world.settle()
    assert ack.code == "Done"
    assert world.departed["a"] == Departure(Status.DRAINED, 0)
    assert world.copy("b", "a").knows_removed(push.id)


def test_rule_12_with_nobody_to_take_it_a_node_exits_with_4_and_the_true_count() -> None:
    """After `--drain-timeout` the operator is told how many messages no other node holds."""
    world = cluster("a", "b", "c", copies=1, drain_timeout_s=20)
    world.push("a", b"held by b and c")
    world.settle()
    world.kill("b")
    world.kill("c")
    world.settle(6)
    for _ in range(3):
        world.push("a")
    world.drain("a")
    world.settle(19.9)
    assert "a" in world.processes
    world.settle(0.2)
    assert world.departed == {"a": Departure(Status.ALONE, 4)}


def test_rule_12_who_stayed_before_a_pause_may_be_gone_after_it() -> None:
    """A node that stood still while it was leaving asks anew whether anybody is there."""
    world = cluster("a", "b", drain_timeout_s=5)
    world.push("a", b"of a")
    world.settle()
    world.hold(Delta, by="b", at="a")
    world.settle(1.5)
    world.drain("b")
    world.settle(0.7)
    assert world["b"].peers["a"].stays(world.processes["b"].latest, 0)
    world.pause("b")
    world.settle(1)
    world.kill("a")
    world.settle(20)
    world.resume("b")
    world.settle(1)
    assert world.departed == {"b": Departure(Status.ALONE, 1)}


def test_rule_12_a_peer_that_was_replaced_meanwhile_does_not_hold_what_the_session_with_it_says() -> None:
    """Its next process answers, and is empty: the session was with the one before."""
    world = cluster("a", "b", drain_timeout_s=5)
    push = world.push("a", b"of a")
    world.settle(0.1)
    assert push.code == "Pushed"
    world.hold(Delta, by="a", at="b")
    world.hold(Open, by="a", at="b")
    world.kill("b")
    world.start("b")
    world.drain("a")
    world.settle(2)
    assert world["a"].peers["b"].boot == world["b"].boot
    assert "a" not in world.departed
    world.settle(5)
    assert world.departed == {"a": Departure(Status.ALONE, 1)}


def test_rule_12_messages_of_others_that_no_other_node_holds_are_counted_too() -> None:
    """A copy may be the last one."""
    world = cluster("a", "b", copies=1, drain_timeout_s=20)
    world.push("b", b"of b")
    world.settle()
    world.kill("b")
    world.push("a", b"of a")
    world.settle(6)
    world.drain("a")
    world.settle(21)
    assert world.departed == {"a": Departure(Status.ALONE, 2)}


def test_rule_12_what_a_peer_holds_in_session_is_not_counted() -> None:
    """Of five messages the peer has confirmed three: two are only here."""
    world = cluster("a", "b", copies=1, drain_timeout_s=3)
    for _ in range(3):
        world.push("a")
        world.settle()
    world.settle(0.1)
    world.hold(Delta, by="a")
    for _ in range(2):
        world.push("a")
    world.drain("a")
    world.settle(3.5)
    assert world.departed == {"a": Departure(Status.ALONE, 2)}


def test_rule_12_an_empty_node_with_nobody_there_exits_with_0() -> None:
    """Nothing is lost with it."""
    world = cluster("a", "b", drain_timeout_s=20)
    world.kill("b")
    world.settle(6)
    world.drain("a")
    world.settle(21)
    assert world.departed == {"a": Departure(Status.DRAINED, 0)}


def test_rule_12_a_cluster_of_one_exits_at_once_and_says_how_many_messages_end_with_it() -> None:
    """Memory only: the operator knew, and is told."""
    world = cluster("a")
    world.push("a")
    world.drain("a")
    assert world.departed == {"a": Departure(Status.DRAINED, 1)}


def test_rule_12_two_nodes_that_leave_at_once_hand_all_to_the_third() -> None:
    """Neither counts on the other."""
    world = cluster("a", "b", "c", copies=2)
    gates = [world.hold(Delta, by=by, at="c") for by in ("a", "b")]
    pushes = [world.push("a", b"of a"), world.push("b", b"of b")]
    world.settle(0.1)
    assert [push.code for push in pushes] == ["Pushed", "Pushed"]
    assert world.bodies("c", "a") == world.bodies("c", "b") == []
    world.drain("a")
    world.drain("b")
    world.settle(3)
    assert world.departed == {}
    for gate in gates:
        gate.open()
    world.settle(20)
    assert world.departed == {"a": Departure(Status.DRAINED, 0), "b": Departure(Status.DRAINED, 0)}
    assert (world.bodies("c", "a"), world.bodies("c", "b")) == ([b"of a"], [b"of b"])


def test_rule_12_two_nodes_that_leave_with_nobody_staying_both_say_what_is_lost() -> None:
    """The last one to go does not believe that the other has it."""
    world = cluster("a", "b", drain_timeout_s=10)
    world.push("a", b"of a")
    world.settle()
    world.drain("a")
    world.drain("b")
    world.settle(11)
    assert world.departed == {"a": Departure(Status.ALONE, 1), "b": Departure(Status.ALONE, 1)}


def test_rule_12_a_node_that_leaves_with_the_last_copy_of_a_dead_owner_hands_that_over_first() -> None:
    """Copies of others count as its own messages do."""
    world = cluster("a", "b", "c", copies=2)
    world.hold(Delta, by="a", at="c", when=lambda delta: bool(delta.put))
    push = world.push("a", b"of a")
    world.settle()
    world.kill("a")
    gate = world.hold(Open, by="c", when=lambda asked: asked.role is Role.COPY)
    mine = world.hold(Open, by="b", when=lambda asked: asked.role is Role.COPY)
    world.drain("b")
    world.settle(2)
    assert push.id not in world.copy("c", "a").live
    assert "b" in world.processes
    gate.open()
    mine.open()
    world.settle(10)
    assert world.departed == {"b": Departure(Status.DRAINED, 0)}
    assert push.id in world.copy("c", "a").live


def test_rule_12_a_node_whose_messages_their_owner_has_yet_to_fetch_stays() -> None:
    """The owner knows of them, and does not have them: leaving now would lose them."""
    world = Cluster("a", "b", copies=1, start_wait_s=4)
    world.start("a")
    world.settle(5)
    world.start("b")
    world.copy("b", "a").put(MessageId("a", old, 1), Message(b"only b has it"))
    gate = world.hold(Fetched, by="a", at="b")
    mine = world.hold(Open, by="b", when=lambda asked: asked.queue == "a")
    world.settle(2.5)
    assert gate.items
    world.drain("b")
    world.settle(2)
    assert world.departed == {}
    gate.open()
    mine.open()
    world.settle(6)
    assert world.departed == {"b": Departure(Status.DRAINED, 0)}
    assert world.bodies("a", "a") == [b"only b has it"]


def test_rule_12_a_fenced_process_speaks_as_the_owner_no_more() -> None:
    """Its peers see a plain peer that brings its copies."""
    world = replaced(copies=1)
    world.hold(Open, by="a", when=lambda asked: asked.role is Role.COPY)
    world.resume("a")
    world.settle(2)
    assert world["a"].life.phase is Phase.FENCED
    since = len(world.sent)
    world.settle(3)
    assert not [
        each
        for each in world.sent[since:]
        if isinstance(each.what, Open) and each.asker.address == "a" and each.what.role is Role.OWNER
    ]


def test_rule_12_a_peer_told_by_its_answers_that_a_node_is_leaving() -> None:
    """Each answer says so, in a session and to one who asks."""
    world = cluster("a", "b", "c")
    world.hold(Applied, by="b")
    world.push("b")
    world.drain("b")
    world.settle(1)
    assert "b" in world.processes
    assert world["a"].peers["b"].leaving
    asked = world["b"].holder.answer(world.processes["b"].latest, Ask("a", "dqtw"))
    assert isinstance(asked, Asked)
    assert asked.leaving


def test_rule_12_a_standby_that_is_asked_to_leave_goes_at_once() -> None:
    """It has taken nothing in, and others hold all that it holds."""
    world = cluster("a", "b", "c")
    world.push("a")
    world.push("b")
    world.start("a", at="a2")
    world.settle(2)
    world.drain("a2")
    world.settle(5)
    assert world.departed == {"a2": Departure(Status.DRAINED, 0)}


def test_rule_12_a_node_that_starts_and_is_asked_to_leave_goes_when_nothing_is_lost_with_it() -> None:
    """A roll-back of a replacement does not hang until the time-out."""
    world = keeping("a", "b", "c")
    world.kill("a")
    world.settle(4)
    gate = world.hold(Opened, by="a", at="c")
    world.start("a")
    world.settle(2)
    assert world["a"].life.phase is Phase.STARTING
    world.drain("a")
    world.settle(3)
    gate.open()
    world.settle(5)
    assert world.departed == {"a": Departure(Status.DRAINED, 0)}
    assert world.bodies("b", "a") == [b"kept"]


def test_rule_12_a_fenced_node_that_is_asked_to_leave_does_not_stay_for_ever() -> None:
    """SIGTERM after fencing, with all peers gone: status 4 after the time-out, as for any other."""
    world = replaced(copies=1, drain_timeout_s=20)
    world.resume("a")
    gate = world.hold(Open, by="a", when=lambda asked: asked.role is Role.COPY)
    world.settle(3)
    assert world["a"].life.phase is Phase.FENCED
    world.drain("a")
    world.settle(21)
    gate.items.clear()
    assert world.departed["a"].status is Status.ALONE


def taken_back_and_confirmed(world: Cluster) -> str:
    """`a`, cut off, takes a push back that `b` and `c` hold; `a2` recovers it, and tells a retry that it is there."""
    key = key_at("a", world)
    world.hold(Delta, by="a", at="c", when=lambda delta: bool(delta.put))
    first = world.push("a", b"keyed", key=key)
    world.settle(0.3)
    world.gates.clear()
    world.cut("a", "b")
    world.cut("a", "c")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    assert first.code == "uncertain"
    retry = world.push("a2", b"keyed", key=key)
    world.settle()
    assert retry.code == "Pushed"
    return key


def test_rule_12_a_keyed_push_that_the_successor_confirmed_is_not_taken_back_by_the_zombie() -> None:
    """The zombie gave the push up; its successor had recovered it, and told a retry that it is on the queue."""
    world = cluster("a", "b", "c", push_timeout_s=5)
    taken_back_and_confirmed(world)
    world.heal()
    world.settle(20)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert [world.bodies(at, "a") for at in ("a2", "b", "c")] == [[b"keyed"]] * 3


def test_rule_12_nor_when_the_successor_that_confirmed_it_has_died() -> None:
    """The third process of the node knows nothing of that answer: what the zombie brings must not undo it."""
    world = cluster("a", "b", "c", push_timeout_s=5)
    key = taken_back_and_confirmed(world)
    world.kill("a2")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    world.heal()
    world.settle(20)
    assert world.departed == {"a": Departure(Status.FENCED, 0)}
    assert [world.bodies(at, "a") for at in ("a2", "b", "c")] == [[b"keyed"]] * 3
    assert world.push("a2", b"keyed", key=key).code == "Pushed"


# Rule 11: who was replaced while it stood still.


@pytest.mark.parametrize("timers_first", [True, False])
def test_rule_11_a_zombie_whose_session_had_just_ended_hands_out_nothing(timers_first: bool) -> None:
    """Whatever ended a session before the pause, the peer may have met a successor since."""
    world = keeping("a", "b")
    world.refuse("b")
    world.settle(1.1)
    assert world.in_session("a") == []
    world.pause("a")
    world.heal()
    world.settle(4)
    world.start("a", at="a2")
    world.settle(10)
    got = world.get("a2")
    world.settle(0.1)
    ack = world.ack("a2", got.deliveries[0].receipt.id)
    world.settle(0.2)
    assert ack.code == "Done"
    world.resume("a", timers_first=timers_first)
    again = world.get("a")
    world.settle(3)
    assert again.code == "fenced"


def test_rule_11_a_zombie_that_was_opening_anew_removes_nothing() -> None:
    """The network had repeated an old open, so that the token was unknown; the new one was on its way."""
    world = keeping("a", "b")
    [kept] = world.copy("a", "a").live
    as_owner = [each for each in world.sent if isinstance(each.what, Open) and each.what.role is Role.OWNER]
    opens = world.hold(Open, by="a", at="b")
    world.deliver(next(each for each in as_owner if each.asker.address == "a"))
    world.settle(1.1)
    assert opens.items
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    assert world["a2"].life.is_serving
    world.resume("a")
    get, ack = world.get("a"), world.ack("a", kept)
    world.settle(0.1)
    assert (get.code, ack.code) == ("", "")
    opens.open()
    world.settle(1)
    assert (get.code, ack.code) == ("fenced", "fenced")


@pytest.mark.parametrize("copies", [1, 2])
def test_rule_11_a_keyed_push_that_a_zombie_finds_in_its_sockets_is_not_a_second_message(copies: int) -> None:
    """Its client has given up, and a retry was taken in by the successor; with one copy, too, which needs no peer."""
    world = cluster("a", "b", "c", copies=copies)
    key = key_at("a", world)
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(10)
    retry = world.push("b", b"once", key=key)
    world.settle(0.3)
    assert retry.code == "Pushed"
    world.resume("a", timers_first=False)
    first = world.push("a", b"once", key=key)
    world.settle(10)
    assert first.code == "fenced"
    assert world.bodies("a2", "a") == [b"once"]


def test_rule_11_a_thousand_commands_in_doubt_are_not_looked_at_one_by_one() -> None:
    """A node that waits for a silent peer must not stand still itself: the first that waits speaks for all."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.settle(3.9)
    links = world["a"].owner.links
    assert links.in_doubt(world.processes["a"].latest)
    looks = 0
    is_fresh = links.is_fresh

    def counted(now: float, since: float) -> bool:
        nonlocal looks
        looks += 1
        return is_fresh(now, since)

    links.is_fresh = counted  # type: ignore[method-assign]
    gets = world.ask_all("a", [Get() for _ in range(300)])
    assert looks < 300 * 10
    world.settle(12)
    assert {get.code for get in gets} == {"Delivered"}


def answer_in_turns(world: Cluster, gates: list[Gate], seconds: float, due: dict[int, float]) -> None:
    """Let each peer take 4.6 s for each answer, one after the other, so that never all have answered of late."""
    until = world.now + seconds
    while world.now < until:
        world.settle(0.05)
        for place, gate in enumerate(gates, 1):
            for item in [*gate.items]:
                is_first = place not in due
                at = due.setdefault(id(item), world.now + (1.55 * place if is_first else 4.6))
                due[place] = at
                if at <= world.now:
                    gate.items.remove(item)
                    world.deliver(item)
                    world.settle()


def test_rule_11_nothing_waits_for_ever_for_peers_that_are_slow() -> None:
    """Never have all three of them answered within the last 3 s; what waited in vain is told that nothing was done."""
    world = keeping("a", "b", "c", "d", copies=1)
    [kept] = world.copy("a", "a").live
    gates = [world.hold(Applied, by="a", at=name) for name in "bcd"]
    due: dict[int, float] = {}
    answer_in_turns(world, gates, 14, due)
    assert world.in_session("a") == ["b", "c", "d"]
    get, ack = world.get("a"), world.ack("a", kept)
    world.settle()
    assert (get.code, ack.code) == ("", "")
    answer_in_turns(world, gates, 11, due)
    assert (get.code, ack.code) == ("Delivered", "starting")
    assert kept in world.copy("a", "a").live


# Rule 12: who leaves.


def test_rule_12_a_node_that_leaves_gives_back_what_was_leased_for_its_clients() -> None:
    """A get that is out at another node is waited for, so that its message is not hidden for a whole lease."""
    world = keeping("a", "b")
    forwarded = world.hold(Forwarded, by="b", at="a")
    get = world.get("b")
    world.settle(0.05)
    assert forwarded.items
    world.drain("b")
    world.settle(0.2)
    forwarded.open()
    world.settle(3)
    assert "b" in world.departed
    assert get.bodies == [b"kept"] or world["a"].owner.ready_count() == 1


def test_rule_12_a_node_that_leaves_answers_what_it_has_forwarded() -> None:
    """Its client is told what became of its ack."""
    world = keeping("a", "b", copies=1)
    [kept] = world.copy("a", "a").live
    forwarded = world.hold(Forwarded, by="b", at="a")
    ack = world.ack("b", kept)
    world.settle(0.05)
    assert forwarded.items
    world.drain("b")
    world.settle(1)
    forwarded.open()
    world.settle(3)
    assert "b" in world.departed
    assert ack.code == "Done"


def test_rule_12_nobody_waits_for_peers_that_do_not_speak_with_it() -> None:
    """A node that is in nobody's list and has nothing to hand over goes at once."""
    world = cluster("a", "b")
    world.start("c", peers={"a": "a", "b": "b"}, copies=1)
    world.settle(1)
    world.drain("c")
    world.settle(10)
    assert world.departed["c"].status is Status.DRAINED


def test_rule_12_a_fenced_node_leaves_though_its_peers_were_not_told_of_a_member_that_has_yet_to_start() -> None:
    """A fourth member is being added: only this node's list has it, and nobody has anything of it."""
    peers = {"b": "b", "c": "c", "d": "d"}
    world = Cluster("a", "b", "c", copies=2, start_wait_s=5)
    world.start("b")
    world.start("c")
    world.start("a", peers=peers)
    world.settle(8)
    world.push("a", b"kept")
    world.settle(0.3)
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2", peers=peers)
    world.settle(8)
    assert world.bodies("a2", "a") == [b"kept"]
    world.resume("a")
    world.settle(20)
    assert world.departed["a"].status is Status.FENCED


def test_rule_12_a_node_that_was_told_to_go_confirms_nothing_any_more() -> None:
    """Its process may live on for as long as its clients take to hang up."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.settle(6)
    process = world.processes["b"]
    world.drain("b")
    while "b" not in world.departed:
        world.settle(0.01)
    world.processes["b"] = process  # as while its doors are being shut
    world.settle(1.5)
    push = world.push("a", b"kept")
    world.settle(0.3)
    assert push.code == "unreplicated"
    assert world.bodies("b", "a") == []


def test_rule_12_who_opens_a_copy_of_a_leaving_node_is_told_so() -> None:
    """Two nodes that leave at once must not rely on each other; each answer in a session says it."""
    world = cluster("a", "b", drain_timeout_s=20)
    world.drain("b")
    since = len(world.sent)
    opened = world["a"]._open_copy("b", "nonce")
    world.deliver(Item(world.processes["a"], "b", 0, opened))
    answers = [each.what for each in world.sent[since:] if isinstance(each.what, Opened)]
    assert [answer.leaving for answer in answers] == [True]


# Rule 11: what is answered at the moment of fencing, and after it.


def test_rule_11_an_ack_that_is_under_way_to_the_peer_that_fences_is_not_answered_with_success() -> None:
    """With that peer's session ends the last one that was waited for; the successor may know nothing of the removal."""
    world = keeping("a", "b")
    [kept] = world.copy("a", "a").live
    delta = world.hold(Delta, by="a", at="b", when=lambda delta: bool(delta.gone))
    ack = world.ack("a", kept)
    world.settle()
    assert ack.code == ""
    delta.answer(FencedOff("b", world["b"].boot, fresh_incarnation(2 * wall_ms_at_start, bytes(10))))
    assert ack.code == "uncertain"


def test_rule_11_a_fenced_node_removes_nothing_as_long_as_it_stays() -> None:
    """Its queue is another process's; what it holds it only gives away."""
    world = keeping("a", "b", "c")
    [kept] = world.copy("a", "a").live
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    world.hold(Opened, by="a")
    world.resume("a")
    world.hold(Asked, by="a")
    world.settle(2)
    assert world["a"].phase is Phase.FENCED
    ack = world.ack("a", kept)
    world.settle(1)
    assert ack.code == "fenced"
    assert kept in world.copy("a", "a").live


# Rule 11: what a process that is about to end, or once declined, says nothing about.


def test_rule_11_a_peer_that_has_departed_clears_nobody_of_doubt() -> None:
    """It knew of the successor; who stood still must not take its silence for a good word."""
    world = keeping("a", "b")
    world.pause("a")
    world.settle(6)
    world.start("a", at="a2")
    world.settle(10)
    [delivery] = world.get("a2").deliveries
    ack = world.ack("a2", delivery.receipt.id)
    world.settle(0.3)
    assert ack.code == "Done"
    world.depart("b")
    world.resume("a")
    get = world.get("a")
    world.settle(2)
    assert get.code != "Delivered"


@pytest.mark.parametrize("timers_first", [True, False])
def test_rule_11_that_a_peer_once_declined_says_nothing_after_a_pause(timers_first: bool) -> None:
    """It was started again meanwhile, and has let a successor in."""
    world = cluster("a", "b", copies=1, start_wait_s=1.0)
    world.kill("b")
    world.settle(4)
    world.start("b", cluster="other")
    world.settle(4)
    assert world["a"].peers["b"].declined
    world.kill("b")
    world.pause("a")
    world.start("b")
    world.settle(5)
    world.start("a", at="a2")
    world.settle(10)
    assert world["a2"].life.is_serving
    key = key_at("a", world)
    first = world.push("a2", b"once", key=key)
    world.settle(0.5)
    assert first.code == "Pushed"
    world.resume("a", timers_first=timers_first)
    again, get = world.push("a", b"once", key=key), world.get("a")
    world.settle(3)
    assert (again.code, get.code) == ("fenced", "fenced")


def test_rule_12_who_leaves_does_not_wait_for_a_peer_that_has_departed() -> None:
    """It takes nothing in any more, and may not have said that it leaves while it still did."""
    world = cluster("a", "b", "c")
    world.settle(0.3)
    world.depart("a")
    world.settle(1.5)
    world.kill("c")
    world.drain("b")
    world.settle(1)
    assert world.departed["b"] == Departure(Status.DRAINED, 0)
