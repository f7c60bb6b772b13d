"""The laws on which all replication rests (1): `put` and `remove` commute and may be repeated; replicas can be joined.

A message's body follows from its dot, as it does in life: an id never names two bodies.
"""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.message import Message
from dqtw.core.model.replica import Page, Replica

incarnations = ["01HF0000000000000000000000", "01HF0000000000000000000001", "01HF0000000000000000000002"]
dots = st.tuples(st.sampled_from(incarnations), st.integers(1, 15))
removals = st.frozensets(dots, max_size=5)
Change = Dot | frozenset[Dot]  # a put, or a removal
changes = st.lists(dots | removals, max_size=30)
Content = tuple[frozenset[Dot], frozenset[Dot]]


def message(dot: Dot) -> Message:
    return Message(f"{dot[0]}.{dot[1]}".encode()[: 10 + dot[1]])


def apply(replica: Replica, change: Change) -> None:
    if isinstance(change, frozenset):
        replica.remove(DotSet.of(change))
    else:
        replica.put(change[0], [(change[1], message(change))])


def replica_of(history: Iterable[Change]) -> Replica:
    made = Replica()
    for change in history:
        apply(made, change)
    return made


def content(replica: Replica) -> Content:
    """Return the live and the seen dots; that the replica's own books agree is checked on the way."""
    live, seen = frozenset(dot for dot, _ in replica.messages()), frozenset(replica.seen)
    assert live <= seen
    assert frozenset(replica.live_dots) == live
    assert replica.count == len(live)
    assert replica.body_bytes == sum(len(each.body) for _, each in replica.messages())
    assert all(each.body == message(dot).body for dot, each in replica.messages())
    assert replica.greatest == max((dot[0] for dot in seen), default=None)
    assert frozenset(replica.removed_dots) == seen - live
    return live, seen


def join(into: Replica, other: Replica) -> Replica:
    """Take over all that the other replica knows."""
    into.remove(other.removed_dots)
    for dot, each in other.messages():
        into.put(dot[0], [(dot[1], each)])
    return into


def expected(*histories: Iterable[Change]) -> Content:
    """Return what the definition says: seen is all that was put or removed, live what was not removed of it."""
    put, removed = set[Dot](), set[Dot]()
    for history in histories:
        for change in history:
            if isinstance(change, frozenset):
                removed |= change
            else:
                put.add(change)
    return frozenset(put - removed), frozenset(put | removed)


@given(changes)
def test_a_replica_has_seen_what_was_put_or_removed_and_nothing_else(history: list[Change]) -> None:
    assert content(replica_of(history)) == expected(history)


@given(changes, st.data())
def test_changes_in_any_order_and_repeated_give_the_same_replica(history: list[Change], data: st.DataObject) -> None:
    repeated = history + (data.draw(st.lists(st.sampled_from(history))) if history else [])
    assert content(replica_of(data.draw(st.permutations(repeated)))) == content(replica_of(history))


@given(changes)
def test_removing_one_by_one_is_removing_together(history: list[Change]) -> None:
    one_by_one = Replica()
    for change in history:
        for dot in change if isinstance(change, frozenset) else ():
            if dot in one_by_one:
                assert one_by_one.remove_one(dot) is not None
            else:
                one_by_one.remove(DotSet.of([dot]))
        if not isinstance(change, frozenset):
            apply(one_by_one, change)
    assert content(one_by_one) == content(replica_of(history))


@given(changes, changes)
def test_each_change_returns_exactly_what_was_news(history: list[Change], more: list[Change]) -> None:
    replica = replica_of(history)
    for change in more:
        live, seen = content(replica)
        if isinstance(change, frozenset):
            assert frozenset(replica.news(DotSet.of(change))) == change - (seen - live)
            assert {dot for dot, _ in replica.remove(DotSet.of(change))} == live & change
        else:
            new = replica.put(change[0], [(change[1], message(change))])
            assert bool(new) == (change not in seen)


@given(changes, changes)
def test_joining_is_commutative(one: list[Change], other: list[Change]) -> None:
    forth, back = join(replica_of(one), replica_of(other)), join(replica_of(other), replica_of(one))
    assert content(forth) == content(back) == expected(one, other)


@given(changes, changes, changes)
def test_joining_is_associative(one: list[Change], two: list[Change], three: list[Change]) -> None:
    left = join(join(replica_of(one), replica_of(two)), replica_of(three))
    right = join(replica_of(one), join(replica_of(two), replica_of(three)))
    assert content(left) == content(right)


@given(changes)
def test_joining_is_idempotent_and_an_empty_replica_is_neutral(history: list[Change]) -> None:
    """Empty never wins: it takes no message away, and lacks none afterwards."""
    assert content(join(replica_of(history), replica_of(history))) == content(replica_of(history))
    assert content(join(replica_of(history), Replica())) == content(replica_of(history))
    assert content(join(Replica(), replica_of(history))) == content(replica_of(history))


@given(changes, changes)
def test_stale_never_wins_over_removed(history: list[Change], later: list[Change]) -> None:
    stale, fresh = replica_of(history), replica_of(history + later)
    assert content(join(fresh, stale)) == content(replica_of(history + later))
    assert content(join(stale, fresh)) == content(fresh)


@given(changes, st.integers(2, 12))
def test_the_pages_of_a_digest_are_the_digest(history: list[Change], ints_max: int) -> None:
    """Every dot is on exactly one page, the pages come to an end, and none is much larger than asked for."""
    replica = replica_of(history)
    pages = pages_of(replica, ints_max)
    assert [dot for page in pages for dot in page.seen] == list(replica.seen)
    assert [dot for page in pages for dot in page.live] == list(replica.live_dots)
    for page in pages:
        assert page.seen.bounds_count + page.live.bounds_count <= ints_max + 4
        assert page == replica.between(page.after, page.upto)


def pages_of(replica: Replica, ints_max: int) -> list[Page]:
    """Return all pages, as a peer reads them one after the other."""
    pages: list[Page] = []
    after: Dot | None = None
    while not pages or after is not None:
        pages.append(replica.page(after, ints_max))
        assert pages[-1].after == after
        assert len(pages) < 1000
        after = pages[-1].upto
    return pages
