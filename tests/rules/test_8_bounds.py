"""Chapter 8: bounds, versions, clocks."""

import pytest

from dqtw.core.links.frames import Contents, Fetched, Open
from dqtw.core.model.commands import Push
from dqtw.core.model.replica import Replica, digest_ints_max, incarnations_kept
from dqtw.core.replication.session import Session, fetch_messages_max

from .lan import Lan, ready
from .stubs import dots, incarnation, message, page_of, replica_of, stub_link


def past(number: int) -> str:
    return f"01H{number:023d}"


def test_8_of_incarnations_with_nothing_live_the_newest_1024_are_kept() -> None:
    replica = Replica()
    for number in range(incarnations_kept + 10):
        replica.remove(dots(1, of=past(number)))
    replica.put(past(3), [(2, message((past(3), 2)))])
    forgotten = replica.prune()
    assert replica.seen.incarnations_count == incarnations_kept + 1
    assert past(3) in replica.seen.incarnations
    assert past(0) in forgotten


def test_8_pruned_incarnations_are_not_taken_back_in_a_comparison() -> None:
    replica = Replica()
    for number in range(incarnations_kept + 2):
        replica.remove(dots(1, of=past(number)))
    replica.prune()
    session = Session(1, stub_link())
    theirs = Replica()
    theirs.remove(dots(1, of=past(0)))
    theirs.remove(dots(1, of=past(2000)))
    session.compare(0.0, page_of(theirs), replica)
    assert session.records.incarnations == [past(2000)]


def test_8_a_message_of_a_pruned_incarnation_that_is_gone_when_it_is_fetched_is_fetched_once() -> None:
    """It is removed there, and that is not learned here: it must leave `need` all the same."""
    replica = Replica()
    for number in range(incarnations_kept + 2):
        replica.remove(dots(1, of=past(number)))
    replica.prune()
    session = Session(1, stub_link())
    theirs = Replica()
    theirs.put(past(0), [(5, message((past(0), 5)))])
    session.compare(0.0, page_of(theirs), replica)
    assert session.need == dots(5, of=past(0))
    session.fetched(Fetched(1, 0.0, Contents(removed=dots(5, of=past(0))), dots()))
    assert session.is_recovered


def test_8_a_page_has_at_most_65536_numbers_and_one_range_of_ids() -> None:
    replica = replica_of(live=range(1, 100_001, 2), removed=range(100_003, 300_000, 4))
    after, covered, pages = None, 0, 0
    while True:
        page = replica.page(after)
        assert page.seen.bounds_count + page.live.bounds_count <= digest_ints_max
        covered += len(page.seen)
        pages += 1
        if page.upto is None:
            break
        after = page.upto
    assert covered == len(replica.seen)
    assert pages > 1


def test_8_a_fetch_asks_for_a_bounded_number() -> None:
    link = stub_link()
    session = Session(1, link)
    mine, theirs = replica_of(), replica_of(live=range(1, 30_000))
    session.compare(0.0, page_of(theirs), mine)
    session.pump(0.0, mine, None)  # type: ignore[arg-type]
    assert len(link.frames[-1].messages) == fetch_messages_max


def test_8_a_peer_accepts_what_the_owners_limits_allow_and_not_its_own() -> None:
    lan = Lan("a", "b", "c", max_message=1000)
    lan.kill("b")
    lan.start("b", max_message=10, size=1, max_bytes=10)
    lan.run(6)
    for _ in range(3):
        lan.push("a", b"m" * 500)
    assert len(lan.held("b", "a")) == 3
    assert {each.body_bytes_max for each in lan.sent(Open, by="a") if each.role.value == "owner"} == {1000}


def test_8_one_session_per_link_and_owner() -> None:
    """An initiator that opens again ends its earlier session: what a peer keeps for it does not grow."""
    lan = ready("a", "b", "c")
    link = lan["a"].cluster.members["b"].links[0]
    own = lan["a"].replicator.incarnation
    for number in range(50, 70):
        link.send(Open(number, "a", lan.sent(Open, by="a")[0].role, own, 1))
    lan._turn("a")
    lan.run(0.1)
    assert len(lan.holding("b", "a").serving) == 1


def test_8_settings_and_member_lists_that_differ_are_reported_and_accepted() -> None:
    lan = Lan("a", "b")
    lan.kill("b")
    lan.start("b", copies=1, key_memory_s=5.0, peers={"a": "http://a", "z": "http://z"})
    lan.run(6)
    peer = lan["a"].stats(lan.now)["peers"]["b"]  # type: ignore[index]
    assert peer["members_differ"]
    assert any("--copies" in each for each in peer["settings_differ"])
    assert any("--key-memory" in each for each in peer["settings_differ"])
    assert lan.result(lan.ask("b", Push(b"m"))) in ("Pushed", "starting")
    assert "b" in lan.in_session("a")


def test_8_an_owner_that_has_no_messages_left_keeps_no_log_and_no_memory_of_requests() -> None:
    lan = ready("a", "b", "c")
    for _ in range(50):
        lan.ack("a", lan.push("a"))
    replicator = lan["a"].replicator
    assert replicator.log.end == replicator.log.start == 100
    assert not len(replicator.pushes)
    assert not len(replicator.removals)
    assert not replicator.pushes.has_requests
    assert lan["a"].inbound.is_quiet


def test_8_a_log_that_grows_while_peers_are_away_is_bounded_by_what_waits_and_was_removed() -> None:
    lan = ready("a", "b", copies=1, size=50)
    lan.kill("b")
    lan.run(4)
    for _ in range(3):
        for id in [lan.push("a") for _ in range(10)]:
            lan.ack("a", id)
    assert lan["a"].replicator.log.end - lan["a"].replicator.log.start <= 1


@pytest.mark.parametrize("apart_s", [0.0, 86_400.0])
def test_8_leases_and_ages_run_on_each_processes_monotonic_clock(apart_s: float) -> None:
    lan = ready("a", "b", clocks_apart_s=apart_s)
    lan.push("a", b"m")
    lan.get("b", lease_s=5.0)
    lan.run(4)
    assert lan.bodies("b") == []
    lan.run(2)
    assert lan.bodies("b") == [b"m"]
    assert lan["a"].owner.totals["lease_lost"] == 1


def test_8_a_wall_clock_that_jumps_changes_nothing_but_the_next_incarnation() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    lan.kill("a")
    lan.start("a", wall_ms=4_000_000_000_000)
    lan.until(lambda: lan["a"].life.was_ready)
    ahead = lan["a"].replicator.incarnation
    lan.kill("a")
    lan.start("a")
    lan.until(lambda: lan["a"].life.was_ready)
    assert ahead is not None
    assert (lan["a"].replicator.incarnation or "") > ahead
    assert lan.bodies("a") == [b"m"]


def test_8_what_a_peer_makes_of_a_session_harms_only_its_link() -> None:
    """Each of these breaks the protocol; the other links and the service go on."""
    lan = ready("a", "b", "c", copies=2)
    link = lan["b"].cluster.members["a"].links[0]
    other = lan["c"].cluster.members["a"].links[0]
    session = lan["a"].replicator.progress["b"]
    link.send(page_of(replica_of(live=[1]), session=session.id))
    lan._turn("b")
    lan.run(0.01)
    assert not link.is_up
    assert other.is_up
    lan.push("a", b"m")
    assert lan.phase("a") == "serving"
    assert incarnation not in lan.holding("a", "a").replica.seen.incarnations
