"""A node's side of its cluster, as twistd runs it: the listener for peers, and the streams to and from them."""

from functools import partial
from ipaddress import ip_address
from typing import Final

from attrs import frozen
from twisted.internet.base import ReactorBase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

from dqtw.config.options import BadOption
from dqtw.config.settings import Settings
from dqtw.config.values import shown, url_key
from dqtw.core.links.dialling import is_encrypted
from dqtw.driver import Driver
from dqtw.listeners import Door
from dqtw.net.peer.bounds import stream_http_limits
from dqtw.net.peer.endpoints import PeerEndpoints
from dqtw.net.peer.resource import StreamResource
from dqtw.net.peer.secret import BadSecret, PeerSecret
from dqtw.net.peer.streams import PeerStreams
from dqtw.net.peer.url import ready_url
from dqtw.net.tls import BadCertificate, PeerAuthorities

connect_seconds_max: Final = 3.0


@frozen
class Cluster:
    """What connects a node with its peers.

    Attributes:
        door: where peers reach this node.
        streams: to and from the peers.
    """

    door: Door
    streams: PeerStreams

    async def close(self) -> None:
        """Close all streams, and accept none."""
        self.streams.stop()
        await self.door.shut()


def secret_of(settings: Settings) -> PeerSecret | None:
    """What all nodes of the cluster know; None when it has no secret.

    Raises:
        BadOption: the file has no usable secret.
    """
    if settings.peer_secret_file is None:
        return None
    try:
        return PeerSecret(settings.peer_secret_file)
    except BadSecret as error:
        raise BadOption("--peer-secret-file", str(error)) from None


def authorities_of(settings: Settings) -> PeerAuthorities | None:
    """Return the authorities that https peers are checked against; None for the system's.

    Raises:
        BadOption: the file has no usable certificate.
    """
    if settings.peer_ca is None:
        return None
    try:
        return PeerAuthorities(settings.peer_ca)
    except BadCertificate as error:
        raise BadOption("--peer-ca", str(error)) from None


def streams_to_peers(
    settings: Settings, secret: PeerSecret | None, authorities: PeerAuthorities | None, reactor: ReactorBase
) -> PeerStreams:
    """Return what carries the streams between this node and its peers."""
    policy = BrowserLikePolicyForHTTPS() if authorities is None else authorities
    endpoints = PeerEndpoints(reactor, policy, connect_seconds_max)
    return PeerStreams(
        reactor,
        lambda pool: Agent.usingEndpointFactory(reactor, endpoints, pool),
        secret,
        must_encrypt=lambda node: is_encrypted(settings.node.peers[node]),
    )


def door_for_peers(settings: Settings, streams: PeerStreams, driver: Driver, reactor: ReactorBase) -> Door:
    """Return where peers reach this node."""
    site = StreamResource(streams).site(reactor)
    return Door(
        "peer-listen",
        "peers",
        (settings.peer_listen,),
        site,
        site.drain,
        lambda: site.connection_count,
        stream_http_limits.connections_max,
        partial(driver.count_refused, "peers"),
    )


def check_exposed(settings: Settings, door: Door) -> None:
    """See that strangers can't reach the door of a cluster without a secret.

    Raises:
        BadOption: they can.
    """
    if settings.peer_secret_file is None and not settings.insecure_peers:
        door.check_near(
            "give all nodes the same --peer-secret-file, or say --insecure-peers if only trusted machines are on that "
            "network"
        )


def check_peers(settings: Settings, door: Door) -> None:
    """See that no peer's URL leads to this node's own listener.

    Raises:
        BadOption: one does.
    """
    for id, url in settings.node.peers.items():
        host, port = url_key(url)
        names = {"127.0.0.1" if host == "localhost" else host}
        if names & {"127.0.0.1", "::1"}:
            names |= {"0.0.0.0", "::"}  # noqa: S104  # a listener on all addresses has these, too
        for address in door.hosts():
            if getattr(address, "port", None) == port and getattr(address, "host", None) in names:
                raise BadOption("--peer", f"{id!r} has the URL of this node itself, {url}: see --peer-listen")


def address_of(settings: Settings, door: Door) -> str:
    """Return the URL that this node announces to its peers; empty: they use the one that they were configured with.

    Without `--advertise` that is the address of the listener, unless links are encrypted: then a certificate has to fit
    the URL, and certificates seldom name addresses.

    Raises:
        BadOption: `--advertise` can't be used by peers, or would make them send in plain text what is to be encrypted.
    """
    encrypted_by = _encrypted_by(settings, door)
    if settings.node.advertise:
        return _announced(settings.node.advertise, encrypted_by)
    for host in () if encrypted_by else door.hosts():
        name, port = getattr(host, "host", None), getattr(host, "port", None)
        if name and port and not (ip_address(name).is_unspecified or ip_address(name).is_link_local):
            return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
    return ""


def _encrypted_by(settings: Settings, door: Door) -> str:
    """Return the option that asks for links between nodes to be encrypted; empty if none does."""
    if door.uses_tls():
        return "--peer-listen uses TLS"
    secure = [id for id, url in settings.node.peers.items() if is_encrypted(url)]
    return f"--peer names an https URL for {secure[0]}" if secure else ""


def _announced(url: str, encrypted_by: str) -> str:
    """Return a URL in the form in which nodes send it to each other: ASCII, its scheme in lower case."""
    scheme, colon, rest = ready_url(url).to_text().partition(":")
    announced = scheme.lower() + colon + rest
    if encrypted_by and not is_encrypted(announced):
        raise BadOption(
            "--advertise",
            f"peers would send messages to {shown(url)} in plain text, but {encrypted_by}: write https://…",
        )
    return announced
