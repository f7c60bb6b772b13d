"""TLS handshakes of a node with an https peer, in memory."""

from typing import Any

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from dqtw.net.peer.certificate import CheckedConnections
from dqtw.net.tls import ServerCertificate


def refusal_of(certificate: ServerCertificate, creator: IOpenSSLClientConnectionCreator, host: str) -> str:
    """Shake hands as a node does with an https peer; return why the node refuses it, empty if it does not."""
    ends: list[str] = []

    class Client(Protocol):
        def connectionLost(self, reason: Failure = connectionDone) -> None:
            ends.append(reason.getErrorMessage())

    def make(creator: Any, protocol: type[Protocol], *, is_client: bool) -> tuple[Any, StringTransport]:
        wrapped = TLSMemoryBIOFactory(creator, is_client, Factory.forProtocol(protocol), clock=Clock())
        side, transport = wrapped.buildProtocol(None), StringTransport()
        side.makeConnection(transport)
        return side, transport

    client, from_client = make(CheckedConnections(creator, host), Client, is_client=True)
    server, from_server = make(certificate, Protocol, is_client=False)
    for _ in range(6):
        for transport, to in ((from_client, server), (from_server, client)):
            if data := transport.value():
                transport.clear()
                to.dataReceived(data)
    if from_client.disconnecting or from_client.disconnected:
        client.connectionLost(Failure(connectionDone.value))
    return "".join(ends)
