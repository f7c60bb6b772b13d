"""A server as twistd runs it: what it is made of, its ordered start, and its ordered end."""

import os
import time
from collections.abc import Sequence
from functools import partial
from signal import Signals
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from typing_extensions import override

from dqtw import __version__
from dqtw.cluster import (
    Cluster,
    address_of,
    authorities_of,
    check_exposed,
    check_peers,
    door_for_peers,
    secret_of,
    streams_to_peers,
)
from dqtw.config.options import BadOption
from dqtw.config.settings import Settings
from dqtw.core.effects import Departure
from dqtw.core.model.health import Check
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.driver import Driver
from dqtw.listeners import Door
from dqtw.net.http.limits import HttpLimits
from dqtw.net.http.site import BoundedSite
from dqtw.net.line.factory import LineFactory, LineLimits
from dqtw.net.rest.api import RestDoor
from dqtw.net.rest.cross_site import CrossSiteGuard
from dqtw.net.tokens import BadTokens, Tokens
from dqtw.process.clock import follow_monotonic_time
from dqtw.process.files import allow_open_files
from dqtw.process.logs import Log
from dqtw.process.memory import memory_bytes_max
from dqtw.process.signals import ExitStatus, on_signal, outlive, status_failed, take_over_stopping
from dqtw.rereading import Reread, reread_all

finish_seconds_max: Final = 5.0
own_files: Final = 100  # open files of this process that are no client's

_log = Logger(namespace="dqtw")


