"""A node as operators and balancers see it, and how it leaves."""

from collections.abc import Mapping
from random import Random
from typing import cast

import pytest

from dqtw.core.effects import Departure, Status
from dqtw.core.model.commands import Ack, Command, Delivered, Done, Get, GiveBack, Inspect, Nack, Push, State, Touch
from dqtw.core.model.errors import BadRequest
from dqtw.core.model.health import Check
from dqtw.core.model.message import Receipt
from dqtw.core.model.settings import NodeSettings
from tests.unit.core.world import World, code, expect


def refusals(world: World) -> Mapping[str, int]:
    return cast(Mapping[str, int], world.stat("refused"))


def test_a_node_of_one_serves_from_the_start() -> None:
    world = World()
    assert world.stat("state") == "serving"
    assert world.node.next_deadline(world.now) is None


# Inspecting.


def test_a_message_can_be_followed_through_its_states() -> None:
    world = World()
    id = world.push(b"abc")
    world.sleep(2.0)
    seen = world.inspect(id)
    assert (seen.state, seen.attempts, seen.body_bytes, seen.age_s) == (State.READY, 0, 3, 2.0)
    assert seen.content_type == "application/octet-stream"
    receipt = world.get_one().receipt
    assert (world.inspect(id).state, world.inspect(id).attempts) == (State.LEASED, 1)
    world.tell(Nack(receipt, delay_s=5.0))
    assert world.state(id) is State.DELAYED
    world.sleep(5.0)
    assert (world.inspect(id).state, world.inspect(id).attempts, world.inspect(id).age_s) == (State.READY, 1, 7.0)
    world.ack(id)
    assert world.refused(Inspect(id)) == "unknown"


# The longest lease.


def test_no_lease_and_no_delay_is_longer_than_the_longest() -> None:
    """Else a mistyped lease hides a message for years."""
    world = World(NodeSettings(max_lease_s=100.0))
    world.push()
    world.push()
    receipt = world.get_one(lease_s=100.0).receipt
    assert expect(Done, world.tell(Touch(receipt, 100.0)))
    assert expect(Done, world.tell(Nack(receipt, 100.0)))
    for command, name in (
        (Get(lease_s=100.5), "lease"),
        (Get(10, 5.0, 1e32, ack_now=True), "lease"),
        (Touch(receipt, 100.5), "lease"),
        (Nack(receipt, 100.5), "delay"),
    ):
        refusal = expect(BadRequest, world.tell(command))
        assert refusal.detail.startswith(f"{name}: 100.5" if command != Get(10, 5.0, 1e32, ack_now=True) else "lease: ")
        assert refusal.detail.endswith(" seconds are more than --max-lease, which is 100")
    assert (world.stat("ready"), world.stat("leased"), world.stat("waiting_polls")) == (1, 0, 0)
    assert refusals(world) == {"bad_request": 4}


# Figures.


def test_the_figures_say_where_the_messages_are() -> None:
    world = World(NodeSettings(node="n1", size=9))
    for n in range(6):
        world.push(b"x" * n)
    world.get(2)
    world.tell(Nack(world.get_one().receipt, delay_s=5.0))
    world.sleep(2.0)
    stats = world.node.stats(world.now)
    expected = {
        "node": "n1",
        "size": 9,
        "queueSize": 6,
        "ready": 3,
        "leased": 2,
        "delayed": 1,
        "waiting": 0,
        "bytes": 15,
        "oldest_ready_s": 2.0,
    }
    assert {name: stats[name] for name in expected} == expected
    assert world.node.messages_count == 6


def test_nothing_ready_has_no_age() -> None:
    world = World()
    world.push()
    world.get_one()
    assert world.stat("oldest_ready_s") is None


def test_the_totals_count_what_happened() -> None:
    world = World(NodeSettings(size=4))
    for _ in range(4):
        world.push()
    world.refused(Push(b""))
    first, second = world.get(2)
    world.tell(Nack(first.receipt))
    world.ack(second.receipt.id)
    world.get(ack_now=True)
    figures = ("pushed", "delivered", "acked", "nacked", "lease_lost")
    assert {name: world.stat(name) for name in figures} == {
        "pushed": 4,
        "delivered": 3,
        "acked": 2,
        "nacked": 1,
        "lease_lost": 0,
    }


def test_leases_that_ended_before_their_ack_are_counted() -> None:
    """An operator sees that workers die or that leases are too short; a delay that ends is no such thing."""
    world = World()
    for _ in range(3):
        world.push()
    world.get_one(lease_s=5.0)
    world.tell(Nack(world.get_one(lease_s=5.0).receipt, delay_s=5.0))
    world.ack(world.get_one(lease_s=5.0).receipt.id)
    world.sleep(5.0)
    assert world.stat("lease_lost") == 1


def test_duplicates_are_not_counted_as_pushed() -> None:
    world = World()
    world.push(key="k")
    world.push(key="k")
    assert world.stat("pushed") == 1


def test_refusals_are_counted_by_code() -> None:
    world = World(NodeSettings(size=1))
    id = world.push()
    receipt = world.get_one().receipt
    world.refused(Push(b""))
    waiting = world.ask(Push(b"", wait_s=1.0))
    world.sleep(1.0)
    assert code(world.answers[waiting]) == "full"
    world.refused(Touch(Receipt(id, "0")))
    world.ack(receipt.id)
    world.refused(Ack(id))
    assert refusals(world) == {"full": 2, "lease_lost": 1, "unknown": 1}


