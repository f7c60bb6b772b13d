"""Single requests of the REST API: query, headers and body to commands, outcomes to answers."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

from attrs import evolve

from dqtw.core.model.commands import (
    Delivered,
    Get,
    Inspected,
    Nack,
    Outcome,
    Push,
    Pushed,
    Touch,
    get_count_max,
    wait_max_s,
)
from dqtw.core.model.errors import BadRequest, NotFound, Refusal, Unauthorized, Uncertain, quote
from dqtw.core.model.health import Health
from dqtw.core.model.message import MessageId, Receipt, content_type_default
from dqtw.wire.rest.problem import Answer, Header, json_answer, problem, retry_after
from dqtw.wire.values import format_seconds, parse_content_type, parse_get, parse_key, parse_lease, parse_seconds

Query = dict[str, str]

push_names: Final = ("wait",)
get_names: Final = ("wait", "lease", "ack")
get_batch_names: Final = ("max", *get_names)
nack_names: Final = ("delay",)
touch_names: Final = ("lease",)

nothing: Final = Answer(HTTPStatus.NO_CONTENT)

_headers_of_a_lease = frozenset({"Dqtw-Receipt", "Dqtw-Lease"})
_count_pattern = re.compile(r"[1-9][0-9]{0,3}")
_quoted_key_pattern = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_key_escape_pattern = re.compile(r"\\(.)")
_bearer_pattern = re.compile(rb"bearer +([!-~]+)", re.IGNORECASE)


def parse_query(raw: bytes, names: Sequence[str] = ()) -> Query:
    """Read a query string, in which each of ``names`` may stand once and nothing else may.

    Raises:
        BadRequest: an unknown or repeated parameter, or bytes that are not UTF-8.
    """
    query: Query = {}
    for piece in filter(None, raw.split(b"&")):
        name, _, value = (_unquote(part) for part in piece.partition(b"="))
        if name not in names:
            raise BadRequest(f"unknown query parameter {quote(name)}: this request takes {', '.join(names) or 'none'}")
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
    content_type, key = single_header("Content-Type", content_types), single_header("Idempotency-Key", keys)
    return Push(
        body=body,
        content_type=content_type_default if content_type is None else parse_content_type(content_type),
        key=None if key is None else parse_key(unquote_key(key)),
        wait_s=_wait(query),
    )


def unquote_key(text: str) -> str:
    """Return the key that an Idempotency-Key header holds, as a quoted string (RFC 8941) or as it is.

    Raises:
        BadRequest: the text begins with a quote and is not a quoted string.
    """
    if not text.startswith('"'):
        return text
    found = _quoted_key_pattern.fullmatch(text)
    if found is None:
        raise BadRequest(f"Idempotency-Key begins with a quote and is not a quoted string: {quote(text)}")
    return _key_escape_pattern.sub(r"\1", found[1])


def parse_get_batch(query: Query) -> Get:
    """Read a get of many messages; ``max`` has to be there.

    Raises:
        BadRequest: a value can't be read, or ``max`` is missing or not from 1 to 1000.
    """
    count = query.get("max")
    if count is None:
        raise BadRequest(f"max is missing: how many messages at most, from 1 to {get_count_max}")
    if _count_pattern.fullmatch(count) is None or int(count) > get_count_max:
        raise BadRequest(f"max is a whole number from 1 to {get_count_max}, not {quote(count)}")
    return parse_get(query, int(count))


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
    """Return the token that the Authorization headers hold.

    Raises:
        Unauthorized: there is not exactly one, or it is of another scheme.
    """
    found = _bearer_pattern.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
    if found is None:
        raise Unauthorized("this request needs an Authorization: Bearer header")
    return found[1]


def nothing_at(path: bytes) -> Refusal:
    """Return the refusal of a decoded path that is not one of the API's: a hint where a mistake is easy to make."""
    without_slash = path.rstrip(b"/")
    if without_slash in (b"/ack", b"/nack", b"/touch"):
        name = without_slash.decode()
        return BadRequest(f"a receipt is missing: POST {name}/<receipt>")
    if without_slash == b"/messages":
        return BadRequest("a message id is missing: /messages/<id>")
    hint = "; leave out the slash at its end" if path.endswith(b"/") else "; / names the paths that there are"
    return NotFound(f"there is nothing at {quote(path.decode(errors='replace'))}{hint}")


