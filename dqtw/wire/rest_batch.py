"""The REST door's batches: JSON arrays to commands, outcomes to JSON arrays.

Each item stands for itself: what can't be read becomes that item's refusal, and the others go on.
"""

import binascii
import json
from collections.abc import Iterable, Sequence
from typing import NoReturn

from dqtw.core.commands import Ack, Delivery, Outcome, Push, Pushed, batch_count_max
from dqtw.core.errors import BadRequest, Refusal, TooLarge
from dqtw.core.message import content_type_default, parse_id_or_receipt
from dqtw.wire.problem import Answer, json_answer, json_type
from dqtw.wire.rest import pushed_document, quote
from dqtw.wire.values import parse_content_type, parse_key

_push_names = frozenset({"text", "base64", "type", "key"})


def parse_push_batch(body: bytes, body_bytes_max: int) -> list[Push | Refusal]:
    """Read a batch of pushes, in their order.

    Raises:
        BadRequest: the body is no JSON array, or has more than `batch_count_max` items.
    """
    return [_push_item(item, body_bytes_max) for item in _array(body)]


def parse_ack_batch(body: bytes) -> list[Ack | Refusal]:
    """Read a batch of receipts and ids, in their order.

    Raises:
        BadRequest: the body is no JSON array, or has more than `batch_count_max` items.
    """
    return [_ack_item(item) for item in _array(body)]


def push_batch_answer(outcomes: Iterable[Outcome]) -> Answer:
    """One object for each push, in their order."""
    return json_answer([_push_outcome(outcome) for outcome in outcomes])


def ack_batch_answer(outcomes: Iterable[Outcome]) -> Answer:
    """One object for each removal, in their order."""
    return json_answer([_ack_outcome(outcome) for outcome in outcomes])


def get_batch_answer(deliveries: Sequence[Delivery]) -> Answer:
    """One object for each delivery; its body as text where it is UTF-8."""
    documents = [_delivery_document(delivery) for delivery in deliveries]
    text = json.dumps(documents, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Answer(200, text.encode(), json_type)


def _array(body: bytes) -> list[object]:
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON in UTF-8") from None
    if not isinstance(value, list):
        raise BadRequest("the body is no JSON array")
    if len(value) > batch_count_max:
        raise BadRequest(f"a batch has at most {batch_count_max} items")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _push_item(item: object, body_bytes_max: int) -> Push | Refusal:
    try:
        return _push(item, body_bytes_max)
    except Refusal as refusal:
        return refusal


def _push(item: object, body_bytes_max: int) -> Push:
    if not isinstance(item, dict):
        raise BadRequest("an item is an object with either text or base64")
    for name in item:
        if name not in _push_names:
            raise BadRequest(f"unknown field {quote(name)}")
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
        raise BadRequest("an item has either text or base64")
    return _encoded(text) if text is not None else _decoded(base64 or "")


def _text_field(item: dict[str, object], name: str) -> str | None:
    value = item.get(name)
    if name in item and not isinstance(value, str):
        raise BadRequest(f"{name} must be a string")
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
        raise BadRequest("base64 can't be decoded") from None


def _ack_item(item: object) -> Ack | Refusal:
    if not isinstance(item, str):
        return BadRequest("an item is a receipt or a message id, as a string")
    try:
        return Ack(parse_id_or_receipt(item))
    except BadRequest as refusal:
        return refusal


def _refused(refusal: Refusal) -> dict[str, object]:
    return {"code": refusal.code, "detail": refusal.detail}


def _push_outcome(outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Refusal):
        return _refused(outcome)
    assert isinstance(outcome, Pushed)
    return pushed_document(outcome)


def _ack_outcome(outcome: Outcome) -> dict[str, object]:
    return _refused(outcome) if isinstance(outcome, Refusal) else {"ok": True}


def _delivery_document(delivery: Delivery) -> dict[str, object]:
    document: dict[str, object] = {
        "receipt": str(delivery.receipt),
        "id": str(delivery.receipt.id),
        "attempt": delivery.attempt,
        "lease": delivery.lease_s,
        "type": delivery.message.content_type,
    }
    try:
        return document | {"text": delivery.message.body.decode()}
    except UnicodeDecodeError:
        return document | {"base64": binascii.b2a_base64(delivery.message.body, newline=False).decode()}
