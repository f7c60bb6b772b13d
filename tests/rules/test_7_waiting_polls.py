"""Chapter 7: a node asks for the polls that wait at it when another one reports messages."""

from typing import Any

import pytest

from dqtw.core.links.frames import Delta, Forward, Forwarded, Interest
from dqtw.core.model.errors import Starting

from .forwarding import World, idle_poll
from .naive_owner import End

# Each owner learns which queues polls wait for, bounded by ``--max-waiting``.


def interests(world: World, node: str) -> list[list[str]]:
    return [frame.queues for to, frame in world.frames if to == node and isinstance(frame, Interest)]


def test_the_queues_that_polls_wait_for_are_sent_to_each_node_when_they_change() -> None:
    world = World("b", "c")
    world.settle()
    assert interests(world, "b") == []
    poll = idle_poll(world)
    idle_poll(world)
    assert interests(world, "b") == interests(world, "c") == [["default"]]
    world.cut("b")
    world.link("b")
    world.settle()
    assert (interests(world, "b"), interests(world, "c")) == ([["default"]] * 2, [["default"]])
    world.polls.pop_all()
    world.advance(5.1)
    world.settle()
    assert interests(world, "c") == [["default"], []]
    assert world.code(poll) == ""


def test_a_queue_stays_of_interest_for_a_while_after_its_last_poll() -> None:
    """A worker that polls again and again does not cost two frames for each of its polls."""
    world = World("b")
    for _ in range(10):
        idle_poll(world)
        world.push_here(b"x")
        world.advance(4.0)
        world.settle()
    assert interests(world, "b") == [["default"]]


def test_the_interest_goes_before_the_gets_of_its_turn() -> None:
    """What becomes ready after the get found nothing must be reported."""
    world = World("b")
    world.owners["b"].push(b"x")
    world.get(wait_s=20.0)
    world.pump()
    link = world.links["b"].here
    assert [type(frame) for frame in link.sent] == [Interest, Forward]


def test_no_more_queues_are_of_interest_than_requests_may_wait() -> None:
    """Those for which polls wait now come first."""
    world = World("b", max_waiting=3)
    sent = []
    for queues in (["a", "b", "c", "d"], ["e"], ["f", "g", "h"]):
        world.outbound.interest(world.now, queues)
        world.outbound.pump(world.now, world.polls)
        link = world.links["b"].here
        sent.append(link.sent.pop())
    assert sent == [Interest(["a", "b", "c"]), Interest(["a", "b", "e"]), Interest(["f", "g", "h"])]


# As many polls are sent as there are messages.


def test_a_poll_that_waits_is_sent_to_the_node_that_reports_messages() -> None:
    """Within a round trip, without an interval."""
    world = World("b", "c")
    poll = idle_poll(world)
    world.owners["c"].push(b"wake")
    world.settle()
    assert world.bodies(poll) == [b"wake"]
    assert world.kinds("b") == []


def test_a_poll_that_waits_gets_a_message_whose_lease_or_delay_ends_elsewhere() -> None:
    world = World("b")
    world.owners["b"].push(b"x")
    world.owners["b"].lease(0.0, 3.5)
    poll = idle_poll(world)
    world.advance(3.4)
    world.settle()
    assert world.code(poll) == ""
    world.advance(0.1)
    world.settle()
    assert world.bodies(poll) == [b"x"]


def test_a_node_that_begins_to_deliver_is_asked_again() -> None:
    """It refused while it was starting, and its count did not rise."""
    world = World("b")
    owner = world.owners["b"]
    owner.push(b"x")
    owner.refusal = Starting("")
    poll = idle_poll(world)
    world.advance(1.0)
    world.settle()
    asked = len(world.kinds("b"))
    world.advance(1.0)
    world.settle()
    assert len(world.kinds("b")) == asked
    owner.refusal = None
    for end in owner.interest:
        owner.report(end)
    world.settle()
    assert world.bodies(poll) == [b"x"]


def test_as_many_polls_are_sent_to_a_node_as_it_has_messages_ready() -> None:
    """The first that wait; the others wait on."""
    world = World("b")
    polls = [idle_poll(world) for _ in range(9)]
    world.owners["b"].push(b"0", b"1")
    world.settle("b")
    assert [world.code(poll) for poll in polls] == ["Delivered"] * 2 + [""] * 7
    assert [world.bodies(poll) for poll in polls[:2]] == [[b"0"], [b"1"]]
    assert len(world.kinds("b")) == 3  # and one that shows that nothing is left


def test_polls_that_are_under_way_to_a_node_are_not_sent_there_again() -> None:
    world = World("b")
    for _ in range(5):
        idle_poll(world)
    owner = world.owners["b"]
    owner.is_slow = True
    owner.push(b"0", b"1")
    world.settle()
    [end] = owner.interest
    owner.report(end)
    world.settle()
    assert world.kinds("b") == ["Get", "Get"]
    owner.push(b"2")
    owner.report(end)
    world.settle()
    assert world.kinds("b") == ["Get", "Get", "Get"]


