"""Rules 9, 10 and 13: what a start waits for, what a second process of one id does, when a node is ready."""

from typing import Any

import pytest

from dqtw.core.lifecycle.life import Phase
from dqtw.core.links.peer_messages import Applied, Ask, Asked, Declined, Delta, Fetched, Open, Opened, Role
from dqtw.core.model.health import Check
from dqtw.core.model.incarnation import fresh_incarnation
from dqtw.core.model.message import Message, MessageId

from .cluster import Cluster, Gate, cluster, keeping, wall_ms_at_start

old = "01HF0000000000000000000000"


def phase(world: Cluster, address: str) -> Phase:
    return world[address].life.phase


def restart(world: Cluster, name: str, **changes: object) -> None:
    if name in world.processes:
        world.kill(name)
    world.start(name, **changes)  # type: ignore[arg-type]


def reasons(world: Cluster, address: str) -> str:
    process = world.processes[address]
    return "; ".join(str(each) for each in process.node.stats(process.latest)["waiting_for"])  # type: ignore[attr-defined]


def asked_as_owner(what: object) -> bool:
    return isinstance(what, Open) and what.role is Role.OWNER and what.queue == "a"


# Rule 9: the start.


def test_rule_09_the_wait_for_peers_that_do_not_answer_does_not_run_while_the_process_stands_still() -> None:
    """Nobody could answer it then."""
    world = cluster("a", "b", "c", copies=2)
    world.push("a", b"x")
    world.settle()
    world.kill("a")
    world.settle(4)
    world.refuse("b")
    world.refuse("c")
    world.start("a")
    world.settle(1)
    world.pause("a")
    world.settle(60)
    world.resume("a")
    world.settle(4)
    assert phase(world, "a") is Phase.STARTING


def test_rule_09_a_node_that_leaves_before_it_has_an_incarnation_calls_no_message_a_successors() -> None:
    """It knows of none."""
    world = cluster("a", "b", "c")
    push = world.push("a", b"kept")
    world.settle()
    restart_held = world.hold(Asked, by="a", at="c")
    world.kill("a")
    world.settle(4)
    world.start("a")
    world.settle(0.5)
    world.drain("a")
    world.settle(0.1)
    ack = world.ack("a", push.id)
    world.settle(1)
    assert restart_held.items
    assert ack.code in ("starting", "draining")


def test_rule_09_asking_has_no_side_effects() -> None:
    """A node that only asks fences nobody, ends no session and leaves no trace at its peers."""
    world = cluster("a", "b", "c")
    world.settle(4)
    process = world.processes["b"]
    before = process.node.stats(process.latest)
    held = world["b"].holder.held["a"]
    tokens = held.greatest, held.owner_boot, held.in_sync, held.heard_at
    for queue in ("a", "c", "b", "x"):
        world["b"].holder.answer(process.latest, Ask(queue, "dqtw"))
    assert process.node.stats(process.latest) == before
    assert (held.greatest, held.owner_boot, held.in_sync, held.heard_at) == tokens
    since = len(world.sent)
    world.settle(3)
    assert not [each for each in world.sent[since:] if isinstance(each.what, Open)]


def test_rule_09_the_incarnation_is_the_ulid_of_now() -> None:
    """Ids sort by the time of their owner's start."""
    world = cluster("a")
    assert world["a"].incarnation[:10] == fresh_incarnation(wall_ms_at_start, bytes(10))[:10]


@pytest.mark.parametrize("behind_ms", [0, 1, 86_400_000, wall_ms_at_start - 1])
def test_rule_09_the_incarnation_is_greater_than_any_that_a_peer_reports(behind_ms: int) -> None:
    """Each start of an owner comes after the one before it, even on a machine whose clock is wrong."""
    world = cluster("a", "b", "c", copies=2)
    for _ in range(3):
        before = world["a"].incarnation
        restart(world, "a", wall_ms=wall_ms_at_start - behind_ms)
        world.settle(4)
        assert phase(world, "a") is Phase.SERVING
        assert world["a"].incarnation > before


