"""The description of the REST door, held against the door itself."""

import re
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from dqtw.core.model.settings import NodeSettings
from dqtw.net.rest.api import RestDoor
from dqtw.net.rest.openapi import elsewhere_codes, everywhere_codes, openapi_document, operations
from dqtw.wire.rest.problem import statuses
from tests.unit.net.http_client import Response, Server

document = openapi_document()


def test_the_description_is_valid() -> None:
    """Tools can read it."""
    validate(document)


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    """A program that follows the description misses nothing, and finds nothing that is not there."""
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in RestDoor.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method != "HEAD"  # said once, for all
    }
    assert {(path, method) for path, item in document["paths"].items() for method in item} == routes


def test_every_operation_has_a_name_of_its_own_and_words() -> None:
    """A generated client is readable."""
    described = [operation for item in document["paths"].values() for operation in item.values()]
    ids = [operation["operationId"] for operation in described]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z][a-zA-Z]+", id) for id in ids)
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in described for tag in operation["tags"]} == tags
    assert all(operation["summary"] and operation["description"] for operation in described)
    assert document["info"]["license"]
    assert document["servers"]


def test_every_code_is_described_and_every_described_code_exists() -> None:
    """A client that handles all described codes handles all there are."""
    described = {code for operation in operations.values() for code in operation.codes}
    assert described | set(everywhere_codes) | set(elsewhere_codes) == set(statuses)


def test_every_described_code_stands_under_its_status() -> None:
    """A code means one status."""
    for item in document["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                for code in codes_of(response):
                    assert code == "framing" or int(status) == statuses[code]


def codes_of(response: dict[str, Any]) -> list[str]:
    schema = response.get("content", {}).get("application/problem+json", {}).get("schema")
    return [] if schema is None else list(schema["allOf"][1]["properties"]["code"]["enum"])


def check(method: str, path: str, response: Response) -> None:
    """Hold an answer against the description of its operation."""
    described = document["paths"][path][method.lower()]["responses"][str(response.status)]
    for name, header in described.get("headers", {}).items():
        if name.lower() not in response.headers and not header["required"]:
            continue
        value: Any = response.headers[name.lower()]
        schema = resolved(header["schema"])
        check_value(int(value) if schema.get("type") == "integer" else value, schema)
    if "content" not in described:
        assert response.body == b""
        return
    content_type = response.headers["content-type"]
    media = described["content"].get(content_type, described["content"].get("*/*"))
    assert media is not None
    if "schema" in media:
        check_value(response.json, media["schema"])


def check_value(value: Any, schema: dict[str, Any]) -> None:
    OAS31Validator(schema | {"components": document["components"]}).validate(value)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


@pytest.fixture
def server() -> Server:
    return Server(NodeSettings(size=3, max_message=100))


def test_answers_are_as_described(server: Server) -> None:
    """What the description promises is what comes."""

    def ask(method: str, path: str, target: str, body: bytes | None = None, **headers: str) -> Response:
        response = server.ask(method, target, body, headers)
        check(method, path, response)
        return response

    identity = ask("POST", "/push", "/push", b"a", **{"Idempotency-Key": "k"}).json["id"]
    assert ask("POST", "/push", "/push", b"a", **{"Idempotency-Key": "k"}).status == 200
    assert ask("POST", "/push", "/push", b"b", **{"Idempotency-Key": "k"}).status == 422
    assert ask("POST", "/push", "/push?x=1", b"a").status == 400
    assert ask("POST", "/push", "/push", b"a" * 101).status == 413
    batch = b'[{"text":"a"},{"text":"a","key":"k"},{"base64":"/w=="},{"text":"c"},{}]'
    assert len(ask("POST", "/push/batch", "/push/batch", batch).json) == 5
    assert ask("POST", "/push/batch", "/push/batch", b"{}").status == 400
    assert ask("POST", "/push", "/push", b"c").status == 429
    assert ask("POST", "/push/batch", "/push/batch", b'[{"text":"c"}]').status == 429
    assert ask("POST", "/push/batch", "/push/batch", b"[{}]").status == 400
    assert ask("POST", "/push", "/push", b"c", **{"Content-Encoding": "gzip"}).status == 415
    assert ask("POST", "/push", "/push", b"c", Origin="http://other").status == 403
    assert ask("GET", "/", "/").status == 200
    assert ask("GET", "/health", "/health").status == 200
    assert ask("GET", "/health/push", "/health/push").status == 503
    for name in ("live", "ready"):
        assert ask("GET", f"/health/{name}", f"/health/{name}").status == 200
    for path in ("/stats", "/openapi.json"):
        ask("GET", path, path)
    receipt = ask("GET", "/get", "/get").headers["dqtw-receipt"]
    inspect = "/messages/{message_id}"
    ask("GET", inspect, f"/messages/{identity}")
    for verb in ("touch", "nack"):
        assert ask("POST", f"/{verb}/{{receipt}}", f"/{verb}/{receipt}").status == 204
        assert ask("POST", f"/{verb}/{{receipt}}", f"/{verb}/x").status == 400
    assert ask("POST", "/touch/{receipt}", f"/touch/{receipt}").status == 410
    assert len(ask("POST", "/get/batch", "/get/batch?max=9").json) == 3
    assert ask("POST", "/get", "/get").status == 204
    assert ask("POST", "/ack/{receipt}", f"/ack/{receipt}").status == 204
    assert ask("POST", "/ack/{receipt}", f"/ack/{receipt}").status == 404
    assert ask("DELETE", inspect, f"/messages/{identity}").status == 404
    ask("POST", "/push", "/push", b"a")
    assert ask("POST", "/get", "/get?ack=now").status == 200
    ask("POST", "/push", "/push", b"a")
    assert len(ask("POST", "/get/batch", "/get/batch?max=9&ack=now").json) == 1
    acks = f'["{identity}", "x"]'.encode()
    assert [sorted(item) for item in ask("POST", "/ack/batch", "/ack/batch", acks).json] == [
        ["code", "detail", "ok"]
    ] * 2
