"""Chapter 7: a command for another node's queue is a call on the link to it, forwarded once and never further."""

from typing import Any

import pytest

from dqtw.core.forwarding.calls import calls_max, frame_body_bytes, frame_items_max
from dqtw.core.forwarding.inbound import Inbound
from dqtw.core.forwarding.placement import home_of
from dqtw.core.links.frames import Forward, Forwarded, Refused
from dqtw.core.model.commands import (
    Ack,
    Command,
    Complete,
    Delivered,
    Delivery,
    Done,
    Get,
    GiveBack,
    Inspect,
    Inspected,
    Nack,
    Push,
    Pushed,
    State,
    Touch,
)
from dqtw.core.model.errors import Draining, Fenced, PeerFault, Refusal, Starting, Uncertain
from dqtw.core.model.message import Message, Receipt, number_max

from .forwarding import World
from .naive_owner import End, id_of


def codes(world: World, tickets: list[int]) -> list[str]:
    return [world.code(ticket) for ticket in tickets]


# A call on the link to the owner, forwarded once and never further.


def test_ack_nack_touch_and_inspect_have_the_own_answer_of_the_owner() -> None:
    world = World("b", "c")
    [id] = world.owners["b"].push(b"x")
    get = world.get()
    world.settle()
    [delivery] = world.answers[get].deliveries  # type: ignore[union-attr]
    for command, code in (
        (Inspect(id), "Inspected"),
        (Touch(delivery.receipt), "Done"),
        (Nack(delivery.receipt), "Done"),
        (Nack(delivery.receipt), "lease_lost"),
        (Ack(id), "Done"),
        (Ack(id), "unknown"),
        (Inspect(id), "unknown"),
    ):
        ticket = world.forward("b", command)
        world.settle()
        assert world.code(ticket) == code, command


def test_a_command_that_came_from_a_peer_has_a_ticket_below_0_and_is_carried_out_here() -> None:
    """Also a push whose key has another home: two nodes that disagree about it do not send it in circles."""
    inbound = Inbound("b")
    key = next(key for key in map(str, range(99)) if home_of(key, ("a", "b")) == "a")
    push = Push(b"x", key=key)
    begun = inbound.begin(End("a"), Forward(1, [push, Ack(id_of("b"))]))
    assert [command for _, command in begun] == [push, Ack(id_of("b"))]
    assert len({ticket for ticket, _ in begun}) == 2
    assert all(ticket < 0 for ticket, _ in begun)


def test_a_forwarded_command_about_the_message_of_a_third_node_is_not_forwarded_further() -> None:
    """Its message may be there: so it is not unknown."""
    inbound, link = Inbound("b"), End("a")
    receipt = Receipt(id_of("c"), "1")
    commands: list[Command] = [
        Ack(id_of("c")),
        Inspect(id_of("c")),
        Nack(receipt),
        Touch(receipt),
        GiveBack(receipt),
        Complete(receipt),
    ]
    assert inbound.begin(link, Forward(1, commands)) == []
    inbound.pump()
    [frame] = link.sent
    assert isinstance(frame, Forwarded)
    assert [outcome.code for _, outcome in frame.outcomes if isinstance(outcome, Refused)] == ["owner_down"] * 6


def test_a_forwarded_get_never_waits_at_its_owner_and_keeps_the_lease_of_its_client() -> None:
    [(_, command)] = Inbound("b").begin(End("a"), Forward(1, [Get(3, 20.0, 90.0)]))
    assert command == Get(3, 0.0, 90.0)


def test_an_id_inside_a_forwarded_command_fences_nothing() -> None:
    """It is a client's, and comes through as it is."""
    greater = id_of("b")._replace(incarnation="7ZZZZZZZZZZZZZZZZZZZZZZZZZ")
    [(_, command)] = Inbound("b").begin(End("a"), Forward(1, [Ack(greater)]))
    assert command == Ack(greater)


def test_calls_are_numbered_from_the_first_and_each_outcome_names_its_call() -> None:
    world = World("b")
    link = world.links["b"].here
    link.next_call()  # of another part of the node
    for _ in range(2):
        world.forward("b", Ack(id_of("b")))
    world.pump()
    assert link.sent.pop() == Forward(2, [Ack(id_of("b"))] * 2)
    world.forward("b", Ack(id_of("b")))
    world.pump()
    assert link.sent.pop() == Forward(4, [Ack(id_of("b"))])


