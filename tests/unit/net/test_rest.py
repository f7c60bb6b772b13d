"""The REST door, rule by rule: a real node behind the real HTTP server, on connections in memory."""

import base64
import json
from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from dqtw.core.model.errors import Busy
from dqtw.core.model.settings import NodeSettings
from dqtw.net.http.limits import HttpLimits
from tests.unit.net.http_client import Response, Server

stranger = "other.01ARZ3NDEKTSV4RRFFQ69G5FAV.7"  # well formed, never given out


@pytest.fixture
def server() -> Server:
    return Server()


def push(server: Server, body: bytes = b"work", target: str = "/push", **headers: str) -> Response:
    return server.ask("POST", target, body, {name.replace("_", "-"): value for name, value in headers.items()})


def get_receipt(server: Server, target: str = "/get") -> str:
    response = server.ask("POST", target)
    assert response.status == 200
    return response.headers["dqtw-receipt"]


# Push


def test_push_is_answered_with_201_and_the_message_id(server: Server) -> None:
    """A client learns where its message is and how many nodes hold it."""
    response = push(server)
    assert (response.status, sorted(response.json)) == (201, ["copies", "id", "members"])
    assert response.headers["location"] == f"messages/{response.json['id']}"
    assert (response.json["copies"], response.json["members"]) == (1, 1)


def test_bodies_arrive_byte_for_byte(server: Server) -> None:
    """Whatever bytes a client pushes, a worker gets the same."""
    every_byte = bytes(range(256))
    push(server, every_byte)
    assert server.ask("POST", "/get").body == every_byte


def test_an_empty_body_is_a_message(server: Server) -> None:
    """A message may be nothing but the fact that it is there."""
    assert push(server, b"").status == 201
    response = server.ask("GET", "/get")
    assert (response.status, response.body, response.headers["content-length"]) == (200, b"", "0")


def test_a_push_without_content_length_has_an_empty_body(server: Server) -> None:
    """`curl -X POST /push` pushes an empty message."""
    assert server.ask("POST", "/push").status == 201
    assert server.ask("GET", "/get").body == b""


def test_a_form_is_no_form_but_bytes(server: Server) -> None:
    """`curl -d a=b` pushes the three bytes, and they mean no parameters."""
    response = push(server, b"wait=x", Content_Type="application/x-www-form-urlencoded")
    assert response.status == 201
    assert server.ask("GET", "/get").body == b"wait=x"