def pushed_answer(push: Push, outcome: Outcome) -> Answer:
    """Return 201 with the message's place, 200 for a key seen before, or the refusal."""
    if isinstance(outcome, Refusal):
        answer = problem(push_refusal(push.key, outcome))
        return answer if may_be_repeated(push.key, outcome) else evolve(answer, headers=())
    assert isinstance(outcome, Pushed)
    location: Header = ("Location", f"messages/{outcome.id}")  # relative, so that it works behind a path prefix
    return json_answer(
        pushed_document(outcome), HTTPStatus.OK if outcome.duplicate else HTTPStatus.CREATED, (location,)
    )


def pushed_document(pushed: Pushed) -> dict[str, object]:
    """Return the JSON that answers a push."""
    document: dict[str, object] = {
        "id": str(pushed.id),
        "copies": pushed.copies,
        "members": pushed.members,
    }
    return document | {"duplicate": True} if pushed.duplicate else document


def push_refusal(key: str | None, refusal: Refusal) -> Refusal:
    """Return the refusal of a push with this key; an ``uncertain`` one says what a repetition would do."""
    if not isinstance(refusal, Uncertain):
        return refusal
    safe = "repeated with the same key, it is on the queue once"
    unsafe = "it has no key, so a repetition may be a second message"
    return Uncertain(f"{refusal.detail}; {unsafe if key is None else safe}")


def may_be_repeated(key: str | None, outcome: Outcome) -> bool:
    """Return False if a repetition of a push with this key may put a second message on the queue."""
    return key is not None or not isinstance(outcome, Uncertain)


def delivered_answer(get: Get, outcome: Outcome) -> Answer:
    """Return the message as its own bytes and type, with the delivery in headers; 204 when there is none."""
    if isinstance(outcome, Refusal):
        return problem(outcome)
    assert isinstance(outcome, Delivered)
    if not outcome.deliveries:
        return nothing
    delivery = outcome.deliveries[0]
    headers: tuple[Header, ...] = (
        ("Dqtw-Receipt", str(delivery.receipt)),
        ("Dqtw-Id", str(delivery.receipt.id)),
        ("Dqtw-Attempt", str(delivery.attempt)),
        ("Dqtw-Lease", format_seconds(delivery.lease_s)),
        ("Content-Security-Policy", "sandbox"),  # a browser must not run what a stranger pushed
    )
    if get.ack_now:  # the message is removed already
        headers = tuple(header for header in headers if header[0] not in _headers_of_a_lease)
    return Answer(HTTPStatus.OK, delivery.message.body, delivery.message.content_type, headers)


def done_answer(outcome: Outcome) -> Answer:
    """Return 204 if it happened, else the refusal."""
    return problem(outcome) if isinstance(outcome, Refusal) else nothing


def inspected_answer(message_id: MessageId, outcome: Outcome) -> Answer:
    """Return what is known of one message; its age is in seconds."""
    if isinstance(outcome, Refusal):
        return problem(outcome)
    assert isinstance(outcome, Inspected)
    return json_answer(
        {
            "id": str(message_id),
            "state": outcome.state.value,
            "attempts": outcome.attempts,
            "bytes": outcome.body_bytes,
            "type": outcome.content_type,
            "age": outcome.age_s,
        }
    )


def health_answer(health: Health) -> Answer:
    """Return 200 when well, 503 when not; the reasons are in the body."""
    document = health_document(health)
    if health.ok:
        return json_answer(document)
    return json_answer(document, HTTPStatus.SERVICE_UNAVAILABLE, (retry_after(health.reasons[0]),))


def health_document(health: Health) -> dict[str, object]:
    """Return the JSON that answers a health check."""
    return {
        "ok": health.ok,
        "reasons": health.reasons,
        "waiting_for": health.waiting_for,
        "in_session": health.in_session,
        "copies": health.copies,
        "members": health.members,
    }


def overview_answer(version: str) -> Answer:
    """Return what this server is, and the paths where a client that knows nothing goes on."""
    return json_answer(
        {
            "name": "dqtw",
            "version": version,
            "description": "A work queue server that does not lose work.",
            "openapi": "openapi.json",
            "health": "health",
            "stats": "stats",
        }
    )


def _unquote(piece: bytes) -> str:
    try:
        return unquote_to_bytes(piece.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise BadRequest("the query is not UTF-8") from None


def single_header(name: str, values: Sequence[bytes]) -> str | None:
    """Return the value of a header that may be given once; None if it is not given.

    Raises:
        BadRequest: the header is given twice, or is not UTF-8.
    """
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
