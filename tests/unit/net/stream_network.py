# mypy: disable-error-code="no-untyped-call"
"""Processes whose streams go over connections that are memory: real treq, the real Klein resource, no node."""

from collections import deque
from collections.abc import Callable
from typing import Any, cast

from attrs import define, evolve, field
from twisted.internet import error
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IProtocolFactory, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from dqtw.core.links.frames import AnyFrame
from dqtw.core.links.streams import (
    Accepted,
    Close,
    Dial,
    LinkEffect,
    Send,
    StreamAnswer,
    StreamRefused,
    StreamRequest,
)
from dqtw.net.http.limits import HttpLimits
from dqtw.net.peer.bounds import StreamLimits, stream_http_limits
from dqtw.net.peer.resource import StreamResource
from dqtw.net.peer.secret import PeerSecret
from dqtw.net.peer.streams import PeerStreams

read_bytes_max = 65536  # what one read of a socket brings
buffer_bytes_max = 8192  # a transport that holds more pauses its producer


@implementer(IPushProducer)
class End(FakeTransport):
    """One end of a connection, with a socket's buffers: read in parts, full at some time.

    Attributes:
        writes: what was written at once, each time.
        is_reading: False while it is paused; what comes is delivered all the same.
        passed: sees what moves, and may change it.
    """

    disconnectReason: Any  # noqa: N815

    def __init__(self, protocol: Any, *, is_server: bool) -> None:
        super().__init__(protocol, is_server)
        self.pending: deque[bytes] = deque()
        self.writes: list[bytes] = []
        self.is_full = False
        self.is_reading = True
        self.passed: Callable[[bytes], bytes] = bytes

    def write(self, data: bytes) -> None:
        if self.disconnecting:
            return
        self.pending.append(data)
        self.writes.append(data)
        if self.producer is not None and not self.is_full and sum(map(len, self.pending)) > buffer_bytes_max:
            self.is_full = True
            self.producer.pauseProducing()

    def pauseProducing(self) -> None:
        self.is_reading = False

    def resumeProducing(self) -> None:
        self.is_reading = True

    def getOutBuffer(self) -> bytes:
        data = b"".join(self.pending)
        self.pending.clear()
        if len(data) > read_bytes_max:
            self.pending.append(data[read_bytes_max:])
        elif self.is_full:
            self.is_full = False
            if self.producer is not None and not self.disconnecting:
                self.producer.resumeProducing()
        return self.passed(data[:read_bytes_max])

    def abortConnection(self) -> None:
        self.pending.clear()
        self.disconnectReason = error.ConnectionLost()
        self.disconnecting = True


class Cable:
    """One connection.

    Attributes:
        is_moving: False: nothing moves on it, and nothing is noticed.
        change: what becomes of the bytes that the server sends.
        asked, answered: all bytes that have moved.
    """

    def __init__(self, server: Any, client: Any) -> None:
        self.server_end: Any = End(server, is_server=True)
        self.client_end: Any = End(client, is_server=False)
        self.pump: IOPump = connect(server, self.server_end, client, self.client_end, greet=False)
        self.is_moving = True
        self.change: Callable[[bytes], bytes] = bytes
        self.asked = self.answered = b""
        self.client_end.passed = self._note_asked
        self.server_end.passed = self._note_answered

    def _note_asked(self, data: bytes) -> bytes:
        self.asked += data
        return data

    def _note_answered(self, data: bytes) -> bytes:
        data = self.change(data) if data else data
        self.answered += data
        return data

    def turn(self) -> bool:
        """Move what is on its way."""
        return self.is_moving and bool(self.pump.pump(advanceClock=False))

    def cut(self) -> None:
        """Let both ends lose the connection, and all that was on its way."""
        for end in (self.server_end, self.client_end):
            end.abortConnection()

    @property
    def is_open(self) -> bool:
        return not (self.server_end.disconnected and self.client_end.disconnected)


