"""A copy of a queue: what it holds, what it has seen, and what that says of the rest. Its laws are property tests."""

from dqtw.core.model.copy import Copy, Owed, incarnations_kept, owed
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import Message, MessageId

FIRST, SECOND = "01HF0000000000000000000000", "01HF0000000000000000000001"


def named(n: int, incarnation: str = FIRST) -> MessageId:
    return MessageId("q", incarnation, n)


def ids(*numbers: int) -> IdSet:
    return IdSet.of("q", map(named, numbers))


def copy_of(*numbers: int) -> Copy:
    made = Copy("q")
    for n in numbers:
        made.put(named(n), Message(b"%d" % n))
    return made


def test_a_message_is_held_once() -> None:
    copy = Copy("q")
    assert copy.put(named(1), Message(b"first"))
    assert not copy.put(named(1), Message(b"other"))
    assert copy.live[named(1)].body == b"first"
    assert copy.body_bytes == 5


def test_stale_never_wins_over_removed() -> None:
    """A message that a worker has acknowledged does not come back with a late or repeated request."""
    copy = copy_of(1)
    copy.remove(named(1))
    assert not copy.put(named(1), Message(b"1"))
    assert copy.knows_removed(named(1))
    assert (copy.live, copy.body_bytes) == ({}, 0)


def test_a_removal_that_comes_before_its_message_wins() -> None:
    copy = Copy("q")
    assert copy.remove(named(1)) is None
    assert not copy.put(named(1), Message(b"1"))
    assert copy.knows_removed(named(1))


def test_what_was_never_heard_of_is_not_known_as_removed() -> None:
    """Else a node that lost its memory would take everybody's messages away."""
    copy = copy_of(1)
    assert not copy.knows_removed(named(1))
    assert not copy.knows_removed(named(2))


def test_removing_many_tells_which_of_them_were_live() -> None:
    copy = copy_of(1, 2, 3)
    removed = copy.gone(ids(2, 3, 4))
    assert {id: message.body for id, message in removed.items()} == {named(2): b"2", named(3): b"3"}
    assert (copy.live_ids, copy.seen, copy.body_bytes) == (ids(1), ids(1, 2, 3, 4), 1)
    assert copy.gone(ids(2, 3, 4)) == {}


def test_bytes_are_counted_exactly() -> None:
    copy = copy_of(1, 22, 333)
    assert copy.body_bytes == 6
    copy.remove(named(22))
    copy.remove(named(22))
    assert copy.body_bytes == 4
    copy.gone(ids(1, 333))
    assert copy.body_bytes == 0


def test_a_digest_was_read_at_one_moment() -> None:
    """What happens while a peer reads it does not make a message look removed."""
    copy = copy_of(1, 2)
    digest = copy.digest()
    copy.put(named(3), Message(b""))
    copy.remove(named(1))
    assert (digest.seen, digest.live, digest.removed) == (ids(1, 2), ids(1, 2), IdSet("q"))


def test_each_owes_the_other_what_it_lacks_and_no_more() -> None:
    mine, theirs = copy_of(1, 2, 3, 4), copy_of(2, 3, 5)
    mine.gone(ids(3, 4))
    theirs.gone(ids(2))
    assert owed(mine.digest(), theirs.digest()) == Owed(gone=ids(3, 4), put=ids(1))
    assert owed(theirs.digest(), mine.digest()) == Owed(gone=ids(2), put=ids(5))


def test_a_small_copy_is_one_page() -> None:
    page = copy_of(1, 2, 3).page(None)
    assert (page.after, page.upto, page.live) == (None, None, ids(1, 2, 3))


def test_a_page_speaks_for_its_own_range_only() -> None:
    """A peer that has only the first page yet takes nothing of the rest for removed."""
    copy = copy_of(*range(1, 100, 2))
    page = copy.page(None, 8)
    assert page.upto is not None
    assert page.seen == copy.seen.between(None, page.upto)
    assert 0 < len(page.seen) < len(copy.seen)


def test_pruning_keeps_the_newest_incarnations_and_all_that_hold_a_message() -> None:
    """An owner that restarts for years does not fill its peers' memory, and loses no message by that."""
    copy = Copy("q")
    everything = [f"01HF{n:022d}" for n in range(incarnations_kept + 10)]
    for incarnation in everything:
        copy.put(named(1, incarnation), Message(b""))
        if incarnation != everything[3]:
            copy.remove(named(1, incarnation))
    forgotten = copy.prune()
    assert forgotten == [*everything[:3], *everything[4:10]]
    assert copy.seen.incarnations == [everything[3], *everything[10:]]
    assert list(copy.live) == [named(1, everything[3])]
    assert copy.prune() == []
