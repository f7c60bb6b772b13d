"""Rule 16: what one turn asks of another node goes there together, and each keeps an answer of its own."""

from typing import Any

import pytest

from dqtw.core.links.peer_messages import Applied, Declined, Failed, Forward, Forwarded
from dqtw.core.model.commands import Ack, Batch, Complete, Done, GiveBack, Nack, Outcomes, batch_count_max
from dqtw.core.model.errors import Busy, Starting, Uncertain, Unknown
from dqtw.core.model.message import MessageId

from .cluster import Cluster, Gate, cluster
from .parts import Item, Ticket


def fill(world: Cluster, at: str, count: int) -> list[MessageId]:
    """Push so many to one node."""
    pushes = [world.push(at, b"%d" % n) for n in range(count)]
    world.settle()
    return [push.id for push in pushes]


def forwarded(world: Cluster, at: str = "") -> list[Any]:
    """What was forwarded, in order."""
    return [each.what.command for each in world.sent if isinstance(each.what, Forward) and at in ("", each.address)]


def hold_batches(world: Cluster, kind: type) -> Gate:
    def holds(forward: Forward) -> bool:
        return isinstance(forward.command, Batch) and isinstance(forward.command.commands[0], kind)

    return world.hold(Forward, when=holds)


def take_two(world: Cluster) -> tuple[Ticket, Gate]:
    """A get on a that removes two messages of b's at delivery, the removals held on their way."""
    fill(world, "b", 2)
    gate = hold_batches(world, Complete)
    get = world.get("a", ack_now=True, count_max=2)
    world.settle()
    assert len(gate.items) == 1
    assert get.code == ""
    return get, gate


def left_at(world: Cluster, owner: str) -> list[tuple[bytes, int]]:
    """What its owner has ready: bodies, and at which attempt they are."""
    get = world.get(owner, count_max=10)
    return [(each.message.body, each.attempt) for each in get.deliveries]


def test_rule_16_acks_of_one_turn_share_one_forward_to_each_owner() -> None:
    """A batch of a thousand does not cost a thousand requests."""
    world = cluster("a", "b", "c")
    ids = [*fill(world, "b", 3), *fill(world, "c", 2)]
    acks = world.ask_all("a", [Ack(id) for id in ids])
    world.settle()
    assert [ack.code for ack in acks] == ["Done"] * 5
    assert [len(each.commands) for each in forwarded(world, "b")] == [3]
    assert [len(each.commands) for each in forwarded(world, "c")] == [2]
    assert not world.copy("b", "b").live


def test_rule_16_an_ack_that_is_alone_is_forwarded_as_it_is() -> None:
    world = cluster("a", "b")
    [id] = fill(world, "b", 1)
    world.ack("a", id)
    assert forwarded(world) == [Ack(id)]


def test_rule_16_no_batch_is_larger_than_its_bound() -> None:
    world = cluster("a", "b")
    id = MessageId("b", world["b"].incarnation, 1)
    acks = world.ask_all("a", [Ack(id._replace(n=n + 1)) for n in range(batch_count_max + 2)])
    world.settle()
    assert [len(each.commands) for each in forwarded(world)] == [batch_count_max, 2]
    assert {ack.code for ack in acks} == {"unknown"}


def test_rule_16_each_ack_of_a_batch_has_an_answer_of_its_own() -> None:
    """One that is gone, one of a third node, one of an incarnation that is newer, and one that is there."""
    world = cluster("a", "b", "c")
    ids = fill(world, "b", 2)
    world.ack("b", ids[0])
    world.settle()
    [foreign] = fill(world, "c", 1)
    newer = ids[1]._replace(incarnation="02" + ids[1].incarnation[2:])
    commands = tuple(map(Ack, (ids[0], foreign, newer, ids[1])))
    forward = Forward("a", "dqtw", world["a"].incarnation, world["b"].boot, 1000, Batch(commands))
    world.deliver(Item(world.processes["a"], "b", 0, forward))
    world.settle()
    [outcome] = [each.what.outcome for each in world.sent if isinstance(each.what, Forwarded)]
    assert isinstance(outcome, Outcomes)
    assert [getattr(each, "code", "done") for each in outcome.outcomes] == ["unknown", "unknown", "fenced", "done"]


def test_rule_16_a_batch_is_answered_when_every_peer_knows_all_its_removals() -> None:
    """As a single acknowledgement is; and two of the same message are one removal."""
    world = cluster("a", "b", "c")
    ids = fill(world, "b", 2)
    held = world.hold(Applied, by="b", at="c")
    acks = world.ask_all("a", [Ack(ids[0]), Ack(ids[1]), Ack(ids[0])])
    world.settle()
    assert [ack.code for ack in acks] == ["", "", ""]
    held.open()
    assert [ack.code for ack in acks] == ["Done"] * 3


