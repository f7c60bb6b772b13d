"""Nodes on machines of their own, as far as their network is concerned: packets are dropped, machines fall silent."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define, field

from tests.cluster.cluster import root, wait_for
from tests.cluster.namespaces import Namespaces, namespaces, why_not
from tests.process.node import clean_environment, twistd

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@define
class Machines:
    """Nodes in namespaces, each on the same ports of its own address."""

    network: Namespaces
    directory: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(factory=dict)
    _logs: dict[str, Path] = field(factory=dict)

    def start(self, id: str) -> None:
        """Start a node without waiting for it."""
        address = self.network.address(id)
        peers = [f"--peer={each}=http://{self.network.address(each)}:8081" for each in self.network.ids if each != id]
        options = [f"--{door}=tcp:{port}:interface={address}" for door, port in (("http", 8080), ("line", 7711))]
        options += [f"--peer-listen=tcp:8081:interface={address}", f"--peer-secret-file={self.directory / 'secret'}"]
        command = [twistd, "-n", "--pidfile=", "dqtw", f"--node={id}", *peers, *options]
        command += ["--insecure-clients", "--push-timeout=2"]
        self._logs[id] = self.directory / f"{id}-{time.monotonic_ns()}.log"
        self.processes[id] = self._run(self.network.of(id), command, self._logs[id])

    def _run(self, namespace: str, command: list[str], log_file: Path) -> subprocess.Popen[bytes]:
        with log_file.open("wb") as log:
            return subprocess.Popen(
                self.network.inside(namespace, *command),
                cwd=self.directory,
                env=clean_environment({"PYTHONPATH": str(root)}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self, id: str) -> str:
        return self._logs[id].read_text()

    def logs(self) -> str:
        return "\n".join(f"--- {id}\n{self.log(id)}" for id in self._logs)

    def wait_ready(self, *ids: str) -> None:
        for id in ids or self.network.ids:
            wait_for(lambda id=id: "] ready\n" in self.log(id), f"{id} is not ready", story=self.logs)  # type: ignore[misc]

    def kill(self, id: str) -> None:
        self.processes[id].kill()
        self.processes[id].wait()

    def check(self, seconds: float) -> subprocess.Popen[bytes]:
        """Run the command of the check where clients are."""
        addresses = [self.network.address(id) for id in self.network.ids]
        command = [sys.executable, "-m", "dqtw.check", "run", f"--seconds={seconds}", "--clients=8"]
        command += ["--http", *(f"http://{each}:8080" for each in addresses)]
        command += ["--line", *(f"{each}:7711" for each in addresses)]
        command += ["--history", str(self.directory / "history.jsonl")]
        return self._run(self.network.hub, command, self.directory / "check.log")

    def end(self) -> None:
        for id in self.processes:
            self.kill(id)
        for log in self._logs.values():
            assert "Traceback" not in log.read_text()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with namespaces("a", "b", "c") as network, started(network, tmp_path) as machines:
        yield machines


@contextmanager
def started(network: Namespaces, directory: Path) -> Iterator[Machines]:
    (directory / "secret").write_text("a secret that all nodes share\n")
    machines = Machines(network, directory)
    try:
        for id in network.ids:
            machines.start(id)
        machines.wait_ready()
        yield machines
    finally:
        machines.end()


def test_partitions_and_silent_machines_break_no_promise(machines: Machines) -> None:
    checking = machines.check(16)
    network = machines.network
    try:
        wait_for((machines.directory / "history.jsonl").exists, "the check does not start")
        time.sleep(2)
        for source, target in (("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")):
            network.cut(source, target)
        time.sleep(7)
        network.heal()
        time.sleep(1)
        network.cut("b", "c")
        time.sleep(3)
        machines.kill("c")
        network.heal()
        machines.start("c")
        machines.wait_ready("c")
        status = checking.wait(300)
    finally:
        checking.kill()
        checking.wait()
    table = (machines.directory / "check.log").read_text()
    assert status == 0, table
    assert re.search(r"push ok \d{2}", table), table
    assert "is not linked" in machines.log("a")
