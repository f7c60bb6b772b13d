"""Rule 5: a push is answered within `--push-timeout` and a second, whatever its peers do."""

import pytest

from dqtw.core.model.errors import Refusal
from dqtw.core.replication.commit import answer_late_s

from .cluster import Cluster, cluster, key_at
from .parts import Ticket

tick_s = 0.3  # between two looks at what is due


def answered_after(world: Cluster, push: Ticket, within_s: float) -> float:
    """How long the push waits for its answer."""
    begun = world.now
    while push.outcome is None:
        assert world.now - begun < within_s, f"no answer within {within_s} s"
        world.settle(0.05)
    return world.now - begun


@pytest.mark.parametrize("timeout_s", [0.5, 2.0, 2.9, 3.5, 4.0, 4.9, 10.0])
@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("silent_for_s", [0.0, 1.0, 2.5])
def test_rule_05_a_push_whose_peers_fall_silent_is_answered_in_time(
    timeout_s: float, copies: int, silent_for_s: float
) -> None:
    """Machines that vanish; what is sent to them waits for 5 s before it is given up."""
    world = cluster("a", "b", "c", copies=copies, push_timeout_s=timeout_s)
    for peer in "bc":
        world.cut("a", peer)
    world.settle(silent_for_s)
    push = world.push("a")
    answered_after(world, push, timeout_s + answer_late_s + tick_s)
    assert isinstance(push.outcome, Refusal)
    assert push.code in ("uncertain", "unreplicated")


@pytest.mark.parametrize("timeout_s", [2.0, 3.5])
def test_rule_05_a_push_that_was_called_uncertain_is_delivered_when_its_copies_come_all_the_same(
    timeout_s: float,
) -> None:
    """Or it is taken back; a repetition with its key is one message with it in either case."""
    world = cluster("a", "b", push_timeout_s=timeout_s, key_memory_s=600)
    key = key_at("a", world)
    world.cut("a", "b")
    push = world.push("a", b"once", key=key)
    answered_after(world, push, timeout_s + answer_late_s + tick_s)
    assert push.code == "uncertain"
    world.heal()
    world.settle(10)
    again = world.push("a", b"once", key=key)
    world.settle(3)
    assert again.code == "Pushed"
    get = world.get("b", count_max=10)
    world.settle(1)
    assert get.bodies == [b"once"]


def test_rule_05_a_repetition_of_a_push_that_was_called_uncertain_is_answered_in_time_too() -> None:
    world = cluster("a", "b", push_timeout_s=3.5)
    key = key_at("a", world)
    world.settle(0.9)
    world.cut("a", "b")
    push = world.push("a", b"once", key=key)
    answered_after(world, push, 3.5 + answer_late_s + tick_s)
    again = world.push("a", b"once", key=key)
    answered_after(world, again, 3.5 + answer_late_s + tick_s)


@pytest.mark.parametrize("timeout_s", [2.0, 10.0, 30.0])
def test_rule_05_a_push_that_another_node_must_take_is_answered_in_time(timeout_s: float) -> None:
    """Its key's home has vanished."""
    world = cluster("a", "b", push_timeout_s=timeout_s)
    world.cut("a", "b")
    push = world.push("a", b"x", key=key_at("b", world))
    answered_after(world, push, timeout_s + answer_late_s + tick_s)
    assert push.code == "uncertain"


def test_rule_05_a_push_that_waits_for_a_doubt_to_end_waits_no_longer_than_its_time() -> None:
    """Peers that answer late keep a node in doubt, which refuses what it cannot take in without their word."""
    world = cluster("a", "b", push_timeout_s=2.0)
    world.settle(0.5)
    world.pause("b")
    world.settle(3.6)
    push = world.push("a")
    assert push.outcome is None
    answered_after(world, push, 2.0 + answer_late_s + tick_s)
    assert push.code in ("unreplicated", "starting")
