"""The pages about clusters, followed: nodes on one machine and on three, a check of them, and their end."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from attrs import define, field

from tests.process.docs.blocks import blocks_of
from tests.process.docs.place import Place
from tests.process.docs.shell import Shell, Transcript, steps

cluster_page, check_page, stop_page = (
    f"docs/how-to/{name}.md" for name in ("cluster", "test-a-cluster", "stop-a-cluster")
)
seconds_max = 60

pytestmark = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("curl", "openssl")), reason="needs curl and openssl"
)


@define
class Terminals:
    """Shells that each run a node in the foreground."""

    _shells: list[subprocess.Popen[bytes]] = field(factory=list)

    def run(self, command: str, place: Place) -> None:
        with (place.directory / "log").open("ab") as log:
            self._shells.append(
                subprocess.Popen(
                    ["bash", "-euc", command],
                    cwd=place.directory,
                    env=place.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

    def wait_until_pushes_are_accepted(self, port: int, log_file: Path) -> None:
        """Wait until the node at this port would accept a push; fail when a node ends meanwhile."""
        deadline = time.monotonic() + seconds_max
        while not accepts_pushes(port):
            assert all(shell.poll() is None for shell in self._shells), log_file.read_text()
            assert time.monotonic() < deadline, log_file.read_text()
            time.sleep(0.05)

    def stop(self) -> list[int]:
        """Send SIGTERM to every node at once, and return their exit statuses."""
        for shell in self._shells:
            shell.terminate()
        return [shell.wait(seconds_max) for shell in self._shells]

    def end(self) -> None:
        for shell in self._shells:
            shell.kill()
            shell.wait()


@pytest.fixture
def terminals() -> Iterator[Terminals]:
    terminals = Terminals()
    yield terminals
    terminals.end()


def accepts_pushes(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/health/push")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False


def test_three_terminals_of_one_machine(place: Place, terminals: Terminals) -> None:
    nodes = [block for block in blocks_of(cluster_page) if "--peer=" in block.text]
    assert len(nodes) == 3
    for block in nodes:
        terminals.run(place.here(block.text), place)
    for port in (8080, 8081, 8082):
        terminals.wait_until_pushes_are_accepted(place.port("", port), place.directory / "log")
    transcript = Transcript()
    with closing(Shell(place.directory, place.environment())) as shell:
        for block in blocks_of(cluster_page):
            for command, answer in steps(block.text) if block.kind == "console" else []:
                transcript.compare(answer, shell.type_in(place.here(command)))


def machines(tmp_path: Path) -> dict[str, Place]:
    """One place for each of the three machines, with the secrets of the first copied to the others."""
    ports: dict[tuple[str, str], int] = {}
    places = {f"10.0.0.{number}": Place(tmp_path / str(number), ports) for number in (1, 2, 3)}
    first = next(iter(places.values()))
    first.directory.mkdir()
    (made,) = (block for block in blocks_of(cluster_page) if "openssl" in block.text)
    subprocess.run(["bash", "-euc", first.here(made.text)], check=True, env=first.environment())
    for host, place in places.items():
        if place is not first:
            shutil.copytree(first.directory, place.directory)
        (shared,) = (block for block in blocks_of(cluster_page) if block.kind == "toml")
        (place.directory / "dqtw.toml").write_text(place.here(shared.text, host))
    return places


def test_three_machines_are_checked_and_stopped(tmp_path: Path, terminals: Terminals) -> None:
    places = machines(tmp_path)
    (command,) = (
        block.text for block in blocks_of(cluster_page) if "--config" in block.text and block.kind == "cluster"
    )
    for id, (host, place) in zip("abc", places.items(), strict=True):
        terminals.run(place.here(command.replace("--node=a", f"--node={id}"), host), place)
    for host, place in places.items():
        terminals.wait_until_pushes_are_accepted(place.port(host, 8080), place.directory / "log")
    first = next(iter(places.values()))
    check_as_shown(first)
    transcript = Transcript()
    with closing(Shell(first.directory, first.environment())) as shell:
        for block in blocks_of(stop_page):
            for typed, answer in steps(block.text) if block.kind == "console" else []:
                transcript.compare(answer, shell.type_in(first.here(typed)))
    assert terminals.stop() == [0, 0, 0]


def check_as_shown(place: Place) -> None:
    """Run the check for two seconds, and compare the findings that it prints with those that are shown."""
    (command,) = (block.text for block in blocks_of(check_page) if block.kind == "cluster")
    token = (place.directory / "tokens").read_text().strip()
    ran = subprocess.run(
        ["bash", "-euc", place.here(command).replace("--seconds 60", "--seconds 2")],
        cwd=place.directory,
        env=place.environment(DQTW_TOKEN=token),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (table,) = (block.text for block in blocks_of(check_page) if block.kind == "shown")
    finding = re.compile(r"^(.+?) {2,}\d+  (.+)$", re.MULTILINE)
    assert [found[1] for found in finding.finditer(ran.stdout)] == [found[1] for found in finding.finditer(table)]