def test_a_chunked_body_arrives_whole(server: Server) -> None:
    """A client that does not know the length beforehand can push, too."""
    client = server.connect()
    client.send(b"POST /push HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(b"3\r\nabc\r\n").send(b"2\r\nde").send(b"\r\n0\r\n\r\n")
    assert client.response().status == 201
    assert server.ask("GET", "/get").body == b"abcde"


def test_a_body_in_many_pieces_arrives_whole(server: Server) -> None:
    """However the network cuts a body, it arrives as it was."""
    client = server.connect().send(b"POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
    for place in range(5):
        assert client.waiting
        client.send(b"abcde"[place : place + 1])
    assert client.response().status == 201
    assert server.ask("GET", "/get").body == b"abcde"


def test_content_type_is_kept_as_sent(server: Server) -> None:
    """The worker sees the very type that the client gave."""
    push(server, Content_Type='text/plain; charset="UTF-8"')
    assert server.ask("GET", "/get").headers["content-type"] == 'text/plain; charset="UTF-8"'


def test_without_a_content_type_a_message_is_an_octet_stream(server: Server) -> None:
    """Nothing is guessed from the bytes."""
    push(server, b"<html>")
    assert server.ask("GET", "/get").headers["content-type"] == "application/octet-stream"


def test_a_key_seen_before_is_answered_200_with_the_same_id(server: Server) -> None:
    """A retry does not push a second message."""
    first, again = push(server, Idempotency_Key="k"), push(server, Idempotency_Key="k")
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json | {"duplicate": True}
    assert again.headers["location"] == first.headers["location"]
    assert server.queue_size == 1


@pytest.mark.parametrize(
    ("quoted", "bare"), [('"k"', "k"), ('"a b"', "a b"), (r'"a\"b\\c"', r'a"b\c'), ('"schlüssel"', "schlüssel")]
)
def test_a_key_is_the_same_with_quotes_and_without(server: Server, quoted: str, bare: str) -> None:
    """A client library that follows the draft of the header and one that does not mean the same key."""
    first, again = push(server, Idempotency_Key=quoted), push(server, Idempotency_Key=bare)
    assert (again.status, again.json["id"]) == (200, first.json["id"])


@pytest.mark.parametrize("key", ['"', '""', '"a', '"a"b', '"a", "b"', r'"a\b"', '"a";b=1'])
def test_a_key_that_begins_with_a_quote_is_a_quoted_string(server: Server, key: str) -> None:
    """A key that could be read in two ways is refused, and shown."""
    response = push(server, Idempotency_Key=key)
    assert response.code == "bad_request"
    assert server.queue_size == 0


def test_a_key_seen_before_with_another_type_is_a_duplicate(server: Server) -> None:
    """The body alone decides; the message keeps the type that it came with."""
    push(server, Idempotency_Key="k", Content_Type="a/b")
    assert push(server, Idempotency_Key="k", Content_Type="c/d").json["duplicate"] is True
    assert server.ask("POST", "/get").headers["content-type"] == "a/b"


def test_a_key_seen_before_is_answered_also_when_the_queue_is_full() -> None:
    """A retry whose first try filled the queue is told that it is on it."""
    server = Server(NodeSettings(size=1))
    push(server, Idempotency_Key="k")
    assert push(server, Idempotency_Key="k").status == 200


def test_a_key_with_another_body_is_422_key_reused(server: Server) -> None:
    """A client that mixes up its keys is told so, instead of losing a message."""
    push(server, b"one", Idempotency_Key="k")
    response = push(server, b"two", Idempotency_Key="k")
    assert (response.status, response.code) == (422, "key_reused")


def test_a_key_is_utf_8(server: Server) -> None:
    """The same key through the line door is the same key."""
    push(server, Idempotency_Key="schlüssel")
    batch = server.ask("POST", "/push/batch", json.dumps([{"text": "work", "key": "schlüssel"}]).encode())
    assert batch.json[0]["duplicate"] is True


def test_a_full_queue_is_429_with_retry_after() -> None:
    """A client is told that there is no room, and when to ask again."""
    server = Server(NodeSettings(size=1))
    push(server)
    response = push(server)
    assert (response.status, response.code) == (429, "full")
    assert int(response.headers["retry-after"]) >= 1
    assert server.queue_size == 1


def test_push_waits_for_a_slot() -> None:
    """With ?wait= a client need not ask again and again."""
    server = Server(NodeSettings(size=1))
    first = push(server).json["id"]
    client = server.connect().start("POST", "/push?wait=5", b"second")
    assert client.waiting
    assert server.ask("DELETE", f"/messages/{first}").status == 204
    server.settle()
    assert client.response().status == 201


def test_a_push_that_waited_in_vain_is_full() -> None:
    """The wait ends when it should."""
    server = Server(NodeSettings(size=1))
    push(server)
    client = server.connect().start("POST", "/push?wait=2.5", b"second")
    server.pass_time(2.25)
    assert client.waiting
    server.pass_time(0.5)
    assert client.response().code == "full"


def test_a_push_that_waits_for_a_slot_is_withdrawn_when_its_client_goes() -> None:
    """A slot is not given to somebody who has left."""
    server = Server(NodeSettings(size=1))
    first = push(server).json["id"]
    server.connect().start("POST", "/push?wait=5", b"second").vanish()
    server.ask("DELETE", f"/messages/{first}")
    assert server.queue_size == 0


def test_a_push_under_way_goes_on_when_its_client_goes(server: Server) -> None:
    """A client that disconnects while it pushes does not cancel the push."""
    client = server.connect()
    client.transport.protocol.dataReceived(b"POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
    client.vanish()
    assert server.queue_size == 1


def test_too_few_peers_is_503_unreplicated() -> None:
    """A push that can't be copied is refused, and nothing is stored."""
    server = Server(NodeSettings(peers={"b": "http://b"}, copies=2, start_wait_s=1.0))
    for _ in range(40):
        server.clock.advance(0.25)
    response = push(server)
    assert (response.status, response.code) == (503, "unreplicated")
    assert int(response.headers["retry-after"]) >= 1
    assert server.queue_size == 0


def test_a_draining_node_refuses_pushes_with_503(server: Server) -> None:
    """A balancer moves its clients elsewhere."""
    server.driver.drain()
    response = push(server)
    assert (response.status, response.code) == (503, "draining")


# Get


def test_get_hands_out_the_oldest_message_with_its_delivery_in_headers(server: Server) -> None:
    """A worker gets the bytes as they are, and what it needs to acknowledge them."""
    identity = push(server).json["id"]
    response = server.ask("POST", "/get?lease=1.5")
    assert response.headers["dqtw-id"] == identity
    assert response.headers["dqtw-receipt"].startswith(identity + ".")
    assert (response.headers["dqtw-attempt"], response.headers["dqtw-lease"]) == ("1", "1.5")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_empty_queue_is_204(server: Server, method: str) -> None:
    """Nothing to do is no error."""
    response = server.ask(method, "/get")
    assert (response.status, response.body) == (204, b"")
    assert "content-type" not in response.headers


def test_get_waits_for_a_message(server: Server) -> None:
    """A worker learns of a message as soon as it is pushed."""
    worker = server.connect().start("GET", "/get?wait=20")
    assert worker.waiting
    push(server, b"late")
    assert worker.response().body == b"late"


@pytest.mark.parametrize(("asked", "lasts"), [("2", 2.0), ("0.5", 0.5), ("600", 30.0)])
def test_a_get_waits_no_longer_than_asked_and_at_most_30_seconds(server: Server, asked: str, lasts: float) -> None:
    """A proxy in front does not cut a poll off."""
    worker = server.connect().start("GET", f"/get?wait={asked}")
    server.pass_time(lasts - 0.25)
    assert worker.waiting
    server.pass_time(0.5)
    assert worker.response().status == 204


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("/get?lease=0", "lease: '0' is not greater than 0"),
        ("/get/batch?max=1&lease=43201", "lease: 43201 seconds are more than --max-lease, which is 43200"),
        ("/get?wait=1e400", "wait: '1e400' is not a number of seconds such as 30 or 0.25"),
    ],
)
def test_a_time_that_can_not_be_is_refused_with_its_bound(server: Server, query: str, why: str) -> None:
    response = server.ask("POST", query)
    assert (response.status, response.code) == (400, "bad_request")
    assert response.json["detail"].startswith(why)


def test_a_lease_that_ends_makes_the_message_ready_again(server: Server) -> None:
    """A worker that died does not take its message along."""
    push(server)
    server.ask("GET", "/get?lease=2")
    assert server.ask("GET", "/get").status == 204
    server.pass_time(2.25)
    assert server.ask("GET", "/get").headers["dqtw-attempt"] == "2"


def test_ack_now_removes_at_delivery(server: Server) -> None:
    """A worker that wants at most once gets it."""
    push(server)
    response = server.ask("GET", "/get?ack=now")
    assert response.body == b"work"
    assert {name for name in response.headers if name.startswith("dqtw-")} == {"dqtw-id", "dqtw-attempt"}
    assert server.queue_size == 0


def test_a_client_that_disconnects_while_it_polls_gets_nothing_leased(server: Server) -> None:
    """A message goes to a worker that is there."""
    worker = server.connect().start("GET", "/get?wait=20")
    worker.vanish()
    push(server)
    assert server.ask("GET", "/get").headers["dqtw-attempt"] == "1"


def test_a_delivery_whose_client_vanishes_in_the_same_turn_is_given_back(server: Server) -> None:
    """Not even in the moment between lease and answer is a message lost to nobody for a whole lease."""
    worker = server.connect().start("GET", "/get?wait=20")
    pusher = server.connect()
    pusher.transport.protocol.dataReceived(b"POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
    worker.vanish()  # the message is leased to it by now, the answer not yet written
    assert server.ask("GET", "/get").headers["dqtw-attempt"] == "1"


def test_head_never_leases(server: Server) -> None:
    """A prober that sends HEAD takes nothing away."""
    push(server)
    response = server.ask("HEAD", "/get")
    assert (response.status, response.body) == (204, b"")
    assert server.ask("GET", "/get").headers["dqtw-attempt"] == "1"


def test_a_message_is_nothing_a_browser_would_run(server: Server) -> None:
    """Whoever can push can't make an operator's browser run a script."""
    push(server, b"<script>", Content_Type="text/html")
    response = server.ask("GET", "/get")
    assert response.headers["content-security-policy"] == "sandbox"
    assert response.headers["x-content-type-options"] == "nosniff"


# Ack, nack, touch, inspect


@pytest.mark.parametrize("body", [None, b""])
def test_ack_by_receipt_removes_the_message(server: Server, body: bytes | None) -> None:
    """The work is done."""
    push(server)
    assert server.ask("POST", f"/ack/{get_receipt(server)}", body).status == 204
    assert server.queue_size == 0


def test_ack_by_id_works_also_when_the_lease_has_ended(server: Server) -> None:
    """A slow worker's work is done all the same."""
    identity = push(server).json["id"]
    server.ask("GET", "/get?lease=1")
    server.pass_time(1.5)
    assert server.ask("POST", f"/ack/{identity}").status == 204
    assert server.queue_size == 0


def test_delete_removes_the_message(server: Server) -> None:
    """Where an id is at hand, no delivery is needed."""
    identity = push(server).json["id"]
    assert server.ask("DELETE", f"/messages/{identity}").status == 204
    assert server.queue_size == 0


def test_a_percent_encoded_receipt_is_the_same_receipt(server: Server) -> None:
    """A client library that escapes dots still works."""
    push(server)
    assert server.ask("POST", "/ack/" + get_receipt(server).replace(".", "%2E")).status == 204


def test_delete_takes_no_receipt(server: Server) -> None:
    """A message's own path is its id."""
    push(server)
    response = server.ask("DELETE", f"/messages/{get_receipt(server)}")
    assert (response.status, response.code) == (400, "bad_request")


def test_an_ack_of_what_is_gone_is_404_unknown(server: Server) -> None:
    """The second ack is told that there is nothing to remove."""
    identity = push(server).json["id"]
    server.ask("POST", f"/ack/{identity}")
    response = server.ask("POST", f"/ack/{identity}")
    assert (response.status, response.code) == (404, "unknown")


@pytest.mark.parametrize("target", ["/ack/{}", "/nack/{}", "/touch/{}"])
@pytest.mark.parametrize("word", ["x", "..", "%00", "%E2%82%AC", "a.b.c", "x" * 4000, "node.%0d%0aX", "-1"])
def test_a_malformed_receipt_is_400(server: Server, target: str, word: str) -> None:
    """Nonsense in a path is told apart from a message that is gone."""
    response = server.ask("POST", target.format(word))
    assert (response.status, response.code) == (400, "bad_request")


@pytest.mark.parametrize("path", ["/messages/%ff", "/ack/a%2Fb", "/get%2Fbatch?max=1", "/%c3"])
def test_a_path_that_can_be_read_in_two_ways_is_400(server: Server, path: str) -> None:
    """A rule of a proxy on paths can't be walked around."""
    response = server.ask("POST", path)
    assert (response.status, response.code) == (400, "bad_request")


def test_nack_makes_the_message_ready_again_after_its_delay(server: Server) -> None:
    """A worker that can't do it now gives it back for later."""
    push(server)
    assert server.ask("POST", f"/nack/{get_receipt(server)}?delay=3").status == 204
    assert server.ask("GET", "/get").status == 204
    server.pass_time(3.25)
    assert server.ask("GET", "/get").headers["dqtw-attempt"] == "2"


def test_touch_starts_the_lease_anew(server: Server) -> None:
    """A worker that needs longer says so."""
    push(server)
    receipt = get_receipt(server, "/get?lease=2")
    server.pass_time(1.5)
    assert server.ask("POST", f"/touch/{receipt}").status == 204
    server.pass_time(1.5)
    assert server.ask("POST", f"/touch/{receipt}?lease=10").status == 204
    server.pass_time(9)
    assert server.ask("GET", "/get").status == 204


@pytest.mark.parametrize("verb", ["nack", "touch"])
def test_a_lease_that_has_ended_is_410_lease_lost(server: Server, verb: str) -> None:
    """A worker that was too slow is told that somebody else may be at it."""
    push(server)
    receipt = get_receipt(server, "/get?lease=1")
    server.pass_time(1.5)
    response = server.ask("POST", f"/{verb}/{receipt}")
    assert (response.status, response.code) == (410, "lease_lost")


@pytest.mark.parametrize("verb", ["nack", "touch"])
def test_a_lease_of_a_message_that_is_gone_is_404_unknown(server: Server, verb: str) -> None:
    """A worker is told that its message was removed."""
    push(server)
    receipt = get_receipt(server)
    server.ask("POST", f"/ack/{receipt}")
    assert server.ask("POST", f"/{verb}/{receipt}").code == "unknown"


def test_a_message_can_be_inspected(server: Server) -> None:
    """Anybody with the id can ask what became of a message."""
    identity = push(server, Content_Type="text/plain").json["id"]
    server.pass_time(2)
    told = server.ask("GET", f"/messages/{identity}").json
    assert 2 <= told.pop("age") < 3
    assert told == {"id": identity, "state": "ready", "attempts": 0, "bytes": 4, "type": "text/plain"}
    receipt = get_receipt(server)
    assert server.ask("GET", f"/messages/{identity}").json["state"] == "leased"
    server.ask("POST", f"/nack/{receipt}?delay=9")
    assert server.ask("GET", f"/messages/{identity}").json["state"] == "delayed"
    server.ask("DELETE", f"/messages/{identity}")
    assert server.ask("GET", f"/messages/{identity}").code == "unknown"


def test_a_message_of_an_owner_nobody_knows_is_refused(server: Server) -> None:
    """An id that was never given out is no defect of the server."""
    assert server.ask("GET", f"/messages/{stranger}").status in (404, 503)


# Batches


def ask_batch(server: Server, target: str, items: Any) -> Any:
    response = server.ask("POST", target, json.dumps(items).encode())
    assert response.status == 200
    return response.json


def test_a_batch_of_pushes_is_answered_in_its_order(server: Server) -> None:
    """Many messages, one request."""
    encoded = base64.b64encode(b"\xff\x00").decode()
    told = ask_batch(server, "/push/batch", [{"text": "ä", "type": "text/plain"}, {"base64": encoded}, {"text": ""}])
    assert [sorted(item) for item in told] == [["copies", "id", "members", "ok"]] * 3
    bodies = [server.ask("GET", "/get").body for _ in range(3)]
    assert bodies == ["ä".encode(), b"\xff\x00", b""]


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"text": "a", "base64": "YQ=="},
        {"text": 1},
        {"text": None},
        {"base64": "YQ"},
        {"base64": "Y Q=="},
        {"text": "a", "typo": "x"},
        {"text": "a", "key": ""},
        {"text": "a", "key": "x" * 256},
        {"text": "a", "type": "a\nb"},
        {"text": "\ud800"},
        {"text": "a", "key": "\udfff"},
        ["text"],
        "text",
        None,
        7,
    ],
)
def test_one_bad_item_does_not_fail_the_others(server: Server, bad: Any) -> None:
    """A defect in one message of many costs that one only."""
    told = ask_batch(server, "/push/batch", [{"text": "a"}, bad, {"text": "b"}])
    assert [item.get("code") for item in told] == [None, "bad_request", None]
    assert [item["ok"] for item in told] == [True, False, True]
    assert sorted(told[1]) == ["code", "detail", "ok"]
    assert server.queue_size == 2


