"""Requests that are answered when peers have confirmed the log up to an index."""

from collections import deque
from typing import Generic, TypeVar

from attrs import define, field

from dqtw.core.model.dots import Dot

T = TypeVar("T")


@define(eq=False)
class Waiting(Generic[T]):
    """Requests that wait for one entry of the log.

    Attributes:
        index: of the entry.
        dots: the messages that were put or removed.
        tickets: the requests, each with what its answer is made of; empty when they were answered otherwise.
        is_over: nothing waits for the entry any more.
    """

    index: int
    dots: tuple[Dot, ...]
    tickets: list[tuple[int, T]] = field(factory=list)
    is_over: bool = False


class Pending(Generic[T]):
    """What waits, in the order of the log.

    A request whose time is up is answered, but what it waits for stays pending: it is still not known to be confirmed.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._in_order: deque[Waiting[T]] = deque()
        self._by_dot: dict[Dot, Waiting[T]] = {}
        self._times: deque[tuple[float, Waiting[T]]] = (
            deque()
        )  # when requests give up; in order, as all wait equally long

    def renewed(self) -> "Pending[T]":
        """Return what a new process begins with."""
        return Pending(self._timeout_s)

    def __contains__(self, dot: Dot) -> bool:
        return dot in self._by_dot

    def __len__(self) -> int:
        return len(self._by_dot)

    @property
    def has_requests(self) -> bool:
        """True if a request has no answer yet."""
        self._skip_answered()
        return bool(self._times)

    def _skip_answered(self) -> None:
        """Drop the times at the front that no request needs; requests are answered about in the order of times."""
        times = self._times
        while times and (times[0][1].is_over or not times[0][1].tickets):
            times.popleft()

    def first(self) -> int | None:
        """Return the index of the first entry that something waits for."""
        while self._in_order and self._in_order[0].is_over:
            self._in_order.popleft()
        return self._in_order[0].index if self._in_order else None

    def add(self, now: float, index: int, dots: tuple[Dot, ...], ticket: int, *, answer: T) -> None:
        """Let a request wait for an entry; its index is greater than any before."""
        waiting = Waiting(index, dots, [(ticket, answer)])
        self._in_order.append(waiting)
        self._times.append((now + self._timeout_s, waiting))
        for dot in dots:
            self._by_dot[dot] = waiting

    def share(self, now: float, dot: Dot, ticket: int, *, answer: T) -> None:
        """Let another request wait for what is pending for this message."""
        waiting = self._by_dot[dot]
        if not waiting.tickets:
            self._times.append((now + self._timeout_s, waiting))
        waiting.tickets.append((ticket, answer))

    def reach(self, index: int) -> list[Waiting[T]]:
        """Return what waited for entries up to this index, in order."""
        reached: list[Waiting[T]] = []
        while self._in_order and (self._in_order[0].index <= index or self._in_order[0].is_over):
            waiting = self._in_order.popleft()
            if not waiting.is_over:
                self._end(waiting)
                reached.append(waiting)
        self._skip_answered()
        return reached

    def drop(self, dot: Dot) -> Waiting[T] | None:
        """Return what is pending for this message, and wait no longer; None if nothing is."""
        waiting = self._by_dot.get(dot)
        if waiting is not None:
            self._end(waiting)
        return waiting

    def _end(self, waiting: Waiting[T]) -> None:
        waiting.is_over = True
        for dot in waiting.dots:
            if self._by_dot.get(dot) is waiting:
                del self._by_dot[dot]

    def expire(self, now: float) -> list[int]:
        """Return the tickets of the requests whose time is up."""
        tickets: list[int] = []
        self._skip_answered()
        while self._times and self._times[0][0] <= now:
            _, waiting = self._times.popleft()
            tickets += (ticket for ticket, _ in waiting.tickets)
            waiting.tickets.clear()
            self._skip_answered()
        return tickets

    def give_up(self) -> list[int]:
        """Return the tickets of all requests; what they waited for stays pending."""
        tickets = [ticket for _, waiting in self._times if not waiting.is_over for ticket, _ in waiting.tickets]
        for _, waiting in self._times:
            if not waiting.is_over:
                waiting.tickets.clear()
        self._times.clear()
        return tickets

    def next_deadline(self) -> float | None:
        """Return when `expire` is next needed, or None."""
        self._skip_answered()
        return self._times[0][0] if self._times else None
