"""The pieces of a stream: what goes first, what waits, and what is not a stream."""

from collections.abc import Sequence

import pytest

from dqtw.core.links.frames import AnyFrame, Applied, Backfill, Contents, Declined, Delta, Pair
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.message import Message
from dqtw.wire.peer.codec import encode
from dqtw.wire.peer.lanes import (
    Inbox,
    Outbox,
    header_bytes,
    mac_bytes,
    payload_bytes_max,
    piece_bytes_max,
    status_bytes_max,
)
from dqtw.wire.peer.window import bytes_first, bytes_usual
from tests.unit.wire.frames import all_frames, incarnation
from tests.unit.wire.test_codec import plain

key = b"k" * 32
keys = pytest.mark.parametrize("key", [None, key], ids=["bare", "sealed"])


def backfill(number: int, body_bytes: int) -> Backfill:
    return Backfill(1, number, 1.5, Contents({incarnation: [(1, Message(b"b" * body_bytes))]}))


def delta(upto: int, body_bytes: int) -> Delta:
    contents = Contents({incarnation: [(1, Message(b"b" * body_bytes))]})
    return Delta(1, upto, 1.5, contents, is_synced=True, is_whole=True, changes_received=0, ready={})


def outbox_of(frames: Sequence[AnyFrame], key: bytes | None = None) -> Outbox:
    outbox = Outbox(key)
    for frame in frames:
        outbox.put(frame)
    return outbox


def taken(outbox: Outbox, bytes_max: int = 2**40) -> list[AnyFrame]:
    """The frames that come out of an outbox now."""
    return Inbox(2**30).feed(outbox.take(0.0, bytes_max)).frames


@keys
def test_frames_of_all_kinds_pass(key: bytes | None) -> None:
    fed = Inbox(2**20, key).feed(outbox_of(all_frames, key).take(0.0, 2**20))
    by_lane = sorted(all_frames, key=lambda frame: frame.lane.value)
    assert list(map(plain, fed.frames)) == list(map(plain, by_lane))


def test_status_goes_first_and_express_before_bulk() -> None:
    outbox = outbox_of([backfill(1, 10), Applied(1, 1, 0), Pair("a", "b")])
    assert [type(frame) for frame in taken(outbox)] == [Pair, Applied, Backfill]


def test_a_small_frame_overtakes_the_rest_of_a_long_one() -> None:
    outbox, inbox = outbox_of([backfill(1, 1_000_000)]), Inbox(2**30)
    inbox.feed(outbox.take(0.0, 1))
    outbox.put(Applied(1, 1, 0))
    outbox.put(Pair("a", "b"))
    assert [type(frame) for frame in inbox.feed(outbox.take(0.0, 1000)).frames] == [Pair, Applied]


def test_status_goes_between_two_pieces_of_a_long_express_frame() -> None:
    outbox, inbox = outbox_of([delta(1, 1_000_000)]), Inbox(2**30)
    inbox.feed(outbox.take(0.0, 1))
    outbox.put(Pair("a", "b"))
    assert [type(frame) for frame in inbox.feed(outbox.take(0.0, 1)).frames] == [Pair]


def test_bulk_has_a_quarter_of_the_bytes_while_both_wait() -> None:
    outbox, inbox = Outbox(), Inbox(2**30)
    express = bulk = 0
    for number in range(400):
        while outbox.waiting_bytes < 4_000_000:
            outbox.put(backfill(number, 100_000))
            outbox.put(delta(number, 1_000 if number % 2 else 100_000))
            for _ in range(20):
                outbox.put(delta(number, 3_000))
        fed = inbox.feed(outbox.take(0.0, 10_000))
        express, bulk = express + fed.express_bytes, bulk + fed.bulk_bytes
        outbox.reported(0.0, express, bulk)
    assert 0.24 < bulk / (express + bulk) < 0.26


