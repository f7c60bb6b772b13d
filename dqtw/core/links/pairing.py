"""How two streams between this process and a remote one become a link (2 Pairing)."""

from collections.abc import Sequence
from typing import Final

from dqtw.core.links.dialling import Dialling
from dqtw.core.links.frames import AnyFrame, Pair, Status
from dqtw.core.links.link import (
    FrameReceived,
    Link,
    LinkDown,
    LinkEvent,
    LinkUp,
    OpenStream,
    Process,
    StatusReceived,
    silence_s_max,
)
from dqtw.core.links.status import fault_of
from dqtw.core.links.streams import Close, LinkEffect, Reported, Send

unpaired_s_max: Final = 10.0  # time for dialling back, at each address twice


class Pairing:
    """The streams between this process and one remote process: one each way, and the link that they make.

    A stream is part of one pair only: when the pair ends, both are closed. A stream in no pair yet is kept until a
    newer one of its direction replaces it. So two processes that dial each other at the same time do not undo each
    other's streams.

    Attributes:
        read: the stream that the remote process writes; None before it has answered.
        written: the stream that this process writes; None before the remote process has asked for it.
        dialling: the attempts to open ``read`` at this very process.
        link: made of both streams as soon as both are there; neither is replaced while it lasts.
        active_at: when a stream was opened last, or a byte read.
    """

    def __init__(self, now: float, process: Process, streams: "dict[int, Pairing]", effects: list[LinkEffect]) -> None:
        self.process = process
        self.dialling = Dialling(now, process.node, process.boot)
        self.read: OpenStream | None = None
        self.written: OpenStream | None = None
        self.link: Link | None = None
        self.active_at = now
        self._streams = streams  # of all processes, by number; those that are open
        self._effects = effects

    @property
    def is_idle(self) -> bool:
        """Return True if no stream is open, nor asked for."""
        return self.read is None and self.written is None and self.dialling.stream is None

    @property
    def is_promising(self) -> bool:
        """Return True if there is a link, or one is about to come up.

        A process that has asked for a stream and cannot be dialled back may be gone, and another one in its place.
        """
        is_half_open = self.written is not None or self.dialling.stream is not None
        return self.read is not None or (is_half_open and not self.dialling.has_failed)

    @property
    def must_dial_back(self) -> bool:
        """Return True if the remote process has its stream, and this one neither has its own nor is opening it."""
        return self.written is not None and self.read is None and self.dialling.stream is None

    def accept(self, now: float, stream: OpenStream) -> list[LinkEvent]:
        """Write to a stream that the remote process has asked for."""
        events = self._replace(self.written, "replaced by a newer stream of the peer")
        self.written = stream
        self._streams[stream.number] = self
        self.active_at = now
        self._pair(now)
        return events

    def answered(self, now: float, stream: OpenStream) -> list[LinkEvent]:
        """Read from a stream that the remote process was asked for."""
        events = self._replace(self.read, "replaced by a newer stream")
        self.read = stream
        self._streams[stream.number] = self
        self.active_at = now
        self._pair(now)
        return events

    def received(
        self, now: float, number: int, frames: Sequence[AnyFrame], express_bytes: int, bulk_bytes: int
    ) -> list[LinkEvent]:
        """Process what was read from a stream; frames of a stream that is not in force are dropped."""
        stream = self.read
        if stream is None or stream.number != number:
            return []
        stream.at = self.process.heard_at = self.active_at = now
        if self.link is not None:
            self.link.count_read(now, express_bytes, bulk_bytes)
        events: list[LinkEvent] = []
        for frame in frames:
            link = self.link
            if type(frame) is Pair:
                events += self._compare(now, frame)
            elif link is None or not link.is_up:
                continue
            elif type(frame) is Status:
                events += self._take_status(now, link, frame)
            else:
                events.append(FrameReceived(link, frame))
        return events

    def closed(self, number: int, why: str) -> list[LinkEvent]:
        """Note that a stream has ended at the transport."""
        self._streams.pop(number, None)
        if self.read is not None and self.read.number == number:
            self.read = None
        elif self.written is not None and self.written.number == number:
            self.written = None
        return self.end(why) if self.link is not None else []

    def end(self, why: str) -> list[LinkEvent]:
        """Close both streams, and with them the link."""
        link, self.link = self.link, None
        for stream in (self.read, self.written):
            self._close(stream, why)
        self.read = self.written = None
        if link is None or not link.is_up:
            return []
        link.is_up = False
        self.process.link = None
        return [LinkDown(link, why)]

    def tick(self, now: float) -> list[LinkEvent]:
        """Close what has been silent, or alone, for too long."""
        if self.link is not None:
            why = self.link.fault(now)
            return [] if why is None else self.end(why)
        if self.read is not None and now >= self.read.at + silence_s_max:
            self._close(self.read, "the peer opens no stream")
            self.read = None
        if self.written is not None and now >= self.written.at + unpaired_s_max:
            self._close(self.written, "the peer cannot be dialled")
            self.written = None
        return []

    def next_deadline(self) -> float | None:
        """Return when `tick` must look again."""
        if self.link is not None:
            return self.link.next_deadline()
        if self.read is not None:
            return self.read.at + silence_s_max
        return self.written.at + unpaired_s_max if self.written is not None else None

    def _replace(self, old: OpenStream | None, why: str) -> list[LinkEvent]:
        """Make room for a new stream: end the pair if there is one, or else close the stream of its direction."""
        if self.link is not None:
            return self.end(why)
        self._close(old, why)
        return []

    def _pair(self, now: float) -> None:
        """Name the pair once both streams are there; the remote process has 3 s from then."""
        if self.read is not None and self.written is not None:
            self.read.at = now
            self.link = Link(self.process, self.read, self.written, self._effects)
            self._effects.append(Send(self.written.number, self.link.pair))

    def _compare(self, now: float, theirs: Pair) -> list[LinkEvent]:
        """Compare the names that the remote process sends with those sent to it.

        Names that this process did not send, or not yet, name a stream that has ended here: both must begin anew. A
        process that can name a pair has accepted the stream that it writes after this one accepted the other.
        """
        link = self.link
        if link is None or (theirs.written, theirs.read) != (link.pair.read, link.pair.written):
            return self.end("the peer names another pair of streams")
        if link.is_up:
            return self.end("the peer names the pair twice")
        link.is_up = True
        link.up_at = now
        self.process.link = link
        self.dialling.forget_failures()
        return [LinkUp(link)]

    def _take_status(self, now: float, link: Link, status: Status) -> list[LinkEvent]:
        fault = fault_of(status, self.process.node)
        if fault is not None:
            return self.end(fault)
        link.note_status(now, status)
        self._effects.append(Reported(link.written.number, status.express_read, status.bulk_read))
        self.process.status, self.process.status_at = status, now
        return [StatusReceived(link, status)]

    def _close(self, stream: OpenStream | None, why: str) -> None:
        if stream is not None:
            self._streams.pop(stream.number, None)
            self._effects.append(Close(stream.number, why))
