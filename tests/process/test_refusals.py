"""What a person sees who starts a node with an option it can't take: one line, status 1, no server."""

import socket
from pathlib import Path

import pytest

from tests.process.node import Nodes, free_ports, run_twistd


def refused(directory: Path, *options: str, daemon: bool = False, **environment: str) -> str:
    """The one line on standard error with which ``twistd dqtw`` refuses to start."""
    http_port, line_port = free_ports(2)
    doors = [f"--http=tcp:{http_port}:interface=127.0.0.1", f"--line=tcp:{line_port}:interface=127.0.0.1"]
    mode = ["--pidfile=p"] if daemon else ["-n", "--pidfile=p"]
    ran = run_twistd(directory, *mode, "dqtw", *doors, *options, **environment)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert ran.stderr.startswith("dqtw: ")
    assert not (directory / "p").exists()
    return ran.stderr.removeprefix("dqtw: ").strip()


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("size", ["0", "-1", "x", ""])
def test_a_bad_size(tmp_path: Path, size: str, daemon: bool) -> None:
    assert refused(tmp_path, f"--size={size}", daemon=daemon) == f"--size: {size!r} is not a whole number of at least 1"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            ["--nodaemon"],
            "option --nodaemon not recognized: options of twistd stand before dqtw: twistd --nodaemon dqtw",
        ),
        (["--size"], "option --size requires argument"),
        (["--size=1", "surplus"], "'surplus' is not an option"),
        (["--node=a.b"], "--node: 'a.b' is not 1 to 63 of A-Z a-z 0-9 _ -"),
        (["--http=8080"], "--http: '8080' is not an endpoint: write tcp:8080, or tcp:8080:interface=127.0.0.1 for"),
        (["--http=tcp:0"], "--http: tcp:0 can be reached from other machines: name a --token-file, or say --insecure-"),
        (
            ["--line=tcp:0:interface=203.0.113.1"],
            "--line: can't listen on 'tcp:0:interface=203.0.113.1': Cannot assign requested address: interface= must",
        ),
        (["--line=ssl:0:privateKey=/absent.pem"], "--line: 'ssl:0:privateKey=/absent.pem': can't read '/absent.pem': "),
        (["--line=unix:/nowhere/s"], "--line: can't listen on 'unix:/nowhere/s': No such file or directory"),
        (["--peer=b=127.0.0.1:1"], "--peer: "),
        (
            ["--node=a", "--peer=b=http://127.0.0.1:1", "--peer-listen=tcp:0"],
            "--peer-listen: tcp:0 can be reached from other",
        ),
        (["--peer-listen=tcp:0:interface=127.0.0.1", "--peer-secret-file=/none"], "--peer-secret-file: "),
        (["--token-file=absent"], "--token-file: can't read "),
        (["--config=absent"], "--config: can't read 'absent': No such file or directory"),
    ],
)
def test_a_bad_option(tmp_path: Path, options: list[str], why: str) -> None:
    assert refused(tmp_path, *options).startswith(why)


def test_a_bad_variable(tmp_path: Path) -> None:
    assert refused(tmp_path, DQTW_SIZE="x") == "--size (DQTW_SIZE): 'x' is not a whole number of at least 1"
    assert refused(tmp_path, DQTW_SISE="1").startswith("DQTW_SISE: no option has this environment variable")


def test_an_empty_token_file(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("# nobody yet\n\n")
    assert refused(tmp_path, "--token-file=tokens").endswith("tokens' has no token")


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("door", ["http", "line"])
def test_a_port_in_use(tmp_path: Path, door: str, daemon: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
        why = refused(tmp_path, f"--{door}={endpoint}", daemon=daemon)
    assert why.startswith(f"--{door}: can't listen on '{endpoint}': Address already in use: another process")


def test_a_bad_option_is_not_hidden_by_the_json_log(tmp_path: Path) -> None:
    assert refused(tmp_path, "--log-format=json", "--http=nonsense").startswith("--http: ")


def test_json_lines_can_not_go_where_twistd_could_not_write_either(tmp_path: Path) -> None:
    ran = run_twistd(tmp_path, "--syslog", "dqtw", "--log-format=json")
    assert (ran.returncode, ran.stderr) == (1, "dqtw: --log-format: json lines can't go to twistd's --syslog\n")


@pytest.mark.parametrize(
    ("of_twistd", "why"),
    [
        ("--logfile=-", "a daemon can't log to standard output; name a file, or say twistd -n"),
        ("--logfile=/nowhere/log", "can't write '/nowhere/log': No such file or directory"),
        ("--pidfile=/nowhere/pid", "can't write '/nowhere/pid'; name another file, or none: --pidfile="),
        ("--rundir=/nowhere", "'/nowhere' is not a directory"),
    ],
)
def test_places_that_twistd_can_not_use(of_twistd: str, why: str, tmp_path: Path) -> None:
    ran = run_twistd(tmp_path, of_twistd, "dqtw", "--http=tcp:0:interface=127.0.0.1", "--line=none")
    assert (ran.returncode, ran.stderr) == (1, f"dqtw: twistd {of_twistd.partition('=')[0]}: {why}\n")


def test_help_and_version(tmp_path: Path) -> None:
    helped = run_twistd(tmp_path, "dqtw", "--help", COLUMNS="500")
    assert helped.returncode == 0
    assert "--max-bytes=" in helped.stdout
    assert "[default: tcp:8080:interface=127.0.0.1]" in helped.stdout
    version = run_twistd(tmp_path, "dqtw", "--version")
    assert (version.returncode, version.stdout) == (0, "dqtw 0.1.0\n")


def test_a_node_alone_takes_the_options_of_a_cluster_that_need_no_peer(nodes: Nodes) -> None:
    node = nodes.start(
        "--cluster=c", "--copies=1", "--start-wait=5", "--drain-timeout=5", "--peer-listen=tcp:0:interface=127.0.0.1"
    )
    assert node.stop() == 0
