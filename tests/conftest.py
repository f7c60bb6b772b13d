"""For every test: nothing that goes wrong unseen may pass."""

import gc
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher


def pytest_collection_finish() -> None:
    """Keep what is there before the first test out of the collections that follow each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def logged_failures() -> Iterator[list[LogEvent]]:
    """Fail a test that logs a failure, drops a failed Deferred, or leaves a timer behind in the reactor.

    A test that provokes a failure on purpose takes this fixture, looks at the list, and clears it.
    """
    failures: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None:
            failures.append(event)

    observer = cast(ILogObserver, observe)
    globalLogPublisher.addObserver(observer)
    yield failures
    gc.collect()  # a Deferred tells of a failure that nobody took when it is collected
    globalLogPublisher.removeObserver(observer)
    assert not [str(event["log_failure"]) for event in failures]
    assert not leftover_timers()


def leftover_timers() -> list[Any]:
    """The timers of the global reactor, if any test has installed it; cancelled, so that only one test pays."""
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    leftover = list(reactor.getDelayedCalls()) if reactor is not None else []
    for call in leftover:
        call.cancel()
    return leftover
