"""The byte stream of a line client, cut into requests; every chunk boundary gives the same requests."""

from typing import Final

from attrs import evolve

from dqtw.core.model.errors import Framing, Refusal, TooLarge, Unauthorized
from dqtw.core.model.message import body_bytes_default_max
from dqtw.wire.line.requests import Auth, PushHead, Request, Simple, UnknownVerb, read_line
from dqtw.wire.other_protocols import check_start, start_bytes

line_bytes_max: Final = 8192
locked_body_bytes_max: Final = 64 * 1024  # of a body that is skipped before the client has shown a token
unknown_verbs_max: Final = 3  # without a good request between them

_allowed_when_locked = (Simple.HELLO, Simple.PING, Simple.HELP, Simple.QUIT)

_how_to_count = "PUSH takes the number of the body's bytes, without its line end"


class LineParser:
    """Cuts one connection's bytes into requests, as fast as the caller asks for them.

    The work is linear in the bytes, however they arrive. While the caller asks until there is no request left, at
    most one line or one body is held; a caller that does not ask must stop feeding (`buffered`).

    Attributes:
        locked: refuse everything but AUTH, HELLO, PING, HELP and QUIT; the caller unlocks it.
    """

    def __init__(self, *, body_bytes_max: int = body_bytes_default_max, locked: bool = False) -> None:
        self.locked = locked
        self._body_bytes_max = body_bytes_max
        self._buffer = bytearray()
        self._at = 0  # where in the buffer the next unread byte is
        self._searched = 0  # up to where there is certainly no line end
        self._line_end = b"\r\n"  # of the line read last
        self._head: PushHead | None = None  # the PUSH whose body comes next
        self._skip = 0  # how much of a refused body is yet to be dropped
        self._unknown_verbs = 0  # since the last good request
        self._broken = False

    @property
    def buffered(self) -> int:
        """Return how many bytes were fed and are not yet part of a request."""
        return len(self._buffer) - self._at

    @property
    def mid_request(self) -> bool:
        """Return True if a request has begun, so that the client owes the rest of it."""
        return self._head is not None or self.buffered > 0

    @property
    def body_bytes_arrived(self) -> int:
        """Return how much has come of the body of a PUSH that has begun."""
        if self._head is None:
            return 0
        skipped = 0 if self._head.refusal is None else self._head.body_bytes - self._skip
        return skipped + self.buffered

    @property
    def missing(self) -> str:
        """Return what the client owes to complete the request that has begun, in words."""
        if self._head is None:
            return "the end of a line"
        return f"the rest of a body of {self._head.body_bytes} bytes, or its line end,"

    def feed(self, data: bytes) -> None:
        """Take more of the stream; after a framing error it is ignored."""
        if not self._broken:
            self._buffer += data

    def next_request(self) -> Request | Refusal | None:
        """Return the next request, or its refusal, or None when more bytes are needed.

        After `Framing` no request follows.
        """
        try:
            request = self._next_request()
        except Framing as refusal:
            self._broken = True
            self._forget()
            return refusal
        except Refusal as refusal:
            return refusal
        if request is None:
            self._drop_read()
        return request

    def _next_request(self) -> Request | Refusal | None:
        if self._head is None:
            line = self._take_line()
            if line is None:
                return None
            request = self._read_line(line)
            if not isinstance(request, PushHead):
                return self._admitted(request)
            self._begin_body(self._judged(request))
        return self._take_push()

    def _take_line(self) -> bytes | None:
        check_start(bytes(self._buffer[self._at : self._at + start_bytes]), "the line protocol")
        end = self._buffer.find(b"\n", max(self._at, self._searched), self._at + line_bytes_max + 1)
        if end < 0:
            if self.buffered > line_bytes_max:
                raise Framing(f"a line may have at most {line_bytes_max} bytes")
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[self._at : end])
        self._at = end + 1
        if not line.endswith(b"\r"):
            self._line_end = b"\n"
            return line
        self._line_end = b"\r\n"
        return line[:-1]

    def _read_line(self, line: bytes) -> PushHead | Request:
        try:
            request = read_line(line)
        except UnknownVerb as refusal:
            self._unknown_verbs += 1
            if self._unknown_verbs < unknown_verbs_max:
                raise
            raise Framing(f"{refusal.detail}; {unknown_verbs_max} unknown verbs end the connection") from None
        self._unknown_verbs = 0
        return request

    def _admitted(self, request: Request) -> Request:
        if self.locked and not (isinstance(request, Auth) or request in _allowed_when_locked):
            raise Unauthorized("AUTH with a token must come first")
        return request

    def _judged(self, head: PushHead) -> PushHead:
        if self.locked:
            if head.body_bytes > locked_body_bytes_max:
                raise Framing("AUTH with a token must come first; a body this long is not read without")
            return evolve(head, refusal=Unauthorized("AUTH with a token must come first"))
        if head.refusal is None and head.body_bytes > self._body_bytes_max:
            return evolve(head, refusal=TooLarge(f"a message may have at most {self._body_bytes_max} bytes"))
        return head

    def _begin_body(self, head: PushHead) -> None:
        self._head = head
        self._skip = 0 if head.refusal is None else head.body_bytes

    def _take_push(self) -> Request | Refusal | None:
        head = self._head
        assert head is not None
        self._skip_some()
        body_bytes = head.body_bytes if head.refusal is None else self._skip
        body_end = self._at + body_bytes
        end = self._after_line_end(body_end, head.body_bytes)
        if end is None:
            return None
        body = bytes(memoryview(self._buffer)[self._at : body_end])
        self._at, self._head = end, None
        return head.refusal or head.with_body(body)

    def _skip_some(self) -> None:
        step = min(self._skip, self.buffered)
        self._at += step
        self._skip -= step

    def _after_line_end(self, at: int, body_bytes: int) -> int | None:
        """Return where the stream goes on after the line end that must be at ``at``; None when it has yet to come.

        A line that ended in CRLF demands CRLF behind the body: a bare LF there means that the CR was counted.

        Raises:
            Framing: something else is there.
        """
        found = bytes(self._buffer[at : at + 2])
        if found == b"\r\n":
            return at + 2
        if found[:1] == b"\n" and self._line_end == b"\n":
            return at + 1
        if found in (b"", b"\r"):
            return None
        if self._line_end == b"\n":
            raise Framing(f"byte {body_bytes + 1} after the line is not a line end: {_how_to_count}")
        raise Framing(f"bytes {body_bytes + 1} and {body_bytes + 2} after the line are not CRLF: {_how_to_count}")

    def _drop_read(self) -> None:
        del self._buffer[: self._at]
        self._searched = max(0, self._searched - self._at)
        self._at = 0

    def _forget(self) -> None:
        self._buffer = bytearray()
        self._at = self._searched = 0
        self._head = None
