"""The laws of a whole exchange, as two nodes hold it: sessions, pages of digests, chunks, fetches, in any order.

`Copy` alone has its own laws; here two or three copies meet through `Session` and `Digest`, cut anywhere, with requests
that are repeated, lost in part and reordered, while their owner goes on.
"""

from collections.abc import Iterable, Iterator

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from dqtw.core.links.peer_messages import Put
from dqtw.core.model.copy import Copy, owed
from dqtw.core.model.id_set import Dot, IdSet
from dqtw.core.model.message import Message, MessageId
from dqtw.core.replication.session import Chunk, Session

incarnations = ["01HF0000000000000000000000", "01HF0000000000000000000001", "01HF0000000000000000000002"]
ids = st.builds(MessageId, st.just("q"), st.sampled_from(incarnations), st.integers(1, 12))
Change = MessageId | frozenset[MessageId]  # a put, or a gone
histories = st.lists(ids | st.frozensets(ids, max_size=5), max_size=20)
page_sizes = st.integers(1, 12)
Content = tuple[frozenset[MessageId], frozenset[MessageId]]


def message(id: MessageId) -> Message:
    """An id never names two bodies."""
    return Message(str(id).encode())


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


def content(copy: Copy) -> Content:
    assert frozenset(copy.live) == frozenset(copy.live_ids) <= frozenset(copy.seen)
    assert all(copy.live[id].body == message(id).body for id in copy.live)
    return frozenset(copy.live), frozenset(copy.seen)


def expected(*histories: Iterable[Change]) -> Content:
    """What was held and never removed is live; what was held or removed was seen; nothing else."""
    put, gone = set[MessageId](), set[MessageId]()
    for history in histories:
        for change in history:
            (put.add(change) if isinstance(change, MessageId) else gone.update(change))
    return frozenset(put - gone), frozenset(put | gone)


@frozen
class Request:
    """What one side tells the other: removals and messages."""

    gone: IdSet
    put: tuple[Put, ...]

    def arrive(self, copy: Copy) -> None:
        copy.gone(self.gone)
        for put in self.put:
            copy.put(put.id, put.message(0.0))


def pages_read(session: Session, peer: Copy, ints_max: int) -> Iterator[IdSet]:
    """Read the peer's digest page by page, some not to the end; what each shows as removed there and not here."""
    while not session.whole:
        yield session.read(peer.page(session.after, ints_max), 13 - ints_max).gone


def chunks(session: Session, data: st.DataObject) -> Iterator[Request]:
    """All that the peer is owed, in requests that are cut anywhere: a part of a chunk is as good as a chunk."""
    while not session.owes_nothing:
        chunk: Chunk = session.take_chunk(0.0)
        cut = data.draw(st.integers(0, len(chunk.put)))
        yield Request(chunk.gone, chunk.put[:cut])
        yield Request(IdSet("q"), chunk.put[cut:])


def fetches(session: Session, peer: Copy, data: st.DataObject) -> Iterator[Request]:
    """All that only the peer has, a few at a time; what is gone there by now is told as gone."""
    while needed := session.take_needed():
        asked = IdSet.of("q", list(needed)[: data.draw(st.integers(1, 4))])
        live = asked & peer.live_ids
        yield Request(asked & (peer.seen - peer.live_ids), tuple(Put.of(0.0, id, peer.live[id]) for id in live))
        session.need -= asked


def disorder(requests: Iterable[Request], data: st.DataObject) -> list[Request]:
    """Reordered, and some of them twice."""
    listed = list(requests)
    return data.draw(st.permutations(listed + [each for each in listed if data.draw(st.booleans())]))


