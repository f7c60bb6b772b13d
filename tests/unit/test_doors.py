"""Doors: where they listen, and how they close."""

from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor

from dqtw import listeners as doors
from dqtw.config.options import BadOption
from dqtw.listeners import Door


@define
class Clients:
    """The clients of a door, as its factory would count them."""

    count: int = 0
    dismissed: bool = False

    def dismiss(self) -> None:
        self.dismissed = True


@define
class Hall:
    """A door, its clients and its reactor."""

    endpoints: tuple[str, ...] = ("tcp:1", "tcp:2:interface=127.0.0.1")
    clients: Clients = field(factory=Clients)
    reactor: MemoryReactor = field(factory=MemoryReactor)
    failed: list[BadOption] = field(factory=list)
    door: Door = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.door = Door(
            "line",
            "lines",
            self.endpoints,
            cast(IProtocolFactory, Factory()),
            self.clients.dismiss,
            lambda: self.clients.count,
            10,
            list[str]().append,
        )

    def open(self) -> None:
        self.door.open(cast(ReactorBase, self.reactor), self.failed.append)


def test_a_door_listens_on_all_its_endpoints() -> None:
    hall = Hall()
    hall.open()
    assert [server[0] for server in hall.reactor.tcpServers] == [1, 2]
    assert hall.door.addresses() == ["0.0.0.0:1", "0.0.0.0:2"]  # the memory reactor forgets the interface


def test_an_endpoint_that_is_none_is_refused_by_name() -> None:
    hall = Hall(endpoints=("tcp:1", "bogus:2"))
    with pytest.raises(BadOption, match="--line: 'bogus:2' is not an endpoint: it must begin with one of tcp:"):
        hall.open()


def test_an_endpoint_may_find_out_later_that_it_can_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    listening: Deferred[Any] = Deferred()

    class Slow:
        def listen(self, factory: object) -> Deferred[Any]:
            return listening

    monkeypatch.setattr(doors, "endpoint_of", lambda *_: cast(IStreamServerEndpoint, Slow()))
    hall = Hall(endpoints=("slow:1",))
    hall.open()
    assert not hall.failed
    listening.errback(OSError(98, "Address already in use"))
    (bad,) = hall.failed
    assert str(bad).startswith("--line: can't listen on 'slow:1': Address already in use")


def finish(hall: Hall, clock: Clock) -> list[bool]:
    """What finishing tells, once it does."""
    told: list[bool] = []
    Deferred.fromCoroutine(hall.door.finish(clock, clock.seconds() + 5)).addCallback(told.append)
    return told


def test_a_door_that_is_shut_knows_where_it_has_listened() -> None:
    """Requests that are under way are still judged by it, for example by whether it is a loopback address."""
    hall = Hall()
    hall.open()
    listened = hall.door.hosts()
    hall.door.shut()
    assert len(listened) == 2
    assert hall.door.hosts() == listened


def test_finishing_waits_until_the_last_client_is_gone() -> None:
    hall, clock = Hall(), Clock()
    hall.clients.count = 2
    told = finish(hall, clock)
    assert hall.clients.dismissed
    clock.pump([0.1] * 10)
    assert not told
    hall.clients.count = 0
    clock.advance(0.1)
    assert told == [True]


def test_finishing_does_not_wait_for_ever() -> None:
    hall, clock = Hall(), Clock()
    hall.clients.count = 1
    told = finish(hall, clock)
    clock.pump([0.1] * 60)
    assert told == [False]


def test_finishing_without_clients_takes_no_time() -> None:
    assert finish(Hall(), Clock()) == [True]
