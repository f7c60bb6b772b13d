"""The load: so many clients, each with so many operations under way, in a process of its own.

Reads what to do as JSON from its standard input, and writes what it saw as JSON to its standard output. An operation
is a push; a get and its acknowledgement; or all three, one after the other.
"""

import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from attrs import define, field

from benchmarks.doors import Answer, Door, doors

read_bytes = 256 * 1024
operations = {"push": ("push",), "get+ack": ("get", "ack"), "cycle": ("push", "get", "ack")}


class Load(NamedTuple):
    """What to do.

    Attributes:
        door: the door's name.
        ports: where it is; the clients are spread over them.
        operation: the operation's name.
        clients: how many connections.
        depth: how many operations each has under way.
        total: after how many operations to stop.
        seconds: after how many seconds to stop, if that comes first.
        body_bytes: the size of a pushed message.
    """

    door: str
    ports: list[int]
    operation: str
    clients: int
    depth: int
    total: int
    seconds: float
    body_bytes: int


class Seen(NamedTuple):
    """What came of it: operations done in so many seconds, their times in milliseconds, and refusals by their code."""

    done: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: dict[str, int]

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.done / self.seconds


@define
class Operation:
    """One operation under way."""

    began: float
    step: int = 0


@define
class Client:
    """One connection."""

    socket: socket.socket
    due: deque[Operation] = field(factory=deque)
    received: bytes = b""
    unsent: bytes = b""


class Clients:
    """All connections of one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._door: Door = doors[load.door]
        self._steps = operations[load.operation]
        self._push = self._door.push(b"x" * load.body_bytes)
        self._selector = selectors.DefaultSelector()
        self._left = load.total
        self._under_way = 0
        self._times: list[float] = []
        self._refused: Counter[str] = Counter()
        self._clients = [Client(self._connect(number)) for number in range(load.clients)]

    def run(self) -> Seen:
        """Do all of it."""
        began = time.perf_counter()
        until = began + self._load.seconds
        for client in self._clients:
            self._send(client, b"".join(self._begin(client, min(self._load.depth, self._left))))
        while self._under_way:
            now = time.perf_counter()
            if now > until:
                self._left = 0
            for key, events in self._selector.select(10):
                self._serve(key.data, events)
        seconds = time.perf_counter() - began
        for client in self._clients:
            client.socket.close()
        return self._seen(seconds)

    def _connect(self, number: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._load.ports[number % len(self._load.ports)]))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(0)
        return connection

    def _begin(self, client: Client, count: int) -> Iterator[bytes]:
        for _ in range(count):
            self._left -= 1
            self._under_way += 1
            client.due.append(Operation(time.perf_counter()))
            yield self._request(self._steps[0], "")

    def _request(self, step: str, receipt: str) -> bytes:
        if step == "push":
            return self._push
        return self._door.get() if step == "get" else self._door.ack(receipt)

    def _serve(self, client: Client, events: int) -> None:
        if events & selectors.EVENT_READ:
            data = client.socket.recv(read_bytes)
            if not data:
                raise SystemExit("the server has closed a connection")
            client.received += data
            self._send(client, b"".join(self._answers(client)))
        elif events & selectors.EVENT_WRITE:
            self._send(client, b"")

    def _answers(self, client: Client) -> Iterator[bytes]:
        """Take all answers that have come; what is to be sent next."""
        at = 0
        while (found := self._door.read(client.received, at)) is not None:
            answer, at = found
            yield from self._go_on(client, client.due.popleft(), answer)
        client.received = client.received[at:]

    def _go_on(self, client: Client, operation: Operation, answer: Answer) -> Iterator[bytes]:
        operation.step += 1
        if not answer.code and operation.step < len(self._steps):
            client.due.append(operation)
            yield self._request(self._steps[operation.step], answer.receipt)
            return
        self._under_way -= 1
        if answer.code:
            self._refused[answer.code] += 1
        else:
            self._times.append(time.perf_counter() - operation.began)
        if self._left > 0:
            yield from self._begin(client, 1)

    def _send(self, client: Client, data: bytes) -> None:
        client.unsent += data
        if client.unsent:
            with suppress(BlockingIOError):
                client.unsent = client.unsent[client.socket.send(client.unsent) :]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
        known = self._selector.get_map().get(client.socket)
        if known is None:
            self._selector.register(client.socket, wanted, client)
        elif known.events != wanted:
            self._selector.modify(client.socket, wanted, client)

    def _seen(self, seconds: float) -> Seen:
        times = sorted(self._times) or [0.0]
        p50, p99 = (1000 * times[int(len(times) * share)] for share in (0.5, 0.99))
        return Seen(len(self._times), seconds, p50, p99, dict(self._refused))


def main() -> None:
    """Do what the standard input says."""
    told: dict[str, Any] = json.load(sys.stdin)
    print(json.dumps(Clients(Load(**told)).run()._asdict()))


if __name__ == "__main__":
    main()
