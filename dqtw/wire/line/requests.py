"""What one line of a client asks for: the grammar of the line protocol, verb by verb."""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final, TypeAlias

from attrs import field, frozen

from dqtw.core.model.commands import Ack, Get, Nack, Push, Touch
from dqtw.core.model.errors import BadRequest, Framing, Refusal, quote
from dqtw.core.model.message import Receipt, content_type_default, parse_id_or_receipt
from dqtw.wire.line.words import decode_value, read_options, split_words
from dqtw.wire.values import parse_content_type, parse_get, parse_key, parse_lease, parse_seconds

body_bytes_framing_max: Final = 2**30

_length_pattern = re.compile(rb"[0-9]{1,10}")
_receipt_example = "node.01M85ZDB75JNQDH956BXFJY0D9.1.8484a62d24331"


class UnknownVerb(BadRequest):
    """A line begins with a verb that is not of this protocol; the next line may be its body."""


class Simple(Enum):
    """The requests that are a verb alone."""

    HELLO = "HELLO"
    STATS = "STATS"
    PING = "PING"
    HELP = "HELP"
    QUIT = "QUIT"


@frozen
class Auth:
    """The token of a client."""

    token: str = field(repr=False)


@frozen
class PushHead:
    """The line of a PUSH, whose body has yet to come.

    Attributes:
        body_bytes: the length of the body.
        refusal: why the body is to be skipped; None for a push that is accepted so far.
    """

    body_bytes: int
    content_type: str = content_type_default
    key: str | None = None
    wait_s: float = 0.0
    refusal: Refusal | None = None

    def with_body(self, body: bytes) -> Push:
        """Return the whole command."""
        return Push(body, self.content_type, self.key, self.wait_s)


Request: TypeAlias = Push | Get | Ack | Nack | Touch | Auth | Simple


def read_line(line: bytes) -> PushHead | Request:
    """Read one line, its end already taken off.

    Raises:
        UnknownVerb: the line begins with a word that is not a verb.
        BadRequest: the line is not a request, but the next one may be.
        Framing: the line belongs to another protocol, or is followed by a body of unknown length.
    """
    words = line.split(b" ")
    if len(words) > 2 and words[-1].startswith(b"HTTP/"):
        # A browser can be made to send HTTP here whose body is a list of commands: never read on.
        raise Framing("this is the line protocol, not HTTP")
    verb = words[0].upper()
    if verb == b"PUSH":
        return _read_push(line, words)
    read = _readers.get(verb)
    if read is None:
        raise _without_verb(words)
    return read(split_words(line)[1:])


def _without_verb(words: Sequence[bytes]) -> Refusal:
    """Return the refusal of a line without a known verb: `Framing` when a body may follow, as in other protocols.

    Theirs have a body's length in the line (beanstalkd, memcached, NATS), or begin with a sign (Redis) or a binary
    byte. The body could be a list of commands.
    """
    if not words[0]:
        return BadRequest(
            "a line begins with a verb, not with a space" if words[1:] else "an empty line is not a command"
        )
    verb = quote(words[0].decode(errors="replace"))
    if not words[0].isalpha() or any(word.isdigit() for word in words):
        return Framing(f"unknown verb {verb}, perhaps of another protocol: a body may follow")
    return UnknownVerb(f"unknown verb {verb}; HELP lists the verbs")


def _read_push(line: bytes, words: Sequence[bytes]) -> PushHead:
    body_bytes = _read_length(words)
    try:
        return _read_push_options(body_bytes, split_words(line)[2:])
    except BadRequest as refusal:
        return PushHead(body_bytes, refusal=refusal)


def _read_length(words: Sequence[bytes]) -> int:
    if len(words) < 2 or _length_pattern.fullmatch(words[1]) is None:
        raise Framing("PUSH must be followed by the body's length in bytes, in decimal: for example PUSH 5")
    length = int(words[1])
    if length > body_bytes_framing_max:
        raise Framing(f"{length} bytes are more than 1 GiB, the most that a body may have")
    return length


def _read_push_options(body_bytes: int, words: Sequence[str]) -> PushHead:
    if not words:
        return PushHead(body_bytes)
    options = read_options(words, ("key", "wait", "type"))
    return PushHead(
        body_bytes,
        content_type=parse_content_type(options.get("type", content_type_default)),
        key=parse_key(options["key"]) if "key" in options else None,
        wait_s=parse_seconds("wait", options.get("wait", "0")),
    )


def _read_get(words: Sequence[str]) -> Get:
    return parse_get(read_options(words, ("wait", "lease", "ack")))


def _read_ack(words: Sequence[str]) -> Ack:
    return Ack(parse_id_or_receipt(_the_only_word("ACK", words, "a receipt or a message id", _receipt_example)))


def _read_nack(words: Sequence[str]) -> Nack:
    receipt = Receipt.parse(_the_only_word("NACK", words[:1], "a receipt", _receipt_example))
    return Nack(receipt, parse_seconds("delay", read_options(words[1:], ("delay",)).get("delay", "0")))


def _read_touch(words: Sequence[str]) -> Touch:
    receipt = Receipt.parse(_the_only_word("TOUCH", words[:1], "a receipt", _receipt_example))
    return Touch(receipt, _lease(read_options(words[1:], ("lease",))))


def _read_auth(words: Sequence[str]) -> Auth:
    return Auth(_the_only_word("AUTH", words, "a token", "<token>"))


def _lease(options: Mapping[str, str]) -> float | None:
    return parse_lease(options["lease"]) if "lease" in options else None


def _the_only_word(verb: str, words: Sequence[str], what: str, example: str) -> str:
    if len(words) != 1:
        raise BadRequest(f"{verb} must be followed by {what}: for example {verb} {example}")
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
