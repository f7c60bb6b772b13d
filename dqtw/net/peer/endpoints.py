# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""Connecting to the peers that their URLs name.

Twisted's own endpoints refuse names that IDNA does not allow, such as those with an underscore, although resolvers know
them; and they forget the zone of a link-local address.
"""

from typing import Any
from urllib.parse import unquote

from attrs import frozen
from twisted.internet.endpoints import HostnameEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from typing_extensions import override
from zope.interface import implementer

from dqtw.net.peer.certificate import CheckedConnections


class _AnyName(HostnameEndpoint):
    """An endpoint of a name that is asked of the resolver as it is."""

    @staticmethod
    @override
    def _hostAsBytesAndText(host: bytes | str) -> tuple[bool, bytes, str]:
        text = host if isinstance(host, str) else host.decode("ascii")
        return False, text.encode("ascii"), text


@implementer(IAgentEndpointFactory)
@frozen
class PeerEndpoints:
    """Where an agent connects to.

    Attributes:
        reactor: the reactor.
        policy: how https peers are checked.
        connect_s_max: how long connecting may take, in seconds.
    """

    reactor: Any
    policy: IPolicyForHTTPS
    connect_s_max: float

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: N802 - Twisted's name
        """Return the endpoint of a URI that `dqtw.net.peer.url` accepted."""
        host = uri.host.decode("ascii")
        endpoint: IStreamClientEndpoint
        if ":" in host:
            endpoint = TCP6ClientEndpoint(self.reactor, unquote(host), uri.port, self.connect_s_max)
        else:
            endpoint = _AnyName(self.reactor, host, uri.port, self.connect_s_max)
        if uri.scheme != b"https":
            return endpoint
        checked_name = host.partition("%")[0].rstrip(".")  # certificates know neither zones nor the last dot
        creator = self.policy.creatorForNetloc(checked_name.encode("ascii"), uri.port)
        return wrapClientTLS(CheckedConnections(creator, checked_name), endpoint)
