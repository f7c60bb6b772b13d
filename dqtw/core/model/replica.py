"""What one node holds of one owner's messages: those that are live, and every dot ever seen.

What is seen and not live was removed. Two verbs change a replica, put and remove; both commute and both may be
repeated, so any part of any transfer is safe by itself, and joined replicas keep what no node has seen removed.

The idea: an optimised observed-remove set without tombstones (Bieniusa et al., 2012) with the causal context as exact
dots of a single writer (Almeida, Shoker, Baquero: Delta state replicated data types, 2018).
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from attrs import frozen

from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.message import Message

digest_ints_max: Final = 65_536  # of one page, which is read and compared in a few milliseconds
incarnations_kept: Final = 1_024  # of those that have no live message

Run: TypeAlias = tuple[str, list[tuple[int, Message]]]
"""Messages of one incarnation, with their numbers."""


@frozen
class Page:
    """What a replica holds of the dots past ``after`` up to ``upto``, without the messages; None: no limit.

    Both sets are read at one moment: what is seen and not live had been removed by then.
    """

    seen: DotSet
    live: DotSet
    after: Dot | None = None
    upto: Dot | None = None

    @property
    def removed(self) -> DotSet:
        """The dots of removed messages."""
        return self.seen - self.live


class Replica:
    """The messages of one owner. ``live`` ⊆ ``seen``, and ``seen`` only grows, except for what `prune` forgets.

    Attributes:
        live: the messages that were not removed, by incarnation and number.
        live_dots: their dots, as ranges.
        seen: every dot that was ever put or removed here.
        count: of the live messages.
        body_bytes: the total of the live bodies.
        greatest: the greatest incarnation among the dots; None if there are none.
    """

    def __init__(self) -> None:
        self.live: dict[str, dict[int, Message]] = {}
        self.live_dots = DotSet()
        self.seen = DotSet()
        self.count = 0
        self.body_bytes = 0
        self.greatest: str | None = None
        self._pruned_upto = ""  # no incarnation up to this one is learned anew from removals

    def get(self, dot: Dot) -> Message | None:
        """Return a live message, or None."""
        numbers = self.live.get(dot[0])
        return None if numbers is None else numbers.get(dot[1])

    def __contains__(self, dot: Dot) -> bool:
        numbers = self.live.get(dot[0])
        return numbers is not None and dot[1] in numbers

    def messages(self) -> Iterator[tuple[Dot, Message]]:
        """Return the live messages, in the order of their dots within each incarnation."""
        for incarnation in sorted(self.live):
            for n, message in self.live[incarnation].items():
                yield (incarnation, n), message

    def put(self, incarnation: str, messages: Iterable[tuple[int, Message]]) -> list[tuple[int, Message]]:
        """Add the messages of one incarnation whose dots were not seen before; return these."""
        seen = self.seen.numbers(incarnation)
        new = {n: message for n, message in messages if n not in seen}
        if not new:
            return []
        numbers = self.live.get(incarnation)
        if numbers is None:
            self.live[incarnation] = new.copy()
            self.greatest = max(self.greatest or "", incarnation)
        else:
            numbers.update(new)
        for n in sorted(new):
            self.live_dots.add(incarnation, n)
            self.seen.add(incarnation, n)
        self.count += len(new)
        self.body_bytes += sum(len(message.body) for message in new.values())
        return list(new.items())

    def remove(self, dots: DotSet) -> list[tuple[Dot, Message]]:
        """Record all these dots as removed; return the messages among them that were live."""
        removed = [(dot, self.live[dot[0]].pop(dot[1])) for dot in self.live_dots & dots]
        for incarnation in {dot[0] for dot, _ in removed}:
            if not self.live[incarnation]:
                del self.live[incarnation]
        self.live_dots -= dots
        self.seen |= dots
        if dots:
            self.greatest = max(self.greatest or "", dots.incarnations[-1])
        self.count -= len(removed)
        self.body_bytes -= sum(len(message.body) for _, message in removed)
        return removed

    def remove_one(self, dot: Dot) -> Message | None:
        """Record one dot as removed; return the message if it was live."""
        incarnation, n = dot
        self.seen.add(incarnation, n)
        numbers = self.live.get(incarnation)
        message = None if numbers is None else numbers.pop(n, None)
        if numbers is None or message is None:
            return None
        if not numbers:
            del self.live[incarnation]
        self.live_dots.discard(incarnation, n)
        self.count -= 1
        self.body_bytes -= len(message.body)
        return message

    @property
    def removed_dots(self) -> DotSet:
        """The dots of all removed messages."""
        return self.seen - self.live_dots

    def page(self, after: Dot | None, ints_max: int = digest_ints_max) -> Page:
        """Read the next page past ``after``, of about ``ints_max`` integers; ``upto`` None: it is the last."""
        return self.between(after, self._page_end(after, ints_max))

    def between(self, after: Dot | None, upto: Dot | None) -> Page:
        """Read the dots past ``after`` up to ``upto``."""
        return Page(self.seen.between(after, upto), self.live_dots.between(after, upto), after, upto)

    def _page_end(self, after: Dot | None, ints_max: int) -> Dot | None:
        start, left = after or ("", 0), ints_max
        for incarnation in self.seen.incarnations:
            if incarnation < start[0]:
                continue
            low = start[1] if incarnation == start[0] else 0
            both = (self.seen.numbers(incarnation), self.live_dots.numbers(incarnation))
            cuts = [cut for ranges in both if (cut := ranges.bound_at(low, max(left // 2, 1))) is not None]
            if cuts:
                return incarnation, min(cuts) - 1
            left -= sum(ranges.bounds_count for ranges in both)
        return None

    def prune(self) -> list[str]:
        """Forget the oldest incarnations without live messages, so that `incarnations_kept` of them remain.

        Returns:
            The incarnations that are forgotten.
        """
        idle = [incarnation for incarnation in self.seen.incarnations if incarnation not in self.live]
        forgotten = idle[:-incarnations_kept]
        for incarnation in forgotten:
            self.seen.drop(incarnation)
            self._pruned_upto = max(self._pruned_upto, incarnation)
        return forgotten

    def news(self, removed: DotSet) -> DotSet:
        """Return those of these removed dots that are not known as removed here, without pruned incarnations."""
        new = (removed - self.seen) | (removed & self.live_dots)
        for incarnation in new.incarnations:
            if incarnation > self._pruned_upto:
                break
            if not self.seen.numbers(incarnation):
                new.drop(incarnation)
        return new
