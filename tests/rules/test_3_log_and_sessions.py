"""Chapter 3: the log and the sessions."""

from functools import partialmethod
from typing import Any

import pytest

from dqtw.core.links.frames import (
    Applied,
    Backfill,
    Changed,
    Contents,
    Declined,
    Delta,
    Fenced,
    Fetch,
    Fetched,
    Open,
    Opened,
    PageRead,
    ReadPage,
    Role,
    Synced,
)
from dqtw.core.model.commands import Ack, Inspect, Push
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.key_memory import KeyMemory
from dqtw.core.model.message import MessageId
from dqtw.core.model.replica import Replica
from dqtw.core.replication import log as log_module
from dqtw.core.replication import progress as progress_module
from dqtw.core.replication.holding import Holding, Serving
from dqtw.core.replication.log import Log, Put, Removal
from dqtw.core.replication.progress import Progress
from dqtw.core.replication.session import Session, contents_of
from dqtw.core.replication.sessions import Sessions
from dqtw.wire.peer.codec import decode

from .lan import Lan, pushed, ready
from .stubs import dots, incarnation, message, newer, older, page_of, replica_of, stub_link


def put_numbers(contents: Contents) -> list[int]:
    return [n for messages in contents.puts.values() for n, _ in messages]


def small_pages(monkeypatch: pytest.MonkeyPatch, ints: int = 4) -> None:
    """Let a page hold few numbers only."""
    monkeypatch.setattr(Replica, "page", partialmethod(Replica.page, ints_max=ints))


def counted(log: Log, match: int = 0, link: Any = None) -> Progress:
    """Return a session whose first page, the only one, was compared with an equal replica."""
    progress = Progress(1, link or stub_link())
    progress.opened(0.0, was_complete=False, changes=0)
    replica = log._replica
    progress.compare(0.0, page_of(replica), replica)
    progress.begin(match, log.end)
    return progress


# The log.


def test_3_a_message_that_was_removed_before_its_entry_is_sent_is_left_out() -> None:
    replica = replica_of(live=[1, 2])
    log = Log(replica)
    log.append((incarnation, 1))
    log.append((incarnation, 2))
    replica.remove(dots(1))
    log.append(Removal(dots(1), ()))
    part = log.read(1, session=1)
    assert (part.upto, put_numbers(part.contents), part.contents.removed) == (3, [2], dots(1))


def test_3_an_entry_is_not_sent_on_the_sessions_that_have_it() -> None:
    replica = replica_of(live=[1], removed=[2])
    log = Log(replica)
    log.append(Put((incarnation, 1), known_by=(7,)))
    log.append(Removal(dots(2), (), known_by=(8,)))
    to_7, to_8 = log.read(1, session=7), log.read(1, session=8)
    assert (put_numbers(to_7.contents), to_7.contents.removed) == ([], dots(2))
    assert (put_numbers(to_8.contents), to_8.contents.removed) == ([1], dots())


def test_3_a_part_of_the_log_has_about_1_mib() -> None:
    replica = Replica()
    size = log_module.read_bytes_max // 4
    replica.put(incarnation, [(n, message((incarnation, n), size=size)) for n in range(1, 11)])
    log = Log(replica)
    for n in range(1, 11):
        log.append((incarnation, n))
    assert put_numbers(log.read(1, session=1).contents) == [1, 2, 3, 4]


def test_3_a_message_larger_than_a_part_goes_alone() -> None:
    replica = Replica()
    size = 3 * log_module.read_bytes_max
    replica.put(incarnation, [(n, message((incarnation, n), size=size)) for n in (1, 2)])
    log = Log(replica)
    for n in (1, 2):
        log.append((incarnation, n))
    assert put_numbers(log.read(1, session=1).contents) == [1]


def test_3_a_part_of_the_log_has_at_most_4096_entries_and_a_range_counts_as_one() -> None:
    count = 2 * log_module.read_entries_max
    replica = replica_of(live=range(1, count + 1))
    log = Log(replica)
    for n in range(1, count + 1):
        log.append((incarnation, n))
    assert log.read(1, session=1).upto == log_module.read_entries_max
    many = Log(replica)
    many.append(Removal(dots(*range(1, 100_000)), ()))
    many.append((incarnation, 1))
    assert many.read(1, session=1).upto == 2
    holes = Log(replica)
    holes.append(Removal(dots(*range(1, 100_000, 2)), ()))
    holes.append((incarnation, 1))
    assert holes.read(1, session=1).upto == 1


def test_3_a_range_of_entries_is_made_once_for_all_peers() -> None:
    log = Log(replica_of(live=[1]))
    log.append((incarnation, 1))
    assert log.read(1, session=1) is log.read(1, session=2)


