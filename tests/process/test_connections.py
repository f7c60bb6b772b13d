"""Client connections as the operating system has them."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactor
from twisted.protocols.tls import TLSMemoryBIOFactory

from dqtw.net.tcp import keep_prompt
from tests.process.node import Nodes

options = {"TCP_NODELAY": 1, "TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}


@pytest.fixture
def accepted() -> Iterator[socket.socket]:
    """The server's end of a TCP connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        accepted.setblocking(False)
        yield accepted


class Prompt(Protocol):
    def connectionMade(self) -> None:
        keep_prompt(self.transport)


@pytest.mark.parametrize("tls", [False, True])
def test_a_silent_client_is_given_up_after_a_minute(accepted: socket.socket, tls: bool) -> None:
    factory: Any = Factory.forProtocol(Prompt)
    if tls:
        factory = TLSMemoryBIOFactory(CertificateOptions(), False, factory)
    protocol = cast(IProtocol, factory.buildProtocol(None))
    transport = Server(accepted, protocol, ("127.0.0.1", 1), cast(Any, None), 0, cast(Any, MemoryReactor()))
    protocol.makeConnection(transport)
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    read = {name: accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in options}
    assert read == options


def test_a_connection_without_such_options_is_left_alone() -> None:
    first, second = socket.socketpair()
    transport = Server(first, Prompt(), ("", 0), cast(Any, None), 0, cast(Any, MemoryReactor()))
    keep_prompt(transport)
    assert not first.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    first.close()
    second.close()


def keepalive_timers(port: int) -> list[float]:
    """In how many seconds the system asks the idle clients of a port for a sign of life."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    timers = [row[5].split(":") for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
    return [int(jiffies, 16) / 100 for kind, jiffies in timers if kind == "02"]


def test_every_listener_asks_idle_clients_for_a_sign_of_life(nodes: Nodes) -> None:
    node = nodes.start()
    for port in (node.http_port, node.line_port):
        with socket.create_connection(("127.0.0.1", port)):
            deadline = time.monotonic() + 10
            while not (timers := keepalive_timers(port)):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert timers[0] <= 60
