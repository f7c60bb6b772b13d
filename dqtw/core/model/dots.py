"""Sets of the messages of one owner: for each incarnation the ranges of its numbers.

The owner is known from the place where a set is kept, so a message is named by its *dot*: incarnation and number. A
set costs as much memory as it has holes, not as much as it has members.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from dqtw.core.model.errors import PeerFault
from dqtw.core.model.message import is_incarnation, number_max
from dqtw.core.model.ranges import Ranges

Dot: TypeAlias = tuple[str, int]
"""Incarnation and number of one message. Dots sort in the order of the pushes."""

_empty = Ranges()


class DotSet:
    """A set of dots of one owner."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: dict[str, Ranges] | None = None) -> None:
        self._ranges: dict[str, Ranges] = {} if ranges is None else ranges

    @classmethod
    def of(cls, dots: Iterable[Dot]) -> "DotSet":
        """Return the set of these dots."""
        made = cls()
        for incarnation, n in dots:
            made.add(incarnation, n)
        return made

    def __contains__(self, dot: Dot) -> bool:
        ranges = self._ranges.get(dot[0])
        return ranges is not None and dot[1] in ranges

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __len__(self) -> int:
        return sum(map(len, self._ranges.values()))

    def __iter__(self) -> Iterator[Dot]:
        for incarnation in sorted(self._ranges):
            for n in self._ranges[incarnation]:
                yield incarnation, n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DotSet) and self._ranges == other._ranges

    def __repr__(self) -> str:
        return f"DotSet({self._ranges})"

    @property
    def incarnations(self) -> list[str]:
        """The incarnations that have members, oldest first."""
        return sorted(self._ranges)

    @property
    def incarnations_count(self) -> int:
        """How many incarnations have members."""
        return len(self._ranges)

    @property
    def bounds_count(self) -> int:
        """The count of integers that it takes to send this set."""
        return sum(ranges.bounds_count for ranges in self._ranges.values())

    def first_dot(self) -> Dot | None:
        """Return the least member, or None."""
        if not self._ranges:
            return None
        incarnation = min(self._ranges) if len(self._ranges) > 1 else next(iter(self._ranges))
        return incarnation, self._ranges[incarnation].first

    def last(self, incarnation: str) -> int:
        """Return the greatest number of that incarnation; 0 if there is none."""
        ranges = self._ranges.get(incarnation)
        return ranges.last if ranges else 0

    def numbers(self, incarnation: str) -> Ranges:
        """Return the numbers of one incarnation; not to be changed."""
        return self._ranges.get(incarnation, _empty)

    def add(self, incarnation: str, n: int) -> None:
        """Add one dot."""
        self.add_run(incarnation, n, n + 1)

    def add_run(self, incarnation: str, start: int, stop: int) -> None:
        """Add the numbers of one incarnation from ``start`` up to, not including, ``stop``."""
        ranges = self._ranges.get(incarnation)
        if ranges is None:
            ranges = self._ranges[incarnation] = Ranges()
        ranges.add(start, stop)

    def discard(self, incarnation: str, n: int) -> None:
        """Remove one dot, if it is a member."""
        ranges = self._ranges.get(incarnation)
        if ranges is not None:
            ranges.discard(n, n + 1)
            if not ranges:
                del self._ranges[incarnation]

    def drop(self, incarnation: str) -> None:
        """Remove all dots of one incarnation."""
        self._ranges.pop(incarnation, None)

    def copy(self) -> "DotSet":
        """Return another set with the same members."""
        return DotSet({incarnation: ranges.copy() for incarnation, ranges in self._ranges.items()})

    def __ior__(self, other: "DotSet") -> "DotSet":
        for incarnation, theirs in other._ranges.items():
            mine = self._ranges.get(incarnation)
            if mine is None:
                self._ranges[incarnation] = theirs.copy()
            else:
                mine |= theirs
        return self

    def __isub__(self, other: "DotSet") -> "DotSet":
        for incarnation, theirs in list(other._ranges.items()):
            mine = self._ranges.get(incarnation)
            if mine is None:
                continue
            mine -= theirs
            if not mine:
                del self._ranges[incarnation]
        return self

    def __or__(self, other: "DotSet") -> "DotSet":
        made = self.copy()
        made |= other
        return made

    def __sub__(self, other: "DotSet") -> "DotSet":
        return self._each(lambda incarnation, mine: mine - other.numbers(incarnation))

    def __and__(self, other: "DotSet") -> "DotSet":
        return self._each(lambda incarnation, mine: mine & other.numbers(incarnation))

    def between(self, after: Dot | None, upto: Dot | None) -> "DotSet":
        """Return the dots past ``after``, up to and including ``upto``; None stands for "no limit"."""
        low, high = after or ("", 0), upto or ("~", 0)

        def part(incarnation: str, mine: Ranges) -> Ranges:
            if not low[0] <= incarnation <= high[0]:
                return _empty
            start = low[1] + 1 if incarnation == low[0] else 1
            stop = high[1] + 1 if incarnation == high[0] else number_max + 1
            return mine.between(start, stop)

        return self._each(part)

    def head(self, ints_max: int) -> "DotSet":
        """Return the first dots, as many as ``ints_max`` integers can express; at least one range."""
        made, left = DotSet(), max(ints_max, 2)
        for incarnation in self.incarnations:
            ranges = self._ranges[incarnation]
            made._ranges[incarnation] = ranges.head(left)
            left -= ranges.bounds_count
            if left < 2:
                break
        return made

    def first(self, count: int) -> "DotSet":
        """Return the first ``count`` dots."""
        made = DotSet()
        for incarnation in self.incarnations:
            for start, stop in self._ranges[incarnation].runs():
                if count <= 0:
                    return made
                made.add_run(incarnation, start, min(stop, start + count))
                count -= stop - start
        return made

    def _each(self, change: Callable[[str, Ranges], Ranges]) -> "DotSet":
        changed = ((incarnation, change(incarnation, mine)) for incarnation, mine in self._ranges.items())
        return DotSet({incarnation: ranges for incarnation, ranges in changed if ranges})

    def to_wire(self) -> dict[str, list[int]]:
        """Return the set as peers send it: incarnations to ranges."""
        return {incarnation: ranges.to_wire() for incarnation, ranges in self._ranges.items()}

    @classmethod
    def from_wire(cls, received: dict[str, list[int]]) -> "DotSet":
        """Read what `to_wire` wrote.

        Raises:
            PeerFault: this is not a set of dots.
        """
        made: dict[str, Ranges] = {}
        for incarnation, steps in received.items():
            if not is_incarnation(incarnation):
                raise PeerFault("a set of messages names something that is not an incarnation")
            ranges = Ranges.from_wire(steps)
            if ranges:
                made[incarnation] = ranges
        return cls(made)
