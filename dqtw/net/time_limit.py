"""One time limit for many connections, with one timer for all of them."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall

from dqtw.driver import Clock

T = TypeVar("T", bound=Hashable)


class TimeLimit(Generic[T]):
    """Calls ``passed`` for everything that began and did not end within the limit.

    As the limit is the same for all, what began first is due first: beginning and ending cost a dictionary access.
    """

    def __init__(self, clock: Clock, limit_s: float, passed: Callable[[T], None]) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._passed = passed
        self._due_s: dict[T, float] = {}
        self._timer: IDelayedCall | None = None

    def begin(self, what: T) -> None:
        """Start the limit for this one, unless it runs already."""
        if what in self._due_s:
            return
        self._due_s[what] = self._clock.seconds() + self._limit_s
        if self._timer is None:
            self._timer = self._clock.callLater(self._limit_s, self._tick)

    def end(self, what: T) -> None:
        """This one is done in time; ending what never began does nothing."""
        self._due_s.pop(what, None)

    def stop(self) -> None:
        """Forget all of them, and the timer."""
        self._due_s.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        now_s = self._clock.seconds()
        while self._due_s:
            what, due_s = next(iter(self._due_s.items()))
            if due_s > now_s:
                break
            del self._due_s[what]
            self._passed(what)
        self._arm(now_s)

    def _arm(self, now_s: float) -> None:
        if self._timer is None and self._due_s:
            first_s = next(iter(self._due_s.values()))
            self._timer = self._clock.callLater(max(0.0, first_s - now_s), self._tick)
