"""Section 5.5: no process exits of its own will with the only copy of a message."""

from types import SimpleNamespace
from typing import Any

import pytest

from dqtw.core.lifecycle.handover import Handover
from dqtw.core.links.frames import Applied, Declined, Fetched, Leave, Open, Role, Stays, Synced
from dqtw.core.model.commands import Ack, Get, Push
from dqtw.core.model.health import Check

from .lan import Lan, ready
from .stubs import stub_link


def status(lan: Lan, name: str) -> int:
    return lan.departures[name].status.value


def gone(lan: Lan, *names: str, within_s: float = 70.0) -> None:
    lan.until(lambda: set(names) <= set(lan.departures), within_s=within_s)


def test_5_5_a_process_that_is_asked_to_leave_exits_with_0_when_a_staying_node_holds_everything() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.drain("a")
    gone(lan, "a", within_s=1.0)
    assert (status(lan, "a"), lan.departures["a"].messages_lost) == (0, 0)
    assert lan.held("b", "a") == lan.held("c", "a") == [b"m"]


def test_5_5_what_only_it_holds_is_handed_over_first() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.isolate("a")
    lan.push("a", b"only here")
    lan.run(4)
    lan.drain("a")
    lan.run(5)
    assert "a" in lan.nodes
    lan.heal()
    gone(lan, "a", within_s=10.0)
    assert status(lan, "a") == 0
    assert b"only here" in lan.held("b", "a") + lan.held("c", "a")


def test_5_5_a_leaving_process_accepts_nothing_and_finishes_what_is_under_way() -> None:
    lan = ready("a", "b", "c")
    id = lan.push("a", b"m")
    hold = lan.hold(Applied, to="a")
    push, ack = lan.ask("a", Push(b"n")), lan.ask("a", Ack(id))
    poll = lan.ask("a", Get(wait_s=20.0))
    lan.drain("a")
    assert lan.result(poll) == "Delivered"
    assert (lan.result(push), lan.result(ack)) == ("", "")
    assert lan.result(lan.ask("a", Push(b"o"))) == "draining"
    assert lan.result(lan.ask("a", Get())) == "draining"
    lan.run(1)
    assert "a" in lan.nodes
    assert not lan.sent(Leave, by="a")
    lan.release(hold)
    lan.run(0.1)
    assert (lan.result(push), lan.result(ack)) == ("Pushed", "Done")
    gone(lan, "a", within_s=2.0)


def test_5_5_acks_go_on_while_a_process_leaves() -> None:
    lan = ready("a", "b", "c")
    id = lan.push("a", b"m")
    hold = lan.hold(Synced, to="a")
    lan.drain("a")
    lan.run(0.5)
    ticket = lan.ask("a", Ack(id))
    lan.run(0.5)
    assert lan.result(ticket) == "Done"
    lan.release(hold)
    gone(lan, "a", within_s=5.0)
    assert lan.held("b", "a") == []


def test_5_5_only_a_process_that_has_answered_yes_counts_as_staying() -> None:
    one, other, third = (stub_link(node) for node in "bcd")
    cluster: Any = SimpleNamespace(links=[one, other, third])
    handover = Handover(0.0, None)
    handover.ask(cluster)
    handover.answered(one, Stays(1, yes=False))
    handover.answered(other, Stays(1, yes=True))
    handover.answered(third, Stays(7, yes=True))  # no such call
    assert handover.staying(cluster) == [other]
    cluster.links = [one]
    assert handover.staying(cluster) == []


def test_5_5_of_two_nodes_that_are_asked_at_once_neither_relies_on_the_other() -> None:
    lan = ready("a", "b", drain_timeout_s=20.0)
    lan.push("a", b"m")
    lan.drain("a")
    lan.drain("b")
    lan.run(19)
    assert not lan.departures
    gone(lan, "a", "b")
    assert sorted((status(lan, "a"), status(lan, "b"))) == [4, 4]
    assert lan.departures["a"].messages_lost == 1
    assert [each.yes for each in lan.sent(Stays)] == [False, False]


def test_5_5_two_of_three_nodes_that_leave_at_once_hand_all_to_the_third() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.push("a", b"1")
    lan.push("b", b"2")
    lan.drain("a")
    lan.drain("b")
    gone(lan, "a", "b", within_s=5.0)
    assert (status(lan, "a"), status(lan, "b")) == (0, 0)
    assert (lan.held("c", "a"), lan.held("c", "b")) == ([b"1"], [b"2"])


def test_5_5_of_three_of_three_the_last_do_not_exit_with_0() -> None:
    lan = ready("a", "b", "c", drain_timeout_s=10.0)
    lan.push("a", b"m")
    for name in "abc":
        lan.drain(name)
    gone(lan, "a", "b", "c")
    assert {status(lan, name) for name in "abc"} == {4}


