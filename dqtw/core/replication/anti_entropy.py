"""What holders do for each other: they compare their replicas of a node that cannot do it itself.

That is so while one of the two is not in session with the owner: it is starting, leaving, or away. And a process that
is about to stop hands over what it holds: every peer that stays compares all its replicas with that process, its own
messages included.
"""

from dqtw.core.links.cluster import Cluster
from dqtw.core.links.frames import Synced
from dqtw.core.links.link import Link
from dqtw.core.replication.holder import Holder
from dqtw.core.replication.holding import Holding
from dqtw.core.replication.session import Session
from dqtw.core.replication.sessions import Sessions, open_again_after_s


class AntiEntropy:
    """The comparisons that this node has opened about messages that it does not send a log of."""

    def __init__(self, node: str, holder: Holder, sessions: Sessions) -> None:
        self._node = node
        self._holder = holder
        self._sessions = sessions
        self._declined: dict[tuple[Link, str], float] = {}  # when to ask a peer again that has declined, by the owner
        self._reported: dict[Session, int] = {}  # the last change of those after which a session was reported as synced

    def open_sessions(self, now: float, cluster: Cluster, *, is_going: bool) -> None:
        """Open the comparisons that are needed now, and end those that are not."""
        self._declined = {asked: until for asked, until in self._declined.items() if until > now}
        if self._reported:
            under_way = {session for session, _ in self._sessions}
            self._reported = {session: last for session, last in self._reported.items() if session in under_way}
        for link in cluster.links:
            for holding in self._holder.holdings.values():
                wanted = not is_going and self._is_wanted(link, holding)
                session = holding.comparing.get(link)
                if session is not None and not wanted:
                    self._sessions.end(session)
                    self._reported.pop(session, None)
                elif session is None and wanted and (link, holding.owner) not in self._declined:
                    greatest = cluster.greatest(holding.owner)
                    self._sessions.open_copy(now, link, holding, greatest, is_one_way=link.process.is_going)

    def _is_wanted(self, link: Link, holding: Holding) -> bool:
        if link.process.is_going:
            return True
        if link.node in (holding.owner,) or holding.owner == self._node or self._node > link.node:
            return False
        report = link.process.reports.get(holding.owner)
        if report is None or link.process.incarnation is None:
            return False  # the peer does not know that member, or cannot vouch for anything yet
        return holding.by_owner is None or not report.in_session

    def pump(self, now: float) -> None:
        """Send what is missing at the other side, and report when nothing is."""
        for holding in self._holder.holdings.values():
            for session in holding.comparing.values():
                session.pump(now, holding.replica, holding.keys)
                if session.is_synced and self._reported.get(session) != session.changes_received:
                    self._reported[session] = session.changes_received
                    session.link.send(Synced(session.id, session.changes_received))

    def ended(self, now: float, session: Session, owner: str) -> None:
        """Forget a session that is over; the peer is asked again in a second at the earliest."""
        self._reported.pop(session, None)
        self._declined[session.link, owner] = now + open_again_after_s

    def is_exchanged(self, owner: str, link: Link) -> bool:
        """Return True if this node and the peer hold the same of that owner's messages."""
        holding = self._holder.holdings[owner]
        session, serving = holding.comparing.get(link), holding.serving.get(link)
        return (session is not None and session.is_synced) or (serving is not None and serving.is_synced)
