"""A replica: what it holds, what it has seen, and what that says of the rest. Its laws are property tests."""

import pytest

from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.message import Message
from dqtw.core.model.replica import Replica, incarnations_kept

FIRST, SECOND = "01HF0000000000000000000000", "01HF0000000000000000000001"


def dots(*numbers: int, incarnation: str = FIRST) -> DotSet:
    return DotSet.of((incarnation, n) for n in numbers)


def put(replica: Replica, n: int, body: bytes = b"", incarnation: str = FIRST) -> bool:
    """Add a message; return True if it was new."""
    message = Message(body)
    new = replica.put(incarnation, [(n, message)])
    assert new in ([], [(n, message)])
    return bool(new)


def replica_of(*numbers: int) -> Replica:
    made = Replica()
    for n in numbers:
        put(made, n, b"%d" % n)
    return made


def is_removed(replica: Replica, n: int) -> bool:
    return (FIRST, n) in replica.removed_dots


def remove(replica: Replica, n: int, *, one: bool) -> bool:
    """Remove a message by either verb; return True if it was live."""
    dot = FIRST, n
    if one:
        return replica.remove_one(dot) is not None
    return [each for each, _ in replica.remove(DotSet.of([dot]))] == [dot]


def test_a_message_is_held_once() -> None:
    replica = Replica()
    assert put(replica, 1, b"first")
    assert not put(replica, 1, b"other")
    held = replica.get((FIRST, 1))
    assert held is not None
    assert held.body == b"first"
    assert (replica.count, replica.body_bytes, replica.live_dots, replica.seen) == (1, 5, dots(1), dots(1))


def test_a_run_of_messages_is_put_in_any_order() -> None:
    """Only the new ones are reported."""
    replica = replica_of(2)
    new = replica.put(FIRST, [(3, Message(b"3")), (2, Message(b"again")), (1, Message(b"1"))])
    assert [n for n, _ in new] == [3, 1]
    assert (replica.count, replica.body_bytes, replica.live_dots) == (3, 3, dots(1, 2, 3))


@pytest.mark.parametrize("one", [True, False])
def test_stale_never_wins_over_removed(one: bool) -> None:
    """A message that a worker has acknowledged does not come back with a late or repeated frame."""
    replica = replica_of(1)
    assert remove(replica, 1, one=one)
    assert not put(replica, 1, b"1")
    assert is_removed(replica, 1)
    assert (replica.live, replica.count, replica.body_bytes) == ({}, 0, 0)


@pytest.mark.parametrize("one", [True, False])
def test_a_removal_that_comes_before_its_message_wins(one: bool) -> None:
    """It may overtake the message: the two travel in different lanes."""
    replica = Replica()
    assert not remove(replica, 1, one=one)
    assert not put(replica, 1, b"1")
    assert is_removed(replica, 1)
    assert (replica.count, replica.body_bytes) == (0, 0)


def test_what_was_never_seen_is_not_known_as_removed() -> None:
    """Otherwise a node that lost its memory would take everybody's messages away."""
    replica = replica_of(1)
    assert not is_removed(replica, 1)
    assert not is_removed(replica, 2)
    assert replica.news(Replica().page(None).removed) == DotSet()


def test_removing_many_reports_which_of_them_were_live() -> None:
    replica = replica_of(1, 2, 3)
    removed = replica.remove(dots(2, 3, 4))
    assert [(dot, message.body) for dot, message in removed] == [((FIRST, 2), b"2"), ((FIRST, 3), b"3")]
    assert (replica.live_dots, replica.seen, replica.body_bytes) == (dots(1), dots(1, 2, 3, 4), 1)
    assert replica.remove(dots(2, 3, 4)) == []
    assert replica.count == 1


def test_only_removals_that_are_not_known_are_news() -> None:
    replica = replica_of(1, 2)
    replica.remove(dots(2, 3))
    assert replica.news(dots(1, 2, 3, 4)) == dots(1, 4)