def test_5_5_a_peer_that_answered_yes_and_leaves_later_does_not_rely_on_the_first() -> None:
    lan = ready("a", "b", drain_timeout_s=20.0)
    lan.push("a", b"m")
    hold = lan.hold(Synced, to="a")
    lan.drain("a")
    lan.run(0.5)
    assert [each.yes for each in lan.sent(Stays, by="b")] == [True]
    lan.drain("b")
    lan.run(1)
    assert [each.yes for each in lan.sent(Stays, by="a")] == [False]
    lan.release(hold)
    gone(lan, "a", "b")
    assert 4 in (status(lan, "a"), status(lan, "b"))


def test_5_5_from_then_on_it_confirms_nothing_more_to_owners() -> None:
    lan = ready("a", "b", "c", copies=2)
    hold = lan.hold(Synced, to="c")
    lan.drain("c")
    lan.run(0.5)
    assert lan.sent(Leave, by="c")
    lan.kill("b")
    lan.run(0.1)
    begin = lan.now
    assert lan.result(lan.ask("a", Push(b"m"))) == "unreplicated"
    lan.run(0.5)
    assert not lan.sent(Applied, by="c", to="a", since=begin)
    assert not lan["a"].replicator.counted()
    lan.release(hold)


def test_5_5_staying_peers_open_copy_sessions_for_every_replica_whatever_the_ids() -> None:
    lan = ready("a", "b", "c")
    for name in "abc":
        lan.push(name, name.encode())
    begin = lan.now
    hold = lan.hold(Synced, to="b")
    lan.drain("b")
    lan.run(0.5)
    for peer in "ac":
        opened = [each.owner for each in lan.sent(Open, by=peer, to="b", since=begin) if each.role is Role.COPY]
        assert sorted(opened) == ["a", "b", "c"]
    lan.release(hold)


def test_5_5_a_peer_is_done_with_when_its_sessions_said_synced_after_the_last_change() -> None:
    """An ack that comes in after `synced` must be known to the peer, too."""
    lan = ready("a", "b")
    id = lan.push("a", b"m")
    lan.push("a", b"n")
    hold = lan.hold(Stays, to="a")
    lan.drain("a")
    lan.run(0.5)
    late = lan.hold(Open, Synced, Fetched, by="b", to="a")
    ack = lan.ask("a", Ack(id))
    lan.release(hold)
    lan.run(1)
    assert "a" in lan.nodes
    lan.release(late)
    gone(lan, "a", within_s=5.0)
    assert lan.held("b", "a") == [b"n"]
    assert lan.result(ack) in ("Done", "uncertain")


def test_5_5_with_no_staying_node_it_exits_with_4_after_the_drain_timeout_and_counts() -> None:
    lan = ready("a", "b", copies=1, drain_timeout_s=10.0)
    for _ in range(3):
        lan.push("a", b"m")
    lan.push("b", b"of b")
    lan.run(0.1)
    lan.kill("b")
    lan.drain("a")
    lan.run(9.5)
    assert "a" in lan.nodes
    assert any("no other node that stays" in wait for wait in lan.waits("a"))
    gone(lan, "a", within_s=1.0)
    assert (status(lan, "a"), lan.departures["a"].messages_lost) == (4, 4)


def test_5_5_what_a_staying_node_holds_is_not_counted() -> None:
    lan = ready("a", "b", "c", copies=1, drain_timeout_s=10.0)
    for _ in range(3):
        lan.push("a", b"m")
    lan.push("b", b"of b")
    lan.run(0.1)
    hold = lan.hold(Open, to="a", when=lambda frame: frame.owner == "b")
    lan.kill("b")
    lan.drain("a")
    gone(lan, "a", within_s=15.0)
    assert (status(lan, "a"), lan.departures["a"].messages_lost) == (4, 1)
    lan.release(hold)


def test_5_5_an_empty_process_waits_at_most_3_s_for_a_staying_peer() -> None:
    lan = ready("a", "b")
    lan.kill("b")
    lan.drain("a")
    lan.run(2.5)
    assert "a" in lan.nodes
    lan.run(1)
    assert status(lan, "a") == 0


def test_5_5_a_cluster_of_one_exits_with_0_at_once_and_says_how_many_messages_end() -> None:
    lan = ready("a", copies=1)
    lan.push("a", b"m")
    lan.drain("a")
    assert (status(lan, "a"), lan.departures["a"].messages_lost) == (0, 1)


def test_5_5_the_last_copy_of_a_dead_owners_messages_is_handed_over() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.partition("a", "c")
    lan.push("a", b"at b alone")
    lan.run(0.1)
    lan.kill("a")
    lan.partition("b", "c")
    lan.run(4)
    assert lan.held("c", "a") == []
    lan.drain("b")
    lan.run(3)
    assert "b" in lan.nodes
    lan.heal()
    gone(lan, "b", within_s=10.0)
    assert status(lan, "b") == 0
    assert lan.held("c", "a") == [b"at b alone"]


