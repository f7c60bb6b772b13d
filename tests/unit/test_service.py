"""A server's orderly start and end, without a process."""

import io
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import pytest
from attrs import define, field
from twisted.application.service import Application, IServiceCollection
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from dqtw.core.commands import Get, Push
from dqtw.core.errors import Draining
from dqtw.core.node import Node
from dqtw.core.settings import NodeSettings
from dqtw.doors import Door
from dqtw.driver import Driver
from dqtw.options import BadOption
from dqtw.process.signals import ExitStatus
from dqtw.service import NodeService, build_service
from dqtw.settings import read_settings


class Reactor(MemoryReactorClock):
    """A reactor that remembers whether it was stopped."""

    stopped = False

    def stop(self) -> None:
        self.stopped = True

    def callWhenRunning(self, call: Any, *arguments: object) -> None:  # type: ignore[override]
        call(*arguments)

    def callFromThread(self, call: Any, *arguments: object) -> None:
        call(*arguments)

    def sigTerm(self, *_: object) -> None: ...

    def sigInt(self, *_: object) -> None: ...


@define
class Server:
    """A service with one door, and what can be seen of it."""

    reactor: Reactor = field(factory=Reactor)
    exit_status: ExitStatus = field(factory=ExitStatus)
    clients: int = 0
    seen: list[str] = field(factory=list)
    driver: Driver = field(init=False)
    service: NodeService = field(init=False)

    def __attrs_post_init__(self) -> None:
        reactor = cast(ReactorBase, self.reactor)
        self.driver = Driver(Node(0.0, NodeSettings(), bytes, 0), self.reactor)
        factory = cast(IProtocolFactory, Factory())
        dismiss = partial(self.seen.append, "dismissed")
        door = Door("line", "lines", ("tcp:1",), factory, dismiss, lambda: self.clients, 1, self.seen.append)
        self.service = NodeService(reactor, self.driver, [door], None, None, self.exit_status)
        self.service.open_doors()


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the server logs, without Twisted's own lines."""
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "dqtw":
            lines.append(formatEvent(event))

    observer = cast(ILogObserver, observe)
    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


def test_a_start_tells_where_it_listens(lines: list[str]) -> None:
    Server().service.startService()
    assert lines == ["lines on 0.0.0.0:1", "dqtw 0.1.0 is ready"]


def test_leaving_goes_in_order(lines: list[str]) -> None:
    server = Server(clients=1)
    outcomes: list[Any] = []
    server.driver.submit(Push(b"x"), lambda outcome: None)
    server.driver.submit(Get(), lambda outcome: None)
    server.driver.submit(Get(wait_s=30), outcomes.append)
    server.reactor.advance(0)
    left: list[None] = []
    server.service.stopService().addCallback(left.append)
    server.driver.submit(Push(b"too late"), outcomes.append)
    server.reactor.advance(0.01)
    assert outcomes[0].deliveries == ()
    assert isinstance(outcomes[1], Draining)
    assert server.seen == ["dismissed"]
    assert not left
    server.clients = 0
    server.reactor.advance(1)
    assert left == [None]
    assert lines == ["draining", "stopped; messages that end with this node: 1"]
    assert server.exit_status.status == 0


def test_leaving_does_not_wait_for_ever_for_clients(lines: list[str]) -> None:
    server = Server(clients=1)
    left: list[None] = []
    server.service.stopService().addCallback(left.append)
    server.reactor.pump([0.1] * 60)
    assert left == [None]
    assert lines[1] == "clients that did not take their answers or hang up in time are cut off"


def test_leaving_in_disorder_has_a_status_of_its_own(
    lines: list[str], logged_failures: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    monkeypatch.setattr(server.driver, "drain", lambda: 1 / 0)
    server.service.stopService()
    assert lines == ["draining", "could not leave in order"]
    assert server.exit_status.status == 1
    logged_failures.clear()


def test_a_signal_stops_the_reactor_once() -> None:
    server = Server()
    signal.signal(signal.SIGTERM, server.reactor.sigTerm)
    server.service.startService()
    signal.raise_signal(signal.SIGTERM)
    server.reactor.advance(0)
    assert server.reactor.stopped
    server.reactor.stopped = False
    signal.raise_signal(signal.SIGTERM)
    server.reactor.advance(0)
    assert not server.reactor.stopped


def test_an_endpoint_that_fails_late_ends_the_server(lines: list[str]) -> None:
    server = Server()
    server.service._failed(BadOption("--line", "can't listen"))
    assert server.reactor.stopped
    assert server.exit_status.status == 1
    assert lines == ["--line: can't listen"]


def test_a_json_log_is_given_to_the_application() -> None:
    server = Server()
    server.service._json_log = io.StringIO()
    application: Any = Application("dqtw")
    server.service.setServiceParent(application)
    assert application.getComponent(ILogObserver) is not None
    assert list(IServiceCollection(application)) == [server.service]


def test_a_cluster_that_strangers_can_reach_does_not_start_without_a_secret() -> None:
    given = {"peer": ["b=http://127.0.0.1:1"], "peer-listen": ["tcp:8081"]}
    with pytest.raises(BadOption, match="--peer-listen: tcp:8081 can be reached from other machines"):
        build_service(read_settings(given, {}), cast(ReactorBase, Server().reactor), None)
    build_service(read_settings({**given, "insecure-peers": ["yes"]}, {}), cast(ReactorBase, Server().reactor), None)