def exchange(opener: Copy, peer: Copy, data: st.DataObject, meanwhile: Iterable[Change] = ()) -> None:
    """Bring two copies together as the opener does, while its own copy goes on changing."""
    session = Session(opener, "token")
    left = list(meanwhile)

    def go_on() -> None:
        if left:
            change = left.pop(0)
            apply(opener, change)
            if isinstance(change, MessageId):
                session.note_fresh(change)
            else:
                session.note_all_gone(IdSet.of("q", change))

    for removed in pages_read(session, peer, data.draw(page_sizes)):
        opener.gone(removed)
        go_on()
    for request in fetches(session, peer, data):
        request.arrive(opener)
        go_on()
    while left:
        go_on()
    for request in disorder(chunks(session, data), data):
        request.arrive(peer)


@given(histories, histories, st.data())
@settings(max_examples=60, deadline=None)
def test_two_copies_are_equal_after_an_exchange(one: list[Change], other: list[Change], data: st.DataObject) -> None:
    """Whatever either went through, in pages and chunks of any size, repeated and reordered."""
    opener, peer = copy_of(one), copy_of(other)
    exchange(opener, peer, data)
    assert content(opener) == content(peer) == expected(one, other)


@given(histories, histories, histories, st.data())
@settings(max_examples=60, deadline=None)
def test_two_copies_are_equal_though_the_owner_went_on_meanwhile(
    one: list[Change], other: list[Change], meanwhile: list[Change], data: st.DataObject
) -> None:
    """New messages and removals between two pages, two fetches and two chunks are not lost between them."""
    opener, peer = copy_of(one), copy_of(other)
    exchange(opener, peer, data, meanwhile)
    assert content(opener) == content(peer) == expected(one, other, meanwhile)


@given(histories, histories, st.data())
@settings(max_examples=40, deadline=None)
def test_who_opens_does_not_matter(one: list[Change], other: list[Change], data: st.DataObject) -> None:
    """Commutative."""
    a, b, c, d = copy_of(one), copy_of(other), copy_of(one), copy_of(other)
    exchange(a, b, data)
    exchange(d, c, data)
    assert content(a) == content(b) == content(c) == content(d)


@given(histories, histories, histories, st.data())
@settings(max_examples=40, deadline=None)
def test_in_which_order_three_meet_does_not_matter(
    one: list[Change], two: list[Change], three: list[Change], data: st.DataObject
) -> None:
    """Associative: after each has met each, whoever was first, all are equal."""
    copies = [copy_of(history) for history in (one, two, three)]
    meetings = [(0, 1), (1, 2), (0, 2), (0, 1), (1, 2)]
    for left, right in data.draw(st.permutations(meetings)):
        exchange(copies[left], copies[right], data)
    for left, right in ((0, 1), (0, 2), (1, 2)):
        exchange(copies[left], copies[right], data)
    assert {content(copy) for copy in copies} == {expected(one, two, three)}


@given(histories, histories, st.data())
@settings(max_examples=40, deadline=None)
def test_a_second_exchange_tells_nothing(one: list[Change], other: list[Change], data: st.DataObject) -> None:
    """Idempotent: equal copies owe each other nothing, whatever the pages."""
    opener, peer = copy_of(one), copy_of(other)
    exchange(opener, peer, data)
    session = Session(opener, "token")
    assert not any(pages_read(session, peer, data.draw(page_sizes)))
    assert session.owes_nothing
    assert not session.need


@given(histories, st.booleans(), st.data())
@settings(max_examples=40, deadline=None)
def test_the_copy_of_a_node_that_lost_its_memory_is_neutral(
    history: list[Change], empty_opens: bool, data: st.DataObject
) -> None:
    """Empty never wins, whichever side it is on: nothing is removed, and the empty one gets everything."""
    full, empty = copy_of(history), Copy("q")
    if empty_opens:
        exchange(empty, full, data)
    else:
        exchange(full, empty, data)
    assert content(full) == content(empty) == expected(history)


