# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""The connections to one peer, and what an answer may be on them.

Twisted's client reads headers without end, undoes compression whatever comes of it, and waits for ever to close a
connection whose other end does not read.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConsumer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HEADER, STATUS, HTTP11ClientProtocol
from twisted.web.client import HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from typing_extensions import override
from zope.interface import implementer

from dqtw.core.model.errors import PeerFault
from dqtw.net.peer.limits import PeerLimits


class BoundedConnection(HTTP11ClientProtocol):
    """One connection, on which the head of an answer has an end."""

    transport: Any
    _parser: Any

    def __init__(self, pool: "PeerPool", *args: Any) -> None:
        super().__init__(*args)
        self._pool = pool
        self._head_bytes = 0

    @override
    def connectionMade(self) -> None:
        super().connectionMade()
        self._pool.open.add(self)

    @override
    def request(self, request: Any) -> Deferred[IResponse]:
        self._head_bytes = 0
        return super().request(request)

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._parser is None:  # nothing was asked
            self.transport.abortConnection()
            return
        if self._parser.state in (STATUS, HEADER):
            self._head_bytes += len(data)
        if self._head_bytes > self._pool.limits.head_bytes_max:
            self.transport.abortConnection()
            return
        super().dataReceived(data)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take the connection out of those that are open."""
        self._pool.open.discard(self)
        super().connectionLost(reason)


class _Connections(Factory):
    noisy = False

    def __init__(self, pool: "PeerPool", quiescent: Any) -> None:
        self._pool = pool
        self._quiescent = quiescent

    @override
    def buildProtocol(self, addr: IAddress | None) -> BoundedConnection:
        return BoundedConnection(self._pool, self._quiescent)


class PeerPool(HTTPConnectionPool):
    """All connections to one peer.

    Attributes:
        open: every connection that is open, whether a request is under way on it or not.
    """

    cachedConnectionTimeout: Any  # noqa: N815  (Twisted says int, and means seconds)
    retryAutomatically = False  # noqa: N815  (nothing is ever sent twice)

    def __init__(self, reactor: IReactorTime, limits: PeerLimits) -> None:
        super().__init__(reactor, persistent=True)
        self.limits = limits
        self.open: set[BoundedConnection] = set()
        self.maxPersistentPerHost = limits.forwards_max + 8
        self.cachedConnectionTimeout = limits.idle_seconds_max

    @override
    def _factory(self, quiescentCallback: Any, metadata: Any) -> Any:  # type: ignore[override]
        return _Connections(self, quiescentCallback)

    def cut_closing(self) -> None:
        """Cut what is about to close: nothing that its other end may still read or write is of any use."""
        for connection in [each for each in self.open if each.transport.disconnecting]:
            connection.transport.abortConnection()

    def drop_idle(self) -> None:
        """Trust no connection any more that has no request under way: after a failure all may be stale."""
        self.closeCachedConnections()
        self.cut_closing()


@implementer(IAgent)
class PlainAgent:
    """Asks for answers that are not compressed, and takes none for compressed."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: Any = None,  # noqa: N803
    ) -> Deferred[IResponse]:
        """Send a request; see `IAgent`."""
        assert headers is not None
        headers.setRawHeaders(b"Accept-Encoding", [b"identity"])
        asked: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        return asked.addCallback(_uncompressed)


def _uncompressed(response: IResponse) -> IResponse:
    response.headers.removeHeader(b"Content-Encoding")
    return response


@implementer(IBodyProducer)
class WholeBody:
    """A body that is there, and is handed over in one piece."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:  # noqa: N802
        """Hand it over."""
        consumer.write(self._body)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:  # noqa: N802
        """It is handed over already."""

    def resumeProducing(self) -> None:  # noqa: N802
        """It is handed over already."""

    def stopProducing(self) -> None:  # noqa: N802
        """It is handed over already."""


def read_body(response: IResponse, bytes_max: int) -> Deferred[bytes]:
    """Read the body of an answer. Cancelling closes the connection.

    Fails with `PeerFault` when it is longer than that, or cut short.
    """
    body = _Body(bytes_max, response.length)
    response.deliverBody(body)
    return body.whole


def refuse_body(response: IResponse) -> None:
    """Close the connection instead of reading the body of an answer."""
    response.deliverBody(_Refusing())


class _Refusing(Protocol):
    transport: Any

    @override
    def connectionMade(self) -> None:
        self.transport.loseConnection()


class _Body(Protocol):
    transport: Any

    def __init__(self, bytes_max: int, length: Any) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self.transport.loseConnection())
        self._bytes_max = bytes_max
        self._length = 0 if length is UNKNOWN_LENGTH else length
        self._pieces: list[bytes] = []
        self._received = 0

    @override
    def connectionMade(self) -> None:
        self._check(self._length)

    @override
    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        if not self.whole.called and self._check(self._received):
            self._pieces.append(data)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        if reason.check(ResponseDone):
            self.whole.callback(b"".join(self._pieces))
        else:
            self.whole.errback(PeerFault("the connection was lost in the middle of the answer"))

    def _check(self, count: int) -> bool:
        if count <= self._bytes_max:
            return True
        self.transport.loseConnection()
        self.whole.errback(PeerFault(f"the answer is longer than {self._bytes_max} bytes"))
        return False
