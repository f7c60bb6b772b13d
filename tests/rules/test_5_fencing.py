"""Sections 5.3 and 5.4: a process that was replaced, and one that may have been."""

import pytest

from dqtw.core.links.frames import Applied, Open, Role
from dqtw.core.model.commands import Ack, Command, Get, Inspect, Push
from dqtw.core.model.message import MessageId

from .lan import Lan, pushed, ready


def replaced(copies: int = 3) -> Lan:
    """Return a cluster in which a2 has replaced a, which is cut off and serves on; a message is at each alone."""
    lan = ready("a", "b", "c", copies=copies)
    lan.isolate("a")
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving" and lan["a2"].life.was_ready)
    return lan


# 5.3 Fencing.


def test_5_3_a_process_that_learns_of_its_successor_stops_serving_and_leaves_with_status_3() -> None:
    lan = replaced()
    lan.partition("a", "c")
    lan.cut -= {("a", "b"), ("b", "a")}
    lan.until(lambda: lan.phase("a") == "fenced", within_s=6.0)
    for command in (Push(b"m"), Get()):
        assert lan.result(lan.ask("a", command)) == "fenced"
    lan.heal()
    lan.until(lambda: "a" in lan.departures, within_s=10.0)
    assert lan.departures["a"].status.value == 3


def test_5_3_what_is_pending_is_uncertain_and_what_only_waits_is_refused() -> None:
    lan = ready("a", "b", "c", size=2, push_timeout_s=60.0)
    first, second = lan.push("a", b"1"), lan.push("a", b"2")
    poll_delivers = lan.get("a")
    assert len(poll_delivers) == 2
    lan.isolate("a")
    ack = lan.ask("a", Ack(first))
    push = lan.ask("a", Push(b"3"))
    slot = lan.ask("a", Push(b"4", wait_s=30.0))
    poll = lan.ask("a", Get(wait_s=30.0))
    lan.run(1)
    lan["a"].cluster.learn("a", "0ZZZZZZZZZZZZZZZZZZZZZZZZZ")  # as a status would bring it
    lan.run(0.5)
    results = [lan.result(ticket) for ticket in (ack, push, slot, poll)]
    assert results == ["uncertain", "uncertain", "fenced", "fenced"]
    assert lan.result(lan.ask("a", Ack(second))) == "fenced"


def test_5_3_a_status_is_enough_to_fence() -> None:
    """The peer that accepted the successor sends `fenced`; any other one reports the incarnation."""
    lan = replaced()
    lan.heal()
    lan.until(lambda: "a" in lan.departures, within_s=10.0)
    assert any(name == "a" and "fenced" in what for name, what in lan.events)


def test_5_3_what_only_the_old_process_has_is_handed_over_first() -> None:
    lan = replaced(copies=1)
    lan.push("a", b"only here")
    hold = lan.hold(Open, to="a", when=lambda frame: frame.role is Role.COPY)
    lan.heal()
    lan.run(8)
    assert "a" not in lan.departures
    lan.release(hold)
    lan.until(lambda: "a" in lan.departures, within_s=5.0)
    lan.run(0.5)
    assert lan.held("a2", "a") == lan.held("b", "a") == [b"only here"]


def test_5_3_replicas_of_others_are_handed_over_too() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.partition("b", "c")
    lan.push("b", b"at a alone")
    lan.run(0.1)
    assert lan.held("a", "b") == [b"at a alone"]
    lan.kill("b")
    lan.isolate("a", "b", "c")
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving")
    lan.heal()
    lan.until(lambda: "a" in lan.departures, within_s=20.0)
    assert lan.held("c", "b") == [b"at a alone"]


def test_5_3_a_peer_gets_its_own_messages_back() -> None:
    """The owner never served, and lost its memory; the old process has its messages."""
    lan = ready("a", "b", "c", copies=1, start_wait_s=2.0)
    lan.partition("b", "c")
    lan.push("b", b"of b")
    lan.run(0.1)
    lan.isolate("a", "b", "c")
    lan.kill("b")
    lan.start("b")
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving" and lan.phase("b") == "serving")
    assert lan.held("b", "b") == []
    lan.heal()
    lan.until(lambda: "a" in lan.departures, within_s=20.0)
    lan.run(0.5)
    assert lan.bodies("b") == [b"of b"]


def test_5_3_a_process_that_was_fenced_by_one_that_died_starts_anew_with_all_it_holds() -> None:
    lan = replaced(copies=1)
    lan.push("a", b"only here")
    boot = lan["a"].cluster.boot
    old = lan["a"].replicator.incarnation
    lan.partition("b", "c")
    lan.kill("a2")
    lan.cut -= {("a", "b"), ("b", "a")}
    lan.until(lambda: lan.phase("a") == "fenced", within_s=6.0)
    lan.heal()
    lan.until(lambda: lan.phase("a") == "serving", within_s=15.0)
    new = lan["a"].replicator.incarnation
    assert old is not None
    assert new is not None
    assert new > max(old, "")
    assert lan["a"].cluster.boot != boot
    assert "a" not in lan.departures
    assert lan.bodies("a") == [b"only here"]
    assert pushed(lan.do("a", Push(b"more"))).id.incarnation == new


