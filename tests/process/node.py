"""A real node in a process of its own, for tests that look at it from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

start_seconds_max = 60.0
stop_seconds_max = 60.0

twistd = str(Path(sys.executable).with_name("twistd"))


_reserved: deque[socket.socket] = deque()
_reserved_max = 256  # more than any test uses


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on, and that nobody else gets while a test uses them.

    A socket of this process keeps each one, without listening. A server may listen there all the same, also a second
    time, as its address may be shared with a socket that does not listen; neither other tests nor outgoing connections
    are given such a port. The oldest are let go.
    """
    ports = [_reserve() for _ in range(count)]
    while len(_reserved) > _reserved_max:
        _reserved.popleft().close()
    return ports


def _reserve() -> int:
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)
    return int(reserved.getsockname()[1])


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anything that a node would take for its options."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DQTW_")}
    return {**ours, **(extra or {})}


def run_twistd(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run twistd in a directory until it ends or has become a daemon."""
    return subprocess.run(
        [twistd, *arguments],
        cwd=directory,
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=start_seconds_max,
        check=False,
    )


@frozen
class HttpAnswer:
    """What the REST door answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@define
class LineClient:
    """A connection to the line door."""

    _socket: socket.socket
    _file: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file = self._socket.makefile("rb")

    def ask(self, request: str, body: bytes | None = None) -> str:
        """Send one command, with its body if it has one, and return the line that answers it."""
        data = request.encode() + b"\r\n"
        self._socket.sendall(data if body is None else data + body + b"\r\n")
        return self.line()

    def send(self, line: str) -> None:
        """Send a line, which may be the body of the one before it."""
        self._socket.sendall(line.encode() + b"\r\n")

    def line(self) -> str:
        return str(self._file.readline().decode().removesuffix("\r\n"))

    def body(self, length: int) -> bytes:
        """The body that an answer's line announced."""
        body = bytes(self._file.read(length))
        assert self._file.read(2) == b"\r\n"
        return body

    def get(self, request: str = "GET") -> tuple[str, bytes] | None:
        """A delivery's receipt and body; None for EMPTY."""
        answer = self.ask(request)
        if answer == "EMPTY":
            return None
        word, receipt, _attempt, length, *_ = answer.split(" ")
        assert word == "MSG"
        return receipt, self.body(int(length))

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@define
class RunningNode:
    """One ``twistd -n dqtw`` process; only this very process is ever signalled.

    Attributes:
        process: the process.
        log_file: what it writes, standard output and standard error.
        http_port: of its REST door.
        line_port: of its line door.
    """

    process: subprocess.Popen[bytes]
    log_file: Path
    http_port: int
    line_port: int

    @property
    def log(self) -> str:
        """All it has written so far."""
        return self.log_file.read_text()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """One request to the REST door, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.http_port, timeout=35)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return HttpAnswer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    @contextmanager
    def line(self) -> Iterator[LineClient]:
        """A connection to the line door."""
        client = LineClient(socket.create_connection(("127.0.0.1", self.line_port), timeout=35))
        try:
            yield client
        finally:
            client.close()

    def wait_ready(self) -> "RunningNode":
        """Wait until it serves; tells its log when it does not."""
        deadline = time.monotonic() + start_seconds_max
        while not self._is_ready():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"not ready in time:\n{self.log}"
            time.sleep(0.02)
        return self

    def _is_ready(self) -> bool:
        try:
            return self.request("GET", "/health/ready").status == 200
        except OSError:
            return False

    def wait_logged(self, text: str) -> None:
        """Wait until its log has this text."""
        deadline = time.monotonic() + start_seconds_max
        while text not in self.log:
            assert time.monotonic() < deadline, f"{text!r} is not in its log:\n{self.log}"
            time.sleep(0.02)

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status; negative for the signal that killed it."""
        return self.process.wait(stop_seconds_max)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to leave; its exit status."""
        self.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """End it without a chance to say anything."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@define
class Nodes:
    """Starts nodes in a directory, and ends those that are left."""

    directory: Path
    twistd: str = twistd
    _started: list[RunningNode] = field(factory=list)

    def launch(self, *options: str, before: Sequence[str] = (), **environment: str) -> RunningNode:
        """Start a node on ports of its own, without waiting for it.

        Args:
            *options: of ``twistd dqtw``, after those that name the ports.
            before: what stands before ``dqtw`` on the command line, twistd's own options.
            **environment: variables it gets besides this process's own.
        """
        http_port, line_port = free_ports(2)
        return self.launch_on(http_port, line_port, *options, before=before, **environment)

    def launch_on(
        self,
        http_port: int,
        line_port: int,
        *options: str,
        before: Sequence[str] = (),
        program: str = "",
        **environment: str,
    ) -> RunningNode:
        """Start a node on these ports, without waiting for it; a door whose port is 0 is closed."""
        log_file = self.directory / f"node-{len(self._started)}.log"
        doors = [f"--http={_endpoint(http_port)}", f"--line={_endpoint(line_port)}"]
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [program or self.twistd, "-n", "--pidfile=", *before, "dqtw", *doors, *options],
                cwd=self.directory,
                env=clean_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        node = RunningNode(process, log_file, http_port, line_port)
        self._started.append(node)
        return node

    def start(self, *options: str, before: Sequence[str] = (), **environment: str) -> RunningNode:
        """Start a node and wait until it serves."""
        return self.launch(*options, before=before, **environment).wait_ready()

    def end(self) -> None:
        """Kill those that still run."""
        for node in self._started:
            node.kill()


def _endpoint(port: int) -> str:
    return f"tcp:{port}:interface=127.0.0.1" if port else "none"
