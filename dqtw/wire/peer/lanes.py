"""The bytes of a stream: frames cut into pieces, so that no frame has to wait until a long one is written.

A piece is a header of four bytes (lane, and 1 if the piece ends its frame, in one byte; length in three), the payload,
and with a key a MAC of 16 bytes over the count of the pieces before it, its header and its payload.
"""

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, TypeAlias

from attrs import frozen

from dqtw.core.links.frames import AnyFrame, Lane
from dqtw.core.model.errors import PeerFault
from dqtw.wire.peer.codec import decode, encode
from dqtw.wire.peer.window import Window

payload_bytes_max: Final = 64 * 1024
header_bytes: Final = 4
mac_bytes: Final = 16
piece_bytes_max: Final = 32 * 1024  # of the pieces that are made here
piece_bytes_min: Final = 4 * 1024  # no slow link makes the pieces of long frames smaller than this
status_bytes_max: Final = 4 * 1024 * 1024

_last: Final = 1 << 24
_lane_shift: Final = 25
_status, _express, _bulk = (each.value for each in (Lane.STATUS, Lane.EXPRESS, Lane.BULK))

Part: TypeAlias = bytes | bytearray | memoryview


class _Seal:
    """Makes the MACs of a stream's pieces, one after the other."""

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(digest_size=mac_bytes, key=key)
        self._count = 0  # of the pieces before

    def mac(self, header: Part, payload: Part) -> bytes:
        """Return the MAC of the next piece."""
        hashed = self._keyed.copy()
        hashed.update(self._count.to_bytes(8, "big") + header)
        hashed.update(payload)
        self._count += 1
        return hashed.digest()