def test_3_what_was_read_for_one_session_is_not_read_for_one_that_has_it() -> None:
    log = Log(replica_of(live=[1, 2]))
    log.append((incarnation, 1))
    assert put_numbers(log.read(1, session=1).contents) == [1]
    log.append(Put((incarnation, 2), known_by=(2,)))
    assert put_numbers(log.read(1, session=1).contents) == [1, 2]
    assert put_numbers(log.read(1, session=2).contents) == [1]


def test_3_a_truncated_log_keeps_its_indices() -> None:
    log = Log(replica_of(live=range(1, 10)))
    for n in range(1, 10):
        assert log.append((incarnation, n)) == n
    for upto in (2, 4, 3, 7):
        log.truncate(upto)
        assert (log.end, put_numbers(log.read(8, session=1).contents)) == (9, [8, 9])
    assert log.start == 7
    assert log.append((incarnation, 9)) == 10


# One session, as the owner sees it.


def test_3_several_deltas_are_under_way_and_no_more_than_the_window_has() -> None:
    link = stub_link()
    log = Log(replica_of(live=range(1, 100)))
    progress = counted(log, link=link)
    link.take(object)
    for n in range(1, 100):
        log.append((incarnation, n))
        progress.send_log(0.0, log, {}, 0, is_whole=True)
    sent = [delta.upto for delta in link.take(Delta)]
    assert len(sent) == progress_module.deltas_under_way_max
    progress.applied(Applied(1, sent[0], 0))
    progress.send_log(0.0, log, {}, 0, is_whole=True)
    assert [delta.upto for delta in link.take(Delta)] == [99]


def test_3_a_confirmation_of_what_was_not_sent_is_a_fault() -> None:
    log = Log(replica_of(live=[1, 2]))
    progress = counted(log)
    log.append((incarnation, 1))
    progress.send_log(0.0, log, {}, 0, is_whole=True)
    log.append((incarnation, 2))
    with pytest.raises(PeerFault):
        progress.applied(Applied(1, 2, 0))
    progress.applied(Applied(1, 1, 0))
    assert progress.match == 1


def test_3_match_begins_at_the_last_index_that_is_answered() -> None:
    """Pending entries are sent, perhaps again; what is before them is in the pages."""
    link = stub_link()
    log = Log(replica_of(live=[1, 2, 3]))
    for n in (1, 2, 3):
        log.append((incarnation, n))
    progress = counted(log, match=1, link=link)
    link.take(object)
    progress.send_log(0.0, log, {}, 0, is_whole=True)
    assert progress.match == 1
    assert [put_numbers(delta.contents) for delta in link.take(Delta)] == [[2, 3]]


def test_3_an_applied_that_is_due_is_waited_for_and_one_that_has_come_is_not() -> None:
    link = stub_link()
    log = Log(replica_of(live=[1]))
    progress = counted(log, link=link)
    log.append((incarnation, 1))
    progress.send_log(0.0, log, {}, 0, is_whole=True)
    assert ("applied", 1) in link.awaited
    progress.applied(Applied(1, 1, 0))
    assert not link.awaited


def test_3_a_delta_is_sent_when_only_a_flag_or_a_number_has_changed() -> None:
    link = stub_link()
    log = Log(replica_of())
    progress = counted(log, link=link)
    link.take(object)

    def sent(*, is_whole: bool) -> list[tuple[bool, bool, int]]:
        progress.send_log(0.0, log, {}, 0, is_whole=is_whole)
        return [(each.is_synced, each.is_whole, each.changes_received) for each in link.take(Delta)]

    assert sent(is_whole=False) == [(True, False, 0)]
    assert sent(is_whole=False) == []
    assert sent(is_whole=True) == [(True, True, 0)]
    progress.changed(1, dots(), log._replica)
    assert sent(is_whole=True) == [(True, True, 1)]


@pytest.mark.parametrize(
    "page",
    [
        PageRead(1, dots(1), dots(1), (incarnation, 5), None),
        PageRead(1, dots(1), dots(1, 2), None, None),
        PageRead(1, dots(1), dots(1), None, ("", 0)),
    ],
    ids=["not the next one", "live, not seen", "it does not go on"],
)
def test_3_a_page_that_cannot_be_is_a_fault(page: PageRead) -> None:
    session = Session(1, stub_link())
    session.opened(0.0, was_complete=False, changes=0)
    with pytest.raises(PeerFault):
        session.compare(0.0, page, replica_of())


def test_3_a_page_after_the_last_one_is_a_fault() -> None:
    session = Session(1, stub_link())
    session.compare(0.0, page_of(replica_of()), replica_of())
    with pytest.raises(PeerFault):
        session.compare(0.0, page_of(replica_of()), replica_of())


