# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""A bounded HTTP/1.1 server under a Klein resource.

twisted.web has no limit on bodies, spools them to disk, lets every byte restart its timer, and goes on answering a
client which does not read. Here a body stays in memory and within its limit, every phase of a connection has one
deadline that no byte moves, and whatever is refused is refused with a problem document. One sweep per second looks
at all deadlines, so that a request costs no timer.
"""

from typing import Final, Protocol

from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.web import http, server
from twisted.web.resource import IResource
from typing_extensions import override

from dqtw.driver import Clock
from dqtw.net.http_budget import Budget
from dqtw.net.http_channel import BoundedChannel
from dqtw.net.http_limits import HttpLimits
from dqtw.net.http_request import BoundedRequest

sweep_seconds: Final = 1.0


class Gate(Protocol):
    """Who decides, by a request's head alone, how it may go on."""

    def body_bytes_max(self, request: BoundedRequest) -> int:
        """How large the request's body may be.

        Raises:
            Refusal: the request is refused already.
        """
        ...


class BoundedSite(server.Site):
    """All connections of an HTTP door, within their bounds together.

    Attributes:
        received: for the bodies of requests that are not answered yet.
        unread: for answers that their clients do not read.
        draining: whether every answer is the last of its connection.
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
        self._channels: set[BoundedChannel] = set()
        self._crowd: set[BoundedChannel] = set()  # those of them that are one too many, and are told so
        self._sweep_call: IDelayedCall | None = None

    @property
    def connection_count(self) -> int:
        """How many connections are open, those that are about to close too."""
        return len(self._channels)

    def drain(self) -> None:
        """Close every connection as soon as no request is under way on it."""
        self.draining = True
        for channel in tuple(self._channels):
            channel.finish_up()

    def has_room_for(self, channel: BoundedChannel) -> bool:
        """Take a new connection into account; whether it is within the bound."""
        self._channels.add(channel)
        if self._sweep_call is None:
            self._sweep_call = self.clock.callLater(sweep_seconds, self._sweep)
        if self._served_count <= self.limits.connections_max:
            return True
        self._crowd.add(channel)
        return False

    def forget(self, channel: BoundedChannel) -> None:
        """A connection is gone."""
        self._channels.discard(channel)
        self._crowd.discard(channel)
        if not self._channels and self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None

    @property
    def _served_count(self) -> int:
        return len(self._channels) - len(self._crowd)

    def _sweep(self) -> None:
        self._sweep_call = self.clock.callLater(sweep_seconds, self._sweep)
        now = self.clock.seconds()
        for channel in [channel for channel in self._channels if channel.deadline <= now]:
            channel.overdue()

    @override
    def buildProtocol(self, addr: IAddress | None) -> BoundedChannel | None:  # type: ignore[override]
        limits = self.limits
        if self._served_count >= limits.connections_max and len(self._crowd) >= limits.refused_connections_max:
            return None
        return super().buildProtocol(addr)  # type: ignore[no-any-return]

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
