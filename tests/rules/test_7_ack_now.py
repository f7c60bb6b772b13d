"""Chapter 7: ``ack=now`` through another node leases for 30 s, acknowledges, and hands out what was confirmed."""

import pytest

from dqtw.core.links.frames import Forward, Forwarded
from dqtw.core.model.commands import Complete, Delivered, Delivery, Done, Get, Outcome
from dqtw.core.model.errors import Starting, Uncertain
from dqtw.core.model.message import Message, Receipt

from .forwarding import World
from .naive_owner import id_of


def removing(world: World, count_max: int = 2) -> int:
    """Begin a get that removes at delivery; b has leased two messages to it, and their removals are to be sent."""
    world.owners["b"].push(b"0", b"1")
    get = world.get(count_max, lease_s=0.1, ack_now=True)
    world.receive("b")
    while world.from_owner(world.links["b"]):
        pass
    assert world.code(get) == ""
    return get


def answer(world: World, *outcomes: Outcome) -> None:
    """Send the removals; let their outcomes be these."""
    world.pump()
    owner = world.owners["b"]
    link = world.links["b"]
    frame = link.here.sent.popleft()
    assert isinstance(frame, Forward)
    begun = owner.inbound.begin(link.there, frame)
    assert all(isinstance(command, Complete) for _, command in begun)
    for (ticket, _), outcome in zip(begun, outcomes, strict=True):
        owner.inbound.answer(ticket, outcome)
    world.settle()


def refuse(world: World, refusal: Starting) -> None:
    """Let b refuse the removals that are on their way to it, and nothing else."""
    world.owners["b"].refusal = refusal
    world.to_owner(world.links["b"])
    world.owners["b"].refusal = None
    world.settle()


def test_a_get_that_removes_at_delivery_leases_for_30_s_and_gets_what_is_removed() -> None:
    """Whatever lease its client names: to that it means nothing."""
    world = World("b")
    get = removing(world)
    assert world.forwards("b") == [[Get(2, 0.0, 30.0)]]
    assert len(world.owners["b"].live) == 2
    world.advance(4.0)
    assert world.left_at("b") == []
    world.settle()
    assert [len(commands) for commands in world.forwards("b")] == [1, 2]
    assert world.bodies(get) == [b"0", b"1"]
    assert world.owners["b"].live == {}


def test_a_get_that_removes_at_delivery_is_not_served_twice_meanwhile() -> None:
    """It does not wait for a message any more."""
    world = World("b")
    get = removing(world)
    world.push_here(b"here")
    world.advance(4.0)
    world.settle()
    assert world.bodies(get) == [b"0", b"1"]
    assert world.here == [b"here"]


@pytest.mark.parametrize("at", ["link", "deadline", "owner"])
def test_a_removal_at_delivery_that_can_not_be_known_is_uncertain_and_hands_nothing_out(at: str) -> None:
    """At most once: rather nothing than what others may get. Scenario 43: it is gone on demand, or its lease ends."""
    world = World("b")
    get = removing(world)
    if at == "owner":
        answer(world, Uncertain(""), Uncertain(""))
    else:
        world.receive("b")
        world.cut("b") if at == "link" else world.advance(5.0)
    world.settle()
    assert world.code(get) == "uncertain"


def test_removals_that_were_not_sent_were_not_done_and_the_get_goes_on_elsewhere() -> None:
    """Scenario 43: the link fails between the lease and the removal; the lease ends after 30 s."""
    world = World("b", "c")
    get = removing(world)
    world.owners["c"].push(b"of c")
    world.cut("b")
    world.settle()
    assert world.bodies(get) == [b"of c"]
    assert world.left_at("b") == []
    world.advance(30.0)
    assert world.left_at("b") == [(b"0", 1), (b"1", 1)]


def test_of_several_removals_at_delivery_only_those_that_are_sure_are_handed_out() -> None:
    """A part that is certain is not thrown away for the part that is not."""
    world = World("b")
    get = removing(world)
    answer(world, Uncertain(""), Done())
    assert world.bodies(get) == [b"1"]


def test_what_is_removed_is_handed_out_in_the_order_of_the_queue() -> None:
    """Whatever the order of the outcomes."""
    world = World("b")
    get = removing(world)
    owner = world.owners["b"]
    owner.is_slow = True
    world.settle()
    owner.late.reverse()
    owner.catch_up(0.0)
    world.settle()
    assert world.bodies(get) == [b"0", b"1"]


