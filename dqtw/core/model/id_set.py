"""Sets of message ids of one queue: of each incarnation the ranges of its numbers."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeAlias

from dqtw.core.model.errors import PeerFault
from dqtw.core.model.message import MessageId, is_incarnation, number_max
from dqtw.core.model.ranges import Ranges

Dot: TypeAlias = tuple[str, int]
"""One message of a queue whose owner is known: incarnation and number. Dots sort in the order of the pushes."""


class IdSet:
    """A set of message ids of one queue: for each incarnation the ranges of its numbers."""

    __slots__ = ("_ranges", "queue")

    def __init__(self, queue: str, ranges: dict[str, Ranges] | None = None) -> None:
        self.queue = queue
        self._ranges: dict[str, Ranges] = ranges if ranges is not None else {}

    @classmethod
    def of(cls, queue: str, ids: Iterable[MessageId]) -> "IdSet":
        """Return the set of these ids."""
        made = cls(queue)
        for id in ids:
            made.add(id)
        return made

    def __contains__(self, id: MessageId) -> bool:
        ranges = self._ranges.get(id.incarnation)
        return ranges is not None and id.n in ranges

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __len__(self) -> int:
        return sum(map(len, self._ranges.values()))

    def __iter__(self) -> Iterator[MessageId]:
        for incarnation in sorted(self._ranges):
            for n in self._ranges[incarnation]:
                yield MessageId(self.queue, incarnation, n)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdSet) and self._ranges == other._ranges

    def __repr__(self) -> str:
        return f"IdSet({self.queue}, {self._ranges})"

    @property
    def incarnations(self) -> list[str]:
        """The incarnations that have members, oldest first."""
        return sorted(self._ranges)

    @property
    def bounds_count(self) -> int:
        """How many ints it takes to tell this set."""
        return sum(ranges.bounds_count for ranges in self._ranges.values())

    def last(self, incarnation: str) -> int:
        """The greatest number of that incarnation; 0 when there is none."""
        ranges = self._ranges.get(incarnation)
        return ranges.last if ranges else 0

    def of_incarnation(self, incarnation: str) -> Ranges:
        """The numbers of one incarnation; not to be changed."""
        return self._ranges.get(incarnation) or Ranges()

    def add(self, id: MessageId) -> None:
        """Add one id."""
        ranges = self._ranges.get(id.incarnation)
        if ranges is None:
            ranges = self._ranges[id.incarnation] = Ranges()
        ranges.add(id.n, id.n + 1)

    def discard(self, id: MessageId) -> None:
        """Take one id out, if it is in."""
        ranges = self._ranges.get(id.incarnation)
        if ranges is not None:
            ranges.discard(id.n, id.n + 1)
            if not ranges:
                del self._ranges[id.incarnation]

    def update(self, other: "IdSet") -> None:
        """Add all ids of the other set."""
        for incarnation, theirs in other._ranges.items():
            mine = self._ranges.get(incarnation)
            if mine is None:
                self._ranges[incarnation] = theirs.copy()
            else:
                mine |= theirs

    def difference_update(self, other: "IdSet") -> None:
        """Take all ids of the other set out."""
        for incarnation, theirs in list(other._ranges.items()):
            mine = self._ranges.get(incarnation)
            if mine is None:
                continue
            mine -= theirs
            if not mine:
                del self._ranges[incarnation]

    def drop_incarnation(self, incarnation: str) -> None:
        """Take out every id of that incarnation."""
        self._ranges.pop(incarnation, None)

    def copy(self) -> "IdSet":
        """Return another set with the same members."""
        return IdSet(self.queue, {incarnation: ranges.copy() for incarnation, ranges in self._ranges.items()})

    def __ior__(self, other: "IdSet") -> "IdSet":
        self.update(other)
        return self

    def __isub__(self, other: "IdSet") -> "IdSet":
        self.difference_update(other)
        return self

    def __or__(self, other: "IdSet") -> "IdSet":
        made = self.copy()
        made |= other
        return made

    def __sub__(self, other: "IdSet") -> "IdSet":
        return self._each(lambda incarnation, mine: mine - other.of_incarnation(incarnation))

    def __and__(self, other: "IdSet") -> "IdSet":
        return self._each(lambda incarnation, mine: mine & other.of_incarnation(incarnation))

    def between(self, after: Dot | None, upto: Dot | None) -> "IdSet":
        """Return the ids past ``after``, up to and including ``upto``; None stands for "no limit"."""
        low, high = after or ("", 0), upto or ("~", 0)
        return self._each(
            lambda incarnation, mine: (
                mine.between(
                    low[1] + 1 if incarnation == low[0] else 1,
                    high[1] + 1 if incarnation == high[0] else number_max + 1,
                )
                if low[0] <= incarnation <= high[0]
                else Ranges()
            )
        )

    def head(self, ints_max: int) -> "IdSet":
        """Return the first ids, as many as ``ints_max`` ints can tell."""
        made, left = IdSet(self.queue), max(ints_max, 2)
        for incarnation in self.incarnations:
            ranges = self._ranges[incarnation]
            made._ranges[incarnation] = ranges.head(left)
            left -= ranges.bounds_count
            if left < 2:
                break
        return made

    def take(self, count: int) -> list[MessageId]:
        """Take out the first ids, at most ``count`` of them, and return them."""
        taken = list(islice(self, count))
        for id in taken:
            self.discard(id)
        return taken

    def _each(self, change: Callable[[str, Ranges], Ranges]) -> "IdSet":
        changed = ((incarnation, change(incarnation, mine)) for incarnation, mine in self._ranges.items())
        return IdSet(self.queue, {incarnation: ranges for incarnation, ranges in changed if ranges})

    def to_wire(self) -> dict[str, list[int]]:
        """Incarnations to ranges, as peers tell each other."""
        return {incarnation: ranges.to_wire() for incarnation, ranges in self._ranges.items()}

    @classmethod
    def from_wire(cls, queue: str, told: object) -> "IdSet":
        """Read what `to_wire` wrote.

        Raises:
            PeerFault: this is no set of ids.
        """
        if not isinstance(told, dict):
            raise PeerFault("a set of ids is a map of incarnations")
        made: dict[str, Ranges] = {}
        for incarnation, steps in told.items():
            if not is_incarnation(incarnation):
                raise PeerFault("a set of ids names something that is no incarnation")
            ranges = Ranges.from_wire(steps)
            if ranges:
                made[incarnation] = ranges
        return cls(queue, made)
