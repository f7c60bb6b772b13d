"""The command ``python -m dqtw.check``: what it says of a server, and when it says that it cannot tell."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.process.node import Nodes, RunningNode, clean_environment, free_ports

unreplicated = ("--node=a", "--peer=b=http://127.0.0.1:9", "--start-wait=0.2")


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command in a fresh directory."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dqtw.check", "run", "--seconds=1", "--clients=5", *arguments],
            cwd=tmp_path,
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def other_service() -> Iterator[int]:
    """The port of a web server that is not dqtw."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_says_at_once_when_there_is_nothing_to_check(check: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    (port,) = free_ports(1)
    begun = time.monotonic()
    for option, scheme in (("--http", "http"), ("--line", "line")):
        ran = check(option, f"127.0.0.1:{port}", "--seconds=60")
        assert ran.returncode == 2
        assert f"cannot tell: {scheme}://127.0.0.1:{port}: [Errno 111] Connection refused" in ran.stderr
    assert time.monotonic() - begun < 10


def test_it_says_when_something_else_answers(
    check: Callable[..., subprocess.CompletedProcess[str]], other_service: int, nodes: Nodes
) -> None:
    ran = check("--http", f"127.0.0.1:{other_service}")
    assert (ran.returncode, "not a dqtw node" in ran.stderr) == (2, True), ran.stderr
    node = nodes.start()
    ran = check("--line", f"127.0.0.1:{node.http_port}")
    assert ran.returncode == 2
    ran = check("--http", f"127.0.0.1:{node.line_port}")
    assert ran.returncode == 2
    node.request("POST", "/push", b"in use")
    ran = check("--http", f"127.0.0.1:{node.http_port}")
    assert (ran.returncode, "messages on the queue" in ran.stderr) == (2, True), ran.stderr


def test_a_server_with_tokens_over_tls(
    check: Callable[..., subprocess.CompletedProcess[str]], nodes: Nodes, tmp_path: Path
) -> None:
    authority = Authority.make()
    authority.write(tmp_path, authority.server())
    (tmp_path / "tokens").write_text("sesame\n")
    (tmp_path / "wrong").write_text("simsim\n")
    https, tls = free_ports(2)
    where = "privateKey=privkey.pem:certKey=cert.pem:extraCertChain=chain.pem:interface=127.0.0.1"
    nodes.start("--token-file=tokens", f"--http=ssl:{https}:{where}", f"--line=ssl:{tls}:{where}")
    addresses = ("--http", f"https://localhost:{https}", "--line", f"tls://localhost:{tls}")
    ca = "--ca=root.pem"
    right = check(*addresses, ca, "--token-file=tokens")
    assert right.returncode == 0, right.stdout + right.stderr
    assert check(*addresses, ca, DQTW_TOKEN="sesame").returncode == 0
    for wrong in (check(*addresses, ca, "--token-file=wrong"), check(*addresses, ca)):
        assert (wrong.returncode, "unauthorized" in wrong.stderr) == (2, True), wrong.stderr
    unchecked = check(*addresses, "--token-file=tokens")
    assert (unchecked.returncode, "CERTIFICATE_VERIFY_FAILED" in unchecked.stderr) == (2, True), unchecked.stderr


def served_by(nodes: Nodes, *options: str) -> RunningNode:
    node = nodes.launch(*options)
    node.wait_logged("serving")
    return node


def test_a_node_that_accepts_no_push_is_not_ok(
    check: Callable[..., subprocess.CompletedProcess[str]], nodes: Nodes
) -> None:
    node = served_by(nodes, *unreplicated)
    ran = check("--http", f"127.0.0.1:{node.http_port}", "--line", f"127.0.0.1:{node.line_port}")
    assert ran.returncode == 2, ran.stdout
    assert "CANNOT TELL: no push was accepted: " in ran.stdout
    assert "VIOLATION" not in ran.stdout