def test_what_an_owner_refuses_to_remove_is_given_back_and_may_be_got_again() -> None:
    """It was not removed, and is not in doubt: the get goes on."""
    world = World("b")
    get = removing(world)
    answer(world, Starting(""), Starting(""))
    assert world.kinds("b")[1:4] == ["GiveBack", "GiveBack", "Get"]
    assert world.bodies(get) == [b"0", b"1"]
    assert world.owners["b"].attempts == {id_of("b", 1): 1, id_of("b", 2): 1}


def test_a_get_that_was_beaten_does_not_come_back_empty_while_other_messages_are_ready() -> None:
    """Others have acked one message, and have the other one leased; the third is ready."""
    world = World("b")
    owner = world.owners["b"]
    get = removing(world)
    first, second = owner.live
    owner.remove(first)
    del owner.leases[second]
    assert owner.lease(0.0) is not None
    owner.push(b"third")
    world.settle()
    assert world.bodies(get) == [b"third"]
    assert list(owner.live) == [second]


def test_a_get_that_was_beaten_is_served_here_if_a_message_is_here() -> None:
    world = World("b")
    get = removing(world)
    for id in [*world.owners["b"].live]:
        world.owners["b"].remove(id)
    world.push_here(b"here")
    world.settle()
    assert world.bodies(get) == [b"here"]


def test_a_get_that_was_beaten_waits_on_until_its_time_is_over() -> None:
    world = World("b")
    world.owners["b"].push(b"x")
    poll = world.get(wait_s=4.0, ack_now=True)
    world.receive("b")
    world.from_owner(world.links["b"])
    world.owners["b"].remove(id_of("b"))
    world.settle()
    assert world.code(poll) == ""
    world.advance(3.9)
    assert world.code(poll) == ""
    world.advance(0.1)
    assert world.bodies(poll) == []


def test_a_get_that_was_beaten_when_its_time_was_over_is_empty() -> None:
    world = World("b")
    world.owners["b"].push(b"x")
    poll = world.get(wait_s=2.0, ack_now=True)
    world.receive("b")
    world.from_owner(world.links["b"])
    world.owners["b"].remove(id_of("b"))
    world.receive("b")
    world.advance(3.0)
    world.settle()
    assert world.bodies(poll) == []


def test_deliveries_with_one_receipt_are_one_message() -> None:
    """Nothing a peer sends breaks a removal."""
    world = World("b")
    world.owners["b"].push(b"x")
    get = world.get(2, ack_now=True)
    world.pump()
    link = world.links["b"].here
    delivery = Delivery(Receipt(id_of("b"), "1"), 1, 60.0, Message(b"x"))
    results = world.outbound.forwarded(0.0, link, Forwarded([(1, Delivered((delivery, delivery)))]), world.polls)
    assert results == []
    world.owners["b"].lease(0.0)
    world.settle()
    assert world.bodies(get) == [b"x"]


# A client that is gone gives back.


def test_removals_at_delivery_that_were_not_sent_are_given_back_when_the_client_is_gone() -> None:
    world = World("b")
    get = removing(world)
    assert world.withdraw(get)
    world.settle()
    assert world.kinds("b") == ["Get", "GiveBack", "GiveBack"]
    assert world.left_at("b") == [(b"0", 0), (b"1", 0)]


def test_messages_that_were_not_removed_are_given_back_though_the_client_is_gone() -> None:
    world = World("b")
    get = removing(world)
    world.pump()
    assert world.withdraw(get)
    refuse(world, Starting(""))
    assert world.left_at("b") == [(b"0", 0), (b"1", 0)]
    assert world.code(get) == ""


def test_a_node_that_is_replaced_while_it_removes_at_delivery_does_not_deny_it() -> None:
    """What may be removed is uncertain; what surely is not is given back."""
    world = World("b")
    get = removing(world)
    world.pump()
    world.act(world.outbound.abandon())
    assert world.code(get) == "uncertain"
    refuse(world, Starting(""))
    assert world.left_at("b") == [(b"0", 0), (b"1", 0)]
    assert world.outbound.is_quiet
