"""Rule 18: what depends on which clock. In these tests no two processes share a clock's zero."""

import pytest

from dqtw.core.links.peer_messages import Delta, Fetched
from dqtw.core.model.commands import Inspect, Inspected
from dqtw.core.model.incarnation import fresh_incarnation

from .cluster import cluster, wall_ms_at_start


@pytest.mark.parametrize("wall_ms", [1, wall_ms_at_start - 10**9, wall_ms_at_start])
def test_rule_18_a_wall_clock_that_is_behind_leads_to_a_greater_incarnation_still(wall_ms: int) -> None:
    """A replacement on a machine whose clock is wrong is not fenced by what its peers remember."""
    world = cluster("a", "b", "c")
    push = world.push("a", b"kept")
    world.settle()
    world.kill("a")
    world.settle(4)
    world.start("a", wall_ms=wall_ms)
    world.settle(2)
    assert world["a"].life.is_serving
    assert world["a"].incarnation > push.id.incarnation
    later = world.push("a", b"later")
    world.settle()
    assert later.id > push.id
    assert [world.get("a").bodies for _ in range(2)] == [[b"kept"], [b"later"]]


def test_rule_18_two_starts_in_one_millisecond_take_different_incarnations() -> None:
    """No id ever names two messages."""
    assert fresh_incarnation(5, bytes(10)) != fresh_incarnation(5, bytes(9) + b"1")
    greatest = fresh_incarnation(5, b"\xff" * 10)
    assert fresh_incarnation(5, bytes(10), greatest) > greatest


def test_rule_18_a_wall_clock_that_was_far_ahead_once_harms_nobody_later() -> None:
    """Starts with a right clock go on from the greatest incarnation there was."""
    world = cluster("a", "b", "c")
    incarnations = [world["a"].incarnation]
    for wall_ms in (wall_ms_at_start * 2, 0, 0):
        world.kill("a")
        world.settle(4)
        world.start("a", wall_ms=wall_ms)
        world.settle(2)
        assert world["a"].life.is_serving
        incarnations.append(world["a"].incarnation)
    assert incarnations == sorted(set(incarnations))


def test_rule_18_ages_are_on_the_wire_and_a_message_keeps_its_age_from_owner_to_owner() -> None:
    """`age_s` of a message goes on through copies and replacements, whatever their clocks say."""
    world = cluster("a", "b", "c")
    push = world.push("a")
    world.settle(50)
    world.kill("a")
    world.settle(4)
    world.start("a")
    world.settle(6)
    inspected = world.ask("a", Inspect(push.id)).outcome
    assert isinstance(inspected, Inspected)
    assert 59.9 < inspected.age_s < 60.1
    puts = [put for each in world.sent if isinstance(each.what, Delta | Fetched) for put in each.what.put]
    assert puts
    assert all(0 <= put.age_s < 61 for put in puts)


def test_rule_18_leases_run_on_each_nodes_own_monotonic_clock() -> None:
    """A lease of 10 s lasts 10 s, through any node."""
    world = cluster("a", "b")
    world.push("a", b"leased")
    world.settle()
    get = world.get("b", lease_s=10)
    world.settle()
    assert get.bodies == [b"leased"]
    world.settle(9.9)
    assert world.get("a").bodies == []
    world.settle(0.2)
    assert world.get("a").bodies == [b"leased"]


def test_rule_18_how_long_an_owner_was_silent_is_told_as_an_age() -> None:
    """A starting process learns from each peer how long ago that heard its id, not when."""
    world = cluster("a", "b")
    world.kill("a")
    world.settle(7)
    world.start("a")
    world.settle(1)
    asked = [each.what for each in world.sent if type(each.what).__name__ == "Asked" and each.asker.address == "a"]
    assert 7 <= asked[-1].heard_s_ago < 9
