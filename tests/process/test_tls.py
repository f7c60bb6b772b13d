"""TLS at all listeners of real nodes: the whole chain is sent, and a renewed certificate needs no restart."""

import signal
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from tests.authority import Authority, Signed
from tests.process.node import Nodes, RunningNode, free_ports


def serial(port: int, root: Path) -> int:
    """The serial number of the certificate that a client of this authority accepts at a port."""
    context = ssl.create_default_context(cafile=str(root))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as tls,
    ):
        told = tls.getpeercert()
    assert told is not None
    return int(str(told["serialNumber"]), 16)


def in_session(node: RunningNode) -> bool:
    peers = node.request("GET", "/stats").json["peers"].values()
    return all(peer["state"] == "in_session" for peer in peers)


def wait_until(holds: Callable[[], bool], *nodes: RunningNode) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "\n".join(node.log for node in nodes)
        time.sleep(0.02)


def renew(directory: Path, authority: Authority, *nodes: RunningNode) -> Signed:
    """Write a new certificate as an ACME client does, and send SIGHUP."""
    server = authority.server()
    authority.write(directory, server)
    for node in nodes:
        node.send_signal(signal.SIGHUP)
    return server


def test_all_listeners_send_the_chain_and_take_over_a_renewed_certificate(nodes: Nodes) -> None:
    authority = Authority.make()
    first = authority.server()
    pem = authority.write(nodes.directory / "pem", first)
    secret = nodes.directory / "secret"
    secret.write_text("old secret, 16 bytes\n")
    secret.chmod(0o600)
    tls = f"interface=127.0.0.1:privateKey={pem}/privkey.pem:certKey={pem}/fullchain.pem"
    ports = dict(zip("ab", free_ports(2), strict=True))
    https, lines = free_ports(2)
    started: list[RunningNode] = []
    for id, other in ("ab", "ba"):
        own = [f"--http=ssl:{https}:{tls}", f"--line=ssl:{lines}:{tls}"] if id == "a" else []
        started.append(
            nodes.launch(
                f"--node={id}",
                f"--peer={other}=https://localhost:{ports[other]}",
                f"--peer-listen=ssl:{ports[id]}:{tls}",
                f"--advertise=https://localhost:{ports[id]}",
                f"--peer-ca={pem}/root.pem",
                f"--peer-secret-file={secret}",
                *own,
            )
        )
    a, b = (node.wait_ready() for node in started)
    wait_until(lambda: in_session(a) and in_session(b), a, b)
    everywhere = (https, lines, *ports.values())
    assert {serial(port, pem / "root.pem") for port in everywhere} == {first.serial}

    second = renew(pem, authority, a, b)
    for node in (a, b):
        node.wait_logged("--peer-listen: read again, certificates: 2")
        node.wait_logged("--peer-ca: read again, certificates: 1")
    a.wait_logged("--line: read again, certificates: 2")
    assert {serial(port, pem / "root.pem") for port in everywhere} == {second.serial}

    (pem / "privkey.pem").write_bytes(authority.server().key_pem)
    a.send_signal(signal.SIGHUP)
    a.wait_logged("key values mismatch; the certificates stay as they were")
    assert serial(https, pem / "root.pem") == second.serial

    old, new = "old secret, 16 bytes", "new secret, 16 bytes"
    for count, both in ((1, (old, new)), (2, (new, old))):
        secret.write_text("\n".join(both))
        for node in (a, b):
            node.send_signal(signal.SIGHUP)
            wait_until(lambda node=node, count=count: node.log.count("secrets: 2") == count, node)  # type: ignore[misc]
            assert a.request("POST", "/push", b"x").status == 201  # answered when both nodes hold it
    assert in_session(a)
    assert in_session(b)
