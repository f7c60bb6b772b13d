"""Whether this is its queue's owner still: judged when a request is handled, by when the peers last said so.

A process that was paused, or cut off, may have been replaced meanwhile. Until every peer that was in session has
answered anew, or is known not to answer, nothing is handed out and nothing is removed; and nothing is taken in that
would need the copies of peers in doubt.
"""

from attrs import evolve, frozen

from dqtw.core.commands import Command, Get
from dqtw.core.errors import Busy
from dqtw.core.links import Links


@frozen
class Parked:
    """A command that is looked at again once every peer has answered something that was asked at ``since`` or later."""

    ticket: int
    command: Command
    since: float


class Doubt:
    """The commands that wait until the doubt is gone."""

    def __init__(self, links: Links, parked_max: int) -> None:
        self._links = links
        self._parked_max = parked_max
        self._parked: list[Parked] = []
        self._since: float | None = None

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, now: float, ticket: int, command: Command) -> None:
        """Let a command wait for fresh answers of all peers.

        Raises:
            Busy: too many wait already.
        """
        if len(self._parked) >= self._parked_max:
            raise Busy(f"{self._parked_max} requests wait already")
        self._parked.append(Parked(ticket, command, now))
        self._links.freshen()

    def withdraw(self, ticket: int) -> bool:
        """The client of a get is gone; False for one that does not wait here, or asked for something to be done."""
        count = len(self._parked)
        self._parked = [each for each in self._parked if each.ticket != ticket or not isinstance(each.command, Get)]
        return len(self._parked) < count

    def begin_again(self, now: float) -> None:
        """This process itself was not running: what was confirmed before that counts for nothing."""
        self._parked = [evolve(each, since=now) for each in self._parked]
        self._since = None if self._since is None else now
        self._links.freshen()

    def pop_cleared(self, now: float) -> list[Parked]:
        """Take out the commands that have waited for long enough."""
        if not self._parked:
            return []
        cleared = [each for each in self._parked if self._links.is_fresh(now, each.since)]
        self._parked = [each for each in self._parked if not self._links.is_fresh(now, each.since)]
        return cleared

    def pop_all(self) -> list[Parked]:
        """Take everything out."""
        parked, self._parked = self._parked, []
        return parked

    def nobody_waits(self) -> None:
        """There is nobody to hand a message to; for who comes next, the peers are asked anew if there is doubt."""
        self._since = None

    def is_cleared(self, now: float) -> bool:
        """Whether messages may be handed to those who wait; if not, the peers are asked."""
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
