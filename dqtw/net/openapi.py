"""The REST door described for programs: an OpenAPI 3.1 document."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from attrs import frozen

from dqtw import __version__
from dqtw.net.openapi_schemas import Schema, reference, schemas
from dqtw.wire.problem import framing_statuses, internal_code, json_type, problem_type, statuses

Document = dict[str, Any]

everywhere_codes: Final = (
    "bad_request",
    "framing",
    "unauthorized",
    "cross_site",
    "request_timeout",
    "too_large",
    internal_code,
    "busy",
)
elsewhere_codes: Final = ("not_found", "method_not_allowed")  # of paths and methods that are not described
_serving = ("starting", "draining", "fenced")
_owner = ("unknown", "owner_down", "uncertain", *_serving)
_lease = ("lease_lost", *_owner)
_push = ("key_reused", "full", "unreplicated", "uncertain", "owner_down", *_serving)

_receipt = ("receipt", "Receipt")
_receipt_or_id = ("receipt", "ReceiptOrId")
_message_id = ("message_id", "MessageId")
_wait = ("wait", "Seconds", "How long to wait, in seconds; more than 30 counts as 30.")
_lease_s = ("lease", "Seconds", "How long the message is hidden from others, in seconds.")
_ack = ("ack", "", "Remove the message at delivery: at most once.")
_delay = ("delay", "Seconds", "After how many seconds the message is ready again.")
_max = ("max", "Count", "How many messages at most, from 1 to 1000.")


@frozen
class Operation:
    """One method of one path.

    Attributes:
        answers: status to the schema of its JSON; None when there is no body, empty for a message's own bytes.
        codes: what it can be refused with, beyond `everywhere_codes`.
        path: its path parameter, if it has one: name and schema.
        query: its query parameters: name, schema, meaning.
        body: the schema of its JSON body; empty for any bytes; None for none.
    """

    summary: str
    answers: dict[int, str | None]
    codes: tuple[str, ...] = ()
    path: tuple[str, str] | None = None
    query: tuple[tuple[str, str, str], ...] = ()
    body: str | None = None
    open: bool = False


_get = Operation("Lease one message.", {200: "", 204: None}, _serving, query=(_wait, _lease_s, _ack))
_remove = Operation("Remove a message: the work is done.", {204: None}, _owner, _receipt_or_id)
_is_live = Operation("Whether the process answers.", {200: "Health", 503: "Health"}, open=True)
_is_ready = Operation("Whether it serves gets.", {200: "Health", 503: "Health"}, open=True)
_would_push = Operation("Whether it would take a push now.", {200: "Health", 503: "Health"}, open=True)

operations: Final[dict[tuple[str, str], Operation]] = {
    ("/push", "post"): Operation(
        "Put a message on the queue.", {201: "Pushed", 200: "Duplicate"}, _push, query=(_wait,), body=""
    ),
    ("/push/batch", "post"): Operation("Put many messages on the queue.", {200: "PushBatchAnswer"}, body="PushBatch"),
    ("/get", "get"): _get,
    ("/get", "post"): _get,
    ("/get/batch", "post"): Operation(
        "Lease many messages.", {200: "GetBatchAnswer"}, _serving, query=(_max, _wait, _lease_s, _ack)
    ),
    ("/ack/{receipt}", "post"): _remove,
    ("/ack/batch", "post"): Operation("Remove many messages.", {200: "AckBatchAnswer"}, body="AckBatch"),
    ("/messages/{message_id}", "delete"): Operation("Remove a message, by its id.", {204: None}, _owner, _message_id),
    ("/messages/{message_id}", "get"): Operation("Tell about one message.", {200: "Inspected"}, _owner, _message_id),
    ("/nack/{receipt}", "post"): Operation("Give a lease up.", {204: None}, _lease, _receipt, (_delay,)),
    ("/touch/{receipt}", "post"): Operation("Start a lease anew.", {204: None}, _lease, _receipt, (_lease_s,)),
    ("/stats", "get"): Operation("What operators see.", {200: "Stats"}),
    ("/health/live", "get"): _is_live,
    ("/health/ready", "get"): _is_ready,
    ("/health/push", "get"): _would_push,
    ("/openapi.json", "get"): Operation("This description.", {200: "Description"}, open=True),
}


def openapi_document() -> Document:
    """The whole description."""
    paths: Document = {}
    for (path, method), operation in operations.items():
        paths.setdefault(path, {})[method] = _described(path, method, operation)
        if method == "get":
            paths[path]["head"] = _described(path, "head", _as_head(path, operation))
    for path, item in paths.items():
        item["options"] = _options(path, item)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dqtw",
            "version": __version__,
            "summary": "A work queue server that does not lose work.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"bearer": []}],
    }


def _as_head(path: str, operation: Operation) -> Operation:
    """A HEAD answers as a GET does, but leases nothing: of the queue it tells nothing."""
    answers: dict[int, str | None] = {204: None} if path == "/get" else operation.answers
    codes = () if path == "/get" else operation.codes
    return Operation(operation.summary, answers, codes, operation.path, operation.query, None, open=operation.open)


def _options(path: str, item: Document) -> Document:
    first = next(operation for (known, _), operation in operations.items() if known == path)
    operation = Operation("The methods of this path.", {204: None}, path=first.path, open=first.open)
    described = _described(path, "options", operation)
    allow = ", ".join(sorted(method.upper() for method in (*item, "options")))
    described["responses"]["204"]["headers"] = {"Allow": _header({"const": allow})}
    return described


def _described(path: str, method: str, operation: Operation) -> Document:
    described: Document = {
        "operationId": method + "".join(word.strip("{}").capitalize() for word in path.replace(".", "/").split("/")),
        "summary": operation.summary,
        "responses": _responses(operation, has_body=method != "head"),
    }
    if operation.path or operation.query or operation.body == "":
        described["parameters"] = list(_parameters(operation))
    if operation.body is not None:
        described["requestBody"] = _request_body(operation.body)
    if operation.open:
        described["security"] = []
    return described


def _parameters(operation: Operation) -> Iterable[Document]:
    if operation.path is not None:
        name, schema = operation.path
        yield {"name": name, "in": "path", "required": True, "schema": reference(schema)}
    for name, schema, meaning in operation.query:
        yield {
            "name": name,
            "in": "query",
            "description": meaning,
            "required": name == "max",
            "schema": reference(schema) if schema else {"const": "now"},
        }
    if operation.body == "":
        printable = {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$", "maxLength": 255}
        meaning = "A push repeated with the same key is answered as the first was."
        yield {"name": "Idempotency-Key", "in": "header", "description": meaning, "schema": printable}


def _request_body(schema: str) -> Document:
    if not schema:
        return {"content": {"application/octet-stream": {}, "*/*": {}}}
    return {"required": True, "content": {json_type: {"schema": reference(schema)}}}


def _responses(operation: Operation, *, has_body: bool) -> Document:
    responses = _refusals(operation, has_body=has_body)
    for status, schema in operation.answers.items():
        _add(responses, status, _success(status, schema, has_body=has_body))
    return responses


def _success(status: int, schema: str | None, *, has_body: bool) -> Document:
    response: Document = {"description": HTTPStatus(status).phrase}
    if schema is not None and has_body:
        response["content"] = {json_type: {"schema": reference(schema)}} if schema else {"*/*": {}}
    if schema == "":
        response["headers"] = _delivery_headers()
    if status == HTTPStatus.CREATED:
        response["headers"] = {"Location": _header({"type": "string", "pattern": "^/messages/"})}
    return response


def _refusals(operation: Operation, *, has_body: bool) -> Document:
    codes = [*everywhere_codes, *operation.codes]
    if operation.open:
        codes.remove("unauthorized")
    by_status: dict[int, list[str]] = {status: ["framing"] for status in framing_statuses}
    for code in codes:
        if code not in by_status.setdefault(statuses[code], []):
            by_status[statuses[code]].append(code)
    return {str(int(status)): _refusal(status, of, has_body=has_body) for status, of in by_status.items()}


def _refusal(status: int, codes: list[str], *, has_body: bool) -> Document:
    response: Document = {"description": f"{HTTPStatus(status).phrase}: {', '.join(codes)}."}
    if has_body:
        schema = {"allOf": [reference("Problem"), {"properties": {"code": {"enum": codes}}}]}
        response["content"] = {problem_type: {"schema": schema}}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        response["headers"] = {"Retry-After": _header({"type": "integer", "minimum": 1})}
    if status == HTTPStatus.UNAUTHORIZED:
        response["headers"] = {"WWW-Authenticate": _header({"type": "string"})}
    return response


def _add(responses: Document, status: int, response: Document) -> None:
    """Add a response, to that of a refusal with the same status if there is one."""
    known = responses.setdefault(str(status), response)
    if known is not response and "content" in response:
        known["content"] |= response["content"]


def _delivery_headers() -> Document:
    values: dict[str, Schema] = {
        "Dqtw-Receipt": reference("Receipt"),
        "Dqtw-Id": reference("MessageId"),
        "Dqtw-Attempt": {"type": "integer", "minimum": 1},
        "Dqtw-Lease": reference("Seconds"),
    }
    return {name: _header(schema) for name, schema in values.items()}


def _header(schema: Schema) -> Document:
    return {"required": True, "schema": schema}