@pytest.mark.parametrize("first", [0, -1, 2, number_max])
def test_a_peer_that_uses_a_number_again_or_an_impossible_one_breaks_the_protocol(first: int) -> None:
    inbound, link = Inbound("b"), End("a")
    inbound.begin(link, Forward(1, [Get(), Get()]))
    with pytest.raises(PeerFault):
        inbound.begin(link, Forward(first, [Get()]))
    assert len(inbound.begin(link, Forward(3, [Get()]))) == 1
    assert len(inbound.begin(End("a"), Forward(1, [Get()]))) == 1  # numbers are those of one link


def test_a_frame_without_commands_asks_for_nothing() -> None:
    inbound, link = Inbound("b"), End("a")
    assert inbound.begin(link, Forward(1, [])) == []
    inbound.pump()
    assert not link.sent


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        (Ack(id_of("b")), Delivered()),
        (Ack(id_of("b")), Inspected(State.READY, 0, 0, "", 0.0)),
        (Push(b""), Done()),
        (Inspect(id_of("b")), Pushed(id_of("b"), 1, 1)),
        (Nack(Receipt(id_of("b"), "1")), Pushed(id_of("b"), 1, 1)),
    ],
)
def test_an_outcome_that_a_command_can_not_have_breaks_the_protocol(command: Command, outcome: Any) -> None:
    """Nothing of its frame is taken; what can't be known any more ends with the link."""
    world = World("b")
    tickets = [world.forward("b", Ack(id_of("b"))), world.forward("b", command)]
    world.pump()
    link = world.links["b"].here
    with pytest.raises(PeerFault):
        world.outbound.forwarded(0.0, link, Forwarded([(1, Done()), (2, outcome)]), world.polls)
    assert not world.answers
    world.cut("b")
    assert set(codes(world, tickets)) <= {"uncertain", "owner_down"}


def test_more_deliveries_than_asked_for_and_outcomes_of_no_call_break_the_protocol() -> None:
    world = World("b")
    world.owners["b"].push(b"x")
    world.get()
    world.pump()
    link = world.links["b"].here
    delivery = Delivery(Receipt(id_of("b"), "1"), 1, 60.0, Message(b"x"))
    for outcome in ((1, Delivered((delivery, delivery))), (2, Done())):
        with pytest.raises(PeerFault):
            world.outbound.forwarded(0.0, link, Forwarded([outcome]), world.polls)


def test_a_second_outcome_of_a_call_is_dropped() -> None:
    world = World("b")
    ticket = world.forward("b", Ack(id_of("b")))
    world.pump()
    link = world.links["b"].here
    frame = Forwarded([(1, Done()), (1, Refused("unknown", "")), (1, Done())])
    results = world.outbound.forwarded(0.0, link, frame, world.polls)
    assert [(each.ticket, each.outcome) for each in results if hasattr(each, "outcome")] == [(ticket, Done())]
    assert len(results) == 1


# When the link fails.


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (Push(b"x", key="k"), "uncertain"),
        (Ack(id_of("b")), "uncertain"),
        (Nack(Receipt(id_of("b"), "1")), "uncertain"),
        (Touch(Receipt(id_of("b"), "1")), "uncertain"),
        (Inspect(id_of("b")), "owner_down"),
    ],
)
def test_a_call_that_was_sent_is_uncertain_when_its_link_ends_but_a_look_changes_nothing(
    command: Command, code: str
) -> None:
    world = World("b")
    unsent = world.forward("b", command)
    world.cut("b")
    assert world.code(unsent) == "owner_down"
    world.link("b")
    sent = world.forward("b", command)
    world.pump()
    world.cut("b")
    assert world.code(sent) == code
    assert world.outbound.is_quiet


def test_without_a_link_the_owner_is_down_at_once() -> None:
    world = World("b")
    link = world.links["b"].here
    world.cut("b")
    assert world.code(world.forward("b", Ack(id_of("b")))) == "owner_down"
    with pytest.raises(Refusal, match="can't be reached"):
        world.outbound.forward(0.0, 99, link, Ack(id_of("b")))  # the link is down, and its user has yet to learn it


@pytest.mark.parametrize("refusal", [Fenced("replaced"), Draining("about to stop")])
def test_an_owner_that_is_replaced_or_about_to_stop_is_down_for_clients_of_other_nodes(refusal: Refusal) -> None:
    """It is not the node that they talk to."""
    world = World("b")
    world.owners["b"].refusal = refusal
    ticket = world.forward("b", Ack(id_of("b")))
    world.settle()
    assert world.code(ticket) == "owner_down"


def test_other_refusals_of_the_owner_come_through_as_they_are() -> None:
    world = World("b")
    world.owners["b"].refusal = Starting("not yet")
    ticket = world.forward("b", Ack(id_of("b")))
    world.settle()
    assert world.code(ticket) == "starting"


