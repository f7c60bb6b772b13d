"""A client of the line door whose connection is memory: what it sends, reads, and does to the stream."""

import random
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.driver import Driver
from dqtw.net.line.factory import LineFactory
from dqtw.net.line.limits import LineLimits

buffer_bytes_max = 64 * 1024  # as in Twisted's own transports


@implementer(IHalfCloseableDescriptor)
class MemoryStream:
    """The server's end of a connection; it does what Twisted's TCP transport does, for a client that is a list."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.producer: Any = None
        self.producer_paused = False
        self.reading = True
        self.client_reads = True
        self.unread: list[bytes] = []  # what the client has sent and the server has not read
        self.buffer = b""  # what the server has written and the client has not read
        self.taken = b""
        self.writes = 0
        self.closing = False
        self.half_closing = False
        self.eof = False  # the server's own side has ended
        self.gone = False

    # The server's side.

    def write(self, data: bytes) -> None:
        self.writeSequence([data])

    def writeSequence(self, pieces: list[bytes]) -> None:
        assert not self.eof, "written after the end"
        self.writes += 1
        self.buffer += b"".join(pieces)
        if self.producer is not None and len(self.buffer) > buffer_bytes_max:
            self.producer_paused = True
            self.producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def loseConnection(self) -> None:
        assert self.producer is None, "Twisted does not close as long as there is one"
        self.closing = True

    def loseWriteConnection(self) -> None:
        assert self.producer is None, "Twisted does not close as long as there is one"
        self.half_closing = True

    def abortConnection(self) -> None:
        self.lose(ConnectionLost())

    def lose(self, reason: Exception) -> None:
        if not self.gone:
            self.gone = self.eof = True
            self.protocol.connectionLost(Failure(reason))

    # The reactor's side.

    def readConnectionLost(self, reason: Failure) -> None:
        self.protocol.readConnectionLost()

    def writeConnectionLost(self, reason: Failure) -> None:
        self.eof = True
        self.protocol.writeConnectionLost()

    def turn(self) -> bool:
        """One turn of the reactor; whether anything happened."""
        return self._deliver() or self._flush()

    def _deliver(self) -> bool:
        if not (self.unread and self.reading) or self.gone:
            return False
        self.protocol.dataReceived(self.unread.pop(0))
        return True

    def _flush(self) -> bool:
        if not self.client_reads or self.gone:
            return False
        happened = bool(self.buffer)
        self.taken, self.buffer = self.taken + self.buffer, b""
        if self.producer is not None and self.producer_paused:
            self.producer_paused = False
            self.producer.resumeProducing()
            return True
        if self.closing:
            self.lose(ConnectionDone())
        elif self.half_closing and not self.eof:
            self.writeConnectionLost(Failure(ConnectionDone()))
            return True
        return happened


@define
class World:
    """A real node with a line door, and the clock that all of it runs on."""

    settings: NodeSettings = field(factory=NodeSettings)
    limits: LineLimits = field(factory=LineLimits)
    authenticate: Callable[[str], bool] | None = None
    clock: Clock = field(factory=Clock)
    driver: Driver = field(init=False)
    factory: LineFactory = field(init=False)
    clients: list["LineClient"] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        node = Node(0.0, self.settings, random.Random(1).randbytes, 1_700_000_000_000)
        self.driver = Driver(node, self.clock)
        self.factory = LineFactory(self.driver, self.clock, self.limits, self.authenticate)

    def connect(self) -> "LineClient":
        """One more client."""
        client = LineClient(self)
        self.clients.append(client)
        return client

    def settle(self, seconds: float = 0.0) -> None:
        """Let the time pass, and everything happen that follows."""
        self.clock.advance(seconds)
        for _ in range(100_000):
            happened = [client.stream.turn() for client in self.clients]
            due = [call for call in self.clock.getDelayedCalls() if call.getTime() <= self.clock.seconds()]
            if not (any(happened) or due):
                return
            self.clock.advance(0)
        raise AssertionError("it never comes to rest")


class LineClient:
    """One client."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stream = MemoryStream()
        self.stream.protocol = world.factory.buildProtocol(None)
        self.stream.protocol.makeConnection(self.stream)

    def send(self, *pieces: bytes) -> None:
        """Send without waiting; each piece is one read of the server."""
        self.stream.unread += pieces

    def ask(self, *pieces: bytes) -> bytes:
        """Send, let everything happen that needs no time, and give what has newly come."""
        self.send(*pieces)
        self.world.settle()
        return self.read()

    def read(self) -> bytes:
        """What has come since the last look."""
        taken, self.stream.taken = self.stream.taken, b""
        return taken

    def half_close(self) -> None:
        """Tell the server that nothing more will be sent."""
        self.stream.readConnectionLost(Failure(ConnectionDone()))

    def vanish(self) -> None:
        """Be gone, whatever is under way."""
        self.stream.lose(ConnectionLost())

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection, as a client sees it."""
        return self.stream.eof

    def push(self, body: bytes, options: str = "") -> str:
        """Push a message, and give its id."""
        answer = self.ask(push(body, options))
        assert answer.startswith(b"OK "), answer
        return answer.split()[1].decode()

    def get(self, options: str = "") -> tuple[str, int, bytes]:
        """Take a message: receipt, attempt, body."""
        answer = self.ask(f"GET{options}\r\n".encode())
        head, _, rest = answer.partition(b"\r\n")
        word, receipt, attempt, length = head.split()[:4]
        assert word == b"MSG", answer
        assert rest == rest[: int(length)] + b"\r\n", answer
        return receipt.decode(), int(attempt), rest[: int(length)]


def push(body: bytes, options: str = "") -> bytes:
    """A PUSH, as it goes over the line."""
    return b"PUSH %d%b\r\n%b\r\n" % (len(body), options.encode(), body)