@given(histories, histories, st.booleans(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_stale_copy_never_brings_back_what_was_removed(
    history: list[Change], later: list[Change], stale_opens: bool, data: st.DataObject
) -> None:
    """A node that was away for an hour takes over what happened; nothing that it missed is undone."""
    stale, fresh = copy_of(history), copy_of([*history, *later])
    removed = frozenset(fresh.seen - fresh.live_ids)
    exchange(*((stale, fresh) if stale_opens else (fresh, stale)), data)
    assert all(fresh.knows_removed(id) and stale.knows_removed(id) for id in removed)
    assert content(fresh) == content(stale) == expected(history, later)


@given(histories, histories, st.data())
@settings(max_examples=60, deadline=None)
def test_any_part_of_an_exchange_is_safe_by_itself(one: list[Change], other: list[Change], data: st.DataObject) -> None:
    """It may break off anywhere: nothing is seen that was not held or removed, nothing live is lost, and both go on."""
    opener, peer = copy_of(one), copy_of(other)
    before = content(peer)
    session = Session(opener, "token")
    requests: list[Request] = []
    for removed in pages_read(session, peer, data.draw(page_sizes)):
        opener.gone(removed)
        if data.draw(st.booleans()):
            break
    requests += chunks(evolve_whole(session), data)
    for request in data.draw(st.lists(st.sampled_from(requests), max_size=5)) if requests else []:
        request.arrive(peer)
    for request in list(fetches(session, peer, data))[:1]:
        request.arrive(opener)
    live, seen = expected(one, other)
    for copy, own in ((opener, frozenset(copy_of(one).live)), (peer, before[0])):
        assert content(copy)[1] <= seen
        assert content(copy)[0] >= own & live
        assert not content(copy)[0] - frozenset(expected(one)[0] | expected(other)[0])
    exchange(peer, opener, data)
    assert content(opener) == content(peer) == (live, seen)


def evolve_whole(session: Session) -> Session:
    """What a session owes after it broke off in the middle of the digest; no longer than to send that."""
    session.whole = True
    return session


@given(histories, histories, page_sizes, page_sizes)
@settings(max_examples=60, deadline=None)
def test_a_page_speaks_for_its_range_only(
    one: list[Change], other: list[Change], ints_max: int, own_ints_max: int
) -> None:
    """After each page exactly the ids up to its end are compared: none before was left out, none after is touched."""
    opener, peer = copy_of(one), copy_of(other)
    session = Session(opener, "token")
    removed = IdSet("q")
    while not session.whole:
        removed.update(session.read(peer.page(session.after, ints_max), own_ints_max).gone)
        upto: Dot | None = session.after
        mine, theirs = opener.digest(None, upto), peer.digest(None, upto)
        to_peer, to_me = owed(mine, theirs), owed(theirs, mine)
        assert (session.gones, session.backlog) == (to_peer.gone, to_peer.put)
        assert (removed, session.need) == (to_me.gone, to_me.put)
    assert evolve(mine, after=None, upto=None) == opener.digest()


@given(histories, histories, histories, st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_neither_owed_nor_told_the_peer_knows(
    one: list[Change], other: list[Change], meanwhile: list[Change], data: st.DataObject
) -> None:
    """The one sentence on which every answer to a client rests, after any number of chunks."""
    opener, peer = copy_of(one), copy_of(other)
    session = Session(opener, "token")
    for removed in pages_read(session, peer, data.draw(page_sizes)):
        opener.gone(removed)
    for change in meanwhile:
        if isinstance(change, MessageId):
            if opener.put(change, message(change)):
                session.need.discard(change)
                session.note_fresh(change)
        else:
            opener.gone(IdSet.of("q", change))
            session.note_all_gone(IdSet.of("q", change))
        if data.draw(st.booleans()):
            chunk = session.take_chunk(0.0)
            Request(chunk.gone, chunk.put).arrive(peer)
        for id in opener.seen:
            if not session.lacks(id):
                assert id in peer.seen
                assert (id in opener.live) == (id in peer.live)
