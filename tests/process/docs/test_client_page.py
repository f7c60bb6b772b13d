"""The client that the documents show, at work on a real server."""

from contextlib import closing
from http.client import HTTPConnection
from typing import Any

from tests.process.docs.blocks import blocks
from tests.process.node import Nodes


def test_a_message_that_cannot_be_done_is_put_aside(nodes: Nodes) -> None:
    (block,) = blocks("python")
    page: dict[str, Any] = {}
    exec(compile(block.text, block.page, "exec"), page)
    page["attempts_max"] = 2
    node = nodes.start()
    for body in (b"poison", b"good"):
        node.request("POST", "/push", body)
    done: list[bytes] = []
    aside: list[bytes] = []

    def do(body: bytes) -> None:
        if body == b"poison":
            raise ValueError
        done.append(body)

    with closing(HTTPConnection("127.0.0.1", node.http_port, timeout=40)) as server:
        for _ in range(3):
            assert page["work_once"](server, do, aside.append)
    assert (done, aside) == ([b"good"], [b"poison"])
    stats = node.request("GET", "/stats").json
    assert (stats["queueSize"], stats["delivered"], stats["acked"]) == (0, 3, 2)
