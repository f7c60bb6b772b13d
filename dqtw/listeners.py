"""Where clients come in: a protocol, the endpoints it listens on, and the ports that came of them."""

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from attrs import define, field
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from dqtw.config.endpoints import TlsEndpoint, endpoint_of, why
from dqtw.config.options import BadOption
from dqtw.config.values import shown
from dqtw.net.tls import ServerCertificate

look_seconds: Final = 0.02  # how often a door that closes looks whether its last client is gone


@define
class Door:
    """One protocol and the endpoints it listens on.

    Attributes:
        option: the option that says where.
        name: for the log.
        endpoints: endpoint strings.
        factory: speaks the protocol.
        dismiss: closes each connection when what is under way on it is answered.
        connections: how many there are.
        connections_max: how many there may be.
        count_refused: called with the code of what is refused before the factory's protocol sees it.
        certificates: of its TLS endpoints.
    """

    option: str
    name: str
    endpoints: tuple[str, ...]
    factory: IProtocolFactory
    dismiss: Callable[[], object]
    connections: Callable[[], int]
    connections_max: int
    count_refused: Callable[[str], object]
    _ports: list[IListeningPort] = field(factory=list, init=False)
    _hosts: dict[str, IAddress] = field(factory=dict, init=False)  # by endpoint; kept when the ports are shut
    certificates: list[ServerCertificate] = field(factory=list, init=False)

    def open(self, reactor: ReactorBase, failed: Callable[[BadOption], None]) -> None:
        """Listen.

        Args:
            reactor: the reactor.
            failed: told of an endpoint that only found out later that it can't listen.

        Raises:
            BadOption: an endpoint can't listen.
        """
        for text in self.endpoints:
            endpoint = endpoint_of(self.option, text, reactor, self.count_refused)
            if isinstance(endpoint, TlsEndpoint):
                self.certificates.append(endpoint.certificate)
            self._listen(text, endpoint, failed)

    def _listen(self, text: str, endpoint: IStreamServerEndpoint, failed: Callable[[BadOption], None]) -> None:
        opening: Deferred[Any] = maybeDeferred(endpoint.listen, self.factory)
        opening.addCallback(partial(self._add, text))
        failures: list[Failure] = []
        opening.addErrback(failures.append)
        if failures:
            raise self._bad(text, failures[0])

        def tell(_: object) -> None:
            for failure in failures:
                failed(self._bad(text, failure))

        opening.addCallback(tell)

    def _add(self, text: str, port: IListeningPort) -> None:
        self._ports.append(port)
        self._hosts[text] = port.getHost()

    def _bad(self, text: str, failure: Failure) -> BadOption:
        return BadOption(f"--{self.option}", f"can't listen on {shown(text)}: {why(failure.value)}")

    def hosts(self) -> list[IAddress]:
        """Return what it listens on, or has listened on: connections stay open when the ports are shut."""
        return list(self._hosts.values())

    def check_near(self, instead: str) -> None:
        """See that other machines can't reach it.

        Args:
            instead: what an operator can do about it.

        Raises:
            BadOption: they can.
        """
        for text in self.endpoints:
            if text not in self._hosts or not _is_near(self._hosts[text]):
                raise BadOption(f"--{self.option}", f"{text} can be reached from other machines: {instead}")

    def uses_tls(self) -> bool:
        """Return True if an endpoint encrypts its connections, whatever its string says."""
        return any(_is_tls(getattr(port, "factory", None)) for port in self._ports)

    def addresses(self) -> list[str]:
        """Where it listens, for the log."""
        return [_address(port.getHost()) for port in self._ports]

    def shut(self) -> Deferred[Any]:
        """Take no more connections; those that are open stay."""
        ports, self._ports = self._ports, []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])

    async def finish(self, clock: IReactorTime, until: float) -> bool:
        """Answer what is under way and close; whether all connections are gone before the moment ``until``."""
        self.dismiss()
        while self.connections() and clock.seconds() < until:
            await deferLater(clock, look_seconds)
        return not self.connections()


def _is_near(address: IAddress) -> bool:
    """Return True if only this machine reaches the address: loopback, or a socket in the file system."""
    host = getattr(address, "host", None)
    return host is None or ip_address(host).is_loopback


def _is_tls(factory: object) -> bool:
    """Return True if a factory, or one that it wraps, makes TLS connections."""
    while factory is not None and not isinstance(factory, TLSMemoryBIOFactory):
        factory = getattr(factory, "wrappedFactory", None)
    return factory is not None


def _address(address: IAddress) -> str:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        name = getattr(address, "name", address)
        return f"unix:{name.decode(errors='replace')}" if isinstance(name, bytes) else str(name)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