def test_3_a_page_says_what_each_side_lacks_in_its_range() -> None:
    mine, theirs = replica_of(live=[1, 2, 8], removed=[3]), replica_of(live=[2, 3, 4, 9], removed=[5])
    session = Session(1, stub_link())
    session.compare(0.0, page_of(theirs, upto=(incarnation, 5)), mine)
    assert (session.need, session.records) == (dots(4), dots(5))
    assert session._unsent == dots(1, 3)
    session.compare(0.0, page_of(theirs, after=(incarnation, 5)), mine)
    assert (session.need, session.records) == (dots(4, 9), dots(5))
    assert session._unsent == dots(1, 3, 8)


def test_3_a_process_that_is_about_to_stop_is_sent_nothing() -> None:
    session = Session(1, stub_link(), is_one_way=True)
    session.compare(0.0, page_of(replica_of(live=[2])), replica_of(live=[1]))
    assert session.need == dots(2)
    assert not session._unsent


def test_3_pages_are_asked_for_one_after_the_other() -> None:
    link = stub_link()
    session = Session(1, link)
    session.opened(0.0, was_complete=False, changes=0)
    session.compare(0.0, page_of(replica_of(live=[1]), upto=(incarnation, 1)), replica_of())
    assert link.take(ReadPage) == [ReadPage(1, (incarnation, 1))]
    assert link.awaited == {("page", 1)}
    session.compare(0.0, page_of(replica_of(live=[1]), after=(incarnation, 1)), replica_of())
    assert link.take(ReadPage) == []
    assert not link.awaited


def test_3_frames_of_a_session_that_is_over_are_ignored() -> None:
    sessions, own, link = Sessions(), Holding("a", 600.0, 10), stub_link()
    first = sessions.open_as_owner(0.0, link, own, incarnation, 1)
    sessions.end(first)
    second = sessions.open_as_owner(0.0, link, own, incarnation, 1)
    page = page_of(replica_of(live=[1]), session=first.id)
    fetched = Fetched(first.id, 0.0, Contents(removed=dots(1)), dots())
    for frame in (
        Opened(first.id, True, 5),
        page,
        fetched,
        Applied(first.id, 0, 1),
        Changed(first.id, 1, 0.0, dots(), dots(1), []),
    ):
        assert sessions.receive(0.0, link, frame) is None
    assert (second.is_opened, second.is_counted, second.changes_received) == (False, False, 0)


def test_3_a_session_is_of_its_link() -> None:
    sessions, own = Sessions(), Holding("a", 600.0, 10)
    session = sessions.open_as_owner(0.0, stub_link(), own, incarnation, 1)
    assert sessions.receive(0.0, stub_link(), Opened(session.id, True, 5)) is None
    assert not session.is_opened


def test_3_only_what_an_answer_carries_leaves_need() -> None:
    link = stub_link()
    theirs, mine = Holding("a", 600.0, 10), Holding("a", 600.0, 10)
    size = log_module.read_bytes_max // 2
    theirs.replica.put(incarnation, [(n, message((incarnation, n), size=size)) for n in (1, 2, 3)])
    session = Session(1, link)
    session.compare(0.0, page_of(theirs.replica), mine.replica)
    session.pump(0.0, mine.replica, mine.keys)
    (fetch,) = link.take(Fetch)
    assert fetch.messages == dots(1, 2, 3)
    _, contents = contents_of(fetch.messages, theirs.replica, theirs.keys)
    assert put_numbers(contents) == [1, 2]
    session.fetched(Fetched(1, 0.0, contents, dots()))
    session.known(mine.learn(0.0, contents, [], session).put_dots, dots())
    assert session.need == dots(3)
    assert not session.is_recovered


def test_3_what_another_peer_brings_or_removes_leaves_need() -> None:
    session = Session(1, stub_link())
    session.compare(0.0, page_of(replica_of(live=[1, 2], removed=[3])), replica_of())
    session.known(dots(1), dots())
    session.known(dots(), dots(2, 3))
    assert session.is_recovered


def test_3_what_the_peer_has_forgotten_leaves_need() -> None:
    session = Session(1, stub_link())
    session.compare(0.0, page_of(replica_of(live=[1], removed=[2])), replica_of())
    session.fetched(Fetched(1, 0.0, Contents(), dots(1, 2)))
    assert session.is_recovered


def test_3_one_fetch_is_under_way_at_a_time() -> None:
    link, replica = stub_link(), replica_of()
    session = Session(1, link)
    session.compare(0.0, page_of(replica_of(live=[1])), replica)
    keys = KeyMemory(600.0, 10)
    session.pump(0.0, replica, keys)
    session.pump(0.0, replica, keys)
    assert len(link.take(Fetch)) == 1
    assert not session.is_recovered