def test_5_5_a_start_that_is_asked_to_leave_hands_over_what_it_has_recovered() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.push("a", b"m")
    lan.run(0.1)
    lan.kill("a")
    lan.kill("c")
    lan.run(4)
    lan.start("a", start_wait_s=60.0)
    lan.until(lambda: lan.held("a", "a") == [b"m"] or lan.phase("a") == "serving")
    lan.drain("a")
    gone(lan, "a", within_s=10.0)
    assert status(lan, "a") == 0
    assert lan.held("b", "a") == [b"m"]


def test_5_5_a_fenced_process_that_is_asked_to_leave_does_not_stay_for_ever() -> None:
    lan = ready("a", "b", "c", copies=1, drain_timeout_s=10.0)
    lan.isolate("a")
    lan.push("a", b"only here")
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving")
    lan.hold(Open, to="a", when=lambda frame: frame.role is Role.COPY)
    lan.heal()
    lan.until(lambda: lan.phase("a") == "fenced")
    lan.drain("a")
    gone(lan, "a", within_s=15.0)
    assert (status(lan, "a"), lan.departures["a"].messages_lost) == (4, 1)


def test_5_5_a_fenced_process_leaves_when_a_peer_has_all_and_is_current_with_the_successor() -> None:
    """A holder that lacks what the successor has is no reason to go: the successor may die."""
    lan = ready("a", "b", "c", copies=1)
    lan.isolate("a")
    lan.push("a", b"only here")
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving")
    lan.run(1)
    hold = lan.hold(Fetched, to="a2")
    lan.heal()
    lan.until(lambda: lan.held("b", "a") == lan.held("c", "a") == [b"only here"], within_s=15.0)
    lan.run(1)
    assert lan.held("a2", "a") == []
    assert not lan.holding("b", "a").is_current
    assert "a" in lan.nodes
    lan.release(hold)
    gone(lan, "a", within_s=5.0)
    assert status(lan, "a") == 3


def test_5_5_what_was_leased_for_its_clients_elsewhere_is_given_back() -> None:
    lan = ready("a", "b", "c", copies=2)
    poll = lan.ask("c", Get(wait_s=20.0))
    lan.run(0.5)
    lan.drain("c")
    lan.run(0.01)
    assert lan.result(poll) == "Delivered"
    lan.push("a", b"m")
    assert lan.bodies("b") == [b"m"]


def test_5_5_a_process_that_may_go_takes_nothing_more() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    lan.drain("a")
    gone(lan, "a")
    assert lan.phase("b") == "serving"
    assert lan.result(lan.ask("b", Push(b"x"))) == "unreplicated"


def test_5_5_notice_of_a_drain_is_reported_and_everything_is_served() -> None:
    lan = ready("a", "b")
    lan["a"].give_notice(lan.clock("a"), 5.0)
    assert lan["a"].health(Check.READY).reasons == ("draining",)
    lan.push("a", b"m")
    assert lan.bodies("a") == [b"m"]


@pytest.mark.parametrize("leaving", ["a", "b", "c"])
def test_5_5_a_rolling_drain_loses_nothing(leaving: str) -> None:
    lan = ready("a", "b", "c", copies=2)
    sent = {name: lan.push(name, name.encode()) for name in "abc"}
    lan.drain(leaving)
    gone(lan, leaving, within_s=5.0)
    lan.run(1)
    lan.start(leaving)
    lan.until(lambda: lan[leaving].life.was_ready, within_s=15.0)
    assert len(sent) == 3
    got = [body for name in "abc" for body in lan.bodies(name)]
    assert sorted(got) == [b"a", b"b", b"c"]


def test_5_5_a_leaving_process_declines_owners() -> None:
    lan = ready("a", "b")
    lan.push("b", b"m")
    hold = lan.hold(Synced, to="b")
    lan.drain("b")
    lan.run(0.5)
    link = lan["a"].cluster.members["b"].links[0]
    own = lan["a"].replicator.incarnation
    link.send(Open(99, "a", Role.OWNER, own, 1))
    lan._turn("a")
    lan.run(0.1)
    assert [each.session for each in lan.sent(Declined, by="b", to="a")][-1:] == [99]
    lan.release(hold)


def test_5_5_a_second_request_to_leave_does_not_extend_the_drain() -> None:
    """The drain ends `--drain-timeout` after the first request."""
    lan = ready("a", "b", drain_timeout_s=10.0)
    lan.push("a", b"m")
    lan.partition("a", "b")
    lan.drain("a")
    lan.run(8)
    lan.drain("a")
    lan.run(3)
    assert status(lan, "a") == 4
