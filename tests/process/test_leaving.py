"""A node that is asked to leave while clients are busy, or would not go."""

import re
import signal
import socket
import threading
import time
from http.client import HTTPConnection, HTTPException

from tests.process.node import Nodes, RunningNode


def push_until_refused(node: RunningNode, pushed: list[str]) -> None:
    """Push over one connection until the node answers no longer; what was answered with success is noted."""
    connection = HTTPConnection("127.0.0.1", node.http_port, timeout=10)
    try:
        while True:
            connection.request("POST", "/push", b"x")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 201:
                assert (answer.status, b'"draining"' in body) == (503, True)
                return
            pushed.append(answer.headers["Location"])
    except (OSError, HTTPException):
        return  # the connection was closed between two requests
    finally:
        connection.close()


def test_every_push_that_was_answered_is_counted_among_what_is_lost(nodes: Nodes) -> None:
    node = nodes.start("--size=1000000")
    pushed: list[str] = []
    clients = [threading.Thread(target=push_until_refused, args=(node, pushed)) for _ in range(8)]
    for client in clients:
        client.start()
    time.sleep(0.5)
    assert node.stop() == 0
    for client in clients:
        client.join(10)
    lost = re.search(r"messages that end with this node: (\d+)", node.log)
    assert lost is not None
    assert int(lost[1]) == len(pushed) == len(set(pushed)) > 50


def test_a_client_that_does_not_read_can_not_keep_a_node_from_leaving(nodes: Nodes) -> None:
    node = nodes.start("--max-message=64MiB")
    assert node.request("POST", "/push", bytes(2**26)).status == 201
    greedy = socket.create_connection(("127.0.0.1", node.line_port))
    greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    greedy.sendall(b"GET\r\n" + b"HELP\r\n" * 1000)
    time.sleep(0.3)
    started = time.monotonic()
    status = node.stop()
    greedy.close()
    assert status == 0
    assert time.monotonic() - started < 9
    assert "are cut off" in node.log


def test_a_request_under_way_is_answered_before_the_node_leaves(nodes: Nodes) -> None:
    node = nodes.start()
    slow = socket.create_connection(("127.0.0.1", node.http_port), timeout=10)
    slow.sendall(b"POST /push HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx")
    time.sleep(0.2)
    node.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    slow.sendall(b"y")
    with slow.makefile("rb") as file:
        answer = file.read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"draining"' in answer
    assert b"onnection: close" in answer
    slow.close()
    assert node.wait() == 0


def test_no_new_client_is_let_in_by_a_node_that_leaves(nodes: Nodes) -> None:
    node = nodes.start()
    stubborn = socket.create_connection(("127.0.0.1", node.http_port))
    stubborn.sendall(b"POST /push HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx")
    time.sleep(0.2)
    node.send_signal(signal.SIGTERM)
    node.wait_logged("draining")
    time.sleep(0.2)
    for port in (node.http_port, node.line_port):
        with socket.socket() as late:
            assert late.connect_ex(("127.0.0.1", port)) != 0
    stubborn.close()
    assert node.wait() == 0
