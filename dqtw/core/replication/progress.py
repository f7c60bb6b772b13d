"""What one peer has of the owner's log, as in etcd's raft (``tracker/progress.go``)."""

from collections import deque
from typing import Final

from dqtw.core.links.frames import Applied, Delta
from dqtw.core.links.link import Link
from dqtw.core.model.dots import Dot
from dqtw.core.model.errors import PeerFault
from dqtw.core.replication.log import Log, SessionId
from dqtw.core.replication.session import Session

deltas_under_way_max: Final = 16
lag_entries_max: Final = 1_000_000


class Progress(Session):
    """The owner's session with one peer.

    The log is sent from the first page on, so a long digest does not hold up the service. In session, the peer knows
    every change up to ``match``, except for backfill that it has not confirmed, and messages that were removed later.

    Attributes:
        match: the index of the last entry that the peer has confirmed; what a peer that is not counted yet has is not
            known.
    """

    def __init__(self, id: SessionId, link: Link) -> None:
        super().__init__(id, link)
        self.match = 0
        self._next = 1  # the index of the first entry that was not sent
        self._under_way: deque[int] = deque()  # the last index of each delta that is not confirmed
        self._reported: tuple[bool, bool, int] | None = None  # the flags of the last delta
        self._rises_reported: int | None = None  # as of the last delta; None: nothing could be delivered since
        self._began_at = 0  # what follows this index was sent in this session, unless the peer had it already
        self._compared_at = 0  # the end of the log when the first page was compared

    def begin(self, answered: int, end: int) -> None:
        """Count the peer from now on: the first page was compared.

        Args:
            answered: the index up to which every push is committed and every removal is answered; what came before is
                in the replica that the pages are compared with.
            end: the end of the log.
        """
        self.match = self._began_at = answered
        self._next = answered + 1
        self._compared_at = end

    def lags(self, end: int) -> bool:
        """Return True if the peer is so far behind that to compare the replicas anew is cheaper."""
        return self.is_counted and end - max(self.match, self._compared_at) > lag_entries_max

    def has(self, dot: Dot, index: int, *, is_entry: bool) -> bool:
        """Return True if the peer is known to hold a message.

        Args:
            dot: the message.
            index: of its entry; or, not ``is_entry``, of any entry that is not before its own.
            is_entry: what the log says of it was sent in this session, if that came after its begin.
        """
        return self.match >= index and ((is_entry and index > self._began_at) or not self.lacks(dot))

    def applied(self, frame: Applied) -> None:
        """Take a confirmation.

        Raises:
            PeerFault: the peer confirms what was not sent.
        """
        if frame.upto >= self._next:
            raise PeerFault(f"the peer confirms entry {frame.upto}, which was not sent")
        self.match = max(self.match, frame.upto)
        while self._under_way and self._under_way[0] <= frame.upto:
            self._under_way.popleft()
        if not self._under_way:
            self.link.met(("applied", self.id))
        self.confirmed(frame.backfill)

    def send_log(self, now: float, log: Log, counts: dict[str, int], rises: int, *, is_whole: bool) -> None:
        """Send what is in the log, as much as may be under way; an empty delta if only flags changed or counts rose.

        Args:
            now: the monotonic clock, in seconds.
            log: what is sent.
            counts: how many messages could be delivered now, by queue, as far as the peer wants to know.
            rises: how often the first message became ready. A count may fall to 0 and rise again within a turn in
                which the peer has asked, and got nothing.
            is_whole: this owner knows of every answered push.
        """
        reported = rises if any(counts.values()) else None
        if reported is None:
            self._rises_reported = None
        while self.is_counted and len(self._under_way) < deltas_under_way_max:
            flags = (self.is_synced, is_whole, self.changes_received)
            if self._next > log.end and flags == self._reported and reported == self._rises_reported:
                return
            part = log.read(self._next, self.id)
            self._next = part.upto + 1
            self._under_way.append(part.upto)
            self._reported, self._rises_reported = flags, reported
            self.link.send(Delta(self.id, part.upto, now, part.contents, *flags, counts))
            self.link.due(now, ("applied", self.id))