@define
class Net:
    """Who listens where, and every connection that was ever made."""

    clock: Clock = field(factory=Clock)
    listening: dict[bytes, Any] = field(factory=dict)
    cables: list[Cable] = field(factory=list)

    def connect(self, host: bytes, factory: IProtocolFactory) -> Deferred[Any]:
        """What an endpoint does."""
        if host not in self.listening:
            return fail(error.ConnectionRefusedError())
        client: Any = factory.buildProtocol(cast(Any, None))
        self.cables.append(Cable(self.listening[host].buildProtocol(None), client))
        return succeed(client)

    def stranger(self, host: bytes, data: bytes) -> "Sink":
        """Send raw bytes to a process; return the client."""
        sink = Sink()
        cable = Cable(self.listening[host].buildProtocol(None), sink)
        self.cables.append(cable)
        sink.cable = cable
        cable.client_end.write(data)
        self.settle()
        return sink

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(5000):
            moved = [cable.turn() for cable in self.cables if cable.is_open]
            is_due = any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls())
            self.clock.advance(0)
            if not is_due and not any(moved):
                return
        raise AssertionError("this never settles")

    def pass_time(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.settle()


@implementer(IAgentEndpointFactory)
@define
class Endpoints:
    """Opens connections by the host's name alone."""

    net: Net
    creator: Callable[[str], IOpenSSLClientConnectionCreator] | None = None

    def endpointForURI(self, uri: Any) -> Any:
        return Endpoint(self.net, uri.host, uri.scheme == b"https", self.creator)


@define
class Endpoint:
    """One place to connect to."""

    net: Net
    host: bytes
    is_tls: bool
    creator: Callable[[str], IOpenSSLClientConnectionCreator] | None

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        if not self.is_tls:
            return self.net.connect(self.host, factory)
        assert self.creator is not None
        wrapped: Any = TLSMemoryBIOFactory(self.creator(self.host.decode()), True, factory, clock=self.net.clock)
        return self.net.connect(self.host, wrapped).addCallback(lambda tls: tls.wrappedProtocol)


class Secret(PeerSecret):
    """A secret without a file."""

    def __init__(self, *secrets: bytes) -> None:
        self.secrets = secrets


@define
class Port:
    """A node that accepts all streams, and keeps what is reported.

    Attributes:
        answer: what a request is answered with; None: it is accepted.
        fault: what `received` raises.
        on_answered, on_received: are called with the number of a stream that a dial has brought, or that was read.
    """

    node: str
    boot: str
    answer: StreamRefused | None = None
    fault: Exception | None = None
    on_answered: Callable[[int], None] | None = None
    on_received: Callable[[int], None] | None = None
    numbers: int = 100
    asked: list[StreamRequest] = field(factory=list)
    accepted: list[int] = field(factory=list)
    answered: dict[int, StreamAnswer] = field(factory=dict)
    failed: dict[int, tuple[str, bool]] = field(factory=dict)
    frames: dict[int, list[AnyFrame]] = field(factory=dict)
    reads: list[tuple[int, int, int, int]] = field(factory=list)
    closed: dict[int, str] = field(factory=dict)
    refused: list[tuple[str, str]] = field(factory=list)
    refused_nodes: list[tuple[str, str]] = field(factory=list)

    def request_refused(self, node: str, refused: StreamRefused) -> None:
        self.refused_nodes.append((node, refused.code))

    def stream_asked(self, request: StreamRequest) -> Accepted | StreamRefused:
        self.asked.append(request)
        if self.answer is not None:
            return self.answer
        self.numbers += 1
        self.accepted.append(self.numbers)
        return Accepted(self.numbers, StreamAnswer(self.node, self.boot, f"{self.node}{self.numbers}"))

    def dial_answered(self, stream: int, answer: StreamAnswer) -> None:
        assert stream not in self.answered
        self.answered[stream] = answer
        self.frames[stream] = []
        if self.on_answered is not None:
            self.on_answered(stream)

    def dial_failed(self, stream: int, why: str, *, is_lasting: bool) -> None:
        assert stream not in self.failed
        assert stream not in self.answered
        self.failed[stream] = why, is_lasting

    def received(self, stream: int, frames: list[AnyFrame], express_bytes: int, bulk_bytes: int) -> None:
        assert stream in self.answered
        assert stream not in self.closed
        self.frames[stream] += frames
        self.reads.append((stream, len(frames), express_bytes, bulk_bytes))
        if self.on_received is not None:
            self.on_received(stream)
        if self.fault is not None:
            raise self.fault

    def stream_closed(self, stream: int, why: str) -> None:
        assert stream in self.answered or stream in self.accepted
        assert stream not in self.closed
        self.closed[stream] = why

    def count_refused(self, listener: str, code: str) -> None:
        self.refused.append((listener, code))


def url_of(node: str) -> str:
    """Where a process of these networks listens."""
    return f"http://{node}.test:8081"


class Process:
    """One process with the transport of its links."""

    def __init__(
        self,
        net: Net,
        node: str,
        secrets: tuple[bytes, ...] = (),
        limits: StreamLimits | None = None,
        boot: str = "",
        http_limits: HttpLimits = stream_http_limits,
        **more: Any,
    ) -> None:
        self.net = net
        self.port = Port(node, boot or f"boot-{node}")
        endpoints = Endpoints(net, more.pop("creator", None))
        self.secret = Secret(*secrets) if secrets else None
        self.streams = PeerStreams(
            cast(Any, net.clock),
            lambda pool: Agent.usingEndpointFactory(net.clock, endpoints, pool),
            self.secret,
            limits=limits,
            **more,
        )
        self.streams.start(self.port)
        self.site = StreamResource(self.streams).site(net.clock, http_limits)
        net.listening[f"{node}.test".encode()] = self.site
        self._dials = 0

    def dial(self, to: str, url: str = "", **changed: Any) -> int:
        """Dial another process, and let things happen; return the number of the stream."""
        number = self.start_dial(to, url, **changed)
        self.net.settle()
        return number

    def start_dial(self, to: str, url: str = "", **changed: Any) -> int:
        """Dial another process."""
        self._dials += 1
        port = self.port
        request = StreamRequest(
            *("dqtw", port.node, port.boot, url_of(port.node), (2,)), f"nonce{self._dials}", self._dials, to, None
        )
        self.carry_out(Dial(self._dials, url or url_of(to), evolve(request, **changed)))
        return self._dials

    def carry_out(self, *effects: LinkEffect) -> None:
        """Carry out effects of one turn."""
        self.streams.carry_out(effects)

    def send(self, stream: int, *frames: AnyFrame) -> None:
        """Send frames in one turn, and let things happen."""
        self.carry_out(*(Send(stream, frame) for frame in frames))
        self.net.settle()

    def close(self, stream: int) -> None:
        """Close a stream."""
        self.carry_out(Close(stream, "the test says so"))
        self.net.settle()


@define
class Pair:
    """A process that writes a stream, and one that reads it."""

    writer: Process
    written: int
    reader: Process
    read: int
    cable: Cable

    @property
    def frames(self) -> list[AnyFrame]:
        """What has arrived."""
        return self.reader.port.frames[self.read]


def pair_on(net: Net, secret: bytes | None = None, limits: StreamLimits | None = None) -> Pair:
    """Two processes with one stream, from a to b."""
    secrets = () if secret is None else (secret,)
    a, b = Process(net, "a", secrets, limits), Process(net, "b", secrets, limits)
    return open_stream(a, b)


def open_stream(writer: Process, reader: Process) -> Pair:
    """Open one more stream."""
    number = reader.dial(writer.port.node)
    assert number in reader.port.answered, reader.port.failed
    return Pair(writer, writer.port.accepted[-1], reader, number, writer.net.cables[-1])


class Sink(Protocol):
    """A client that only reads."""

    cable: Cable

    def __init__(self) -> None:
        self.received = b""
        self.is_lost = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.is_lost = True


class Raw(Protocol):
    """A server that answers any data with these bytes."""

    transport: Any

    def __init__(self, answer: bytes, *, hangs_up: bool = False) -> None:
        self.answer = answer
        self.hangs_up = hangs_up
        self.has_answered = False

    def dataReceived(self, data: bytes) -> None:
        if not self.has_answered:
            self.has_answered = True
            self.transport.write(self.answer)
            if self.hangs_up:
                self.transport.loseConnection()


@define
class RawSite:
    """Listens with a server of few words."""

    answer: bytes
    hangs_up: bool = False

    def buildProtocol(self, _: Any) -> Raw:
        return Raw(self.answer, hangs_up=self.hangs_up)
