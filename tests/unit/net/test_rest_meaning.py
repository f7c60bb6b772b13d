"""Requests that mean something on which the API does not act: each is refused, and none is ignored in silence."""

import json

import pytest

from dqtw.core.model.settings import NodeSettings
from tests.unit.net.http_client import Response, Server

stranger = "other.01ARZ3NDEKTSV4RRFFQ69G5FAV.7"

routes = [
    ("POST", "/push"),
    ("POST", "/push/batch"),
    ("GET", "/get"),
    ("POST", "/get"),
    ("POST", "/get/batch?max=1"),
    ("POST", f"/ack/{stranger}"),
    ("POST", "/ack/batch"),
    ("POST", f"/nack/{stranger}.1"),
    ("POST", f"/touch/{stranger}.1"),
    ("DELETE", f"/messages/{stranger}"),
    ("GET", f"/messages/{stranger}"),
    ("GET", "/stats"),
    ("GET", "/health"),
    ("GET", "/health/live"),
    ("GET", "/openapi.json"),
    ("GET", "/"),
]
with_a_body = {"/push", "/push/batch", "/ack/batch"}
without_a_body = [(method, target) for method, target in routes if target not in with_a_body]


@pytest.fixture
def server() -> Server:
    server = Server()
    server.ask("POST", "/push", b"work")
    return server


def assert_refused(server: Server, response: Response, status: int = 400, code: str = "bad_request") -> None:
    """The refusal is as it should be, counted, and nothing was done."""
    assert (response.status, response.code) == (status, code)
    assert server.refused == {"http": {"refused": {code: 1}}}
    stats = server.driver.stats()
    assert (stats["queueSize"], stats["leased"]) == (1, 0)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity, gzip", "br", "aws-chunked", "utf-8"])
def test_an_encoded_body_is_not_stored_as_if_it_were_not(server: Server, coding: str) -> None:
    """A worker would get compressed bytes under the name of plain text."""
    response = server.ask("POST", "/push", b"x", {"Content-Encoding": coding, "Content-Type": "text/plain"})
    assert_refused(server, response, 415, "unsupported_encoding")
    assert response.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(("method", "target"), routes)
def test_an_encoded_body_is_refused_everywhere(server: Server, method: str, target: str) -> None:
    """On every route."""
    response = server.ask(method, target, b"[]", {"Content-Encoding": "deflate"})
    assert_refused(server, response, 415, "unsupported_encoding")


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_a_body_that_is_not_encoded_may_say_so(server: Server, coding: str) -> None:
    """It is taken as it is."""
    assert server.ask("POST", "/push", b"x", {"Content-Encoding": coding}).status == 201


def test_an_encoded_body_is_not_asked_for(server: Server) -> None:
    """A client that asks before it sends is told at once."""
    client = server.connect()
    head = (
        b"POST /push HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9\r\nContent-Encoding: gzip\r\n\r\n"
    )
    assert client.send(head).response().code == "unsupported_encoding"


@pytest.mark.parametrize(("method", "target"), [route for route in routes if route[1] != "/push"])
def test_a_key_where_it_means_nothing_is_refused(server: Server, method: str, target: str) -> None:
    """A client that repeats a batch is not left to believe that its key protects it."""
    response = server.ask(method, target, headers={"Idempotency-Key": "k"})
    assert_refused(server, response)
    place = 'in a batch each item has its own key, as "key"' if target == "/push/batch" else "POST /push"
    assert place in response.json["detail"]


