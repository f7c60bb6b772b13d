"""Streams over TCP and TLS, with a real reactor."""

from collections.abc import Callable

from twisted.internet.base import ReactorBase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

from dqtw.net.peer.bounds import StreamLimits
from dqtw.net.peer.endpoints import PeerEndpoints
from dqtw.net.peer.secret import PeerSecret
from dqtw.net.peer.streams import PeerStreams
from dqtw.net.tls import PeerAuthorities


def streams_over_tcp(
    reactor: ReactorBase,
    secret: PeerSecret | None,
    authorities: PeerAuthorities | None,
    must_encrypt: Callable[[str], bool],
) -> PeerStreams:
    """Return the transport of this process's links.

    Args:
        reactor: the reactor.
        secret: of the cluster; None if it has none.
        authorities: sign the certificates of https peers; None: those of the system.
        must_encrypt: returns True if no plain connection to that node may be opened: its configured URL is https, or
            the listener of this node uses TLS.
    """
    policy = BrowserLikePolicyForHTTPS() if authorities is None else authorities
    limits = StreamLimits()
    endpoints = PeerEndpoints(reactor, policy, limits.dial_s_max)
    return PeerStreams(
        reactor, lambda pool: Agent.usingEndpointFactory(reactor, endpoints, pool), secret, must_encrypt, limits
    )