def test_3_an_id_stays_in_backfill_until_its_frame_is_confirmed() -> None:
    link = stub_link()
    mine = replica_of(live=[1], removed=[2])
    session = Session(1, link)
    session.compare(0.0, page_of(replica_of()), mine)
    assert session.lacks((incarnation, 1))
    session.pump(0.0, mine, KeyMemory(600.0, 10))
    (backfill,) = link.take(Backfill)
    assert (put_numbers(backfill.contents), backfill.contents.removed) == ([1], dots(2))
    assert session.lacks((incarnation, 1))
    assert not session.is_synced
    session.confirmed(backfill.number)
    assert not session.lacks((incarnation, 1))
    assert session.is_synced


def test_3_backfill_numbers_run_on_for_the_life_of_the_link() -> None:
    link, replica, keys = stub_link(), replica_of(live=[1]), KeyMemory(600.0, 10)
    numbers = []
    for id in (1, 2):
        session = Session(id, link)
        session.compare(0.0, page_of(replica_of(), session=id), replica)
        session.pump(0.0, replica, keys)
        numbers += [each.number for each in link.take(Backfill)]
    assert numbers == [1, 2]


def test_3_a_removal_never_travels_without_the_record_of_its_key() -> None:
    """However many of the messages that are asked for were removed meanwhile."""
    replica, keys = Replica(), KeyMemory(600.0, 10_000)
    for n in range(1, 6001):
        put = message((incarnation, n), key=f"k{n}")
        replica.put(incarnation, [(n, put)])
        keys.put((incarnation, n), put)
        replica.remove_one((incarnation, n))
        keys.remove(0.0, (incarnation, n), put)
    asked, told = replica.seen.copy(), 0
    while asked:
        covered, contents = contents_of(asked, replica, keys)
        assert covered
        assert contents.removed == covered
        assert {(each.incarnation, each.n) for each in contents.records} == set(contents.removed)
        told += len(contents.removed)
        asked -= covered
    assert told == 6000


# Changes behind the owner's back, and the flags.


def serving(holding: Holding) -> tuple[Serving, Any]:
    link = stub_link("a")
    made = Serving(link, 1, Role.OWNER, incarnation, holding.changes)
    holding.serving[link] = made
    return made, link


def test_3_what_changes_in_another_way_is_reported_to_the_owner() -> None:
    holding = Holding("a", 600.0, 10)
    by_owner, link = serving(holding)
    copy = Session(9, stub_link("c"))
    gone = message((incarnation, 2), key="k")
    holding.learn(0.0, Contents({incarnation: [(2, gone)]}), [], by_owner)
    record = holding.keys.remove(0.0, (incarnation, 2), gone)
    assert record is not None
    holding.learn(0.0, Contents({incarnation: [(1, message((incarnation, 1)))]}, dots(2, 3)), [record], copy)
    holding.report(0.0)
    (changed,) = link.take(Changed)
    assert (changed.number, changed.live, changed.removed) == (1, dots(1), dots(2, 3))
    assert [each.key for each in changed.records] == ["k"]
    holding.report(0.0)
    assert link.take(Changed) == []


def test_3_what_the_owner_has_sent_is_not_reported_to_it() -> None:
    holding = Holding("a", 600.0, 10)
    by_owner, link = serving(holding)
    holding.learn(0.0, Contents({incarnation: [(1, message((incarnation, 1)))]}), [], by_owner)
    holding.report(0.0)
    assert link.take(Changed) == []


def test_3_numbers_of_changes_run_on_when_the_owner_opens_again() -> None:
    holding = Holding("a", 600.0, 10)
    for number in (1, 2):
        _, link = serving(holding)
        holding.learn(0.0, Contents({incarnation: [(number, message((incarnation, number)))]}), [], None)
        holding.report(0.0)
        assert [each.number for each in link.take(Changed)] == [number]
        holding.end(link)


def test_3_a_change_between_two_pages_counts_like_half_a_page() -> None:
    theirs, mine = replica_of(live=[1, 5]), replica_of()
    session = Session(1, stub_link())
    session.compare(0.0, page_of(theirs, upto=(incarnation, 2)), mine)
    session.changed(1, dots(2, 9), mine)
    session.compare(0.0, page_of(theirs, after=(incarnation, 2)), mine)
    assert session.need == dots(1, 2, 5, 9)