def build_service(settings: Settings, reactor: ReactorBase, log: Log | None) -> "NodeService":
    """A node and its doors, which listen already; nobody is answered before the reactor runs.

    Args:
        settings: what it was told.
        reactor: the reactor; its timers follow the monotonic clock from now on.
        log: where log lines go; None leaves them to twistd.

    Raises:
        BadOption: a door can't listen, or what an option names can't be used.
    """
    follow_monotonic_time(reactor)
    tokens, secret, authorities = _tokens(settings), secret_of(settings), authorities_of(settings)
    streams = streams_to_peers(settings, secret, authorities, reactor)
    driver = Driver(Node(reactor.seconds(), settings.node, os.urandom, time.time_ns() // 1_000_000), reactor, streams)
    streams.start(driver)
    doors = _doors(settings, driver, reactor, tokens)
    cluster = Cluster(door_for_peers(settings, streams, driver, reactor), streams) if settings.peer_listen else None
    service = NodeService(reactor, driver, doors, log, exit_status := ExitStatus(), cluster, settings.drain_notice_s)
    service.open_doors()
    if tokens is None and not settings.insecure_clients:
        for door in doors:
            door.check_near(
                "name a --token-file, or say --insecure-clients if only trusted machines are on that network"
            )
    if cluster is not None:
        check_exposed(settings, cluster.door)
        check_peers(settings, cluster.door)
        service.be_known_as(address_of(settings, cluster.door))
    kept = (
        ("token-file", "tokens", tokens, settings.token_file),
        ("peer-secret-file", "secrets", secret, settings.peer_secret_file),
        ("peer-ca", "certificates", authorities, None),
    )
    service.heed_signals(
        [Reread(option, what, contents, private) for option, what, contents, private in kept if contents is not None]
    )
    _warn_of_memory(settings.node)
    exit_status.apply()
    return service


def _warn_of_memory(node: NodeSettings) -> None:
    """Warn if this node's queue, and its copies of the others', may outgrow the memory that there is."""
    wanted, allowed = node.max_bytes * len(node.members), memory_bytes_max()
    if wanted > allowed:
        _log.warn(
            "--max-bytes allows messages of {wanted} bytes on this node, for {members} members; this process may use "
            "{allowed} bytes of memory: a system out of memory kills it",
            wanted=wanted,
            members=len(node.members),
            allowed=allowed,
        )


def _tokens(settings: Settings) -> Tokens | None:
    if settings.token_file is None:
        return None
    try:
        return Tokens(settings.token_file)
    except BadTokens as error:
        raise BadOption("--token-file", str(error)) from None


def _doors(settings: Settings, driver: Driver, reactor: ReactorBase, tokens: Tokens | None) -> list[Door]:
    doors = [_http_door(settings, driver, reactor, tokens), _line_door(settings, driver, reactor, tokens)]
    return [door for door in doors if door.endpoints]


def _http_door(settings: Settings, driver: Driver, reactor: ReactorBase, tokens: Tokens | None) -> Door:
    passing_bytes_max = _passing_bytes_max(settings.node)
    limits = HttpLimits(
        connections_max=settings.max_connections,
        received_bytes_max=passing_bytes_max,
        unread_bytes_max=passing_bytes_max,
        idle_seconds_max=settings.idle_timeout_s,
    )

    def listeners() -> list[IAddress]:
        return door.hosts()

    guard = CrossSiteGuard(frozenset(name.lower() for name in settings.hosts), listeners)
    rest = RestDoor(driver, settings.node.max_message, tokens.admit if tokens is not None else None, guard)
    site = BoundedSite(rest.resource(), rest, reactor, limits)
    door = Door(
        "http",
        "REST",
        settings.http,
        site,
        site.drain,
        lambda: site.connection_count,
        settings.max_connections,
        partial(driver.count_refused, "http"),
    )
    return door


def _passing_bytes_max(node: NodeSettings) -> int:
    """What bodies on their way in, or out, may take: half of what the queue may, but some of the largest always."""
    return max(4 * node.max_message, min(HttpLimits().received_bytes_max, node.max_bytes // 2))


def _line_door(settings: Settings, driver: Driver, reactor: ReactorBase, tokens: Tokens | None) -> Door:
    limits = LineLimits(max_message=settings.node.max_message, max_connections=settings.max_connections)
    factory = LineFactory(driver, reactor, limits, tokens.admit if tokens is not None else None)
    return Door(
        "line",
        "lines",
        settings.line,
        factory,
        factory.end,
        lambda: factory.connections,
        settings.max_connections,
        partial(driver.count_refused, "line"),
    )


class NodeService(Service):
    """One node in its process, from the first connection to the last."""

    def __init__(
        self,
        reactor: ReactorBase,
        driver: Driver,
        doors: list[Door],
        log: Log | None,
        exit_status: ExitStatus,
        cluster: Cluster | None = None,
        drain_notice_s: float = 0.0,
    ) -> None:
        self._reactor = reactor
        self._driver = driver
        self._doors = doors
        self._log = log
        self._exit = exit_status
        self._cluster = cluster
        self._drain_notice_s = drain_notice_s
        self._notice: IDelayedCall | None = None  # the end of the notice that was given
        self._leaving = False
        self._address = ""
        self._has_departed = False
        driver.departed.addCallback(self._depart)

    def open_doors(self) -> None:
        """Listen on every endpoint.

        Raises:
            BadOption: one of them can't.
        """
        for door in self._all_doors():
            door.open(self._reactor, self._failed)

    def be_known_as(self, address: str) -> None:
        """Tell peers this URL as the one at which they reach this node."""
        self._address = address

    def heed_signals(self, files: Sequence[Reread]) -> None:
        """Let no signal but those that ask for it end this process, from now on.

        Args:
            files: what SIGHUP reads again, besides the certificates of the doors.
        """
        certificates = [
            Reread(door.option, "certificates", each, each.files.private_key)
            for door in self._all_doors()
            for each in door.certificates
        ]
        files = [*files, *certificates]
        for file in files:
            file.warn_of_readers()
        on_signal(self._reactor, Signals.SIGHUP, lambda: reread_all(files))
        on_signal(self._reactor, Signals.SIGUSR1, self._reopen_log)
        outlive(self._reactor, lambda name: _log.info("{signal} does nothing here", signal=name))

    def _all_doors(self) -> list[Door]:
        return self._doors if self._cluster is None else [*self._doors, self._cluster.door]

    @override
    def setServiceParent(self, parent: Any) -> None:
        # The one moment at which a service sees its application, which twistd asks for its log observer.
        if self._log is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._log.observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    @override
    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._ready)

    @override
    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        self._leaving = True
        if self._notice is not None and self._notice.active():
            self._notice.cancel()
        return Deferred.fromCoroutine(self._leave()).addErrback(self._left_badly)

    def _ready(self) -> None:
        take_over_stopping(self._reactor, self._asked_to_stop)
        for door in self._all_doors():
            _log.info("{door} on {addresses}", door=door.name, addresses=", ".join(door.addresses()))
        is_alone = len(self._driver.members) == 1
        what = "is ready" if is_alone else f"starts as {self._driver.node_id} of {', '.join(self._driver.members)}"
        _log.info("dqtw {version} {what}", version=__version__, what=what)
        self._check_open_files()
        self._driver.start(self._address)

    def _check_open_files(self) -> None:
        wanted = own_files + sum(door.connections_max for door in self._all_doors())
        if (allowed := allow_open_files(wanted)) < wanted:
            _log.warn(
                "this process may have {allowed} files open, too few for --max-connections of all listeners: {wanted}",
                allowed=allowed,
                wanted=wanted,
            )

    def _asked_to_stop(self) -> None:
        """Give notice of the drain, if that is wanted; a second signal begins the drain at once.

        A node that is not ready gets no new clients that it would have to give notice to.
        """
        seconds = self._drain_notice_s
        if self._notice is not None or not seconds or not self._driver.health(Check.READY).ok:
            self._stop()
            return
        self._driver.give_notice(seconds)
        self._notice = self._reactor.callLater(seconds, self._stop)
        _log.info(
            "draining in {seconds:g} s; until then /health/ready is 503, and everything is served", seconds=seconds
        )

    def _stop(self) -> None:
        if not self._leaving:  # a second signal changes nothing
            self._leaving = True
            self._reactor.stop()

    def _failed(self, bad: BadOption) -> None:
        _log.critical("{why}", why=str(bad))
        self._exit.status = status_failed
        self._reactor.callWhenRunning(self._stop)

    def _reopen_log(self) -> None:
        try:
            is_file = self._log is not None and self._log.reopen()
        except OSError as error:
            _log.error("can't open {path} again: {why}", path=error.filename, why=error.strerror)
        else:
            _log.info(
                "SIGUSR1: the log file is open again" if is_file else "SIGUSR1: there is no log file to open again"
            )

    def _left_badly(self, failure: Failure) -> None:
        _log.failure("could not leave in order", failure=failure)
        self._exit.status = status_failed

    async def _leave(self) -> None:
        """Refuse what is new, answer what is under way, close, and tell what is lost."""
        if not self._has_departed:
            _log.info("draining")
            self._driver.drain()
        departure = await self._driver.departed
        await gatherResults([door.shut() for door in self._doors])
        await self._finish_connections()
        if self._cluster is not None:
            await self._cluster.close()
        count = departure.messages_lost if len(self._driver.members) > 1 else self._driver.messages_count
        self._exit.status = self._exit.status or departure.status.value
        log = _log.warn if count else _log.info
        log("stopped; messages that end with this node: {count}", count=count)

    def _depart(self, departure: Departure) -> Departure:
        """The node may go: it holds nothing that is not held elsewhere, or was told not to wait any longer."""
        self._has_departed = True
        self._stop()
        return departure

    async def _finish_connections(self) -> None:
        until = self._reactor.seconds() + finish_seconds_max
        finishing = [Deferred.fromCoroutine(door.finish(self._reactor, until)) for door in self._doors]
        finished = [await each for each in finishing]
        if not all(finished):
            _log.warn("clients that did not take their answers or hang up in time are cut off")
