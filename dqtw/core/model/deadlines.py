"""Many deadlines, one timer: what is due, and when to look again.

As in beanstalkd, the tick does all that is due and says when it is next needed.
"""

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """For each key one moment, in seconds of the monotonic clock; setting, cancelling and popping cost O(log n)."""

    __slots__ = ("_heap", "_order", "_when")

    def __init__(self) -> None:
        self._when: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._when)

    def __contains__(self, key: object) -> bool:
        return key in self._when

    def set(self, key: K, when: float) -> None:
        """Let the key fall due at ``when``, and at no other time."""
        self._order += 1
        self._when[key] = (when, self._order)
        heappush(self._heap, (when, self._order, key))
        if len(self._heap) > 64 + 2 * len(self._when):
            self._compact()

    def cancel(self, key: K) -> None:
        """Let the key never fall due."""
        self._when.pop(key, None)

    def get(self, key: K) -> float | None:
        """When the key falls due."""
        found = self._when.get(key)
        return None if found is None else found[0]

    def next(self) -> float | None:
        """The moment of the first key that falls due."""
        self._skip_stale()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[K]:
        """Take out every key that is due, in the order in which they fell due."""
        due: list[K] = []
        while self._heap and self._heap[0][0] <= now:
            first = self.next()
            if first is None or first > now:
                break
            due.append(self.pop())
        return due

    def pop(self) -> K:
        """Take out the key that falls due first.

        Raises:
            IndexError: there is none.
        """
        self._skip_stale()
        key = heappop(self._heap)[2]
        del self._when[key]
        return key

    def _skip_stale(self) -> None:
        while self._heap and self._is_stale(self._heap[0]):
            heappop(self._heap)

    def _is_stale(self, entry: tuple[float, int, K]) -> bool:
        return self._when.get(entry[2]) != entry[:2]

    def _compact(self) -> None:
        """Stale entries never outnumber the true ones, so memory follows what is set."""
        self._heap = [(when, order, key) for key, (when, order) in self._when.items()]
        heapify(self._heap)
