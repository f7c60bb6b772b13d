"""A cluster in one process: real nodes, real treq, the real peers' door, and connections that are memory."""

from collections.abc import Callable
from random import Random
from typing import Any, cast

from attrs import define, field
from twisted.internet import error
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from dqtw.core.lifecycle.life import Phase
from dqtw.core.links.calls import call_timeout_s
from dqtw.core.links.peer_messages import Asking, PeerAnswer, PeerRequest
from dqtw.core.model.commands import Command, Outcome
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.driver import Driver
from dqtw.net.http.limits import HttpLimits
from dqtw.net.peer.auth import PeerSecret, Signer, Verifier
from dqtw.net.peer.client import PeerClient
from dqtw.net.peer.limits import PeerLimits, peer_http_limits
from dqtw.net.peer.server import PeerDoor

piece_bytes_max = 65536  # what one read of a socket brings
wall_start_s = 1_800_000_000.0


class Stream(FakeTransport):
    """One end of a connection, read in pieces as a socket is; cutting it off loses what was not read."""

    disconnectReason: Any  # noqa: N815

    def getOutBuffer(self) -> bytes:
        pending = b"".join(self.stream)
        self.stream = [pending[piece_bytes_max:]] if len(pending) > piece_bytes_max else []
        return pending[:piece_bytes_max]

    def abortConnection(self) -> None:
        self.stream = []
        self.disconnectReason = error.ConnectionLost()
        self.disconnecting = True


class Cable:
    """One connection; unplugged, nothing moves on it."""

    def __init__(self, server: Any, client: Any) -> None:
        stream: Any = Stream
        self.server_end, self.client_end = stream(server, isServer=True), stream(client, isServer=False)
        self.pump: IOPump = connect(server, self.server_end, client, self.client_end, greet=False)
        self.moving = True
        self.asked = b""

    def turn(self) -> bool:
        """Move what is on its way."""
        self.asked += b"".join(self.client_end.stream)
        return self.moving and bool(self.pump.pump(advanceClock=False))

    def cut(self) -> None:
        """Both ends lose the connection, and all that was on its way."""
        for end in (self.server_end, self.client_end):
            end.abortConnection()

    @property
    def ended(self) -> bool:
        """Whether both ends know that it is over."""
        return bool(self.server_end.disconnected and self.client_end.disconnected) or (
            bool(self.server_end.disconnecting) and bool(self.client_end.disconnecting)
        )


@define
class Net:
    """Who listens where, and every connection that was ever made."""

    clock: Clock = field(factory=Clock)
    wall_s: float = wall_start_s
    listening: dict[bytes, Any] = field(factory=dict)
    cables: list[Cable] = field(factory=list)

    def connect(self, host: bytes, factory: IProtocolFactory) -> Deferred[Any]:
        """What an endpoint does."""
        if host not in self.listening:
            return fail(error.ConnectionRefusedError())
        client: Any = factory.buildProtocol(cast(Any, None))
        self.cables.append(Cable(self.listening[host].buildProtocol(None), client))
        return succeed(client)

    def stranger(self, host: bytes, data: bytes) -> bytes:
        """Send raw bytes to a node; what comes back."""
        sink = Sink()
        cable = Cable(self.listening[host].buildProtocol(None), sink)
        self.cables.append(cable)
        cable.client_end.write(data)
        self.settle()
        return sink.received

    def wall(self) -> float:
        """The wall clock."""
        return self.wall_s + self.clock.seconds()

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(200):
            moved = [cable.turn() for cable in self.cables]
            self.clock.advance(0)
            if not any(moved):
                return

    def pass_time(self, seconds: float) -> None:
        """Let time pass, a twentieth of a second at once."""
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)
            self.settle()


@implementer(IAgentEndpointFactory)
@define
class Endpoints:
    """Opens connections by the host's name alone."""

    net: Net

    def endpointForURI(self, uri: Any) -> Any:
        return Endpoint(self.net, uri.host)


@define
class Endpoint:
    """One place to connect to."""

    net: Net
    host: bytes

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        return self.net.connect(self.host, factory)


def url_of(node: str) -> str:
    """Where a node of these clusters listens."""
    return f"http://{node}.test:8081"


def client_on(net: Net, secret: bytes | None = None, limits: PeerLimits | None = None, seed: object = 0) -> PeerClient:
    """What carries requests, on a network of memory."""
    signer = Signer(PeerSecret(secret), net.wall, Random(f"client {seed}").randbytes) if secret else None
    return PeerClient(
        net.clock,
        lambda pool: Agent.usingEndpointFactory(net.clock, Endpoints(net), pool),
        signer,
        limits,
    )


