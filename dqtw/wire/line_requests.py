"""What one line of a client asks for: the grammar of the line protocol, verb by verb."""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, TypeAlias

from attrs import field, frozen

from dqtw.core.commands import Ack, Get, Nack, Push, Touch
from dqtw.core.errors import BadRequest, Framing, Refusal
from dqtw.core.message import Receipt, content_type_default, parse_id_or_receipt
from dqtw.wire.line_words import decode_value, quote_word, read_options, split_words
from dqtw.wire.values import parse_content_type, parse_key, parse_seconds

body_bytes_framing_max: Final = 2**30

_length_pattern = re.compile(rb"[0-9]{1,10}")


class Simple(Enum):
    """The requests that are a verb alone."""

    STATS = "STATS"
    PING = "PING"
    HELP = "HELP"
    QUIT = "QUIT"


@frozen
class Auth:
    """A client shows its token."""

    token: str = field(repr=False)


@frozen
class PushHead:
    """The line of a PUSH, whose body has yet to come.

    Attributes:
        body_bytes: how long the body is.
        refusal: why the body is to be skipped; None when all is well.
    """

    body_bytes: int
    content_type: str = content_type_default
    key: str | None = None
    wait_s: float = 0.0
    refusal: Refusal | None = None

    def with_body(self, body: bytes) -> Push:
        """The whole command."""
        return Push(body, self.content_type, self.key, self.wait_s)


Request: TypeAlias = Push | Get | Ack | Nack | Touch | Auth | Simple


def read_line(line: bytes) -> PushHead | Request:
    """Read one line, its end already taken off.

    Raises:
        BadRequest: it is no request, but the next line may be one.
        Framing: what follows the line can't be told: a body of unknown length, or HTTP.
    """
    words = line.split(b" ")
    if len(words) > 2 and words[-1].startswith(b"HTTP/"):
        # A browser can be made to send HTTP here whose body is a list of commands: never read on.
        raise Framing("this is the line protocol, not HTTP")
    verb = words[0].upper()
    if verb == b"PUSH":
        return _read_push(line, words)
    read = _readers.get(verb)
    texts = split_words(line)
    if read is None:
        raise BadRequest(f"unknown verb {quote_word(texts[0])}; HELP lists them")
    return read(texts[1:])


def _read_push(line: bytes, words: Sequence[bytes]) -> PushHead:
    body_bytes = _read_length(words)
    try:
        return _read_push_options(body_bytes, split_words(line)[2:])
    except BadRequest as refusal:
        return PushHead(body_bytes, refusal=refusal)


def _read_length(words: Sequence[bytes]) -> int:
    if len(words) < 2 or _length_pattern.fullmatch(words[1]) is None:
        raise Framing("PUSH must be followed by the body's length in bytes, in decimal")
    length = int(words[1])
    if length > body_bytes_framing_max:
        raise Framing("no body may be longer than 1 GiB")
    return length


def _read_push_options(body_bytes: int, words: Sequence[str]) -> PushHead:
    if not words:
        return PushHead(body_bytes)
    options = read_options(words, ("key", "wait", "type"))
    return PushHead(
        body_bytes,
        content_type=parse_content_type(options.get("type", content_type_default)),
        key=parse_key(options["key"]) if "key" in options else None,
        wait_s=parse_seconds(options.get("wait", "0")),
    )


def _read_get(words: Sequence[str]) -> Get:
    options = read_options(words, ("wait", "lease", "ack"))
    if options.get("ack", "now") != "now":
        raise BadRequest("ack= takes the value now alone")
    return Get(
        wait_s=parse_seconds(options.get("wait", "0")),
        lease_s=parse_seconds(options["lease"]) if "lease" in options else None,
        ack_now="ack" in options,
    )


def _read_ack(words: Sequence[str]) -> Ack:
    return Ack(parse_id_or_receipt(_the_only_word(words, "a receipt or a message id")))


def _read_nack(words: Sequence[str]) -> Nack:
    receipt = Receipt.parse(_the_only_word(words[:1], "a receipt"))
    return Nack(receipt, parse_seconds(read_options(words[1:], ("delay",)).get("delay", "0")))


def _read_touch(words: Sequence[str]) -> Touch:
    receipt = Receipt.parse(_the_only_word(words[:1], "a receipt"))
    options = read_options(words[1:], ("lease",))
    return Touch(receipt, parse_seconds(options["lease"]) if "lease" in options else None)


def _read_auth(words: Sequence[str]) -> Auth:
    return Auth(_the_only_word(words, "a token"))


def _the_only_word(words: Sequence[str], what: str) -> str:
    if len(words) != 1:
        raise BadRequest(f"the verb must be followed by {what}")
    return decode_value(words[0])


def _reader_of(simple: Simple) -> Callable[[Sequence[str]], Simple]:
    def read(words: Sequence[str]) -> Simple:
        if words:
            raise BadRequest(f"{simple.value} stands alone on its line")
        return simple

    return read


_readers: Final[dict[bytes, Callable[[Sequence[str]], Request]]] = {
    b"GET": _read_get,
    b"ACK": _read_ack,
    b"NACK": _read_nack,
    b"TOUCH": _read_touch,
    b"AUTH": _read_auth,
    **{simple.value.encode(): _reader_of(simple) for simple in Simple},
}