def test_rule_16_what_is_answered_at_once_does_not_wait_for_removals() -> None:
    """A nack in the same turn goes by itself."""
    world = cluster("a", "b", "c")
    ids = fill(world, "b", 3)
    get = world.get("b")
    world.hold(Applied, by="b", at="c")
    receipt = get.deliveries[0].receipt
    nack, *_ = world.ask_all("a", [Nack(receipt), Ack(ids[1]), Ack(ids[2])])
    world.settle()
    assert nack.code == "Done"


def test_rule_16_an_empty_batch_is_answered() -> None:
    """Whatever a peer sends, it is not left to wait."""
    world = cluster("a", "b")
    forward = Forward("a", "dqtw", world["a"].incarnation, world["b"].boot, 1000, Batch(()))
    world.deliver(Item(world.processes["a"], "b", 0, forward))
    assert world.sent[-1].what == Forwarded(Outcomes(()))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Failed("connection lost"), "uncertain"),
        (Failed("connection refused", was_sent=False), "owner_down"),
        (Declined("no member"), "owner_down"),
        (Forwarded(Busy("too much")), "busy"),
        (Forwarded(Uncertain("came before")), "uncertain"),
        (Forwarded(Outcomes((Done(),))), "uncertain"),
    ],
)
def test_rule_16_what_is_known_of_a_batch_is_known_of_each_of_its_commands(answer: Any, code: str) -> None:
    """An answer that does not fit the batch says nothing at all."""
    world = cluster("a", "b")
    ids = fill(world, "b", 2)
    gate = hold_batches(world, Ack)
    acks = world.ask_all("a", [Ack(id) for id in ids])
    world.settle()
    gate.answer(answer)
    assert [ack.code for ack in acks] == [code, code]


def test_rule_16_outcomes_for_a_command_that_came_alone_say_nothing() -> None:
    world = cluster("a", "b")
    [id] = fill(world, "b", 1)
    gate = world.hold(Forward)
    ack = world.ack("a", id)
    gate.answer(Forwarded(Outcomes((Done(),))))
    assert ack.code == "uncertain"


# Removed at delivery.


def test_rule_16_an_ack_now_for_several_removes_them_with_one_forward() -> None:
    """Lease, removal, and only then the bytes."""
    world = cluster("a", "b", "c")
    get, gate = take_two(world)
    gate.open()
    assert get.bodies == [b"0", b"1"]
    assert [type(each).__name__ for each in forwarded(world)] == ["Get", "Batch"]
    assert not world.copy("c", "b").live


def test_rule_16_of_an_ack_now_for_several_only_those_that_are_surely_removed_are_handed_out() -> None:
    """A part that is certain is not thrown away for the part that is not."""
    world = cluster("a", "b")
    get, gate = take_two(world)
    gate.answer(Forwarded(Outcomes((Uncertain("lost"), Done()))))
    assert get.bodies == [b"1"]


@pytest.mark.parametrize("answer", [Failed("too many requests wait", was_sent=False), Declined("no member")])
def test_rule_16_an_ack_now_that_surely_did_nothing_gives_its_messages_back(answer: Any) -> None:
    """Nothing was removed, and so nothing is in doubt: the next get has them, at their first attempt."""
    world = cluster("a", "b")
    get, gate = take_two(world)
    gate.answer(answer)
    assert get.bodies == []
    assert left_at(world, "b") == [(b"0", 1), (b"1", 1)]


def test_rule_16_what_an_owner_refuses_to_remove_at_delivery_is_given_back() -> None:
    """What it removed is handed out; and what another removed meanwhile is neither."""
    world = cluster("a", "b")
    get, gate = take_two(world)
    gate.answer(Forwarded(Outcomes((Starting("on its way"), Unknown("gone")))))
    assert get.bodies == []
    assert left_at(world, "b") == [(b"0", 1)]


def test_rule_16_messages_that_are_not_removed_are_given_back_though_the_client_is_gone() -> None:
    world = cluster("a", "b")
    get, gate = take_two(world)
    assert world.withdraw("a", get)
    gate.answer(Failed("connection refused", was_sent=False))
    assert get.code == ""
    assert left_at(world, "b") == [(b"0", 1), (b"1", 1)]


def test_rule_16_a_node_that_is_replaced_while_it_removes_at_delivery_does_not_deny_it() -> None:
    """The messages may be removed: whoever is told `fenced` would believe that they are not."""
    world = cluster("a", "b")
    get, _ = take_two(world)
    greater = "02" + world["a"].incarnation[2:]
    world._run(world.processes["a"], lambda now: world["a"].fenced(now, greater))
    assert get.code == "uncertain"


def test_rule_16_deliveries_are_given_back_together() -> None:
    """For a client that has gone, a batch of a thousand is one request more."""
    world = cluster("a", "b")
    fill(world, "b", 3)
    gate = world.hold(Forwarded)
    poll = world.get("a", wait_s=20, count_max=3)
    world.settle()
    world.withdraw("a", poll)
    gate.open()
    batch = forwarded(world)[-1]
    assert [type(each) for each in batch.commands] == [GiveBack] * 3
    assert left_at(world, "b") == [(b"0", 1), (b"1", 1), (b"2", 1)]