def test_a_byte_order_mark_before_json_means_nothing(server: Server) -> None:
    """Some programs write one."""
    bom = b"\xef\xbb\xbf"
    (item,) = server.ask("POST", "/push/batch", bom + b'[{"text":"a"}]').json
    assert server.ask("POST", "/ack/batch", bom + json.dumps([item["id"]]).encode()).json == [{"ok": True}]


def test_a_batch_that_is_refused_whole_has_the_status_of_its_refusal() -> None:
    """A client that looks at the status alone does not take its messages for stored."""
    server = Server(NodeSettings(size=1, max_message=4))
    for items, status, code in (
        ([{}, {"x": 1}], 400, "bad_request"),
        ([{"text": "five5"}], 413, "too_large"),
        ([{"text": "a"}, {"text": "b"}], 200, None),
        ([{"text": "a"}, {"text": "b"}], 429, "full"),
        ([{"text": "a"}, {}], 200, "full"),
    ):
        response = server.ask("POST", "/push/batch", json.dumps(items).encode())
        assert response.status == status
        assert response.headers["content-type"] == "application/json"
        assert response.json[0].get("code") == code
        assert response.headers.get("retry-after") == ("1" if status == 429 else None)
    acks = server.ask("POST", "/ack/batch", json.dumps([f"{stranger}", "x"]).encode())
    assert [acks.status, *(item["ok"] for item in acks.json)] == [200, False, False]
    identity = server.ask("POST", "/get").headers["dqtw-id"]
    assert server.ask("POST", "/ack/batch", json.dumps([identity]).encode()).status == 200
    again = server.ask("POST", "/ack/batch", json.dumps([identity]).encode())
    assert (again.status, again.json[0]["code"]) == (404, "unknown")


