"""Every answer of the line protocol, as the bytes to be written."""

import re
from collections.abc import Mapping
from typing import Final

from dqtw.core.model.commands import Delivered, Delivery, Done, Outcome, Pushed
from dqtw.core.model.errors import Refusal
from dqtw.core.model.message import content_type_default
from dqtw.wire.line.words import encode_value
from dqtw.wire.rest.problem import to_json

detail_chars_max: Final = 200

ok: Final = b"OK\r\n"
empty: Final = b"EMPTY\r\n"
pong: Final = b"PONG\r\n"

help_lines: Final = (
    "PUSH <bytes> [key=<k>] [wait=<s>] [type=<content-type>], then the body: put a message on the queue",
    "GET [wait=<s>] [lease=<s> or ack=now]: take a message",
    "ACK <receipt or id>: the work is done, remove the message",
    "NACK <receipt> [delay=<s>]: give the message back",
    "TOUCH <receipt> [lease=<s>]: the work takes longer, start the lease anew",
    "HELLO: the server's version, its largest message, and whether it needs AUTH",
    "STATS: figures of this node, as JSON",
    "PING: answered with PONG",
    "AUTH <token>: show the token that this server needs",
    "HELP: this list",
    "QUIT: close the connection",
)
help_text: Final = "".join(f"{line}\r\n" for line in (*help_lines, "END")).encode()

_unprintable = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def render(outcome: Outcome, *, ack_now: bool = False) -> tuple[bytes, ...]:
    """Write the outcome of a command in pieces, so that a body need not be copied.

    A get by lines asks for one message: of more than one delivery the first is written. After a get that removes at
    delivery (``ack_now``) there is no lease, so the message's id stands in the receipt's place.
    """
    match outcome:
        case Refusal():
            return (render_refusal(outcome),)
        case Delivered(deliveries=()):
            return (empty,)
        case Delivered():
            return _render_delivery(outcome.deliveries[0], ack_now=ack_now)
        case Pushed():
            return (_render_pushed(outcome),)
        case Done():
            return (ok,)
    raise AssertionError(f"no line asks for {type(outcome).__name__}")


def render_refusal(refusal: Refusal) -> bytes:
    """Write a refusal: one line, whatever its words are."""
    words = _unprintable.sub(" ", refusal.detail[:detail_chars_max])
    return f"ERR {refusal.code} {words}\r\n".encode()


def render_stats(stats: Mapping[str, object]) -> bytes:
    """Write a node's figures: their length, then JSON."""
    body = to_json(stats)
    return b"STATS %d\r\n%b\r\n" % (len(body), body)


def render_hello(version: str, max_message: int, *, needs_auth: bool) -> bytes:
    """Write what a client may want to know before its first request."""
    return f"HELLO dqtw {version} max={max_message} auth={'yes' if needs_auth else 'no'}\r\n".encode()


def _render_pushed(pushed: Pushed) -> bytes:
    duplicate = " duplicate" if pushed.duplicate else ""
    return f"OK {pushed.id} {pushed.copies}/{pushed.members}{duplicate}\r\n".encode()


def _render_delivery(delivery: Delivery, *, ack_now: bool) -> tuple[bytes, ...]:
    message, name = delivery.message, delivery.receipt.id if ack_now else delivery.receipt
    kind = "" if message.content_type == content_type_default else f" type={encode_value(message.content_type)}"
    head = f"MSG {name} {delivery.attempt} {len(message.body)}{kind}\r\n"
    return (head.encode(), message.body, b"\r\n")
