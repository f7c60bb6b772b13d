"""The values of the REST API as JSON schemas (2020-12), for its description."""

from typing import Any, Final

from dqtw.core.model.commands import State, batch_count_max, get_count_max
from dqtw.core.model.health import Check
from dqtw.core.model.message import content_type_chars_max, key_chars_max
from dqtw.wire.rest.problem import statuses
from dqtw.wire.values import seconds_chars_max

Schema = dict[str, Any]

_id = r"[A-Za-z0-9_-]{1,63}\.0[0-9A-HJKMNP-TV-Z]{25}\.[1-9][0-9]{0,15}"
_count = {"type": "integer", "minimum": 0}
_seconds = {"type": "number", "minimum": 0}


def reference(name: str) -> Schema:
    """Return a reference to one of `schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _text(pattern: str, chars_max: int | None = None) -> Schema:
    schema: Schema = {"type": "string", "pattern": f"^{pattern}$"}
    return schema if chars_max is None else schema | {"maxLength": chars_max}


def _object(properties: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _array(items: Schema, items_max: int) -> Schema:
    return {"type": "array", "items": items, "maxItems": items_max}


def _either(*schemas: Schema) -> Schema:
    return {"oneOf": list(schemas)}


_base64 = r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?"
_body_forms = {"text": {"type": "string"}, "base64": _text(_base64) | {"contentEncoding": "base64"}}
_pushed = {
    "id": reference("MessageId"),
    "copies": {"type": "integer", "minimum": 1},
    "members": {"type": "integer", "minimum": 1},
}
_ok = {"ok": {"const": True}}
_push_options = {"type": reference("ContentType"), "key": reference("Key")}
_delivery = {
    "id": reference("MessageId"),
    "attempt": {"type": "integer", "minimum": 1},
    "type": reference("ContentType"),
}
_lease = {"receipt": reference("Receipt"), "lease": _seconds}
_health = {
    "ok": {"type": "boolean"},
    "reasons": {"type": "array", "items": {"type": "string"}},
    "waiting_for": {"type": "array", "items": {"type": "string"}},
    "in_session": _count,
    "copies": _count,
    "members": _count,
}
_inspected = {
    "id": reference("MessageId"),
    "state": {"enum": [state.value for state in State]},
    "attempts": _count,
    "bytes": _count,
    "type": reference("ContentType"),
    "age": _seconds,
}
_overview_names = ("name", "version", "description", "openapi", "health", "stats")
_problem = {
    "type": {"const": "about:blank"},
    "title": {"type": "string"},
    "status": {"type": "integer"},
    "detail": {"type": "string"},
    "code": {"enum": sorted(statuses)},
}

schemas: Final[dict[str, Schema]] = {
    "Seconds": _text(r"[0-9]+(\.[0-9]+)?", seconds_chars_max),
    "Count": _text("([1-9][0-9]{0,2}|1000)"),
    "MessageId": _text(_id),
    "Receipt": _text(_id + r"\.[0-9a-z]{1,32}"),
    "ReceiptOrId": _text(_id + r"(\.[0-9a-z]{1,32})?"),
    "ContentType": _text(r"[ -~]+", content_type_chars_max),
    "Key": {"type": "string", "minLength": 1, "maxLength": key_chars_max},
    "Pushed": _object(_pushed),
    "Duplicate": _object(_pushed | {"duplicate": {"const": True}}),
    "PushedItem": _object(_ok | _pushed),
    "DuplicateItem": _object(_ok | _pushed | {"duplicate": {"const": True}}),
    "RefusedItem": _object({"ok": {"const": False}, "code": {"enum": sorted(statuses)}, "detail": {"type": "string"}}),
    "PushItem": _either(*(_object({form: schema}, optional=_push_options) for form, schema in _body_forms.items())),
    "PushBatch": _array(reference("PushItem"), batch_count_max),
    "PushBatchAnswer": _array(
        _either(reference("PushedItem"), reference("DuplicateItem"), reference("RefusedItem")), batch_count_max
    ),
    "GetBatchAnswer": _array(
        _either(
            *(
                _object(_delivery | lease | {form: schema})
                for form, schema in _body_forms.items()
                for lease in (_lease, {})  # with ack=now a delivery has none
            )
        ),
        get_count_max,
    ),
    "AckBatch": _array(reference("ReceiptOrId"), batch_count_max),
    "AckBatchAnswer": _array(_either(_object(_ok), reference("RefusedItem")), batch_count_max),
    "Inspected": _object(_inspected),
    "Health": _object(_health),
    "AllHealth": _object({check.value: reference("Health") for check in Check}),
    "Stats": {"type": "object"},
    "Description": {"type": "object", "required": ["openapi", "info", "paths"]},
    "Overview": _object({name: {"type": "string"} for name in _overview_names}),
    "Problem": _object(_problem),
}
