"""The signals that operators, terminals and log rotation send: none of them takes the queue away."""

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.process.node import Nodes, RunningNode, clean_environment, free_ports, run_twistd, start_seconds_max, twistd

harmless = (
    *("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGWINCH", "SIGIO", "SIGPROF", "SIGPWR", "SIGRTMIN"),
    *("SIGSTKFLT", "SIGVTALRM", "SIGRTMAX"),
)


def wait_for(file: Path, text: str) -> None:
    """Wait until a file has this text."""
    deadline = time.monotonic() + start_seconds_max
    while not file.exists() or text not in file.read_text():
        assert time.monotonic() < deadline, f"{text!r} is not in {file}"
        time.sleep(0.02)


def holds_its_message(node: RunningNode) -> bool:
    return bool(node.request("GET", "/stats").json["queueSize"] == 1)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_server_in_the_foreground_outlives_them_and_opens_its_log_again(form: str, nodes: Nodes) -> None:
    node = nodes.start(f"--log-format={form}", before=["--logfile=log"])
    node.request("POST", "/push", b"x")
    log = nodes.directory / "log"
    for name in harmless:
        node.send_signal(getattr(signal, name))
    wait_for(log, "SIGHUP: no option names a file that is read again")
    wait_for(log, "SIGUSR1: the log file is open again")
    wait_for(log, "SIGUSR2 does nothing here")
    wait_for(log, "SIGALRM does nothing here")
    assert holds_its_message(node)
    moved = log.rename(nodes.directory / "log.moved")
    node.send_signal(signal.SIGUSR1)
    wait_for(log, "SIGUSR1: the log file is open again")
    before = moved.read_text()
    node.send_signal(signal.SIGTSTP)
    node.send_signal(signal.SIGCONT)
    assert holds_its_message(node)
    assert node.stop(signal.SIGQUIT) == 0
    assert "stopped; messages that end with this node: 1" in log.read_text()
    assert moved.read_text() == before


def test_a_server_that_logs_to_standard_output_outlives_them(nodes: Nodes) -> None:
    node = nodes.start()
    node.request("POST", "/push", b"x")
    for name in harmless:
        node.send_signal(getattr(signal, name))
    node.wait_logged("SIGUSR1: there is no log file to open again")
    assert holds_its_message(node)
    assert "starting on" not in node.log  # Twisted's own words for what the server says itself
    assert node.stop() == 0
    assert "Closed)" not in node.log


def test_a_server_outlives_its_terminal(nodes: Nodes) -> None:
    """A server that was started by hand keeps its queue when the window is closed: its log has no place left."""
    controller, end = pty.openpty()
    http_port, line_port = free_ports(2)
    process = subprocess.Popen(
        [twistd, "-n", "--pidfile=", "dqtw", f"--http=tcp:{http_port}:interface=127.0.0.1", "--line=none"],
        cwd=nodes.directory,
        env=clean_environment(),
        stdin=end,
        stdout=end,
        stderr=end,
    )
    os.close(end)
    node = RunningNode(process, nodes.directory / "none", http_port, line_port)
    try:
        node.wait_ready()
        node.request("POST", "/push", b"x")
        os.close(controller)
        for _ in range(3):
            node.send_signal(signal.SIGHUP)
            assert holds_its_message(node)
        assert node.stop() == 0
    finally:
        node.kill()


def test_a_daemon_outlives_them_from_its_first_moment_on(tmp_path: Path) -> None:
    http_port, line_port = free_ports(2)
    doors = [f"--http=tcp:{http_port}:interface=127.0.0.1", f"--line=tcp:{line_port}:interface=127.0.0.1"]
    assert run_twistd(tmp_path, "dqtw", *doors).returncode == 0
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        for name in harmless:
            os.kill(pid, getattr(signal, name))
        wait_for(tmp_path / "twistd.log", "SIGUSR1: the log file is open again")
        wait_for(tmp_path / "twistd.log", "SIGALRM does nothing here")
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(tmp_path / "twistd.log", "Server Shut Down")
