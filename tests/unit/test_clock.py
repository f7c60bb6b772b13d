"""Timers that do not care when somebody sets the clock."""

import time
from itertools import count

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IDelayedCall
from typing_extensions import override

from dqtw.process.clock import follow_monotonic_time


class BareReactor(ReactorBase):
    """A reactor without anything to read or write, so that only its timers are left."""

    @override
    def installWaker(self) -> None:
        """There is nothing to wake."""


def due_in(call: IDelayedCall) -> float:
    return call.getTime() - time.monotonic()


@pytest.fixture
def reactor() -> ReactorBase:
    reactor = BareReactor()
    reactor.removeAll = list  # type: ignore[method-assign]
    return reactor


def test_new_timers_follow_the_monotonic_clock(reactor: ReactorBase) -> None:
    follow_monotonic_time(reactor)
    assert due_in(reactor.callLater(5, print)) == pytest.approx(5, abs=0.5)
    assert reactor.seconds is time.monotonic


def test_a_pending_timer_stays_due_when_it_was(reactor: ReactorBase) -> None:
    call = reactor.callLater(5, print)
    follow_monotonic_time(reactor)
    assert due_in(call) == pytest.approx(5, abs=0.5)
    call.reset(7)
    assert due_in(call) == pytest.approx(7, abs=0.5)


def test_pending_timers_keep_their_order_whatever_was_cancelled(reactor: ReactorBase) -> None:
    fired: list[int] = []
    numbers = count()
    calls = [reactor.callLater(delay / 1000, fired.append, next(numbers)) for delay in range(40)]
    reactor.timeout()  # moves new timers to the heap of old ones
    for call in calls[::3]:
        call.cancel()
    follow_monotonic_time(reactor)
    time.sleep(0.05)
    reactor.runUntilCurrent()
    assert fired == [number for number in range(40) if number % 3]


def test_following_twice_changes_nothing(reactor: ReactorBase) -> None:
    call = reactor.callLater(5, print)
    follow_monotonic_time(reactor)
    follow_monotonic_time(reactor)
    assert due_in(call) == pytest.approx(5, abs=0.5)