def test_an_item_over_the_limit_is_that_items_too_large() -> None:
    """One message too large among many is refused alone."""
    server = Server(NodeSettings(max_message=4))
    told = ask_batch(server, "/push/batch", [{"text": "five5"}, {"text": "four"}])
    assert [item.get("code") for item in told] == ["too_large", None]


def test_a_batch_beyond_the_bound_fills_it_and_refuses_the_rest() -> None:
    """What fits is taken; each item is told its own truth."""
    server = Server(NodeSettings(size=2))
    told = ask_batch(server, "/push/batch", [{"text": str(n)} for n in range(4)])
    assert [item.get("code") for item in told] == [None, None, "full", "full"]


def test_a_key_twice_in_one_batch_is_a_duplicate(server: Server) -> None:
    """A retry within a batch is a retry."""
    first, again = ask_batch(server, "/push/batch", [{"text": "a", "key": "k"}] * 2)
    assert again == first | {"duplicate": True}


def test_a_batch_has_at_most_1000_items(server: Server) -> None:
    """A batch has a bound, and past it nothing is stored."""
    assert len(ask_batch(server, "/push/batch", [{"text": ""}] * 1000)) == 1000
    response = server.ask("POST", "/push/batch", json.dumps([{"text": ""}] * 1001).encode())
    assert (response.status, response.code) == (400, "bad_request")
    assert server.queue_size == 1000


