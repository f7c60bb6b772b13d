"""Starting, replacing and leaving: what a process may do with its life."""

from math import inf

from dqtw.core.effects import Departure, Status
from dqtw.core.lifecycle.life import Phase
from dqtw.core.links.peer_messages import Failed, PeerAnswer
from tests.simulation.clock import Clock
from tests.simulation.copies import knows_removed
from tests.simulation.ledger import Fate, Ledger
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.trace import Trace
from tests.simulation.violation import require

heard_lately_s = 1.2  # of an owner that speaks each second
silent_s = 2.0
silent_for_sure_s = 10.0
unreachable_s = 3.0
told_within_s = 1.0  # each asks every half second
held_lately_s = 10.0  # a peer that died may have been counted on for so long


class Lives:
    """Looks at what processes become, and when they go.

    Attributes:
        processes: all there ever were, oldest first.
    """

    def __init__(self, clock: Clock, ledger: Ledger, network: Network, trace: Trace, processes: list[Process]) -> None:
        self.processes = processes
        self._clock = clock
        self._ledger = ledger
        self._network = network
        self._trace = trace
        self._phases: dict[Process, tuple[Phase, float]] = {}
        self._waits_until: dict[Process, float] = {}  # fenced, and nobody has asked it to leave
        self._answered_at: dict[tuple[Process, str], float] = {}  # the last answer, or else the first request
        self._leaves_since: dict[Process, float] = {}  # because it was asked to
        self._heard: dict[tuple[Process, Process], tuple[float, float]] = {}

    def heard(self, owner: Process, peer: Process) -> None:
        """An owner has spoken to a peer."""
        now = self._clock.now
        since, last = self._heard.get((owner, peer), (now, now))
        self._heard[owner, peer] = (since if now - last < silent_s else now), now

    def asked(self, process: Process, peer: str) -> None:
        """A process asks a peer for something."""
        self._answered_at.setdefault((process, peer), process.now)

    def answered(self, process: Process, peer: str, answer: PeerAnswer) -> None:
        """A peer has answered a process that waits for it, whatever it says."""
        is_its_own = getattr(answer, "node", peer) == peer  # and not of a node to whom the request was misled
        if is_its_own and not isinstance(answer, Failed):
            self._answered_at[process, peer] = process.now

    def _phase(self, process: Process) -> Phase | None:
        """What the process was after its latest turn."""
        return self._phases[process][0] if process in self._phases else None

    def look(self, process: Process) -> None:
        """A process has had its turn.

        Raises:
            Violation: it serves, or is ready, without what it could have had.
        """
        if process.node.life.is_leaving and not process.node.life.is_handing_over:
            self._leaves_since.setdefault(process, self._clock.now)
        if process.node.life.is_handing_over:
            self._waits_until[process] = inf
        elif self._waits_until.get(process) == inf:
            self._waits_until[process] = self._clock.now
        phase = process.node.phase
        if phase is not self._phase(process):
            self._trace.line(process, f"is {phase.value}")
            self._phases[process] = phase, self._clock.now
            if phase is Phase.SERVING:
                self._trace.counts["owner changes"] += 1
                self._check_recovered(process)
        if process.node.life.was_ready and not process.was_ready:
            process.was_ready = True
            self._check_regained(process)

    def _check_recovered(self, process: Process) -> None:
        """Who serves has all that a peer holds that it could reach, or knows enough peers to have all there is."""
        self._check_silence(process)
        is_sure = not self._may_have_given_up(process) and not process.node.owner.links.all_joined()
        for fate in self._ledger.of_queue(process.id):
            if fate.is_owed and process not in fate.holders:
                for holder, since in fate.holders.items():
                    missed = since <= process.born_at and self._could_reach(process, holder)
                    require(not missed, f"{process} serves without {fate}, which {holder} holds")
                lost = not fate.holders or self._ledger.is_lost_lawfully(fate) or fate.is_astray
                lost = lost or self._has_asked_a_twin(process, fate)
                require(lost or not is_sure, f"{process} serves without {fate}, and was in no hurry")
                fate.is_astray = True

    def _check_silence(self, process: Process) -> None:
        """Who serves without what a peer holds has had no answer of it for a while, not even that it declines."""
        if process.paused_at == self._clock.now:
            return  # of all that lay in its sockets, it may have decided on the first
        for opener in process.node.owner.links:
            silent_s = process.now - self._answered_at.get((process, opener.peer.id), process.now)
            away = opener.is_joined or silent_s >= unreachable_s - 1e-3
            require(away, f"{process} serves, and {opener.peer.id} has not given all, silent for {silent_s:.1f} s")

    def _has_asked_a_twin(self, process: Process, fate: Fate) -> bool:
        """Whether a peer that was joined lived beside another process of its node that held this: one can be asked."""
        boots = {opener.peer.boot for opener in process.node.owner.links if opener.is_joined}
        asked = [each for each in self.processes if each.node.boot in boots]
        held_by = [*fate.holders, *(each for _, each in fate.lost_by)]
        return any(one.id == other.id and _lives_beside(other, one, fate) for one in asked for other in held_by)

    def _may_have_given_up(self, process: Process) -> bool:
        """Whether it has waited for as long as it was told to wait for peers that can't be reached."""
        return process.now - process.at(process.born_at) >= process.settings.start_wait_s

    def _check_regained(self, process: Process) -> None:
        """Who is ready has of every queue what its owner holds, if it could reach it, or else what its peers hold."""
        for fate in self._ledger.fates.values():
            if fate.id.node != process.id and fate.is_owed and process not in fate.holders:
                is_orphan = self._died_before(fate.id.node, process)
                for holder, since in fate.holders.items():
                    counts = is_orphan or holder.id == fate.id.node
                    missed = counts and since <= process.born_at and self._could_reach(process, holder)
                    require(not missed, f"{process} is ready without {fate}, which {holder} holds")

    def _died_before(self, node: str, process: Process) -> bool:
        return not any(each.id == node and self._lived_since(each, process) for each in self.processes)

    def check_twins(self, process: Process) -> None:
        """Who starts lets a process of its id be that is alive, as a peer can tell that has just heard of it.

        Raises:
            Violation: it takes that process's place.
        """
        if process.node.phase is not Phase.STARTING:
            return
        for (twin, peer), (since, heard_at) in self._heard.items():
            if twin.id != process.id or twin is process or self._clock.now - heard_at > heard_lately_s:
                continue
            steady = all(self._network.is_clean(each, peer, process.born_at) for each in (twin, process))
            alive = twin.is_alive and self._phase(twin) is Phase.SERVING and since < process.born_at
            only = all(
                each is peer or not self._lived_since(each, process) for each in self.processes if each.id == peer.id
            )
            told = steady and alive and only and heard_at > process.born_at
            require(not told, f"{process} takes the place of {twin}, which {peer} has just heard")

    def _could_reach(self, process: Process, other: Process) -> bool:
        """Whether nothing has stood between the two since the first was born, and there was one process of each."""
        if other.id == process.id or not self._network.is_clean(process, other, process.born_at):
            return False
        if not self._network.is_clean(other, process, process.born_at):
            return False
        twins = [
            each for each in self.processes if each.id in (process.id, other.id) and self._lived_since(each, process)
        ]
        return len(twins) == 2 and self._network.listeners.get(other.url) is other

    def _lived_since(self, each: Process, process: Process) -> bool:
        return each.died_at is None or each.died_at >= process.born_at

    def check_departure(self, process: Process, departure: Departure) -> None:
        """A process leaves when others hold all that it holds, or tells how much it takes with it.

        Raises:
            Violation: it takes something with it that it has not told of.
        """
        alone = [
            fate for fate in self._ledger.fates.values() if process in fate.holders and self._is_last(fate, process)
        ]
        if len(process.settings.members) > 1:
            told = departure.messages_lost
            what = f"{process} leaves with status {departure.status.value}, and tells of {told} messages lost"
            require(
                len(alone) <= told, f"{what}, but is the last to hold {len(alone)}, such as {alone[:1] and alone[0]}"
            )
            if departure.status is not Status.ALONE:
                require(not told, f"{what}, which is no reason for that status")
            if departure.status is Status.FENCED:
                self._check_succeeded(process)
            says_fenced = departure.status is Status.FENCED
            require(
                says_fenced or not process.node.life.is_handing_over, f"{what}, though nobody has asked it to leave"
            )
            require(process.node.phase is Phase.FENCED or not says_fenced, f"{what}, and was not replaced")

    def check_drain_ends(self, process: Process) -> None:
        """A process that was asked to leave is gone when its time is over.

        Raises:
            Violation: it is not.
        """
        since = self._leaves_since.get(process)
        if since is not None:
            late_s = process.now - process.at(since) - process.settings.drain_timeout_s
            require(late_s < 1.0, f"{process} should have left {late_s:.1f} s ago")

    def _check_succeeded(self, process: Process) -> None:
        """Who was replaced stays until the process that has replaced it knows all that it holds, if that is there."""
        alive = [each for each in self.processes if each.is_alive and each is not process]
        successor = next((each for each in reversed(alive) if each.id == process.id), None)
        others = [each for each in alive if each.id != process.id]
        since = self._clock.now - silent_for_sure_s
        if successor is None or not all(
            self._speak(one, each, since) for one in (process, successor) for each in others
        ):
            return
        left = process.node.owner.copy.live_ids - successor.node.owner.copy.seen
        require(not left, f"{process} leaves to {successor} what that does not know: {left}")

    def _speak(self, one: Process, other: Process, since: float) -> bool:
        return self._network.is_clean(one, other, since) and self._network.is_clean(other, one, since)

    def _is_heir(self, process: Process, other: Process) -> bool:
        """Whether the other stays, or can't have told this process that it does not."""
        phase, since = self._phases.get(other, (Phase.STARTING, 0.0))
        waits = self._clock.now - self._waits_until.get(other, -told_within_s) < told_within_s
        if process.node.phase is Phase.FENCED and other.id > process.id and waits:
            return True
        if phase not in (Phase.DRAINING, Phase.FENCED):
            return True
        return self._clock.now - since < told_within_s or not self._network.is_clean(process, other, since)

    def _is_last(self, fate: Fate, process: Process) -> bool:
        """Whether no other process holds it, or knows it removed, or has known so until a moment ago."""
        if any(each is not process and self._is_heir(process, each) for each in fate.holders):
            return False
        if any(self._clock.now - at < held_lately_s and each is not process for at, each in fate.lost_by):
            return False
        known = [each for each in self.processes if each is not process and knows_removed(each, fate.id)]
        return all(each.died_at is not None and self._clock.now - each.died_at > held_lately_s for each in known)


def _lives_beside(holder: Process, asked: Process, fate: Fate) -> bool:
    """Whether it held this while the other, which has been asked, was alive: as its successor, or before it left."""
    is_newer, is_older = asked.born_at < holder.born_at, holder.born_at < asked.born_at
    return is_newer or (is_older and asked.born_at <= fate.admitted_at)
