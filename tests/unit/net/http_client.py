"""A client of the REST door whose connection is memory: what it sends, reads, and does to the stream."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from dqtw.core.links.streams import Dial, LinkEffect
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.driver import Driver
from dqtw.net.http.limits import HttpLimits
from dqtw.net.http.site import BoundedSite
from dqtw.net.rest.api import RestDoor
from dqtw.net.rest.cross_site import CrossSiteGuard

buffer_bytes_max = 64 * 1024  # as in Twisted's own transports


@implementer(ITCPTransport, IPushProducer, IConsumer)
class MemoryTransport:
    """The server's end of a connection; it does what Twisted's TCP transport does, for a client in memory."""

    def __init__(self, host: IAddress) -> None:
        self._host = host
        self.protocol: Any = None
        self.producer: Any = None
        self.producer_paused = False
        self.reading = True
        self.client_reads = True
        self.unread: list[bytes] = []
        self.buffer = b""
        self.taken = b""
        self.disconnecting = False
        self.half_closing = False
        self.half_closed = False
        self.client_ended = False
        self.aborted = False
        self.gone = False

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 40000)

    def getHost(self) -> Any:
        return self._host

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to delay here."""

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing to keep alive here."""

    def getTcpKeepAlive(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.writeSequence([data])

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        if self.gone or self.half_closed:
            return
        self.buffer += b"".join(pieces)
        if self.producer is not None and not self.producer_paused and len(self.buffer) > buffer_bytes_max:
            self.producer_paused = True
            self.producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        assert self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if not (self.gone or self.disconnecting):
            self.reading = True

    def stopProducing(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.reading = False

    def loseWriteConnection(self) -> None:
        self.half_closing = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.lost(ConnectionLost())

    def lost(self, reason: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(reason))

    def turn(self) -> None:
        """What the reactor does for one socket: read, tell of the end, write."""
        if self.unread and self.reading and not self.gone:
            self.protocol.dataReceived(self.unread.pop(0))
        elif self.client_ended and self.reading and not self.gone:
            self.reading = False
            self.protocol.readConnectionLost()
        if self.client_reads and not self.gone:
            self._flush()

    def read_some(self, count: int) -> None:
        """Let a slow client read so many bytes."""
        self.taken += self.buffer[:count]
        self.buffer = self.buffer[count:]
        if not self.buffer:
            self._flush()

    def _flush(self) -> None:
        self.taken += self.buffer
        self.buffer = b""
        if self.producer is not None and self.producer_paused:
            self.producer_paused = False
            self.producer.resumeProducing()
        elif self.disconnecting:
            self.lost(ConnectionDone())
        elif self.half_closing and not self.half_closed:
            self.half_closed = True
            self.protocol.writeConnectionLost()

    @property
    def ended(self) -> bool:
        """Whether the client has been told that nothing more comes."""
        return self.gone or self.half_closed


@frozen
class Response:
    """An answer as the client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem document, which is checked to be a right one."""
        assert self.headers["content-type"] == "application/problem+json"
        assert sorted(self.json) == ["code", "detail", "status", "title", "type"]
        assert (self.json["status"], self.json["type"]) == (self.status, "about:blank")
        return str(self.json["code"])


class HttpClient:
    """One connection."""

    def __init__(self, server: "Server", *, tls: bool = False) -> None:
        self.server = server
        self.transport = MemoryTransport(server.address)
        if tls:
            alsoProvides(self.transport, ISSLTransport)
        self.methods: list[bytes] = []
        factory: Any = server.site
        self.transport.protocol = factory.buildProtocol(None)
        self.transport.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> "HttpClient":
        """Send raw bytes, and let the server do what it can without time passing."""
        self.transport.unread.append(data)
        self.server.settle(self)
        return self

    def start(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> "HttpClient":
        """Send a well-formed request."""
        self.methods.append(method.encode())
        headers = {"Host": "example.org"} | (headers or {})
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        """Send a well-formed request; its answer must be there at once."""
        return self.start(method, target, body, headers).response()

    def end(self) -> None:
        """Send no more, but go on reading."""
        self.transport.client_ended = True
        self.server.settle(self)

    def vanish(self) -> None:
        """The connection breaks."""
        self.transport.lost(ConnectionLost())
        self.server.settle(self)

    def response(self) -> Response:
        """Read the next answer."""
        method = self.methods.pop(0) if self.methods else b""
        response, self.transport.taken = _read_response(self.transport.taken, method)
        return response

    @property
    def waiting(self) -> bool:
        """Whether no answer has come."""
        return not self.transport.taken

    @property
    def closed(self) -> bool:
        """Whether the client knows that nothing more comes, and has read all."""
        return self.transport.ended and not self.transport.taken


def _read_response(data: bytes, method: bytes) -> tuple[Response, bytes]:
    head, separator, rest = data.partition(b"\r\n\r\n")
    assert separator, f"no answer: {data!r}"
    status_line, *lines = head.decode().split("\r\n")
    version, status, _ = status_line.split(" ", 2)
    assert version in ("HTTP/1.0", "HTTP/1.1")
    pairs = [(line.partition(": ")[0].lower(), line.partition(": ")[2]) for line in lines]
    headers = dict(pairs)
    assert len(headers) == len(pairs), "a header is given twice"
    if status == "100":
        return Response(100, headers, b""), rest
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "transfer-encoding" not in headers
    assert ("content-length" in headers) == (status != "204")
    length = 0 if method == b"HEAD" else int(headers.get("content-length", 0))
    assert len(rest) >= length
    return Response(int(status), headers, rest[:length]), rest[length:]


class NobodyThere:
    """A network in which no peer can be reached."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.driver: Driver | None = None

    def carry_out(self, effects: Sequence[LinkEffect]) -> None:
        """Let each dial fail, in a later turn."""
        assert self.driver is not None
        for effect in effects:
            if isinstance(effect, Dial):
                failed = partial(self.driver.dial_failed, effect.stream, "nobody is there", is_lasting=False)
                self._clock.callLater(0, failed)


