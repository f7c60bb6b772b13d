"""A server's orderly start and end, without a process."""

import io
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define, field
from twisted.application.service import Application, IServiceCollection
from twisted.internet.address import IPv4Address
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from dqtw.config.options import BadOption
from dqtw.config.settings import read_settings
from dqtw.core.model.commands import Get, Push
from dqtw.core.model.errors import Draining
from dqtw.core.model.health import Check
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.driver import Driver
from dqtw.listeners import Door
from dqtw.process.logs import Log
from dqtw.process.signals import ExitStatus
from dqtw.service import NodeService, build_service
from tests.authority import Authority


class Reactor(MemoryReactorClock):
    """A reactor that remembers whether it was stopped."""

    stopped = False

    def stop(self) -> None:
        self.stopped = True

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen where it was asked to; the memory reactor forgets the interface."""
        listening = super().listenTCP(port, factory, backlog, interface)  # type: ignore[no-untyped-call]
        listening._hostAddress = IPv4Address("TCP", interface or "0.0.0.0", port)
        return listening

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
    drain_notice_s: float = 0.0
    seen: list[str] = field(factory=list)
    driver: Driver = field(init=False)
    service: NodeService = field(init=False)

    def __attrs_post_init__(self) -> None:
        reactor = cast(ReactorBase, self.reactor)
        self.driver = Driver(Node(0.0, NodeSettings(), bytes, 0), self.reactor)
        factory = cast(IProtocolFactory, Factory())
        dismiss = partial(self.seen.append, "dismissed")
        door = Door("line", "lines", ("tcp:1",), factory, dismiss, lambda: self.clients, 1, self.seen.append)
        self.service = NodeService(reactor, self.driver, [door], None, self.exit_status, None, self.drain_notice_s)
        self.service.open_doors()


changeable = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in changeable}
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


def terminate(server: Server) -> None:
    signal.raise_signal(signal.SIGTERM)
    server.reactor.advance(0)


def with_notice(seconds: float) -> Server:
    """A server that gives notice of its drain and has been told to leave."""
    server = Server(drain_notice_s=seconds)
    for number, handler in ((signal.SIGTERM, server.reactor.sigTerm), (signal.SIGINT, server.reactor.sigInt)):
        signal.signal(number, handler)
    server.service.startService()
    server.reactor.advance(0)
    terminate(server)
    return server


def test_notice_of_a_drain_is_given_while_everything_is_served(lines: list[str]) -> None:
    """A balancer has the time to look elsewhere."""
    server = with_notice(5.0)
    ready, push = server.driver.health(Check.READY), server.driver.health(Check.PUSH)
    assert (ready.ok, ready.reasons, push.reasons) == (False, ("draining",), ("draining",))
    assert server.driver.health(Check.LIVE).ok
    server.reactor.advance(4.0)
    outcomes: list[Any] = []
    server.driver.submit(Push(b"x"), outcomes.append)
    server.driver.submit(Get(), outcomes.append)
    server.reactor.advance(0)
    assert outcomes[1].deliveries[0].message.body == b"x"
    assert (server.driver.stats()["state"], server.driver.stats()["drain_in_s"]) == ("serving", 1.0)
    assert not server.reactor.stopped
    server.reactor.advance(1.0)
    assert server.reactor.stopped
    assert lines[2:] == ["draining in 5 s; until then /health/ready is 503, and everything is served"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_notice(lines: list[str], number: signal.Signals) -> None:
    server = with_notice(3600.0)
    signal.raise_signal(number)
    server.reactor.advance(0)
    assert server.reactor.stopped
    left: list[None] = []
    server.service.stopService().addCallback(left.append)
    server.reactor.advance(1)
    assert left == [None]
    assert server.driver.stats()["drain_in_s"] is None
    assert lines[3:] == ["draining", "stopped; messages that end with this node: 0"]
    assert not server.reactor.getDelayedCalls()


def test_a_reactor_that_is_stopped_otherwise_ends_the_notice() -> None:
    """As by an endpoint that fails, or by a node that has been replaced and may go."""
    server = with_notice(3600.0)
    server.service._failed(BadOption("--line", "can't listen"))
    assert server.reactor.stopped
    server.service.stopService()
    server.reactor.advance(1)
    assert not server.reactor.getDelayedCalls()


def test_a_node_that_is_not_ready_gives_no_notice() -> None:
    """No balancer sends it anything."""
    server = Server(drain_notice_s=3600.0)
    signal.signal(signal.SIGTERM, server.reactor.sigTerm)
    server.driver.drain()
    server.service.startService()
    terminate(server)
    assert server.reactor.stopped


def test_an_endpoint_that_fails_late_ends_the_server(lines: list[str]) -> None:
    server = Server()
    server.service._failed(BadOption("--line", "can't listen"))
    assert server.reactor.stopped
    assert server.exit_status.status == 1
    assert lines == ["--line: can't listen"]


def test_the_log_is_given_to_the_application() -> None:
    server = Server()
    server.service._log = Log(io.StringIO(), "json")
    application: Any = Application("dqtw")
    server.service.setServiceParent(application)
    assert application.getComponent(ILogObserver) is not None
    assert list(IServiceCollection(application)) == [server.service]


def build(**given: list[str]) -> NodeService:
    """Build a service from options."""
    settings = read_settings({name.replace("_", "-"): texts for name, texts in given.items()}, {})
    return build_service(settings, cast(ReactorBase, Server().reactor), None)


peers = {"node": ["a"], "peer": ["b=http://127.0.0.1:1"]}


def test_a_cluster_that_strangers_can_reach_does_not_start_without_a_secret() -> None:
    with pytest.raises(BadOption, match="--peer-listen: tcp:8081 can be reached from other machines: give all nodes"):
        build(**peers, peer_listen=["tcp:8081"])
    build(**peers, peer_listen=["tcp:8081"], insecure_peers=["yes"])
    build(**peers, peer_listen=["tcp:8081:interface=127.0.0.1"])


def test_clients_of_other_machines_need_a_token(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("token")
    with pytest.raises(BadOption, match="--http: tcp:8080 can be reached from other machines: name a --token-file"):
        build(http=["tcp:1:interface=127.0.0.1", "tcp:8080"])
    with pytest.raises(BadOption, match="--line: haproxy:tcp:7711 can be reached from other machines"):
        build(line=["haproxy:tcp:7711"])
    build(http=["tcp:8080"], insecure_clients=["yes"])
    build(http=["tcp:8080"], token_file=[str(tmp_path / "tokens")])


@pytest.mark.parametrize(
    ("listen", "url", "is_own"),
    [
        ("tcp:8081:interface=127.0.0.1", "http://127.0.0.1:8081", True),
        ("tcp:8081:interface=127.0.0.1", "http://localhost:8081", True),
        ("tcp:8081", "http://127.0.0.1:8081", True),
        ("tcp:80:interface=10.0.0.1", "http://10.0.0.1", True),
        ("tcp:8081:interface=127.0.0.1", "http://127.0.0.2:8081", False),
        ("tcp:8081:interface=127.0.0.1", "http://127.0.0.1:8082", False),
        ("tcp:8081", "http://10.0.0.2:8081", False),
        ("tcp:8081", "http://b.example:8081", False),
    ],
)
def test_a_peer_is_not_the_node_itself(listen: str, url: str, is_own: bool) -> None:
    given = {"node": ["a"], "peer": [f"b={url}"], "peer_listen": [listen], "insecure_peers": ["yes"]}
    if is_own:
        with pytest.raises(BadOption, match=f"--peer: 'b' has the URL of this node itself, {url}: see --peer-listen"):
            build(**given)
    else:
        build(**given)


def test_a_queue_that_can_not_fit_into_memory_is_told(lines: list[str]) -> None:
    build(max_bytes=["100TiB"])
    (line,) = lines
    assert line.startswith("--max-bytes allows messages of 109951162777600 bytes on this node, for 1 members; this")
    lines.clear()
    build()
    assert not lines


def test_signals_that_ask_for_nothing_do_not_end_a_server(lines: list[str]) -> None:
    build()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGHUP):
        signal.raise_signal(number)
    assert lines == [
        "SIGUSR1: there is no log file to open again",
        "SIGUSR2 does nothing here",
        "SIGALRM does nothing here",
        "SIGHUP: no option names a file that is read again",
    ]


def test_a_hangup_reads_all_files_again_each_by_itself(tmp_path: Path, lines: list[str]) -> None:
    authority = Authority.make()
    authority.write(tmp_path, authority.server())
    files = {name: tmp_path / name for name in ("tokens", "secret", "privkey.pem", "fullchain.pem", "root.pem")}
    files["tokens"].write_text("one\ntwo\n")
    files["secret"].write_text("s" * 16)
    for private in ("tokens", "secret"):
        files[private].chmod(0o600)
    build(
        http=[f"ssl:1:interface=127.0.0.1:privateKey={files['privkey.pem']}:certKey={files['fullchain.pem']}"],
        **peers,
        peer_listen=["tcp:8081:interface=127.0.0.1"],
        token_file=[str(files["tokens"])],
        peer_secret_file=[str(files["secret"])],
        peer_ca=[str(files["root.pem"])],
    )
    signal.raise_signal(signal.SIGHUP)
    assert lines == [
        "--token-file: read again, tokens: 2",
        "--peer-secret-file: read again, secrets: 1",
        "--peer-ca: read again, certificates: 1",
        "--http: read again, certificates: 2",
    ]
    lines.clear()
    for file in files.values():
        file.unlink()
    files["secret"].write_text("t" * 16)
    files["secret"].chmod(0o600)
    signal.raise_signal(signal.SIGHUP)
    absent = "No such file or directory"
    assert lines == [
        f"--token-file: can't read '{files['tokens']}': {absent}; the tokens stay as they were",
        "--peer-secret-file: read again, secrets: 1",
        f"--peer-ca: can't read '{files['root.pem']}': {absent}; the certificates stay as they were",
        f"--http: can't read '{files['fullchain.pem']}': {absent}; the certificates stay as they were",
    ]


def test_a_secret_that_everybody_can_read_is_told(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dqtw.rereading.can_others_read", lambda path: path.name == "tokens")
    for name in ("tokens", "secret"):
        (tmp_path / name).write_text("s" * 16)
    build(
        **peers, token_file=[str(tmp_path / "tokens")], peer_listen=["tcp:8081:interface=127.0.0.1"],
        peer_secret_file=[str(tmp_path / "secret")],
    )  # fmt: skip
    path = tmp_path / "tokens"
    assert lines == [f"--token-file: every user of this machine can read {path}; mend it with: chmod o= {path}"]
