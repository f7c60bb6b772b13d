"""What only real sockets show of the HTTP listener: where it is bound, and how many connections it has."""

import socket
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

from tests.process.node import Nodes, free_ports


def status(port: int, path: str, **headers: str) -> int:
    """The status of a GET on a connection of its own; header names with ``_`` for ``-``."""
    connection = HTTPConnection("127.0.0.1", port, timeout=35)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse().status
    finally:
        connection.close()


def kept_connection(port: int) -> HTTPConnection:
    """A connection that is within the limit; the server may take a moment to notice that one before it is closed."""
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=35)
        connection.request("GET", "/stats")
        answer = connection.getresponse()
        answer.read()
        if not answer.will_close:
            return connection
        connection.close()


def status_over(path: Path, target: str, host: str) -> int:
    """The status of a GET over a UNIX socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nOrigin: null\r\nConnection: close\r\n\r\n".encode())
        return int(client.makefile("rb").readline().split()[1])


def test_a_foreign_host_is_refused_where_the_listener_is_bound_to_loopback(nodes: Nodes, tmp_path: Path) -> None:
    (everywhere,) = free_ports(1)
    unix = tmp_path / "http"
    listeners = [f"--http=tcp:{everywhere}", f"--http=unix:{unix}"]
    node = nodes.start(*listeners, "--insecure-clients", "--host=queue.example")
    assert status(node.http_port, "/stats", Host="evil.example") == 403
    assert status(node.http_port, "/stats", Host="queue.example:80") == 200
    assert status(node.http_port, "/stats", Host=f"localhost:{node.http_port}", Sec_Fetch_Site="cross-site") == 403
    assert status(everywhere, "/stats", Host="evil.example") == 200
    assert status(everywhere, "/stats", Host="evil.example", Origin="null") == 403
    assert status_over(unix, "/stats", "any.example") == 200
    assert node.request("GET", "/stats").json["listeners"] == {"http": {"refused": {"cross_site": 3}}}


def test_health_is_answered_at_the_limit_of_connections_and_keep_alive_tells_the_idle_limit(nodes: Nodes) -> None:
    node = nodes.start("--max-connections=2", "--idle-timeout=42")
    assert node.request("GET", "/stats").headers["Keep-Alive"] == "timeout=42"
    with ExitStack() as stack:
        for _ in range(2):
            stack.callback(kept_connection(node.http_port).close)
        assert node.request("GET", "/stats").json["code"] == "busy"
        assert node.request("GET", "/health/live").status == 200
        assert node.request("GET", "/health/ready").status == 200
