"""How many messages of a queue only its peers hold, as far as is known.

Each push asks, while a rescue is under way: they will need their places. So the count is kept up as ids come and go,
and not made anew from what each session needs, which may be a million ids with as many holes.
"""

from collections.abc import Iterable

from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import MessageId
from dqtw.core.replication.session import Session


class Needed:
    """What the sessions of one owner need, brought together; an id that two peers hold counts once."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._ids = IdSet(queue)
        self._of: list[Session] = []

    def add(self, session: Session, ids: IdSet) -> None:
        """A peer has these, and nothing is known of them here."""
        if ids:
            self._ids |= ids
            self._of = [*(each for each in self._of if each is not session), session]

    def meet(self, ids: IdSet) -> None:
        """These are here now, or are known as removed."""
        self._ids -= ids

    def meet_one(self, id: MessageId) -> None:
        """The same of one id."""
        self._ids.discard(id)

    def count(self, sessions: Iterable[Session], seen: IdSet) -> int:
        """How many there are; what was needed by other sessions than these has no holder that is known."""
        if not self._ids:
            return 0
        going_on = list(sessions)
        if any(all(each is not other for other in going_on) for each in self._of):
            self._make_anew(going_on, seen)
        return len(self._ids)

    def _make_anew(self, sessions: list[Session], seen: IdSet) -> None:
        self._ids = IdSet(self._queue)
        self._of = [session for session in sessions if session.need]
        for session in self._of:
            self._ids |= session.need
        self._ids -= seen
