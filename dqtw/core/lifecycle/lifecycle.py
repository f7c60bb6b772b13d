"""The phases of a process: it starts, serves, becomes ready, and leaves, because it was asked to or was replaced."""

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from dqtw.core.effects import Departure
from dqtw.core.lifecycle.handover import Handover
from dqtw.core.lifecycle.recovery import Recovery
from dqtw.core.links.cluster import Cluster
from dqtw.core.model.errors import Draining, Fenced, Refusal, Starting
from dqtw.core.model.health import Wait
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.anti_entropy import AntiEntropy
from dqtw.core.replication.holder import Holder
from dqtw.core.replication.holding import Holding
from dqtw.core.replication.replicator import Replicator

successor_silent_s: Final = 3.0
pending_s_max: Final = 10.0  # so long a process that leaves waits for the requests under way, which may never end


class Phase(Enum):
    """What a process does.

    STARTING ── it has what it must have ──▶ SERVING ── it is asked to leave ──▶ DRAINING

    From each of them ── a greater incarnation is known ──▶ FENCED, and from there, while no peer has heard a newer
    process for 3 s, back to STARTING, as a new process with all that it holds. A process that is starting may be asked
    to leave; a fenced one that is asked to leave stays fenced.
    """

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    FENCED = "fenced"


class Lifecycle:
    """In which phase a process is, and what leads to the next.

    Attributes:
        was_ready: it has served with every replica regained; once true, it stays.
        has_departed: it has reported that it may go; nothing that comes in is taken from then on.
        drain_at: when the drain begins of which notice was given; None: none was given, or the drain has begun.
        recovery: of the present start.
        handover: of a process that leaves; None for others.
    """

    def __init__(self, now: float, settings: NodeSettings, fresh_incarnation: Callable[[float, str], str]) -> None:
        self.phase = Phase.STARTING
        self.was_ready = False
        self.has_departed = False
        self.drain_at: float | None = None
        self.recovery = Recovery(now, settings)
        self.handover: Handover | None = None
        self._settings = settings
        self._fresh_incarnation = fresh_incarnation
        self._leave_by: float | None = None  # when the process leaves at the latest; None: it is not asked to leave
        self._fenced_at = now

    @property
    def is_serving(self) -> bool:
        """True if messages are accepted and delivered."""
        return self.phase is Phase.SERVING

    @property
    def is_going(self) -> bool:
        """True if the process leaves: it is asked to, or was replaced."""
        return self.phase in (Phase.DRAINING, Phase.FENCED)

    def refusal(self) -> Refusal:
        """Return the answer to a request that cannot be served in this phase."""
        match self.phase:
            case Phase.STARTING:
                return Starting("this node is still recovering what its peers hold")
            case Phase.DRAINING:
                return Draining("this node is about to stop")
            case _:
                return Fenced("a newer process of this node's id exists; this one is leaving")

    def choose(self, now: float, cluster: Cluster) -> str | None:
        """Return the incarnation that a start takes now, or None."""
        if self.phase is not Phase.STARTING or not self.recovery.may_choose(now, cluster):
            return None
        return self._fresh_incarnation(now, cluster.greatest(self._settings.node) or "") or None

    def may_serve(self, now: float, cluster: Cluster, replicator: Replicator) -> bool:
        """Return True if a start is over now; this changes the phase."""
        is_recovered = self.recovery.advance(now, cluster, replicator.progress)
        if self.phase is Phase.STARTING and replicator.incarnation is not None and is_recovered:
            self.phase = Phase.SERVING
            return True
        return False

    def fence(self, now: float) -> None:
        """Stop serving: a greater incarnation of this node is known."""
        self.phase = Phase.FENCED
        self._fenced_at = now
        self.handover = Handover(now, self._leave_by)

    def may_start_anew(self, now: float, cluster: Cluster, incarnation: str | None) -> bool:
        """Return True if a fenced process may go on, because no process that replaced it lives.

        Without a link to any peer that cannot be known.
        """
        if self.phase is not Phase.FENCED or self._leave_by is not None or incarnation is None or not cluster.links:
            return False
        silent_s = min(now - self._fenced_at, cluster.successor_silent_s(now, incarnation))
        return silent_s >= successor_silent_s

    def start_anew(self, now: float) -> None:
        """Begin as a new process that already holds something."""
        self.phase = Phase.STARTING
        self.recovery = Recovery(now, self._settings)
        self.handover = None

    def drain(self, now: float) -> None:
        """Begin to leave: the process was asked to. To be asked again changes nothing."""
        self.drain_at = None
        if self._leave_by is not None:
            return
        self._leave_by = now + self._settings.drain_timeout_s
        if self.handover is not None:
            self.handover.deadline = self._leave_by
        else:
            self.phase = Phase.DRAINING

    def begin_handover(self, now: float, *, is_quiet: bool) -> bool:
        """Go on with a drain, if nothing is under way any more, or that takes too long; return True if it goes on.

        Acknowledgements are accepted during a drain, so a process that is used may never be quiet.
        """
        if self.phase is not Phase.DRAINING or self.handover is not None or self._leave_by is None:
            return False
        drain_s = self._settings.drain_timeout_s
        if is_quiet or now >= self._leave_by - drain_s + min(pending_s_max, drain_s / 2):
            self.handover = Handover(now, self._leave_by)
        return self.handover is not None

    def departure(self, now: float, cluster: Cluster, holder: Holder, incarnation: str | None) -> Departure | None:
        """Return how the process may exit, once; None while it must stay."""
        if self.has_departed or self.handover is None:
            return None
        departure = None
        if self.phase is Phase.FENCED:
            departure = self.handover.replaced(cluster, holder, self._settings.node, incarnation or "")
        if departure is None and self._leave_by is not None:
            departure = self.handover.drained(now, cluster, holder)
        self.has_departed = departure is not None
        return departure

    def becomes_ready(self, now: float, cluster: Cluster, holder: Holder, exchanges: AntiEntropy) -> bool:
        """Return True if everything is regained now that can be had; this happens once."""
        if not self.is_serving or self.was_ready:
            return False
        self.was_ready = not any(True for _ in self.waits_for_replicas(now, cluster, holder, exchanges))
        return self.was_ready

    def waits_for_replicas(
        self, now: float, cluster: Cluster, holder: Holder, exchanges: AntiEntropy
    ) -> Iterator[Wait]:
        """Return what is missing until every replica is regained."""
        for holding in holder.others:
            yield from self._waits_for(now, cluster, holding, exchanges)

    def _waits_for(self, now: float, cluster: Cluster, holding: Holding, exchanges: AntiEntropy) -> Iterator[Wait]:
        if holding.is_current:
            return
        owner = cluster.members[holding.owner]
        if not owner.is_unreachable(now):
            yield owner.trouble(now) or Wait(f"{owner.id} has yet to confirm this node's replica of its queue")
            return
        for member in cluster.members.values():
            link = member.current
            if member is not owner and member.is_present and link is not None:
                knows_owner = holding.owner in link.process.reports
                if knows_owner and not exchanges.is_exchanged(holding.owner, link):
                    yield Wait(f"{member.id} has yet to send what it holds of {holding.owner}'s queue")

    def waits(self, now: float, cluster: Cluster, replicator: Replicator, holder: Holder) -> Iterator[Wait]:
        """Return what the process waits for, to serve or to go."""
        if self.phase is Phase.STARTING:
            yield from self.recovery.waits(now, cluster, replicator.progress)
        elif self.handover is not None:
            yield from self.handover.waits(cluster, holder)
