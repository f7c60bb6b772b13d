"""The bytes of peer links: round trips in any chunks, and arbitrary bytes."""

import itertools
from collections.abc import Sequence
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.links.frames import (
    AnyFrame,
    Applied,
    Backfill,
    Contents,
    Delta,
    Heard,
    Lane,
    NodeReport,
    Pair,
    Record,
    Status,
)
from dqtw.core.links.streams import StreamRefused
from dqtw.core.model.dots import DotSet
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.message import Message, number_max
from dqtw.wire.peer.codec import Encoder, decode, encode
from dqtw.wire.peer.handshake import read_answer, read_refusal, read_request
from dqtw.wire.peer.items import check_items
from dqtw.wire.peer.lanes import Inbox, Outbox
from tests.unit.wire.frames import all_frames, contents_of, delta_of
from tests.unit.wire.test_codec import plain
from tests.unit.wire.test_handshake import request

key = b"k" * 32
numbers = st.integers(0, number_max)
times = st.floats(-1e9, 1e9)
durations = st.floats(0, 1e9)
incarnations = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=25, max_size=25).map("0".__add__)
nodes = st.text("abcXYZ019_-", min_size=1, max_size=63)
keys = st.text(st.characters(blacklist_categories=["C", "Zl", "Zp"]), min_size=1, max_size=255)
message_keys = st.none() | keys
messages = st.builds(
    Message, st.binary(max_size=300), st.text("abc/; =~!", min_size=1, max_size=255), message_keys, times
)
dots = st.lists(st.tuples(incarnations, st.integers(1, number_max)), max_size=5).map(DotSet.of)
records = st.builds(Record, keys, incarnations, st.integers(1, number_max), st.binary(min_size=16, max_size=16), times)
puts = st.dictionaries(incarnations, st.lists(st.tuples(st.integers(1, number_max), messages), max_size=3), max_size=3)
contents = st.builds(Contents, puts, dots, st.lists(records, max_size=3))
queues = st.text("abXZ09", min_size=1, max_size=64)
deltas = st.builds(
    Delta, numbers, numbers, times, contents, st.booleans(), st.booleans(), numbers, st.dictionaries(queues, numbers)
)
greatest = st.none() | incarnations
heard = st.builds(Heard, st.text("0123456789abcdef", min_size=32, max_size=32), greatest, st.booleans(), durations)
addresses = st.sampled_from(["", "http://b:1", "https://b.test:8081"])
reports = st.builds(
    NodeReport, greatest, addresses, st.lists(heard, max_size=3), st.booleans(), st.booleans(), greatest
)
statuses = st.builds(
    Status,
    *(nodes, greatest, durations, st.booleans(), numbers, numbers),
    st.dictionaries(nodes, reports, max_size=3),
    st.lists(nodes, max_size=3),
    st.dictionaries(st.sampled_from(["--copies", "--key-memory"]), durations),
)
names = st.text("abc!~09.", min_size=1, max_size=256)
frames = st.one_of(
    deltas,
    statuses,
    st.builds(Pair, names, names),
    st.builds(Applied, numbers, numbers, numbers),
    st.builds(Backfill, numbers, numbers, times, contents),
    st.sampled_from(all_frames),
)


@given(frames)
def test_a_frame_is_read_as_it_was_written(frame: AnyFrame) -> None:
    assert plain(decode(encode(frame))) == plain(frame)
    assert Encoder().encode(frame) == encode(frame)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_a_fault_or_nothing(data: bytes) -> None:
    for read in (decode, check_items, Inbox(1000).feed, Inbox(1000, key).feed):
        with suppress(PeerFault):
            read(data)


@given(st.sampled_from(all_frames), st.data())
def test_changed_frames_raise_a_fault_or_nothing(frame: AnyFrame, data: st.DataObject) -> None:
    changed = bytearray(encode(frame))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        if data.draw(st.booleans()):
            changed[at] = data.draw(st.integers(0, 255))
        else:
            changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=5))
        if not changed:
            return
    try:
        again = decode(bytes(changed))
    except PeerFault:
        return
    assert plain(decode(encode(again))) == plain(again)


long_frames: list[AnyFrame] = [delta_of(contents_of(b"e" * 70_000)), Backfill(1, 1, 1.5, contents_of(b"b" * 150_000))]
some_frames = st.lists(st.sampled_from([*all_frames, *long_frames]), min_size=1, max_size=8)
sizes = st.lists(st.integers(1, 3000), min_size=1, max_size=5).map(lambda some: [*some, 20_000])


@given(some_frames, sizes, sizes, st.booleans())
def test_frames_pass_in_any_chunks_in_the_order_of_their_lanes(
    sent: list[AnyFrame], takes: Sequence[int], cuts: Sequence[int], has_key: bool
) -> None:
    outbox, inbox = Outbox(key if has_key else None), Inbox(10**6, key if has_key else None)
    received: list[AnyFrame] = []
    on_way = bytearray()
    take_sizes, cut_sizes = itertools.cycle(takes), itertools.cycle(cuts)
    waiting = iter(sent)
    taken_bytes = read_bytes = bulk_read = 0
    while True:
        if (frame := next(waiting, None)) is not None:
            outbox.put(frame)
        piece = outbox.take(0.0, next(take_sizes))
        taken_bytes += len(piece)
        on_way += piece
        size = next(cut_sizes)
        fed = inbox.feed(bytes(on_way[:size]))
        del on_way[:size]
        received += fed.frames
        read_bytes += fed.express_bytes + fed.bulk_bytes
        bulk_read += fed.bulk_bytes
        outbox.reported(0.0, read_bytes, bulk_read)
        if frame is None and not on_way and not outbox.is_ready:
            break
    assert outbox.waiting_bytes == 0
    assert read_bytes <= taken_bytes
    for lane in Lane:
        there = [plain(frame) for frame in received if frame.lane is lane]
        assert there == [plain(frame) for frame in sent if frame.lane is lane]


@given(st.lists(st.sampled_from(all_frames), min_size=1, max_size=3), st.data())
def test_with_a_key_nothing_that_was_changed_is_read(sent: list[AnyFrame], data: st.DataObject) -> None:
    outbox = Outbox(key)
    pieces = []
    for frame in sent:
        outbox.put(frame)
        pieces.append(outbox.take(0.0, 1))
    good = b"".join(pieces)
    start = data.draw(st.integers(0, len(good) - 1))
    stop = data.draw(st.integers(start, min(start + 40, len(good))))
    changed = good[:start] + data.draw(st.binary(max_size=40)) + good[stop:]
    inbox, received = Inbox(10**6, key), list[AnyFrame]()
    try:
        for each in changed:
            received += inbox.feed(bytes([each])).frames
    except PeerFault:
        pass
    assert list(map(plain, received)) == list(map(plain, sent[: len(received)]))
    assert len(received) < len(sent) or changed[: len(good)] == good


@given(st.dictionaries(st.sampled_from(["Dqtw-Node", "Dqtw-Nonce", "Dqtw-Mac", "Dqtw-Number"]), st.lists(st.binary())))
def test_arbitrary_headers_are_refused_and_raise_nothing_else(headers: dict[str, list[bytes]]) -> None:
    def values(name: str) -> list[bytes]:
        return headers.get(name, [])

    assert isinstance(read_request(values, (b"secret",)), StreamRefused)
    with suppress(PeerFault):
        read_answer(values, request, None)


@given(st.binary())
def test_arbitrary_documents_are_no_refusals(body: bytes) -> None:
    assert read_refusal(body) is None
