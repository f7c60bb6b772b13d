"""Rule 13: what a node waits for, and which peers are of no use to it, is in its health, its stats and its log."""

from typing import Any

import pytest

from dqtw.core.lifecycle.reports import lines_max
from dqtw.core.links.peer_messages import Applied, Ask, Declined, Failed, Open, Opened
from dqtw.core.model.commands import Get
from dqtw.core.model.health import Check

from .cluster import Cluster, cluster, keeping


def stats(world: Cluster, address: str) -> dict[str, Any]:
    process = world.processes[address]
    return process.node.stats(process.latest)


def log(world: Cluster, address: str, since: int = 0) -> list[tuple[str, str]]:
    """What a process has logged: levels and lines."""
    events = [event for at, event in world.events[since:] if at == address]
    return [(event.level, event.what.format(**event.facts)) for event in events]


def lines(world: Cluster, address: str, part: str, since: int = 0) -> list[tuple[str, str]]:
    return [each for each in log(world, address, since) if part in each[1]]


# What a node waits for.


def test_rule_13_a_node_that_its_peers_cannot_reach_says_so() -> None:
    """It reaches them, it serves, nothing is missing: and it would not be ready for ever without a word."""
    world = Cluster("a", "b", start_wait_s=8)
    world.start("b")
    world.refuse("a")
    world.start("a")
    world.settle(20)
    health = world["a"].health(Check.READY)
    what = "b has not yet confirmed this node's copy of its queue: b cannot reach this node"
    assert (health.ok, health.reasons, health.waiting_for) == (False, ("starting",), (what,))
    assert stats(world, "a")["state"] == "serving"
    assert stats(world, "a")["waiting_for"] == [f"{what}: connection refused (a)"]
    line = f"not ready: {what}: connection refused (a)"
    assert lines(world, "a", "not ready: ") == [("info", line), ("warn", line)]
    world.heal()
    world.settle(3)
    assert world["a"].health(Check.READY).waiting_for == ()
    assert stats(world, "a")["waiting_for"] == []
    assert log(world, "a")[-1] == ("info", "ready")


def test_rule_13_a_start_says_why_a_peer_is_waited_for_and_warns_when_the_wait_is_long() -> None:
    world = Cluster("a", "b", start_wait_s=30)
    gate = world.hold(Ask, by="a", at="b")
    world.start("a")
    world.settle(2)
    for _ in range(200):
        while gate.items:
            gate.answer(Declined("the secret is another"))
        world.settle(0.25)
    line = "starting: b declines: the secret is another (b)"
    assert stats(world, "a")["waiting_for"] == ["b declines: the secret is another (b)"]
    assert world["a"].health(Check.READY).waiting_for == ("b declines",)
    assert lines(world, "a", "starting: b declines") == [("info", line), ("warn", line)]
    assert lines(world, "a", "b declines: ")[0][0] == "warn"
    assert len(lines(world, "a", "b declines: ")) == 3


def test_rule_13_no_address_is_told_to_who_asks_for_health() -> None:
    """Health needs no token."""
    world = Cluster("a", "b", "c", start_wait_s=4)
    world.start("a", peers={"b": "http://internal-b", "c": "http://internal-c"})
    world.settle(6)
    for check in Check:
        assert "internal" not in repr(world["a"].health(check))
    assert world["a"].health(Check.PUSH).waiting_for == (
        "a push needs 3 copies, 1 can be had now",
        "b cannot be reached",
        "c cannot be reached",
    )
    assert stats(world, "a")["waiting_for"][1] == "b cannot be reached: connection refused (http://internal-b)"
    assert world["a"].health(Check.LIVE).waiting_for == ()


def test_rule_13_a_copy_that_others_have_yet_to_give_is_named() -> None:
    world = cluster("a", "b", "c", copies=2, start_wait_s=4)
    world.kill("b")
    world.kill("a")
    world.settle(4)
    world.hold(Open, by="a", at="c", when=lambda request: request.queue == "b")
    world.start("a")
    world.settle(10)
    assert world["a"].health(Check.READY).waiting_for == ("c has yet to give what it holds of b's queue",)


def test_rule_13_a_node_that_leaves_says_what_it_waits_for() -> None:
    world = keeping("a", "b")
    world.kill("b")
    world.settle(4)
    world.drain("a")
    world.settle(3)
    waits = ["no other node that stays is known to hold all messages of this node"]
    assert stats(world, "a")["waiting_for"] == waits
    assert lines(world, "a", "handing over: ") == [("info", f"handing over: {waits[0]}")]
    health = world["a"].health(Check.READY)
    assert (health.reasons, health.waiting_for) == (("draining",), tuple(waits))