def test_rule_09_all_peers_are_asked_before_the_incarnation_is_chosen() -> None:
    """The one peer that knows the greatest incarnation may be the last to answer."""
    world = Cluster("a", "b", "c")
    world.start("b")
    world.start("c")
    greatest = fresh_incarnation(2 * wall_ms_at_start, bytes(10))
    world["c"].holder.held["a"].heard_of(greatest)
    gate = world.hold(Asked, by="a", at="c")
    world.start("a")
    world.settle(1)
    assert world["a"].incarnation == ""
    assert not [each for each in world.sent if asked_as_owner(each.what)]
    gate.open()
    world.settle(1)
    assert world["a"].incarnation > greatest


def test_rule_09_the_incarnation_is_greater_than_any_whose_messages_are_here() -> None:
    """A peer that is leaving may have brought some before the incarnation was chosen; it reports nothing any more."""
    world = Cluster("a", "b")
    world.start("a", start_wait_s=4)
    greatest = fresh_incarnation(2 * wall_ms_at_start, bytes(10))
    world["a"].owner.copy.put(MessageId("a", greatest, 1), Message(b"brought"))
    world.settle(5)
    assert phase(world, "a") is Phase.SERVING
    assert world["a"].incarnation > greatest


def test_rule_09_no_session_is_opened_without_an_incarnation() -> None:
    """The first open of a start names the incarnation that the start has taken."""
    world = cluster("a", "b")
    opens = [each.what for each in world.sent if isinstance(each.what, Open) and each.what.role is Role.OWNER]
    assert opens
    assert all(each.incarnation for each in opens)


def test_rule_09_the_peer_endpoint_answers_in_every_state() -> None:
    """A node that starts, drains or was fenced still gives others what it holds; else two starts wait for ever."""
    world = cluster("a", "b", "c", copies=2, start_wait_s=1000)
    process = world.processes["b"]
    b = process.node
    for state in Phase:
        b.life.phase = state
        process.node.take_effects(process.latest)
        assert isinstance(b.holder.answer(process.latest, Ask("a", "dqtw")), Asked), state
        assert isinstance(b.holder.answer(process.latest, world["c"]._open_copy("a", "nonce")), Opened), state


def test_rule_09_a_whole_cluster_starts_at_once_with_nothing_to_join() -> None:
    """The very first start needs no special step, and takes no longer than the exchange."""
    world = Cluster("a", "b", "c", "d", "e")
    for name in world.members:
        world.start(name)
    world.settle(0.5)
    assert [phase(world, name) for name in world.members] == [Phase.SERVING] * 5


def test_rule_09a_a_start_serves_when_it_has_joined_with_every_peer() -> None:
    """Not before: any of them may be the only one that knows of a message."""
    world = keeping("a", "b", "c")
    world.kill("a")
    gate = world.hold(Opened, by="a", at="c")
    world.start("a")
    world.settle(3.5)
    assert phase(world, "a") is Phase.STARTING
    assert world.get("a").code == "starting"
    gate.open()
    assert phase(world, "a") is Phase.SERVING
    assert world.get("a").bodies == [b"kept"]


def test_rule_09a_joined_means_rescued_completely() -> None:
    """A session alone is not enough: what the peer holds must be here."""
    world = keeping("a", "b", "c")
    world.kill("a")
    gate = world.hold(Fetched, by="a")
    world.start("a")
    world.settle(4.5)
    assert phase(world, "a") is Phase.STARTING
    gate.open()
    world.settle(1)
    assert phase(world, "a") is Phase.SERVING


def test_rule_09b_a_peer_whose_copy_was_in_sync_is_enough_once_the_rest_was_silent_for_3_seconds() -> None:
    """Two of three nodes die; the one that comes back serves after 3 s, with every answered push."""
    world = keeping("a", "b", "c")
    world.kill("a")
    world.kill("c")
    world.settle(10)
    world.start("a")
    world.settle(2.9)
    assert phase(world, "a") is Phase.STARTING
    world.settle(0.2)
    assert phase(world, "a") is Phase.SERVING
    assert world.get("a").bodies == [b"kept"]


def test_rule_09b_a_peer_that_lost_its_memory_does_not_count() -> None:
    """An empty copy proves nothing: the start waits for the peer that may know more."""
    world = keeping("a", "b", "c")
    world.pause("c")
    world.kill("a")
    world.kill("b")
    world.start("b", start_wait_s=4)
    world.start("a", start_wait_s=30)
    world.settle(20)
    assert phase(world, "a") is Phase.STARTING
    world.resume("c")
    world.settle(6)
    assert phase(world, "a") is Phase.SERVING
    assert world.get("a").bodies == [b"kept"]


