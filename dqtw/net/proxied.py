"""Endpoints behind a proxy that begins each connection with a PROXY header.

Twisted's own wrapper hangs up on headers that come in pieces, on families that it does not know and on `UNKNOWN` alone,
waits for a header without end, and hides from its protocol that a client has half-closed.
"""

from collections.abc import Callable
from typing import Any, Final, cast

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import directlyProvides, implementer

from dqtw.core.model.errors import Framing, RequestTimeout
from dqtw.driver import Clock
from dqtw.net.time_limit import TimeLimit
from dqtw.wire.proxy_header import ProxyHeader

header_s_max: Final = 10.0

Count = Callable[[str], object]


@implementer(IStreamServerEndpoint)
@frozen
class ProxiedEndpoint:
    """An endpoint that demands a PROXY header of each connection, and passes on what follows it.

    Attributes:
        carrier: the endpoint below.
        clock: for the time that a header may take.
        count_refused: called with the code of each refusal.
    """

    carrier: IStreamServerEndpoint
    clock: Clock
    count_refused: Count

    def listen(self, factory: IProtocolFactory) -> Deferred[Any]:
        """Listen below."""
        return self.carrier.listen(cast(IProtocolFactory, _HeaderFactory(factory, self.clock, self.count_refused)))


class _HeaderFactory(Factory):
    noisy = False

    def __init__(self, factory: IProtocolFactory, clock: Clock, count_refused: Count) -> None:
        self.count_refused = count_refused
        self.limit = TimeLimit(clock, header_s_max, _HeaderReader.late)
        self.wrappedFactory = factory  # Twisted's name for it

    @override
    def doStart(self) -> None:
        self.wrappedFactory.doStart()

    @override
    def doStop(self) -> None:
        self.wrappedFactory.doStop()

    @override
    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        protocol = self.wrappedFactory.buildProtocol(cast(IAddress, addr))
        return None if protocol is None else _HeaderReader(self, protocol)


class _HeaderReader(Protocol):
    """A connection until its header is complete; from then on its transport has the protocol behind it alone.

    That protocol knows of the connection from the start, so it counts within the listener's bounds.
    """

    transport: Any

    def __init__(self, factory: _HeaderFactory, protocol: IProtocol) -> None:
        self._factory = factory
        self._protocol: Any = protocol
        self._header = ProxyHeader()
        if IHalfCloseableProtocol.providedBy(protocol):
            directlyProvides(self, IHalfCloseableProtocol)

    @override
    def connectionMade(self) -> None:
        self._factory.limit.begin(self)
        self._protocol.makeConnection(self.transport)

    @override
    def dataReceived(self, data: bytes) -> None:
        try:
            rest = self._header.feed(data)
        except Framing as refusal:
            self._refuse(refusal)
            return
        if rest is None:
            return
        self._factory.limit.end(self)
        self.transport.protocol = self._protocol
        if rest:
            self._protocol.dataReceived(rest)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._factory.limit.end(self)
        self._protocol.connectionLost(reason)

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's hook
        """No header comes any more, nor anything behind it."""
        self._protocol.readConnectionLost()

    def writeConnectionLost(self) -> None:  # noqa: N802 - Twisted's hook
        """The protocol has ended its side, as it does with clients that it has no room for."""
        self._protocol.writeConnectionLost()

    def late(self) -> None:
        """The header is not complete in time."""
        self._refuse(RequestTimeout("the PROXY header did not come in time"))

    def _refuse(self, refusal: Framing | RequestTimeout) -> None:
        """Hang up without a word: the other end is not known to speak the listener's protocol."""
        self._factory.count_refused(refusal.code)
        self.transport.abortConnection()