def test_a_look_that_is_in_doubt_at_its_owner_is_owner_down() -> None:
    world = World("b")
    world.owners["b"].refusal = Uncertain("")
    tickets = [world.forward("b", Inspect(id_of("b"))), world.forward("b", Ack(id_of("b")))]
    world.settle()
    assert codes(world, tickets) == ["owner_down", "uncertain"]


def test_a_call_is_given_up_after_5_s_and_a_late_outcome_is_dropped() -> None:
    world = World("b")
    [id] = world.owners["b"].push(b"x")
    tickets = [world.forward("b", Ack(id)), world.forward("b", Inspect(id))]
    world.receive("b")
    assert world.outbound.next_deadline() == 5.0
    world.advance(4.9)
    assert codes(world, tickets) == ["", ""]
    world.advance(0.1)
    assert codes(world, tickets) == ["uncertain", "owner_down"]
    assert (world.outbound.is_quiet, world.outbound.next_deadline()) == (True, None)
    world.settle()
    assert codes(world, tickets) == ["uncertain", "owner_down"]


def test_a_push_may_wait_at_its_owner_for_a_slot_and_for_its_copies() -> None:
    world = World("b", push_timeout_s=10.0)
    short, long, forever = (world.forward("b", Push(b"x", key="k", wait_s=wait_s)) for wait_s in (0.0, 20.0, 1e9))
    world.pump()
    moments = []
    for ticket, due in ((short, 11.0), (long, 31.0), (forever, 41.0)):
        world.advance(due - 0.1 - world.now)
        assert world.code(ticket) == ""
        world.advance(0.1)
        moments.append((world.now, world.code(ticket)))
    assert moments == [(11.0, "uncertain"), (31.0, "uncertain"), (41.0, "uncertain")]


def test_a_repeated_ack_or_push_tells_what_became_of_one_whose_link_failed() -> None:
    """Scenario 43: uncertain, and the repetition finds out; a keyed push is one message."""
    world = World("b")
    [id] = world.owners["b"].push(b"x")
    ack, push = Ack(id), Push(b"y", key="k")
    tickets = [world.forward("b", ack), world.forward("b", push)]
    world.receive("b")
    world.cut("b")
    world.link("b")
    again = [world.forward("b", ack), world.forward("b", push)]
    world.settle()
    assert codes(world, tickets) == ["uncertain", "uncertain"]
    assert codes(world, again) == ["unknown", "Pushed"]
    assert getattr(world.answers[again[1]], "duplicate", False)
    assert [body for body, _ in world.left_at("b")] == [b"y"]


# The commands of one turn go together.


def test_the_commands_of_one_turn_for_one_node_share_a_frame_and_so_do_their_outcomes() -> None:
    world = World("b", "c")
    ids = {node: world.owners[node].push(*[b"x"] * 3) for node in world.owners}
    tickets = [world.forward(node, command) for node in ids for id in ids[node] for command in (Ack(id), Inspect(id))]
    world.pump()
    for node in ids:
        world.receive(node)
        assert [len(commands) for commands in world.forwards(node)] == [6]
        link = world.links[node].there
        assert [len(frame.outcomes) for frame in link.sent if isinstance(frame, Forwarded)] == [6]
    world.settle()
    assert codes(world, tickets) == ["Done", "unknown"] * 6


def test_no_command_waits_for_another_one_of_its_frame() -> None:
    """Each outcome goes when it is reached."""
    world = World("b")
    owner = world.owners["b"]
    ids = owner.push(b"0", b"1")
    owner.is_slow = True
    tickets = [world.forward("b", Ack(id)) for id in ids]
    world.settle()
    owner.carry_out(0.0, *owner.late.pop())
    world.settle()
    assert codes(world, tickets) == ["", "Done"]
    owner.catch_up(0.0)
    world.settle()
    assert codes(world, tickets) == ["Done", "Done"]