@define
class Server:
    """A real node behind the real door, without sockets and without real time."""

    settings: NodeSettings = field(factory=NodeSettings)
    limits: HttpLimits = field(factory=HttpLimits)
    authenticate: Callable[[bytes], bool] | None = None
    guard: CrossSiteGuard | None = None
    address: IAddress = field(factory=lambda: IPv4Address("TCP", "192.0.2.2", 8080))  # where connections come in
    clock: Clock = field(factory=Clock)
    node: Node = field(init=False)
    driver: Driver = field(init=False)
    site: BoundedSite = field(init=False)
    clients: list[HttpClient] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.node = Node(0.0, self.settings, os.urandom, 0)
        network = NobodyThere(self.clock)
        self.driver = network.driver = Driver(self.node, self.clock, network)
        if self.settings.peers:
            self.driver.start()
        door = RestDoor(self.driver, self.settings.max_message, self.authenticate, self.guard)
        self.site = BoundedSite(door.resource(), door, self.clock, self.limits)

    def connect(self, *, tls: bool = False) -> HttpClient:
        """A new connection."""
        client = HttpClient(self, tls=tls)
        self.clients.append(client)
        self.settle(client)
        return client

    def settle(self, *_: object) -> None:
        """Let everything happen that needs no time."""
        for _turn in range(8):
            for client in self.clients:
                client.transport.turn()
            self.clock.advance(0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, a quarter of a second at once."""
        for _step in range(round(seconds * 4)):
            self.clock.advance(0.25)
            self.settle()

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        """One request on a connection of its own."""
        client = self.connect()
        response = client.ask(method, target, body, headers)
        client.vanish()
        return response

    @property
    def refused(self) -> Any:
        """How many requests the listener refused, by code."""
        return self.driver.stats()["listeners"]

    @property
    def queue_size(self) -> Any:
        """How many messages are on the queue."""
        return self.ask("GET", "/stats").json["queueSize"]