def test_bytes_and_messages_are_counted_exactly() -> None:
    replica = replica_of(1, 22, 333)
    put(replica, 1, b"aaaa", SECOND)
    assert (replica.count, replica.body_bytes) == (4, 10)
    remove(replica, 22, one=True)
    remove(replica, 22, one=True)
    remove(replica, 22, one=False)
    assert (replica.count, replica.body_bytes) == (3, 8)
    replica.remove(dots(1, 333) | dots(1, incarnation=SECOND))
    assert (replica.count, replica.body_bytes, replica.live) == (0, 0, {})


def test_the_greatest_incarnation_is_known_from_messages_and_from_removals() -> None:
    replica = Replica()
    assert replica.greatest is None
    replica.remove(dots(1))
    assert replica.greatest == FIRST
    put(replica, 1, b"", SECOND)
    put(replica, 2, b"")
    assert replica.greatest == SECOND


def test_messages_come_in_the_order_of_the_pushes() -> None:
    replica = Replica()
    put(replica, 1, b"", SECOND)
    for n in (1, 2, 10):
        put(replica, n)
    assert [dot for dot, _ in replica.messages()] == [*dots(1, 2, 10), (SECOND, 1)]


# Pages.


def test_a_page_was_read_at_one_moment() -> None:
    """What happens while a peer reads it does not make a message look removed."""
    replica = replica_of(1, 2)
    page = replica.page(None)
    put(replica, 3)
    remove(replica, 1, one=True)
    assert (page.seen, page.live, page.removed) == (dots(1, 2), dots(1, 2), DotSet())


def test_a_small_replica_is_one_page() -> None:
    page = replica_of(1, 2, 3).page(None)
    assert (page.after, page.upto, page.live) == (None, None, dots(1, 2, 3))


def test_a_page_speaks_for_its_own_range_only() -> None:
    """A peer that has only the first page yet takes nothing of the rest for removed."""
    replica = replica_of(*range(1, 100, 2))
    page = replica.page(None, 8)
    assert page.upto is not None
    assert page.seen == replica.seen.between(None, page.upto)
    assert 0 < len(page.seen) < len(replica.seen)


def test_pages_cover_everything_once() -> None:
    """Also where what is seen and what is live have their holes in different places."""
    replica = Replica()
    for incarnation in (FIRST, SECOND):
        for n in range(1, 200, 2):
            put(replica, n, b"", incarnation)
        replica.remove(DotSet.of((incarnation, n) for n in range(1, 200, 3)))
    seen, live, after, pages = DotSet(), DotSet(), None, 0
    while True:
        page = replica.page(after, 16)
        assert page.after == after
        assert not (page.seen & seen)
        assert page.seen.bounds_count + page.live.bounds_count <= 16 + 2 * 2
        seen |= page.seen
        live |= page.live
        after, pages = page.upto, pages + 1
        if after is None:
            break
    assert (seen, live) == (replica.seen, replica.live_dots)
    assert pages > 10


# What is forgotten.


def full_of_incarnations(kept_live: int) -> tuple[Replica, list[str]]:
    """A replica with one message of each of too many incarnations, all of them removed but one."""
    replica = Replica()
    everything = [f"01HF{n:022d}" for n in range(incarnations_kept + 10)]
    for incarnation in everything:
        put(replica, 1, b"", incarnation)
        if incarnation != everything[kept_live]:
            replica.remove_one((incarnation, 1))
    return replica, everything


def test_pruning_keeps_the_newest_incarnations_and_all_that_hold_a_message() -> None:
    """An owner that restarts for years does not fill its peers' memory, and loses no message by that."""
    replica, everything = full_of_incarnations(3)
    assert replica.prune() == [*everything[:3], *everything[4:10]]
    assert replica.seen.incarnations == [everything[3], *everything[10:]]
    assert next(iter(replica.messages()))[0] == (everything[3], 1)
    assert replica.count == 1
    assert replica.prune() == []


def test_a_pruned_incarnation_is_not_taken_back_in_a_comparison() -> None:
    """Two replicas that prune at different times would hand it to each other for ever."""
    replica, everything = full_of_incarnations(3)
    replica.prune()
    old: Dot = (everything[0], 1)
    assert replica.news(DotSet.of([old, (everything[3], 2), (everything[-1], 2)])) == DotSet.of(
        [(everything[3], 2), (everything[-1], 2)]
    )