def test_rule_13_a_node_that_was_replaced_says_what_it_waits_for() -> None:
    world = keeping("a", "b")
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    world.hold(Open, by="a")
    world.resume("a")
    world.settle(3)
    waits = stats(world, "a")["waiting_for"]
    assert "no other node that stays is known to hold all messages of this node" in waits
    assert [level for level, _ in lines(world, "a", "handing over: no other node")] == ["info"]
    assert stats(world, "a")["only_here"] == 1


# Messages of others.


def leaving_with_the_last_copy() -> Cluster:
    """Two nodes of which one is dead; the other one holds its message, has none of its own, and is leaving."""
    world = keeping("b", "a", drain_timeout_s=10)
    world.kill("b")
    world.settle(4)
    world.drain("a")
    return world


def test_rule_12_messages_of_nodes_that_are_away_are_counted_when_a_node_leaves() -> None:
    """It may hold the last copy of each."""
    world = leaving_with_the_last_copy()
    assert lines(world, "a", "handing over; ") == [
        ("info", "handing over; messages of this node: 0, of nodes that are away: 1")
    ]
    assert stats(world, "a")["queueSize"] == 0
    assert stats(world, "a")["only_here"] == 1
    assert "all messages of b" in stats(world, "a")["waiting_for"][0]
    world.settle(12)
    assert world.departed["a"].messages_lost == 1


def test_rule_12_messages_of_nodes_that_are_there_are_not_counted_when_a_node_leaves() -> None:
    world = keeping("b", "a")
    assert stats(world, "a")["only_here"] is None
    world.drain("a")
    assert "messages of this node: 0, of nodes that are away: 0" in log(world, "a")[-1][1]
    world.settle(4)
    assert world.departed["a"].messages_lost == 0


# Peers that are of no use.


def test_rule_13_the_reason_why_a_peer_cannot_be_reached_is_logged_once() -> None:
    """At info level: with two copies of three, pushes go on."""
    world = cluster("a", "b", "c", copies=2)
    world.kill("c")
    world.settle(60)
    line = ("info", "c cannot be reached: connection refused (c)")
    assert lines(world, "a", "c cannot be reached") == [line]
    world.start("c")
    world.settle(5)
    assert ("info", "c is in session") in log(world, "a")
    world.kill("c")
    world.settle(60)
    assert lines(world, "a", "c cannot be reached") == [line] * 2


def test_rule_13_pushes_that_are_refused_for_want_of_copies_are_a_warning_until_they_are_accepted_again() -> None:
    world = cluster("a", "b", "c")
    world.kill("c")
    world.settle(2)
    assert not lines(world, "a", "pushes are refused")  # a process that is started again is back by then
    world.settle(60)
    why = "a push needs 3 copies, 2 can be had now; c cannot be reached: connection refused (c)"
    assert lines(world, "a", "pushes are ") == [("warn", f"pushes are refused: {why}")]
    world.start("c")
    world.settle(5)
    assert lines(world, "a", "pushes are ")[1:] == [("info", "pushes are accepted again")]


def test_rule_13_a_peer_that_starts_again_at_once_is_no_reason_for_a_warning() -> None:
    world = cluster("a", "b", "c")
    world.kill("c")
    world.settle(1)
    world.start("c")
    world.settle(5)
    assert not [line for level, line in log(world, "a") if level == "warn"]
    assert not lines(world, "a", "pushes are accepted again")


def test_rule_13_both_addresses_of_a_peer_that_moved_are_named_and_do_not_alternate() -> None:
    world = cluster("a", "b", "c", copies=2)
    world.kill("c")
    world.settle(4)
    world.start("c", at="elsewhere")
    world.settle(4)
    world.kill("elsewhere")
    since = len(world.events)
    world.settle(60)
    found = lines(world, "a", "c cannot be reached", since)
    assert found[-1][1] == "c cannot be reached: connection refused (elsewhere); connection refused (c)"
    assert len(found) == 1


@pytest.mark.parametrize("failed", [Failed, Declined])
def test_rule_13_reasons_that_differ_each_time_are_logged_a_few_times(failed: Any) -> None:
    """Such as the time by which a clock is off."""
    world = cluster("a", "b", "c", copies=2)
    gate = world.hold(Open, by="a", at="c")
    world.kill("c")
    world.start("c")
    since, count = len(world.events), 0
    for _ in range(400):
        world.settle(0.25)
        while gate.items:
            count += 1
            gate.answer(failed(f"the request's time is {count} s off"))
    assert count > 50
    found = lines(world, "a", " s off", since)
    assert 3 <= len(found) <= 3 * lines_max


