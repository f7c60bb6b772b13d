"""Sockets in the file system: one process at a time, and no start that needs a hand."""

import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from dqtw.net import unix_socket
from dqtw.net.unix_socket import UnixEndpoint
from tests.process.node import LineClient, Nodes, run_twistd

# Real daemons.


def ping(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        return LineClient(client).ask("PING")


def daemon(directory: Path, name: str) -> tuple[int, str]:
    """Start a daemon that listens on the socket; twistd's own status, and what it said."""
    options = (f"--pidfile={name}.pid", f"--logfile={name}.log", "dqtw", "--http=none", "--line=unix:s:mode=600")
    ran = run_twistd(directory, *options)
    return ran.returncode, ran.stderr


def end_daemon(directory: Path, name: str, number: int) -> None:
    pid = int((directory / f"{name}.pid").read_text())
    os.kill(pid, number)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_daemon_leaves_the_socket_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert daemon(tmp_path, "first") == (0, "")
    try:
        status, said = daemon(tmp_path, "second")
        assert (status, said) == (1, "dqtw: --line: can't listen on 'unix:s:mode=600': another process listens there\n")
        assert ping(path) == "PONG"
        assert path.stat().st_mode & 0o777 == 0o600
        assert [each.name for each in tmp_path.iterdir() if "lock" in each.name] == []
    finally:
        end_daemon(tmp_path, "first", signal.SIGTERM)
    assert not path.exists()
    log = (tmp_path / "first.log").read_text()
    assert f"lines on unix:{path}" in log
    assert "stopped;" in log
    assert "Traceback" not in log


def test_after_a_kill_the_next_start_simply_works(nodes: Nodes) -> None:
    path = nodes.directory / "s"
    options = (f"--line=unix:{path}", "--http=haproxy:unix:h")
    nodes.start(*options).kill()
    assert path.is_socket()
    again = nodes.start(*options)
    assert ping(path) == "PONG"
    assert again.stop() == 0
    assert not path.exists()


# One start after another, and many at once, in this process.


class Listening:
    """A port that listens, and its reactor."""

    def __init__(self, path: Path) -> None:
        self.reactor: Any = MemoryReactorClock()
        endpoint = UnixEndpoint(cast(ReactorBase, self.reactor), str(path))
        self.port: Any = None
        self.error = ""
        listening = endpoint.listen(cast(IProtocolFactory, Factory()))
        listening.addCallbacks(self._listens, lambda failure: setattr(self, "error", failure.getErrorMessage()))

    def _listens(self, port: object) -> None:
        self.port = port

    def stop(self) -> None:
        stopped: Deferred[None] = self.port.stopListening()
        self.reactor.advance(0)
        assert stopped.called

    def die(self) -> None:
        """Be gone as after SIGKILL: the socket is closed, its name stays."""
        self.port.socket.close()


def test_a_name_is_free_again_when_its_process_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = Listening(path)
    assert Listening(path).error == "another process listens there"
    first.die()
    second = Listening(path)
    assert not second.error
    second.stop()
    assert not path.exists()


def test_a_listener_that_is_too_busy_to_accept_is_alive(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = Listening(path)
    waiting = []
    with pytest.raises(BlockingIOError):
        while True:
            waiting.append(client := socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect(str(path))
    assert Listening(path).error == "another process listens there"
    for client in waiting:
        client.close()
    first.stop()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_not_a_socket_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("elsewhere")
    assert Listening(path).error == "a file is there that is not a socket"
    assert path.is_dir() if kind == "directory" else path.lstat()


def test_a_socket_of_another_kind_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        assert "wrong type" in Listening(path).error
    assert path.exists()


def test_a_port_takes_no_other_port_s_name_away(tmp_path: Path) -> None:
    """An operator who removed the socket of a live process, and started another, keeps the other's."""
    path = tmp_path / "s"
    first = Listening(path)
    path.unlink()
    second = Listening(path)
    first.stop()
    assert path.exists()
    path.unlink()
    second.stop()


def test_of_many_starts_at_once_one_gets_the_name_that_was_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "s"
    Listening(path).die()
    for _ in range(20):
        started: list[Listening] = []
        ready = threading.Barrier(8)

        def start(started: list[Listening] = started, ready: threading.Barrier = ready) -> None:
            ready.wait()
            started.append(Listening(path))

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (one,) = (each for each in started if not each.error)
        assert {each.error for each in started} == {"", "another process listens there"}
        one.die()


def test_a_directory_that_stays_locked_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix_socket, "lock_wait_s_max", 0.05)
    with unix_socket._alone_in(str(tmp_path)):
        assert Listening(tmp_path / "s").error == "another process keeps its directory locked"
    assert Listening(tmp_path / "none" / "s").error.endswith(f"No such file or directory: '{tmp_path}/none'")
