# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""A stream that a peer has opened here: frames are written to a response that never ends."""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from zope.interface import implementer

from dqtw.core.links.frames import AnyFrame
from dqtw.core.links.streams import StreamRequest
from dqtw.driver import Clock
from dqtw.net.http.request import BoundedRequest
from dqtw.net.peer.bounds import StreamLimits
from dqtw.net.peer.sockets import keep_little
from dqtw.net.time_limit import TimeLimit
from dqtw.wire.peer.lanes import Outbox


@implementer(IPushProducer)
class WrittenStream:
    """One stream on which this process writes.

    Attributes:
        number: by which the core names it.
        asked: the request that opened it.
        outbox: the frames that wait.
    """

    def __init__(
        self,
        number: int,
        asked: StreamRequest,
        request: BoundedRequest,
        outbox: Outbox,
        clock: Clock,
        limits: StreamLimits,
        blocked: "TimeLimit[WrittenStream]",
    ) -> None:
        self.number = number
        self.asked = asked
        self.outbox = outbox
        self._request = request
        self._clock = clock
        self._limits = limits
        self._blocked = blocked  # runs for this stream while it is paused
        self._unwritten = memoryview(b"")  # the rest of the last piece that was taken
        self._is_paused = False  # the transport holds as much as it may
        self._is_closed = False
        self._next_write: IDelayedCall | None = None

    def begin(self, lost: Callable[[], None]) -> None:
        """Send the head of the response; ``lost`` is called once, when the connection is gone."""
        request = self._request
        request.notifyFinish().addErrback(lambda _: lost())
        request.when_unwatched(lost)
        keep_little(request.transport)
        request.registerProducer(self, True)  # noqa: FBT003
        request.write(b"")

    def put(self, frame: AnyFrame) -> bool:
        """Let a frame wait to be written; return False if there was too much before it."""
        if self.outbox.waiting_bytes > self._limits.waiting_bytes_max:
            return False
        self.outbox.put(frame)
        return True

    def reported(self, express_read: int, bulk_read: int) -> None:
        """Take the peer's report of what it has read; while that grows, the stream is slow and not blocked.

        The transport may take nothing for seconds on a slow line: a receiver opens its full window in large steps.
        """
        is_read_on = self.outbox.reported(self._clock.seconds(), express_read, bulk_read)
        if is_read_on and self._is_paused:
            self._blocked.end(self)
            self._blocked.begin(self)

    def write_on(self) -> None:
        """Write what may be written now; no more at once than is sent soon, so that the lanes keep their order."""
        if self._is_paused or self._is_closed:
            return
        size = self._limits.write_bytes
        if not self._unwritten:
            self._unwritten = memoryview(self.outbox.take(self._clock.seconds(), size))
        if not self._unwritten:
            return
        chunk, self._unwritten = self._unwritten[:size], self._unwritten[size:]
        self._request.write(bytes(chunk))
        if not (self._is_paused or self._is_closed or self._next_write) and (self._unwritten or self.outbox.is_ready):
            self._next_write = self._clock.callLater(0, self._write_next)

    def _write_next(self) -> None:
        self._next_write = None
        self.write_on()

    def pauseProducing(self) -> None:  # noqa: N802
        """Write nothing until the transport has sent what it has; it must do so in time."""
        self._is_paused = True
        self._blocked.begin(self)

    def resumeProducing(self) -> None:  # noqa: N802
        """Write on: the transport has sent all it had."""
        self._is_paused = False
        self._blocked.end(self)
        transport: Any = self._request.transport
        transport.resumeProducing()  # the channel stops to read at each pause, and would not notice the end
        self.write_on()

    def stopProducing(self) -> None:  # noqa: N802
        """Do nothing: the end of the connection is noticed elsewhere, too."""

    def close(self) -> None:
        """Cut the connection, with all that waits."""
        self._is_closed = True
        self._blocked.end(self)
        if self._next_write is not None:
            self._next_write.cancel()
            self._next_write = None
        channel: Any = self._request.channel
        if channel is not None:  # else the connection is gone
            channel.transport.abortConnection()