def test_a_frame_is_as_long_as_one_item_or_about_1_mib() -> None:
    """Many large pushes of one turn do not make a frame that no peer accepts; nor do large deliveries."""
    world = World("b")
    body = bytes(frame_body_bytes // 2)
    for n in range(5):
        world.forward("b", Push(body, key=f"{n}"))
    world.settle()
    assert [len(commands) for commands in world.forwards("b")] == [2, 2, 1]
    for _ in range(5):
        world.get(1)
    world.receive("b")
    link = world.links["b"].there
    assert [len(frame.outcomes) for frame in link.sent if isinstance(frame, Forwarded)] == [2, 2, 1]
    world.settle()
    for _ in range(frame_items_max + 1):
        world.forward("b", Ack(id_of("b", 99)))
    world.settle()
    assert [len(commands) for commands in world.forwards("b")[-2:]] == [frame_items_max, 1]


# Bounds (8).


def test_a_node_asks_for_no_more_than_so_much_at_once() -> None:
    """Then it is busy, and nothing was done; each outcome makes room."""
    world = World("b")
    world.owners["b"].is_slow = True
    for _ in range(calls_max):
        world.forward("b", Ack(id_of("b")))
    assert world.code(world.forward("b", Ack(id_of("b")))) == "busy"
    world.settle()
    assert world.code(world.forward("b", Ack(id_of("b")))) == "busy"
    owner = world.owners["b"]
    owner.carry_out(0.0, *owner.late.pop())
    world.settle()
    assert world.code(world.forward("b", Ack(id_of("b")))) == ""


def test_more_than_so_many_calls_under_way_from_one_link_are_busy() -> None:
    """The others are carried out; another link has calls of its own."""
    inbound, link = Inbound("b"), End("a")
    begun = inbound.begin(link, Forward(1, [Get()] * (calls_max + 2)))
    assert len(begun) == calls_max
    inbound.pump()
    assert [frame.outcomes for frame in link.sent if isinstance(frame, Forwarded)] == [
        [(number, Refused("busy", f"{calls_max} commands of one node are under way")) for number in (10_001, 10_002)]
    ]
    assert len(inbound.begin(End("c"), Forward(1, [Get()]))) == 1
    inbound.answer(begun[0][0], Delivered())
    assert len(inbound.begin(link, Forward(calls_max + 3, [Get()]))) == 1


# Deliveries to a peer that can't receive them.


def test_what_was_leased_for_a_link_that_ended_before_it_was_sent_is_given_back() -> None:
    """The lease of what was sent, and lost, ends by itself."""
    world = World("b")
    owner = world.owners["b"]
    owner.push(b"sent", b"unsent", b"late")
    owner.is_slow = True
    for _ in range(3):
        world.get()
    world.receive("b")
    link = world.links["b"]
    owner.carry_out(0.0, *owner.late[0])
    owner.pump()
    owner.carry_out(0.0, *owner.late[1])
    world.cut_there(link)
    owner.carry_out(0.0, *owner.late[2])
    owner.inbound.pump()
    assert owner.inbound.is_quiet
    assert world.left_at("b") == [(b"unsent", 0), (b"late", 0)]
    owner.expire(60.0)
    assert world.left_at("b") == [(b"sent", 1), (b"unsent", 0), (b"late", 0)]


def test_calls_of_peers_are_without_an_answer_until_their_outcomes_are_sent() -> None:
    inbound, link = Inbound("b"), End("a")
    assert inbound.is_quiet
    [(ticket, _)] = inbound.begin(link, Forward(1, [Get()]))
    assert not inbound.is_quiet
    inbound.answer(ticket, Delivered())
    assert not inbound.is_quiet
    inbound.pump()
    assert inbound.is_quiet


# The end of this process.


def test_a_node_that_was_replaced_answers_what_is_pending_at_once() -> None:
    """5.3: with uncertain, if it was sent; it may end before an outcome comes."""
    world = World("b")
    [id] = world.owners["b"].push(b"x")
    sent = [world.forward("b", Ack(id)), world.forward("b", Inspect(id))]
    world.receive("b")
    unsent = world.forward("b", Ack(id))
    world.act(world.outbound.abandon())
    assert codes(world, [*sent, unsent]) == ["uncertain", "owner_down", "owner_down"]
    world.settle()
    assert codes(world, [*sent, unsent]) == ["uncertain", "owner_down", "owner_down"]
    assert len(world.forwards("b")) == 1
    assert world.outbound.is_quiet


@pytest.mark.parametrize("is_sent", [False, True])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_call_that_was_given_up_is_not_answered_again(*, is_sent: bool, is_replaced: bool) -> None:
    """Nor is it sent any more."""
    world = World("b")
    ticket = world.forward("b", Ack(id_of("b")))
    if is_sent:
        world.pump()
    world.advance(5.0)
    assert world.code(ticket) == ("uncertain" if is_sent else "owner_down")
    if is_replaced:
        assert world.outbound.abandon() == []
    world.pump()
    assert len(world.links["b"].here.sent) == is_sent
    world.cut("b")


# Placement (6).


def test_each_key_has_the_same_home_on_every_node_and_moves_only_with_its_member() -> None:
    keys = [f"key {n}" for n in range(300)]
    homes = {key: home_of(key, ("a", "b", "c")) for key in keys}
    assert homes == {key: home_of(key, ("c", "a", "b")) for key in keys}
    assert {"a", "b", "c"} == set(homes.values())
    assert all(home_of(key, ("a", "b")) == home for key, home in homes.items() if home != "c")