def test_rule_09b_a_peer_that_restarted_after_it_was_asked_does_not_count() -> None:
    """It was in sync when it answered, and has lost its memory since."""
    world = keeping("a", "b", "c")
    world.kill("a")
    world.settle(4)
    world.pause("c")
    world.start("a")
    world.settle(1)
    restart(world, "b")
    world.settle(15)
    assert phase(world, "a") is Phase.STARTING


def test_rule_09b_a_peer_that_was_in_sync_counts_only_when_what_it_holds_is_here() -> None:
    """It answered the question, and died before it gave its messages."""
    world = cluster("a", "b", "c", copies=2)
    world.hold(Delta, by="a", at="b", when=lambda delta: bool(delta.put))
    push = world.push("a", b"only c has it")
    world.settle()
    assert push.code == "Pushed"
    world.kill("a")
    world.settle(4)
    world.hold(Opened, by="a", at="c")
    world.start("a")
    world.settle(1)
    world.pause("c")
    world.settle(15)
    assert phase(world, "a") is Phase.STARTING


def test_rule_09b_an_owner_that_is_still_starting_calls_no_copy_in_sync() -> None:
    """Two nodes that both lost their memory do not vouch for each other while the third is away."""
    world = Cluster("a", "b", "c")
    world.start("b", start_wait_s=5)
    world.start("a")
    world.settle(20)
    held = world["b"].holder.held["a"]
    assert phase(world, "a") is Phase.STARTING
    assert world.in_session("a") == ["b"]
    assert (held.synced_once, held.in_sync) == (False, False)
    world.settle(12)
    assert phase(world, "a") is Phase.SERVING
    assert held.synced_once


def test_rule_09b_a_copy_counts_as_in_sync_only_once_it_lacks_nothing() -> None:
    """A peer that is catching up is no witness yet."""
    world = cluster("a", "b", copies=1, max_message=2**20)
    world.kill("b")
    for _ in range(3):
        world.push("a", b"x" * 2**20)
    gate = world.hold(Applied, by="a", at="b")
    world.start("b")
    world.settle(2)
    held = world["b"].holder.held["a"]
    for count in (1, 2, 3):
        assert len(held.copy.live) == count
        assert (held.in_sync, held.synced_once) == (count == 3, count == 3)
        gate.let()


def test_rule_09b_with_fewer_copies_more_peers_are_needed() -> None:
    """With `--copies=2` of 3 one peer may lack what the other holds: both are needed, or the whole start wait."""
    world = cluster("a", "b", "c", copies=2)
    world.hold(Delta, by="a", at="b", when=lambda delta: bool(delta.put))
    push = world.push("a", b"only c has it")
    world.settle()
    assert push.code == "Pushed"
    world.kill("a")
    world.pause("c")
    world.start("a")
    world.settle(20)
    assert phase(world, "a") is Phase.STARTING
    world.resume("c")
    world.settle(6)
    assert world.get("a").bodies == [b"only c has it"]


def test_rule_09c_when_the_start_wait_is_over_a_start_serves_without_the_unreachable() -> None:
    """A queue that stays shut for ever helps nobody."""
    world = Cluster("a", "b", "c", copies=1)
    world.start("a")
    world.settle(29.9)
    assert phase(world, "a") is Phase.STARTING
    world.settle(0.2)
    assert phase(world, "a") is Phase.SERVING


def test_rule_09c_a_peer_that_answers_is_waited_for_beyond_the_start_wait() -> None:
    """`--start-wait` is for the silent; one that can be reached is joined, however long that takes."""
    world = cluster("a", "b", max_message=2**20)
    for _ in range(20):
        world.push("a", b"x" * 2**20)
        world.settle()
    world.kill("a")
    gate = world.hold(Fetched, by="a", at="b")
    world.start("a")
    world.settle(4)
    for count in range(20):
        assert (phase(world, "a"), len(world.bodies("a", "a"))) == (Phase.STARTING, count)
        gate.let()
        world.settle(2)
    assert (phase(world, "a"), len(world.bodies("a", "a"))) == (Phase.SERVING, 20)


