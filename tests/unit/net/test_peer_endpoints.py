"""Each URL that is accepted, as treq and a real agent use it."""

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from dqtw.core.links.frames import AnyFrame
from dqtw.core.links.streams import Accepted, Dial, StreamAnswer, StreamRefused, StreamRequest
from dqtw.net.http.head import check_host
from dqtw.net.peer.endpoints import PeerEndpoints
from dqtw.net.peer.streams import PeerStreams
from dqtw.net.peer.url import check_peer_url, ready_url


@implementer(IHostnameResolver)
class Resolver:
    """Knows every name, and notes which it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(self, receiver: Any, name: str, portNumber: int = 0) -> Any:  # type: ignore[override]  # noqa: N803
        self.asked.append(name)
        receiver.addressResolved(IPv4Address("TCP", "192.0.2.1", portNumber))
        receiver.resolutionComplete()


class Port:
    """A node that has nothing to do with its peers but this one dial, which brings nothing."""

    def stream_asked(self, request: StreamRequest) -> Accepted | StreamRefused:
        raise NotImplementedError

    def request_refused(self, node: str, refused: StreamRefused) -> None:
        raise NotImplementedError

    def dial_answered(self, stream: int, answer: StreamAnswer) -> None:
        raise NotImplementedError

    def dial_failed(self, stream: int, why: str, *, is_lasting: bool) -> None:
        raise AssertionError(why)

    def received(self, stream: int, frames: list[AnyFrame], express_bytes: int, bulk_bytes: int) -> None:
        raise NotImplementedError

    def stream_closed(self, stream: int, why: str) -> None:
        raise NotImplementedError

    def count_refused(self, listener: str, code: str) -> None:
        raise NotImplementedError


request = StreamRequest("dqtw", "a", "a" * 32, "", (2,), "0" * 32, 1, "b", None)


def connected(url: str) -> tuple[list[str], tuple[str, int], bytes]:
    """Dial a peer: the names that were resolved, where the connection went, and what was written on it."""
    check_peer_url(url)
    reactor: Any = MemoryReactorClock()
    reactor.nameResolver = Resolver()
    endpoints = PeerEndpoints(reactor, BrowserLikePolicyForHTTPS(), 3.0)
    streams = PeerStreams(reactor, lambda pool: Agent.usingEndpointFactory(reactor, endpoints, pool))
    streams.start(Port())
    streams.carry_out([Dial(1, url, request)])
    reactor.advance(0)
    ((host, port, factory, timeout, _),) = reactor.tcpClients
    assert timeout == 3.0
    protocol = factory.buildProtocol(None)
    transport: Any = StringTransport()
    protocol.makeConnection(transport)
    written: bytes = transport.value()
    streams.stop()
    return reactor.nameResolver.asked, (host, port), written


@pytest.mark.parametrize(
    ("host", "resolved"),
    [
        ("b", "b"),
        ("B.Example", "B.Example"),
        ("b.example.", "b.example."),
        ("my_host", "my_host"),
        ("dqtw-0.dqtw_peers.ns.svc.cluster.local", "dqtw-0.dqtw_peers.ns.svc.cluster.local"),
        ("-b-", "-b-"),
        ("ab--c", "ab--c"),
        ("xn--zzzzzz", "xn--zzzzzz"),
        ("b" * 63, "b" * 63),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_name_is_asked_of_the_resolver_as_it_is(host: str, resolved: str) -> None:
    """Also what IDNA does not allow: names of containers have underscores."""
    asked, address, written = connected(f"http://{host}:8081")
    assert (asked, address) == ([resolved], ("192.0.2.1", 8081))
    assert f"\r\nHost: {resolved}:8081\r\n".encode() in written
    assert written.startswith(b"GET /peer/v2/stream ")


@pytest.mark.parametrize(
    ("host", "address", "shown"),
    [
        ("[2001:db8::1]", "2001:db8::1", "[2001:db8::1]"),
        ("[::ffff:192.0.2.1]", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]"),
        ("[fe80::1%25eth0]", "fe80::1%eth0", "[fe80::1%25eth0]"),
    ],
)
def test_an_ipv6_address_is_connected_to_with_its_zone(host: str, address: str, shown: str) -> None:
    asked, connected_to, written = connected(f"http://{host}:8081/")
    assert (asked, connected_to) == ([], (address, 8081))
    check_host(b"HTTP/1.1", [shown.encode() + b":8081"])
    assert f"\r\nHost: {shown}:8081\r\n".encode() in written


def test_without_a_port_it_is_that_of_http() -> None:
    assert connected("HTTP://b")[1] == ("192.0.2.1", 80)


@implementer(IPolicyForHTTPS)
class Policy(BrowserLikePolicyForHTTPS):
    """The usual checks, and which names they were made for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[tuple[bytes, int]] = []

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        self.names.append((hostname, port))
        return super().creatorForNetloc(hostname, port)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://b.example", (b"b.example", 443)),
        ("https://b.example.:8081", (b"b.example", 8081)),  # certificates never have the last dot
        ("https://bücher.example", (b"xn--bcher-kva.example", 443)),
        ("https://192.0.2.1:8081", (b"192.0.2.1", 8081)),
        ("https://[fe80::1%25eth0]:8081", (b"fe80::1", 8081)),
    ],
)
def test_tls_checks_the_name_that_certificates_have(url: str, name: tuple[bytes, int]) -> None:
    check_peer_url(url)
    policy = Policy()
    uri = URI.fromBytes(ready_url(f"{url}/x").to_text().encode("ascii"))
    assert PeerEndpoints(MemoryReactorClock(), policy, 3.0).endpointForURI(uri)
    assert policy.names == [name]
