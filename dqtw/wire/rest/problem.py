"""Refusals as HTTP answers: the table from code to status, and problem documents (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from attrs import frozen

from dqtw.core.model.errors import Refusal

Header = tuple[str, str]

problem_type: Final = "application/problem+json"
json_type: Final = "application/json"
internal_code: Final = "internal"  # not a refusal: a defect of the server

statuses: Final[Mapping[str, HTTPStatus]] = MappingProxyType(
    {
        "bad_request": HTTPStatus.BAD_REQUEST,
        "framing": HTTPStatus.BAD_REQUEST,
        "unauthorized": HTTPStatus.UNAUTHORIZED,
        "cross_site": HTTPStatus.FORBIDDEN,
        "not_found": HTTPStatus.NOT_FOUND,
        "unknown": HTTPStatus.NOT_FOUND,
        "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
        "request_timeout": HTTPStatus.REQUEST_TIMEOUT,
        "lease_lost": HTTPStatus.GONE,
        "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "unsupported_encoding": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
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
"""The status of each code. ``framing`` is also answered with the more telling 414 and 431."""

framing_statuses: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
)

retry_seconds: Final[Mapping[str, int]] = MappingProxyType(
    {
        "full": 1,  # a slot is free as soon as a worker acknowledges
        "busy": 1,  # as is a connection, or a place among the waiting requests
        "starting": 2,  # a start with all peers present takes about so long
        "unreplicated": 5,  # a peer has to come back, or to be started again
        "uncertain": 5,  # peers are failing at this moment
        "owner_down": 10,  # that node has to be started again
        "draining": 10,  # so has this one
        "fenced": 10,
    }
)
"""After how many seconds a request that was refused with a code may be worth repeating."""

_phrases: Final[Mapping[int, str]] = MappingProxyType(
    {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
)
"""Phrases of RFC 9110 for which Python 3.11 still has those of RFC 2616."""

_retried = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


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


def phrase(status: int) -> str:
    """Return the phrase that RFC 9110 gives a status."""
    return _phrases.get(status) or HTTPStatus(status).phrase


def to_json(value: object) -> bytes:
    """Return a value as JSON in UTF-8, without spaces."""
    return _encode(value).encode()


def json_answer(value: object, status: int = HTTPStatus.OK, headers: tuple[Header, ...] = ()) -> Answer:
    """Return an answer with a JSON document."""
    return Answer(status, to_json(value), json_type, headers)


def problem(refusal: Refusal, status: HTTPStatus | None = None) -> Answer:
    """Return a refusal as an answer, with its code's own status or with a more telling one."""
    return _problem_of(refusal.code, refusal.detail, status or statuses[refusal.code])


def internal_problem() -> Answer:
    """Return the answer to a request at which the server failed; it tells a client no more than that."""
    return _problem_of(internal_code, "the server failed at this request", statuses[internal_code])


def retry_after(code: str) -> Header:
    """Return the header that says after how many seconds a refused request may be worth repeating."""
    return ("Retry-After", str(retry_seconds.get(code, 1)))


def _problem_of(code: str, detail: str, status: HTTPStatus) -> Answer:
    document = {
        "type": "about:blank",
        "title": phrase(status),
        "status": status.value,
        "detail": detail,
        "code": code,
    }
    return Answer(status, to_json(document), problem_type, refusal_headers(code, status))


def refusal_headers(code: str, status: HTTPStatus) -> tuple[Header, ...]:
    """Return the headers that belong to a refusal with this code and status."""
    if status in _retried:
        return (retry_after(code),)
    if status is HTTPStatus.UNAUTHORIZED:
        return (("WWW-Authenticate", 'Bearer realm="dqtw"'),)
    if status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return (("Accept-Encoding", "identity"),)
    return ()