def test_express_has_all_bytes_while_bulk_waits_for_reports() -> None:
    outbox = outbox_of([backfill(1, 2 * bytes_usual)])
    while outbox.is_ready:
        outbox.take(0.0, 1)
    for upto in range(5):
        outbox.put(delta(upto, 100_000))
    assert len(taken(outbox)) == 5
    assert not outbox.is_ready
    assert outbox.waiting_bytes > 0


def test_bulk_bytes_under_way_are_bounded_until_the_peer_reports_them() -> None:
    outbox, inbox = outbox_of([backfill(1, 2**21)]), Inbox(2**30)
    under_way = inbox.feed(outbox.take(0.0, 2**40)).bulk_bytes
    assert bytes_first <= under_way < bytes_first + payload_bytes_max + header_bytes
    assert outbox.take(0.0, 2**40) == b""
    read = 0
    for second in range(6):
        outbox.reported(1.1 * second, 0, read := under_way)
        under_way += inbox.feed(outbox.take(1.1 * second, 2**40)).bulk_bytes
    assert 0.9 * bytes_usual < under_way - read < bytes_usual + payload_bytes_max + header_bytes


@keys
def test_all_bytes_of_a_lane_are_counted_once(key: bytes | None) -> None:
    outbox = outbox_of([backfill(1, 60_000), delta(1, 70_000), Pair("a", "b")], key)
    data, inbox = outbox.take(0.0, 2**40), Inbox(2**30, key)
    feds = [inbox.feed(data[at : at + 1000]) for at in range(0, len(data), 1000)]
    assert piece_bytes_max == 32 * 1024
    overhead = header_bytes + (mac_bytes if key else 0)
    express, bulk = len(encode(delta(1, 70_000))) + 3 * overhead, len(encode(backfill(1, 60_000))) + 4 * overhead
    assert sum(fed.express_bytes for fed in feds) == express
    assert sum(fed.bulk_bytes for fed in feds) == bulk
    assert max(fed.bulk_bytes for fed in feds) <= 1000  # parts of a piece count as they come


def test_reads_grow_only_as_far_as_was_written() -> None:
    outbox, inbox = outbox_of([delta(1, 1000), backfill(1, 1000)]), Inbox(2**20)
    assert not outbox.reported(0.0, 100, 100)
    fed = inbox.feed(outbox.take(0.0, 2**20))
    assert outbox.reported(0.1, 100, 0)
    assert not outbox.reported(0.2, 100, 0)
    assert not outbox.reported(0.2, 50, 0)
    assert outbox.reported(0.3, 100, 1)
    assert outbox.reported(0.4, 2**50, fed.bulk_bytes)
    assert not outbox.reported(0.5, 2**51, 2**51)


def test_waiting_bytes_are_those_that_were_not_taken() -> None:
    outbox = outbox_of([delta(1, 1_000_000)])
    before = outbox.waiting_bytes
    outbox.take(0.0, 1)
    assert outbox.waiting_bytes == before - (piece_bytes_max - header_bytes - mac_bytes)
    outbox.take(0.0, 2**40)
    assert outbox.waiting_bytes == 0
    assert not outbox.is_ready


def test_many_small_frames_leave_together() -> None:
    outbox = outbox_of([Applied(1, upto, 0) for upto in range(100)])
    assert len(taken(outbox, 65536)) == 100


@keys
def test_a_body_of_64_mib_passes(key: bytes | None) -> None:
    outbox, inbox = outbox_of([backfill(1, 64 * 2**20)], key), Inbox(2**27, key)
    read, frames = 0, list[AnyFrame]()
    while not frames:
        fed = inbox.feed(outbox.take(0.0, 1))
        read, frames = read + fed.bulk_bytes, fed.frames
        outbox.reported(0.0, 0, read)
    assert isinstance(frames[0], Backfill)
    assert len(frames[0].contents.puts[incarnation][0][1].body) == 64 * 2**20


def piece(payload: bytes, lane: int = 1, *, is_last: bool = True) -> bytes:
    return bytes([lane << 1 | is_last]) + len(payload).to_bytes(3, "big") + payload


