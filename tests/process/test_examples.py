"""The example, as its reader runs it."""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.process.node import Nodes, clean_environment, free_ports

root = Path(__file__).resolve().parents[2]
page = (root / "examples/README.md").read_text()
programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
seconds_max = 120
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def run_example(folder: Path) -> str:
    """Run it in a new folder; what it prints."""
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


@needs_curl
def test_every_file_is_done_although_a_worker_is_killed_and_the_queue_is_too_small(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    output = run_example(folder)
    shown = page.split("```text\n")[1].split("```")[0]
    assert re.sub(r"\d+", "…", output) == re.sub(r"\d+", "…", shown)

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
    shown = page.split("# Three nodes")[1].split("```text\n")[1].split("```")[0]
    assert ran.stdout == shown
    assert not list(tmp_path.iterdir())  # nor does anything of it stay


def by_hand() -> list[str]:
    """The commands that the page gives for workers and a producer, and those that check the results."""
    return [text.split("```")[0] for text in page.split("## By hand")[1].split("# Three nodes")[0].split("```sh\n")[1:]]


def work_by_hand(directory: Path, worker_options: str, url: str, **environment: str) -> None:
    """Run the commands of the page on a folder of files, and check the results as it says."""
    work, check = by_hand()
    work = work.replace("worker.py files results", f"worker.py files results {worker_options}")
    work = work.replace("push.sh files", f"push.sh files {url}")
    (directory / "examples").symlink_to(root / "examples")
    (directory / "files").mkdir()
    names = [f"a file {number}" for number in range(5)]
    for name in names:
        (directory / "files" / name).write_text(name)
    done = " && ".join(f"[ -e 'results/{name}.sha256' ]" for name in names)
    ran = subprocess.run(
        ["bash", "-euc", f"trap 'kill $(jobs -p)' EXIT\n{work}\nuntil {done}; do sleep 0.05; done\n{check}"],
        cwd=directory,
        env=clean_environment({"PATH": programs, "NO_PROXY": "*", **environment}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout


@needs_curl
def test_workers_and_a_producer_are_started_by_hand(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start("--size=2")
    work_by_hand(tmp_path, f"--port {node.line_port}", f"http://127.0.0.1:{node.http_port}")


@needs_curl
def test_workers_and_a_producer_show_a_token_over_tls(nodes: Nodes, tmp_path: Path) -> None:
    authority = Authority.make()
    authority.write(tmp_path, authority.server())
    (tmp_path / "tokens").write_text("sesame\n")
    https, tls = free_ports(2)
    where = "privateKey=privkey.pem:certKey=cert.pem:extraCertChain=chain.pem:interface=127.0.0.1"
    nodes.start("--token-file=tokens", f"--http=ssl:{https}:{where}", f"--line=ssl:{tls}:{where}")
    work_by_hand(
        tmp_path,
        f"--host localhost --port {tls} --ca {tmp_path}/root.pem --token-file {tmp_path}/tokens",
        f"https://localhost:{https}",
        DQTW_TOKEN="sesame",
        CURL_CA_BUNDLE=f"{tmp_path}/root.pem",
    )


class LowerCaseProxy(BaseHTTPRequestHandler):
    """Answers like a proxy that writes the names of headers in lower case: full once, then pushed."""

    is_full = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(429 if LowerCaseProxy.is_full else 201)
        LowerCaseProxy.is_full = False
        self.send_header("retry-after", "2")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@needs_curl
def test_the_producer_finds_headers_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "task").touch()
    with HTTPServer(("127.0.0.1", 0), LowerCaseProxy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        ran = subprocess.run(
            [root / "examples/push.sh", tmp_path, f"http://127.0.0.1:{server.server_port}"],
            env=clean_environment({"NO_PROXY": "*"}),
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )
        server.shutdown()
        thread.join()
    assert ran.stdout == "not now (429): task; again in 2 s\npushed task\n"


@pytest.mark.parametrize("example", ["worker.py", "cluster.py"])
def test_what_may_be_copied_needs_only_the_standard_library(example: str) -> None:
    text = (root / "examples" / example).read_text()
    modules = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    assert set(modules) <= sys.stdlib_module_names