def test_5_3_a_greater_incarnation_that_only_a_late_peer_knows_does_not_end_a_start_for_ever() -> None:
    lan = ready("a", "b", "c", start_wait_s=3.0)
    lan.isolate("c")
    lan["c"].cluster.learn("a", "01ZZZZZZZZ0000000000000000")
    lan.kill("a")
    lan.start("a")
    lan.until(lambda: lan.phase("a") == "serving")
    lan.heal()
    lan.until(lambda: lan["a"].replicator.incarnation is not None and lan["a"].replicator.incarnation > "01ZZ", 20.0)
    lan.until(lambda: lan.phase("a") == "serving" and lan["a"].life.was_ready, within_s=20.0)


def test_5_3_while_a_successor_is_heard_the_process_stays_fenced() -> None:
    lan = replaced(copies=1)
    lan.push("a", b"only here")
    hold = lan.hold(Open, to="a")
    lan.heal()
    lan.until(lambda: lan.phase("a") == "fenced", within_s=8.0)
    for _ in range(20):
        lan.run(1)
        assert lan.phase("a") == "fenced"
    lan.release(hold)
    lan.until(lambda: "a" in lan.departures)


def test_5_3_a_third_process_takes_over_when_the_first_is_fenced_and_the_second_dead() -> None:
    lan = replaced()
    lan.kill("a2")
    lan.heal()
    lan.start("a3", node="a")
    lan.run(20)
    serving = [name for name in ("a", "a3") if name in lan.nodes and lan.phase(name) == "serving"]
    assert len(serving) == 1


def test_5_3_a_fenced_process_removes_and_delivers_nothing_as_long_as_it_stays() -> None:
    lan = replaced(copies=1)
    id = lan.push("a", b"only here")
    hold = lan.hold(Open, to="a")
    lan.heal()
    lan.until(lambda: lan.phase("a") == "fenced", within_s=8.0)
    assert lan.result(lan.ask("a", Get(wait_s=5.0))) == "fenced"
    assert lan.result(lan.ask("a", Ack(id))) == "fenced"
    assert lan.result(lan.ask("a", Inspect(id))) == "fenced"
    assert lan.held("a", "a") == [b"only here"]
    lan.release(hold)


# 5.4 After a pause.


def paused(replace: bool, **options: int) -> Lan:
    """Return a cluster in which a was paused for 10 s with a message ready, replaced meanwhile or not."""
    lan = ready("a", "b", "c", **options)
    lan.push("a", b"m")
    lan.pause("a")
    if replace:
        lan.start("a2", node="a")
        lan.until(lambda: lan.phase("a2") == "serving" and lan["a2"].life.was_ready)
    else:
        lan.run(10)
    return lan


@pytest.mark.parametrize("timers_first", [True, False])
def test_5_4_a_process_that_was_replaced_while_it_was_paused_delivers_nothing(timers_first: bool) -> None:
    lan = paused(replace=True)
    poll = lan.ask("a2", Get())
    lan.run(0.1)
    assert lan.result(poll) == "Delivered"
    lan.resume("a", timers_first=timers_first)
    tickets = [lan.ask("a", Get()), lan.ask("a", Get(wait_s=10.0)), lan.ask("a", Get(ack_now=True))]
    lan.run(15)
    assert {lan.result(ticket) for ticket in tickets} <= {"fenced", "starting"}
    assert "a" in lan.departures


@pytest.mark.parametrize("timers_first", [True, False])
def test_5_4_a_poll_that_waited_through_the_pause_gets_nothing_of_a_replaced_process(timers_first: bool) -> None:
    lan = ready("a", "b", "c")
    id = lan.push("a", b"m")
    (delivery,) = lan.get("a", lease_s=4.0)
    poll = lan.ask("a", Get(wait_s=30.0))
    lan.run(0.1)
    lan.pause("a")
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving" and lan["a2"].life.was_ready)
    assert delivery.receipt.id == id
    lan.resume("a", timers_first=timers_first)  # the lease has ended
    lan.run(15)
    assert lan.result(poll) == "fenced"


def test_5_4_a_replaced_process_removes_nothing() -> None:
    lan = paused(replace=True)
    id = next(iter(lan.holding("a", "a").replica.live_dots))
    lan.resume("a")
    ticket = lan.ask("a", Ack(MessageId("a", *id)))
    lan.run(10)
    assert lan.result(ticket) in ("fenced", "starting", "uncertain")
    assert lan.held("a2", "a") == [b"m"]


