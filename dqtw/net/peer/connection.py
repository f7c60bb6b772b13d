# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""The connection of a dial, with what Twisted's HTTP client lacks.

Twisted's client reads headers without end, undoes compression whatever comes of it, and waits for ever to close a
connection whose other end does not read.
"""

from typing import Any

from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.web._newclient import HEADER, STATUS, HTTP11ClientProtocol
from twisted.web.client import HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from typing_extensions import override
from zope.interface import implementer

from dqtw.net.tcp import keep_prompt


class _Connection(HTTP11ClientProtocol):
    """One connection, on which the head of an answer has an end."""

    transport: Any
    _parser: Any

    def __init__(self, pool: "OneConnection", *args: Any) -> None:
        super().__init__(*args)
        self._pool = pool
        self._head_bytes = 0

    @override
    def connectionMade(self) -> None:
        super().connectionMade()
        keep_prompt(self.transport)
        self._pool.connection = self

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._parser is None:  # nothing was asked, or the answer has ended
            self.transport.abortConnection()
            return
        if self._parser.state in (STATUS, HEADER):
            self._head_bytes += len(data)
            if self._head_bytes > self._pool.head_bytes_max:
                self.transport.abortConnection()
                return
        super().dataReceived(data)


class _Connections(Factory):
    noisy = False

    def __init__(self, pool: "OneConnection", quiescent: Any) -> None:
        self._pool = pool
        self._quiescent = quiescent

    @override
    def buildProtocol(self, addr: IAddress | None) -> _Connection:
        return _Connection(self._pool, self._quiescent)


class OneConnection(HTTPConnectionPool):
    """The pool of one dial: it makes one connection, for one request.

    Attributes:
        connection: None before there is one.
    """

    def __init__(self, reactor: IReactorTime, head_bytes_max: int) -> None:
        super().__init__(reactor, persistent=False)
        self.head_bytes_max = head_bytes_max
        self.connection: _Connection | None = None

    @override
    def _factory(self, quiescentCallback: Any, metadata: Any) -> Any:  # type: ignore[override]
        return _Connections(self, quiescentCallback)

    def cut(self) -> None:
        """Close the connection at once: nothing that may still be read or written is of any use."""
        if self.connection is not None:
            self.connection.transport.abortConnection()


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


class NoCookies(IndexableCookieJar):
    """Sends none and keeps none, without looking for any."""

    @override
    def add_cookie_header(self, request: Any) -> None:
        pass

    @override
    def extract_cookies(self, response: Any, request: Any) -> None:
        pass
