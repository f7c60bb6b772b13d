"""Section 5.2: a second process of a node that lives is a hot standby."""

from dqtw.core.links.frames import PageRead

from .lan import Lan, ready


def incarnation(lan: Lan, name: str) -> str | None:
    return lan[name].replicator.incarnation


def test_5_2_a_second_process_of_a_living_node_takes_no_incarnation_and_says_why() -> None:
    lan = ready("a", "b", "c")
    lan.start("a2", node="a", start_wait_s=1.0)
    lan.run(30)
    assert incarnation(lan, "a2") is None
    assert lan.phase("a2") == "starting"
    assert any("another process of this node" in wait for wait in lan.waits("a2"))
    assert lan.phase("a") == "serving"


def test_5_2_it_takes_over_when_the_first_was_silent_for_3_s() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.start("a2", node="a")
    lan.run(5)
    lan.kill("a", silently=True)
    lan.run(2.5)
    assert incarnation(lan, "a2") is None
    lan.until(lambda: lan.phase("a2") == "serving", within_s=3.0)
    assert lan.bodies("a2") == [b"m"]


def test_5_2_a_standby_that_is_older_than_its_start_wait_recovers_before_it_serves() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.start("a2", node="a", start_wait_s=1.0)
    lan.run(20)
    hold = lan.hold(PageRead, to="a2")
    lan.kill("a")
    lan.run(5)
    assert incarnation(lan, "a2") is not None
    assert lan.phase("a2") == "starting"
    lan.release(hold)
    lan.run(0.1)
    assert lan.phase("a2") == "serving"
    assert lan.bodies("a2") == [b"m"]


def test_5_2_one_peer_that_hears_the_first_is_enough() -> None:
    lan = ready("a", "b", "c")
    lan.partition("a", "b")
    lan.start("a2", node="a", start_wait_s=1.0)
    lan.run(10)
    assert incarnation(lan, "a2") is None


def test_5_2_a_peer_that_has_just_started_is_not_a_witness() -> None:
    """Its link to the standby may be up before that to the process that serves."""
    lan = ready("a", "b")
    lan.push("a", b"m")
    lan.start("a2", node="a")
    lan.run(5)
    lan.kill("b")
    lan.partition("a", "b")
    lan.start("b")
    lan.run(2.5)
    assert incarnation(lan, "a2") is None
    lan.heal()
    lan.run(10)
    assert incarnation(lan, "a2") is None
    assert lan.phase("a") == "serving"


def test_5_2_what_a_peer_said_3_s_ago_is_out_of_date() -> None:
    """The only witness has died since: it keeps no process waiting for ever."""
    lan = ready("a", "b", "c")
    lan.start("a2", node="a", start_wait_s=5.0)
    lan.run(5)
    for name in ("a", "b", "c"):
        lan.kill(name)
    lan.until(lambda: lan.phase("a2") == "serving", within_s=15.0)


def test_5_2_of_two_standbys_the_one_with_the_smaller_boot_id_goes_first() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.start("a2", node="a")
    lan.start("a3", node="a")
    lan.run(5)
    first, second = sorted(("a2", "a3"), key=lambda name: lan[name].cluster.boot)
    lan.kill("a")
    lan.until(lambda: lan.phase(first) == "serving", within_s=5.0)
    lan.run(10)
    assert incarnation(lan, second) is None
    assert lan.bodies(first) == [b"m"]


def test_5_2_two_processes_that_start_at_once_do_not_both_serve() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.kill("a")
    lan.run(4)
    lan.start("a2", node="a")
    lan.start("a3", node="a")
    lan.run(15)
    assert [name for name in ("a2", "a3") if name in lan.nodes and lan.phase(name) == "serving"] in (["a2"], ["a3"])


def test_5_2_a_fenced_or_leaving_twin_keeps_no_process_waiting() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.drain("a")
    lan.mute("a", "b")  # so that it stays for a while
    lan.mute("a", "c")
    lan.run(0.1)
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving", within_s=8.0)


def test_5_2_a_process_that_comes_back_to_a_peer_is_not_its_own_twin() -> None:
    lan = ready("a", "b", "c")
    lan.kill("b")
    lan.start("b", start_wait_s=2.0)
    lan.sever("b", "a")
    lan.sever("b", "c")
    lan.until(lambda: lan.phase("b") == "serving", within_s=6.0)


def test_5_2_a_standby_that_is_asked_to_leave_goes_soon() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    lan.start("a2", node="a")
    lan.run(5)
    lan.drain("a2")
    lan.until(lambda: "a2" in lan.departures, within_s=4.0)
    assert lan.departures["a2"].status.value == 0
    assert lan.phase("a") == "serving"


def test_5_2_a_start_whose_peers_have_all_stopped_at_once_waits_for_no_twin() -> None:
    lan = Lan("a", "b")
    lan.kill("b")
    lan.kill("a")
    lan.start("a", start_wait_s=3.0)
    lan.until(lambda: lan.phase("a") == "serving", within_s=5.0)
