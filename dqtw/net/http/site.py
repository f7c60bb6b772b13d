# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""A bounded HTTP/1.1 server under a Klein resource.

twisted.web has no limit on bodies, spools them to disk, lets every byte restart its timer, and goes on answering a
client which does not read. Here a body stays in memory and within its limit, every phase of a connection has a
deadline, and each refusal is a problem document. A byte now and then does not move a deadline; only the transfer of a
large body or answer does, at a rate. One sweep per second looks at all deadlines, so that a request costs no timer.
"""

from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.web import http, server
from twisted.web.resource import IResource
from typing_extensions import override

from dqtw.driver import Clock
from dqtw.net.http.budget import Budget
from dqtw.net.http.channel import BoundedChannel
from dqtw.net.http.limits import HttpLimits
from dqtw.net.http.request import BoundedRequest

sweep_seconds: Final = 1.0


class Gate(Protocol):
    """What judges a request by its head alone."""

    def body_bytes_max(self, request: BoundedRequest) -> int:
        """Return how large the request's body may be.

        Raises:
            Refusal: the request is refused already.
        """
        ...

    def is_served_at_the_limit(self, request: BoundedRequest) -> bool:
        """Return True if the request is answered even when there are as many connections as may be."""
        ...

    def count_refused(self, code: str) -> None:
        """Count a request, or a connection, that is refused with this code."""
        ...


class BoundedSite(server.Site):
    """All connections of an HTTP listener, within their bounds together.

    Attributes:
        received: for the bodies of requests that are not answered yet.
        unread: for answers that their clients do not read.
        draining: True if every answer is the last of its connection.
        keep_alive: the value of the header that announces the idle limit.
    """

    protocol = BoundedChannel  # type: ignore[assignment]  # no HTTP/2, so no proxy object that chooses
    requestFactory = BoundedRequest  # noqa: N815
    noisy = False

    def __init__(self, resource: IResource, gate: Gate, clock: Clock, limits: HttpLimits | None = None) -> None:
        super().__init__(resource, reactor=clock)
        self.timeOut = None
        self.gate = gate
        self.clock = clock
        self.limits = limits or HttpLimits()
        self.received = Budget(self.limits.received_bytes_max)
        self.unread = Budget(self.limits.unread_bytes_max)
        self.draining = False
        self.keep_alive = b"timeout=%d" % self.limits.idle_seconds_max
        self._channels: set[BoundedChannel] = set()
        self._crowd: dict[BoundedChannel, None] = {}  # those beyond the limit, the oldest first
        self._sweep_call: IDelayedCall | None = None

    @property
    def connection_count(self) -> int:
        """The number of connections that are open, those that are about to close too."""
        return len(self._channels) + len(self._crowd)

    def drain(self) -> None:
        """Close every connection as soon as no request is under way on it."""
        self.draining = True
        for channel in self._all_channels():
            channel.finish_up()

    def has_room_for(self, channel: BoundedChannel) -> bool:
        """Return True if a connection is within the limit: a new one, or one that was beyond it before."""
        if self._sweep_call is None:
            self._sweep_call = self.clock.callLater(sweep_seconds, self._sweep)
        if len(self._channels) < self.limits.connections_max:
            self._crowd.pop(channel, None)
            self._channels.add(channel)
            return True
        self._crowd[channel] = None
        if len(self._crowd) > self.limits.refused_connections_max:
            # The newest stays: it may be a health check, and many of the older have had their answer.
            oldest = next(iter(self._crowd))
            del self._crowd[oldest]
            oldest.give_way()
        return False

    def forget(self, channel: BoundedChannel) -> None:
        """Release what a connection held that is gone."""
        self._channels.discard(channel)
        self._crowd.pop(channel, None)
        if not self.connection_count and self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None

    def _all_channels(self) -> tuple[BoundedChannel, ...]:
        return (*self._channels, *self._crowd)

    def _sweep(self) -> None:
        self._sweep_call = self.clock.callLater(sweep_seconds, self._sweep)
        now = self.clock.seconds()
        for channel in self._all_channels():
            if channel.deadline <= now:
                channel.overdue()

    @override
    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    @override
    def startFactory(self) -> None:
        """Open no log of requests, and keep no timer for its dates."""

    @override
    def stopFactory(self) -> None:
        """There is nothing to close."""

    @override
    def log(self, request: http.Request) -> None:
        """No line per request."""
