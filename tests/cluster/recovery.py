"""How long the replacement of a node takes whose queue was long."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.process.node import RunningNode

batch = 1000
body_bytes = 100


def recover(directory: Path, count: int) -> None:
    """Fill a node of three, kill it, start it again, and see that every message is there; tells how long it took."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(directory, options=(f"--size={count}",))
    try:
        cluster.start().wait_whole()
        begun = time.monotonic()
        ids = set(_fill(cluster["a"], count))
        print(f"{len(ids)} messages pushed in {time.monotonic() - begun:.1f} s", flush=True)
        cluster.kill("a")
        begun = time.monotonic()
        cluster.start("a")
        print(f"recovered and ready in {time.monotonic() - begun:.1f} s", flush=True)
        assert cluster.stats("a")["ready"] == len(ids) == count
        begun = time.monotonic()
        assert set(_drain(cluster["b"], count)) == ids
        print(f"all of them taken through another node in {time.monotonic() - begun:.1f} s", flush=True)
    finally:
        cluster.end()


def _fill(node: RunningNode, count: int) -> Iterator[str]:
    for first in range(0, count, batch):
        items = [{"text": f"{n:0{body_bytes}}"} for n in range(first, min(first + batch, count))]
        answer = node.request("POST", "/push/batch", json.dumps(items).encode())
        assert answer.status == 200, answer.body
        yield from (item["id"] for item in answer.json)


def _drain(node: RunningNode, count: int) -> Iterator[str]:
    while count > 0:
        got = node.request("POST", f"/get/batch?max={batch}&wait=5&ack=now").json
        assert got, f"{count} are missing"
        count -= len(got)
        yield from (each["id"] for each in got)