@pytest.mark.parametrize("declined", [Asked, Opened])
def test_rule_09_a_peer_that_answers_but_refuses_is_not_unreachable(declined: type) -> None:
    """A wrong secret, another version: stay `starting`, and say why."""
    world = Cluster("a", "b")
    world.start("b")
    world.start("a")
    gate = world.hold(declined, by="a", at="b")
    for _ in range(240):
        world.settle(0.5)
        while gate.items:
            gate.answer(Declined("a wrong secret"))
    assert phase(world, "a") is Phase.STARTING
    assert "a wrong secret" in reasons(world, "a")
    assert world["a"].health(Check.READY).reasons == ("starting",)


def test_rule_09_a_node_of_another_cluster_is_not_unreachable() -> None:
    """An address that is wrong, or was given to somebody else, is told; and nothing is taken from there."""
    world = Cluster("a", "b")
    world.start("b", cluster="other")
    world.start("a")
    world.settle(120)
    assert phase(world, "a") is Phase.STARTING
    assert "cluster other" in reasons(world, "a")
    assert world["a"].health(Check.READY).reasons == ("starting",)


def older_id_world() -> tuple[Cluster, MessageId]:
    """All nodes are well; `a` was started anew, and has never met this id of its earlier life."""
    world = cluster("a", "b", "c", copies=2)
    before = world["a"].incarnation
    restart(world, "a")
    world.settle(4.3)
    assert phase(world, "a") is Phase.SERVING
    return world, MessageId("a", before, 77)


def test_rule_09_an_older_id_that_was_never_met_is_unknown_only_after_a_fresh_answer_of_each_peer() -> None:
    """404 is said when every peer has just confirmed that it has told all it knows."""
    world, id = older_id_world()
    gate = world.hold(Applied, by="a", at="c")
    since = len(world.sent)
    ack = world.ack("a", id)
    world.settle(0.5)
    assert ack.code == ""
    fresh = {e.address for e in world.sent[since:] if isinstance(e.what, Delta) and e.asker.address == "a"}
    assert fresh == {"b", "c"}
    gate.open()
    assert ack.code == "unknown"


def test_rule_09_the_answer_to_a_request_that_was_under_way_is_not_fresh() -> None:
    """What the peer said before the question was put does not count."""
    world, id = older_id_world()
    gate = world.hold(Applied, by="a", at="c")
    world.push("a")
    world.settle(0.1)
    ack = world.ack("a", id)
    gate.let()
    assert ack.code == ""
    gate.let()
    assert ack.code == "unknown"


def test_rule_09_a_message_that_comes_to_light_while_the_peers_are_asked_is_acknowledged() -> None:
    """The question finds the message: the ack is a success."""
    world, id = older_id_world()
    held = world["c"].holder.held["a"]
    held.copy.put(id, Message(b"late"))
    held.changed_elsewhere()
    world.settle(0.1)
    ack = world.ack("a", id)
    world.settle(1)
    assert ack.code in ("Done", "starting")
    again = world.ack("a", id)
    world.settle(1)
    assert {ack.code, again.code} & {"Done"}
    assert held.copy.knows_removed(id)


def test_rule_09_with_a_peer_away_an_older_id_that_was_never_met_is_starting() -> None:
    """The one that can't be reached may know of it: nobody says 404, and the client tries again."""
    world, id = older_id_world()
    world.kill("c")
    world.settle(2)
    assert world.ack("a", id).code == "starting"
    known = world.push("a")
    world.settle()
    assert world.ack("a", MessageId("a", world["a"].incarnation, 9)).code == "unknown"
    ack = world.ack("a", known.id)
    world.settle()
    assert ack.code == "Done"


def test_rule_09_an_ack_for_a_message_that_is_still_to_be_fetched_removes_it() -> None:
    """The work was done; that the message is still on its way here changes nothing."""
    world = Cluster("a", "b", copies=1, start_wait_s=4)
    world.start("a")
    world.settle(5)
    world.start("b")
    id = MessageId("a", old, 1)
    world.copy("b", "a").put(id, Message(b"done already"))
    gate = world.hold(Fetched, by="a", at="b")
    world.settle(1.5)
    assert gate.items
    ack = world.ack("a", id)
    world.settle()
    gate.open()
    assert ack.code == "Done"
    assert "fetch" not in world["a"].peers["b"].error
    assert [world.copy(at, "a").knows_removed(id) for at in ("a", "b")] == [True, True]
    assert world.get("a").bodies == []