@pytest.mark.parametrize("target", ["/push/batch", "/ack/batch"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"7",
        b"null",
        b"[",
        b"[NaN]",
        b"[Infinity]",
        b"\xff",
        b'[{"text": "a"}]x',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" + b"9" * 10_000 + b"]",
        '["a"]'.encode("utf-16"),
        b"\xef\xbb\xbf",
        b'[{"text": "a", "text": "b"}]',
        b"[" + b",".join(b'{"n%d": 1}' % n for n in range(1001)) + b"]",
        b"1e999",
    ],
    ids=range(17),
)
def test_a_body_that_is_no_json_array_is_400(server: Server, target: str, body: bytes) -> None:
    """Nonsense is refused, however deep it is nested."""
    response = server.ask("POST", target, body)
    assert (response.status, response.code) == (400, "bad_request")


@pytest.mark.parametrize("target", ["/push/batch", "/ack/batch"])
def test_an_empty_batch_is_answered_with_an_empty_array(server: Server, target: str) -> None:
    """Nothing to do is no error."""
    assert ask_batch(server, target, []) == []


def test_get_batch_brings_at_most_max_messages(server: Server) -> None:
    """A worker takes as many as it can do."""
    for body in (b"plain", "ä".encode(), b"\xff"):
        push(server, body, Content_Type="a/b")
    two = server.ask("POST", "/get/batch?max=2&lease=7").json
    assert [item["text"] for item in two] == ["plain", "ä"]
    assert sorted(two[0]) == ["attempt", "id", "lease", "receipt", "text", "type"]
    assert (two[0]["attempt"], two[0]["lease"], two[0]["type"]) == (1, 7, "a/b")
    (last,) = server.ask("POST", "/get/batch?max=2").json
    assert base64.b64decode(last["base64"]) == b"\xff"
    assert server.ask("POST", "/get/batch?max=2").json == []