def test_who_waits_is_counted() -> None:
    world = World(NodeSettings(size=1))
    world.push()
    world.get_one()
    polls = [world.ask(Get(wait_s=10.0)) for _ in range(3)]
    world.ask(Push(b"", wait_s=10.0))
    assert (world.stat("waiting_polls"), world.stat("waiting_pushes")) == (3, 1)
    world.leave(polls[0])
    assert world.stat("waiting_polls") == 2


def test_the_figures_of_an_idle_node_do_not_grow() -> None:
    world = World()
    for n in range(100):
        world.ack(world.push(key=f"k{n}"))
    world.sleep(600.0)
    names = ("queueSize", "ready", "leased", "delayed", "waiting", "bytes", "keys", "waiting_polls", "waiting_pushes")
    assert [world.stat(name) for name in names] == [0] * len(names)
    assert world.node.next_deadline(world.now) is None


# Health.


@pytest.mark.parametrize("check", list(Check))
def test_a_node_that_serves_is_well(check: Check) -> None:
    health = World().node.health(check)
    assert (health.ok, health.reasons, health.in_session, health.copies, health.members) == (True, (), 0, 1, 1)


def test_a_full_queue_is_ready_but_takes_no_push() -> None:
    """A balancer goes on sending workers to it."""
    world = World(NodeSettings(size=1))
    id = world.push()
    assert world.node.health(Check.READY).ok
    assert world.node.health(Check.PUSH).reasons == ("full",)
    world.ack(id)
    assert world.node.health(Check.PUSH).ok


def test_a_queue_that_has_reached_max_bytes_takes_no_push() -> None:
    world = World(NodeSettings(max_bytes=4))
    world.push(b"1234")
    assert world.node.health(Check.PUSH).reasons == ("full",)
    assert world.node.health(Check.READY).ok


def test_a_draining_node_answers_but_is_not_ready() -> None:
    world = World()
    world.drain()
    assert world.node.health(Check.LIVE).ok
    assert world.node.health(Check.READY).reasons == ("draining",)
    assert world.node.health(Check.PUSH).reasons == ("draining",)


def test_every_reason_is_told() -> None:
    world = World(NodeSettings(size=1))
    world.push()
    world.drain()
    assert world.node.health(Check.PUSH).reasons == ("draining", "full")


# Draining.


def test_a_drain_answers_all_who_wait() -> None:
    """Workers poll elsewhere at once; pushers learn that nothing was stored."""
    world = World(NodeSettings(size=1))
    world.push(b"a")
    world.get_one()
    poll, push = world.ask(Get(wait_s=10.0)), world.ask(Push(b"", wait_s=10.0))
    world.drain()
    assert world.answers[poll] == Delivered()
    assert code(world.answers[push]) == "draining"
    assert world.stat("queueSize") == 1


def test_a_draining_node_takes_nothing_in_and_hands_nothing_out() -> None:
    world = World()
    world.push()
    world.drain()
    assert world.refused(Push(b"")) == "draining"
    assert world.refused(Get()) == "draining"
    assert world.refused(Get(wait_s=10.0)) == "draining"
    assert world.stat("state") == "draining"


def test_workers_may_finish_while_a_node_drains() -> None:
    world = World()
    for _ in range(4):
        world.push()
    first, second, third, fourth = (each.receipt for each in world.get(4, lease_s=5.0))
    world.drain()
    world.ack(first.id)
    world.tell(Touch(second, lease_s=60.0))
    world.tell(Nack(third))
    world.tell(GiveBack(fourth))
    assert [world.state(receipt.id) for receipt in (second, third, fourth)] == [
        State.LEASED,
        State.READY,
        State.READY,
    ]


def test_a_drain_first_does_what_is_due() -> None:
    """A message whose lease has just ended goes to the worker that waited for it."""
    world = World()
    world.push(b"a")
    world.get_one(lease_s=5.0)
    poll = world.ask(Get(wait_s=10.0))
    world.oversleep(6.0)
    world.drain()
    assert world.brought(poll) == [b"a"]


def test_a_node_alone_leaves_at_once_and_reports_how_many_messages_end() -> None:
    """It has nobody to hand them over to: that is not an error."""
    world = World()
    world.ack(world.push())
    world.push()
    world.get_one()
    world.push()
    world.drain()
    assert world.departure == Departure(Status.DRAINED, 2)


def test_a_second_drain_changes_nothing() -> None:
    world = World()
    world.drain()
    world.drain()
    assert world.stat("state") == "draining"


# One machine.


def test_one_seed_gives_one_history() -> None:
    """A failure in a simulation can be replayed."""

    def history(seed: int) -> list[str]:
        world, draw = World(NodeSettings(size=5), seed), Random(3)
        commands: list[Command] = [Push(b"a", wait_s=1.0), Get(2, wait_s=1.0, ack_now=True), Get(lease_s=0.5)]
        for _ in range(200):
            world.ask(draw.choice(commands))
            world.sleep(draw.random())
        return [repr(outcome) for outcome in world.answers.values()]

    assert history(1) == history(1)
    assert history(1) != history(2)


def test_a_node_alone_has_no_life_to_log() -> None:
    """What its service logs of its start and its end is enough."""
    world = World()
    world.ack(world.push())
    world.drain()
    assert world.events == []


def test_effects_are_taken_once() -> None:
    world = World()
    world.node.take_effects(world.now)
    world.node.command(world.now, 1, Push(b""))
    assert len(world.node.take_effects(world.now)) == 1
    assert world.node.take_effects(world.now) == []