@pytest.mark.parametrize("copies", [1, 3])
def test_5_4_a_keyed_push_in_a_replaced_process_is_not_a_second_message(copies: int) -> None:
    lan = paused(replace=True, copies=copies)
    key = lan.key_of("a")
    lan.push("a2", b"k", key=key)
    lan.resume("a")
    ticket = lan.ask("a", Push(b"k", key=key))
    assert lan.result(ticket) == ""
    lan.run(15)
    assert lan.result(ticket) in ("fenced", "starting")
    assert lan.held("a2", "a") == [b"m", b"k"]


def test_5_4_a_process_that_was_only_paused_goes_on_when_each_member_has_answered() -> None:
    lan = paused(replace=False)
    lan.resume("a")
    get = lan.ask("a", Get())
    keyed = lan.ask("a", Push(b"k", key=lan.key_of("a")))
    assert (lan.result(get), lan.result(keyed)) == ("", "")
    lan.run(2)
    assert (lan.result(get), lan.result(keyed)) == ("Delivered", "Pushed")


def test_5_4_all_sessions_are_gone_first() -> None:
    lan = paused(replace=False)
    sessions = list(lan["a"].replicator.progress.values())
    assert len(sessions) == 2
    lan.resume("a")
    assert not set(sessions) & set(lan["a"].replicator.progress.values())
    assert not any(session.link.is_up for session in sessions)


def test_5_4_unreachable_counts_from_the_end_of_the_pause() -> None:
    """The link to the only peer happened to be down when the process was paused."""
    lan = ready("a", "b", copies=1)
    lan.push("a", b"m")
    lan.partition("a", "b")
    lan.run(2.9)
    lan.pause("a")
    lan.run(10)
    lan.resume("a")
    get = lan.ask("a", Get())
    lan.run(2.5)
    assert lan.result(get) == ""
    lan.run(1)
    assert lan.result(get) == "Delivered"


def test_5_4_a_member_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    lan = ready("a", "b", "c", copies=1, start_wait_s=5.0)
    lan.push("a", b"m")
    lan.pause("a")
    lan.run(5)
    lan.mute("b", "a")
    lan.resume("a")
    get = lan.ask("a", Get())
    lan.run(4)
    assert lan.result(get) == "Delivered"


def test_5_4_requests_wait_at_most_10_s_and_are_bounded_in_number() -> None:
    lan = ready("a", "b", copies=1, max_waiting=3, start_wait_s=60.0)
    lan.push("a", b"m")
    lan.pause("a")
    lan.run(5)
    lan.hold(Open, by="a", to="b")
    lan.resume("a")
    tickets = [lan.ask("a", Get()) for _ in range(4)]
    assert lan.result(tickets[3]) == "busy"
    lan.run(9.5)
    assert lan.result(tickets[0]) in ("", "starting")
    lan.run(1)
    assert lan.result(tickets[0]) in ("starting", "Delivered")


def test_5_4_a_client_that_is_gone_while_its_get_waits_gets_nothing() -> None:
    lan = paused(replace=False)
    lan.resume("a")
    get = lan.ask("a", Get())
    assert lan["a"].withdraw(lan.now, get)
    lan.run(3)
    assert lan.result(get) == ""
    assert lan.bodies("a") == [b"m"]


def test_5_4_a_short_pause_changes_nothing() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    sessions = list(lan["a"].replicator.progress.values())
    lan.pause("a")
    lan.run(1.7)
    lan.resume("a")
    assert lan.result(lan.ask("a", Get())) == "Delivered"
    assert list(lan["a"].replicator.progress.values()) == sessions


def test_5_4_a_mere_loss_of_links_makes_no_request_wait() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    lan.sever("a", "b")
    assert lan.result(lan.ask("a", Get())) == "Delivered"


def test_5_4_a_holder_that_was_paused_confirms_nothing_from_its_buffers() -> None:
    """It may have been replaced, and have confirmed to a process that was replaced."""
    lan = ready("a", "b", "c", copies=2)
    lan.kill("c")
    lan.pause("b")
    lan.ask("a", Push(b"m"))
    lan.run(2.5)
    lan.resume("b", timers_first=False)
    assert lan.held("b", "a") == []
    assert lan.sent(Applied, by="b", since=lan.now) == []


@pytest.mark.parametrize("command", [Get(), Push(b"x", key="0")], ids=["get", "keyed push"])
def test_5_4_what_waits_is_refused_when_the_process_turns_out_to_be_replaced(command: Command) -> None:
    lan = paused(replace=True)
    command = Push(b"x", key=lan.key_of("a")) if isinstance(command, Push) else command
    lan.resume("a")
    ticket = lan.ask("a", command)
    lan.run(10)
    assert lan.result(ticket) == "fenced"
