"""The URL that a node announces to its peers."""

from typing import Any, cast

import pytest
from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from dqtw.cluster import address_of
from dqtw.config.options import BadOption
from dqtw.config.settings import Settings, read_settings
from dqtw.listeners import Door

plain = cast(IProtocolFactory, Factory())
tls = TLSMemoryBIOFactory(CertificateOptions(), False, plain)
tls_behind_a_proxy = TLSMemoryBIOFactory(
    CertificateOptions(),
    False,
    HAProxyWrappingFactory(plain),
)
proxy_before_tls = HAProxyWrappingFactory(tls)


@frozen
class Port:
    """A port that listens, as far as an address is concerned."""

    address: IAddress
    factory: Any

    def getHost(self) -> IAddress:
        return self.address


def listening(address: Any, factory: Any = plain) -> Door:
    door = Door("peer-listen", "peers", (), plain, lambda: None, lambda: 0, 1, print)
    door._add("tcp:8081", cast(Any, Port(address, factory)))
    return door


def settings(*peers: str, advertise: str = "") -> Settings:
    given = {"node": ["a"], "peer": [f"{id}={url}" for id, url in zip("bcd", peers, strict=False)]}
    return read_settings({**given, **({"advertise": [advertise]} if advertise else {})}, {})


def tcp(host: str, port: int = 8081) -> IPv4Address:
    return IPv4Address("TCP", host, port)


@pytest.mark.parametrize(
    ("address", "announced"),
    [
        (tcp("10.0.0.1"), "http://10.0.0.1:8081"),
        (IPv6Address("TCP", "fd00::1", 8081), "http://[fd00::1]:8081"),
        (tcp("0.0.0.0"), ""),
        (IPv6Address("TCP", "::", 8081), ""),
        (UNIXAddress(b"/s"), ""),
    ],
)
def test_a_node_announces_the_address_of_its_listener_if_that_names_one(address: Any, announced: str) -> None:
    assert address_of(settings("http://b:8081"), listening(address)) == announced


@pytest.mark.parametrize("factory", [tls, tls_behind_a_proxy, proxy_before_tls])
def test_a_node_whose_listener_uses_tls_announces_no_address_of_its_own(factory: Any) -> None:
    assert address_of(settings("http://b:8081"), listening(tcp("10.0.0.1"), factory)) == ""


@pytest.mark.parametrize("url", ["https://b", "HTTPS://b"])
def test_a_node_that_reaches_a_peer_by_https_announces_no_plain_address(url: str) -> None:
    assert address_of(settings("http://c", url), listening(tcp("10.0.0.1"))) == ""


@pytest.mark.parametrize(
    ("given", "announced"),
    [
        ("https://a.example:8081", "https://a.example:8081"),
        ("HTTPS://a.example", "https://a.example"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://[fd00::1]:8081", "https://[fd00::1]:8081"),
    ],
)
def test_what_advertise_says_is_announced_in_the_form_that_peers_accept(given: str, announced: str) -> None:
    for factory, peer in ((tls, "https://b"), (plain, "http://b")):
        assert address_of(settings(peer, advertise=given), listening(tcp("0.0.0.0"), factory)) == announced


def test_a_plain_url_is_refused_where_links_are_encrypted() -> None:
    with pytest.raises(BadOption, match=r"--advertise: .* in plain text, but --peer-listen uses TLS: write https://…"):
        address_of(settings("http://b", advertise="http://a"), listening(tcp("0.0.0.0"), tls))
    with pytest.raises(BadOption, match=r"in plain text, but --peer names an https URL for c: write https://…"):
        address_of(settings("http://b", "https://c", advertise="HTTP://a"), listening(tcp("0.0.0.0")))