def test_get_batch_waits_for_the_first_message(server: Server) -> None:
    """A batch can be polled for, too."""
    worker = server.connect().start("POST", "/get/batch?max=10&wait=5&ack=now")
    assert worker.waiting
    push(server)
    (item,) = worker.response().json
    assert sorted(item) == ["attempt", "id", "text", "type"]
    assert item["text"] == "work"
    assert server.queue_size == 0


@pytest.mark.parametrize("query", ["", "?max=0", "?max=1001", "?max=-1", "?max=1.0", "?max=", "?max=x", "?max=%D9%A1"])
def test_max_is_a_number_from_1_to_1000(server: Server, query: str) -> None:
    """A worker says how many it can take."""
    response = server.ask("POST", "/get/batch" + query)
    assert (response.status, response.code) == (400, "bad_request")
    assert "max" in response.json["detail"]


def test_ack_batch_takes_receipts_and_ids(server: Server) -> None:
    """Each removal is told on its own."""
    first, second = push(server).json["id"], push(server).json["id"]
    receipt = get_receipt(server)
    told = ask_batch(server, "/ack/batch", [receipt, second, first, "nonsense", 7, None])
    assert [item.get("code", item.get("ok")) for item in told] == [
        True, True, "unknown", "bad_request", "bad_request", "bad_request",
    ]  # fmt: skip
    assert server.queue_size == 0


def test_a_batch_goes_on_when_its_client_goes(server: Server) -> None:
    """A client that disconnects while it pushes a batch does not cancel the pushes."""
    client = server.connect()
    batch = b'[{"text":"a"},{"text":""}]'
    start = b"POST /push/batch HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(batch)
    client.transport.protocol.dataReceived(start + batch)
    client.vanish()
    assert server.queue_size == 2


# Health, stats, description


def test_health_says_whether_and_why(server: Server) -> None:
    """A balancer sees the status, an operator the reasons."""
    for check in ("live", "ready", "push"):
        response = server.ask("GET", f"/health/{check}")
        assert (response.status, response.json) == (
            200,
            {"ok": True, "reasons": [], "waiting_for": [], "in_session": 0, "copies": 1, "members": 1},
        )


def test_a_full_queue_takes_no_push_but_serves_gets() -> None:
    """A balancer may send pushes elsewhere, and gets still here."""
    server = Server(NodeSettings(size=1))
    push(server)
    response = server.ask("GET", "/health/push")
    assert (response.status, response.json["reasons"]) == (503, ["full"])
    assert int(response.headers["retry-after"]) >= 1
    assert server.ask("GET", "/health/ready").status == 200


def test_a_draining_node_is_live_but_not_ready(server: Server) -> None:
    """A balancer stops sending before anything is refused."""
    server.driver.drain()
    assert server.ask("GET", "/health/live").status == 200
    assert server.ask("GET", "/health/ready").json["reasons"] == ["draining"]


def test_health_as_a_whole_is_for_people() -> None:
    """It says what each check would, and its status is that of a process that answers."""
    server = Server(NodeSettings(size=1))
    push(server)
    response = server.ask("GET", "/health")
    assert response.status == 200
    assert {name: check["ok"] for name, check in response.json.items()} == {"live": True, "ready": True, "push": False}
    assert response.json["push"] == server.ask("GET", "/health/push").json


def test_the_root_says_what_this_is(server: Server) -> None:
    """A person with a browser, and a program, find the description; also behind a path prefix."""
    document = server.ask("GET", "/").json
    assert document["name"] == "dqtw"
    for name in ("openapi", "health", "stats"):
        assert server.ask("GET", "/" + document[name]).status == 200


