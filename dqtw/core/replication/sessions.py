"""The sessions that this node has opened: in each, it compares a replica here with a peer's."""

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from dqtw.core.links.frames import (
    Applied,
    Changed,
    Contents,
    Declined,
    End,
    Fetched,
    Open,
    Opened,
    PageRead,
    Role,
    arrived,
    from_records,
)
from dqtw.core.links.link import Link
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.key_memory import KeyRecord
from dqtw.core.replication.holding import Holding
from dqtw.core.replication.log import SessionId
from dqtw.core.replication.progress import Progress
from dqtw.core.replication.session import Session

open_again_after_s: Final = 1.0  # a peer that has declined is asked again


@frozen
class Compared:
    """A part of the peer's digest was compared.

    Attributes:
        owner: whose messages are compared.
        is_first: it was the first page.
        greatest: the greatest incarnation in it, or None.
    """

    session: Session
    owner: str
    is_first: bool
    greatest: str | None


@frozen
class Learned:
    """The peer has sent what was missing here."""

    session: Session
    contents: Contents
    records: list[KeyRecord]


@frozen
class Ended:
    """The peer does not accept the session about that owner's messages; ``why``: in words."""

    session: Session
    owner: str
    why: str


@frozen
class Confirmed:
    """The peer has confirmed a part of the log, or of the backfill."""

    session: Session


class Sessions:
    """All sessions that this node has opened."""

    def __init__(self) -> None:
        self._last: SessionId = 0
        self._open: dict[SessionId, tuple[Session, Holding]] = {}

    def __iter__(self) -> Iterator[tuple[Session, Holding]]:
        return iter(tuple(self._open.values()))

    def open_as_owner(self, now: float, link: Link, own: Holding, incarnation: str, body_bytes_max: int) -> Progress:
        """Open a session about this node's own messages."""
        session = Progress(self._next_id(), link)
        self._begin(now, session, own, Open(session.id, own.owner, Role.OWNER, incarnation, body_bytes_max))
        return session

    def open_copy(self, now: float, link: Link, holding: Holding, greatest: str | None, *, is_one_way: bool) -> Session:
        """Open a session about messages that this node and a peer hold, in which no log is sent."""
        session = Session(self._next_id(), link, is_one_way=is_one_way)
        holding.comparing[link] = session
        self._begin(now, session, holding, Open(session.id, holding.owner, Role.COPY, greatest, 0))
        return session

    def _next_id(self) -> SessionId:
        self._last += 1
        return self._last

    def _begin(self, now: float, session: Session, holding: Holding, frame: Open) -> None:
        self._open[session.id] = session, holding
        session.link.send(frame)
        session.link.due(now, ("opened", session.id))

    def end(self, session: Session) -> None:
        """End a session, and let the peer know."""
        self._forget(session)
        session.link.send(End(session.id))

    def _forget(self, session: Session) -> None:
        _, holding = self._open.pop(session.id)
        session.end()
        if holding.comparing.get(session.link) is session:
            del holding.comparing[session.link]

    def link_down(self, link: Link) -> list[Session]:
        """Forget the sessions of a link that is down; return them."""
        gone = [session for session, _ in self._open.values() if session.link is link]
        for session in gone:
            self._forget(session)
        return gone

    def holding_of(self, session: Session) -> Holding:
        """Return what a session compares."""
        return self._open[session.id][1]

    def receive(
        self, now: float, link: Link, frame: Opened | Declined | PageRead | Fetched | Changed | Applied
    ) -> Compared | Learned | Ended | Confirmed | None:
        """Take a frame of a session; return what it means, or None. Frames of sessions that are over are ignored.

        Raises:
            PeerFault: the peer breaks the protocol.
        """
        session, holding = self._open.get(frame.session, (None, None))
        if session is None or holding is None or session.link is not link:
            return None
        match frame:
            case Opened():
                session.opened(now, was_complete=frame.was_complete, changes=frame.changes)
                return None
            case Declined():
                self._forget(session)
                return Ended(session, holding.owner, frame.why)
            case PageRead():
                is_first = not session.is_counted
                session.compare(now, frame, holding.replica)
                return Compared(session, holding.owner, is_first, max(frame.seen.incarnations, default=None))
            case Fetched():
                session.fetched(frame)
                contents = arrived(now, frame.clock_s, frame.contents)
                return Learned(session, contents, from_records(now, frame.clock_s, contents.records))
            case Changed():
                session.changed(frame.number, frame.live, holding.replica)
                records = from_records(now, frame.clock_s, frame.records)
                return Learned(session, Contents(removed=frame.removed), records)
            case Applied():
                if isinstance(session, Progress):
                    session.applied(frame)
                elif frame.upto:
                    raise PeerFault("the peer confirms a log where there is none")
                else:
                    session.confirmed(frame.backfill)
                return Confirmed(session)
