"""Clients that hang up or half-close behind a proxy: no message is leased to a client that is gone."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen

from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.conftest import clusters
from tests.cluster.proxies import Proxy, behind, proxy_protocol_port
from tests.cluster.test_clients_that_leave import reset

rest, lines = 8080, 7711
size = 8
every_listener = pytest.mark.parametrize(
    ("whole", "listener"),
    [
        ("haproxy", rest),
        ("haproxy", lines),
        ("haproxy", proxy_protocol_port),
        ("nginx", rest),
        ("nginx", lines),
    ],
    indirect=["whole"],
    scope="module",
)
leaves = pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["close", "reset"])


@frozen
class Front:
    """A cluster and the proxy in front of it."""

    cluster: Cluster
    proxy: Proxy

    def connect(self, listener: int) -> socket.socket:
        """A connection to one of the proxy's listeners."""
        address = self.proxy.doors[listener]
        return socket.create_connection((address.host, address.port), timeout=10)

    def total(self, name: str) -> Any:
        return sum(self.cluster.stats(id)[name] for id in self.cluster.ids)

    def wait_polls(self, count: int) -> None:
        """Wait until that many polls wait; well before they would end by themselves."""
        wait_for(lambda: self.total("waiting_polls") == count, f"not {count} polls", 8, self.cluster.story)

    def empty(self) -> None:
        """Take everything off the queues."""
        while self.total("queueSize"):
            self.cluster["a"].request("POST", "/get?ack=now&wait=1")


@pytest.fixture(scope="module")
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with clusters(tmp_path_factory.mktemp("behind")) as make:
        cluster = make(options=("--host=queue.example", f"--size={size}"))
        with behind(request.param, cluster) as (proxy, _):
            yield Front(cluster, proxy)


@pytest.fixture
def front(whole: Front) -> Iterator[Front]:
    yield whole
    whole.empty()


def requests(listener: int, query: str) -> list[bytes]:
    """A get in each form that the listener takes."""
    if listener == rest:
        rest_of_it = f" /get?{query.replace(' ', '&')} HTTP/1.1\r\nHost: queue.example\r\nContent-Length: 0\r\n\r\n"
        return [f"{method}{rest_of_it}".encode() for method in ("GET", "POST")]
    return [f"GET {query}\r\n".encode()]


def push(listener: int, body: bytes = b"hello", path: str = "/push") -> bytes:
    if listener == rest:
        head = f"POST {path} HTTP/1.1\r\nHost: queue.example\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return head + body
    return f"PUSH {len(body)}\r\n".encode() + body + b"\r\n"


def answer_after_half_close(client: socket.socket) -> bytes:
    """All that is answered to a client that has closed its sending side."""
    client.shutdown(socket.SHUT_WR)
    answer = b"".join(iter(lambda: client.recv(65536), b""))
    client.close()
    return answer


@every_listener
@leaves
def test_a_client_that_hangs_up_ends_its_poll(front: Front, listener: int, leave: Any) -> None:
    sent = [each for query in ("wait=20", "wait=20 ack=now") for each in requests(listener, query)]
    clients = []
    for request in sent:
        client = front.connect(listener)
        client.sendall(request)
        clients.append(client)
    front.wait_polls(len(sent))
    for client in clients:
        leave(client)
    front.wait_polls(0)
    before = front.total("delivered")
    front.cluster.push("a", "x")
    time.sleep(0.3)
    assert (front.total("ready"), front.total("delivered")) == (1, before)


@pytest.mark.parametrize("whole", ["haproxy", "nginx"], indirect=True, scope="module")
def test_a_push_that_waits_for_a_slot_is_answered(front: Front) -> None:
    body = b"x" * 100_000
    for id in front.cluster.ids:
        for _ in range(size):
            front.cluster.push(id, "x")
    client = front.connect(rest)
    client.sendall(push(rest, body, "/push?wait=20"))
    wait_for(lambda: front.total("waiting_pushes") == 1, "the push does not wait", 8, front.cluster.story)
    while front.total("waiting_pushes"):
        assert front.cluster["a"].request("POST", "/get?ack=now").status == 200
    assert client.recv(12) == b"HTTP/1.1 201"
    client.close()
    assert max(front.cluster.stats(id)["bytes"] for id in front.cluster.ids) >= len(body)


@every_listener
def test_a_client_that_half_closes_has_its_pushes_answered(front: Front, listener: int) -> None:
    for _ in range(6):
        client = front.connect(listener)
        client.sendall(push(listener))
        answer = answer_after_half_close(client)
        assert answer.startswith(b"HTTP/1.1 201" if listener == rest else b"OK "), answer
    assert front.total("queueSize") == 6


@every_listener
def test_a_client_that_half_closes_gets_a_message_that_is_there(front: Front, listener: int) -> None:
    for request in requests(listener, "ack=now"):
        front.cluster.push("a", "a task")
        client = front.connect(listener)
        client.sendall(request)
        assert b"a task" in answer_after_half_close(client)


@every_listener
def test_a_poll_of_a_client_that_half_closes_ends_without_a_message(front: Front, listener: int) -> None:
    for request in requests(listener, "wait=20 ack=now"):
        client = front.connect(listener)
        client.sendall(request)
        front.wait_polls(1)
        answer = answer_after_half_close(client)  # over HTTP the proxy takes the client for gone
        assert b"HTTP/1.1 200" not in answer
        assert listener == rest or answer == b"EMPTY\r\n"
        front.wait_polls(0)
