#!/usr/bin/env python3
"""A worker: gets tasks from a dqtw server over the line protocol and does them, for ever.

A task is the name of a file in the input folder. Its result is two files in the output folder: NAME.gz, the file
compressed, and NAME.sha256, the checksum of what was compressed, as ``sha256sum --check`` reads it.

A task may be delivered twice: when a worker dies after the work and before the acknowledgement, or takes longer than
its lease. So the work may be done twice without harm: the same task gives the same bytes, and they take their place
in the output folder all at once.
"""

import argparse
import gzip
import hashlib
import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

chunk_bytes = 64 * 1024
wait_seconds = 30
pause_seconds = 1  # after a failure, of the connection or of a task


class Refused(Exception):
    """The server answered ERR.

    Attributes:
        code: the stable word that says why.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class Task(NamedTuple):
    """One delivery: what is to be done, and the receipt with which its worker acknowledges."""

    receipt: str
    attempt: int
    body: bytes


class Server:
    """A connection to the server. One command at a time: each is answered by one line, some by a body as well."""

    def __init__(self, host: str, port: int, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection((host, port), timeout=2 * wait_seconds)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname=host)
        self._answers = self._socket.makefile("rb")
        if token:
            self._ask(f"AUTH {token}")

    def get(self, lease_s: float) -> Task | None:
        """Wait for a task; None if there was none for a while."""
        word, *words = self._ask(f"GET wait={wait_seconds} lease={lease_s}")
        if word == "EMPTY":
            return None
        receipt, attempt, length = words[:3]
        return Task(receipt, int(attempt), self._body(int(length)))

    def touch(self, receipt: str) -> None:
        """Start the lease anew, as the work goes on."""
        self._ask(f"TOUCH {receipt}")

    def nack(self, receipt: str, delay_s: float) -> None:
        """Give the task back, for another try in a while."""
        self._ask(f"NACK {receipt} delay={delay_s}")

    def ack(self, receipt: str) -> None:
        """Say that the work is done; it also is when another worker did it and was first to say so."""
        try:
            self._ask(f"ACK {receipt}")
        except Refused as refused:
            if refused.code != "unknown":
                raise

    def _ask(self, request: str) -> list[str]:
        self._socket.sendall(request.encode() + b"\r\n")
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        words = line.decode().removesuffix("\r\n").split(" ")
        if words[0] == "ERR":
            raise Refused(words[1], " ".join(words[2:]))
        return words

    def _body(self, length: int) -> bytes:
        body = self._answers.read(length + 2)
        if len(body) < length + 2:
            raise ConnectionError("the server closed the connection")
        return body[:length]

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._socket.close()


class Worker:
    """Does tasks, from one folder into another."""

    def __init__(self, source: Path, target: Path, lease_s: float) -> None:
        self._source = source
        self._target = target
        self._lease_s = lease_s

    def work(self, server: Server) -> None:
        """Take tasks and do them until the connection ends."""
        while True:
            task = server.get(self._lease_s)
            if task is not None:
                self._take(server, task)

    def _take(self, server: Server, task: Task) -> None:
        name = task.body.decode(errors="replace")
        say(f"took {name} (delivery {task.attempt})")
        try:
            self._do(name, self._keeper(server, task))
        except Refused as refused:
            say(f"left {name}: {refused}")  # the lease ended, so it may be another worker's by now
        except (OSError, ValueError) as error:
            say(f"failed {name}: {error}")
            server.nack(task.receipt, pause_seconds)
        else:
            server.ack(task.receipt)
            say(f"done {name}")

    def _keeper(self, server: Server, task: Task) -> Callable[[], None]:
        """Return a function to call now and then during the work: it keeps the lease from ending."""
        touched = time.monotonic()

        def keep() -> None:
            nonlocal touched
            if time.monotonic() - touched > self._lease_s / 3:
                server.touch(task.receipt)
                touched = time.monotonic()

        return keep

    def _do(self, name: str, keep: Callable[[], None]) -> None:
        if name in ("", ".", "..") or Path(name).name != name:
            raise ValueError("that is not a file name")
        digest = hashlib.sha256()
        with (
            (self._source / name).open("rb") as source,
            replaced(self._target / f"{name}.gz") as target,
            # The time in a gzip file's head would make each try's bytes differ.
            gzip.GzipFile(filename="", fileobj=target, mode="wb", mtime=0) as compressed,
        ):
            while chunk := source.read(chunk_bytes):
                digest.update(chunk)
                compressed.write(chunk)
                keep()
        with replaced(self._target / f"{name}.sha256") as target:
            target.write(f"{digest.hexdigest()}  {name}\n".encode())


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its place as a whole, or not at all."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def say(text: str) -> None:
    """Print one line, at once."""
    print(text, flush=True)


def main() -> None:
    """Work, and connect again when the connection ends."""
    parser = argparse.ArgumentParser(description="compresses files that a dqtw server names")
    parser.add_argument("source", type=Path, help="the folder the files are in")
    parser.add_argument("target", type=Path, help="the folder the results go to")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7711, help="of the server's line listener (7711)")
    parser.add_argument("--token-file", type=Path, help="its first word is the token to show ($DQTW_TOKEN)")
    parser.add_argument("--tls", action="store_true", help="connect over TLS")
    parser.add_argument("--ca", help="authorities that the server's certificate is checked against (the system's)")
    parser.add_argument(
        "--lease", type=float, default=60, help="seconds until a task whose worker is silent is another's"
    )
    arguments = parser.parse_args()
    worker = Worker(arguments.source, arguments.target, arguments.lease)
    token = arguments.token_file.read_text().split()[0] if arguments.token_file else os.environ.get("DQTW_TOKEN", "")
    tls = ssl.create_default_context(cafile=arguments.ca) if arguments.tls or arguments.ca else None
    while True:
        try:
            server = Server(arguments.host, arguments.port, token, tls)
            try:
                worker.work(server)
            finally:
                server.close()
        except (OSError, Refused) as error:
            say(f"not now: {error}")
            time.sleep(pause_seconds)


if __name__ == "__main__":
    main()
