"""Section 5.1: a process starts, takes an incarnation, recovers what its peers hold, and serves."""

import pytest

from dqtw.core.links.frames import Fetched, Open, Opened, PageRead, Role
from dqtw.core.model.commands import Get, Push
from dqtw.core.model.incarnation import fresh_incarnation

from .lan import Lan, pushed, ready, wall_ms_at_start


def serves(lan: Lan, name: str) -> bool:
    return lan.phase(name) == "serving"


def time_of(incarnation: str | None) -> str:
    assert incarnation is not None
    return incarnation[:10]


# The incarnation.


def test_5_1_the_incarnation_is_the_ulid_of_now() -> None:
    lan = Lan("a")
    assert time_of(lan["a"].replicator.incarnation) == fresh_incarnation(wall_ms_at_start + 100_000, bytes(10))[:10]


@pytest.mark.parametrize("behind_ms", [1, 1000, 3_600_000])
def test_5_1_with_a_clock_that_is_behind_the_incarnation_is_greater_all_the_same(behind_ms: int) -> None:
    lan = ready("a", "b")
    before = lan["a"].replicator.incarnation
    lan.kill("a")
    lan.start("a", wall_ms=wall_ms_at_start - behind_ms)
    lan.until(lambda: serves(lan, "a"))
    after = lan["a"].replicator.incarnation
    assert before is not None
    assert after is not None
    assert after > before


def test_5_1_two_starts_at_once_with_clocks_behind_take_different_incarnations() -> None:
    """Their witnesses are cut off from each other, and both know the same greatest incarnation."""
    lan = ready("a", "b", "c", copies=2)
    lan.push("a", b"m")
    lan.run(0.1)
    lan.kill("a")
    lan.partition("b", "c")
    lan.run(4)
    lan.start("a2", node="a", wall_ms=1, start_wait_s=1.0)
    lan.start("a3", node="a", wall_ms=1, start_wait_s=1.0)
    for one, other in (("a2", "c"), ("a3", "b")):
        lan.partition(one, other)
    lan.until(lambda: serves(lan, "a2") and serves(lan, "a3"))
    two, three = lan["a2"].replicator.incarnation, lan["a3"].replicator.incarnation
    assert time_of(two) == time_of(three)
    assert two != three
    lan.push("a2", b"two")
    lan.push("a3", b"three")
    lan.heal()
    lan.until(lambda: lan.departures, within_s=20.0)
    lan.run(1)
    (survivor,) = {"a2", "a3"} & set(lan.nodes)
    assert sorted(lan.held(survivor, "a")) == [b"m", b"three", b"two"]


