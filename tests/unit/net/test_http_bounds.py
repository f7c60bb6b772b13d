"""What a client may cost: bodies, heads, time, connections, unread answers. Raw bytes into the real server."""

import gc

import pytest

from dqtw.core.model.settings import NodeSettings
from dqtw.net.http.limits import HttpLimits
from tests.unit.net.http_client import HttpClient, Server

head = b"POST /push HTTP/1.1\r\nHost: h\r\n"


@pytest.fixture
def server() -> Server:
    return Server(NodeSettings(max_message=1000))


def refused(client: HttpClient) -> tuple[int, str]:
    """The last answer of a connection; nothing may come after it."""
    response = client.response()
    assert response.headers["connection"] == "close"
    status, code = response.status, response.code
    assert client.closed
    return status, code


# Bodies


def test_a_body_over_the_limit_is_refused_at_its_content_length(server: Server) -> None:
    """A client learns that its message is too large before it has sent it."""
    client = server.connect().send(head + b"Content-Length: 1001\r\n\r\n")
    assert refused(client) == (413, "too_large")


def test_a_body_at_the_limit_is_taken(server: Server) -> None:
    """The limit itself is allowed."""
    client = server.connect().send(head + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000)
    assert client.response().status == 201


def test_expect_is_answered_with_413_instead_of_100(server: Server) -> None:
    """Curl asks first with a large body, and never sends it."""
    client = server.connect().send(head + b"Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
    assert refused(client) == (413, "too_large")


def test_expect_is_answered_with_100_when_the_body_may_come(server: Server) -> None:
    """A client that asks first is told to go on."""
    client = server.connect().send(head + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert client.response().status == 100
    assert client.send(b"abc").response().status == 201


def test_a_chunked_body_is_refused_as_soon_as_it_is_over_the_limit(server: Server) -> None:
    """Nobody can fill the memory with a body whose length is not told."""
    client = server.connect().send(head + b"Transfer-Encoding: chunked\r\n\r\n")
    client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    assert client.waiting
    client.send(b"1\r\nx\r\n1\r\nx\r\n0\r\n\r\n")
    assert refused(client) == (413, "too_large")
    assert server.queue_size == 0


def test_a_huge_chunk_is_refused_before_it_is_whole(server: Server) -> None:
    """A chunk is not gathered in memory before it is looked at."""
    client = server.connect().send(head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n" + b"x" * 1001)
    assert refused(client) == (413, "too_large")


@pytest.mark.parametrize("digits", ["9" * 17, "9" * 19, "9" * 5000, "0" * 5000])
def test_a_length_with_many_digits_is_refused(server: Server, digits: str) -> None:
    """No number is too long to be refused properly."""
    client = server.connect().send(head + f"Content-Length: {digits}\r\n\r\n".encode())
    assert refused(client) == (413, "too_large")


@pytest.mark.parametrize(
    "target", ["/get", "/ack/x", "/nack/x", "/touch/x", "/get/batch?max=1", "/nope", "/stats", "/%70ush/x"]
)
def test_where_a_body_means_nothing_it_must_be_small(server: Server, target: str) -> None:
    """A body that would be ignored is not read for long."""
    client = server.connect().send(f"POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 8193\r\n\r\n".encode())
    assert refused(client) == (413, "too_large")


def test_a_batch_may_be_larger_than_one_message_but_is_bounded(server: Server) -> None:
    """A batch has its own limit."""
    most = 1000 * 4 // 3 + 1024 * 1024
    for target in ("/push/batch", "/ack/batch"):
        start = f"POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: "
        client = server.connect().send(f"{start}{most + 1}\r\n\r\n".encode())
        assert refused(client) == (413, "too_large")
        body = b"[]" + b" " * (most - 2)
        client = server.connect().send(f"{start}{most}\r\n\r\n".encode()).send(body)
        assert client.response().status == 200


def test_all_bodies_on_their_way_are_bounded_together() -> None:
    """Many connections can't fill the memory together, and the others go on."""
    server = Server(limits=HttpLimits(received_bytes_max=1000, free_body_bytes=0))
    half = head + b"Content-Length: 900\r\n\r\n" + b"x" * 600
    first, second = server.connect().send(half), server.connect().send(half)
    assert refused(second) == (503, "busy")
    assert first.send(b"x" * 300).response().status == 201
    third = server.connect().send(half)
    assert third.waiting
    third.vanish()
    assert server.connect().send(half).waiting


def test_bodies_count_until_their_requests_are_answered() -> None:
    """Pushes that wait for a slot can't fill the memory, either."""
    server = Server(NodeSettings(size=1), HttpLimits(received_bytes_max=1000, free_body_bytes=0))
    first = server.ask("POST", "/push", b"").json["id"]
    waiting = server.connect().start("POST", "/push?wait=9", b"x" * 600)
    assert server.ask("POST", "/push", b"x" * 600).code == "busy"
    server.ask("DELETE", f"/messages/{first}")
    assert waiting.response().status == 201
    assert server.ask("POST", "/push", b"x" * 600).code == "full"


def test_small_requests_pass_where_large_ones_do_not() -> None:
    """Producers who wait with large bodies do not keep workers from their acknowledgements."""
    server = Server(limits=HttpLimits(received_bytes_max=1000, free_body_bytes=100))
    client = server.connect().send(head + b"Content-Length: 1101\r\n\r\n" + b"x" * 50)
    client.send(b"x" * 1050)
    assert client.waiting
    assert server.ask("POST", "/ack/batch", b"[]" + b" " * 98).status == 200
    assert refused(server.connect().send(head + b"Content-Length: 101\r\n\r\n" + b"x" * 101)) == (503, "busy")
    assert client.send(b"x").response().code == "busy"


def test_a_client_that_is_refused_may_send_on_for_a_while(server: Server) -> None:
    """The answer is not lost to a reset because the client was still sending."""
    client = server.connect().send(head + b"Content-Length: 1001\r\n\r\n")
    for _ in range(10):
        client.send(b"x" * 65536)
    assert refused(client) == (413, "too_large")
    assert not client.transport.gone
    client.end()
    server.settle()
    assert client.transport.disconnecting


def test_a_client_that_is_refused_and_does_not_stop_is_cut_off(server: Server) -> None:
    """Patience ends."""
    client = server.connect().send(head + b"Content-Length: 1001\r\n\r\n")
    server.pass_time(5)
    client.send(b"x")
    server.pass_time(2)
    assert client.transport.aborted
    assert server.site.connection_count == 0


def test_a_refusal_over_tls_does_not_break_its_records(server: Server) -> None:
    """Under TLS the connection below is not half closed."""
    client = server.connect(tls=True).send(head + b"Content-Length: 1001\r\n\r\n")
    assert client.response().code == "too_large"
    assert not client.transport.half_closing
    server.pass_time(6.5)
    assert client.transport.gone


# Heads


def request(*lines: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b""])


get = b"GET /stats HTTP/1.1"


@pytest.mark.parametrize(
    "raw",
    [
        request(get),
        request(get, b"Host: a", b"Host: a"),
        request(get, b"Host: a/b"),
        request(get, b"Host: a b"),
        request(get, b"Host: h", b"A: b", b" folded"),
        request(get, b"Host: h", b"A: b", b"\tfolded"),
        request(get, b" Host: h"),
        request(get, b"Host: h", b"A : b"),
        request(get, b"Host: h", b"no colon"),
        request(get, b"Host: h", b": nameless"),
        request(get, b"Host: h", b"A: b\x00c"),
        request(get, b"Host: h", b"A: b\nC: d"),
        request(get, b"Host: h", b"A: b\rC: d"),
        request(get, b"Host: h", b"A: \x1b[31m"),
        request(get, b"Host: h", b"A\xff: b"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Transfer-Encoding: chunked", b"Content-Length: 3"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Transfer-Encoding: identity", b"Content-Length: 3"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Transfer-Encoding: identity"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Transfer-Encoding: gzip, chunked"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Transfer-Encoding: xchunked"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        request(b"POST /push HTTP/1.0", b"Host: h", b"Transfer-Encoding: chunked"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Content-Length: 3", b"Content-Length: 3"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Content-Length: 3, 3"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Content-Length: +3"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Content-Length: -3"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Content-Length: 0x3"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Content-Length: 3_0"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Content-Length:"),
        request(b"POST /push HTTP/1.1", b"Host: h", b"Content-Length: \xd9\xa3"),
        request(b"GET /stats", b"Host: h"),
        request(b"GET /stats HTTP/0.9", b"Host: h"),
        request(b"GET /stats HTTP/2.0", b"Host: h"),
        request(b"GET /stats http/1.1", b"Host: h"),
        request(b"GET  /stats HTTP/1.1", b"Host: h"),
        request(b"GET /st ats HTTP/1.1", b"Host: h"),
        request(b"GET /st\x7fats HTTP/1.1", b"Host: h"),
        request(b"GET /st\x80ats HTTP/1.1", b"Host: h"),
        request(b"GET * HTTP/1.1", b"Host: h"),
        request(b"GET /stats#part HTTP/1.1", b"Host: h"),
        request(b"GET stats HTTP/1.1", b"Host: h"),
        request(b"GET ftp://h/stats HTTP/1.1", b"Host: h"),
        request(b"GET http:///stats HTTP/1.1", b"Host: h"),
        request(b"CONNECT h:80 HTTP/1.1", b"Host: h"),
        request(b"G@T /stats HTTP/1.1", b"Host: h"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=range(48),
)
def test_a_head_that_can_be_read_in_two_ways_is_400_and_closes(server: Server, raw: bytes) -> None:
    """What a proxy in front might read differently is refused, and what follows is no request."""
    client = server.connect().send(raw + request(get, b"Host: h"))
    assert refused(client) == (400, "framing")
    assert server.queue_size == 0


@pytest.mark.parametrize(
    "body", [b"x\r\n", b"-1\r\n", b"0x3\r\nabc\r\n", b"3\r\nabcd\r\n", b"3;\x00\r\nabc\r\n", b"1" * 2000]
)
def test_a_chunk_that_is_none_is_400_and_closes(server: Server, body: bytes) -> None:
    """A broken chunk ends the connection, for the next request can't be found."""
    client = server.connect().send(head + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert refused(client) == (400, "framing")


@pytest.mark.parametrize("target", ["http://h/stats", "HTTP://other:80/stats", "https://h/stats", "http://h?x"])
def test_an_absolute_target_means_its_path(server: Server, target: str) -> None:
    """A client that thinks we are a proxy is served all the same."""
    response = server.ask("GET", target)
    assert response.status == (400 if target.endswith("?x") else 200)


def test_a_host_can_be_any_where_others_may_connect(server: Server) -> None:
    """Whatever name a balancer has for this server, it does not matter."""
    for host in ("", "[::1]:8080", "xn--nonsense-", "-..-", "a" * 300, "%00"):
        client = server.connect().send(request(get, b"Host: " + host.encode()))
        assert client.response().status == 200


def test_http_1_0_needs_no_host_and_closes(server: Server) -> None:
    """An old balancer's probe is answered."""
    client = server.connect().send(request(b"GET /health/live HTTP/1.0"))
    assert client.response().status == 200
    assert client.closed


def test_a_request_line_without_end_is_414(server: Server) -> None:
    """A line is not gathered for ever."""
    client = server.connect()
    for _ in range(4):
        client.send(b"G" * 4096)
    assert refused(client) == (414, "framing")


def test_a_header_line_without_end_is_431(server: Server) -> None:
    """A header is not gathered for ever."""
    client = server.connect().send(get + b"\r\nHost: h\r\nA: ")
    for _ in range(4):
        client.send(b"b" * 4096)
    assert refused(client) == (431, "framing")


def test_a_long_complete_line_is_414_or_431(server: Server) -> None:
    """The limit on a line is one, whether its end has come or not."""
    long = b"x" * 9000
    assert refused(server.connect().send(request(b"GET /" + long + b" HTTP/1.1", b"Host: h"))) == (414, "framing")
    assert refused(server.connect().send(request(get, b"Host: h", b"A: " + long))) == (431, "framing")


def test_too_many_headers_are_431(server: Server) -> None:
    """The number of headers is bounded."""
    most = [b"X: y"] * 99
    assert server.connect().send(request(get, b"Host: h", *most)).response().status == 200
    assert refused(server.connect().send(request(get, b"Host: h", *most, b"X: y"))) == (431, "framing")


def test_headers_too_long_together_are_431(server: Server) -> None:
    """So is their total."""
    lines = [b"X: " + b"y" * 500] * 40
    assert refused(server.connect().send(request(get, b"Host: h", *lines))) == (431, "framing")


def test_a_refusal_of_head_has_no_body(server: Server) -> None:
    """A HEAD is answered without a body, a bad one too."""
    client = server.connect().send(request(b"HEAD /stats HTTP/1.1"))
    client.methods.append(b"HEAD")
    assert client.response().status == 400
    assert client.closed


# Time


def test_a_head_that_trickles_in_is_408(server: Server) -> None:
    """A slow sender can't hold a connection with a byte now and then."""
    client = server.connect()
    for byte in b"GET /stats"[:9]:
        client.send(bytes([byte]))
        server.pass_time(1)
    assert client.waiting
    client.send(b"s")
    server.pass_time(3)
    assert refused(client) == (408, "request_timeout")


def test_a_head_behind_another_request_is_408_in_its_time(server: Server) -> None:
    """A request that was sent ahead has no more time than others."""
    client = server.connect().send(request(get, b"Host: h") + b"GET /stats HTTP/1.1\r\n")
    assert client.response().status == 200
    server.pass_time(12)
    assert refused(client) == (408, "request_timeout")


def test_a_large_body_that_keeps_coming_has_the_time_it_needs() -> None:
    """A slow line is no stalled line: what has arrived counts for the time that it may have taken."""
    server = Server()
    client = server.connect().send(head + b"Content-Length: 1048576\r\n\r\n")
    for _ in range(64):
        server.pass_time(1)
        client.send(b"x" * 16384)
    assert client.response().status == 201


def test_a_large_body_that_stalls_is_408() -> None:
    """What has arrived counts once."""
    server = Server()
    client = server.connect().send(head + b"Content-Length: 1048576\r\n\r\n" + b"x" * 163840)
    server.pass_time(69)
    assert client.waiting
    server.pass_time(3)
    assert refused(client) == (408, "request_timeout")


def test_a_body_that_trickles_in_is_408(server: Server) -> None:
    """The time for the whole request is counted from its first byte."""
    client = server.connect().send(head)
    server.pass_time(5)
    client.send(b"Content-Length: 100\r\n\r\n")
    for _ in range(54):
        server.pass_time(1)
        client.send(b"x")
    assert client.waiting
    server.pass_time(2.5)
    assert refused(client) == (408, "request_timeout")
    assert server.queue_size == 0


def test_an_idle_connection_is_closed_without_a_word(server: Server) -> None:
    """A connection that nobody uses does not stay for ever, one that was used neither."""
    fresh, used = server.connect(), server.connect()
    server.pass_time(30)
    assert used.ask("GET", "/stats").status == 200
    server.pass_time(44)
    assert not fresh.closed
    server.pass_time(2.5)
    assert fresh.closed
    assert not used.closed
    server.pass_time(30)
    assert used.closed


def test_a_long_poll_is_not_taken_for_an_idle_connection(server: Server) -> None:
    """Waiting is no idling."""
    limits = HttpLimits(idle_seconds_max=5, request_seconds_max=5, head_seconds_max=5)
    server = Server(limits=limits)
    client = server.connect().start("GET", "/get?wait=20")
    server.pass_time(20.5)
    assert client.response().status == 204
    assert not client.closed


def test_the_idle_limit_is_told_in_keep_alive() -> None:
    """A client that keeps connections knows for how long, unless its connection ends here."""
    server = Server(limits=HttpLimits(idle_seconds_max=7.5))
    client = server.connect()
    assert client.ask("GET", "/stats").headers["keep-alive"] == "timeout=7"
    assert "keep-alive" not in client.ask("GET", "/stats", headers={"Connection": "close"}).headers
    assert "keep-alive" not in server.connect().send(request(b"GET /stats HTTP/1.0")).response().headers
    polling = server.connect().start("GET", "/get?wait=5")
    server.site.drain()
    server.pass_time(5.5)
    assert "keep-alive" not in polling.response().headers


def test_without_connections_no_timer_is_left(server: Server) -> None:
    """A server that does nothing costs nothing."""
    server.connect().vanish()
    assert server.clock.getDelayedCalls() == []


# Connections


full_limits = HttpLimits(connections_max=2, refused_connections_max=2)


def full_server() -> Server:
    """A server that has as many connections as it may."""
    server = Server(limits=full_limits)
    for _ in range(full_limits.connections_max):
        server.connect()
    return server


@pytest.mark.parametrize(
    "raw",
    [request(get, b"Host: h"), head + b"Content-Length: 9\r\n\r\n", request(b"GET /healthy HTTP/1.1", b"Host: h")],
)
def test_one_connection_too_many_is_503_busy_and_closed(raw: bytes) -> None:
    """A client learns that there is no room, and the others go on."""
    server = full_server()
    assert refused(server.connect().send(raw)) == (503, "busy")
    assert server.clients[0].ask("GET", "/stats").status == 200
    server.clients[1].vanish()
    assert server.connect().send(request(get, b"Host: h")).response().status == 200


def test_a_connection_too_many_is_served_if_another_has_closed_meanwhile() -> None:
    """A server that has room again does not say that it has none."""
    server = full_server()
    late, later = server.connect(), server.connect()
    server.clients[0].vanish()
    assert late.ask("GET", "/stats").status == 200
    assert late.ask("GET", "/stats").status == 200
    assert refused(later.send(request(get, b"Host: h"))) == (503, "busy")
    assert server.site.connection_count == 3


@pytest.mark.parametrize("check", ["live", "ready", "push"])
def test_health_is_answered_at_the_limit_of_connections(check: str) -> None:
    """A crowd of clients does not make an orchestrator think that the process is dead."""
    server = full_server()
    client = server.connect()
    response = client.ask("GET", f"/health/{check}")
    assert (response.status, response.json["ok"], response.headers["connection"]) == (200, True, "close")
    assert client.closed


def test_health_is_answered_at_the_limit_while_the_node_drains() -> None:
    """A balancer learns that the node leaves, however many clients it has."""
    server = full_server()
    server.driver.drain()
    assert server.ask("GET", "/health/ready").json["reasons"] == ["draining"]
    assert server.ask("GET", "/health/live").status == 200


def test_a_connection_too_many_that_sends_nothing_is_busy_in_time() -> None:
    """It has no more time than a head may take, and a byte now and then gains none."""
    server = full_server()
    silent, trickling = server.connect(), server.connect()
    for byte in b"GET /heal":
        server.pass_time(1)
        trickling.send(bytes([byte]))
    assert silent.waiting
    assert trickling.waiting
    server.pass_time(2.5)
    assert refused(silent) == (503, "busy")
    assert refused(trickling) == (503, "busy")


def test_the_newest_of_too_many_connections_is_the_one_that_is_heard() -> None:
    """Clients that connect and send nothing can't keep a health check from its answer."""
    server = full_server()
    oldest, newer = server.connect(), server.connect()
    assert server.connect().ask("GET", "/health/live").status == 200
    assert oldest.transport.aborted
    assert not newer.transport.aborted
    assert server.site.connection_count <= 4
    assert server.clients[0].ask("GET", "/stats").json["listeners"] == {"http": {"refused": {"busy": 1}}}


def test_requests_on_one_connection_are_answered_in_their_order(server: Server) -> None:
    """A client may send the next request before the answer to the last."""
    client = server.connect()
    client.send(request(b"GET /get?wait=5 HTTP/1.1", b"Host: h") + request(get, b"Host: h") * 2)
    assert client.waiting
    assert server.ask("POST", "/push", b"late").status == 201
    assert client.response().body == b"late"
    assert [client.response().json["leased"] for _ in range(2)] == [1, 1]


def test_what_a_client_sends_ahead_is_bounded(server: Server) -> None:
    """A client can't fill the memory with requests while its first one waits."""
    client = server.connect().start("GET", "/get?wait=20")
    for _ in range(100):
        client.send(head + b"Content-Length: 900\r\n\r\n" + b"x" * 900)
    unread = sum(map(len, client.transport.unread))
    server.settle()
    assert client.response().status in (200, 204)
    for _ in range(100):
        server.settle()
        assert client.response().status == 201
    assert unread > 50_000 or server.queue_size == 100


def test_a_poll_ends_when_its_client_sends_too_far_ahead(server: Server) -> None:
    """Where nobody would notice that the client has gone, nothing is leased to it."""
    client = server.connect().start("GET", "/get?wait=20")
    client.send(request(get, b"Host: h", b"A: " + b"b" * 8000))
    assert client.waiting
    client.send(request(get, b"Host: h", b"A: " + b"b" * 8000) * 2)
    assert [client.response().status for _ in range(4)] == [204, 200, 200, 200]


def test_a_client_that_does_not_read_is_not_answered_further() -> None:
    """A client that sends requests and never reads can't fill the memory with answers."""
    server = Server(NodeSettings(max_message=100_000))
    for _ in range(40):
        assert server.ask("POST", "/push", b"x" * 100_000).status == 201
    client = server.connect()
    client.transport.client_reads = False
    for _ in range(40):
        client.send(request(b"POST /get HTTP/1.1", b"Host: h", b"Content-Length: 0"))
    assert len(client.transport.buffer) < 210_000
    assert server.ask("GET", "/stats").json["leased"] <= 2
    assert len(client.transport.unread) >= 38
    client.end()
    client.transport.client_reads = True
    for _ in range(40):
        server.settle()
    assert [client.response().status for _ in range(40)] == [200] * 40
    assert client.closed


def test_a_client_that_does_not_read_pipelined_answers_is_not_answered_further() -> None:
    """Nor when it sends them all at once."""
    server = Server(NodeSettings(max_message=100_000))
    for _ in range(40):
        assert server.ask("POST", "/push", b"x" * 100_000).status == 201
    client = server.connect()
    client.transport.client_reads = False
    client.send(request(b"POST /get HTTP/1.1", b"Host: h", b"Content-Length: 0") * 40)
    assert len(client.transport.buffer) < 210_000
    client.transport.client_reads = True
    for _ in range(40):
        server.settle()
    assert [client.response().status for _ in range(40)] == [200] * 40


def test_a_client_that_never_reads_is_cut_off() -> None:
    """Its answer does not stay in memory for ever."""
    server = Server()
    server.ask("POST", "/push", b"x" * 100_000)
    client = server.connect()
    client.transport.client_reads = False
    client.start("GET", "/get")
    server.pass_time(299)
    assert not client.transport.gone
    server.pass_time(3)
    assert client.transport.aborted


def test_a_client_that_reads_slowly_but_steadily_gets_its_answer() -> None:
    """A transfer is judged by whether it stalls, not by how long it takes."""
    server = Server()
    body = bytes(range(256)) * 4096
    server.ask("POST", "/push", body)
    client = server.connect()
    client.transport.client_reads = False
    client.start("GET", "/get")
    for _ in range(8):
        server.pass_time(200)
        client.transport.read_some(140_000)
    assert client.response().body == body
    client.transport.client_reads = True
    assert client.ask("GET", "/stats").status == 200


def test_a_client_that_stops_reading_in_the_midst_is_cut_off() -> None:
    """What it has read before does not count."""
    server = Server()
    server.ask("POST", "/push", b"x" * 1024 * 1024)
    client = server.connect()
    client.transport.client_reads = False
    client.start("GET", "/get")
    server.pass_time(200)
    client.transport.read_some(200_000)
    server.pass_time(299)
    assert not client.transport.gone
    server.pass_time(3)
    assert client.transport.aborted
    assert server.site.connection_count == 0


def test_a_slow_reader_that_leaves_is_forgotten() -> None:
    """Nothing is left of an answer whose client goes away in the midst of it."""
    server = Server()
    server.ask("POST", "/push", b"x" * 1024 * 1024)
    client = server.connect()
    client.transport.client_reads = False
    client.start("GET", "/get")
    client.transport.read_some(200_000)
    client.vanish()
    assert server.site.connection_count == 0
    assert server.ask("GET", "/stats").json["leased"] == 1


def test_a_site_that_drains_lets_a_slow_reader_finish() -> None:
    """An answer that is under way is not cut in two."""
    server = Server()
    server.ask("POST", "/push", b"x" * 1024 * 1024)
    client = server.connect()
    client.transport.client_reads = False
    client.start("GET", "/get")
    client.transport.read_some(200_000)
    server.site.drain()
    client.transport.client_reads = True
    server.settle()
    server.settle()
    assert len(client.response().body) == 1024 * 1024
    assert client.closed


def test_all_answers_that_nobody_reads_are_bounded_together() -> None:
    """Many clients that do not read can't fill the memory together; one too many is cut off."""
    server = Server(limits=HttpLimits(unread_bytes_max=250_000))
    for _ in range(4):
        server.ask("POST", "/push", b"x" * 100_000)
    clients = [server.connect() for _ in range(4)]
    for client in clients[:3]:
        client.transport.client_reads = False
        client.start("GET", "/get")
    assert [client.transport.aborted for client in clients] == [False, False, True, False]
    clients[0].transport.client_reads = True
    server.settle()
    assert len(clients[0].response().body) == 100_000
    clients[3].transport.client_reads = False
    clients[3].start("GET", "/get")
    assert not clients[3].transport.aborted


def test_a_slow_reader_is_idle_once_it_has_read() -> None:
    """A client that took long to read is not kept longer than others after that."""
    server = Server()
    server.ask("POST", "/push", b"x" * 100_000)
    client = server.connect()
    client.transport.client_reads = False
    client.start("GET", "/get")
    server.pass_time(100)
    client.transport.client_reads = True
    server.settle()
    assert len(client.response().body) == 100_000
    server.pass_time(77)
    assert client.closed


def test_a_slow_reader_that_half_closes_gets_all_its_answers() -> None:
    """Nothing is closed before what was asked is answered."""
    server = Server()
    for _ in range(3):
        server.ask("POST", "/push", b"x" * 100_000)
    client = server.connect()
    client.transport.client_reads = False
    client.transport.unread.append(request(b"POST /get HTTP/1.1", b"Host: h", b"Content-Length: 0") * 3)
    client.end()
    client.transport.protocol.readConnectionLost()  # a paused socket may tell so all the same
    client.transport.client_reads = True
    server.settle()
    assert [client.response().status for _ in range(3)] == [200] * 3
    assert client.closed


def test_a_client_that_half_closes_gets_its_answers(server: Server) -> None:
    """`printf … | nc -N` gets its answers, to all that it asked."""
    client = server.connect()
    client.transport.unread.append(head + b"Content-Length: 2\r\n\r\nhi" + request(get, b"Host: h") + get)
    client.end()
    assert client.response().status == 201
    assert client.response().json["queueSize"] == 1
    assert client.closed


def test_a_client_that_half_closes_at_once_gets_what_is_ready(server: Server) -> None:
    """Its get is answered with what is there."""
    server.ask("POST", "/push", b"ready")
    client = server.connect()
    client.transport.unread.append(request(b"GET /get?wait=20 HTTP/1.1", b"Host: h"))
    client.end()
    assert client.response().body == b"ready"
    assert client.closed


def test_what_follows_a_poll_is_answered_after_a_half_close(server: Server) -> None:
    """The poll ends, and the requests behind it get their answers, none of which is waited for."""
    client = server.connect()
    poll = request(b"GET /get?wait=5 HTTP/1.1", b"Host: h")
    client.send(poll + request(get, b"Host: h") + poll + request(get, b"Host: h"))
    assert client.waiting
    client.end()
    assert [client.response().status for _ in range(4)] == [204, 200, 204, 200]
    assert client.closed


def test_a_poll_ends_when_its_client_half_closes(server: Server) -> None:
    """For it can't be told from a client that has gone; nothing is leased to it."""
    client = server.connect().start("GET", "/get?wait=20")
    assert client.waiting
    client.end()
    assert client.response().status == 204
    assert client.closed
    server.ask("POST", "/push", b"x")
    assert server.ask("GET", "/get").headers["dqtw-attempt"] == "1"


def test_a_push_that_waits_goes_on_when_its_client_half_closes() -> None:
    """It was sent whole, and its answer is still wanted."""
    server = Server(NodeSettings(size=1))
    first = server.ask("POST", "/push", b"x").json["id"]
    client = server.connect().start("POST", "/push?wait=9", b"y")
    client.end()
    assert client.waiting
    server.ask("DELETE", f"/messages/{first}")
    assert client.response().status == 201
    assert client.closed


@pytest.mark.parametrize(
    "sent",
    [
        head + b"Content-Length: 7\r\n\r\nhello",
        head + b"Content-Length: 7\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
        head + b"Content-Le",
        b"GET /get HTTP/1.1\nHost: h\n\n",
    ],
)
def test_a_request_that_is_incomplete_at_a_half_close_is_refused(server: Server, sent: bytes) -> None:
    """Silence would look like a lost answer."""
    client = server.connect().send(sent)
    client.end()
    assert refused(client) == (400, "framing")
    assert client.transport.gone
    assert server.refused == {"http": {"refused": {"framing": 1}}}
    assert server.queue_size == 0


def test_what_is_complete_before_a_half_close_is_answered_first(server: Server) -> None:
    """The refusal is that of the last request alone."""
    client = server.connect()
    client.transport.unread.append(head + b"Content-Length: 2\r\n\r\nhi" + head)
    client.end()
    assert client.response().status == 201
    assert refused(client) == (400, "framing")


@pytest.mark.parametrize(
    ("sent", "hint"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP without TLS"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "no PROXY header"),
        (b"PROXY UNKNOWN\r\n" + head, "no PROXY header"),
    ],
)
def test_what_speaks_another_protocol_is_told_so_at_once(server: Server, sent: bytes, hint: str) -> None:
    """A client that says https, or a proxy with another setting, does not wait for a time limit."""
    client = server.connect().send(sent)
    response = client.response()
    assert (response.status, response.code) == (400, "framing")
    assert hint in response.json["detail"]
    assert client.closed


@pytest.mark.parametrize("method", [b"head", b"Head", b"get", b"Post"])
def test_a_method_is_written_in_capitals(server: Server, method: bytes) -> None:
    """A HEAD in small letters would lease a message."""
    server.ask("POST", "/push", b"x")
    client = server.connect().send(request(method + b" /get HTTP/1.1", b"Host: h", b"Content-Length: 0"))
    assert refused(client) == (400, "framing")
    assert server.driver.stats()["leased"] == 0


def test_connection_close_is_honoured(server: Server) -> None:
    """However the client spells it."""
    for value in ("close", "Close", "keep-alive, close", "TE,close"):
        client = server.connect()
        response = client.ask("GET", "/stats", headers={"Connection": value})
        assert response.headers["connection"] == "close"
        assert client.closed


def test_a_site_that_drains_closes_what_is_idle_and_finishes_the_rest(server: Server) -> None:
    """A server that stops answers what is under way, and keeps nobody."""
    idle, polling = server.connect(), server.connect().start("GET", "/get?wait=5")
    sending = server.connect().send(head + b"Content-Length: 2\r\n\r\nx")
    server.site.drain()
    server.settle()
    assert idle.closed
    sending.send(b"y")
    assert sending.response().headers["connection"] == "close"
    assert sending.closed
    server.settle()
    assert polling.response().body == b"xy"
    assert polling.closed


def test_a_connection_that_ends_leaves_nothing_behind(server: Server) -> None:
    """A probe that connects and closes costs nothing."""
    for _ in range(10):
        server.connect().vanish()
        server.connect().send(head + b"Content-Length: 2\r\n\r\nx").vanish()
        server.connect().send(b"nonsense\r\n\r\n").vanish()
    gc.collect()
    assert server.site.connection_count == 0
    assert server.ask("GET", "/stats").status == 200


def test_bodies_are_never_written_to_disk(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is in memory only."""
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    large = Server()
    assert large.ask("POST", "/push", b"x" * 1024 * 1024).status == 201
    client = large.connect().send(head + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
    assert client.response().status == 201