@pytest.mark.parametrize(("method", "target"), without_a_body)
@pytest.mark.parametrize("body", [b"wait=10", b"{}", b'{"wait": 10}', b"\n", b"x" * 8192])
def test_a_body_where_it_means_nothing_is_refused(server: Server, method: str, target: str, body: bytes) -> None:
    """A client that sends its parameters as a form or as JSON learns where they belong."""
    client = server.connect()
    response = client.ask(method, target, body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert_refused(server, response)
    assert "no body" in response.json["detail"]
    if target == "/get":
        assert "(wait, lease, ack) belong in the query" in response.json["detail"]
    assert client.ask("GET", "/health/live").status == 200


@pytest.mark.parametrize(("method", "target"), without_a_body)
def test_an_empty_body_is_none(server: Server, method: str, target: str) -> None:
    """`curl -d ''` and `curl -X POST` are the same."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    responses = [server.ask(method, target, body, headers) for body in (b"", None)]
    assert all(response.status in (200, 204, 404, 503) for response in responses)


def test_a_chunked_body_where_it_means_nothing_is_refused(server: Server) -> None:
    """Also when its length is not told."""
    client = server.connect()
    client.send(b"POST /get HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nwait=1\r\n0\r\n\r\n")
    assert_refused(server, client.response())


@pytest.mark.parametrize(
    "header",
    [
        "If-Match: *",
        'If-None-Match: "x"',
        "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
        "Content-Range: bytes 0-3/9",
        "X-HTTP-Method-Override: DELETE",
        "X-Http-Method: DELETE",
        "X-Method-Override: PUT",
        "Expect: the-unexpected",
        "Dqtw-Lease: 5",
        "dqtw-queue: mail",
        "X-Idempotency-Key: k",
        "Idempotency_Key: k",
    ],
)
def test_a_header_on_which_nobody_acts_is_refused_by_name(server: Server, header: str) -> None:
    """A client that means it learns that it has no effect."""
    name, _, value = header.partition(": ")
    response = server.ask("POST", "/push", b"x", {name: value})
    assert_refused(server, response)
    assert name.lower() in response.json["detail"].lower()


@pytest.mark.parametrize(
    "header",
    [
        "Accept: application/xml",
        "Range: bytes=0-3",
        "Upgrade: h2c",
        "Cookie: a=b",
        "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
        "Prefer: respond-async",
        "Traceparent: 00-0-0-00",
        "X-Forwarded-For: 192.0.2.1",
        "Authorization: Bearer x",
    ],
)
def test_a_header_that_http_lets_a_server_ignore_is_ignored(server: Server, header: str) -> None:
    """Proxies and client libraries send many."""
    name, _, value = header.partition(": ")
    assert server.ask("POST", "/get", headers={name: value}).body == b"work"


def test_a_batch_in_another_character_encoding_is_refused(server: Server) -> None:
    """Its text would be read as other text."""
    headers = {"Content-Type": "application/json; charset=iso-8859-1"}
    assert_refused(server, server.ask("POST", "/push/batch", b'[{"text":"a"}]', headers), 415, "unsupported_encoding")


# What is counted


def test_what_is_refused_before_the_node_sees_it_is_counted_by_code() -> None:
    """An operator sees wrong clients, and the queue's own refusals apart from them."""
    server = Server(NodeSettings(size=1, max_message=4))
    for method, target, body in (
        ("POST", "/push?x=1", b""),
        ("POST", "/push", b"five5"),
        ("GET", "/nope", None),
        ("PUT", "/push", b""),
        ("GET", "/messages/%ff", None),
        ("POST", "/ack/x", None),
        ("POST", "/push/batch", b'[{"text": "a"}, {"text": "five5"}, {}]'),
    ):
        server.ask(method, target, body)
    server.connect().send(b"nonsense\r\n\r\n")
    assert server.ask("POST", "/push", b"b").code == "full"
    assert server.ask("POST", f"/ack/{stranger}").status in (404, 503)
    assert server.refused["http"]["refused"] == {
        "bad_request": 4,
        "framing": 1,
        "method_not_allowed": 1,
        "not_found": 1,
        "too_large": 2,
    }
    assert server.driver.stats()["refused"]["full"] == 1  # type: ignore[index]


def test_a_wrong_token_is_counted() -> None:
    """An operator sees that somebody tries tokens."""
    server = Server(authenticate=lambda token: token == b"good")
    server.ask("GET", "/stats")
    server.ask("GET", "/stats", headers={"Authorization": "Bearer bad"})
    assert server.ask("GET", "/health/live").status == 200
    assert server.refused == {"http": {"refused": {"unauthorized": 2}}}


def test_a_request_that_does_not_arrive_is_counted() -> None:
    """So are slow senders."""
    server = Server()
    server.connect().send(b"GET ")
    server.pass_time(12)
    assert server.refused == {"http": {"refused": {"request_timeout": 1}}}


@pytest.mark.parametrize("target", ["/get?lease=5&ack=now", "/get/batch?max=1&ack=now&lease=5"])
def test_a_lease_of_what_is_removed_at_delivery_is_refused(server: Server, target: str) -> None:
    """The client means one of the two, and only it knows which."""
    response = server.ask("POST", target)
    assert_refused(server, response)
    assert response.json["detail"].startswith("lease: with ack=now there is none")


def test_values_that_are_refused_are_shown() -> None:
    """A person sees at once what arrived."""
    server = Server()
    for target, value in (("/get?ack=later", "later"), ("/get/batch?max=5000", "5000"), ("/get?x%1b=1", "x\\x1b")):
        assert value in server.ask("POST", target).json["detail"]
    (item,) = server.ask("POST", "/push/batch", json.dumps([{"text": 7}]).encode()).json
    assert "7" in item["detail"]
    (item,) = server.ask("POST", "/push/batch", json.dumps([{"text": ["x"] * 9999}]).encode()).json
    assert len(item["detail"]) < 100
