"""Rule 16: a forward is carried out at most once, whatever the network makes of it."""

from typing import Any

import pytest

from dqtw.core.forwarding.replays import ReplayWindow
from dqtw.core.links.peer_messages import Declined, FencedOff, Forward, Forwarded, NoSession, Open
from dqtw.core.model.commands import Ack, Command, Delivered, Done, Get, Inspect, Nack, Push
from dqtw.core.model.errors import LeaseLost, Uncertain, Unreplicated
from dqtw.core.model.message import MessageId

from .cluster import Cluster, Gate, cluster, key_at
from .parts import Item


def pushed(world: Cluster, at: str) -> MessageId:
    push = world.push(at)
    world.settle()
    return push.id


def hold_forwards(world: Cluster, kind: type[Command]) -> Gate:
    return world.hold(Forward, when=lambda forward: isinstance(forward.command, kind))


def answers_of(world: Cluster, item: Item) -> list[Any]:
    """What a forward was answered, in order, each time that it came."""
    same = (each for each in world.sent if each.is_answer and each.asker is item.asker and each.call == item.call)
    return [each.what.outcome if isinstance(each.what, Forwarded) else each.what for each in same]


def repeat(world: Cluster, item: Item) -> Any:
    """Let a forward come to its owner once more; what that is answered."""
    world.deliver(item)
    world.settle()
    return answers_of(world, item)[-1]


def test_rule_16_a_push_that_was_refused_is_not_taken_in_when_it_comes_again() -> None:
    """Its client was told `unreplicated`: the message is on no queue, now or later."""
    world = cluster("a", "b")
    gate = hold_forwards(world, Push)
    world.settle()
    push = world.push("a", b"once", key=key_at("b", world))
    world.settle()
    [item] = gate.items
    world["b"].owner.links.end_all(world.processes["b"].latest, "")
    opens = world.hold(Open, by="b")
    gate.let()
    assert isinstance(push.outcome, Unreplicated)
    opens.open()
    world.settle(2)
    assert isinstance(repeat(world, item), Uncertain)
    assert world.bodies("b", "b") == []


def test_rule_16_a_forward_that_comes_twice_is_carried_out_once() -> None:
    """A get leases one message, not two; of an ack nobody says that it was not done."""
    world = cluster("a", "b")
    pushed(world, "b")
    pushed(world, "b")
    gate = hold_forwards(world, Get)
    get = world.get("a")
    world.settle()
    [item] = gate.items
    gate.open()
    assert len(get.deliveries) == 1
    assert isinstance(repeat(world, item), Uncertain)
    assert world.get("b").bodies == [b"x"]
    gate = hold_forwards(world, Ack)
    ack = world.ack("a", get.deliveries[0].receipt.id)
    world.settle()
    [item] = gate.items
    gate.open()
    assert ack.outcome == Done()
    assert isinstance(repeat(world, item), Uncertain)


def test_rule_16_a_refused_nack_is_not_done_when_it_comes_again() -> None:
    """Also what can be refused now and be possible later."""
    world = cluster("a", "b")
    pushed(world, "b")
    get = world.get("b", lease_s=1)
    gate = hold_forwards(world, Nack)
    nack = world.nack("a", get.deliveries[0].receipt)
    world.settle(2)
    [item] = gate.items
    gate.open()
    assert isinstance(nack.outcome, LeaseLost)
    assert isinstance(repeat(world, item), Uncertain)


def test_rule_16_a_repeat_that_is_answered_first_does_not_deny_what_is_done() -> None:
    """The first copy is being carried out: the client may be told `uncertain`, and never that nothing was done."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b")
    gate = hold_forwards(world, Ack)
    held = world.hold(Forwarded)
    ack = world.ack("a", id)
    world.settle()
    [item] = gate.items
    gate.open()
    assert isinstance(repeat(world, item), Uncertain)
    done, repeated = held.items
    assert done.what.outcome == Done()
    world.deliver(repeated)
    assert ack.code == "uncertain"
    world.deliver(done)
    world.settle()
    assert ack.code == "uncertain"


def test_rule_16_forwards_that_overtake_each_other_are_all_carried_out() -> None:
    """Several connections lead to a peer."""
    world = cluster("a", "b")
    ids = [pushed(world, "b") for _ in range(5)]
    gate = hold_forwards(world, Ack)
    acks = [world.ack("a", id) for id in ids]
    world.settle()
    for item in reversed(gate.items):
        world.deliver(item)
    world.settle()
    assert [ack.code for ack in acks] == ["Done"] * 5


def test_rule_16_a_forward_that_reaches_another_process_than_it_was_meant_for_is_not_carried_out() -> None:
    """The process that had it first may have done it, and has ended: the client is told that nobody knows."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b")
    gate = hold_forwards(world, Ack)
    ack = world.ack("a", id)
    world.settle()
    [item] = gate.items
    world.kill("b")
    world.start("b")
    world.settle(5)
    assert repeat(world, item) == NoSession("b", world["b"].boot)
    assert ack.code == "uncertain"
    assert id in world.copy("b", "b").live
    gate.items.clear()
    gate.open()
    ack = world.ack("a", id)
    world.settle()
    assert ack.code == "Done"