def test_stats_are_json(server: Server) -> None:
    """An operator sees what is on the queue."""
    push(server)
    response = server.ask("GET", "/stats")
    assert (response.headers["content-type"], response.json["queueSize"]) == ("application/json", 1)


def test_the_description_is_served(server: Server) -> None:
    """A program can learn what the door speaks."""
    assert server.ask("GET", "/openapi.json").json["openapi"] == "3.1.0"


# Every request


@pytest.mark.parametrize(
    ("method", "target", "named"),
    [
        ("POST", "/push?wiat=1", "wiat"),
        ("GET", "/?x=1", "x"),
        ("GET", "/health?x=1", "x"),
        ("GET", "/get?max=1", "max"),
        ("POST", "/get?lease=1&a%20b=", "a b"),
        ("POST", "/push/batch?wait=1", "wait"),
        ("POST", f"/ack/{stranger}?now=1", "now"),
        ("DELETE", f"/messages/{stranger}?x", "x"),
        ("GET", f"/messages/{stranger}?x", "x"),
        ("POST", f"/nack/{stranger}.1?lease=1", "lease"),
        ("POST", f"/touch/{stranger}.1?delay=1", "delay"),
        ("GET", "/stats?pretty", "pretty"),
        ("GET", "/health/live?x=1", "x"),
        ("GET", "/openapi.json?x=1", "x"),
        ("HEAD", "/get?x=1", ""),
    ],
)
def test_an_unknown_query_parameter_is_400_and_named(server: Server, method: str, target: str, named: str) -> None:
    """A typing error is not silently ignored."""
    response = server.ask(method, target)
    assert response.status == 400
    assert named in response.body.decode()


@pytest.mark.parametrize("query", ["wait=1&wait=1", "lease=1&lease=2", "ack=now&ack=now", "wait=1&w%61it=2"])
def test_a_repeated_query_parameter_is_400(server: Server, query: str) -> None:
    """Which of the two was meant can't be known."""
    assert server.ask("POST", f"/get?{query}").code == "bad_request"


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e3", "", "+1", "0x1", "1,5", ".5", "1.", "%D9%A1", "9" * 33])
@pytest.mark.parametrize("name", ["wait", "lease"])
def test_seconds_are_decimal_and_not_negative(server: Server, name: str, value: str) -> None:
    """A number that can't be meant is refused, and its parameter named."""
    response = server.ask("GET", f"/get?{name}={value}")
    assert response.code == "bad_request"
    assert name in response.json["detail"]


@pytest.mark.parametrize("value", ["", "later", "NOW", "true"])
def test_ack_can_only_be_now(server: Server, value: str) -> None:
    """A worker does not get another guarantee than it thinks."""
    response = server.ask("GET", f"/get?ack={value}")
    assert response.code == "bad_request"
    assert repr(value) in response.json["detail"]


@pytest.mark.parametrize(
    "header",
    [
        "Idempotency-Key: a\r\nIdempotency-Key: a",
        "Content-Type: a/b\r\nContent-Type: a/b",
        "Idempotency-Key:",
        "Content-Type:",
        "Content-Type: ä",
        "Idempotency-Key: " + "x" * 256,
    ],
)
def test_a_header_that_is_repeated_or_no_value_is_400(server: Server, header: str) -> None:
    """A key or a type that could be read in two ways is refused."""
    client = server.connect()
    client.send(f"POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n{header}\r\n\r\n".encode())
    assert client.response().code == "bad_request"


def test_a_key_that_is_not_utf_8_is_400(server: Server) -> None:
    """A key is text."""
    client = server.connect()
    client.send(b"POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nIdempotency-Key: \xff\r\n\r\n")
    assert client.response().code == "bad_request"


@pytest.mark.parametrize(
    "target", ["/nope", "/push/", "//push", "/get//batch", "/get/", "/health/", "/health/x", "/PUSH", "/index.html"]
)
def test_an_unknown_path_is_404_as_a_problem(server: Server, target: str) -> None:
    """No page, no redirect: a program can read it."""
    response = server.ask("POST", target)
    assert (response.status, response.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("/ack", "a receipt is missing"),
        ("/ack/", "a receipt is missing"),
        ("/nack/?delay=1", "a receipt is missing"),
        ("/touch/", "a receipt is missing"),
        ("/messages/", "a message id is missing"),
        ("/messages", "a message id is missing"),
    ],
)
def test_a_path_without_its_receipt_is_400(server: Server, target: str, hint: str) -> None:
    """A shell script with an empty variable learns what is wrong."""
    response = server.ask("POST", target)
    assert (response.status, response.code) == (400, "bad_request")
    assert hint in response.json["detail"]