class MemoryLink:
    """What carries requests without any wire: the other transport, which shows what is the network's doing."""

    def __init__(self, drivers: dict[str, Driver]) -> None:
        self.drivers = drivers

    def send(self, asking: Asking, answered: Callable[[PeerAnswer], None]) -> None:
        """Hand the request to the node, and its answer back."""
        self.drivers[asking.peer].peer_asks(asking.request, answered)


class Member:
    """One node of a cluster."""

    def __init__(
        self,
        net: Net,
        settings: NodeSettings,
        secret: bytes | None = None,
        limits: PeerLimits | None = None,
        http_limits: HttpLimits = peer_http_limits,
        seed: int = 0,
    ) -> None:
        entropy = Random(f"{settings.node} {seed}").randbytes
        self.net = net
        self.client = client_on(net, secret, limits, seed=(settings.node, seed))
        self.node = Node(net.clock.seconds(), settings, entropy, int(net.wall() * 1000))
        self.driver = Driver(self.node, net.clock, self.client)
        verifier = Verifier(PeerSecret(secret), net.wall) if secret else None
        self.door = PeerDoor(settings.node, self.driver, verifier, limits)
        self.site = self.door.site(net.clock, http_limits)
        net.listening[f"{settings.node}.test".encode()] = self.site
        self.driver.start()

    @property
    def serves(self) -> bool:
        return self.node.phase is Phase.SERVING

    def crash(self) -> None:
        """The process is gone, and with it all that it knew."""
        self.client.stop()
        del self.net.listening[f"{self.node.settings.node}.test".encode()]
        for cable in self.net.cables:
            if cable.pump.server.site is self.site:
                cable.cut()

    def tell(self, command: Command, within_s: float = 1.0) -> Outcome:
        """Send a command, and wait for its outcome."""
        outcomes: list[Outcome] = []
        self.driver.submit(command, outcomes.append)
        self.net.pass_time(within_s)
        assert len(outcomes) == 1, f"{command} has {len(outcomes)} outcomes"
        return outcomes[0]


def settings_of(node: str, members: str, **more: Any) -> NodeSettings:
    """What a node is told that is one of these members, each named by a letter."""
    peers = {each: url_of(each) for each in members if each != node}
    return NodeSettings(node=node, peers=peers, **{"copies": len(members), **more})


def cluster_of(net: Net, members: str, secret: bytes | None = None, **more: Any) -> dict[str, Member]:
    """A cluster that has come together."""
    cluster = {node: Member(net, settings_of(node, members, **more), secret) for node in members}
    net.pass_time(3)
    assert all(member.serves for member in cluster.values())
    return cluster


class Scripted:
    """A peer that answers as it is told: what was asked of it is kept, and nothing is made of it."""

    def __init__(self) -> None:
        self.asked: list[PeerRequest] = []
        self.replied: list[Callable[[PeerAnswer], None]] = []
        self.answer: PeerAnswer | None = None
        self.refused: list[tuple[str, str]] = []

    def count_refused(self, listener: str, code: str) -> None:
        self.refused.append((listener, code))

    def peer_asks(self, request: PeerRequest, replied: Callable[[PeerAnswer], None]) -> None:
        self.asked.append(request)
        self.replied.append(replied)
        if self.answer is not None:
            replied(self.answer)


class Sink(Protocol):
    """A client that only reads."""

    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class Raw(Protocol):
    """A server that sends these bytes to whoever sends anything, and may hang up then."""

    transport: Any

    def __init__(self, answer: bytes, *, hang_up: bool = False) -> None:
        self.answer = answer
        self.hang_up = hang_up

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.answer)
        if self.hang_up:
            self.transport.loseConnection()


@define
class RawSite:
    """Listens with a server of few words."""

    answer: bytes
    hang_up: bool = False

    def buildProtocol(self, _: Any) -> Raw:
        return Raw(self.answer, hang_up=self.hang_up)


def ask(net: Net, client: PeerClient, request: PeerRequest, to: str = "b", within_s: float = 0.0) -> list[PeerAnswer]:
    """Ask a node, let things happen, and return what was answered: nothing, or one answer."""
    answers: list[PeerAnswer] = []
    client.send(Asking(1, to, url_of(to), request, call_timeout_s), answers.append)
    net.settle()
    net.pass_time(within_s)
    assert len(answers) <= 1
    return answers