def test_3_the_bodies_that_a_peer_reports_are_fetched_and_the_session_goes_on() -> None:
    """A process that was replaced hands over to two peers that are both in session with its successor."""
    lan = ready("a", "b", "c", copies=1)
    lan.isolate("a")
    lan.push("a", b"only there")
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving" and lan["a2"].life.was_ready)
    sessions = dict(lan["a2"].replicator.progress)
    lan.heal()
    lan.until(lambda: "a" in lan.departures)
    lan.run(0.5)
    assert lan.departures["a"].status.value == 3
    assert lan.sent(Changed, to="a2")
    assert dict(lan["a2"].replicator.progress) == sessions
    assert lan.bodies("a2") == [b"only there"]
    assert lan.held("b", "a") == lan.held("c", "a") == [b"only there"]


def test_3_a_replica_is_current_on_synced_with_its_own_last_change_number() -> None:
    lan = ready("a", "b", "c")
    holding = lan.holding("b", "a")
    assert holding.is_current
    hold = lan.hold(Changed, by="b", to="a")
    holding.learn(lan.clock("b"), Contents({older: [(1, message((older, 1)))]}), [], None)
    lan._turn("b")
    assert not holding.is_current
    lan.push("a", b"a delta that does not know of the change")
    lan.run(0.5)
    assert lan.sent(Delta, by="a", to="b")[-1].is_synced
    assert not holding.is_current
    lan.release(hold)
    lan.run(0.5)
    assert holding.is_current
    assert (older, 1) in lan.holding("a", "a").replica


def test_3_an_owner_that_lacks_answered_pushes_makes_no_replica_complete() -> None:
    """Rule (c) let it serve: what it then calls equal is current, not complete."""
    lan = ready("a", "b", "c", start_wait_s=5.0)
    lan.push("a", b"m")
    lan.kill("a")
    lan.kill("b")
    lan.isolate("c", "a", "b")
    lan.start("b")
    lan.start("a")
    lan.until(lambda: lan.phase("a") == "serving")
    lan.run(1)
    assert lan.holding("b", "a").is_current
    assert not lan.holding("b", "a").was_complete
    lan.heal()
    lan.until(lambda: lan.holding("b", "a").was_complete)
    assert lan.held("b", "a") == [b"m"]


# Which process has the session.


def test_3_a_process_without_an_incarnation_declines_and_is_asked_again_each_second() -> None:
    lan = ready("a", "b", "c")
    lan.kill("b")
    lan.start("b2", node="b")  # a standby: a has heard b a moment ago
    lan.run(2.5)
    assert lan["b2"].replicator.incarnation is None
    assert 2 <= len(lan.sent(Declined, by="b2", to="a")) <= 3
    lan.run(5)
    assert lan["b2"].replicator.incarnation is not None
    assert "b" in lan.in_session("a")


def test_3_a_process_that_leaves_declines() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    lan.drain("b")
    lan.drain("a")  # so neither can go
    lan.run(1)
    lan.sever("a", "b")
    lan.run(2)
    assert lan["b"].holder.declines is not None
    assert not lan.in_session("a")
    assert lan.sent(Open, by="a", to="b", since=lan.now - 1) == []


def test_3_of_two_processes_of_a_node_the_newest_has_the_session() -> None:
    """So a holder is never counted twice."""
    lan = ready("a", "b", "c")
    lan.kill("c")
    lan.isolate("b")
    lan.start("b2", node="b")
    lan.until(lambda: lan.phase("b2") == "serving")
    hold = lan.hold(Fenced, to="b")
    lan.heal()
    lan.until(lambda: len(lan["a"].cluster.members["b"].links) == 2)
    links = {link.process.incarnation for link in lan["a"].cluster.members["b"].links}
    assert len(links) == 2
    session = lan["a"].replicator.progress["b"]
    assert session.link.process.incarnation == lan["b2"].replicator.incarnation
    assert len(lan["a"].replicator.counted()) == 1
    assert lan.result(lan.ask("a", Push(b"x"))) == "unreplicated"
    lan.release(hold)


def test_3_a_node_that_is_not_a_member_is_declined() -> None:
    lan = Lan("a", "b")
    lan.start("a", peers={"b": "http://b", "c": "http://c"}, copies=1)
    lan.start("b", peers={"a": "http://a"}, copies=1)
    lan.run(5)
    frame = Open(99, "c", Role.COPY, None, 0)
    link = next(iter(lan["b"].cluster.links))
    link.send(frame)
    lan._turn("b")
    lan.run(1)
    assert lan["b"].cluster.links == [link]
    link = next(iter(lan["a"].cluster.links))
    link.send(frame)
    lan._turn("a")
    lan.run(1)
    assert [each.session for each in lan.sent(Declined, by="b", to="a")][-1] == 99


def test_3_no_process_opens_as_the_owner_of_others_messages() -> None:
    lan = ready("a", "b", "c")
    link = lan["a"].cluster.current("b")
    assert link is not None
    link.send(Open(99, "c", Role.OWNER, newer, 1))
    lan._turn("a")
    lan.run(0.01)
    assert not link.is_up
    assert lan["b"].cluster.greatest("c") == lan["c"].replicator.incarnation


