"""Chapter 7: a get that finds nothing here gets what other nodes have ready."""

from typing import Any

import pytest

from dqtw.core.forwarding import outbound
from dqtw.core.links.frames import Forward
from dqtw.core.model.commands import Ack, Get, GiveBack
from dqtw.core.model.errors import Busy, Draining, Fenced, Starting, Uncertain

from .forwarding import World, idle_poll, unreceived
from .naive_owner import id_of


def test_a_get_asks_the_nodes_that_may_have_something_one_after_the_other() -> None:
    world = World("b", "c", "d")
    world.owners["b"].push(b"leased")
    world.owners["b"].lease(0.0)
    world.owners["c"].push(b"ready")
    gets = [world.get() for _ in range(2)]
    for get in gets:
        world.settle()
        assert world.code(get) == "Delivered"
    assert sorted(world.bodies(get) for get in gets) == [[], [b"ready"]]
    assert world.kinds("d") == []
    asked = [command for node in "bc" for commands in world.forwards(node) for command in commands]
    assert all(command == Get() for command in asked)


def test_each_get_begins_with_another_node() -> None:
    world = World("b", "c", "d")
    for node in "bcd":
        world.owners[node].push(*[b"x"] * 4)
    for _ in range(6):
        world.get()
    world.settle()
    assert [len(world.kinds(node)) for node in "bcd"] == [2, 2, 2]


def test_a_get_that_finds_nothing_anywhere_is_empty_at_once() -> None:
    """Also when no node can be asked."""
    world = World("b", "c")
    world.owners["b"].push(b"x")
    world.owners["b"].lease(0.0)
    get = world.get()
    world.settle()
    assert world.bodies(get) == []
    world.cut("b")
    get = world.get()
    world.settle()
    assert world.bodies(get) == []


def test_commands_for_a_node_go_to_its_current_process_only() -> None:
    """A get goes to the link that is current when it is sent, not to the one that was when it began."""
    world = World("b")
    world.owners["b"].push(b"x")
    older = world.links["b"]
    get = world.get()
    world.link("b")
    world.settle()
    assert world.bodies(get) == [b"x"]
    assert not any(isinstance(frame, Forward) for frame in older.here.sent)


@pytest.mark.parametrize("refusal", [Starting(""), Draining(""), Fenced(""), Busy(""), Uncertain("")])
def test_a_get_that_one_node_refuses_goes_on_to_the_next(refusal: Any) -> None:
    world = World("b", "c")
    for node in "bc":
        world.owners[node].push(b"of " + node.encode())
    world.owners["c"].refusal = refusal
    gets = [world.get(), world.get()]
    world.settle()
    assert sorted(world.bodies(get) for get in gets) == [[], [b"of b"]]


def test_a_get_whose_link_fails_goes_on_elsewhere_and_its_lease_ends_by_itself() -> None:
    world = World("b", "c")
    for node in "bc":
        world.owners[node].push(b"of " + node.encode())
    get = world.get(lease_s=30.0)
    world.pump()
    [node] = [node for node in "bc" if unreceived(world, node)]
    world.receive(node)
    world.cut(node)
    world.settle()
    [other] = {"b", "c"} - {node}
    assert world.bodies(get) == [b"of " + other.encode()]
    assert world.left_at(node) == []
    world.advance(30.0)
    assert world.left_at(node) == [(b"of " + node.encode(), 1)]


def test_a_get_is_empty_when_the_only_link_fails() -> None:
    world = World("b")
    world.owners["b"].push(b"x")
    get = world.get()
    world.receive("b")
    world.cut("b")
    world.settle()
    assert world.bodies(get) == []


def test_a_get_does_not_wait_for_a_node_that_does_not_answer_and_gives_back_what_comes_late() -> None:
    world = World("b", "c")
    for node in "bc":
        world.owners[node].push(b"of " + node.encode())
    get = world.get()
    world.pump()
    [node] = [node for node in "bc" if unreceived(world, node)]
    [other] = {"b", "c"} - {node}
    world.receive(node)
    world.settle(other)
    assert world.code(get) == ""
    world.advance(5.0)
    world.settle(other)
    assert world.bodies(get) == [b"of " + other.encode()]
    world.settle()
    assert world.kinds(node) == ["Get", "GiveBack"]
    assert world.left_at(node) == [(b"of " + node.encode(), 0)]


# For a queue whose counts may have been cut.


def test_a_get_asks_each_node_that_it_is_given_once() -> None:
    """Also when nothing is known to be there."""
    world = World("b", "c", "d")
    world.may_have = ["b", "c", "d"]
    get = world.get()
    world.settle()
    assert [world.kinds(node) for node in "bcd"] == [["Get"]] * 3
    assert world.bodies(get) == []


def test_a_get_asks_a_node_that_has_reported_messages_though_nothing_of_it_is_here() -> None:
    """With fewer copies than members not every node holds a replica."""
    world = World("b")
    idle_poll(world)
    world.polls.pop_all()
    world.owners["b"].push(b"x")
    world.settle()
    world.may_have = []
    get = world.get()
    world.settle()
    assert world.bodies(get) == [b"x"]


# A client that is gone gives back.


def test_what_comes_for_a_client_that_is_gone_is_given_back() -> None:
    """Ready at once, the attempt not counted; all of one turn with one frame."""
    world = World("b")
    world.owners["b"].push(b"0", b"1", b"2")
    poll = world.get(3, wait_s=20.0)
    world.receive("b")
    assert world.withdraw(poll)
    world.settle()
    assert [[type(each) for each in commands] for commands in world.forwards("b")] == [[Get], [GiveBack] * 3]
    assert world.left_at("b") == [(b"0", 0), (b"1", 0), (b"2", 0)]
    assert world.code(poll) == ""


def test_what_comes_for_a_poll_that_was_served_here_is_given_back() -> None:
    world = World("b")
    world.owners["b"].push(b"there")
    poll = world.get(wait_s=20.0)
    world.receive("b")
    world.push_here(b"here")
    world.settle()
    assert world.bodies(poll) == [b"here"]
    assert world.left_at("b") == [(b"there", 0)]


def test_a_get_whose_client_is_gone_before_it_is_sent_asks_for_nothing() -> None:
    world = World("b")
    world.owners["b"].push(b"x")
    world.withdraw(world.get())
    world.settle()
    assert world.kinds("b") == []


def test_a_client_of_a_command_that_is_under_way_is_answered_all_the_same() -> None:
    """The one who dropped it takes the answer, too: what it brings may have to be given back."""
    world = World("b")
    ticket = world.forward("b", Ack(id_of("b")))
    assert not world.withdraw(ticket)
    world.settle()
    assert world.code(ticket) == "unknown"


def test_polls_that_are_dismissed_when_their_node_stops_get_nothing_that_comes_later() -> None:
    world = World("b")
    world.owners["b"].push(b"x")
    world.get(wait_s=20.0)
    world.receive("b")
    world.polls.pop_all()
    world.settle()
    assert world.left_at("b") == [(b"x", 0)]


def test_more_is_not_given_back_than_the_bound_of_calls_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is ready again when its leases end."""
    monkeypatch.setattr(outbound, "give_backs_max", 2)
    world = World("b")
    world.owners["b"].push(b"0", b"1", b"2")
    poll = world.get(3, wait_s=20.0)
    world.receive("b")
    world.withdraw(poll)
    world.settle()
    assert world.left_at("b") == [(b"0", 0), (b"1", 0)]
