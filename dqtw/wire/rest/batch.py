"""Batches of the REST API: JSON arrays to commands, outcomes to JSON arrays.

Each item stands for itself: what can't be read becomes that item's refusal, and the others go on.
"""

import binascii
import json
import re
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import NoReturn

from attrs import evolve

from dqtw.core.model.commands import Ack, Delivered, Delivery, Get, Outcome, Push, Pushed, batch_count_max
from dqtw.core.model.errors import BadRequest, Refusal, TooLarge, UnsupportedEncoding, quote
from dqtw.core.model.message import content_type_default, parse_id_or_receipt
from dqtw.wire.rest.problem import Answer, json_answer, json_type, problem, refusal_headers, statuses
from dqtw.wire.rest.single import may_be_repeated, push_refusal, pushed_document, single_header
from dqtw.wire.values import parse_content_type, parse_key

_push_names = ("text", "base64", "type", "key")
_charset_pattern = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)


def check_batch_type(content_types: Sequence[bytes]) -> None:
    """Check the Content-Type of a batch, which is JSON in UTF-8 whatever its media type is called.

    Raises:
        BadRequest: the header is given twice, or is not UTF-8.
        UnsupportedEncoding: the header names another character encoding.
    """
    found = _charset_pattern.search(single_header("Content-Type", content_types) or "")
    if found is not None and found[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedEncoding(f"a batch is JSON in UTF-8, not in {quote(found[1])}")


def parse_push_batch(body: bytes, body_bytes_max: int) -> list[Push | Refusal]:
    """Read a batch of pushes, in their order.

    Raises:
        BadRequest: the body is not a JSON array, or has more than `batch_count_max` items.
    """
    return [_push_item(item, body_bytes_max) for item in _array(body)]


def parse_ack_batch(body: bytes) -> list[Ack | Refusal]:
    """Read a batch of receipts and ids, in their order.

    Raises:
        BadRequest: the body is not a JSON array, or has more than `batch_count_max` items.
    """
    return [_ack_item(item) for item in _array(body)]


def push_batch_answer(pushes: Sequence[Push | Refusal], outcomes: Sequence[Outcome]) -> Answer:
    """Return one object for each push, in their order."""
    keys = [push.key if isinstance(push, Push) else None for push in pushes]
    documents = [_push_outcome(key, outcome) for key, outcome in zip(keys, outcomes, strict=True)]
    answer = _batch_answer(documents, outcomes)
    return answer if all(map(may_be_repeated, keys, outcomes)) else evolve(answer, headers=())


def ack_batch_answer(outcomes: Sequence[Outcome]) -> Answer:
    """Return one object for each removal, in their order."""
    return _batch_answer([_ack_outcome(outcome) for outcome in outcomes], outcomes)


def _batch_answer(documents: list[dict[str, object]], outcomes: Sequence[Outcome]) -> Answer:
    """Return an array, with the status of its items' refusal if all of them are refused with one code."""
    codes = {outcome.code if isinstance(outcome, Refusal) else "" for outcome in outcomes}
    code = codes.pop() if len(codes) == 1 else ""
    if not code:
        return json_answer(documents)
    status = statuses[code]
    return json_answer(documents, status, refusal_headers(code, status))


def get_batch_answer(get: Get, outcome: Outcome) -> Answer:
    """Return one object for each delivery; its body as text where it is UTF-8."""
    if isinstance(outcome, Refusal):
        return problem(outcome)
    assert isinstance(outcome, Delivered)
    documents = [_delivery_document(delivery, is_leased=not get.ack_now) for delivery in outcome.deliveries]
    text = json.dumps(documents, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Answer(HTTPStatus.OK, text.encode(), json_type)


def _array(body: bytes) -> list[object]:
    value = _json(body)
    if not isinstance(value, list):
        raise BadRequest(f"the body is {_shown(value)}, not a JSON array")
    if len(value) > batch_count_max:
        raise BadRequest(f"a batch has at most {batch_count_max} items, not {len(value)}")
    return value


def _json(body: bytes) -> object:
    try:
        text = body.decode("utf-8-sig")  # a byte order mark is left out
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 from byte {error.start + 1} on") from None
    except json.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except ValueError:
        raise BadRequest("the body is not JSON that this server reads: a number has too many digits") from None


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"the body is not JSON: {name} is no value of it")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return a JSON object, in which no name may stand twice: one of its two values would be ignored."""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise BadRequest(f"an object has {quote(name)} twice")
    return found


def _shown(value: object) -> str:
    """Return a JSON value as a refusal may repeat it."""
    match value:
        case dict():
            return "an object"
        case list():
            return "an array"
    return quote(json.dumps(value))


def _push_item(item: object, body_bytes_max: int) -> Push | Refusal:
    try:
        return _push(item, body_bytes_max)
    except Refusal as refusal:
        return refusal


def _push(item: object, body_bytes_max: int) -> Push:
    if not isinstance(item, dict):
        raise BadRequest(f"an item is an object with either text or base64, not {_shown(item)}")
    for name in item:
        if name not in _push_names:
            raise BadRequest(f"unknown field {quote(name)}: an item has {', '.join(_push_names)}")
    body = _body(item)
    if len(body) > body_bytes_max:
        raise TooLarge(f"a message has at most {body_bytes_max} bytes")
    content_type, key = _text_field(item, "type"), _text_field(item, "key")
    return Push(
        body,
        content_type_default if content_type is None else parse_content_type(content_type),
        None if key is None else parse_key(key),
    )


def _body(item: dict[str, object]) -> bytes:
    text, base64 = _text_field(item, "text"), _text_field(item, "base64")
    if (text is None) == (base64 is None):
        raise BadRequest(f"an item has either text or base64, not {'none of them' if text is None else 'both'}")
    return _encoded(text) if text is not None else _decoded(base64 or "")


def _text_field(item: dict[str, object], name: str) -> str | None:
    value = item.get(name)
    if name in item and not isinstance(value, str):
        raise BadRequest(f"{name} is a string, not {_shown(value)}")
    return value if isinstance(value, str) else None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, written as an escape
        raise BadRequest("text holds half a character") from None


def _decoded(base64: str) -> bytes:
    try:
        return binascii.a2b_base64(base64, strict_mode=True)
    except ValueError:  # binascii.Error too
        raise BadRequest(f"base64 can't be decoded: {quote(base64)}") from None


def _ack_item(item: object) -> Ack | Refusal:
    if not isinstance(item, str):
        return BadRequest(f"an item is a receipt or a message id, as a string, not {_shown(item)}")
    try:
        return Ack(parse_id_or_receipt(item))
    except BadRequest as refusal:
        return refusal


def _refused(refusal: Refusal) -> dict[str, object]:
    return {"ok": False, "code": refusal.code, "detail": refusal.detail}


def _push_outcome(key: str | None, outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Refusal):
        return _refused(push_refusal(key, outcome))
    assert isinstance(outcome, Pushed)
    return {"ok": True, **pushed_document(outcome)}


def _ack_outcome(outcome: Outcome) -> dict[str, object]:
    return _refused(outcome) if isinstance(outcome, Refusal) else {"ok": True}


def _delivery_document(delivery: Delivery, *, is_leased: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "receipt": str(delivery.receipt),
        "id": str(delivery.receipt.id),
        "attempt": delivery.attempt,
        "lease": delivery.lease_s,
        "type": delivery.message.content_type,
    }
    if not is_leased:
        del document["receipt"], document["lease"]
    try:
        return document | {"text": delivery.message.body.decode()}
    except UnicodeDecodeError:
        return document | {"base64": binascii.b2a_base64(delivery.message.body, newline=False).decode()}