def test_rule_09_an_id_greater_than_all_that_were_given_is_unknown_to_a_node_alone() -> None:
    """A node without peers has nobody who could have replaced it: after a start with a clock that was set back, too."""
    world = cluster("a")
    assert world.ack("a", MessageId("a", fresh_incarnation(2 * wall_ms_at_start, bytes(10)), 1)).code == "unknown"


def test_rule_09_an_ack_for_a_push_that_still_waits_for_its_copies_is_unknown() -> None:
    """Nobody was told that id yet."""
    world = cluster("a", "b")
    world.hold(Applied, by="a")
    world.push("a")
    world.settle()
    id = MessageId("a", world["a"].incarnation, 1)
    assert world.ack("a", id).code == "unknown"
    assert id in world.copy("a", "a").live


def test_rule_9_a_start_that_can_take_no_greater_incarnation_takes_none_and_says_so() -> None:
    """Whoever serves in an incarnation that is not greater would be fenced, or name two messages by one id."""
    world = Cluster("a", "b", start_wait_s=5)
    world.start("b")
    world["b"].holder.held["a"].heard_of("0" + "Z" * 25)
    world.start("a")
    world.settle(10)
    assert not world["a"].life.is_serving
    assert world["a"].incarnation == ""
    assert "none is greater" in reasons(world, "a")


# Rule 10: twins.


def test_rule_10_a_second_process_of_a_living_node_stays_starting_and_says_so() -> None:
    """Two supervised processes with one id do not fence each other for ever; the second waits."""
    world = cluster("a", "b", "c")
    world.start("a", at="a2")
    world.settle(60)
    assert (phase(world, "a"), phase(world, "a2")) == (Phase.SERVING, Phase.STARTING)
    assert "another process of this node's id" in reasons(world, "a2")
    push = world.push("a")
    world.settle()
    assert push.code == "Pushed"


def test_rule_10_a_second_process_takes_over_when_the_first_was_silent_for_3_seconds() -> None:
    """A hot standby: no operator is needed."""
    world = cluster("a", "b", "c")
    world.start("a", at="a2")
    world.push("a", b"kept")
    world.settle(1)
    world.kill("a")
    world.settle(2)
    assert phase(world, "a2") is Phase.STARTING
    world.settle(2)
    assert phase(world, "a2") is Phase.SERVING
    assert world.get("a2").bodies == [b"kept"]


def test_rule_10_one_peer_that_hears_from_the_first_is_enough() -> None:
    """Cut off from some, the living process is not fenced as long as any of its peers hears it."""
    world = cluster("a", "b", "c")
    world.cut("a", "b")
    world.settle(6)
    world.start("a", at="a2")
    world.settle(40)
    assert (phase(world, "a"), phase(world, "a2")) == (Phase.SERVING, Phase.STARTING)


def test_rule_10_the_first_is_heard_by_another_peer_than_a_moment_ago() -> None:
    """While one peer has heard it of late, all are asked again: it is not fenced on the word of before."""
    world = cluster("a", "b", "c")
    world.cut("a", "b")
    world.settle(6)
    world.start("a", at="a2")
    world.settle(1)
    world.heal()
    world.settle(6)
    world.cut("a", "c")
    world.settle(40)
    assert (phase(world, "a"), phase(world, "a2")) == (Phase.SERVING, Phase.STARTING)


def test_rule_10_a_peer_that_died_since_keeps_nobody_waiting() -> None:
    """What it had heard of the process before is out of date when it is gone itself."""
    world = cluster("a", "b", "c")
    world.settle(3)
    world.kill("a")
    world.start("a")
    world.settle(0.5)
    world.kill("b")
    world.settle(2)
    assert phase(world, "a") is Phase.STARTING
    world.settle(8)
    assert phase(world, "a") is Phase.SERVING


def test_rule_10_a_peer_that_stood_still_does_not_take_that_for_the_silence_of_an_owner() -> None:
    """A standby asks it right after; the owner was there all the time."""
    world = cluster("a", "b")
    world.start("a", at="a2")
    world.settle(5)
    world.pause("b")
    world.settle(4)
    world.resume("b")
    world.settle(5)
    assert world["a"].life.is_serving


