"""Commands that the documents show are run as they stand, with other ports and files."""

import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.cluster.__main__ import _parser
from tests.process.docs.blocks import Block, blocks, blocks_of, shown
from tests.process.docs.place import Place
from tests.process.docs.shell import steps
from tests.process.node import run_twistd
from tests.simulation import __main__ as simulation

seconds_max = 60
ready = re.compile(r"\bis ready\b|\bstarts as\b")
named = re.compile(r"dqtw: --(?P<option>[\w-]+)(?: \((?P<variable>\w+)\))?: (?:can't listen on )?'(?P<value>[^']*)'")


def test_every_block_is_tested() -> None:
    assert [block.name for block in blocks() if not block.kind] == []
    assert len(blocks()) > 50


def test_what_only_shows_something_stands_in_the_table_for_a_reason() -> None:
    pages = {block.page for block in blocks("shown", "dialogue")}
    assert pages >= {page for page, reason in shown.items() if reason}


@pytest.mark.parametrize("block", blocks("server"), ids=lambda block: block.name)
def test_a_server_starts_and_stops(block: Block, place: Place) -> None:
    text = place.here(block.text)
    moved = {} if "--http" in text or "--config" in text else place.default_listeners()
    log_file = place.directory / "log"
    with log_file.open("wb") as log:
        shell = subprocess.Popen(
            ["bash", "-euc", text],
            cwd=place.directory,
            env=place.environment(**moved),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + seconds_max
        while not ready.search(log_file.read_text()):
            assert shell.poll() is None, log_file.read_text()
            assert time.monotonic() < deadline, log_file.read_text()
            time.sleep(0.02)
        shell.send_signal(signal.SIGTERM)
        assert shell.wait(seconds_max) == 0, log_file.read_text()
    finally:
        shell.kill()
        shell.wait()


def test_commands_succeed(place: Place) -> None:
    for block in blocks("commands"):
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", place.here(block.text)],
            cwd=place.directory,
            env=place.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )
        assert ran.returncode == 0, f"{block.name}: {ran.stderr}"


def test_commands_for_other_machines_can_be_read() -> None:
    for block in blocks("elsewhere"):
        subprocess.run(["bash", "-n", "-c", block.text], check=True, timeout=seconds_max)


@pytest.mark.parametrize("block", blocks("installation"), ids=lambda block: block.name)
def test_the_package_is_installed_as_the_readme_does(block: Block) -> None:
    (readme, *_) = (each for each in blocks_of("README.md") if each.kind == "readme")
    for line in block.text.splitlines():
        assert "pip" not in line or line in readme.text or "dqtw" in line


def test_the_simulation_takes_the_commands_of_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [
        command.split("#")[0].split()
        for block in blocks_of("docs/explanation/simulation.md")
        if block.kind == "console"
        for command, _ in steps(block.text)
    ]
    assert commands
    for words in commands:
        assert words[:3] == ["python", "-m", "tests.simulation"]
        monkeypatch.setattr(sys, "argv", words[2:])
        simulation._arguments()


@pytest.mark.parametrize("block", blocks("module"), ids=lambda block: block.name)
def test_the_clusters_with_faults_take_the_commands_of_their_page(block: Block) -> None:
    for command in block.commands:
        words = command.split()
        assert words[:3] == ["python", "-m", "tests.cluster"]
        _parser().parse_args(words[3:])


def refusals() -> list[str]:
    """The lines that a server writes when it refuses an option, as the reference shows them."""
    shown = [block for block in blocks_of("docs/reference/options.md") if block.kind == "shown"]
    return [line for block in shown for line in block.text.splitlines()]


@pytest.mark.parametrize("line", refusals())
def test_an_option_is_refused_with_the_line_that_is_shown(line: str, place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place.ports["", "8080"] = taken.getsockname()[1]
        line = place.here(line)
        found = named.match(line)
        assert found is not None
        given = {found["variable"]: found["value"]} if found["variable"] else {}
        options = [] if given else [f"--{found['option']}={found['value']}"]
        ran = run_twistd(place.directory, "-n", "--pidfile=", "dqtw", *options, **given)
    assert ran.returncode == 1
    assert line in ran.stderr.splitlines()
