"""What the README tells its reader to type, typed."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.packaging.tree import blocks_of, copy_of_the_tree, plain_path, root, run
from tests.process.node import free_ports

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def test_the_first_commands_end_with_a_message_acknowledged_and_a_running_server(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    http_port, line_port = free_ports(2)
    commands = blocks_of("README.md")[0].replace(":8080", f":{http_port}")
    try:
        output = run(
            "bash", "-euo", "pipefail", "-c", f"exec 2>&1\n{commands}",
            cwd=tree,
            PATH=plain_path(),
            NO_PROXY="*",
            no_proxy="*",
            DQTW_HTTP=f"tcp:{http_port}:interface=127.0.0.1",
            DQTW_LINE=f"tcp:{line_port}:interface=127.0.0.1",
        )  # fmt: skip
        assert '"id"' in output
        assert "resize cat.jpg" in output
        assert "HTTP/1.1 204" in output
    finally:
        stop(tree / "twistd.pid")
    assert "messages that end with this node: 0" in (tree / "twistd.log").read_text()


def stop(pid_file: Path) -> None:
    """Do what the README says stops the server, and wait for it."""
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + 10
    while pid_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_second_command_is_what_ci_runs() -> None:
    (command,) = blocks_of("README.md")[1].splitlines()
    assert command in (root / ".ci/run").read_text()