def test_rule_10_the_same_process_that_comes_back_to_a_peer_is_not_its_own_twin() -> None:
    """A start that was fenced, or lost its peers on the way, goes on by itself."""
    world = Cluster("a", "b", "c")
    world.start("b")
    world.start("c")
    gate = world.hold(Opened, by="a", at="c")
    world.start("a")
    world.settle(0.3)
    greater = fresh_incarnation(wall_ms_at_start + 10**6, bytes(10))
    world["b"].holder.held["a"].heard_of(greater)
    world.settle(1.2)
    gate.open()
    world.settle(0.6)
    assert world["a"].incarnation > greater
    assert phase(world, "a") is Phase.SERVING


def test_rule_10_two_processes_that_start_at_once_do_not_both_serve_for_ever() -> None:
    """Which of them wins is chance; the other waits or leaves."""
    world = Cluster("a", "b", "c")
    world.start("b")
    world.start("c")
    world.start("a")
    world.start("a", at="a2")
    world.settle(60)
    serving = [at for at in ("a", "a2") if at in world.processes and phase(world, at) is Phase.SERVING]
    assert len(serving) == 1
    push = world.push(serving[0])
    world.settle()
    assert push.code == "Pushed"


# Rule 13: readiness.


def test_rule_13_a_node_is_ready_when_it_serves_and_every_copy_is_regained() -> None:
    """A rolling restart that waits for readiness loses nothing."""
    world = keeping("a", "b", "c")
    world.kill("b")
    gate = world.hold(Delta, by="a", at="b")
    copies = world.hold(Open, by="b", at="c", when=lambda asked: asked.queue == "a")
    world.start("b")
    world.settle(4)
    assert phase(world, "b") is Phase.SERVING
    assert world["b"].health(Check.READY).reasons == ("starting",)
    gate.open()
    copies.open()
    world.settle(2)
    assert world["b"].health(Check.READY).ok
    assert world.bodies("b", "a") == [b"kept"]


def test_rule_13_the_copy_of_an_owner_that_is_away_comes_from_the_others() -> None:
    """Ready only when every reachable peer was exchanged with."""
    world = keeping("a", "b", "c")
    world.kill("a")
    world.settle(1)
    world.kill("b")
    gate = world.hold(Open, by="b", at="c", when=lambda asked: asked.queue == "a")
    world.start("b")
    world.settle(4.5)
    assert phase(world, "b") is Phase.SERVING
    assert not world["b"].health(Check.READY).ok
    gate.open()
    world.settle(5)
    assert world["b"].health(Check.READY).ok
    assert world.bodies("b", "a") == [b"kept"]


def test_rule_13_a_rolling_restart_gated_on_readiness_loses_nothing() -> None:
    """Each node in turn is killed, started empty, and waited for; all messages are there at the end."""
    world = cluster("a", "b", "c")
    pushes = [world.push(at, at.encode()) for at in world.members]
    world.settle()
    for name in world.members:
        restart(world, name)
        for _ in range(100):
            world.settle(0.5)
            if world[name].health(Check.READY).ok:
                break
        assert world[name].health(Check.READY).ok
    assert [push.code for push in pushes] == ["Pushed"] * 3
    for queue in world.members:
        assert [world.bodies(at, queue) for at in world.members] == [[queue.encode()]] * 3


def test_rule_13_once_ready_a_node_stays_ready_when_a_peer_goes() -> None:
    """A balancer does not take the survivors out because one node died."""
    world = cluster("a", "b", "c")
    world.kill("c")
    world.settle(10)
    assert world["a"].health(Check.READY).ok
    assert not world["a"].health(Check.PUSH).ok
    assert world["a"].health(Check.PUSH).reasons == ("unreplicated",)


# Rule 10: an owner that is busy, or whose peers restart, is no silent one.


def long_rescue() -> Cluster:
    """A process of a is to start, and has more to fetch of b than three seconds can bring."""
    world = cluster("a", "b")
    pushes = [world.push("a", b"x" * 400_000) for _ in range(60)]
    world.settle(0.5)
    assert {push.code for push in pushes} == {"Pushed"}
    world.kill("a")
    world.settle(4)
    return world


