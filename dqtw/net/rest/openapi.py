"""The REST API described for programs: an OpenAPI 3.1 document."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from attrs import frozen

from dqtw import __version__
from dqtw.net.rest.openapi_schemas import Schema, reference, schemas
from dqtw.wire.rest.problem import framing_statuses, internal_code, json_type, phrase, problem_type, statuses

Document = dict[str, Any]

everywhere_codes: Final = (
    "bad_request",
    "framing",
    "unauthorized",
    "cross_site",
    "request_timeout",
    "too_large",
    "unsupported_encoding",
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
_slot_wait = (
    "wait",
    "Seconds",
    "How long to wait for a slot when the queue is full, in seconds; more than 30 count as 30.",
)
_wait = ("wait", "Seconds", "How long to wait for a message, in seconds; more than 30 count as 30.")
_lease_s = (
    "lease",
    "Seconds",
    "How long the message is hidden from other workers, in seconds: more than 0, at most `--max-lease`.",
)
_ack = ("ack", "", "Remove the message at delivery: it is delivered at most once; not with `lease`.")
_delay = ("delay", "Seconds", "After how many seconds the message is ready again.")
_max = ("max", "Count", "How many messages at most, from 1 to 1000.")

_about: Final = """\
Producers push messages, workers get them under a lease, do the work and acknowledge it. A message whose lease ends
without an acknowledgement is delivered again.

