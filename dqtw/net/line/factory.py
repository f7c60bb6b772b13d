"""The line protocol's listener: plain lines over TCP, for clients that keep a connection."""

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from dqtw.core.model.errors import Busy
from dqtw.driver import Clock, Driver
from dqtw.net.line.connection import LineConnection
from dqtw.net.line.limits import LineLimits, listener_name
from dqtw.net.time_limit import TimeLimit
from dqtw.wire.line.answers import render_refusal

__all__ = ["LineFactory", "LineLimits"]


class LineFactory(Factory):
    """Makes a connection for each client of the line protocol, and holds what they share.

    Args:
        driver: the node they all talk to.
        clock: for the time limits.
        limits: what the clients may cost.
        authenticate: tells whether a token is good; None when none is asked for.
    """

    noisy = False

    def __init__(
        self,
        driver: Driver,
        clock: Clock,
        limits: LineLimits | None = None,
        authenticate: Callable[[str], bool] | None = None,
    ) -> None:
        self.driver = driver
        self.limits = limits or LineLimits()
        self.authenticate = authenticate
        self.clock = clock
        self.looks = TimeLimit(clock, self.limits.look_s, LineConnection.look)
        self.lingers = TimeLimit(clock, self.limits.linger_s, LineConnection.hang_up)
        self.crowd = _Crowd(clock, self.limits)
        self._connections: set[LineConnection] = set()
        self._soon: dict[LineConnection, None] = {}
        self._turn: IDelayedCall | None = None
        self._ended: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @override
    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        if len(self._connections) >= self.limits.max_connections:
            self.driver.count_refused(listener_name, Busy.code)
            return _Refused(self.crowd)
        connection = LineConnection(self)
        self._connections.add(connection)
        return connection

    def end(self) -> Deferred[None]:
        """Close each connection as soon as what it is owed is written; fires when the last one is gone."""
        if not self._connections:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._ended.append(ended)
        for connection in list(self._connections):
            connection.end()
        return ended

    def soon(self, connection: LineConnection) -> None:
        """Let the connection advance once, in the next turn; one timer serves all of them."""
        self._soon[connection] = None
        if self._turn is None:
            self._turn = self.clock.callLater(0, self._advance_all)

    def disconnected(self, connection: LineConnection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._rest()

    def _advance_all(self) -> None:
        self._turn = None
        connections, self._soon = self._soon, {}
        for connection in connections:
            connection.advance()

    def _rest(self) -> None:
        """Without connections there is nothing to be timed."""
        self.looks.stop()
        self.lingers.stop()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
            self._soon.clear()
        ended, self._ended = self._ended, []
        for deferred in ended:
            deferred.callback(None)


class _Crowd:
    """The clients beyond the limit that have yet to hang up: few, and each for a short time.

    They need a bound of their own: over TLS, a client that never begins the handshake is not closed by being refused.
    """

    def __init__(self, clock: Clock, limits: LineLimits) -> None:
        self._clients_max = limits.refused_connections_max
        self._lingers = TimeLimit(clock, limits.linger_s, self.cut)
        self._clients: dict[_Refused, None] = {}  # the oldest first

    def add(self, client: "_Refused") -> None:
        """Give a client time to read that it is refused; the oldest one gives way."""
        if len(self._clients) >= self._clients_max:
            self.cut(next(iter(self._clients)))
        self._clients[client] = None
        self._lingers.begin(client)

    def cut(self, client: "_Refused") -> None:
        """End a client's connection without waiting for the client."""
        self.remove(client)
        assert client.transport is not None
        cast(ITCPTransport, client.transport).abortConnection()

    def remove(self, client: "_Refused") -> None:
        """Take out a client that is gone."""
        self._clients.pop(client, None)
        if self._clients:
            self._lingers.end(client)
        else:
            self._lingers.stop()


class _Refused(Protocol):
    """The connection of one client too many."""

    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd

    @override
    def connectionMade(self) -> None:
        assert self.transport is not None
        self._crowd.add(self)
        self.transport.write(render_refusal(Busy("this server has as many connections as it may")))
        self.transport.loseConnection()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._crowd.remove(self)