def test_a_report_of_messages_that_others_got_costs_one_get_for_each_poll_and_no_more() -> None:
    world = World("b", "c")
    poll = idle_poll(world)
    world.owners["b"].push(b"first")
    world.owners["b"].pump()
    world.owners["b"].lease(0.0)
    world.settle()
    world.advance(1.0)
    world.settle()
    assert world.kinds("b") == ["Get"]
    assert world.code(poll) == ""
    world.owners["c"].push(b"second")
    world.settle()
    assert world.bodies(poll) == [b"second"]


def test_a_report_that_comes_while_a_poll_is_asked_for_elsewhere_is_kept() -> None:
    world = World("b", "c")
    world.owners["c"].push(b"taken")
    world.owners["c"].lease(0.0)
    world.owners["c"].is_slow = True
    poll = idle_poll(world)
    world.owners["b"].push(b"fresh")
    world.settle("b")
    assert world.code(poll) == ""
    world.owners["c"].is_slow = False
    world.owners["c"].catch_up(0.0)
    world.settle()
    assert world.bodies(poll) == [b"fresh"]


def test_a_report_that_overtakes_the_outcome_of_a_get_that_found_nothing_is_kept() -> None:
    """The message came after the get, in one turn, and its report goes first."""
    world = World("b")
    owner = world.owners["b"]
    owner.push(b"leased")
    owner.lease(0.0)
    poll = world.get(wait_s=20.0)
    world.pump()
    while world.to_owner(world.links["b"]):
        pass
    owner.push(b"fresh")
    [end] = owner.interest
    owner.report(end)
    owner.was_empty = False
    owner.inbound.pump()
    assert [type(frame) for frame in end.sent][-2:] == [Delta, Forwarded]
    world.settle()
    assert world.bodies(poll) == [b"fresh"]


def test_messages_that_were_ready_all_along_go_to_the_polls_that_wait_without_a_report() -> None:
    """A count that does not rise from 0 is not reported."""
    world = World("b")
    owner = world.owners["b"]
    owner.push(b"0", b"1", b"2")
    owner.was_empty = False
    first, *others = [world.get(wait_s=20.0) for _ in range(3)]
    for ticket in others:
        world.polls.leave(ticket)
    world.settle()
    assert world.bodies(first) == [b"0"]
    for end in owner.interest:
        owner.interest[end] = set()  # it reports nothing more
    for _ in range(2):
        world.get(wait_s=20.0)
    world.settle()
    assert owner.ready() == []


def test_a_poll_waits_on_when_the_node_that_reported_does_not_answer() -> None:
    """It is asked again: one get at a time, so that a slow node does not lease in vain for all."""
    world = World("b")
    owner = world.owners["b"]
    polls = [idle_poll(world) for _ in range(5)]
    owner.is_slow = True
    owner.push(*[b"x"] * 5)
    world.settle()
    assert len(world.kinds("b")) == 5
    world.advance(5.0)
    world.settle()
    assert len(world.kinds("b")) == 6
    owner.is_slow = False
    owner.catch_up(world.now)
    world.settle()
    assert [world.code(poll) for poll in polls] == ["Delivered"] * 5
    assert owner.ready() == []


def test_reports_of_a_link_that_is_not_the_current_one_send_no_poll_there() -> None:
    """Of two processes of a node, commands go to one."""
    world = World("b")
    poll = idle_poll(world)
    older = world.links["b"].here
    older.sent.clear()
    world.link("b")
    world.outbound.reported(older, {"default": 3})
    world.settle()
    assert not older.sent
    assert world.code(poll) == ""


@pytest.mark.parametrize("ready", [{}, {"default": 0}, {"default": -5}, {"other": 9}])
def test_a_report_of_nothing_sends_no_poll(ready: dict[str, int]) -> None:
    world = World("b")
    idle_poll(world)
    link = world.links["b"].here
    world.outbound.reported(link, ready)
    world.settle()
    assert world.kinds("b") == []
    world.outbound.reported(End("b"), {"default": 1})  # of a link that is down
    world.settle()
    assert world.kinds("b") == []


def test_a_poll_that_waits_in_vain_is_empty_when_its_time_is_over() -> None:
    """Also when another node is being asked just then; what comes is given back."""
    world = World("b")
    world.owners["b"].push(b"x")
    poll = world.get(wait_s=2.0)
    world.receive("b")
    world.advance(2.0)
    assert world.bodies(poll) == []
    world.settle()
    assert world.left_at("b") == [(b"x", 0)]


def test_idle_polls_cost_no_calls() -> None:
    world = World("b", "c")
    world.owners["b"].push(b"leased")
    world.owners["b"].lease(0.0)
    for _ in range(3):
        idle_poll(world)
    before = len(world.kinds("b"))
    for _ in range(10):
        world.advance(1.0)
        world.settle()
    assert (len(world.kinds("b")), world.kinds("c")) == (before, [])


def test_a_turn_costs_one_look_at_each_poll_that_waits() -> None:
    """Thousands may wait, and be sent at once."""
    looks = 0

    class Looked(dict[int, Any]):
        def __contains__(self, ticket: object) -> bool:
            nonlocal looks
            looks += 1
            return super().__contains__(ticket)

    world = World("b", "c")
    for _ in range(300):
        world.get(wait_s=30.0)
    world.settle()
    world.outbound._gets = Looked(world.outbound._gets)
    for node in "bc":
        link = world.links[node].here
        world.outbound.reported(link, {"default": 150})
    world.pump()
    assert len(world.outbound._gets) == 300
    assert looks <= 300
