# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""One HTTP request whose body stays in memory, within the limit of its path."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web import http, server
from typing_extensions import override

from dqtw.core.model.errors import Framing, Refusal
from dqtw.net.http.head import authority_of, check_framing, check_host, check_method, origin_form, path_segments
from dqtw.wire.rest.problem import Answer, Header, internal_problem, phrase, problem

if TYPE_CHECKING:
    from dqtw.net.http.channel import BoundedChannel


def answer_headers(answer: Answer) -> list[Header]:
    """Return all headers of an answer. A 204 has neither a type nor a length (RFC 9110, 8.6)."""
    headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), *answer.headers]
    if answer.status != http.NO_CONTENT:
        headers.append(("Content-Length", str(len(answer.body))))
    if answer.content_type is not None:
        headers.append(("Content-Type", answer.content_type))
    return headers


class BoundedRequest(server.Request):
    """A request as its handler sees it.

    Attributes:
        query: the raw query string.
        host: the host, and perhaps port, that the client means: of an absolute target, else of the Host header; empty
            if an HTTP/1.0 client names none.
        body_bytes_max: how large this request's body may be, from its head.
        received: the body's bytes until now.
        answer_bytes: how large the answer's body is.
    """

    defaultContentType = None  # noqa: N815
    method: bytes
    uri: bytes

    def __init__(self, channel: "BoundedChannel", *args: Any, **kwargs: Any) -> None:
        super().__init__(channel, *args, **kwargs)
        self.query = b""
        self.host = b""
        self.body_bytes_max = 0
        self.received: bytes | bytearray = b""
        self.answer_bytes = 0
        self._call_unwatched: Callable[[], None] | None = None

    def take_head(self, method: bytes, target: bytes, version: bytes) -> None:
        """Take the request line, once the headers are complete.

        Raises:
            Framing: the head could be read in more than one way.
        """
        self.method, self.clientproto = method, version
        check_method(method)
        check_framing(version, self.headers(b"Content-Length"), self.headers(b"Transfer-Encoding"))
        hosts = self.headers(b"Host")
        check_host(version, hosts)
        self.uri = origin_form(target)
        if self.uri == b"*" and method != b"OPTIONS":
            raise Framing("the request target * is for OPTIONS alone")
        self.host = authority_of(target) or b"".join(hosts)
        self.path, _, self.query = self.uri.partition(b"?")

    @property
    def local_address(self) -> IAddress:
        """The address at which the connection came in."""
        return self._channel.local_address

    def headers(self, name: bytes) -> list[bytes]:
        """Return every value of one header, in their order."""
        return list(self.requestHeaders.getRawHeaders(name, []))

    def take_body(self) -> bytes:
        """Return the whole body, once: the request keeps no second copy while it waits."""
        body, self.received = self.received, b""
        return bytes(body)

    def keep(self, data: bytes) -> None:
        """Add to the body. One that came in one piece is not copied."""
        if not self.received:
            self.received = data
            return
        if isinstance(self.received, bytes):
            self.received = bytearray(self.received)
        self.received += data

    @property
    def is_unwatched(self) -> bool:
        """True if this server would not notice that the client went away.

        That is so when the client has ended its side of the connection, or has sent so much ahead that reading stopped.
        """
        return self._channel.unwatched

    def when_unwatched(self, call: Callable[[], None]) -> None:
        """Call at most once, when this server would no longer notice that the client went away."""
        self._call_unwatched = call

    def unwatched(self) -> None:
        """Make the call that waits for the client to be no longer watched."""
        call, self._call_unwatched = self._call_unwatched, None
        if call is not None:
            call()

    def answer(self, answer: Answer) -> bytes:
        """Set status and headers, and return the body, to be written."""
        self.answer_bytes = len(answer.body)
        self.setResponseCode(int(answer.status), phrase(answer.status).encode())
        for name, value in answer_headers(answer):
            self.setHeader(name, value)
        return answer.body

    @override
    def gotLength(self, length: int | None) -> None:
        """Make no file for the body, which is kept in `received`."""

    @override
    def handleContentChunk(self, data: bytes) -> None:
        if self._channel.takes(self, len(data)):
            self.keep(data)

    @override
    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self.site = self._channel.site
        self.setHeader(b"Date", http.datetimeToString())
        try:
            self.prepath, self.postpath = [], path_segments(self.path)
            self.render(self.site.resource)
        except Refusal as refusal:
            self._channel.site.gate.count_refused(refusal.code)
            self._finish(problem(refusal))
        except Exception:
            self.processingFailed(Failure())

    @override
    def processingFailed(self, reason: Failure) -> Failure:
        self._log.failure("a request failed", failure=reason)
        if not (self.startedWriting or self.finished or self._disconnected):
            self._finish(internal_problem())
        return reason

    @override
    def getRequestHostname(self) -> bytes:
        return b"localhost"  # the router wants one; what the client says is used for nothing

    @property
    def _channel(self) -> "BoundedChannel":
        return cast("BoundedChannel", self.channel)

    def _finish(self, answer: Answer) -> None:
        self.write(self.answer(answer))
        self.finish()