def test_3_a_peer_that_knows_a_message_that_was_never_pushed_is_at_fault() -> None:
    lan = ready("a", "b")
    link = lan["b"].cluster.current("a")
    own = lan["a"].replicator.incarnation
    assert link is not None
    assert own is not None
    lan.holding("b", "a").learn(0.0, Contents({own: [(5, message((own, 5)))]}), [], None)
    lan._turn("b")
    lan.run(0.1)
    assert not link.is_up
    assert lan.held("a", "a") == []


# Pages, and what happens between them.


def recovering(monkeypatch: pytest.MonkeyPatch, count: int = 8) -> tuple[Lan, Any]:
    """Return a cluster of two whose first page of a's messages at b is compared, and whose second is held back."""
    lan = ready("a", "b")
    for n in range(count):
        lan.push("a", b"%d" % n)
    for id in [each.receipt.id for each in lan.get("a")][::2]:
        assert lan.ack("a", id) == "Done"
    small_pages(monkeypatch)
    lan.sever("a", "b")
    hold = lan.hold(PageRead, by="b", to="a", when=lambda page: page.after is not None)
    lan.until(lambda: hold.held and "b" in lan["a"].replicator.progress and lan["a"].replicator.counted())
    assert not lan.in_session("a")
    return lan, hold


def test_3_a_session_is_counted_from_the_first_page_on(monkeypatch: pytest.MonkeyPatch) -> None:
    lan, hold = recovering(monkeypatch)
    ticket = lan.ask("a", Push(b"meanwhile"))
    lan.run(0.1)
    assert pushed(lan.answers[ticket]).copies == 2
    assert not lan.in_session("a")
    lan.release(hold)


def test_3_what_happens_in_a_range_that_is_compared_already_reaches_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    lan, hold = recovering(monkeypatch)
    first = min(lan.holding("a", "a").replica.live_dots)
    assert lan.ack("a", MessageId("a", *first)) == "Done"
    lan.push("a", b"meanwhile")
    lan.release(hold)
    lan.until(lambda: lan.in_session("a"))
    lan.run(0.1)
    assert lan.held("a", "a") == lan.held("b", "a")
    assert first not in lan.holding("b", "a").replica.live_dots


def test_3_the_log_is_kept_for_a_peer_that_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    lan, hold = recovering(monkeypatch)
    behind = lan.hold(Delta, by="a", to="b")
    for n in range(20):
        lan.ask("a", Push(b"%d" % n))
    lan.run(0.1)
    log = lan["a"].replicator.log
    assert log.end - log.start >= 20
    lan.release(behind)
    lan.release(hold)
    lan.run(1)
    assert log.end == log.start
    assert lan.held("a", "a") == lan.held("b", "a")


def test_3_the_log_is_dropped_when_all_peers_have_confirmed_it() -> None:
    lan = ready("a", "b", "c")
    lan.push("a")
    lan.run(0.1)
    log = lan["a"].replicator.log
    assert (log.start, log.end) == (1, 1)


def test_3_a_push_that_commits_through_another_peer_while_a_peer_opens_reaches_that_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lan = ready("a", "b", "c", copies=2)
    for n in range(8):
        lan.push("a", b"%d" % n)
    small_pages(monkeypatch)
    lan.sever("a", "b")
    hold = lan.hold(PageRead, by="b", to="a")
    lan.until(lambda: hold.held)
    lan.push("a", b"through c")
    assert not lan["a"].replicator.progress["b"].is_counted
    lan.release(hold)
    lan.until(lambda: "b" in lan.in_session("a"))
    lan.run(0.1)
    assert lan.held("b", "a")[-1] == b"through c"


def test_3_a_session_that_lags_too_far_behind_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "lag_entries_max", 10)
    lan = ready("a", "b", "c", copies=2)
    lan.hold(Applied, by="b", to="a")
    session = lan["a"].replicator.progress["b"]
    for _ in range(12):
        lan.push("a")
    lan.run(0.5)
    assert lan["a"].replicator.progress["b"] is not session
    assert lan["a"].replicator.log.end - lan["a"].replicator.log.start <= 12


