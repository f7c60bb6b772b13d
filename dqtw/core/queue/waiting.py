"""Who waits, for a message or for a slot, in which order, and how they withdraw."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

from attrs import frozen

from dqtw.core.model.deadlines import Deadlines

C = TypeVar("C")


@frozen
class Waiter(Generic[C]):
    """One request that waits; ``until`` is the moment at which it gives up."""

    ticket: int
    command: C
    until: float


class WaitingLine(Generic[C]):
    """First come, first served, whichever door they came through; joining and leaving cost the same for any length."""

    def __init__(self) -> None:
        self._waiters: OrderedDict[int, Waiter[C]] = OrderedDict()  # its first is found in O(1), unlike a dict's
        self._deadlines: Deadlines[int] = Deadlines()

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._waiters

    def __iter__(self) -> Iterator[Waiter[C]]:
        return iter(self._waiters.values())

    def get(self, ticket: int) -> Waiter[C]:
        """Return the waiter with this ticket.

        Raises:
            KeyError: it does not wait here.
        """
        return self._waiters[ticket]

    def join(self, waiter: Waiter[C]) -> None:
        """Stand at the end of the line."""
        self._waiters[waiter.ticket] = waiter
        self._deadlines.set(waiter.ticket, waiter.until)

    def leave(self, ticket: int) -> bool:
        """Leave the line; False for one who does not stand in it."""
        self._deadlines.cancel(ticket)
        return self._waiters.pop(ticket, None) is not None

    def first(self) -> Waiter[C] | None:
        """Who is next."""
        return next(iter(self._waiters.values()), None)

    def pop_expired(self, now: float) -> list[Waiter[C]]:
        """Take out those who have waited long enough."""
        return [self._waiters.pop(ticket) for ticket in self._deadlines.pop_due(now)]

    def pop_all(self) -> list[Waiter[C]]:
        """Take everybody out."""
        everybody = list(self._waiters.values())
        self._waiters.clear()
        self._deadlines = Deadlines()
        return everybody

    def next_deadline(self) -> float | None:
        """When `pop_expired` is next needed."""
        return self._deadlines.next()