def let_slowly(world: Cluster, gate: Gate, seconds: float) -> None:
    """Each answer takes half a second."""
    for _ in range(int(seconds * 2)):
        world.settle(0.5)
        gate.let(len(gate.items))


def test_rule_10_a_first_that_still_fetches_is_no_silent_one() -> None:
    """A standby that is started while the first recovers a large queue does not fence it."""
    world = long_rescue()
    slow = world.hold(Fetched)
    world.start("a")
    let_slowly(world, slow, 4)
    assert phase(world, "a") is Phase.STARTING
    first = world["a"].incarnation
    world.start("a", at="a2")
    let_slowly(world, slow, 30)
    assert (phase(world, "a"), phase(world, "a2")) == (Phase.SERVING, Phase.STARTING)
    assert world["a"].incarnation == first


def rescue_from_a_late_peer(count: int, **settings: Any) -> tuple[Cluster, Gate]:
    """A serves, and has begun to fetch of b, which comes back late, more than it can in a few seconds."""
    world = cluster("a", "b", "c", copies=2, start_wait_s=4)
    world.cut("a", "c")
    world.cut("b", "c")
    world.settle(6)
    pushes = [world.push("a", b"x" * 400_000) for _ in range(count)]
    world.settle(0.5)
    assert {push.code for push in pushes} == {"Pushed"}
    world.kill("a")
    world.heal()
    world.cut("b", "c")
    world.pause("b")
    world.start("a", **settings)
    world.settle(9)
    assert phase(world, "a") is Phase.SERVING
    slow = world.hold(Fetched)
    world.resume("b")
    return world, slow


def test_rule_10_a_first_that_serves_and_fetches_is_no_silent_one() -> None:
    """Nor one that serves already, and rescues what a peer that came later brings."""
    world, slow = rescue_from_a_late_peer(60)
    world.kill("c")
    let_slowly(world, slow, 6)
    world.start("a", at="a2")
    let_slowly(world, slow, 12)
    assert (phase(world, "a"), phase(world, "a2")) == (Phase.SERVING, Phase.STARTING)


def test_rule_05_a_push_whose_time_is_over_does_not_wait_for_a_rescue_to_end() -> None:
    """Fetches confirm nothing; so deltas are sent in between."""
    world, slow = rescue_from_a_late_peer(150, copies=3, push_timeout_s=6.0)
    world.settle(1.5)
    assert set(world.in_session("a")) == {"b", "c"}
    world.hold(Delta, by="a", at="c")
    push = world.push("a", b"waits")
    let_slowly(world, slow, 9)
    assert push.code == "uncertain"


def test_rule_10_what_a_peer_said_three_seconds_ago_of_the_first_is_out_of_date() -> None:
    """While the second waits for a peer that does not answer, the first comes back to the other one."""
    world = cluster("a", "b", "c", copies=2)
    world.pause("a")
    world.settle(4)
    world.kill("c")
    world.refuse("c")
    world.cut("a", "c")
    world.start("a", at="a2")
    world.settle(0.5)
    world.resume("a")
    world.settle(1)
    assert "b" in world.in_session("a")
    world.settle(10)
    assert (phase(world, "a"), phase(world, "a2")) == (Phase.SERVING, Phase.STARTING)


def test_rule_10_a_peer_that_restarts_does_not_make_the_first_silent() -> None:
    """The standby heard of the first a moment ago; that the only peer has lost its memory since, changes nothing."""
    world = keeping("a", "b")
    [kept] = world.copy("a", "a").live
    world.start("a", at="a2")
    world.settle(5)
    assert (phase(world, "a"), phase(world, "a2")) == (Phase.SERVING, Phase.STARTING)
    restart(world, "b")
    world.settle(10)
    assert (phase(world, "a"), phase(world, "a2")) == (Phase.SERVING, Phase.STARTING)
    assert world.ack("a2", kept).code == "starting"


# Rule 9 (b): a copy that was in sync with another process of its node in between proves nothing.


