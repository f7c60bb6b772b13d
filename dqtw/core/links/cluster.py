"""What this process knows of its cluster, and what its statuses report."""

from collections.abc import Iterator

from attrs import frozen

from dqtw.core.links.frames import BootId, Heard, NodeId, NodeReport, Status
from dqtw.core.links.link import Learned, Link, Process, silence_s_max
from dqtw.core.links.members import Member
from dqtw.core.links.status import Twin, twins
from dqtw.core.model.message import is_incarnation
from dqtw.core.model.settings import NodeSettings


@frozen
class _Replica:
    """What this node holds for an owner."""

    in_session: bool = False
    is_current: bool = False
    incarnation: str | None = None


class Cluster:
    """The members, the incarnations that are known, and this process itself as it announces itself.

    Attributes:
        node, boot: this process.
        incarnation: its own; None before it has taken one.
        is_going: it is leaving, or was fenced.
        running_since: when it started, or was last paused.
        members: the other members, by node id.
        version: rises with each change that peers must know of at once.
    """

    def __init__(self, now: float, settings: NodeSettings, boot: BootId) -> None:
        self.node = NodeId(settings.node)
        self.boot = boot
        self.incarnation: str | None = None
        self.is_going = False
        self.running_since = now
        ids = [NodeId(id) for id in sorted(settings.peers)]
        self.members = {id: Member(now, id, settings) for id in ids}
        self.version = 1
        self._settings = settings
        self._greatest: dict[NodeId, str] = {}
        self._replicas: dict[NodeId, _Replica] = {}

    @property
    def links(self) -> list[Link]:
        """The links that are up, to whichever process of a member."""
        return [link for member in self.members.values() for link in member.links]

    def current(self, node: NodeId) -> Link | None:
        """Return the link to the process that commands for a node go to, or None."""
        return self.members[node].current

    def become(self, incarnation: str | None, *, is_going: bool) -> None:
        """Announce the own incarnation, or that this process has none yet, and whether it is leaving or fenced."""
        if incarnation is not None:
            self.learn(self.node, incarnation)
        if (incarnation, is_going) != (self.incarnation, self.is_going):
            self.incarnation, self.is_going = incarnation, is_going
            self.version += 1

    def report_replica(self, node: NodeId, *, in_session: bool, is_current: bool, incarnation: str | None) -> None:
        """Announce what this node holds for an owner: in a session with which incarnation, and current or not."""
        replica = _Replica(in_session, is_current, incarnation)
        if replica != self._replicas.get(node, _Replica()):
            self._replicas[node] = replica
            self.version += 1

    def learn(self, node: NodeId, incarnation: str | None) -> bool:
        """Take over an incarnation of a member or of this node's own id; return True if it is the greatest known.

        It comes from an accepted `open`, a status, or a replica; never from an id in a client's command.
        """
        is_of_cluster = node in self.members or node == self.node
        if incarnation is None or not is_of_cluster or not is_incarnation(incarnation):
            return False
        if incarnation <= self._greatest.get(node, ""):
            return False
        self._greatest[node] = incarnation
        self.version += 1
        return True

    def greatest(self, node: NodeId) -> str | None:
        """Return the greatest incarnation that is known of a member or of this node's own id; None if none is."""
        return self._greatest.get(node)

    def take_status(self, process: Process, status: Status) -> Iterator[Learned]:
        """Take over the incarnations and addresses that a status brings; yield those that are greater than known."""
        if status.incarnation is not None:
            if self.learn(process.node, status.incarnation):
                yield Learned(process.node, status.incarnation)
            self.members[process.node].announce(status.incarnation, process.url or "")
        for id, report in status.nodes.items():
            node = NodeId(id)
            if report.greatest is None:
                continue
            if self.learn(node, report.greatest):
                yield Learned(node, report.greatest)
            if node in self.members and is_incarnation(report.greatest):
                self.members[node].announce(report.greatest, report.address)

    def send_status(self, now: float, link: Link) -> None:
        """Send a status on a link."""
        link.status_at, link.status_version, link.bulk_reported = now, self.version, link.bulk_read
        link.send(
            Status(
                node=self.node,
                incarnation=self.incarnation,
                running_s=now - self.running_since,
                is_going=self.is_going,
                express_read=link.express_read,
                bulk_read=link.bulk_read,
                nodes={id: self._report(now, member) for id, member in self.members.items()},
                members=list(self._settings.members),
                settings=self._settings.shared.by_option,
            )
        )

    def twins(self, now: float) -> list[Twin]:
        """Return the other processes of this node's own id that peers have heard, as their latest statuses say."""
        statuses = [
            (process.status_at, process.status)
            for member in self.members.values()
            for process in member.processes
            if process.status is not None
        ]
        return twins(now, self.node, self.boot, statuses)

    def twin_in_the_way(self, now: float) -> Twin | None:
        """Return a process of this node's id that a start must wait for; None if there is none (5.2).

        It was heard within the last 3 s, is neither leaving nor fenced, and has an incarnation, or a smaller boot id.
        """
        for twin in self.twins(now):
            goes_first = twin.incarnation is not None or twin.boot < self.boot
            if twin.age_s < silence_s_max and not twin.is_going and goes_first:
                return twin
        return None

    def have_peers_run(self, now: float) -> bool:
        """Return True if each linked peer has run for 3 s, so that it has heard all processes that reach it (5.2)."""
        processes = [link.process for member in self.members.values() for link in member.links]
        return all(each.running_since is not None and now - each.running_since >= silence_s_max for each in processes)

    def successor_silent_s(self, now: float, incarnation: str) -> float:
        """Return for how long no peer has heard a process of this node's id with a greater incarnation (5.3).

        This counts from the start of this process, or from the end of its last pause, at most.
        """
        ages = [
            each.age_s for each in self.twins(now) if each.incarnation is not None and each.incarnation > incarnation
        ]
        return min([now - self.running_since, *ages])

    def _report(self, now: float, member: Member) -> NodeReport:
        greatest = self._greatest.get(member.id)
        announced, replica = member.announced, self._replicas.get(member.id, _Replica())
        return NodeReport(
            greatest=greatest,
            address=announced[1] if announced is not None and announced[0] == greatest else "",
            processes=[
                Heard(each.boot, each.incarnation, each.is_going, now - each.heard_at)
                for each in member.processes
                if each.status is not None and each.heard_at is not None
            ],
            in_session=replica.in_session,
            is_current=replica.is_current,
            incarnation=replica.incarnation,
        )
