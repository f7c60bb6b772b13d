"""The peer's side of a session: what this node holds of others' messages, and what it answers their sessions.

The owner of the messages sends its log; a peer that compares a third node's messages sends what is missing here.
"""

from typing import Final

from attrs import frozen

from dqtw.core.links.cluster import Cluster
from dqtw.core.links.frames import (
    Applied,
    Backfill,
    Contents,
    Declined,
    Delta,
    End,
    Fenced,
    Fetch,
    Fetched,
    Open,
    Opened,
    PageRead,
    ReadPage,
    Role,
    Synced,
    arrived,
    from_records,
    to_records,
)
from dqtw.core.links.link import Link
from dqtw.core.model.dots import Dot
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.holding import Holding, Serving
from dqtw.core.replication.session import contents_of

records_max: Final = 8192  # of one answer; about 1 MiB
starting: Final = "this process has no incarnation yet"


@frozen
class Counts:
    """An owner has reported how many of its messages could be delivered now, by queue."""

    node: str
    counts: dict[str, int]


class Holder:
    """What this node holds of each node's messages, its own included, and the sessions that peers have opened here.

    Attributes:
        holdings: by the owner's node id.
        declines: why no owner may open a session here now; None: it may. A process that has no incarnation declines,
            because its replicas vouch for nothing; one that leaves declines, because it must not be counted.
    """

    def __init__(self, settings: NodeSettings, own: Holding) -> None:
        self.declines: str | None = starting
        self.holdings: dict[str, Holding] = {own.owner: own}
        for node in settings.peers:
            self.holdings[node] = Holding(node, settings.key_memory_s, settings.size)
        self._own = own
        self._unconfirmed: dict[Serving, None] = {}  # what must be confirmed at the end of the turn
        self._fenced: dict[Link, str] = {}  # the incarnation that each replaced process was last sent

    @property
    def others(self) -> list[Holding]:
        """What this node holds of the other nodes' messages."""
        return [each for each in self.holdings.values() if each is not self._own]

    def renew(self) -> None:
        """Begin as a new process that holds what this one did; all links are down."""
        self.declines = starting
        for holding in self.holdings.values():
            holding.was_complete = False

    def link_down(self, link: Link) -> None:
        """Forget the sessions of a link that is down."""
        for holding in self.holdings.values():
            holding.end(link)
        self._fenced.pop(link, None)

    def end_owners(self, why: str) -> None:
        """Confirm nothing more to owners."""
        self.declines = why
        for holding in self.holdings.values():
            if holding.by_owner is not None:
                holding.end(holding.by_owner.link)

    def fence(self, cluster: Cluster) -> None:
        """End the sessions of owners of which a greater incarnation is known, and let their processes know."""
        for holding in self.others:
            owner = holding.owner
            cluster.learn(owner, holding.replica.greatest)
            greatest, serving = cluster.greatest(owner), holding.by_owner
            if greatest is None:
                continue
            if serving is not None and (serving.incarnation or "") < greatest:
                holding.end(serving.link)
            for link in cluster.members[owner].links:
                if link.process.incarnation is not None and link.process.incarnation < greatest:
                    self._send_fenced(link, greatest)

    def _send_fenced(self, link: Link, greatest: str) -> None:
        if self._fenced.get(link) != greatest:
            self._fenced[link] = greatest
            link.send(Fenced(link.node, greatest))

    def receive(self, now: float, link: Link, frame: object, cluster: Cluster) -> Counts | None:
        """Take a frame of a session that a peer has opened here; return what an owner reports of its counts.

        Raises:
            PeerFault: the peer breaks the protocol.
        """
        if isinstance(frame, Open):
            self._open(link, frame, cluster)
            return None
        found = self._find(link, getattr(frame, "session", 0))
        if found is None:
            return None  # a frame of a session that is over
        holding, serving = found
        match frame:
            case Delta():
                return self._delta(now, holding, serving, frame)
            case Backfill():
                self._backfill(now, holding, serving, frame)
            case ReadPage():
                self._send_page(holding, serving, frame.after)
            case Fetch():
                self._send_fetched(now, holding, serving, frame)
            case Synced():
                serving.is_synced = frame.changes_received == serving.last_change and not serving.unreported
                serving.status_before = link.process.status
            case End():
                holding.end(link)
        return None

    def _find(self, link: Link, session: int) -> tuple[Holding, Serving] | None:
        for holding in self.holdings.values():
            serving = holding.serving.get(link)
            if serving is not None and serving.number == session:
                return holding, serving
        return None

    def _open(self, link: Link, frame: Open, cluster: Cluster) -> None:
        holding = self.holdings.get(frame.owner)
        if frame.role is Role.OWNER and frame.owner != link.node:
            raise PeerFault(f"{link.node} opens a session as the owner of what {frame.owner} owns")
        if holding is None or (frame.role is Role.OWNER and self.declines is not None):
            why = self.declines if holding is not None else f"this node knows no member {frame.owner}"
            link.send(Declined(frame.session, why or ""))
            return
        if frame.role is Role.OWNER:
            if frame.incarnation is None:
                raise PeerFault("an owner without an incarnation opens a session")
            greatest = cluster.greatest(frame.owner)
            if greatest is not None and greatest > frame.incarnation:
                link.send(Fenced(frame.owner, greatest))
                link.send(Declined(frame.session, "a newer process of this node exists"))
                return
        cluster.learn(frame.owner, frame.incarnation)
        serving = Serving(link, frame.session, frame.role, frame.incarnation, holding.changes)
        holding.begin(serving)
        link.send(Opened(frame.session, holding.was_complete, holding.changes))
        self._send_page(holding, serving, None)

    def _send_page(self, holding: Holding, serving: Serving, after: Dot | None) -> None:
        page = holding.replica.page(after)
        serving.link.send(PageRead(serving.number, page.seen, page.live, page.after, page.upto))

    def _delta(self, now: float, holding: Holding, serving: Serving, frame: Delta) -> Counts | None:
        if serving.role is not Role.OWNER:
            raise PeerFault(f"{serving.link.node} sends a log that is not its own")
        self._apply(now, holding, serving, frame.clock_s, frame.contents)
        if frame.is_synced and frame.changes_received == serving.last_change and not serving.unreported:
            holding.is_current = True
            holding.was_complete = holding.was_complete or frame.is_whole
        serving.applied = frame.upto
        self._unconfirmed[serving] = None
        return Counts(holding.owner, frame.ready)

    def _backfill(self, now: float, holding: Holding, serving: Serving, frame: Backfill) -> None:
        if holding is self._own:
            raise PeerFault(f"{serving.link.node} sends messages for the queue of this node")
        serving.backfill = frame.number
        self._unconfirmed[serving] = None
        self._apply(now, holding, serving, frame.clock_s, frame.contents)

    def _apply(self, now: float, holding: Holding, serving: Serving, clock_s: float, contents: Contents) -> None:
        if contents.puts or contents.removed:
            contents = arrived(now, clock_s, contents)
            holding.learn(now, contents, from_records(now, clock_s, contents.records), serving)

    def _send_fetched(self, now: float, holding: Holding, serving: Serving, frame: Fetch) -> None:
        replica = holding.replica
        covered, contents = contents_of(frame.messages, replica, holding.keys)
        removed, records, absent = contents.removed, contents.records, covered - replica.seen
        if not contents.puts and frame.records:
            asked = frame.records & (replica.seen - replica.live_dots)
            also_removed, found = holding.keys.records_of(asked, records_max)
            removed, records = removed | also_removed, [*records, *to_records(found)]
            absent |= frame.records - asked
        serving.link.send(Fetched(serving.number, now, Contents(contents.puts, removed, records), absent))

    def pump(self, now: float, cluster: Cluster) -> None:
        """Confirm what was applied, once for all that came in this turn, and report what changed here."""
        for serving in self._unconfirmed:
            serving.link.send(Applied(serving.number, serving.applied, serving.backfill))
        self._unconfirmed.clear()
        for holding in self.holdings.values():
            holding.report(now)
            by_owner = holding.by_owner
            incarnation = None if by_owner is None else by_owner.incarnation
            if holding is not self._own and (incarnation, holding.is_current) != holding.announced:
                holding.announced = incarnation, holding.is_current
                in_session = by_owner is not None
                cluster.report_replica(
                    holding.owner, in_session=in_session, is_current=holding.is_current, incarnation=incarnation
                )