def test_rule_09b_a_standby_that_has_taken_over_does_not_count_for_what_it_knew_before() -> None:
    """c2 was in sync; then c was, and was given a push that c2 never saw."""
    world = cluster("a", "b", "c")
    world.start("c", at="c2")
    world.settle(0.1)
    held = world["c2"].holder.held["a"]
    held.synced_once = True  # as after a session of a with this process, before c came back
    world.push("a", b"kept")
    world.settle(0.3)
    world.pause("b")
    world.kill("a")
    world.kill("c")
    world.settle(8)
    assert world["c2"].incarnation
    world.start("a", start_wait_s=1000)
    world.settle(20)
    assert phase(world, "a") is Phase.STARTING
    world.resume("b")
    world.settle(8)
    assert world.bodies("a", "a") == [b"kept"]


def test_rule_09b_who_stood_still_counts_only_once_its_owner_has_said_so_again() -> None:
    """Another process may have been that node meanwhile; a healthy session says so with the next delta."""
    world = cluster("a", "b", "c")
    held = world["b"].holder.held["a"]
    assert held.synced_once
    world.cut("a", "b")
    world.pause("b")
    world.settle(3)
    world.resume("b")
    world.settle(0.1)
    assert not held.synced_once
    world.heal()
    world.settle(4)
    assert held.synced_once


def test_rule_07_a_push_that_waits_for_a_slot_leaves_their_places_to_those_that_are_on_their_way() -> None:
    """The queue is empty, and its only place belongs to a message that a peer has."""
    world, slow = rescue_from_a_late_peer(1, size=1)
    world.settle(1.5)
    assert slow.items
    push = world.push("a", b"waits", wait_s=4)
    world.settle(2)
    assert push.code == ""
    assert not world.copy("a", "a").live
    slow.open()
    world.settle(3)
    assert push.code == "full"
    assert len(world.copy("a", "a").live) == 1


def test_rule_13_a_peer_that_fails_for_a_moment_is_waited_for() -> None:
    """It may be the only one that has the messages of a dead owner."""
    world = cluster("a", "b", "c")
    world.kill("c")
    world.settle(4)
    world.kill("a")
    world.hold(Opened, by="a", at="b", when=lambda opened: opened.digest.seen.queue == "c")
    world.start("a")
    world.settle(3.5)
    assert phase(world, "a") is Phase.SERVING
    world.refuse("b")
    world.settle(1.2)
    assert not world["a"].life.was_ready
    world.settle(4)
    assert world["a"].life.was_ready


def test_rule_10_a_start_that_has_chosen_does_not_open_with_a_peer_that_hears_the_first() -> None:
    """The peer was silent while the second one chose, and is in session with the first still."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "b")
    world.settle(6)
    world.pause("c")
    world.hold(Opened, by="a2", at="b")
    world.start("a", at="a2")
    world.settle(3.3)
    assert world["a2"].incarnation
    since = len(world.sent)
    world.resume("c")
    world.settle(1.5)
    opens = [each for each in world.sent[since:] if asked_as_owner(each.what) and each.asker.address == "a2"]
    assert not [each for each in opens if each.address == "c" and not each.is_answer]


def test_rule_9_a_delta_that_lay_in_the_sockets_through_a_pause_makes_no_copy_in_sync() -> None:
    """Since it was sent, another process of the node may have been given what this one was not."""
    world = cluster("a", "b", "c", copies=2)
    held = world["c"].holder.held["a"]
    assert held.synced_once
    world.pause("c")
    world.settle(2)
    assert world.processes["c"].inbox
    world.kill("a")
    world.settle(8)
    world.resume("c", timers_first=False)
    assert not held.synced_once
    world.start("a")
    world.settle(8)
    assert held.synced_once


def test_rule_9_a_session_that_is_older_than_the_incarnation_goes_on_and_counts_from_its_next_delta_but_one() -> None:
    """To end it would let pushes be refused by a cluster of which every node is ready."""
    world = cluster("a", "b", "c")
    world.kill("b")
    world.settle(4)
    asked = world.hold(Asked, by="b", at="c")
    world.start("b")
    world.settle(2)
    assert "b" in world.in_session("a")
    assert not world["b"].incarnation
    held, since = world["b"].holder.held["a"], len(world.events)
    assert held.synced_once
    asked.open()
    assert world["b"].incarnation
    assert not held.synced_once
    world.settle(2.5)
    assert world["b"].life.was_ready
    assert held.synced_once
    assert not [each for at, each in world.events[since:] if at == "a" and "out of session" in each.what]
