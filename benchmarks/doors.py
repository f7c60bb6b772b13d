"""How a client speaks with either door: requests as bytes, and answers out of bytes."""

from typing import NamedTuple, Protocol


class Answer(NamedTuple):
    """One answer.

    Attributes:
        code: empty for success, else what the door called the refusal.
        receipt: of a delivery.
    """

    code: str
    receipt: str = ""


class Door(Protocol):
    """One of the doors, as its client sees it."""

    def push(self, body: bytes) -> bytes:
        """Return a request that pushes."""
        ...

    def get(self) -> bytes:
        """Return a request that gets one message."""
        ...

    def ack(self, receipt: str) -> bytes:
        """Return a request that removes a message."""
        ...

    def read(self, data: bytes, at: int) -> tuple[Answer, int] | None:
        """The answer that begins there, and where the next one does; None when it has not come whole."""
        ...


class LineDoor:
    """The line protocol."""

    def push(self, body: bytes) -> bytes:
        return b"PUSH %d\r\n%s\r\n" % (len(body), body)

    def get(self) -> bytes:
        return b"GET lease=600\r\n"

    def ack(self, receipt: str) -> bytes:
        return b"ACK %s\r\n" % receipt.encode()

    def read(self, data: bytes, at: int) -> tuple[Answer, int] | None:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        words = data[at:end].split(b" ")
        if words[0] == b"MSG":
            past = end + 2 + int(words[3]) + 2
            return (Answer("", words[1].decode()), past) if past <= len(data) else None
        if words[0] == b"OK":
            return Answer(""), end + 2
        return Answer((words[1] if words[0] == b"ERR" else words[0]).decode().lower()), end + 2


class RestDoor:
    """HTTP, over connections that stay."""

    def push(self, body: bytes) -> bytes:
        return b"POST /push HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def get(self) -> bytes:
        return b"GET /get?lease=600 HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def ack(self, receipt: str) -> bytes:
        return b"POST /ack/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n" % receipt.encode()

    def read(self, data: bytes, at: int) -> tuple[Answer, int] | None:
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return None
        head = data[at:end]
        past = end + 4 + int(_header(head, b"\r\ncontent-length: ") or 0)
        if past > len(data):
            return None
        status = int(head[9:12])
        if status not in (200, 201, 204):
            return Answer(str(status)), past
        receipt = _header(head, b"\r\ndqtw-receipt: ")
        return Answer("", receipt.decode()), past


def _header(head: bytes, name: bytes) -> bytes:
    start = head.lower().find(name)
    if start < 0:
        return b""
    start += len(name)
    end = head.find(b"\r\n", start)
    return head[start:] if end < 0 else head[start:end]


doors: dict[str, Door] = {"line": LineDoor(), "http": RestDoor()}
