"""How a process starts: it takes an incarnation, gets what its peers hold of its messages, and then serves.

To start and to replace a dead process are the same thing, and the first start of a cluster is not a special case.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from dqtw.core.links.cluster import Cluster
from dqtw.core.links.members import Member
from dqtw.core.model.health import Wait
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.progress import Progress

silent_s: Final = 3.0  # without a part of an answer, before the start goes on without a peer that keeps the link up


class Recovery:
    """One start of a process.

    Attributes:
        is_whole: every push that was answered is here, or a peer that was recovered lacked it as lawfully as this one.
        recovered: the members from which all was recovered that they had.
        complete: those of them that were complete.
    """

    def __init__(self, now: float, settings: NodeSettings) -> None:
        self.is_whole = False
        self.recovered: set[str] = set()
        self.complete: set[str] = set()
        self._settings = settings
        self._serve_at = now + settings.start_wait_s
        self._asked_at = now  # when the incarnation was taken, or the last pause ended: no peer was asked before
        self._sent_at: dict[str, float] = {}  # when each member has sent a part of a page or of messages last
        self._has_met_twin = False

    def resumed(self, now: float) -> None:
        """Count the wait from now: the process was paused, so no peer could reach it."""
        self._serve_at = now + self._settings.start_wait_s
        self._asked_at = now

    # The incarnation.

    def may_choose(self, now: float, cluster: Cluster) -> bool:
        """Return True if this process may take an incarnation: no living process of its id stands in the way.

        What the peers have heard must be known first, as far as they can be reached. While one of them has heard a
        twin, this process is a hot standby; and a peer that has just started cannot know.
        """
        if cluster.twin_in_the_way(now) is not None:
            self._has_met_twin = True
            return False
        if self._has_met_twin and not cluster.have_peers_run(now):
            return False
        self._asked_at = now
        return all(
            member.status is not None or member.is_refused(now) or member.is_unreachable(now)
            for member in cluster.members.values()
        )

    # Service.

    def advance(self, now: float, cluster: Cluster, progress: Mapping[str, Progress]) -> bool:
        """Note what was recovered; return True if this process may serve."""
        for node, session in progress.items():
            if session.is_recovered:
                self.recovered.add(node)
                if session.was_complete:
                    self.complete.add(node)
        for link in cluster.links:
            self._sent_at[link.node] = max(self._sent_at.get(link.node, 0.0), link.bulk_at)
        missing = [member for member in cluster.members.values() if member.id not in self.recovered]
        are_away = all(member.is_unreachable(now) for member in missing)
        if not missing or (are_away and len(self.complete) >= self._enough):
            self.is_whole = True
        return self.is_whole or (now >= self._serve_at and all(self._is_silent(now, each) for each in missing))

    @property
    def _enough(self) -> int:
        """How many complete replicas must have every answered push among them, if no more than K - 1 others lack it."""
        return max(1, len(self._settings.members) - self._settings.copies + 1)

    def _is_silent(self, now: float, member: Member) -> bool:
        """Return True if nothing comes from a member that is still missing.

        A link that has come up in time may bring something; one that comes up again and again does not count.
        """
        ups = [link.up_at for link in member.links if link.up_at <= self._serve_at]
        is_silent = now - max(self._asked_at, self._sent_at.get(member.id, 0.0), *ups) >= silent_s
        return member.is_unreachable(now) or (is_silent and not member.is_refused(now))

    def waits(self, now: float, cluster: Cluster, progress: Mapping[str, Progress]) -> Iterator[Wait]:
        """Return what the start waits for."""
        twin = cluster.twin_in_the_way(now)
        if twin is not None:
            yield Wait(f"{twin.by} has heard another process of this node's id just now")
        for member in cluster.members.values():
            if member.id in self.recovered:
                continue
            session = progress.get(member.id)
            if session is not None and session.need:
                yield Wait(f"{member.id} has {len(session.need)} more messages of this node")
            else:
                yield member.trouble(now) or Wait(f"{member.id} has yet to send what it holds of this node's messages")
