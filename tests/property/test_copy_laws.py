"""The laws on which all replication rests: `put` and `gone` commute and may be repeated, and so do whole transfers.

A message's body follows from its id, as it does in life: an id never names two bodies.
"""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.model.copy import Copy, Digest, owed
from dqtw.core.model.id_set import Dot, IdSet
from dqtw.core.model.message import Message, MessageId

incarnations = ["01HF0000000000000000000000", "01HF0000000000000000000001", "01HF0000000000000000000002"]
ids = st.builds(MessageId, st.just("q"), st.sampled_from(incarnations), st.integers(1, 15))
gones = st.frozensets(ids, max_size=5)
Change = MessageId | frozenset[MessageId]  # a put, or a gone
changes = st.lists(ids | gones, max_size=30)


def message(id: MessageId) -> Message:
    return Message(str(id.n).encode())


def apply(copy: Copy, change: Change) -> None:
    if isinstance(change, MessageId):
        copy.put(change, message(change))
    else:
        copy.gone(IdSet.of("q", change))


def copy_of(history: Iterable[Change]) -> Copy:
    made = Copy("q")
    for change in history:
        apply(made, change)
    return made


def content(copy: Copy) -> tuple[frozenset[MessageId], frozenset[MessageId]]:
    """What a copy says: its live and its seen ids. That its own books agree is seen to on the way."""
    live, seen = frozenset(copy.live), frozenset(copy.seen)
    assert live <= seen
    assert frozenset(copy.live_ids) == live
    assert copy.body_bytes == sum(len(each.body) for each in copy.live.values())
    assert all(copy.live[id].body == message(id).body for id in live)
    return live, seen


def join(into: Copy, other: Copy) -> Copy:
    """Take over all that the other copy knows."""
    lacks = owed(other.digest(), into.digest())
    into.gone(lacks.gone)
    for id in lacks.put:
        into.put(id, other.live[id])
    return into


def expected(history: Iterable[Change]) -> tuple[frozenset[MessageId], frozenset[MessageId]]:
    """What the definition says: seen is all that was held or removed, live what was not removed of it."""
    put, gone = set[MessageId](), set[MessageId]()
    for change in history:
        (put.add(change) if isinstance(change, MessageId) else gone.update(change))
    return frozenset(put - gone), frozenset(put | gone)


@given(changes)
def test_a_copy_has_seen_what_it_held_or_knew_removed_and_nothing_else(history: list[Change]) -> None:
    """`seen` never covers a message that was not held: such a message could never come back."""
    assert content(copy_of(history)) == expected(history)


@given(changes, st.data())
def test_changes_in_any_order_and_repeated_give_the_same_copy(history: list[Change], data: st.DataObject) -> None:
    repeated = history + (data.draw(st.lists(st.sampled_from(history))) if history else [])
    assert content(copy_of(data.draw(st.permutations(repeated)))) == content(copy_of(history))


@given(changes)
def test_removing_one_by_one_is_removing_together(history: list[Change]) -> None:
    one_by_one = Copy("q")
    for change in history:
        if isinstance(change, MessageId):
            apply(one_by_one, change)
        else:
            for id in change:
                one_by_one.remove(id)
    assert content(one_by_one) == content(copy_of(history))


@given(changes, changes)
def test_a_removal_tells_exactly_what_was_live(history: list[Change], more: list[Change]) -> None:
    copy = copy_of(history)
    for change in more:
        before = set(copy.live)
        if isinstance(change, MessageId):
            assert copy.put(change, message(change)) == (change in set(copy.live) - before)
        else:
            assert set(copy.gone(IdSet.of("q", change))) == before & change
            assert all(copy.knows_removed(id) for id in change)


@given(changes, changes)
def test_joining_is_commutative(one: list[Change], other: list[Change]) -> None:
    forth, back = join(copy_of(one), copy_of(other)), join(copy_of(other), copy_of(one))
    assert content(forth) == content(back) == expected(one + other)


@given(changes, changes, changes)
def test_joining_is_associative(one: list[Change], two: list[Change], three: list[Change]) -> None:
    left = join(join(copy_of(one), copy_of(two)), copy_of(three))
    right = join(copy_of(one), join(copy_of(two), copy_of(three)))
    assert content(left) == content(right)


@given(changes)
def test_joining_twice_changes_nothing(history: list[Change]) -> None:
    assert content(join(copy_of(history), copy_of(history))) == content(copy_of(history))