class Outbox:
    """The frames that wait to be written to one stream.

    *Status* goes between any two pieces, then *express*, then *bulk*; while both wait, bulk has at least a quarter of
    the bytes. Order holds within a lane.

    Attributes:
        waiting_bytes: of the frames that wait, or of the part of them that is not taken yet.
    """

    def __init__(self, key: bytes | None = None, encode: Callable[[AnyFrame], bytes] = encode) -> None:
        self.waiting_bytes = 0
        self._encode = encode
        self._seal = None if key is None else _Seal(key)
        self._lanes: tuple[deque[bytes], ...] = tuple(deque() for _ in Lane)
        self._offsets = [0] * len(Lane)  # how much of each lane's first frame is taken
        self._window = Window()  # of the bulk lane
        self._express_written = 0
        self._express_read = 0  # as the peer reports it; at most what was written
        self._bulk_due = 0.0  # bytes that bulk may have before express, while both wait

    def put(self, frame: AnyFrame) -> None:
        """Append a frame to its lane."""
        data = self._encode(frame)
        self._lanes[frame.lane.value].append(data)
        self.waiting_bytes += len(data)

    def reported(self, now: float, express_read: int, bulk_read: int) -> bool:
        """Take the peer's report of how many bytes of two lanes it has read; return True if there are more of them."""
        before = self._express_read + self._window.read
        self._express_read = max(self._express_read, min(express_read, self._express_written))
        self._window.reported(now, bulk_read)
        return self._express_read + self._window.read > before

    @property
    def is_ready(self) -> bool:
        """Return True if there is something to take now."""
        status, express, bulk = self._lanes
        return bool(status or express or (bulk and self._window.is_open))

    def take(self, now: float, bytes_max: int) -> bytes:
        """Return the next pieces, at least ``bytes_max`` bytes if there are so many, and at most one piece more."""
        status, express, bulk = self._lanes
        payload_max = piece_bytes_max - header_bytes - mac_bytes
        parts: list[Part] = []
        taken = 0
        while taken < bytes_max:
            is_bulk_ready = bulk and self._window.is_open
            if status:
                taken += self._cut(_status, payload_max, parts)
            elif express and not (is_bulk_ready and self._bulk_due >= piece_bytes_max):
                size = self._cut(_express, payload_max, parts)
                taken += size
                self._express_written += size
                if is_bulk_ready:
                    self._bulk_due += size / 3
            elif is_bulk_ready:
                size = self._cut(_bulk, max(min(payload_max, self._window.size // 4), piece_bytes_min), parts)
                taken += size
                self._bulk_due = max(self._bulk_due - size, 0.0)
                self._window.wrote(now, size)
            else:
                break
        return b"".join(parts)

    def _cut(self, lane: int, payload_max: int, parts: list[Part]) -> int:
        """Append the parts of a lane's next piece; return how many bytes they have."""
        frames = self._lanes[lane]
        frame, start = frames[0], self._offsets[lane]
        size = len(frame) - start
        payload: Part = frame
        if size <= payload_max:
            header = (lane << _lane_shift | _last | size).to_bytes(header_bytes, "big")
            if start:
                payload = memoryview(frame)[start:]
                self._offsets[lane] = 0
            frames.popleft()
        else:
            size = payload_max
            header = (lane << _lane_shift | size).to_bytes(header_bytes, "big")
            payload = memoryview(frame)[start : start + size]
            self._offsets[lane] = start + size
        self.waiting_bytes -= size
        parts.append(header)
        parts.append(payload)
        if self._seal is None:
            return header_bytes + size
        parts.append(self._seal.mac(header, payload))
        return header_bytes + size + mac_bytes


@frozen
class Fed:
    """What some bytes of a stream brought.

    Attributes:
        frames: those that are complete now.
        express_bytes, bulk_bytes: how many of the bytes belong to these lanes.
    """

    frames: list[AnyFrame]
    express_bytes: int
    bulk_bytes: int


class Inbox:
    """The bytes of one stream on their way to become frames. After a `PeerFault` it is of no use any more."""

    def __init__(self, frame_bytes_max: int, key: bytes | None = None) -> None:
        self._bytes_max = tuple(status_bytes_max if lane is Lane.STATUS else frame_bytes_max for lane in Lane)
        self._seal = None if key is None else _Seal(key)
        self._overhead = header_bytes + (0 if key is None else mac_bytes)
        self._unfinished: tuple[bytearray, ...] = tuple(bytearray() for _ in Lane)  # the payloads of frames
        self._held = bytearray()  # the beginning of a piece
        self._counted = 0  # how many of the held bytes were reported as read

    def feed(self, data: bytes) -> Fed:
        """Take the next bytes.

        Raises:
            PeerFault: they break the form of a stream, or a frame in them is not valid.
        """
        source: bytes | bytearray = data
        if self._held:
            self._held += data
            source = self._held
        frames: list[AnyFrame] = []
        read_bytes = [0] * len(Lane)
        at, end = 0, len(source)
        while end - at >= header_bytes:
            header = source[at : at + header_bytes]
            lane, length = header[0] >> 1, int.from_bytes(header[1:], "big")
            if lane >= len(Lane) or not 0 < length <= payload_bytes_max:
                raise PeerFault("the stream is not cut into pieces")
            stop = at + self._overhead + length
            read_bytes[lane] += min(stop, end) - at - self._counted
            if stop > end:
                self._counted = end - at
                break
            self._counted = 0
            payload = source[at + header_bytes : at + header_bytes + length]
            if self._seal is not None and not compare_digest(
                self._seal.mac(header, payload), source[stop - mac_bytes : stop]
            ):
                raise PeerFault("a MAC is wrong: the stream was changed on its way")
            frames += self._frames_of(lane, payload, is_last=bool(header[0] & 1))
            at = stop
        if at or source is data:
            self._held = bytearray(source[at:])
        return Fed(frames, read_bytes[_express], read_bytes[_bulk])

    def _frames_of(self, lane: int, payload: bytes | bytearray, *, is_last: bool) -> tuple[AnyFrame, ...]:
        """Return the frame that ends with this payload; none if it goes on."""
        unfinished = self._unfinished[lane]
        if len(unfinished) + len(payload) > self._bytes_max[lane]:
            raise PeerFault(f"a frame is longer than {self._bytes_max[lane]} bytes")
        if not is_last:
            unfinished += payload
            return ()
        if unfinished:
            unfinished += payload
            payload = bytes(unfinished)
            unfinished.clear()
        frame = decode(payload)
        if frame.lane.value != lane:
            raise PeerFault(f"{type(frame).__name__} came in the wrong lane")
        return (frame,)
