"""Refusals as HTTP answers: the table from code to status, and problem documents (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from attrs import frozen

from dqtw.core.errors import Refusal

Header = tuple[str, str]

problem_type: Final = "application/problem+json"
json_type: Final = "application/json"
internal_code: Final = "internal"  # not a refusal: a defect of the server

statuses: Final[Mapping[str, HTTPStatus]] = MappingProxyType(
    {
        "bad_request": HTTPStatus.BAD_REQUEST,
        "framing": HTTPStatus.BAD_REQUEST,
        "unauthorized": HTTPStatus.UNAUTHORIZED,
        "not_found": HTTPStatus.NOT_FOUND,
        "unknown": HTTPStatus.NOT_FOUND,
        "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
        "request_timeout": HTTPStatus.REQUEST_TIMEOUT,
        "lease_lost": HTTPStatus.GONE,
        "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
        "full": HTTPStatus.TOO_MANY_REQUESTS,
        internal_code: HTTPStatus.INTERNAL_SERVER_ERROR,
        "busy": HTTPStatus.SERVICE_UNAVAILABLE,
        "unreplicated": HTTPStatus.SERVICE_UNAVAILABLE,
        "uncertain": HTTPStatus.SERVICE_UNAVAILABLE,
        "owner_down": HTTPStatus.SERVICE_UNAVAILABLE,
        "starting": HTTPStatus.SERVICE_UNAVAILABLE,
        "draining": HTTPStatus.SERVICE_UNAVAILABLE,
        "fenced": HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
"""The status of each code. ``framing`` is also said with the more telling 414 and 431."""

framing_statuses: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
)

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_long_retry_codes = frozenset({"owner_down", "draining", "fenced"})
_retried = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


@frozen
class Answer:
    """What a request is answered with.

    Attributes:
        status: the HTTP status.
        body: the bytes, none for a 204.
        content_type: of the body; None where there is no body to speak of.
        headers: further headers.
    """

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[Header, ...] = ()


def to_json(value: object) -> bytes:
    """JSON in UTF-8, without spaces."""
    return _encode(value).encode()


def json_answer(value: object, status: int = HTTPStatus.OK, headers: tuple[Header, ...] = ()) -> Answer:
    """A JSON document as an answer."""
    return Answer(status, to_json(value), json_type, headers)


def problem(refusal: Refusal, status: HTTPStatus | None = None) -> Answer:
    """A refusal as an answer: its code's own status, or a more telling one."""
    return _problem_of(refusal.code, refusal.detail, status or statuses[refusal.code])


def internal_problem() -> Answer:
    """What a client is told of a defect of the server: nothing but that there is one."""
    return _problem_of(internal_code, "the server failed at this request", statuses[internal_code])


def retry_after(code: str) -> Header:
    """When it may be worth asking again: a whole number of seconds, at least 1."""
    return ("Retry-After", "5" if code in _long_retry_codes else "1")


def _problem_of(code: str, detail: str, status: HTTPStatus) -> Answer:
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
    }
    return Answer(status, to_json(document), problem_type, _headers_of(code, status))


def _headers_of(code: str, status: HTTPStatus) -> tuple[Header, ...]:
    if status in _retried:
        return (retry_after(code),)
    if status is HTTPStatus.UNAUTHORIZED:
        return (("WWW-Authenticate", 'Bearer realm="dqtw"'),)
    return ()
