"""The PROXY protocol as a real HAProxy speaks it: for its clients, for its health checks, and below TLS."""

import csv
import io
import shutil
import socket
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.process.node import LineClient, Nodes, free_ports

check = "check inter 100ms"
lines = "option tcp-check\n tcp-check send PING\\r\\n\n tcp-check expect string PONG"
rest = "mode http\n option httpchk GET /health/ready\n http-check expect status 200"
line_senders = {
    "v1": "127.0.0.1:{line} send-proxy",
    "v2": "127.0.0.1:{line} send-proxy-v2",
    "options": "127.0.0.1:{line} send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn",
    "tls": "127.0.0.1:{tls} send-proxy ssl verify none",
    "unix": "unix@{directory}/dqtw send-proxy",
}
rest_senders = {"v1": "127.0.0.1:{http} send-proxy", "v2": "127.0.0.1:{http} send-proxy-v2"}


def configuration(directory: Path, ports: dict[str, int]) -> str:
    """Every sender as a listener in the file system, and the listener of the first on TCP, too."""
    sections = [
        f"global\n stats socket {directory}/stats",
        "defaults\n timeout connect 5s\n timeout client 30s\n timeout server 30s",
    ]
    for kind, how, senders in (("line", lines, line_senders), ("rest", rest, rest_senders)):
        for name, server in senders.items():
            section = f"listen {kind}_{name}\n bind {directory}/{kind}_{name}\n {how}\n server s {server} {check}"
            sections.append(section.format(directory=directory, **ports))
    tcp = "listen tcp_{name}\n bind 127.0.0.1:{port}\n server s {server}"
    sections += [
        tcp.format(name=name, port=ports[name], server=line_senders[name].format(**ports)) for name in ("v1", "v2")
    ]
    return "\n".join(sections) + "\n"


def checked(directory: Path) -> dict[str, str]:
    """What HAProxy's health checks found, by listener."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{directory}/stats")
        client.sendall(b"show stat\n")
        text = client.makefile().read()
    rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
    return {row["pxname"]: row["check_status"] for row in rows if row["svname"] == "s" and row["check_status"]}


def ask_lines(address: Path | tuple[str, int], request: str, body: bytes | None = None) -> str:
    with socket.socket(socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET) as client:
        client.settimeout(10)
        client.connect(str(address) if isinstance(address, Path) else address)
        return LineClient(client).ask(request, body)


def get_through(path: Path) -> int:
    connection = HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("POST", "/get")
    status = connection.getresponse().status
    connection.close()
    return status


def test_haproxy_gets_through_in_every_form(nodes: Nodes) -> None:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("needs haproxy")
    directory = nodes.directory
    authority = Authority.make()
    authority.write(directory, authority.server())
    ports = dict(zip(("http", "line", "tls", "v1", "v2"), free_ports(5), strict=True))
    node = nodes.start(
        f"--http=haproxy:tcp:{ports['http']}:interface=127.0.0.1",
        f"--line=haproxy:tcp:{ports['line']}:interface=127.0.0.1",
        f"--line=haproxy:ssl:{ports['tls']}:privateKey=privkey.pem:certKey=fullchain.pem:interface=127.0.0.1",
        f"--line=haproxy:unix:{directory}/dqtw",
    )
    (directory / "haproxy.cfg").write_text(configuration(directory, ports))
    with (directory / "haproxy.log").open("wb") as log:
        proxy = subprocess.Popen([program, "-db", "-f", str(directory / "haproxy.cfg")], stdout=log, stderr=log)
    try:
        expected = {f"line_{name}": "L7OK" for name in line_senders} | {f"rest_{name}": "L7OK" for name in rest_senders}
        deadline = time.monotonic() + 15
        while not (directory / "stats").exists() or checked(directory) != expected:
            assert proxy.poll() is None, (directory / "haproxy.log").read_text()
            assert time.monotonic() < deadline, checked(directory)
            time.sleep(0.05)
        senders: list[Path | tuple[str, int]] = [directory / f"line_{name}" for name in line_senders]
        senders += [("127.0.0.1", ports["v1"]), ("127.0.0.1", ports["v2"])]
        for sender in senders:
            assert ask_lines(sender, "PUSH 1", b"x").startswith("OK "), sender
        for number in range(len(senders)):
            assert get_through(directory / f"rest_{list(rest_senders)[number % 2]}") == 200
    finally:
        proxy.terminate()
        proxy.wait(10)
    assert node.request("GET", "/stats").json["listeners"] == {}
    assert node.request("GET", "/stats").json["queueSize"] == len(senders)


def test_a_client_that_comes_without_a_proxy_is_hung_up_on_and_counted(nodes: Nodes) -> None:
    (port,) = free_ports(1)
    node = nodes.start(f"--line=haproxy:tcp:{port}:interface=127.0.0.1")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    assert node.request("GET", "/stats").json["listeners"] == {"line": {"refused": {"framing": 1}}}
