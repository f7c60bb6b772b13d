# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""A stream that this process has asked for: a dial, and then the frames of a response that never ends."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias, cast

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers
from typing_extensions import override

from dqtw.core.links.streams import Dial, StreamAnswer
from dqtw.core.model.errors import PeerFault
from dqtw.net.peer.bounds import StreamLimits
from dqtw.net.peer.connection import NoCookies, OneConnection, PlainAgent
from dqtw.net.peer.failures import reason
from dqtw.net.peer.port import PeerPort
from dqtw.net.peer.refusals import NoStream, no_stream
from dqtw.net.peer.url import check_peer_url, ready_url
from dqtw.wire.peer import handshake
from dqtw.wire.peer.lanes import Inbox
from dqtw.wire.peer.text import bare

AgentOf: TypeAlias = Callable[[HTTPConnectionPool], Any]

_log = Logger(namespace="dqtw")

_failed: Final = "this node failed at a frame of the stream"


class DialledStream(Protocol):
    """One dial, and the stream that comes of it.

    Attributes:
        dial: what is dialled.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        agent_of: AgentOf,
        dial: Dial,
        secret: bytes | None,
        port: PeerPort,
        limits: StreamLimits,
        ended: Callable[["DialledStream"], None],
        *,
        must_encrypt: bool = False,
    ) -> None:
        """Keep what is needed to dial.

        Args:
            reactor: the reactor, or what stands in for its time.
            agent_of: makes the agent that opens the connection of a pool.
            dial: the stream's number, where to ask for it, and how.
            secret: signs the request.
            port: takes what comes.
            limits: the bounds.
            ended: called before the end is reported, unless `close` is called first.
            must_encrypt: only an https URL may be dialled.
        """
        self.dial = dial
        self._reactor = reactor
        self._agent_of = agent_of
        self._secret = secret
        self._port = port
        self._limits = limits
        self._ended = ended
        self._must_encrypt = must_encrypt
        self._pool = OneConnection(reactor, limits.head_bytes_max)
        self._opening: Deferred[Any] | None = None  # until the dial is answered
        self._inbox: Inbox | None = None  # from then on
        self._is_closed = False

    def start(self) -> None:
        """Dial."""
        if self._is_closed:
            return
        self._opening = opening = Deferred.fromCoroutine(self._open())
        opening.addTimeout(self._limits.dial_s_max, self._reactor)
        opening.addErrback(lambda failure: NoStream(bare(reason(failure.value))))
        opening.addCallback(self._opened)
        opening.addErrback(lambda failure: _log.failure("a dial to {peer}", failure, peer=self.dial.request.to_node))

    def close(self) -> None:
        """Cut the connection, or give the dial up. Nothing is reported any more."""
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
        self._pool.cut()

    async def _open(self) -> tuple[StreamAnswer, Any] | NoStream:
        dial = self.dial
        try:
            check_peer_url(dial.url)
            url = ready_url(dial.url.rstrip("/") + handshake.path)
        except ValueError as error:
            return NoStream(bare(f"the URL {dial.url!r} cannot be used: {error}"))
        if self._must_encrypt and not dial.url.lower().startswith("https://"):
            return NoStream(bare(f"the URL {dial.url!r} is not https, and links to this peer must be encrypted"))
        client = HTTPClient(PlainAgent(self._agent_of(self._pool)), NoCookies())
        response: Any = await client.get(
            url,
            headers=Headers({name: [value] for name, value in handshake.request_headers(dial.request, self._secret)}),
            allow_redirects=False,
            unbuffered=True,
            reactor=cast(Any, self._reactor),
        )
        kind = b",".join(response.headers.getRawHeaders(b"Content-Type", [])).decode("latin-1")
        if response.code != HTTPStatus.OK or kind != handshake.content_type:
            return no_stream(response.code, kind, await _start_of_body(response))

        def values(name: str) -> list[bytes]:
            return cast(list[bytes], response.headers.getRawHeaders(name.encode(), []))

        return handshake.read_answer(values, dial.request, self._secret), response

    def _opened(self, outcome: tuple[StreamAnswer, Any] | NoStream) -> None:
        self._opening = None
        if self._is_closed:
            return
        if isinstance(outcome, NoStream):
            self.close()
            self._ended(self)
            self._port.dial_failed(self.dial.stream, outcome.why, is_lasting=outcome.is_lasting)
            return
        answer, response = outcome
        key = handshake.piece_key(self._secret, self.dial.request, answer)
        self._inbox = Inbox(self._limits.frame_bytes_max, key)
        self._port.dial_answered(self.dial.stream, answer)
        response.deliverBody(self)

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._is_closed or self._inbox is None:
            return
        try:
            fed = self._inbox.feed(data)
            self._port.received(self.dial.stream, fed.frames, fed.express_bytes, fed.bulk_bytes)
        except PeerFault as fault:
            _log.warn("{peer} sent what it must not: {why}", peer=self.dial.request.to_node, why=str(fault))
            self._end(str(fault))
        except Exception:  # which Twisted's client would take for the end of the answer, in silence
            _log.failure(_failed)
            self._end(_failed)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._is_closed:
            self._end("the peer ended the stream" if reason.check(ResponseDone) else "the connection was lost")

    def _end(self, why: str) -> None:
        self.close()
        self._ended(self)
        self._port.stream_closed(self.dial.stream, why)


class _Start(Protocol):
    """The body of an answer that accepts no stream, as far as it is read."""

    def __init__(self) -> None:
        self.read: Deferred[bytes] = Deferred()
        self._received = b""

    @override
    def dataReceived(self, data: bytes) -> None:
        self._received += data[: handshake.refusal_bytes_max]
        if len(self._received) >= handshake.refusal_bytes_max:
            self._stop()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop()

    def _stop(self) -> None:
        if not self.read.called:
            self.read.callback(self._received)


def _start_of_body(response: Any) -> Deferred[bytes]:
    start = _Start()
    response.deliverBody(start)
    return start.read
