"""Frames as bytes: MessagePack.

Reading is total: any bytes give a frame whose values the core may use as they are, or raise `PeerFault`, in time and
memory that follow the length of the input.
"""

from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from dqtw.core.links.frames import AnyFrame, Contents, Delta
from dqtw.core.model.dots import DotSet
from dqtw.core.model.errors import PeerFault
from dqtw.wire.peer.checks import check_frame
from dqtw.wire.peer.items import check_items
from dqtw.wire.peer.text import bare

Data: TypeAlias = bytes | bytearray

shared_max: Final = 4  # contents of which the encoded bytes are kept
unscanned_bytes_max: Final = 2 * 1024 * 1024  # a longer frame has large bodies; all else is small

# Writing


class _SharedDelta(Struct, frozen=True, array_like=True, tag="delta"):
    """A `Delta` whose contents are encoded already; the same fields in the same order."""

    session: int
    upto: int
    clock_s: float
    contents: Raw
    is_synced: bool
    is_whole: bool
    changes_received: int
    ready: dict[str, int]


def _to_wire(value: Any) -> Any:
    if isinstance(value, DotSet):
        return value.to_wire()
    raise TypeError(f"peers send no {type(value).__name__}")


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_to_wire).encode


def encode(frame: AnyFrame) -> bytes:
    """Return a frame as bytes."""
    return _encode(frame)


class Encoder:
    """Encodes frames for several peers: contents that several deltas share are encoded once.

    Contents must not change while they are kept here.
    """

    def __init__(self) -> None:
        # By identity; the reference to the contents keeps the identity from being used again.
        self._shared: dict[int, tuple[Contents, Raw]] = {}

    def encode(self, frame: AnyFrame) -> bytes:
        """Return a frame as bytes."""
        if type(frame) is not Delta:
            return _encode(frame)
        contents = frame.contents
        known = self._shared.get(id(contents))
        if known is None:
            known = self._shared[id(contents)] = (contents, Raw(_encode(contents)))
            if len(self._shared) > shared_max:
                del self._shared[next(iter(self._shared))]
        return _encode(
            _SharedDelta(
                frame.session,
                frame.upto,
                frame.clock_s,
                known[1],
                frame.is_synced,
                frame.is_whole,
                frame.changes_received,
                frame.ready,
            )
        )

    def forget(self) -> None:
        """Keep no encoded contents any longer."""
        self._shared.clear()


# Reading


def _from_wire(kind: type, value: Any) -> Any:
    if kind is not DotSet or not isinstance(value, dict):
        raise PeerFault("a set of messages is not a map")
    return DotSet.from_wire(value)


_decode: Final = msgspec.msgpack.Decoder(AnyFrame, dec_hook=_from_wire).decode


def decode(data: Data) -> AnyFrame:
    """Read a frame.

    Raises:
        PeerFault: the data are not exactly one valid frame.
    """
    if len(data) > unscanned_bytes_max:
        check_items(data)
    try:
        frame: AnyFrame = _decode(data)
    except msgspec.MsgspecError as error:
        raise PeerFault(f"not a frame: {bare(str(error))}") from None
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise PeerFault("not a frame") from None
    check_frame(frame)
    return frame
