"""Sets of numbers, as the runs they are made of.

What a copy has seen is nearly always "all of it, from the first on", so a set costs as much as it has holes, not as
much as it has members.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final, TypeAlias

from dqtw.core.model.errors import PeerFault
from dqtw.core.model.message import number_max

_Bounds: TypeAlias = "array[int]"  # of 64 bits, which is more than `number_max` has
_slices_from: Final = 8  # so many times as long as the other: then it is taken in slices, not bound by bound


class Ranges:
    """A set of whole numbers ≥ 1, kept as the sorted bounds of its runs: start, stop, start, stop, …

    A number is a member when an odd count of bounds lies at or below it; that one fact makes every operation a
    bisection. Two sets are compared only where both have bounds: what lies outside is cut off, or left where it is.
    The bounds are an array, not a list: the garbage collector would look at each number of a list.
    """

    __slots__ = ("_bounds", "_count")

    def __init__(self, bounds: Iterable[int] = ()) -> None:
        self._bounds = array("Q", bounds)
        self._count: int | None = None  # of members; None: not known, and found out when somebody asks

    def __contains__(self, number: int) -> bool:
        return bisect_right(self._bounds, number) & 1 == 1

    def __bool__(self) -> bool:
        return bool(self._bounds)

    def __len__(self) -> int:
        if self._count is None:
            self._count = _members(self._bounds)
        return self._count

    def __iter__(self) -> Iterator[int]:
        for start, stop in self.runs():
            yield from range(start, stop)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._bounds == other._bounds

    def __repr__(self) -> str:
        return f"Ranges({' '.join(f'{start}-{stop - 1}' for start, stop in self.runs())})"

    def runs(self) -> Iterator[tuple[int, int]]:
        """Each run, as its first member and the first number past it; not to be changed meanwhile."""
        bounds = iter(self._bounds)
        return zip(bounds, bounds, strict=True)

    @property
    def bounds_count(self) -> int:
        """How many ints it takes to tell this set."""
        return len(self._bounds)

    @property
    def first(self) -> int:
        """The least member; 0 of the empty set."""
        return self._bounds[0] if self._bounds else 0

    @property
    def last(self) -> int:
        """The greatest member; 0 of the empty set."""
        return self._bounds[-1] - 1 if self._bounds else 0

    def add(self, start: int, stop: int) -> None:
        """Add all from ``start`` up to, not including, ``stop``."""
        bounds = self._bounds
        last = bounds[-1] if bounds else 0
        if start >= last:  # the usual case: the next number, or one behind all others
            if start == last:
                bounds[-1] = stop
            else:
                bounds.append(start)
                bounds.append(stop)
            if self._count is not None:
                self._count += stop - start
            return
        if self._count is not None:
            self._count += stop - start - _members(_between(bounds, start, stop))
        left, right = bisect_left(bounds, start), bisect_right(bounds, stop)
        bounds[left:right] = _ends(start, left & 1 ^ 1, stop, right & 1 ^ 1)

    def discard(self, start: int, stop: int) -> None:
        """Take out all from ``start`` up to, not including, ``stop``."""
        bounds = self._bounds
        if self._count is not None:
            self._count -= _members(_between(bounds, start, stop))
        left, right = bisect_left(bounds, start), bisect_right(bounds, stop)
        bounds[left:right] = _ends(start, left & 1, stop, right & 1)

    def copy(self) -> "Ranges":
        """Return another set with the same members."""
        made = Ranges(self._bounds)
        made._count = self._count
        return made

    def between(self, start: int, stop: int) -> "Ranges":
        """Return the members from ``start`` up to, not including, ``stop``."""
        return Ranges(_between(self._bounds, start, stop))

    def head(self, ints_max: int) -> "Ranges":
        """Return the first runs, as many as ``ints_max`` ints can tell."""
        return Ranges(self._bounds[: ints_max // 2 * 2])

    def bound_at(self, start: int, count: int) -> int | None:
        """The bound that lies ``count`` bounds past ``start``, or None when fewer follow."""
        index = bisect_right(self._bounds, start) + count
        return self._bounds[index] if index < len(self._bounds) else None

    def __ior__(self, other: "Ranges") -> "Ranges":
        if other:
            self._change(other._bounds[0], other._bounds[-1], other._bounds, _either)
        return self

    def __isub__(self, other: "Ranges") -> "Ranges":
        start, stop = self._overlap(other)
        if start < stop:
            self._change(start, stop, _between(other._bounds, start, stop), _first_only)
        return self

    def __or__(self, other: "Ranges") -> "Ranges":
        less, more = sorted((self, other), key=lambda ranges: ranges.bounds_count)
        made = more.copy()
        made |= less
        return made

    def __sub__(self, other: "Ranges") -> "Ranges":
        made = self.copy()
        made -= other
        return made

    def __and__(self, other: "Ranges") -> "Ranges":
        start, stop = self._overlap(other)
        return Ranges(_sweep(_between(self._bounds, start, stop), _between(other._bounds, start, stop), _both))

    def _overlap(self, other: "Ranges") -> tuple[int, int]:
        """From where, and up to where, both sets can have members."""
        if not self or not other:
            return 0, 0
        return max(self._bounds[0], other._bounds[0]), min(self._bounds[-1], other._bounds[-1])

    def _change(self, start: int, stop: int, other: _Bounds, keep: "_Keep") -> None:
        """Bring another set, all of which lies between ``start`` and ``stop``, into what this one has there."""
        before = _between(self._bounds, start, stop)
        after = _sweep(before, other, keep)
        if self._count is not None:
            self._count += _members(after) - _members(before)
        self._replace(start, stop, after)

    def _replace(self, start: int, stop: int, inner: _Bounds) -> None:
        """Let ``inner`` be what lies between ``start`` and ``stop``; where two runs touch there is no bound."""
        left, right = bisect_left(self._bounds, start), bisect_right(self._bounds, stop)
        if left & 1:
            if inner and inner[0] == start:
                del inner[0]
            else:
                inner.insert(0, start)
        if right & 1:
            if inner and inner[-1] == stop:
                del inner[-1]
            else:
                inner.append(stop)
        self._bounds[left:right] = inner

    def to_wire(self) -> list[int]:
        """``[first, length, hole, length, hole, length, …]``; small numbers pack small."""
        bounds = self._bounds
        return [bounds[0], *(after - before for before, after in pairwise(bounds))] if bounds else []

    @classmethod
    def from_wire(cls, steps: object) -> "Ranges":
        """Read what `to_wire` wrote.

        Raises:
            PeerFault: these are no ranges.
        """
        if not isinstance(steps, list) or len(steps) % 2:
            raise PeerFault("ranges are a list of an even number of ints")
        bounds, at = [], 0
        for step in steps:
            if type(step) is not int or step < 1:
                raise PeerFault("ranges hold whole numbers from 1 up")
            at += step
            bounds.append(at)
        if at > number_max + 1:
            raise PeerFault("a number in the ranges is too great")
        return cls(bounds)


def _ends(start: int, has_start: int, stop: int, has_stop: int) -> _Bounds:
    """These two bounds, or one of them, or none."""
    return array("Q", (start,) * has_start + (stop,) * has_stop)


def _members(bounds: _Bounds) -> int:
    return sum(bounds[1::2]) - sum(bounds[::2])


def _between(bounds: _Bounds, start: int, stop: int) -> _Bounds:
    """The bounds of what lies from ``start`` up to, not including, ``stop``."""
    if start >= stop:
        return array("Q")
    left, right = bisect_right(bounds, start), bisect_left(bounds, stop)
    inner = bounds[left:right]
    if left & 1:
        inner.insert(0, start)
    if right & 1:
        inner.append(stop)
    return inner


_Keep: TypeAlias = tuple[bool, bool, bool, bool]
"""What belongs to a result: what is in neither of two sets, in the first only, in the second only, in both."""

_either: Final[_Keep] = (False, True, True, True)
_first_only: Final[_Keep] = (False, True, False, False)
_both: Final[_Keep] = (False, False, False, True)


def _sweep(one: _Bounds, other: _Bounds, keep: _Keep) -> _Bounds:
    """Bring the bounds of two sets together."""
    if len(one) * _slices_from < len(other):
        return _slices(one, other, keep)
    if len(other) * _slices_from < len(one):
        return _slices(other, one, (keep[0], keep[2], keep[1], keep[3]))
    return _walk(one, other, keep)


def _slices(few: _Bounds, many: _Bounds, keep: _Keep) -> _Bounds:
    """Take what lies between two bounds of the short list from the long one in one piece."""
    result = array("Q")
    kept = False
    right = 0
    for i, low in enumerate([0, *few]):
        left = right if i == 0 else bisect_right(many, low, max(right - 1, 0))
        right = bisect_left(many, few[i], left) if i < len(few) else len(many)
        if keep[(i & 1) + 2 * (left & 1)] is not kept:
            kept = not kept
            result.append(low)
        if keep[i & 1] is not keep[(i & 1) + 2]:
            result += many[left:right]
            kept = kept is not ((right - left) & 1 == 1)
    return result


def _walk(one: _Bounds, other: _Bounds, keep: _Keep) -> _Bounds:
    """Walk the bounds of both sets upwards."""
    result = array("Q")
    i = j = 0
    kept = False
    while i < len(one) or j < len(other):
        at = one[i] if j == len(other) or (i < len(one) and one[i] <= other[j]) else other[j]
        i += i < len(one) and one[i] == at
        j += j < len(other) and other[j] == at
        if keep[(i & 1) + 2 * (j & 1)] is not kept:
            kept = not kept
            result.append(at)
    return result