def test_5_1_a_time_after_the_year_3084_is_accepted_from_no_peer() -> None:
    lan = ready("a", "b")
    assert not lan["b"].cluster.learn("a", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ")
    last = "0ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    assert lan["b"].cluster.learn("a", last)
    assert fresh_incarnation(1, bytes(10), last) == ""


def test_5_1_what_the_peers_know_is_heard_before_the_incarnation_is_taken() -> None:
    lan = ready("a", "b", "c")
    lan.kill("a")
    lan.partition("a", "c")
    lan.start("a")
    lan.run(2.5)
    assert lan["a"].replicator.incarnation is None
    lan.run(1)
    assert lan["a"].replicator.incarnation is not None


def test_5_1_no_session_is_opened_without_an_incarnation() -> None:
    lan = ready("a", "b", "c")
    lan.kill("a")
    lan.partition("a", "c")
    begin = lan.now
    lan.start("a")
    lan.run(2.5)
    assert [each for each in lan.sent(Open, by="a", since=begin) if each.role is Role.OWNER] == []


# When it serves.


def test_5_1_a_whole_cluster_starts_at_once_with_nothing_to_recover() -> None:
    lan = Lan("a", "b", "c")
    lan.run(0.1)
    assert all(serves(lan, name) for name in "abc")
    lan.run(0.5)
    assert all(node.life.was_ready for node in lan.nodes.values())


def test_5_1_all_nodes_restart_at_once() -> None:
    """Each declines until it has taken an incarnation, and is asked again."""
    lan = ready("a", "b", "c")
    for name in "abc":
        lan.push(name, name.encode())
    for name in "abc":
        lan.kill(name)
    for name in "abc":
        lan.start(name)
    lan.run(5)
    assert all(node.life.was_ready for node in lan.nodes.values())
    assert lan.bodies("a") == []


def test_5_1_a_a_start_serves_when_it_has_recovered_from_every_member() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.kill("a")
    hold = lan.hold(PageRead, by="c", to="a")
    lan.start("a", start_wait_s=1.0)
    lan.until(lambda: "b" in lan.in_session("a"))
    lan.run(2.5)
    assert not serves(lan, "a")
    lan.release(hold)
    lan.run(0.1)
    assert serves(lan, "a")
    assert lan["a"].life.recovery.is_whole
    assert lan.bodies("a") == [b"m"]


def test_5_1_recovered_is_when_the_last_message_has_come() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.kill("a")
    hold = lan.hold(Fetched, to="a")
    lan.start("a")
    lan.until(lambda: lan.in_session("a") == {"b", "c"})
    lan.run(0.5)
    assert not serves(lan, "a")
    assert any("1 more messages" in wait for wait in lan.waits("a"))
    lan.release(hold)
    lan.run(0.1)
    assert serves(lan, "a")


def test_5_1_what_two_peers_have_is_recovered_when_one_has_given_it() -> None:
    """What another peer brings leaves `need`, or the start would wait for ever."""
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.kill("a")
    lan.run(4)
    lan.hold(Fetched, by="b", to="a")
    lan.start("a")
    lan.until(lambda: lan.held("a", "a") == [b"m"])
    assert lan["a"].replicator.needed == 0


def test_5_1_b_a_complete_replica_is_enough_when_the_rest_is_unreachable() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.kill("a")
    lan.kill("c")
    lan.start("a", start_wait_s=60.0)
    lan.run(2.5)
    assert not serves(lan, "a")
    lan.run(1.0)
    assert serves(lan, "a")
    assert lan["a"].life.recovery.is_whole
    assert lan.bodies("a") == [b"m"]


def test_5_1_b_a_replica_of_a_process_that_lost_its_memory_is_not_enough() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.isolate("c", "a", "b")
    lan.kill("a")
    lan.kill("b")
    lan.start("b")
    lan.start("a", start_wait_s=60.0)
    lan.run(30)
    assert not serves(lan, "a")
    lan.heal()
    lan.until(lambda: serves(lan, "a"))
    assert lan.bodies("a") == [b"m"]


def test_5_1_b_a_replica_that_was_synced_by_a_start_that_knew_nothing_is_not_complete() -> None:
    """Both have lost their memory, and are equal; the third node is away."""
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.isolate("c", "a", "b")
    lan.kill("a")
    lan.kill("b")
    lan.start("b")
    lan.start("a", start_wait_s=60.0)
    lan.run(5)
    assert lan.holding("b", "a").is_current
    lan.kill("a")
    lan.start("a", start_wait_s=60.0)
    lan.run(10)
    assert not serves(lan, "a")


def test_5_1_b_with_fewer_copies_more_complete_replicas_are_needed() -> None:
    """With K = 2 of 4 a message may be on the two nodes that are away, of which one is the owner."""
    lan = ready("a", "b", "c", "d", copies=2)
    for name in "abc":
        lan.kill(name)
    lan.start("c", start_wait_s=1.0)
    lan.run(5)
    lan.start("a", start_wait_s=60.0)
    lan.run(10)
    assert not serves(lan, "a")
    assert len(lan["a"].life.recovery.complete) < 3


def test_5_1_b_m_minus_k_plus_1_complete_replicas_are_enough() -> None:
    lan = ready("a", "b", "c", copies=2)
    lan.kill("a")
    lan.kill("c")
    lan.start("a", start_wait_s=60.0)
    lan.run(10)
    assert not serves(lan, "a")  # 2 are needed
    lan.start("c")
    lan.until(lambda: serves(lan, "a"))


def test_5_1_b_what_was_recovered_stays_recovered_when_a_session_ends() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.kill("a")
    hold = lan.hold(PageRead, by="c", to="a")
    lan.start("a", start_wait_s=60.0)
    lan.until(lambda: "b" in lan.in_session("a"))
    lan.run(0.1)
    lan.kill("b")
    lan.run(0.1)
    lan.release(hold)
    lan.run(0.1)
    assert serves(lan, "a")


def test_5_1_c_after_the_start_wait_it_serves_without_those_that_are_unreachable() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    for name in "abc":
        lan.kill(name)
    lan.start("a", start_wait_s=5.0)
    lan.run(4.9)
    assert not serves(lan, "a")
    lan.run(0.5)
    assert serves(lan, "a")
    assert not lan["a"].life.recovery.is_whole


def test_5_1_c_a_peer_that_sends_is_waited_for_beyond_the_start_wait() -> None:
    lan = ready("a", "b")
    for _ in range(12):
        lan.push("a", b"m" * 600_000)
    lan.kill("a")
    lan.run(4)
    lan.start("a", start_wait_s=1.0)
    for _ in range(5):
        hold = lan.hold(Fetched, by="b", to="a")
        lan.run(2.5)
        assert not serves(lan, "a")
        lan.release(hold)
        lan.run(0.003)
    lan.until(lambda: serves(lan, "a"))
    assert len(lan.held("a", "a")) == 12


def test_5_1_c_a_peer_that_is_linked_and_sends_no_page_is_waited_for_no_longer() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    lan.kill("a")
    lan.hold(Opened, PageRead, by="b", to="a")
    lan.start("a", start_wait_s=4.0)
    lan.run(6.5)
    assert serves(lan, "a")


def test_5_1_c_a_link_that_flaps_does_not_hold_up_a_start_for_ever() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    lan.kill("a")
    lan.hold(Opened, PageRead, by="b", to="a")
    lan.start("a", start_wait_s=5.0)
    for _ in range(10):
        lan.run(1.9)
        lan.sever("a", "b")
    assert serves(lan, "a")


@pytest.mark.parametrize("refuses", ["the peer", "this node"])
def test_5_1_a_peer_that_refuses_is_not_unreachable(refuses: str) -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    lan.kill("a")
    by = "b" if refuses == "the peer" else "a"
    lan.refuses = lambda asker, asked: "another secret" if asked == by else ""
    lan.start("a", start_wait_s=2.0)
    lan.run(30)
    assert not serves(lan, "a")
    assert any("refuses" in wait for wait in lan.waits("a"))
    lan.refuses = lambda asker, asked: ""
    lan.until(lambda: serves(lan, "a"))
    assert lan.bodies("a") == [b"m"]


def test_5_1_a_member_of_another_cluster_is_not_unreachable() -> None:
    lan = Lan("a", "b")
    lan.kill("b")
    lan.start("b", cluster="other")
    lan.kill("a")
    lan.start("a", start_wait_s=2.0)
    lan.run(10)
    assert not serves(lan, "a")
    assert any("cluster" in wait for wait in lan.waits("a"))


def test_5_1_a_peer_that_is_leaving_is_not_waited_for_for_ever() -> None:
    lan = ready("a", "b", "c")
    lan.push("b", b"only at b and c")
    lan.kill("a")
    lan.kill("c")
    lan.drain("b")
    lan.run(4)
    assert "b" in lan.nodes  # with nobody to hand over to
    lan.start("a", start_wait_s=5.0)
    lan.until(lambda: serves(lan, "a"), within_s=15.0)


def test_5_1_the_start_wait_counts_from_the_end_of_a_pause() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    lan.kill("a")
    lan.run(4)
    lan.start("a", start_wait_s=10.0)
    lan.partition("a", "b")
    lan.pause("a")
    lan.run(30)
    lan.resume("a")
    lan.run(8)
    assert not serves(lan, "a")
    lan.heal()
    lan.until(lambda: serves(lan, "a"))
    assert lan.bodies("a") == [b"m"]


def test_5_1_a_start_refuses_clients_and_says_what_it_waits_for() -> None:
    lan = Lan("a", "b")
    lan.kill("b")
    lan.kill("a")
    lan.start("a")
    lan.run(5)
    assert lan.result(lan.ask("a", Push(b"m"))) == "starting"
    assert lan.result(lan.ask("a", Get())) == "starting"
    assert any("b cannot be reached" in wait for wait in lan.waits("a"))


def test_5_1_polls_at_other_nodes_wake_up_when_an_owner_begins_to_deliver() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.kill("a")
    lan.run(0.1)
    poll = lan.ask("b", Get(wait_s=30.0))
    lan.run(0.5)
    lan.start("a")
    lan.run(5)
    assert lan.result(poll) == "Delivered"


def test_5_1_a_message_keeps_its_age_from_owner_to_owner() -> None:
    lan = ready("a", "b", clocks_apart_s=5000.0)
    born = lan.now
    lan.push("a", b"m")
    lan.run(20)
    lan.kill("a")
    lan.start("a")
    lan.until(lambda: serves(lan, "a"))
    (message,) = [each for _, each in lan.holding("a", "a").replica.messages()]
    assert lan.clock("a") - message.born_s == pytest.approx(lan.now - born, abs=0.1)


def test_5_1_a_message_larger_than_this_nodes_limit_is_recovered_all_the_same() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m" * 5000)
    lan.kill("a")
    lan.run(0.1)
    lan.start("a", max_message=100)
    lan.until(lambda: serves(lan, "a"))
    assert lan.bodies("a") == [b"m" * 5000]
    assert lan.result(lan.ask("a", Push(b"m" * 5000))) == "too_large"
    assert pushed(lan.do("a", Push(b"m"))).copies == 2
