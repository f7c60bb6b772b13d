"""Sections 5.6 and 5.7: when a node is ready, and how peers exchange a third node's messages."""

from dqtw.core.links.frames import Fetched, Open, Role, Synced
from dqtw.core.model.commands import Push

from .lan import Lan, ready


def copies_opened(lan: Lan, since: float) -> list[tuple[str, str, str]]:
    """Return who opened a comparison with whom, about whose messages."""
    return [
        (each.by, each.to, each.frame.owner)
        for each in lan.frames
        if isinstance(each.frame, Open) and each.frame.role is Role.COPY and each.at >= since
    ]


# 5.6 Ready.


def test_5_6_a_node_is_ready_when_it_serves_and_every_replica_is_current() -> None:
    lan = ready("a", "b", "c")
    lan.push("b", b"m")
    lan.kill("a")
    hold = lan.hold(Open, by="b", to="a")
    lan.start("a")
    lan.run(9)
    assert lan.phase("a") != "serving" or not lan["a"].life.was_ready
    assert lan.waits("a")
    lan.release(hold)
    lan.until(lambda: lan["a"].life.was_ready, within_s=5.0)
    assert lan.held("a", "b") == [b"m"]


def test_5_6_the_replica_of_an_owner_that_is_away_comes_from_the_others() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.push("b", b"m")
    lan.run(0.1)
    lan.kill("b")
    lan.kill("a")
    lan.run(4)
    hold = lan.hold(Fetched, to="a")
    lan.start("a", start_wait_s=5.0)
    lan.run(8)
    assert lan.phase("a") == "serving"
    assert not lan["a"].life.was_ready
    assert any("c has yet to send what it holds of b's queue" in wait for wait in lan.waits("a"))
    lan.release(hold)
    lan.until(lambda: lan["a"].life.was_ready, within_s=5.0)
    assert lan.held("a", "b") == [b"m"]


def test_5_6_once_ready_it_stays_ready_when_a_peer_goes() -> None:
    lan = ready("a", "b", "c")
    lan.kill("b")
    lan.run(10)
    assert lan["a"].life.was_ready
    assert lan.waits("a")


def test_5_6_a_rolling_restart_gated_on_readiness_loses_nothing() -> None:
    lan = ready("a", "b", "c", copies=1)
    for name in "abc":
        lan.push(name, name.encode())
    lan.run(0.5)
    for name in "abc":
        lan.kill(name)
        lan.start(name)
        lan.until(lambda name=name: lan[name].life.was_ready, within_s=30.0)  # type: ignore[misc]
    assert sorted(body for name in "abc" for body in lan.bodies(name)) == [b"a", b"b", b"c"]


def test_5_6_a_current_replica_is_not_current_when_the_session_ends() -> None:
    lan = ready("a", "b", "c")
    assert lan.holding("a", "b").is_current
    lan.sever("a", "b")
    assert not lan.holding("a", "b").is_current
    lan.run(2)
    assert lan.holding("a", "b").is_current


# 5.7 Replicas of others.


def test_5_7_while_all_is_well_peers_compare_nothing() -> None:
    lan = ready("a", "b", "c")
    begin = lan.now
    for name in "abc":
        lan.push(name)
    lan.run(5)
    assert copies_opened(lan, begin) == []


def test_5_7_the_node_with_the_smaller_id_opens_while_one_has_no_session_with_the_owner() -> None:
    lan = ready("a", "b", "c", copies=1)
    begin = lan.now
    lan.partition("c", "a")
    lan.run(4)
    lan.push("a", b"m")
    lan.run(0.5)
    assert {("b", "c", "a"), ("a", "b", "c")} == set(copies_opened(lan, begin))
    assert lan.held("c", "a") == [b"m"]
    lan.heal()
    lan.run(6)
    begin = lan.now
    lan.run(5)
    assert copies_opened(lan, begin) == []


def test_5_7_both_ways_what_either_has_is_had_by_both_and_removals_win() -> None:
    lan = ready("a", "b", "c", copies=1)
    ids = [lan.push("a", b"%d" % n) for n in range(4)]
    lan.run(0.1)
    lan.partition("b", "c")
    lan.partition("a", "c")
    lan.run(4)
    lan.ack("a", ids[0])
    lan.push("a", b"at b")
    lan.run(0.1)
    lan.kill("a")
    holding = lan.holding("c", "a")
    assert lan.held("c", "a") == [b"0", b"1", b"2", b"3"]
    removed = holding.replica.remove_one(ids[1][1:])
    assert removed is not None
    lan.heal()
    lan.run(8)
    assert lan.held("b", "a") == lan.held("c", "a") == [b"2", b"3", b"at b"]


def test_5_7_no_peer_calls_a_replica_current() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.push("a", b"m")
    lan.run(0.1)
    lan.kill("a")
    lan.kill("c")
    lan.start("c", start_wait_s=4.0)
    lan.until(lambda: lan.held("c", "a") == [b"m"], within_s=20.0)
    lan.run(2)
    assert lan.sent(Synced)
    assert not lan.holding("c", "a").is_current
    assert not lan.holding("c", "a").was_complete


def test_5_7_what_comes_later_to_one_of_them_is_exchanged_too() -> None:
    lan = ready("a", "b", "c", "d", copies=1)
    lan.partition("d", "a")
    lan.partition("d", "b")
    lan.partition("d", "c")
    lan.push("a", b"1")
    lan.run(0.1)
    lan.kill("a")
    lan.run(5)
    assert lan.held("d", "a") == []
    lan.cut -= {("d", "c"), ("c", "d")}
    lan.run(8)
    assert lan.held("d", "a") == lan.held("b", "a") == [b"1"]


def test_5_7_an_exchange_that_breaks_off_is_taken_up_again() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.kill("c")
    lan.push("a", b"1")
    lan.run(0.1)
    lan.kill("a")
    lan.start("c", start_wait_s=5.0)
    hold = lan.hold(Fetched, by="b", to="c")
    lan.run(6)
    lan.sever("b", "c")
    lan.drop(hold)
    lan.run(5)
    assert lan.held("c", "a") == [b"1"]


def test_5_7_an_owner_that_comes_back_is_not_disturbed() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.push("a", b"m")
    lan.kill("a")
    lan.run(5)
    lan.start("a")
    lan.until(lambda: lan["a"].life.was_ready, within_s=10.0)
    sessions = list(lan["a"].replicator.progress.values())
    lan.run(5)
    assert list(lan["a"].replicator.progress.values()) == sessions
    assert lan.result(lan.ask("a", Push(b"x"))) == "Pushed"


def test_5_7_links_that_come_and_go_leave_nothing_behind() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.kill("a")
    lan.run(5)
    for _ in range(30):
        lan.sever("b", "c")
        lan.run(1.5)
    assert lan.sent(Synced)
    assert len(lan["b"].exchanges._reported) <= 2
    assert len(lan["b"].exchanges._declined) <= 2
    assert len(list(lan["b"]._sessions)) <= 3
