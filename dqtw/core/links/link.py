"""One link to a remote process, and what is known of that process.

A link is a pair of streams. It is made when both are there, and replaced, never reset: what belongs to a link, such as
the numbers of calls, ends with it.
"""

from collections.abc import Hashable
from typing import Final, TypeAlias

from attrs import define, frozen

from dqtw.core.links.frames import AnyFrame, BootId, NodeId, NodeReport, Pair, Status
from dqtw.core.links.streams import LinkEffect, Send

silence_s_max: Final = 3.0  # without a byte, before a process counts as gone
answer_s_max: Final = 10.0  # without progress, while an answer is due
status_interval_s: Final = 1.0
unreported_bytes_max: Final = 16 * 1024  # half of the smallest window of the bulk lane, so that it does not run dry


@define
class OpenStream:
    """One stream that is open, at this end of it.

    Attributes:
        name: the nonces of its request and its answer; both ends know it.
        at: when the last byte was read from it, or when it was opened, whatever is later.
    """

    number: int
    name: str
    at: float


class Process:
    """A remote process: one object for each boot id, replaced and never reset.

    Attributes:
        url: where it wants to be dialled; None before it has asked for a stream, or if it named none.
        request: the number of its latest stream request that was accepted; 0: none.
        heard_at: when its last byte was read; None before the first.
        status: the latest one that it sent, on whichever link; None before the first.
        status_at: when that came.
        link: the link to it that is up; None while there is none.
    """

    def __init__(self, node: NodeId, boot: BootId) -> None:
        self.node = node
        self.boot = boot
        self.url: str | None = None
        self.request = 0
        self.heard_at: float | None = None
        self.status: Status | None = None
        self.status_at = 0.0
        self.link: Link | None = None

    @property
    def incarnation(self) -> str | None:
        """Return its incarnation; None while it has none, or before its first status."""
        return self.status.incarnation if self.status is not None else None

    @property
    def reports(self) -> dict[NodeId, NodeReport]:
        """Return what it reports of each other node; empty before its first status."""
        return self.status.nodes if self.status is not None else {}

    @property
    def is_going(self) -> bool:
        """Return True if it is leaving, or was fenced."""
        return self.status is not None and self.status.is_going

    @property
    def is_present(self) -> bool:
        """Return True if it is linked, has an incarnation, and is not leaving (2 Words)."""
        return self.link is not None and self.incarnation is not None and not self.is_going

    @property
    def running_since(self) -> float | None:
        """Return since when it runs, or has run since it was last paused; None before its first status."""
        return self.status_at - self.status.running_s if self.status is not None else None


class Link:
    """A pair of streams between this process and another one.

    Attributes:
        pair: both names, as this process sends them.
        is_up: the remote process has sent the same two names, and neither stream was closed since.
        up_at: when the link came up; 0 before.
        express_read, bulk_read: how many bytes of these lanes were read on it.
        bulk_at: when the last of the latter were read; 0 before.
        peer_read: how many bytes of both lanes the remote process reports as read.
        peer_bulk_read: how many of the bulk lane.
        status_at: when the last status was sent on it.
        status_version: which state of this node that status reported.
        bulk_reported: the value of ``bulk_read`` that it reported.
    """

    def __init__(self, process: Process, read: OpenStream, written: OpenStream, effects: list[LinkEffect]) -> None:
        self.process = process
        self.read = read
        self.written = written
        self.pair = Pair(written.name, read.name)
        self.is_up = False
        self.up_at = 0.0
        self.express_read = 0
        self.bulk_read = 0
        self.bulk_at = 0.0
        self.peer_read = 0
        self.peer_bulk_read = 0
        self.status_at = 0.0
        self.status_version = 0
        self.bulk_reported = 0
        self._effects = effects
        self._due: set[Hashable] = set()
        self._progress_at = 0.0  # when anything was made of what is due, or it became due; void while nothing is
        self._last_call = 0

    @property
    def node(self) -> NodeId:
        """Return the node at the other end."""
        return self.process.node

    @property
    def facts(self) -> dict[str, object]:
        """Return what a log line says of it."""
        process = self.process
        return {"peer": process.node, "boot": process.boot, "incarnation": process.incarnation, "url": process.url}

    def send(self, frame: AnyFrame) -> None:
        """Write a frame. On a link that is down it is lost, as the end of a link loses all that is under way."""
        if self.is_up:
            self._effects.append(Send(self.written.number, frame))

    def next_call(self) -> int:
        """Return a number for a call, greater than any before on this link."""
        self._last_call += 1
        return self._last_call

    def due(self, now: float, what: Hashable) -> None:
        """Expect an answer: the link is closed after 10 s without progress, until it is `met`."""
        if not self._due:
            self._progress_at = now
        self._due.add(what)

    def met(self, what: Hashable) -> None:
        """Note that an answer is complete, or is not waited for any more."""
        self._due.discard(what)

    def count_read(self, now: float, express_bytes: int, bulk_bytes: int) -> None:
        """Count bytes that were read. A part of an answer may be among them: that is progress."""
        self.express_read += express_bytes
        self.bulk_read += bulk_bytes
        if bulk_bytes:
            self.bulk_at = now
        if express_bytes or bulk_bytes:
            self._progress_at = now

    def note_status(self, now: float, status: Status) -> None:
        """Note what the remote process reports as read: if that grew, there is progress."""
        peer_read = status.express_read + status.bulk_read
        if peer_read > self.peer_read:
            self._progress_at = now
        self.peer_read = peer_read
        self.peer_bulk_read = status.bulk_read

    def owes_status(self, now: float, version: int) -> bool:
        """Return True if a status must be sent: each second, at each change, after much that was read in bulk."""
        return (
            version != self.status_version
            or now >= self.status_at + status_interval_s  # in the form of `next_deadline`: floats differ otherwise
            or self.bulk_read - self.bulk_reported >= unreported_bytes_max
        )

    def fault(self, now: float) -> str | None:
        """Return why the link must be closed by now; None if it need not (2 Liveness)."""
        if now >= self.read.at + silence_s_max:
            return f"no byte for {silence_s_max:g} s"
        if self._due and now >= self._progress_at + answer_s_max:
            return f"no progress for {answer_s_max:g} s while these are due: {', '.join(sorted(map(str, self._due)))}"
        return None

    def next_deadline(self) -> float:
        """Return the first moment at which it may have to be closed, or a status sent."""
        deadline = self.read.at + silence_s_max
        if self._due:
            deadline = min(deadline, self._progress_at + answer_s_max)
        return min(deadline, self.status_at + status_interval_s) if self.is_up else deadline


@frozen
class LinkUp:
    """A link is up: frames can be sent on it, and will come from it."""

    link: Link


@frozen
class LinkDown:
    """A link that was up has ended; nothing survives it, and nothing more comes from it."""

    link: Link
    why: str


@frozen
class FrameReceived:
    """A frame came on a link: any but those that make and keep the link itself.

    An event before this in the same list may have led to the end of the link: look at ``link.is_up``.
    """

    link: Link
    frame: AnyFrame


@frozen
class StatusReceived:
    """A status came on a link; the process and the members have taken it over already."""

    link: Link
    status: Status


@frozen
class Learned:
    """A status brought an incarnation of a member, or of this node's own id, that is greater than any known before."""

    node: NodeId
    incarnation: str


LinkEvent: TypeAlias = LinkUp | LinkDown | FrameReceived | StatusReceived | Learned
