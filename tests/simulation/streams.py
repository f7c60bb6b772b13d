"""One stream: the bytes of real frames in three lanes, from the process that was asked to the process that asked."""

from collections import deque
from random import Random
from typing import TypeAlias

from attrs import define, frozen

from dqtw.core.links.frames import AnyFrame, Lane
from dqtw.core.links.streams import StreamAnswer, StreamRequest
from dqtw.wire.peer.lanes import Inbox, Outbox
from tests.simulation.process import Process

frame_bytes_max = 64 * 1024 * 1024

Piece: TypeAlias = bytes | StreamAnswer | None
"""What travels in a stream: its answer first, then bytes; None is its end."""


@frozen
class End:
    """One end of a stream: the process there, and the number by which it knows the stream."""

    process: Process
    number: int


@define(eq=False)
class Dialled:
    """A stream that is being opened; ``is_given_up``: its caller does not wait for it any more."""

    caller: End
    url: str
    request: StreamRequest
    is_given_up: bool = False


class Stream:
    """A stream that was accepted.

    Attributes:
        writer, reader: its ends.
        is_written: the writer has not closed it, nor noticed its end.
        is_read: the reader has not closed it, nor noticed its end.
        is_broken: nothing that is written from now on arrives.
        on_the_way: the pieces that were handed to the network and have not arrived, in order.
        unread_bytes: how many bytes were handed to the network and not read yet.
        arrives_at: when the last piece that is on its way arrives.
        taken_at: when the network last took something, or there was nothing to take.
        stalled_until: the network takes nothing until then.
    """

    def __init__(self, now: float, writer: End, reader: End, answer: StreamAnswer) -> None:
        self.writer = writer
        self.reader = reader
        self.is_written = True
        self.is_read = True
        self.is_broken = False
        self.outbox = Outbox()
        self.inbox = Inbox(frame_bytes_max)
        self.on_the_way: deque[Piece] = deque([answer])
        self.unread_bytes = 0
        self.arrives_at = now
        self.taken_at = now
        self.stalled_until = 0.0
        self._held: dict[Lane, deque[AnyFrame]] = {lane: deque() for lane in Lane}

    def __str__(self) -> str:
        return f"{self.writer.process}→{self.reader.process}"

    def put(self, frame: AnyFrame, random: Random, held_share: float) -> bool:
        """Give a frame to the outbox, or hold its lane; return True if the lane is held from now on.

        A lane that is held keeps its order, so that only frames of different lanes overtake each other.
        """
        held = self._held[frame.lane]
        if held:
            held.append(frame)
        elif held_share and random.random() < held_share:
            held.append(frame)
            return True
        else:
            self.outbox.put(frame)
        return False

    def release(self, lane: Lane) -> None:
        """Give what is held of a lane to the outbox."""
        held = self._held[lane]
        while held:
            self.outbox.put(held.popleft())

    def cut(self, kept: int) -> None:
        """Lose all that is on its way but the first pieces, and all that is written from now on."""
        while len(self.on_the_way) > kept:
            self.on_the_way.pop()
        self.is_broken = True