def test_3_a_push_that_stays_uncertain_does_not_end_each_new_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lag counts from the end of the log at the first page, not from what is answered."""
    monkeypatch.setattr(progress_module, "lag_entries_max", 10)
    lan = ready("a", "b", "c", push_timeout_s=1.0)
    ids = [lan.push("a") for _ in range(20)]
    lan.kill("c")
    late = lan.ask("a", Push(b"late"))
    lan.run(3.5)
    assert lan.result(late) == "uncertain"
    for id in ids:
        lan.ack("a", id)
    lan.sever("a", "b")
    lan.run(0.1)
    lan.until(lambda: "b" in lan.in_session("a"))
    session = lan["a"].replicator.progress["b"]
    lan.run(3)
    assert lan["a"].replicator.progress["b"] is session
    lan.start("c")
    lan.until(lambda: "c" in lan.in_session("a"))
    lan.run(1)
    assert lan.bodies("a") == [b"late"]


# What is recovered.


def test_3_what_came_from_one_peer_is_not_sent_to_another_that_has_it() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m" * 1000)
    lan.kill("a")
    lan.run(1)
    begin = lan.now
    lan.start("a")
    lan.until(lambda: lan["a"].life.was_ready)
    contents = [each.contents for each in lan.sent(Delta, by="a", since=begin)]
    contents += [each.contents for each in lan.sent(Backfill, by="a", since=begin)]
    assert not any(each.puts for each in contents)
    fetched = [each for each in lan.sent(Fetched, to="a", since=begin) if each.contents.puts]
    assert lan.bodies("a") == [b"m" * 1000]
    assert len(fetched) <= 2


def test_3_what_only_a_peer_knows_as_removed_is_not_delivered_until_its_record_came() -> None:
    lan = ready("a", "b", "c", copies=1)
    id = lan.push("a", b"m", key=lan.key_of("a"))
    lan.run(0.1)
    lan.kill("a")
    lan.partition("b", "c")
    holding = lan.holding("b", "a")
    (dot,) = holding.replica.live_dots
    removed = holding.replica.remove_one(dot)
    assert removed is not None
    holding.keys.remove(lan.clock("b"), dot, removed)
    hold = lan.hold(Fetched, by="b", to="a")
    lan.start("a")
    lan.until(lambda: lan.held("a", "a") and lan["a"].replicator.progress["b"].records)
    assert not lan["a"].owner.queue.ready
    lan.release(hold)
    lan.until(lambda: lan.phase("a") == "serving")
    assert lan.held("a", "a") == []
    again = pushed(lan.do("a", Push(b"m", key=lan.key_of("a"))))
    assert (again.id, again.duplicate) == (id, True)


def test_3_a_removal_reaches_the_peer_that_was_away_with_its_record() -> None:
    lan = ready("a", "b", "c", copies=1)
    id = lan.push("a", b"m", key=lan.key_of("a"))
    lan.run(0.1)
    lan.isolate("c")
    lan.run(4)
    assert lan.ack("a", id) == "Done"
    assert lan.held("c", "a") == [b"m"]
    lan.heal()
    lan.until(lambda: "c" in lan.in_session("a"))
    lan.run(0.1)
    assert lan.held("c", "a") == []
    assert lan.holding("c", "a").keys.find(lan.key_of("a"), b"m") == id[1:]


def test_3_a_peer_that_restarts_empty_gets_everything_and_takes_nothing_away() -> None:
    lan = ready("a", "b", "c")
    id = lan.push("a", b"gone")
    lan.ack("a", id)
    lan.push("a", b"m")
    lan.kill("b")
    lan.run(0.5)
    lan.start("b")
    lan.until(lambda: lan["b"].life.was_ready)
    assert lan.held("a", "a") == lan.held("b", "a") == lan.held("c", "a") == [b"m"]
    assert id[1:] in lan.holding("b", "a").replica.removed_dots


def test_3_a_confirmation_is_sent_once_for_all_that_came_in_one_turn() -> None:
    lan = ready("a", "b")
    hold = lan.hold(Delta, by="a", to="b")
    for _ in range(5):
        lan.ask("a", Push(b"x"))
    lan.run(0.01)
    frames = [data for _, data in hold.held]
    assert len(frames) == 5
    stream = hold.held[0][0]
    begin = lan.now
    hold.held.clear()
    node = lan["b"]
    node.received(lan.clock("b"), stream.read, [decode(data) for data in frames], 100, 0)
    lan._turn("b")
    assert [each.upto for each in lan.sent(Applied, by="b", since=begin)] == [lan["a"].replicator.log.end]


# A greater incarnation.


def test_3_an_idle_process_that_was_replaced_is_fenced_by_the_peers_of_its_successor() -> None:
    """It sends nothing that could be answered."""
    lan = ready("a", "b", "c")
    lan.isolate("a")
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving")
    lan.heal()
    lan.until(lambda: "a" in lan.departures, within_s=8.0)
    assert lan.sent(Fenced, to="a")
    assert lan["a2"].cluster.greatest("a") == lan["a2"].replicator.incarnation


def test_3_a_fenced_that_names_nothing_greater_is_ignored() -> None:
    lan = ready("a", "b", "c")
    link = lan["b"].cluster.current("a")
    own = lan["a"].replicator.incarnation
    assert link is not None
    assert own is not None
    link.send(Fenced("a", own))
    link.send(Fenced("a", "01AAAAAAAAAAAAAAAAAAAAAAAA"))
    lan._turn("b")
    lan.run(1)
    assert lan.phase("a") == "serving"
    link.send(Fenced("a", newer))
    lan._turn("b")
    lan.run(0.5)
    assert lan.phase("a") == "fenced"


def test_3_an_owner_of_a_lesser_incarnation_gets_no_session() -> None:
    lan = ready("a", "b", "c")
    greatest = newer
    lan["b"].cluster.learn("a", greatest)
    lan.sever("a", "b")
    lan.run(1.5)
    assert lan.sent(Fenced, by="b", to="a")[0].greatest == greatest
    assert lan.holding("b", "a").by_owner is None


@pytest.mark.parametrize("through", ["a", "b"])
def test_3_an_id_in_a_clients_command_fences_no_process_and_is_not_remembered(through: str) -> None:
    lan = ready("a", "b", "c")
    forged = MessageId("a", "0ZZZZZZZZZZZZZZZZZZZZZZZZZ", 1)
    assert lan.ack(through, forged) == "unknown"
    assert lan.result(lan.ask(through, Inspect(forged))) in ("", "unknown")
    lan.run(2)
    assert lan.phase("a") == "serving"
    assert lan["b"].cluster.greatest("a") == lan["a"].replicator.incarnation


def test_3_a_page_that_shows_a_greater_incarnation_of_the_owner_fences_it() -> None:
    lan = ready("a", "b", "c")
    lan.holding("b", "a").replica.put(newer, [(1, message((newer, 1)))])
    lan.sever("a", "b")
    lan.until(lambda: lan.phase("a") == "fenced", within_s=3.0)


# Links that end.


def test_3_a_cut_loses_what_is_under_way_and_the_next_session_brings_it() -> None:
    lan = ready("a", "b")
    hold = lan.hold(Delta, by="a", to="b")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.1)
    lan.sever("a", "b")
    lan.drop(hold)
    lan.run(2)
    assert lan.held("b", "a") == [b"m"]
    assert lan.result(ticket) == "Pushed"
    assert lan.bodies("a") == [b"m"]


def test_3_a_confirmation_that_is_lost_is_not_a_confirmation() -> None:
    lan = ready("a", "b")
    hold = lan.hold(Applied, by="b", to="a")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.1)
    assert lan.held("b", "a") == [b"m"]
    lan.kill("b")
    lan.drop(hold)
    lan.run(0.5)
    assert lan.result(ticket) == ""
    assert not lan["a"].owner.queue.ready
    lan.run(3)
    assert lan.result(ticket) == "uncertain"


def test_3_in_a_one_way_cut_only_what_was_applied_counts() -> None:
    lan = ready("a", "b")
    lan.mute("b", "a")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(1)
    assert lan.held("b", "a") == [b"m"]
    assert lan.result(ticket) == ""
    lan.run(4.5)
    assert lan.result(ticket) == "uncertain"


def test_3_an_entry_that_came_from_a_peer_reaches_it_again_when_it_restarts_empty() -> None:
    lan = ready("a", "b", "c", copies=2)
    lan.push("a", b"m")
    lan.run(0.1)
    lan.kill("a")
    lan.kill("c")
    lan.start("a", start_wait_s=3.0)
    lan.until(lambda: lan.phase("a") == "serving")
    assert lan.held("a", "a") == [b"m"]
    lan.kill("b")
    lan.run(0.2)
    lan.start("b")
    lan.until(lambda: "b" in lan.in_session("a"))
    lan.run(0.5)
    assert lan.held("b", "a") == [b"m"]


def test_3_replicas_are_compared_both_ways_between_peers_of_an_owner_that_is_away() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.isolate("c", "a")
    lan.run(4)
    lan.push("a", b"m")
    lan.run(0.1)
    assert lan.held("c", "a") == [b"m"]  # b has it in session, c has not: so b and c compare
    lan.kill("a")
    lan.run(4)
    assert lan.held("b", "a") == lan.held("c", "a") == [b"m"]
    assert lan.sent(Synced)


def test_3_an_ack_is_not_lost_between_two_links(monkeypatch: pytest.MonkeyPatch) -> None:
    lan = ready("a", "b")
    id = lan.push("a", b"m")
    hold = lan.hold(Delta, by="a", to="b")
    ticket = lan.ask("a", Ack(id))
    lan.run(0.1)
    lan.sever("a", "b")
    lan.drop(hold)
    lan.run(1)
    assert lan.result(ticket) == "Done"
    assert lan.held("b", "a") == []