applied = encode(Applied(1, 1, 0))


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x06\x00\x00\x01\xc0",
        b"\xff\xff\xff\xff",
        piece(b""),
        piece(b"", is_last=False),
        piece(b"\xc0" * (payload_bytes_max + 1)),
        piece(b"\xc1"),
        piece(applied[:-1]),
        piece(applied + b"\x00"),
        piece(applied, lane=0),
        piece(applied, lane=2),
        piece(applied, is_last=False) + piece(applied),
    ],
)
def test_what_is_not_a_stream_is_a_fault(data: bytes) -> None:
    with pytest.raises(PeerFault):
        Inbox(2**20).feed(data)
    inbox = Inbox(2**20)
    with pytest.raises(PeerFault):
        for each in data:
            inbox.feed(bytes([each]))


@pytest.mark.parametrize(("lane", "bytes_max"), [(0, status_bytes_max), (1, 200_000), (2, 200_000)])
def test_a_frame_that_is_too_long_is_a_fault_before_it_is_complete(lane: int, bytes_max: int) -> None:
    inbox, long = Inbox(200_000), piece(b"\x90" * payload_bytes_max, lane, is_last=False)
    for _ in range(bytes_max // payload_bytes_max):
        assert inbox.feed(long).frames == []
    with pytest.raises(PeerFault, match="longer than"):
        inbox.feed(long)


def test_small_pieces_hold_no_more_memory_than_their_bytes() -> None:
    inbox = Inbox(2**30)
    for _ in range(10_000):
        inbox.feed(piece(b"\x90", is_last=False))
    assert sum(map(len, inbox._unfinished)) == 10_000
    assert len(inbox._held) == 0


class TestSealed:
    """With a key, whatever changes the stream is noticed."""

    frames = (Declined(1, "one"), Declined(2, "two"), Declined(3, "six"))

    def pieces(self) -> list[bytes]:
        outbox = Outbox(key)
        made = []
        for frame in self.frames:
            outbox.put(frame)
            made.append(outbox.take(0.0, 1))
        return made

    def test_an_untouched_stream_passes(self) -> None:
        assert Inbox(2**20, key).feed(b"".join(self.pieces())).frames == list(self.frames)

    @pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 1), (1, 2), (0, 2), (0, 1, 1), (2, 1, 0)])
    def test_pieces_that_are_repeated_left_out_or_in_another_order_are_a_fault(self, order: Sequence[int]) -> None:
        pieces = self.pieces()
        with pytest.raises(PeerFault, match="MAC"):
            Inbox(2**20, key).feed(b"".join(pieces[each] for each in order))

    def test_any_changed_bit_is_a_fault_or_an_endless_wait(self) -> None:
        data = b"".join(self.pieces())
        for at in range(len(data)):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            inbox, read = Inbox(2**20, key), []
            try:
                read += inbox.feed(changed).frames
                read += inbox.feed(b"\x00" * 2 * payload_bytes_max).frames
            except PeerFault:
                pass
            else:
                pytest.fail(f"the change at {at} was not noticed")
            assert read == list(self.frames)[: len(read)]

    @pytest.mark.parametrize("flipped", [b"\x02", b"\x01", b"\x05"])
    def test_the_mac_covers_the_header(self, flipped: bytes) -> None:
        data = self.pieces()[0]
        assert data[:1] == b"\x03"
        with pytest.raises(PeerFault, match="MAC"):
            Inbox(2**20, key).feed(flipped + data[1:])

    @pytest.mark.parametrize("other", [None, b"K" * 32])
    def test_another_key_or_none_is_a_fault(self, other: bytes | None) -> None:
        with pytest.raises(PeerFault):
            Inbox(2**20, other).feed(b"".join(self.pieces()) + b"\x00" * 2**17)
        with pytest.raises(PeerFault):
            Inbox(2**20, key).feed(outbox_of(self.frames, other).take(0.0, 2**20) + b"\x00" * 2**17)
