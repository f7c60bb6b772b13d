#!/usr/bin/env python3
"""Three nodes, one of them killed with work on its queue: nothing is lost, and nothing is claimed that is not so.

Starts everything itself, on free ports of loopback, and stops it again. The exit status is 0 when every message that
was pushed with success was got and acknowledged, once each, and nothing is left on any queue.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

names = ("a", "b", "c")
patience_seconds = 60
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(NamedTuple):
    """What a node answered."""

    status: int
    receipt: str
    body: bytes


class Node:
    """One node: how it is started, and how it is asked."""

    def __init__(self, name: str, http_port: int, peer_ports: dict[str, int], folder: Path) -> None:
        self.name = name
        self._url = f"http://127.0.0.1:{http_port}"
        self._log = folder / f"{name}.log"
        beside = Path(sys.executable).with_name("twistd")
        self._command = [
            str(beside if beside.exists() else shutil.which("twistd") or "twistd"),
            *("-n", "--pidfile=", "dqtw", f"--node={name}", "--line=none"),
            f"--http=tcp:{http_port}:interface=127.0.0.1",
            f"--peer-listen=tcp:{peer_ports[name]}:interface=127.0.0.1",
            *(f"--peer={peer}=http://127.0.0.1:{port}" for peer, port in peer_ports.items() if peer != name),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a process of this node; it knows nothing but the other members' addresses."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("DQTW_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=ours, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        """End the process without a chance to say anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask_to_leave(self) -> None:
        """Send SIGTERM, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> int:
        """Its exit status; one that does not leave is killed."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise SystemExit(f"{self.name} did not leave") from None

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Send one request; status 0 when no node answers."""
        request = urllib.request.Request(self._url + path, body, method=method)
        try:
            with opener.open(request, timeout=patience_seconds) as answer:
                return Answer(answer.status, answer.headers.get("Dqtw-Receipt", ""), answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return Answer(refusal.code, "", refusal.read())
        except OSError:
            return Answer(0, "", b"")

    def stats(self) -> dict[str, Any]:
        """What it tells of itself."""
        return dict(json.loads(self.ask("GET", "/stats").body))


def main() -> None:
    """Start three nodes, run the example, and stop whatever runs."""
    with tempfile.TemporaryDirectory() as folder:
        ports = free_ports(6)
        peer_ports = dict(zip(names, ports[:3], strict=True))
        nodes = [Node(name, port, peer_ports, Path(folder)) for name, port in zip(names, ports[3:], strict=True)]
        try:
            run(nodes)
        finally:
            for node in nodes:
                node.ask_to_leave()
            for node in nodes:
                node.wait()


def run(nodes: list[Node]) -> None:
    """Do all of it."""
    a, b, c = nodes
    for node in nodes:
        node.start()
    for node in nodes:
        wait_until(lambda: takes_pushes(node), f"{node.name} takes pushes")  # noqa: B023  (called at once)
    print("started three nodes: a, b, c; each push is answered when all three hold the message")

    through_a, through_b = push_all(a, 20), push_all(b, 5)
    print(f"pushed {len(through_a)} messages through a, and {len(through_b)} through b")

    a.kill()
    print(f"killed a (kill -9): its {len(through_a)} messages are left in the copies of b and c")
    wait_until(lambda: not takes_pushes(b), "b has noticed")
    refused = b.ask("POST", "/push", b"one more")
    print(
        f"a push through b: {refused.status} {code_of(refused)}; it is not on the queue, for only two nodes are there"
    )

    check(get_and_ack(c, len(through_b)), through_b)
    print(f"got and acknowledged b's {len(through_b)} messages through c meanwhile")

    a.start()
    wait_until(lambda: takes_pushes(a), "the replacement of a takes pushes")
    print(f"started a again, empty: it has recovered {a.stats()['queueSize']} messages from its peers")

    check(get_and_ack(c, len(through_a)), through_a)
    left = sum(node.stats()["queueSize"] for node in nodes)
    if left or refused.status != 503:
        raise SystemExit(f"{left} messages are left; the push was answered {refused.status}")
    print(f"got and acknowledged a's {len(through_a)} messages through c; nothing is left on any queue")


def free_ports(count: int) -> list[int]:
    """Return ports on loopback that no process listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def takes_pushes(node: Node) -> bool:
    """Whether it serves, with every copy regained, and would take a push now."""
    return all(node.ask("GET", f"/health/{check}").status == 200 for check in ("ready", "push"))


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Look again and again until it is so."""
    until = time.monotonic() + patience_seconds
    while not is_so():
        if time.monotonic() > until:
            raise SystemExit(f"waited in vain until {what}")
        time.sleep(0.05)


def push_all(node: Node, count: int) -> set[bytes]:
    """Push so many messages; their bodies."""
    bodies = {f"task {number} of {node.name}".encode() for number in range(1, count + 1)}
    for body in sorted(bodies):
        answer = node.ask("POST", "/push", body)
        if answer.status != 201:
            raise SystemExit(f"a push was answered {answer.status} {code_of(answer)}")
    return bodies


def get_and_ack(node: Node, count: int) -> list[bytes]:
    """Get so many messages through a node, and acknowledge each; their bodies."""
    bodies = []
    for _ in range(count):
        got = node.ask("POST", "/get?wait=20")
        if got.status != 200 or node.ask("POST", f"/ack/{got.receipt}").status != 204:
            raise SystemExit(f"a get was answered {got.status}, or its message could not be acknowledged")
        bodies.append(got.body)
    return bodies


def check(got: list[bytes], pushed: set[bytes]) -> None:
    """See that each was got, and once."""
    if sorted(got) != sorted(pushed):
        raise SystemExit("what was got is not what was pushed")


def code_of(answer: Answer) -> str:
    """The code of a refusal."""
    return str(json.loads(answer.body)["code"]) if answer.body else "no answer"


if __name__ == "__main__":
    main()
