"""The REST door's single requests: query, headers and body to commands, outcomes to answers."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

from dqtw.core.commands import Delivery, Get, Inspected, Nack, Push, Pushed, Touch, get_count_max, wait_max_s
from dqtw.core.errors import BadRequest, Unauthorized
from dqtw.core.health import Health
from dqtw.core.message import MessageId, Receipt, content_type_default
from dqtw.wire.problem import Answer, Header, json_answer, retry_after
from dqtw.wire.values import format_seconds, parse_content_type, parse_key, parse_lease, parse_seconds

Query = dict[str, str]

push_names: Final = ("wait",)
get_names: Final = ("wait", "lease", "ack")
get_batch_names: Final = ("max", *get_names)
nack_names: Final = ("delay",)
touch_names: Final = ("lease",)

_quoted_chars_max = 80
_count_pattern = re.compile(r"[1-9][0-9]{0,3}")
_bearer_pattern = re.compile(rb"bearer +([!-~]+)", re.IGNORECASE)


def parse_query(raw: bytes, names: Sequence[str] = ()) -> Query:
    """Read a query string, in which each of ``names`` may stand once and nothing else may.

    Raises:
        BadRequest: an unknown or repeated parameter, or bytes that are no UTF-8.
    """
    query: Query = {}
    for piece in filter(None, raw.split(b"&")):
        name, _, value = (_unquote(part) for part in piece.partition(b"="))
        if name not in names:
            raise BadRequest(f"unknown query parameter {quote(name)}")
        if name in query:
            raise BadRequest(f"query parameter {quote(name)} is given twice")
        query[name] = value
    return query


def parse_push(query: Query, content_types: Sequence[bytes], keys: Sequence[bytes], body: bytes) -> Push:
    """Read a push.

    Args:
        query: the parsed query.
        content_types: every Content-Type header.
        keys: every Idempotency-Key header.
        body: the message.

    Raises:
        BadRequest: a value can't be read, or a header is given twice.
    """
    content_type, key = _single("Content-Type", content_types), _single("Idempotency-Key", keys)
    return Push(
        body=body,
        content_type=content_type_default if content_type is None else parse_content_type(content_type),
        key=None if key is None else parse_key(key),
        wait_s=_wait(query),
    )


def parse_get(query: Query) -> Get:
    """Read a get of one message.

    Raises:
        BadRequest: a value can't be read.
    """
    return Get(1, _wait(query), _lease(query), _ack_now(query))


def parse_get_batch(query: Query) -> Get:
    """Read a get of many messages; ``max`` has to be there.

    Raises:
        BadRequest: a value can't be read, or ``max`` is missing or not from 1 to 1000.
    """
    count = query.get("max", "")
    if _count_pattern.fullmatch(count) is None or int(count) > get_count_max:
        raise BadRequest(f"max must be a whole number from 1 to {get_count_max}")
    return Get(int(count), _wait(query), _lease(query), _ack_now(query))


def parse_nack(receipt: str, query: Query) -> Nack:
    """Read a nack.

    Raises:
        BadRequest: the receipt or the delay can't be read.
    """
    return Nack(Receipt.parse(receipt), _seconds(query, "delay") or 0.0)


def parse_touch(receipt: str, query: Query) -> Touch:
    """Read a touch.

    Raises:
        BadRequest: the receipt or the lease can't be read.
    """
    return Touch(Receipt.parse(receipt), _lease(query))


def parse_bearer(authorizations: Sequence[bytes]) -> bytes:
    """Take the token out of the Authorization headers.

    Raises:
        Unauthorized: there is not exactly one, or it is of another scheme.
    """
    found = _bearer_pattern.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
    if found is None:
        raise Unauthorized("this request needs an Authorization: Bearer header")
    return found[1]


def pushed_answer(pushed: Pushed) -> Answer:
    """201 with the message's place, or 200 for a key seen before."""
    headers: tuple[Header, ...] = (("Location", f"/messages/{pushed.id}"),)
    if pushed.duplicate:
        return json_answer(pushed_document(pushed))
    return json_answer(pushed_document(pushed), HTTPStatus.CREATED, headers)


def pushed_document(pushed: Pushed) -> dict[str, object]:
    """What a push is told, as JSON."""
    document: dict[str, object] = {
        "id": str(pushed.id),
        "copies": pushed.copies,
        "members": pushed.members,
    }
    return document | {"duplicate": True} if pushed.duplicate else document


def delivered_answer(deliveries: Sequence[Delivery]) -> Answer:
    """The message as its own bytes and type, the delivery in headers; 204 when there is none."""
    if not deliveries:
        return done_answer()
    delivery = deliveries[0]
    headers = (
        ("Dqtw-Receipt", str(delivery.receipt)),
        ("Dqtw-Id", str(delivery.receipt.id)),
        ("Dqtw-Attempt", str(delivery.attempt)),
        ("Dqtw-Lease", format_seconds(delivery.lease_s)),
        ("Content-Security-Policy", "sandbox"),  # a browser must not run what a stranger pushed
    )
    return Answer(HTTPStatus.OK, delivery.message.body, delivery.message.content_type, headers)


def done_answer() -> Answer:
    """It happened: 204."""
    return Answer(HTTPStatus.NO_CONTENT)


def inspected_answer(message_id: MessageId, inspected: Inspected) -> Answer:
    """What is known of one message; its age is in seconds."""
    return json_answer(
        {
            "id": str(message_id),
            "state": inspected.state.value,
            "attempts": inspected.attempts,
            "bytes": inspected.body_bytes,
            "type": inspected.content_type,
            "age": inspected.age_s,
        }
    )


def health_answer(health: Health) -> Answer:
    """200 when well, 503 when not; the reasons are in the body."""
    document = {
        "ok": health.ok,
        "reasons": health.reasons,
        "in_session": health.in_session,
        "copies": health.copies,
        "members": health.members,
    }
    if health.ok:
        return json_answer(document)
    return json_answer(document, HTTPStatus.SERVICE_UNAVAILABLE, (retry_after(health.reasons[0]),))


def quote(text: str) -> str:
    """A client's word as it may stand in an answer: short, and nothing in it that could do harm."""
    return ascii(text if len(text) <= _quoted_chars_max else text[:_quoted_chars_max] + "…")


def _unquote(piece: bytes) -> str:
    try:
        return unquote_to_bytes(piece.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise BadRequest("the query is not UTF-8") from None


def _single(name: str, values: Sequence[bytes]) -> str | None:
    if len(values) > 1:
        raise BadRequest(f"{name} is given twice")
    try:
        return values[0].decode() if values else None
    except UnicodeDecodeError:
        raise BadRequest(f"{name} is not UTF-8") from None


def _seconds(query: Query, name: str) -> float | None:
    if name not in query:
        return None
    return parse_seconds(name, query[name])


def _wait(query: Query) -> float:
    return min(_seconds(query, "wait") or 0.0, wait_max_s)


def _lease(query: Query) -> float | None:
    return parse_lease(query["lease"]) if "lease" in query else None


def _ack_now(query: Query) -> bool:
    if query.get("ack", "now") != "now":
        raise BadRequest("ack can only be now")
    return "ack" in query