@pytest.mark.parametrize(("target", "hint"), [("/push/", "slash"), ("/nope", "'/nope'")])
def test_an_unknown_path_is_shown_with_a_hint(server: Server, target: str, hint: str) -> None:
    """A typing error is easy to see."""
    assert hint in server.ask("POST", target, b"body").json["detail"]


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("GET", "/push", "OPTIONS, POST"),
        ("PUT", "/get", "GET, HEAD, OPTIONS, POST"),
        ("HEAD", "/get/batch", "OPTIONS, POST"),
        ("POST", f"/messages/{stranger}", "DELETE, GET, HEAD, OPTIONS"),
        ("BREW", "/stats", "GET, HEAD, OPTIONS"),
    ],
)
def test_another_method_is_405_with_allow(server: Server, method: str, target: str, allow: str) -> None:
    """A client learns what the path does take."""
    response = server.ask(method, target)
    assert (response.status, response.headers["allow"]) == (405, allow)
    if method != "HEAD":
        assert response.code == "method_not_allowed"
        assert "OPTIONS" not in response.json["detail"]


@pytest.mark.parametrize(
    ("target", "allow"),
    [("/push", "OPTIONS, POST"), ("/get", "GET, HEAD, OPTIONS, POST"), ("*", "DELETE, GET, HEAD, OPTIONS, POST")],
)
def test_options_is_answered_with_allow(server: Server, target: str, allow: str) -> None:
    """Asking what can be done does nothing."""
    response = server.ask("OPTIONS", target)
    assert (response.status, response.headers["allow"]) == (204, allow)


@pytest.mark.parametrize("target", ["/stats", "/health/ready", "/openapi.json"])
def test_head_tells_what_get_would(server: Server, target: str) -> None:
    """Same headers, no body."""
    whole, head = server.ask("GET", target), server.ask("HEAD", target)
    assert (head.status, head.body) == (whole.status, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert head.headers["content-length"] == str(len(whole.body))


def test_a_defect_is_a_500_problem_without_details(
    server: Server, monkeypatch: pytest.MonkeyPatch, logged_failures: list[LogEvent]
) -> None:
    """A client sees no traceback; the log does."""

    def fails() -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(server.driver, "stats", fails)
    client = server.connect()
    response = client.ask("GET", "/stats")
    assert (response.status, response.code) == (500, "internal")
    assert b"secret" not in response.body
    assert [event["log_failure"].type for event in logged_failures] == [RuntimeError]
    logged_failures.clear()
    assert client.ask("GET", "/health/live").status == 200


def test_no_request_is_logged(server: Server) -> None:
    """The log is for events of the life cycle, never for messages."""
    events: list[LogEvent] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        events.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        push(server)
        server.ask("GET", "/get")
        server.ask("GET", "/nope")
        server.ask("GET", "/messages/%ff")
        server.connect().send(b"nonsense\r\n\r\n")
        server.connect().vanish()
    finally:
        globalLogPublisher.removeObserver(observe)
    assert events == []


def test_a_busy_node_is_503(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on waiting requests is told as such."""
    server = Server(NodeSettings(max_waiting=1))
    server.connect().start("GET", "/get?wait=9")
    response = server.ask("GET", "/get?wait=9")
    assert (response.status, response.code) == (503, Busy.code)


# Tokens


@pytest.fixture
def guarded() -> Server:
    return Server(authenticate=lambda token: token == b"s3cret", limits=HttpLimits())


def test_a_token_lets_in(guarded: Server) -> None:
    """The scheme is read in any case."""
    for value in ("Bearer s3cret", "bearer s3cret", "BEARER  s3cret"):
        assert guarded.ask("GET", "/stats", headers={"Authorization": value}).status == 200


@pytest.mark.parametrize("value", [None, "Bearer wrong", "Bearer", "Basic s3cret", "s3cret", "Bearer s3cret x"])
@pytest.mark.parametrize("target", ["/stats", "/get", "/nope", "/healthy", "/openapi.json.x", "/health/x"])
def test_without_a_good_token_everything_is_401(guarded: Server, target: str, value: str | None) -> None:
    """Not even which paths exist is told."""
    response = guarded.ask("GET", target, headers={"Authorization": value} if value is not None else {})
    assert (response.status, response.code) == (401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("target", ["/", "/health", "/health/live", "/health/ready", "/health/push", "/openapi.json"])
def test_health_and_description_need_no_token(guarded: Server, target: str) -> None:
    """A balancer has no token."""
    assert guarded.ask("GET", target).status == 200


def test_a_stranger_can_not_make_the_server_read_a_body(guarded: Server) -> None:
    """Who may not push is refused before the body is sent."""
    client = guarded.connect()
    client.send(b"POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
    assert client.response().code == "unauthorized"
