"""Whether this is its queue's owner still: judged when a request is handled, by when the peers last said so.

A process that was paused, or cut off, may have been replaced meanwhile. Until every peer that was in session has
answered anew, or is known not to answer, nothing is handed out and nothing is removed; and nothing is taken in that
would need the copies of peers in doubt.
"""

from itertools import takewhile
from typing import Final

from attrs import evolve, frozen

from dqtw.core.model.commands import Command, Get
from dqtw.core.model.errors import Busy
from dqtw.core.replication.links import Links

patience_s: Final = 10.0


@frozen
class Parked:
    """A command that is looked at again once every peer has answered something that was asked at ``since`` or later.

    Attributes:
        until: when it is given up; slow peers may never all have answered of late.
    """

    ticket: int
    command: Command
    since: float
    until: float


class Doubt:
    """The commands that wait until the doubt is gone."""

    def __init__(self, links: Links, parked_max: int) -> None:
        self._links = links
        self._parked_max = parked_max
        self._parked: dict[int, Parked] = {}  # by ticket, the one that has waited longest first
        self._since: float | None = None  # since when those in line for a message wait for fresh answers; None: nobody

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, now: float, ticket: int, command: Command, for_s: float = patience_s) -> None:
        """Let a command wait for fresh answers of all peers, at most for so long.

        Raises:
            Busy: too many wait already.
        """
        if len(self._parked) >= self._parked_max:
            raise Busy(f"{self._parked_max} requests wait already")
        self._parked[ticket] = Parked(ticket, command, now, now + for_s)
        self._links.freshen()

    def withdraw(self, ticket: int) -> bool:
        """The client of a get is gone; False for one that does not wait here, or asked for something to be done."""
        waits = ticket in self._parked and isinstance(self._parked[ticket].command, Get)
        if waits:
            del self._parked[ticket]
        return waits

    def begin_again(self, now: float) -> None:
        """This process itself was not running: what was confirmed before that counts for nothing."""
        self._parked = {ticket: evolve(each, since=now) for ticket, each in self._parked.items()}
        self._since = None if self._since is None else now
        self._links.begin_again()

    def pop_cleared(self, now: float) -> list[Parked]:
        """Take out the commands for which all peers have answered: if not for one, then for none that came later."""
        cleared = list(takewhile(lambda each: self._links.is_fresh(now, each.since), self._parked.values()))
        for each in cleared:
            del self._parked[each.ticket]
        return cleared

    def pop_expired(self, now: float) -> list[Parked]:
        """Take out the commands that have waited for too long; nothing was done about them."""
        expired = [each for each in self._parked.values() if now >= each.until]
        for each in expired:
            del self._parked[each.ticket]
        return expired

    def pop_all(self) -> list[Parked]:
        """Take everything out."""
        parked = list(self._parked.values())
        self._parked.clear()
        return parked

    def nobody_waits(self) -> None:
        """There is nobody to hand a message to; for who comes next, the peers are asked anew if there is doubt."""
        self._since = None

    def is_cleared(self, now: float) -> bool:
        """Whether messages may be handed to those who wait; while not, this has the peers asked."""
        if not self._links.in_doubt(now):
            self._since = None
            return True
        if self._since is None:
            self._since = now
            self._links.freshen()
        if self._links.is_fresh(now, self._since):
            self._since = None
            return True
        return False
