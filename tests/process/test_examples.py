"""The example, as its reader runs it."""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.node import clean_environment

root = Path(__file__).resolve().parents[2]
seconds_max = 120


def run_example(folder: Path) -> str:
    """Run it in a new folder; what it prints."""
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    ran = subprocess.run(
        [root / "examples/run.py", "--folder", folder],
        env=clean_environment({"PATH": programs}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    log = folder / "log"
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}\n{log.read_text() if log.exists() else ''}"
    assert ran.stderr == ""
    return ran.stdout


def commands_that_name(folder: Path) -> list[bytes]:
    """The command lines of running processes that have this folder in them."""
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            commands.append(file.read_bytes())
    return [command for command in commands if str(folder).encode() in command]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_file_is_done_although_a_worker_is_killed_and_the_queue_is_too_small(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    output = run_example(folder)

    files = list((folder / "files").iterdir())
    assert len(files) == 16
    for file in files:
        data = file.read_bytes()
        assert gzip.decompress((folder / "results" / f"{file.name}.gz").read_bytes()) == data
        checksum = (folder / "results" / f"{file.name}.sha256").read_text()
        assert checksum == f"{hashlib.sha256(data).hexdigest()}  {file.name}\n"

    killed = re.search(r"killed worker 1 \(kill -9\) while it was at work on (.+)\n", output)
    assert killed is not None
    log = (folder / "log").read_text()
    assert f"worker 1: took {killed[1]} (delivery 1)\n" in log
    assert f"worker 1: done {killed[1]}\n" not in log
    assert re.search(rf"worker [23]: took {re.escape(killed[1])} \(delivery [2-9]\)\n", log)
    assert "push: not now (429)" in log
    assert "Traceback" not in log

    assert not commands_that_name(folder)  # nothing of it goes on

    totals = {name: int(count) for name, count in re.findall(r"([a-z ]+): (\d+)", output.splitlines()[-1])}
    assert totals["pushed"] == totals[" acknowledged"] == 16
    assert 16 < totals[" delivered"] <= 16 + totals[" leases ended"]
    assert totals[" leases ended"] >= 1
    assert totals[" refused as full"] >= 1


def test_a_node_is_killed_and_replaced_and_every_message_is_done(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, root / "examples/cluster.py"],
        env=clean_environment({"TMPDIR": str(tmp_path)}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    shown = (root / "examples/README.md").read_text().split("# Three nodes")[1].split("```")[3]
    assert ran.stdout == shown.removeprefix("\n")
    assert not list(tmp_path.iterdir())  # nor does anything of it stay


@pytest.mark.parametrize("example", ["worker.py", "cluster.py"])
def test_what_may_be_copied_needs_only_the_standard_library(example: str) -> None:
    text = (root / "examples" / example).read_text()
    modules = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    assert set(modules) <= sys.stdlib_module_names