def test_rule_13_a_fault_of_a_peer_is_logged_and_over_when_a_session_has_begun() -> None:
    world = cluster("a", "b", "c", copies=2)
    gate = world.hold(Opened, by="a", at="c", when=lambda opened: opened.digest.seen is not None)
    world.kill("c")
    world.start("c")
    for _ in range(40):
        world.settle(0.25)
        while gate.items:
            gate.alter(nonce="another")
    assert lines(world, "a", "c sends what cannot be used: ")[0][0] == "warn"
    assert stats(world, "a")["peers"]["c"]["error"] == "an answer that fits nothing: Opened"
    gate.open()
    world.settle(3)
    assert stats(world, "a")["peers"]["c"]["error"] == ""


def test_rule_13_an_error_is_cleared_when_the_peer_answers() -> None:
    world = cluster("a", "b")
    world.refuse("b")
    world.settle(5)
    assert stats(world, "a")["peers"]["b"]["error"] == "connection refused (b)"
    world.heal()
    world.settle(3)
    assert stats(world, "a")["peers"]["b"]["error"] == ""


def test_rule_13_a_session_that_ends_has_a_reason() -> None:
    """Also when the peer has left in good order, is paused, or has been replaced."""
    world = cluster("a", "b", "c", copies=2)
    world.depart("c")
    world.settle(2)
    world.kill("b")
    world.settle(2)
    ended = [line for _, line in lines(world, "a", "out of session")]
    assert ended == ["c is out of session: it has ended the session", "b is out of session: connection refused (b)"]


def test_rule_13_a_node_that_was_replaced_says_why_its_sessions_end() -> None:
    world = keeping("a", "b")
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    world.resume("a")
    world.settle(1)
    assert ("info", "b is out of session: this node was replaced") in log(world, "a")


# Peers that are set up otherwise.


def test_rule_13_a_node_that_answers_in_place_of_another_is_named() -> None:
    """As the listener of the other one says, before its node is asked."""
    world = Cluster("a", "b", start_wait_s=4)
    for node, error in (("c", "that is the node c, not b (b)"), ("a", "that is this node itself (b)")):
        world.start("a")
        gate = world.hold(Ask, by="a", at="b")
        world.settle(0.5)
        gate.answer(Failed("this is the node …, not b", node=node))
        assert stats(world, "a")["peers"]["b"]["error"] == error
        world.gates.remove(gate)


def test_rule_17_settings_that_differ_are_told_and_accepted() -> None:
    world = Cluster("a", "b", "c")
    for id in "ab":
        world.start(id)
    world.start("c", copies=2, max_message=1000, key_memory_s=60.5)
    world.settle(4)
    differences = [
        "--copies is 2 there and 3 here",
        "--max-message is 1000 there and 1048576 here",
        "--key-memory is 60.5 there and 600 here",
    ]
    assert stats(world, "a")["peers"]["c"]["settings_differ"] == differences
    assert stats(world, "c")["peers"]["a"]["settings_differ"][0] == "--copies is 3 there and 2 here"
    assert stats(world, "a")["peers"]["b"]["settings_differ"] == []
    assert lines(world, "a", "other settings") == [("warn", f"c has other settings: {'; '.join(differences)}")]
    push = world.push("a")
    world.settle(1)
    assert push.code == "Pushed"
    world.kill("c")
    world.settle(4)
    world.start("c")
    world.settle(4)
    assert stats(world, "a")["peers"]["c"]["settings_differ"] == []


def test_rule_17_other_members_are_a_warning() -> None:
    world = Cluster("a", "b")
    world.start("a")
    world.start("b", peers={"a": "a", "c": "c"}, start_wait_s=4)
    world.settle(6)
    assert lines(world, "a", "other members") == [("warn", "b has other members: a, b, c; here: a, b")]


# A node alone, and a cluster in which all is well.


def test_a_cluster_in_which_all_is_well_waits_for_nothing_and_warns_of_nothing() -> None:
    world = cluster("a", "b", "c")
    for _ in range(20):
        world.push("a")
        world.ask("b", Get(ack_now=True))
        world.settle(1)
    for id in "abc":
        assert stats(world, id)["waiting_for"] == []
        assert {level for level, _ in log(world, id)} == {"info"}
        assert not [line for _, line in log(world, id) if line.startswith(("starting", "not ready", "pushes"))]


def test_what_an_owner_says_of_its_reach_comes_with_each_answer() -> None:
    """So it is known within a second, and over within a second."""
    world = cluster("a", "b")
    for is_refused, told in ((True, "connection refused (a)"), (False, "")):
        if is_refused:
            world.refuse("a")
        else:
            world.heal()
        world.settle(3)
        since = len(world.sent)
        world.settle(3)
        answers = [item.what for item in world.sent[since:] if isinstance(item.what, Applied) and item.address == "b"]
        assert {answer.cannot_reach for answer in answers} == {told}
