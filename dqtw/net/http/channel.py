# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""One HTTP/1.1 connection: its phases and their deadlines, what is refused, and whether the client reads."""

from enum import Enum
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, ISSLTransport, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from typing_extensions import override
from zope.interface import implementer

from dqtw.core.model.errors import Busy, Framing, Refusal, RequestTimeout, TooLarge
from dqtw.net.http.head import check_header_line, is_folded
from dqtw.net.http.request import BoundedRequest, answer_headers
from dqtw.net.tcp import keep_prompt
from dqtw.wire.other_protocols import check_start
from dqtw.wire.rest.problem import Answer, phrase, problem

if TYPE_CHECKING:
    from dqtw.net.http.site import BoundedSite


pieces_max: Final = 16  # of what was sent ahead


class Phase(Enum):
    """What a connection is about."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWERING = "answering"  # the only one without a deadline: the node decides who may wait, and how long
    SENDING = "sending"  # the answer is complete, and its rest waits until the client has read what was written
    CLOSING = "closing"  # what is due is still written, what comes is thrown away


@implementer(IHalfCloseableProtocol)
class BoundedChannel(http.HTTPChannel):
    """One connection.

    Attributes:
        phase: what it is about now.
        deadline: when the phase must be over, in the clock's seconds.
        local_address: the address at which the connection came in.
    """

    site: "BoundedSite"
    requests: list[BoundedRequest]
    local_address: IAddress
    transport: Any  # there is one in every call but the constructor's
    _networkProducer: Any  # noqa: N815  (the transport again, or Twisted's stand-in for one that can't be paused)

    def __init__(self) -> None:
        super().__init__()
        self.phase = Phase.IDLE
        self.deadline = inf
        self._is_one_too_many = False
        self._began = 0.0  # the time of the request's first byte
        self._received_bytes = 0  # what this connection holds of the site's budgets
        self._unread_bytes = 0
        self._unsent = memoryview(b"")  # what is not written yet of a large answer
        self._sending: http.Request | None = None  # the request that is done when this has been written
        self._input_ended = False

    # What the connection brings

    @override
    def connectionMade(self) -> None:
        limits = self.site.limits
        self.MAX_LENGTH = limits.line_bytes_max
        self.totalHeadersSize = limits.head_bytes_max
        self.maxHeaders = limits.header_count_max
        self._optimisticEagerReadSize = limits.pipelined_bytes_max
        super().connectionMade()
        keep_prompt(self.transport)
        self.local_address = self.transport.getHost()
        self._began = self._now()
        self._is_one_too_many = not self.site.has_room_for(self)
        self._enter(Phase.IDLE, limits.head_seconds_max if self._is_one_too_many else limits.idle_seconds_max)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.phase = Phase.CLOSING
        self._unsent = memoryview(b"")
        self._release_received()
        self._release_unread()
        self.site.forget(self)
        super().connectionLost(reason)

    @override
    def dataReceived(self, data: bytes) -> None:
        if self.phase is Phase.CLOSING:
            return
        if self.phase is Phase.IDLE and not self.paused and (data or self._buffer):
            self._begin()
            if not self._is_http(data):
                return
        super().dataReceived(data)

    def readConnectionLost(self) -> None:  # noqa: N802
        """Note that the client sends no more: what it has asked is still answered, but nothing waits for it."""
        self._input_ended = True
        if self.phase is Phase.CLOSING:
            self.transport.loseConnection()
            return
        self._tell_unwatched()
        self._close_if_drained()

    def writeConnectionLost(self) -> None:  # noqa: N802
        """Do nothing: the client knows that nothing more comes, and has time to read what did."""

    @property
    def unwatched(self) -> bool:
        """True if this server would not notice that the client went away."""
        return self._input_ended or sum(map(len, self._dataBuffer)) > self._optimisticEagerReadSize

    # A request, piece by piece

    @override
    def lineReceived(self, line: bytes) -> None:
        if self.phase is Phase.IDLE:
            self._begin()
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            self.lineLengthExceeded(line)
        elif self.requests and is_folded(line):
            self.refuse(Framing("a header may not be folded over lines"))
        elif self.requests or self._is_http(line):
            super().lineReceived(line)

    @override
    def lineLengthExceeded(self, line: bytes) -> None:
        if self.requests:
            self.refuse(Framing("the headers are too long"), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            self.refuse(Framing("the request line is too long"), HTTPStatus.REQUEST_URI_TOO_LONG)

    @override
    def headerReceived(self, line: bytes) -> bool:
        if self._receivedHeaderCount >= self.maxHeaders:
            self.refuse(Framing("too many headers"), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return False
        try:
            check_header_line(line)
        except Refusal as refusal:
            self.refuse(refusal)
            return False
        return bool(super().headerReceived(line))

    @override
    def allHeadersReceived(self) -> None:
        request = self.requests[-1]
        try:
            request.take_head(self._command, self._path, self._version)
            if self._is_one_too_many:
                self._is_one_too_many = not self.site.has_room_for(self)  # another may have closed meanwhile
            if self._is_one_too_many and not self.site.gate.is_served_at_the_limit(request):
                raise _busy()
            request.body_bytes_max = self.site.gate.body_bytes_max(request)
            if self.length is not None and self.length > request.body_bytes_max:
                raise _too_large(request)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        self._enter(Phase.BODY, self._began + self.site.limits.request_seconds_max - self._now())
        super().allHeadersReceived()

    @override
    def checkPersistence(self, request: BoundedRequest, version: bytes) -> bool:
        options = b",".join(request.headers(b"Connection")).lower().split(b",")
        may_stay = version == b"HTTP/1.1" and not (self.site.draining or self._is_one_too_many)
        if may_stay and b"close" not in map(bytes.strip, options):
            request.setHeader(b"Keep-Alive", self.site.keep_alive)
            return True
        request.setHeader(b"Connection", b"close")
        return False

    def takes(self, request: BoundedRequest, count: int) -> bool:
        """Return True if so many bytes more of the request's body are taken; if not, it has been refused."""
        if self.phase is Phase.CLOSING:
            return False
        limits, received = self.site.limits, len(request.received) + count
        if received > request.body_bytes_max:
            self.refuse(_too_large(request))
            return False
        counted = max(0, received - limits.free_body_bytes) - self._received_bytes
        if not self.site.received.take(counted):
            self.refuse(Busy("this server holds as many unanswered bodies as it may"))
            return False
        self._received_bytes += counted
        self.deadline = self._began + limits.request_seconds_max + received / limits.body_bytes_per_second_min
        return True

    @override
    def rawDataReceived(self, data: bytes) -> None:
        if self.phase is Phase.CLOSING:
            return
        super().rawDataReceived(data)
        if len(self._dataBuffer) > pieces_max:  # twisted.web adds their lengths up at every read
            self._dataBuffer = [b"".join(self._dataBuffer)]
        if self.unwatched:
            self._tell_unwatched()

    @override
    def allContentReceived(self) -> None:
        if self.phase is Phase.CLOSING:
            return
        self._enter(Phase.ANSWERING, inf)
        super().allContentReceived()

    # Answers, and whether the client reads them

    @override
    def write(self, data: bytes) -> None:
        if len(data) <= self.site.limits.piece_bytes:
            self.transport.write(data)
        else:
            self._unsent = memoryview(data)
            self._send_on()

    def _send_on(self) -> None:
        """Write the next pieces of a large answer, until the client has to read before more can be written."""
        size = self.site.limits.piece_bytes
        while self._unsent and not self._waitingForTransport:
            piece, self._unsent = self._unsent[:size], self._unsent[size:]
            self.transport.write(bytes(piece))

    @override
    def requestDone(self, request: http.Request) -> None:
        limits = self.site.limits
        self._release_received()
        if self._unsent:
            self._sending = request
            self._enter(Phase.SENDING, limits.answer_seconds_max)
            return
        self._enter(Phase.IDLE, limits.answer_seconds_max if self._waitingForTransport else limits.idle_seconds_max)
        super().requestDone(request)
        self._close_if_drained()

    @override
    def pauseProducing(self) -> None:
        """Look at no further request until the client reads."""
        super().pauseProducing()
        self.paused = True
        self._networkProducer.pauseProducing()
        unread = sum(request.answer_bytes for request in self.requests)
        if self.site.unread.take(unread):
            self._unread_bytes += unread
        else:
            self.transport.abortConnection()

    @override
    def resumeProducing(self) -> None:
        self.paused = False
        self._release_unread()
        super().resumeProducing()
        self._send_on()
        if self._sending is not None:
            self._enter(Phase.SENDING, self.site.limits.answer_seconds_max)
            if not self._unsent:
                request, self._sending = self._sending, None
                self.requestDone(request)
        elif self.phase is Phase.IDLE:
            self._enter(Phase.IDLE, self.site.limits.idle_seconds_max)
            self.dataReceived(b"")
            self._close_if_drained()

    def _is_http(self, start: bytes) -> bool:
        """Return True if a request may begin so; if not, it has been refused."""
        try:
            check_start(start, "HTTP")
        except Framing as refusal:
            self.refuse(refusal)
            return False
        return True

    @override
    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(Framing("this is not an HTTP/1.1 request"))

    def refuse(self, refusal: Refusal, status: HTTPStatus | None = None) -> None:
        """Answer a request that can't be followed any further, and close.

        Closing at once, with bytes of the client unread, would reset the connection and could take the answer
        with it. So the end of our side is told, and what comes is thrown away for a while.
        """
        if self.phase is Phase.CLOSING:
            return
        self.site.gate.count_refused(refusal.code)
        self._write(problem(refusal, status))
        self._networkProducer.unregisterProducer()
        self._release_received()
        self._enter(Phase.CLOSING, self.site.limits.linger_seconds_max)
        self.setRawMode()
        if ITCPTransport.providedBy(self.transport) and not ISSLTransport.providedBy(self.transport):
            self.transport.loseWriteConnection()

    @override
    def loseConnection(self) -> None:
        if self.phase is Phase.CLOSING:
            self.transport.loseConnection()
            return
        self._enter(Phase.CLOSING, self.site.limits.answer_seconds_max)
        super().loseConnection()

    def overdue(self) -> None:
        """End a phase that has taken too long."""
        if self._is_one_too_many and self.phase in (Phase.IDLE, Phase.HEAD):
            self.refuse(_busy())
        elif self.phase in (Phase.HEAD, Phase.BODY):
            self.refuse(RequestTimeout("the request did not arrive whole in time"))
        elif self.phase is Phase.IDLE and not self._waitingForTransport:
            self.loseConnection()
        else:
            self.transport.abortConnection()

    def give_way(self) -> None:
        """Close at once, for a newer connection."""
        if self.phase is not Phase.CLOSING:
            self.site.gate.count_refused(Busy.code)
        self.transport.abortConnection()

    def finish_up(self) -> None:
        """Close as soon as no request is under way."""
        self.persistent = False
        for request in self.requests:
            request.setHeader(b"Connection", b"close")
            request.responseHeaders.removeHeader(b"Keep-Alive")
        if self.phase is Phase.IDLE:
            self.loseConnection()

    def _write(self, answer: Answer) -> None:
        lines = [b"HTTP/1.1 %d %s" % (answer.status, phrase(answer.status).encode()), b"Connection: close"]
        lines += [f"{name}: {value}".encode() for name, value in answer_headers(answer)]
        head_only = getattr(self, "_command", b"") == b"HEAD"
        self.transport.write(b"\r\n".join([*lines, b"", b"" if head_only else answer.body]))

    def _tell_unwatched(self) -> None:
        for request in tuple(self.requests):
            request.unwatched()

    def _close_if_drained(self) -> None:
        if not self._input_ended or self.paused or self._busyReceiving:
            return
        if self.phase in (Phase.HEAD, Phase.BODY):
            self.refuse(Framing("the input ended before the request did"))
            self.transport.loseConnection()
        elif self.phase is Phase.IDLE:
            self.loseConnection()

    def _begin(self) -> None:
        if not self._is_one_too_many:
            self._began = self._now()
        self._enter(Phase.HEAD, self._began + self.site.limits.head_seconds_max - self._now())

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.deadline = self._now() + seconds

    def _release_received(self) -> None:
        self.site.received.give_back(self._received_bytes)
        self._received_bytes = 0

    def _release_unread(self) -> None:
        self.site.unread.give_back(self._unread_bytes)
        self._unread_bytes = 0

    def _now(self) -> float:
        return self.site.clock.seconds()


def _busy() -> Busy:
    return Busy("this server has as many connections as it may")


def _too_large(request: BoundedRequest) -> TooLarge:
    return TooLarge(f"the body of this request has at most {request.body_bytes_max} bytes")