Ids and receipts are opaque and work on every node of a cluster. `HEAD` is answered wherever `GET` is, and leases
nothing; `OPTIONS` is answered with `Allow`. Each refusal is a problem document (RFC 9457), whose `code` is stable."""

_tags: Final = (
    {"name": "push", "description": "Put messages on the queue."},
    {"name": "work", "description": "Get messages, and acknowledge them or give them back."},
    {"name": "messages", "description": "One message by its id."},
    {"name": "operation", "description": "For operators, balancers and programs that learn the API."},
)


@frozen
class Operation:
    """One method of one path.

    Attributes:
        id: the name that generated clients use.
        tag: one of the groups of operations.
        summary: what it does, in a few words.
        description: what a client must know besides.
        answers: status to the schema of its JSON; None when there is no body, empty for a message's own bytes.
        codes: what it can be refused with, beyond `everywhere_codes`; in a batch, each item.
        path: its path parameter, if it has one: name and schema.
        query: its query parameters: name, schema, meaning.
        body: the schema of its JSON body; empty for any bytes; None for none.
        open: True if it needs no token.
    """

    id: str
    tag: str
    summary: str
    description: str
    answers: dict[int, str | None]
    codes: tuple[str, ...] = ()
    path: tuple[str, str] | None = None
    query: tuple[tuple[str, str, str], ...] = ()
    body: str | None = None
    open: bool = False


def _get(id: str, description: str) -> Operation:
    answers: dict[int, str | None] = {200: "", 204: None}
    return Operation(id, "work", "Lease one message.", description, answers, _serving, query=(_wait, _lease_s, _ack))


def _health(id: str, summary: str, description: str) -> Operation:
    return Operation(id, "operation", summary, description, {200: "Health", 503: "Health"}, open=True)


operations: Final[dict[tuple[str, str], Operation]] = {
    ("/push", "post"): Operation(
        "push",
        "push",
        "Put a message on the queue.",
        "The body is the message, byte for byte. A push that is repeated with the same `Idempotency-Key` is on the "
        "queue once. The answer comes when the message is held by as many nodes as `--copies` asks for.",
        {201: "Pushed", 200: "Duplicate"},
        _push,
        query=(_slot_wait,),
        body="",
    ),
    ("/push/batch", "post"): Operation(
        "pushBatch",
        "push",
        "Put many messages on the queue.",
        "Each item is pushed for itself, and the answer has one object for each, in their order. If all items are "
        "refused with one code, the answer has the status of that code.",
        {200: "PushBatchAnswer"},
        _push,
        body="PushBatch",
    ),
    ("/get", "post"): _get(
        "get",
        "The oldest ready message, hidden from other workers until its lease ends. 204: none was ready in time.",
    ),
    ("/get", "get"): _get(
        "getWithGet",
        "The same as `POST /get`, which is recommended: a proxy may repeat a `GET`, and a browser may prefetch it.",
    ),
    ("/get/batch", "post"): Operation(
        "getBatch",
        "work",
        "Lease many messages.",
        "As many as are ready, at most `max` and 16 MiB; perhaps none. `wait` is for the first.",
        {200: "GetBatchAnswer"},
        _serving,
        query=(_max, _wait, _lease_s, _ack),
    ),
    ("/ack/{receipt}", "post"): Operation(
        "ack",
        "work",
        "Remove a message: the work is done.",
        "Takes a receipt or a message id, also after the lease has ended.",
        {204: None},
        _owner,
        _receipt_or_id,
    ),
    ("/ack/batch", "post"): Operation(
        "ackBatch",
        "work",
        "Remove many messages.",
        "Takes receipts and message ids. The answer has one object for each, in their order. If all are refused with "
        "one code, the answer has the status of that code.",
        {200: "AckBatchAnswer"},
        _owner,
        body="AckBatch",
    ),
    ("/nack/{receipt}", "post"): Operation(
        "nack",
        "work",
        "Give a lease up.",
        "The message is ready again at its old place, at once or after `delay`.",
        {204: None},
        _lease,
        _receipt,
        (_delay,),
    ),
    ("/touch/{receipt}", "post"): Operation(
        "touch",
        "work",
        "Start a lease anew.",
        "For `lease` seconds from now, or for as long as the lease was.",
        {204: None},
        _lease,
        _receipt,
        (_lease_s,),
    ),
    ("/messages/{message_id}", "get"): Operation(
        "inspectMessage", "messages", "Describe a message.", "Leases nothing.", {200: "Inspected"}, _owner, _message_id
    ),
    ("/messages/{message_id}", "delete"): Operation(
        "deleteMessage",
        "messages",
        "Remove a message.",
        "The same as an acknowledgement by the message's id.",
        {204: None},
        _owner,
        _message_id,
    ),
    ("/stats", "get"): Operation(
        "stats", "operation", "Report figures of the node.", "Counts, sizes, times and peers.", {200: "Stats"}
    ),
    ("/health", "get"): Operation(
        "health",
        "operation",
        "Report all health checks.",
        "The status is 200 whatever the checks say: use one of the paths below for a balancer.",
        {200: "AllHealth"},
        open=True,
    ),
    ("/health/live", "get"): _health("healthLive", "Check that the process answers.", "For an orchestrator."),
    ("/health/ready", "get"): _health("healthReady", "Check that the node serves gets.", "For a balancer."),
    ("/health/push", "get"): _health(
        "healthPush", "Check that the node would accept a push.", "503 on a full queue, too."
    ),
    ("/openapi.json", "get"): Operation(
        "openapi", "operation", "Describe this API.", "This document.", {200: "Description"}, open=True
    ),
    ("/", "get"): Operation(
        "overview", "operation", "Say what this server is.", "And where to go on.", {200: "Overview"}, open=True
    ),
}


def openapi_document() -> Document:
    """Return the whole description."""
    paths: Document = {}
    for (path, method), operation in operations.items():
        paths.setdefault(path, {})[method] = _described(path, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dqtw",
            "version": __version__,
            "summary": "A work queue server that does not lose work.",
            "description": _about,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ".", "description": "The server that this document comes from."}],
        "tags": list(_tags),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of the server's --token-file."}
            },
        },
        "security": [{}, {"bearer": []}],
    }


def _described(path: str, operation: Operation) -> Document:
    described: Document = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "responses": _responses(path, operation),
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
        meaning = "As a delivery or a push named it."
        yield {"name": name, "in": "path", "required": True, "description": meaning, "schema": reference(schema)}
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
        meaning = "As a quoted string, or as it is. A push repeated with the same key is on the queue once."
        yield {"name": "Idempotency-Key", "in": "header", "description": meaning, "schema": printable}


def _request_body(schema: str) -> Document:
    if not schema:
        return {"content": {"application/octet-stream": {}, "*/*": {}}}
    return {"required": True, "content": {json_type: {"schema": reference(schema)}}}


def _responses(path: str, operation: Operation) -> Document:
    responses = _refusals(path, operation)
    for status, schema in operation.answers.items():
        _add(responses, status, _success(status, schema))
    if operation.body:
        for code in ("bad_request", "too_large", *operation.codes):  # what all items may be refused with
            responses[str(int(statuses[code]))]["content"][json_type] = {
                "schema": reference(operation.answers[200] or "")
            }
    return responses


def _success(status: int, schema: str | None) -> Document:
    response: Document = {"description": phrase(status)}
    if schema is not None:
        response["content"] = {json_type: {"schema": reference(schema)}} if schema else {"*/*": {}}
    if schema == "":
        response["headers"] = _delivery_headers()
    if schema in ("Pushed", "Duplicate"):
        response["headers"] = {"Location": _header({"type": "string", "pattern": "^messages/"})}
    return response


def _refusals(path: str, operation: Operation) -> Document:
    codes = [*everywhere_codes, *operation.codes]
    if operation.open:
        codes.remove("unauthorized")
    if path.startswith("/health"):
        codes.remove("cross_site")
    by_status: dict[int, list[str]] = {status: ["framing"] for status in framing_statuses}
    for code in codes:
        if code not in by_status.setdefault(statuses[code], []):
            by_status[statuses[code]].append(code)
    return {str(int(status)): _refusal(status, of) for status, of in by_status.items()}


def _refusal(status: int, codes: list[str]) -> Document:
    schema = {"allOf": [reference("Problem"), {"properties": {"code": {"enum": codes}}}]}
    response: Document = {
        "description": f"{phrase(status)}: {', '.join(codes)}.",
        "content": {problem_type: {"schema": schema}},
    }
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        # An uncertain push without a key has none: it must not be repeated.
        response["headers"] = {"Retry-After": _header({"type": "integer", "minimum": 1}, required=False)}
    if status == HTTPStatus.UNAUTHORIZED:
        response["headers"] = {"WWW-Authenticate": _header({"type": "string"})}
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        response["headers"] = {"Accept-Encoding": _header({"const": "identity"})}
    return response


def _add(responses: Document, status: int, response: Document) -> None:
    """Add a response, to that of a refusal with the same status if there is one."""
    known = responses.setdefault(str(status), response)
    if known is not response and "content" in response:
        known["content"] |= response["content"]


def _delivery_headers() -> Document:
    """Return the headers of a delivery; with ``ack=now`` it has neither receipt nor lease."""
    return {
        "Dqtw-Receipt": _header(reference("Receipt"), required=False),
        "Dqtw-Id": _header(reference("MessageId")),
        "Dqtw-Attempt": _header({"type": "integer", "minimum": 1}),
        "Dqtw-Lease": _header(reference("Seconds"), required=False),
    }


def _header(schema: Schema, *, required: bool = True) -> Document:
    return {"required": required, "schema": schema}
