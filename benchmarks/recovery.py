"""How long a dead node's replacement takes until it serves with every message."""

import time
from typing import NamedTuple

from benchmarks.load import Load
from benchmarks.nodes import Cluster, Node


class Recovery(NamedTuple):
    """What a replacement did.

    Attributes:
        messages: how many it had when it served.
        answers_s: from the start of its process until its door answered.
        serves_s: until it served.
    """

    messages: int
    answers_s: float
    serves_s: float


def recovery(cluster: Cluster, messages: int, body_bytes: int) -> Recovery:
    """Fill the first node's queue, kill it, and start its replacement."""
    seconds_max = 60 + messages / 500
    cluster.load(Load("line", [cluster.first.ports["line"]], "push", 1, 1000, messages, seconds_max, body_bytes))
    held = cluster.first.ask("/stats")[1]["queueSize"]
    if held != messages:
        raise SystemExit(f"{held} messages were taken, not {messages}")
    cluster.first.kill()
    began = time.monotonic()
    cluster.first.start(cluster.folder / "replacement.log")
    answers_s = _until(cluster.first, "starting", "serving") - began
    serves_s = _until(cluster.first, "serving") - began
    return Recovery(cluster.first.ask("/stats")[1]["queueSize"], answers_s, serves_s)


def _until(node: Node, *states: str) -> float:
    """Wait until it is in one of these states; when that was seen."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            if node.ask("/stats")[1]["state"] in states:
                return time.monotonic()
        except OSError:
            pass
        time.sleep(0.01)
    raise SystemExit("the replacement does not serve")
