"""A cluster of real nodes, each a process of its own, and what may happen to them."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from dqtw.check.asking import Address
from tests.cluster.relay import Relays
from tests.process.node import Nodes, RunningNode, free_ports, twistd

root = Path(__file__).resolve().parents[2]
patience_s = 120.0  # with other things at work on the same machine


@frozen
class Place:
    """Where a node is reached.

    Attributes:
        http_port: of its REST door.
        line_port: of its line door.
        peer_port: where it listens for its peers.
        told_port: where it tells them to reach it: a relay's port, or the same.
    """

    http_port: int
    line_port: int
    peer_port: int
    told_port: int

    @property
    def addresses(self) -> list[Address]:
        return [Address("http", "127.0.0.1", self.http_port), Address("line", "127.0.0.1", self.line_port)]


def wait_for(
    condition: Callable[[], bool], what: str, seconds: float = patience_s, story: Callable[[], str] = str
) -> float:
    """Wait until it holds; how long that took. The story is told when it never does."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds, f"{what}: not within {seconds} s\n{story()}"
        time.sleep(0.02)
    return time.monotonic() - begun


def receipt_of(node: RunningNode, query: str = "wait=30") -> tuple[str, bytes]:
    """Get a message, which must be there: the receipt, empty with ``ack=now``, and the body."""
    answer = node.request("POST", f"/get?{query}")
    assert answer.status == 200, answer
    return answer.headers.get("Dqtw-Receipt", ""), answer.body


@define
class Cluster:
    """Some nodes on loopback.

    Attributes:
        directory: where logs go.
        ids: of all members.
        options: of every node.
        places: where each one is now.
        running: the process of each one that was started and not ended.
        old: processes of nodes that were replaced while they lived.
    """

    directory: Path
    ids: Sequence[str] = ("a", "b", "c")
    options: tuple[str, ...] = ()
    twistd: str = twistd
    with_relays: bool = False
    places: dict[str, Place] = field(factory=dict)
    running: dict[str, RunningNode] = field(factory=dict)
    old: list[tuple[str, RunningNode]] = field(factory=list)
    relays: Relays | None = None
    _nodes: Nodes = field(init=False)
    _first: dict[str, Place] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._nodes = Nodes(self.directory, self.twistd)
        if self.with_relays:
            self.relays = Relays(self._pids)
        for id in self.ids:
            self.places[id] = self._first[id] = self._new_place(id)

    def _pids(self) -> dict[str, list[int]]:
        pids: dict[str, list[int]] = {id: [] for id in self.ids}
        for id, node in [*self.running.items(), *self.old]:
            pids[id].append(node.process.pid)
        return pids

    def _new_place(self, id: str) -> Place:
        http, line, peers = free_ports(3)
        return Place(http, line, peers, self.relays.add(id, peers) if self.relays else peers)

    def __getitem__(self, id: str) -> RunningNode:
        return self.running[id]

    @property
    def addresses(self) -> list[Address]:
        """Every door."""
        return [address for id in self.ids for address in self.places[id].addresses]

    def launch(self, id: str, *options: str, twistd: str = "") -> RunningNode:
        """Start a node where it belongs, without waiting for it; with a twistd of its own if one is given."""
        place = self.places[id]
        told = f"http://127.0.0.1:{place.told_port}"
        node = self._nodes.launch_on(
            place.http_port,
            place.line_port,
            f"--node={id}",
            *(f"--peer={peer}=http://127.0.0.1:{port}" for peer, port in self._ports_of_peers(id)),
            f"--peer-listen=tcp:{place.peer_port}:interface=127.0.0.1",
            f"--advertise={told}",
            *self.options,
            *options,
            program=twistd,
            PYTHONPATH=str(root),
        )
        self.running[id] = node
        return node

    def _ports_of_peers(self, id: str) -> Iterator[tuple[str, int]]:
        """Where a node is told that its peers are: the first one where it is, the others where they were at first."""
        peers = [peer for peer in self.ids if peer != id]
        yield from ((peer, self.places[peer].told_port) for peer in peers[:1])
        yield from ((peer, self._first[peer].told_port) for peer in peers[1:])

    def start(self, *ids: str) -> "Cluster":
        """Start these nodes, or all, at once, and wait until they are ready."""
        for id in ids or self.ids:
            self.launch(id)
        return self.wait_ready(*ids)

    def wait_ready(self, *ids: str) -> "Cluster":
        """Wait until these nodes, or all, are ready and would take a push."""
        for id in ids or self.ids:
            wait_for(lambda id=id: self.is_ready(id), f"{id} is not ready", story=self.story)  # type: ignore[misc]
        return self

    def wait_whole(self) -> "Cluster":
        """Wait until every node is ready, and in session with every other."""
        self.wait_ready()
        for id in self.ids:
            wait_for(lambda id=id: self.is_whole(id), f"{id} lacks a peer", story=self.story)  # type: ignore[misc]
        return self

    def is_ready(self, id: str) -> bool:
        return self._says_yes(id, "ready")

    def is_answering(self, id: str) -> bool:
        return self._says_yes(id, "live")

    def _says_yes(self, id: str, check: str) -> bool:
        node = self.running[id]
        assert node.process.poll() is None, f"{id} ended with {node.process.returncode}:\n{node.log}"
        try:
            return node.request("GET", f"/health/{check}").status == 200
        except OSError:
            return False

    def is_whole(self, id: str) -> bool:
        """Whether a node is in session with all others."""
        peers = self.stats(id)["peers"].values()
        return all(peer["state"] == "in_session" for peer in peers)

    def stats(self, id: str) -> Any:
        return self.running[id].request("GET", "/stats").json

    def story(self) -> str:
        """What every node says of itself, and has written."""
        return "\n".join(f"--- {id}: {self._said(id)}\n{node.log}" for id, node in self.running.items())

    def _said(self, id: str) -> str:
        try:
            return f"{self.stats(id)}"
        except OSError as error:
            return f"{error}"

    def health(self, id: str, check: str) -> Any:
        return self.running[id].request("GET", f"/health/{check}").json

    def push(self, id: str, body: str, **headers: str) -> str:
        """Push through a node, which must succeed; the message's id."""
        answer = self.running[id].request("POST", "/push", body.encode(), headers)
        assert answer.status in (200, 201), answer.body
        return str(answer.json["id"])

    def kill(self, id: str) -> None:
        """End a node without a chance to say anything."""
        self.running.pop(id).kill()

    def move(self, id: str) -> Place:
        """Where the node's next process will be: at ports it never had."""
        self.places[id] = self._new_place(id)
        return self.places[id]

    def pause(self, id: str) -> None:
        self.running[id].send_signal(signal.SIGSTOP)

    def go_on(self, id: str) -> None:
        self.running[id].send_signal(signal.SIGCONT)

    def stand_by(self, id: str) -> RunningNode:
        """Start a second process of a node, at another address; the first one becomes old."""
        first = self.running.pop(id)
        self.old.append((id, first))
        self.move(id)
        self.launch(id)
        return first

    def end(self) -> None:
        """Kill those that are left."""
        self._nodes.end()
        if self.relays is not None:
            self.relays.close()

    def with_options(self, *options: str) -> "Cluster":
        """The same cluster; nodes started from now on get these options, too."""
        self.options = (*self.options, *options)
        return self
