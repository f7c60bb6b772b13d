"""Nodes to be measured, each in a process of its own, on free ports of loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from attrs import define, field

from benchmarks.load import Load, Seen

root = Path(__file__).resolve().parents[1]
patience_seconds = 120
doors = ("http", "line", "peer-listen")


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def environment() -> dict[str, str]:
    """This process's own, but for what a node would take for its options; this very tree is run."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DQTW_")}
    return {**ours, "PYTHONPATH": str(root)}


@define
class Node:
    """One node.

    Attributes:
        ports: by door.
        options: what it is started with.
        process: None before it was started.
    """

    name: str
    ports: dict[str, int]
    options: list[str] = field(factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self, log: Path) -> None:
        """Start a process of this node."""
        twistd = Path(sys.executable).with_name("twistd")
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [str(twistd), "-n", "--pidfile=", "dqtw", *self.options],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def ask(self, path: str) -> tuple[int, Any]:
        """One request to the REST door: the status, and the answer."""
        connection = HTTPConnection("127.0.0.1", self.ports["http"], timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def is_ready(self, in_session: int) -> bool:
        """Whether it serves, in session with so many peers."""
        try:
            status, health = self.ask("/health/ready")
        except OSError:
            return False
        return status == 200 and health["in_session"] >= in_session

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@define
class Cluster:
    """Some nodes that know each other; the first is the one that is asked."""

    nodes: list[Node]
    folder: Path

    @property
    def first(self) -> Node:
        """The node that is asked."""
        return self.nodes[0]

    def start(self) -> None:
        """Start all, and wait until all are ready."""
        for node in self.nodes:
            node.start(self.folder / f"{node.name}.log")
        for node in self.nodes:
            self.wait_ready(node)

    def wait_ready(self, node: Node) -> None:
        """Wait until that node serves and is in session with all others."""
        until = time.monotonic() + patience_seconds
        while not node.is_ready(len(self.nodes) - 1):
            if time.monotonic() > until:
                raise SystemExit(f"{node.name} was not ready in time: see {self.folder}")
            time.sleep(0.01)

    def load(self, load: Load) -> Seen:
        """Put a load on it, from a process of its own."""
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.load"],
            cwd=root,
            env=environment(),
            input=json.dumps(load._asdict()),
            stdout=subprocess.PIPE,
            text=True,
            timeout=load.seconds + patience_seconds,
            check=True,
        )
        return Seen(**json.loads(ran.stdout))


@contextmanager
def running(count: int, folder: Path, *options: str) -> Iterator[Cluster]:
    """So many nodes, ready; they are killed in the end."""
    ports = free_ports(3 * count)
    nodes = [
        Node(name, dict(zip(doors, ports[3 * at : 3 * at + 3], strict=True))) for at, name in enumerate("abcde"[:count])
    ]
    for node in nodes:
        node.options = [f"--node={node.name}", *options]
        node.options += [
            f"--{door}=tcp:{node.ports[door]}:interface=127.0.0.1" for door in doors[: 3 if count > 1 else 2]
        ]
        node.options += [
            f"--peer={other.name}=http://127.0.0.1:{other.ports['peer-listen']}" for other in nodes if other is not node
        ]
    cluster = Cluster(nodes, folder)
    try:
        cluster.start()
        yield cluster
    finally:
        for node in nodes:
            node.kill()


def cpu_seconds(cluster: Cluster) -> float:
    """The processor time that all nodes have taken so far."""
    return sum(_cpu_seconds(node.process.pid) for node in cluster.nodes if node.process is not None)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
