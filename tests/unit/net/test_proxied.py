"""Endpoints that demand a PROXY header, with real listeners behind them."""

from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure

from dqtw.net.line.limits import LineLimits
from dqtw.net.proxied import ProxiedEndpoint, header_s_max
from tests.unit.net.line_client import MemoryStream, World, push
from tests.unit.wire.test_proxy_header import good, v2

header = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"


class Carrier:
    """An endpoint that only notes what it is to serve."""

    factory: Any = None

    def listen(self, factory: IProtocolFactory) -> Deferred[Any]:
        self.factory = factory
        return succeed(None)


@define
class Site:
    """A line listener behind a proxy."""

    limits: LineLimits = field(factory=LineLimits)
    world: World = field(init=False)
    carrier: Carrier = field(factory=Carrier)
    refused: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.world = World(limits=self.limits)
        carrier = cast(IStreamServerEndpoint, self.carrier)
        endpoint = ProxiedEndpoint(carrier, self.world.clock, self.refused.append)
        endpoint.listen(cast(IProtocolFactory, self.world.factory))

    def connect(self) -> "Client":
        client = Client(self)
        self.world.clients.append(cast(Any, client))
        return client


class Client:
    def __init__(self, site: Site) -> None:
        self.site = site
        self.stream = MemoryStream()
        self.stream.protocol = site.carrier.factory.buildProtocol(None)
        self.stream.protocol.makeConnection(self.stream)

    def ask(self, *pieces: bytes) -> bytes:
        self.stream.unread += pieces
        self.site.world.settle()
        taken, self.stream.taken = self.stream.taken, b""
        return taken


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize("sent", good.values(), ids=good.keys())
def test_a_connection_goes_on_behind_its_header(site: Site, sent: bytes) -> None:
    client = site.connect()
    assert client.ask(sent) == b""
    assert client.ask(push(b"x")).startswith(b"OK ")
    assert site.connect().ask(sent + b"GET\r\n").endswith(b"\r\nx\r\n")
    assert not site.refused


def test_every_byte_may_come_alone(site: Site) -> None:
    for sent in (header, v2(0x20, 0, b"")):
        assert site.connect().ask(*(bytes([byte]) for byte in sent + b"PING\r\nPING\r\n")) == b"PONG\r\nPONG\r\n"


def test_a_connection_without_a_header_is_closed_and_counted(site: Site) -> None:
    client = site.connect()
    assert client.ask(b"PING\r\n") == b""
    assert client.stream.gone
    assert site.refused == ["framing"]
    assert site.world.factory.connections == 0


def test_a_header_that_does_not_end_is_not_waited_for(site: Site) -> None:
    slow, silent, good = site.connect(), site.connect(), site.connect()
    slow.ask(header[:-1])
    good.ask(header)
    site.world.settle(header_s_max)
    assert slow.stream.gone
    assert silent.stream.gone
    assert site.refused == ["request_timeout"] * 2
    site.world.settle(1000)
    assert good.ask(b"PING\r\n") == b"PONG\r\n"


def test_a_connection_without_a_header_counts_as_one(site: Site) -> None:
    """Else the bound on connections would be none."""
    site = Site(LineLimits(max_connections=1))
    first = site.connect()
    assert site.connect().ask().startswith(b"ERR busy ")
    first.stream.lose(ConnectionDone())
    assert site.connect().ask(header + b"PING\r\n") == b"PONG\r\n"


def test_a_check_that_only_connects_leaves_nothing_behind(site: Site) -> None:
    client = site.connect()
    client.stream.lose(ConnectionDone())
    assert not site.refused
    assert site.world.factory.connections == 0


def test_a_half_close_behind_the_header_still_gets_its_answers(site: Site) -> None:
    """As in `printf … | nc -N`, through a proxy."""
    client = site.connect()
    client.stream.unread = [header + push(b"x") + b"GET\r\n"]
    client.stream.turn()
    client.stream.readConnectionLost(Failure(ConnectionDone()))
    assert client.ask().endswith(b"\r\nx\r\n")
    assert client.stream.gone


def test_a_half_close_before_the_header_ends_the_connection(site: Site) -> None:
    client = site.connect()
    client.stream.readConnectionLost(Failure(ConnectionDone()))
    site.world.settle()
    assert client.stream.gone


def test_a_listener_that_closes_does_not_wait_for_headers(site: Site) -> None:
    client = site.connect()
    ended: list[None] = []
    site.world.factory.end().addCallback(ended.append)
    site.world.settle()
    site.world.settle(LineLimits().linger_s)
    assert client.stream.gone
    assert ended == [None]
