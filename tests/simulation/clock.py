"""The world's time: a heap of what is to happen, and a step to the next of it."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TypeAlias

Event: TypeAlias = Callable[[], None]


class Clock:
    """Seconds since the world began; only `step` lets them pass.

    Attributes:
        now: the time.
        steps: how many events there were.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._heap: list[tuple[float, int, Event]] = []
        self._order = 0

    def at(self, when: float, event: Event) -> None:
        """Let something happen at a moment; what was asked for first happens first."""
        self._order += 1
        heappush(self._heap, (max(when, self.now), self._order, event))

    def after(self, delay_s: float, event: Event) -> None:
        """Let something happen some time from now."""
        self.at(self.now + delay_s, event)

    def run_until(self, when: float) -> None:
        """Let everything happen that is due by then."""
        while self._heap and self._heap[0][0] <= when:
            self.step()
        self.now = max(self.now, when)

    def step(self) -> None:
        """Let the next thing happen."""
        self.now, _, event = heappop(self._heap)
        self.steps += 1
        event()
