"""How a process leaves: never of its own will with the only copy of a message."""

from collections.abc import Iterator
from typing import Final

from dqtw.core.effects import Departure, Status
from dqtw.core.links.cluster import Cluster
from dqtw.core.links.frames import Leave, Stays
from dqtw.core.links.link import Link
from dqtw.core.model.health import Wait
from dqtw.core.replication.holder import Holder

nothing_held_s: Final = 3.0  # so long a process without messages waits for a peer that stays


class Handover:
    """One process that leaves: because it was asked to, or because a newer process of its node exists.

    It asks each peer whether that stays. Only a peer that has said yes is relied on; and a peer that has said so never
    relies on this process again. So of two processes that leave, at most one relies on the other.

    Attributes:
        deadline: when the process leaves at the latest; None: it stays for as long as it takes.
    """

    def __init__(self, now: float, deadline: float | None) -> None:
        self.deadline = deadline
        self._since = now
        self._asked: dict[Link, int] = {}  # the call to each peer
        self._stays: set[Link] = set()

    def ask(self, cluster: Cluster) -> None:
        """Ask the peers that were not asked yet whether they stay."""
        links = set(cluster.links)
        self._asked = {link: call for link, call in self._asked.items() if link in links}
        self._stays &= links
        for link in cluster.links:
            if link not in self._asked:
                self._asked[link] = link.next_call()
                link.send(Leave(self._asked[link]))

    def answered(self, link: Link, frame: Stays) -> None:
        """Note the answer of a peer."""
        if frame.yes and self._asked.get(link) == frame.call:
            self._stays.add(link)

    def staying(self, cluster: Cluster) -> list[Link]:
        """Return the links to the peers that stay."""
        return [link for link in cluster.links if link in self._stays]

    def only_here(self, cluster: Cluster, holder: Holder) -> int:
        """Return how many live messages no peer that stays is known to hold."""
        links = self.staying(cluster)
        return sum(
            holding.replica.count
            for holding in holder.holdings.values()
            if not any(_has_all(holder, holding.owner, link) for link in links)
        )

    def drained(self, now: float, cluster: Cluster, holder: Holder) -> Departure | None:
        """Return how a process may exit that was asked to; None while it must stay."""
        if any(_has_everything(holder, link) for link in self.staying(cluster)):
            return Departure(Status.DRAINED, 0)
        is_empty = not any(holding.replica.count for holding in holder.holdings.values())
        if is_empty and (not cluster.members.values() or now >= self._since + nothing_held_s):
            return Departure(Status.DRAINED, 0)
        if not cluster.members.values():
            return Departure(Status.DRAINED, self.only_here(cluster, holder))
        if self.deadline is not None and now >= self.deadline:
            lost = self.only_here(cluster, holder)
            return Departure(Status.ALONE if lost else Status.DRAINED, lost)
        return None

    def replaced(self, cluster: Cluster, holder: Holder, node: str, incarnation: str) -> Departure | None:
        """Return how a process may exit that was replaced: when a peer has everything, and its successor knows that."""
        for link in self.staying(cluster):
            report = link.process.reports.get(node)
            if (
                report is not None
                and report.in_session
                and report.is_current
                and (report.incarnation or "") > incarnation
                and _has_everything(holder, link)
                and _has_reported_since(holder, node, link)
            ):
                return Departure(Status.FENCED, 0)
        return None

    def waits(self, cluster: Cluster, holder: Holder) -> Iterator[Wait]:
        """Return what the process waits for."""
        links = self.staying(cluster)
        for holding in holder.holdings.values():
            if holding.replica.count and not any(_has_all(holder, holding.owner, link) for link in links):
                yield Wait(f"no other node that stays is known to hold all messages of {holding.owner}")


def _has_all(holder: Holder, owner: str, link: Link) -> bool:
    """Return True if a peer has reported that it knows all that this node knows of one owner's messages."""
    serving = holder.holdings[owner].serving.get(link)
    return serving is not None and serving.is_synced


def _has_reported_since(holder: Holder, owner: str, link: Link) -> bool:
    """Return True if a peer has sent a status since it has all that this node knows of one owner's messages."""
    serving = holder.holdings[owner].serving.get(link)
    return serving is None or serving.status_before is not link.process.status


def _has_everything(holder: Holder, link: Link) -> bool:
    return all(_has_all(holder, owner, link) for owner, holding in holder.holdings.items() if holding.replica.seen)