def test_rule_16_what_a_replaced_process_has_forwarded_is_not_carried_out_any_more() -> None:
    """Of each node one process is remembered, and what an older one asked may have been done long ago."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b")
    gate = hold_forwards(world, Ack)
    world.ack("a", id)
    world.settle()
    [item] = gate.items
    gate.items.clear()
    gate.open()
    world.kill("a")
    world.start("a")
    world.settle(5)
    world.deliver(item)
    world.settle()
    assert world.sent[-1].what == FencedOff("b", world["b"].boot, world["a"].incarnation)
    assert id in world.copy("b", "b").live


def test_rule_16_a_process_that_was_first_heard_of_by_a_forward_is_known_from_then_on() -> None:
    """So its successor takes a greater incarnation, and is not taken for the older one."""
    world = cluster("a", "b")
    greater = "02" + world["a"].incarnation[2:]
    forward = Forward("a", "dqtw", greater, world["b"].boot, 1, Get())
    world.deliver(Item(world.processes["a"], "b", 0, forward))
    assert world["b"].holder.held["a"].greatest == greater


def test_rule_16_a_node_that_is_no_member_is_declined() -> None:
    """Whatever process it is."""
    world = cluster("a", "b")
    forward = Forward("x", "dqtw", world["a"].incarnation, world["b"].boot, 1, Get())
    world.deliver(Item(world.processes["a"], "b", 0, forward))
    assert isinstance(world.sent[-1].what, Declined)


def test_rule_16_a_look_whose_forward_came_twice_is_not_in_doubt() -> None:
    """It changes nothing: its client is told that the owner did not answer."""
    world = cluster("a", "b")
    id = pushed(world, "b")
    gate = world.hold(Forwarded)
    look = world.ask("a", Inspect(id))
    world.settle()
    gate.alter(outcome=Uncertain("came before"))
    assert look.code == "owner_down"


def test_rule_16_a_get_whose_forward_came_twice_goes_on_to_the_next_peer() -> None:
    world = cluster("a", "b", "c")
    pushed(world, "b")
    pushed(world, "c")
    gate = world.hold(Forwarded)
    get = world.get("a")
    world.settle()
    gate.alter(outcome=Uncertain("came before"))
    gate.open()
    assert isinstance(get.outcome, Delivered)
    assert len(get.deliveries) == 1


def test_rule_16_a_starting_node_without_an_incarnation_forwards_nothing() -> None:
    """Nobody could tell its forwards from those of the process before it."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b")
    world.kill("a")
    world.pause("c")
    world.start("a")
    world.settle(0.1)
    assert world["a"].incarnation == ""
    assert world.ack("a", id).code == "starting"


def test_rule_16_an_owner_of_whom_no_process_is_known_is_not_asked() -> None:
    """It has refused all that it was asked: no process of it has said which it is."""
    world = Cluster("a", "b")
    world.start("a")
    gate = world.hold(object, by="a")
    world.settle(0.1)
    gate.answer(Declined("another version"))
    assert world.ack("a", MessageId("b", "01HF0000000000000000000000", 1)).code == "owner_down"


# The window.


def takes(size: int, *numbers: int) -> list[bool]:
    window = ReplayWindow(size)
    return [window.take(number) for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "taken"),
    [
        ((1, 2, 3), [True, True, True]),
        ((1, 1, 2, 1), [True, False, True, False]),
        ((3, 1, 2, 2), [True, True, True, False]),
        ((100, 97, 96, 97), [True, True, False, False]),
        ((100, 103, 100, 101), [True, True, False, True]),
        ((100, 104, 100, 101), [True, True, False, True]),
        ((7, 2**53, 2**53, 7), [True, True, False, False]),
    ],
)
def test_rule_16_a_number_is_taken_once_and_not_when_it_may_have_been_taken(
    numbers: tuple[int, ...], taken: list[bool]
) -> None:
    """In a window of four numbers."""
    assert takes(4, *numbers) == taken


def test_rule_16_what_a_peer_makes_of_its_numbers_costs_no_memory() -> None:
    """Each second number, and leaps as far as numbers go: the window is as large as it is."""
    window = ReplayWindow(64)
    for number in (*range(1, 1000, 2), 2**53, 2**53 - 62, 2**52):
        window.take(number)
    assert window._taken.bit_length() <= 64


def test_rule_16_a_forward_that_comes_again_is_not_denied_by_the_next_process() -> None:
    """The first one was carried out; its process has been restarted since, under another cluster's name."""
    world = cluster("a", "b", "c", copies=2)
    forward = world.hold(Forward, by="b", at="a")
    push = world.push("b", b"once", key=key_at("a", world))
    [item] = forward.items
    answers = world.hold(Forwarded, by="b", at="a")
    world.deliver(item)
    world.settle(0.3)
    assert answers.items
    assert world.bodies("c", "a") == [b"once"]
    world.kill("a")
    world.start("a", cluster="x")
    world.settle(0.1)
    world.deliver(item)
    world.settle(0.1)
    assert push.code == "uncertain"


@pytest.mark.parametrize("kind", [Ack, Push])
def test_rule_16_who_has_departed_does_not_deny_what_it_has_done(kind: type[Command]) -> None:
    """Its answer was lost, and the network brings the forward again while its doors are being shut."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b")
    gate = hold_forwards(world, kind)
    lost = world.hold(Forwarded, by="a", at="b")
    asked = world.ack("a", id) if kind is Ack else world.push("a", b"kept", key=key_at("b", world))
    world.settle()
    [item] = gate.items
    gate.open()
    lost.items.clear()
    world.depart("b")
    world.deliver(item)
    world.settle()
    assert asked.code == "uncertain"
