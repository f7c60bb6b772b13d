#!/usr/bin/env python3
"""The whole example at once: a server, files as tasks, three workers, one of them killed at work; then the results.

Starts everything itself, on free ports of loopback, and stops it again. The exit status is 0 when every file was done
and nothing is left on the queue.
"""

import argparse
import gzip
import hashlib
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import IO, NamedTuple

here = Path(__file__).resolve().parent
files_count = 16
words_per_file = 200_000
size = 4  # the queue's bound: far fewer than there are files
lease_seconds = 2
patience_seconds = 60  # without any news, something is wrong


class Line(NamedTuple):
    """A line that a process wrote; None when it will write no more."""

    who: str
    text: str | None


class Example:
    """The processes, and what they tell."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "files"
        self.target = folder / "results"
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._news: queue.Queue[Line] = queue.Queue()
        self._done: set[str] = set()
        self.source.mkdir(parents=True)
        self.target.mkdir()
        self._log = (folder / "log").open("w")

    def run(self, http_port: int, line_port: int) -> None:
        """Do all of it."""
        names = self._make_files()
        http_port, line_port = self._start_server(http_port, line_port)
        url = f"http://127.0.0.1:{http_port}"
        print(f"made {len(names)} files, started a server whose queue has {size} slots: {url}")
        self._start("push", here / "push.sh", self.source, url)
        self._wait_for("push", r"not now \(429\): (.+); again")
        print("the queue is full, and refuses: the producer waits, and tries again")
        for number in 1, 2, 3:
            self._start(
                f"worker {number}",
                *(sys.executable, here / "worker.py", self.source, self.target),
                *(f"--port={line_port}", f"--lease={lease_seconds}"),
            )
        killed = self._kill_one_at_work()
        print(f"killed worker 1 (kill -9) while it was at work on {killed}")
        delivery = self._wait_for("worker [23]", rf"took {re.escape(killed)} \(delivery (\d+)\)")
        print(f"its lease ended: another worker got {killed}, delivery {delivery}")
        while self._done < names:
            self._next_line()
        if self._processes["push"].wait(patience_seconds) != 0:
            raise SystemExit("not every file was pushed")
        self._check(names, url)

    def _make_files(self) -> set[str]:
        chance = random.Random(1)
        words = ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(5000)]
        names = {f"text {number:02}.txt" for number in range(1, files_count + 1)}
        for name in names:
            (self.source / name).write_text(" ".join(chance.choices(words, k=words_per_file)))
        return names

    def _start_server(self, http_port: int, line_port: int) -> tuple[int, int]:
        """Start a server, and wait until it serves; its log says where."""
        beside = Path(sys.executable).with_name("twistd")
        self._start(
            "server",
            beside if beside.exists() else shutil.which("twistd") or "twistd",
            *("-n", "--pidfile=", "dqtw", f"--size={size}"),
            f"--http=tcp:{http_port}:interface=127.0.0.1",
            f"--line=tcp:{line_port}:interface=127.0.0.1",
        )
        ports = [int(self._wait_for("server", rf"{each} on 127\.0\.0\.1:(\d+)")) for each in ("REST", "lines")]
        self._wait_for("server", "(is ready)")
        return ports[0], ports[1]

    def _kill_one_at_work(self) -> str:
        """Kill worker 1 with a task in its hands; which one.

        Frozen first, it can't finish while we look. Its result is written before the task is acknowledged: when
        there is none, it is at work.
        """
        worker = self._processes["worker 1"]
        while True:
            name = self._wait_for("worker 1", r"took (.+) \(delivery")
            worker.send_signal(signal.SIGSTOP)
            os.waitpid(worker.pid, os.WUNTRACED)  # until it is frozen
            if not (self.target / f"{name}.sha256").exists():
                worker.kill()
                worker.wait()
                return name
            worker.send_signal(signal.SIGCONT)

    def _check(self, names: set[str], url: str) -> None:
        """See whether every result is right, and what the server says."""
        for name in names:
            data = (self.source / name).read_bytes()
            checksum = f"{hashlib.sha256(data).hexdigest()}  {name}\n"
            if gzip.decompress((self.target / f"{name}.gz").read_bytes()) != data:
                raise SystemExit(f"{name}.gz is wrong")
            if (self.target / f"{name}.sha256").read_text() != checksum:
                raise SystemExit(f"{name}.sha256 is wrong")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/stats") as answer:
            stats = json.load(answer)
        if stats["queueSize"] != 0:
            raise SystemExit(f"{stats['queueSize']} messages are left on the queue")
        print(f"all {len(names)} results are right, and the queue is empty")
        print(
            f"pushed: {stats['pushed']}, refused as full: {stats['refused']['full']}, delivered: {stats['delivered']}, "
            f"leases ended: {stats['lease_lost']}, acknowledged: {stats['acked']}"
        )

    def _start(self, who: str, *command: str | Path) -> None:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={name: value for name, value in os.environ.items() if not name.startswith("DQTW_")} | {"no_proxy": "*"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes[who] = process
        assert process.stdout is not None
        threading.Thread(target=self._listen, args=(who, process.stdout), daemon=True).start()

    def _listen(self, who: str, output: IO[str]) -> None:
        for line in output:
            self._news.put(Line(who, line.rstrip("\n")))
        self._news.put(Line(who, None))

    def _wait_for(self, who: str, pattern: str) -> str:
        """Wait until that process writes a line with this in it; what the pattern's group found."""
        while True:
            line = self._next_line()
            found = re.search(pattern, line.text or "")
            if found and re.fullmatch(who, line.who):
                return found[1]
            if line.text is None and line.who == who:
                raise SystemExit(f"{who} ended too soon")

    def _next_line(self) -> Line:
        try:
            line = self._news.get(timeout=patience_seconds)
        except queue.Empty:
            raise SystemExit("nothing happens any more") from None
        if line.text is not None:
            print(f"{line.who}: {line.text}", file=self._log, flush=True)
            if done := re.fullmatch("done (.+)", line.text):
                self._done.add(done[1])
        return line

    def stop(self) -> None:
        """End what still runs, the server last."""
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            process.wait(patience_seconds)
        self._log.close()


def main() -> None:
    """Run the example in a folder of its own."""
    parser = argparse.ArgumentParser(description="a folder of files, compressed by three workers, one of which dies")
    parser.add_argument("--folder", type=Path, help="a new folder, which is kept; without it, a temporary one is used")
    parser.add_argument("--http-port", type=int, default=0, help="any free one if not given")
    parser.add_argument("--line-port", type=int, default=0, help="any free one if not given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        example = Example(arguments.folder or Path(temporary))
        try:
            example.run(arguments.http_port, arguments.line_port)
        finally:
            example.stop()


if __name__ == "__main__":
    main()