@given(changes)
def test_the_copy_of_a_node_that_lost_its_memory_is_neutral(history: list[Change]) -> None:
    """Empty never wins: it neither takes a message away, nor is it short of one afterwards."""
    assert content(join(copy_of(history), Copy("q"))) == content(copy_of(history))
    assert content(join(Copy("q"), copy_of(history))) == content(copy_of(history))


@given(changes, changes)
def test_stale_never_wins_over_removed(history: list[Change], later: list[Change]) -> None:
    """A copy that missed what came later brings no removed message back, and loses no message it did not know."""
    assert content(join(copy_of(history + later), copy_of(history))) == content(copy_of(history + later))
    assert content(join(copy_of(history), copy_of(history + later))) == content(copy_of(history + later))


@given(changes, changes)
def test_each_is_told_no_more_than_it_lacks(one: list[Change], other: list[Change]) -> None:
    mine, theirs = copy_of(one), copy_of(other)
    lacks = owed(mine.digest(), theirs.digest())
    assert set(lacks.put) == set(mine.live) - set(theirs.seen)
    assert set(lacks.gone) == set(mine.seen) - set(mine.live) - (set(theirs.seen) - set(theirs.live))
    joined = join(copy_of(other), copy_of(one))
    again = owed(mine.digest(), joined.digest())
    assert (again.gone, again.put) == (IdSet("q"), IdSet("q"))


@given(changes, st.integers(1, 12))
def test_the_pages_of_a_digest_are_the_digest(history: list[Change], ints_max: int) -> None:
    """Every id is on exactly one page, the pages come to an end, and none is much larger than asked for."""
    copy = copy_of(history)
    pages = pages_of(copy, ints_max)
    assert [id for page in pages for id in page.seen] == list(copy.seen)
    assert [id for page in pages for id in page.live] == list(copy.live_ids)
    for page in pages:
        assert page.seen.bounds_count + page.live.bounds_count <= max(ints_max, 2) + 4
        assert page == copy.digest(page.after, page.upto)


@given(changes, changes, changes, st.integers(1, 12), st.data())
def test_an_exchange_page_by_page_ends_in_the_join(
    one: list[Change], other: list[Change], meanwhile: list[Change], ints_max: int, data: st.DataObject
) -> None:
    """Both end with what either knew.

    Whatever happens to the owner's copy while the pages come in, and however the deltas that follow from the pages
    are cut, repeated and reordered on the way.
    """
    owner, peer = copy_of(one), copy_of(other)
    to_owner: list[Change] = []
    to_peer: list[Change] = []
    left = list(meanwhile)
    for page in pages_of(peer, ints_max):
        mine = owner.digest(page.after, page.upto)
        to_owner += deltas(owed(page, mine).gone, owed(page, mine).put, data)
        to_peer += deltas(owed(mine, page).gone, owed(mine, page).put, data)
        for change in left[:3]:
            apply(owner, change)
        left = left[3:]
    happened = meanwhile[: len(meanwhile) - len(left)]
    deliver(owner, to_owner, data)
    deliver(peer, to_peer + happened, data)
    assert content(owner) == content(peer) == expected(one + other + happened)


def pages_of(copy: Copy, ints_max: int) -> list[Digest]:
    """All pages, as a peer reads them one after the other."""
    pages: list[Digest] = []
    after: Dot | None = None
    while not pages or after is not None:
        pages.append(copy.page(after, ints_max))
        assert pages[-1].after == after
        assert len(pages) < 1000
        after = pages[-1].upto
    return pages


def deltas(gone: IdSet, put: IdSet, data: st.DataObject) -> list[Change]:
    """The same as several requests, cut anywhere."""
    ids = list(gone)
    cut = data.draw(st.integers(0, len(ids)))
    return [frozenset(ids[:cut]), frozenset(ids[cut:]), *put]


def deliver(copy: Copy, requests: list[Change], data: st.DataObject) -> None:
    """In any order, some of them twice."""
    for change in data.draw(st.permutations(requests)):
        apply(copy, change)
        if data.draw(st.booleans()):
            apply(copy, change)


@given(changes, st.lists(ids, max_size=10))
def test_messages_put_together_are_messages_put_one_by_one(history: list[Change], more: list[MessageId]) -> None:
    together, one_by_one = copy_of(history), copy_of(history)
    news = together.put_all((id, message(id)) for id in more)
    assert news == [id for id in more if one_by_one.put(id, message(id))]
    assert content(together) == content(one_by_one)
