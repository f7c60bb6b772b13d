"""Starting, replacing and leaving: what a process may do with its life."""

from dqtw.core.effects import Departure, Status
from dqtw.core.lifecycle.lifecycle import Phase
from tests.simulation.clock import Clock
from tests.simulation.copies import knows_removed
from tests.simulation.ledger import Fate, Ledger
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.trace import Trace
from tests.simulation.violation import require

silent_for_sure_s = 10.0
settle_s = 4.0  # after so long nothing is left of streams that were broken before
delta_under_way_s = 15.0
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
        self._phases: dict[Process, Phase] = {}
        self._drains_since: dict[Process, float] = {}
        self._greatest: dict[tuple[Process, str], tuple[str, float]] = {}  # what each knows of a node, and since when
        self._incarnations: dict[Process, str] = {}
        self._complete: set[tuple[Process, str, str]] = set()

    def drained(self, process: Process) -> None:
        """Note that a process was asked to leave."""
        self._drains_since.setdefault(process, self._clock.now)

    def look(self, process: Process) -> None:
        """Look at a process after its turn.

        Raises:
            Violation: it serves, or is ready, without what it could have had.
        """
        self._note_greatest(process)
        self._check_complete(process)
        incarnation = process.node.replicator.incarnation
        if incarnation is not None and self._incarnations.get(process) != incarnation:
            self._incarnations[process] = incarnation
            self._check_twins(process)
        phase = process.node.life.phase
        if phase is not self._phases.get(process):
            self._trace.line(process, f"is {phase.value}")
            self._phases[process] = phase
            if phase is Phase.SERVING:
                self._trace.counts["owner changes"] += 1
                self._check_recovered(process)
        if process.node.life.was_ready and not process.was_ready:
            process.was_ready = True
            self._check_regained(process)

    def _note_greatest(self, process: Process) -> None:
        for node in process.settings.peers:
            greatest = process.node.cluster.greatest(node)
            if greatest is not None and self._greatest.get((process, node), ("", 0.0))[0] != greatest:
                self._greatest[process, node] = greatest, self._clock.now

    def check_confirmed(self, process: Process, what: str) -> None:
        """See that a process that was paused acts as the owner only when no peer in reach knows its successor.

        Raises:
            Violation: it has been replaced, and has not asked.
        """
        since, incarnation = process.stood_still_until, process.node.replicator.incarnation or ""
        if since < 0:
            return
        for peer in self.processes:
            greatest, known_since = self._greatest.get((peer, process.id), ("", 0.0))
            if greatest > incarnation and known_since < since and self._is_only(peer):
                could = self._network.was_clean_after(process, peer, settle_s)
                require(not could, f"{process} {what} after a pause, and {peer} knows that it was replaced")

    def _is_only(self, peer: Process) -> bool:
        """Return True if a process is reached by all that ask for its node."""
        alive = [each for each in self.processes if each.is_alive and each.id == peer.id]
        return alive == [peer] and self._network.listeners.get(peer.url) is peer

    def _check_twins(self, process: Process) -> None:
        """See that a starting process lets a process of its id be that is alive, as a peer has heard."""
        for twin in self.processes:
            is_twin = twin is not process and twin.id == process.id and twin.is_alive and not twin.is_paused
            if not is_twin or twin.node.replicator.incarnation is None or twin.node.life.is_going:
                continue
            since = process.born_at
            if twin.born_at > since - settle_s or process.paused_at >= since or self._clock.now - since > 100:
                continue
            for peer in self.processes:
                knows = (
                    peer.id != process.id and peer.is_alive and peer.born_at < since - settle_s and self._is_only(peer)
                )
                if not knows:
                    continue
                one, other = (self._network.trouble.get(frozenset((each, peer)), -1000.0) for each in (process, twin))
                is_clean = self._network.is_clean(process, peer, since) and self._network.is_clean(twin, peer, since)
                is_linked = any(
                    link.process.boot == twin.node.cluster.boot and self._clock.now - (link.process.heard_at or 0) >= 0
                    for link in peer.node.cluster.members[process.id].links
                )
                heard = is_clean and is_linked and max(one, other) < since - settle_s
                require(not heard, f"{process} takes the place of {twin}, which {peer} has just heard")

    def _check_complete(self, process: Process) -> None:
        """See that a replica that is called complete has all that was answered of its owner's messages."""
        for holding in process.node.holder.others:
            key = process, holding.owner, process.node.replicator.incarnation or ""
            if not holding.was_complete or key in self._complete:
                continue
            self._complete.add(key)
            for fate in self._ledger.of_queue(holding.owner):
                is_old = fate.answered_at is not None and fate.answered_at < self._clock.now - delta_under_way_s
                if not is_old or not fate.is_owed or fate.is_astray or self._ledger.is_lost_lawfully(fate):
                    continue
                is_there = process in fate.holders or all(each.id == holding.owner for each in fate.holders)
                require(is_there, f"{process}'s replica of {holding.owner} is called complete, and lacks {fate}")

    def _check_recovered(self, process: Process) -> None:
        """See that a process that serves has all that a peer holds that it could reach, or knows that it has all."""
        progress = process.node.replicator.progress
        is_late = process.now - process.at(process.born_at) >= process.settings.start_wait_s
        missing = [node for node in process.settings.peers if node not in process.node.life.recovery.recovered]
        is_sure = not is_late or not missing
        for fate in self._ledger.of_queue(process.id):
            if not fate.is_owed or process in fate.holders:
                continue
            for holder, since in fate.holders.items():
                missed = since <= process.born_at and self._could_reach(process, holder)
                require(not missed, f"{process} serves without {fate}, which {holder} holds")
            is_with_a_twin = all(holder.id == process.id for holder in fate.holders)  # which has to hand it over
            lost = is_with_a_twin or self._ledger.is_lost_lawfully(fate) or fate.is_astray
            lost = lost or self._has_asked_a_twin(fate, {each.link.process.boot for each in progress.values()})
            require(lost or not is_sure, f"{process} serves without {fate}, and was in no hurry; {missing} are missing")
            fate.is_astray = True

    def _has_asked_a_twin(self, fate: Fate, boots: set[str]) -> bool:
        """Return True if a peer in session lived beside another process of its node that held this message."""
        asked = [each for each in self.processes if each.node.cluster.boot in boots]
        held_by = [*fate.holders, *(each for _, each in fate.lost_by)]
        return any(one.id == other.id and one is not other for one in asked for other in held_by)

    def _check_regained(self, process: Process) -> None:
        """See that a process that is ready has of every queue what its owner holds, or else what the peers hold."""
        for fate in self._ledger.fates.values():
            if fate.id.node != process.id and fate.is_owed and process not in fate.holders:
                is_orphan = not any(
                    each.id == fate.id.node and self._lived_since(each, process) for each in self.processes
                )
                for holder, since in fate.holders.items():
                    counts = is_orphan or holder.id == fate.id.node
                    missed = counts and since <= process.born_at and self._could_reach(process, holder)
                    require(not missed, f"{process} is ready without {fate}, which {holder} holds")

    def _could_reach(self, process: Process, other: Process) -> bool:
        """Return True if nothing was between the two since the first was born, and there was one process of each."""
        if other.id == process.id or not self._network.is_clean(process, other, process.born_at):
            return False
        ids = (process.id, other.id)
        twins = [each for each in self.processes if each.id in ids and self._lived_since(each, process)]
        return len(twins) == 2 and self._network.listeners.get(other.url) is other

    def _lived_since(self, each: Process, process: Process) -> bool:
        return each.died_at is None or each.died_at >= process.born_at

    def check_departure(self, process: Process, departure: Departure) -> None:
        """See that a process leaves when others hold all that it holds, or reports how much it takes with it.

        Raises:
            Violation: it takes something with it that it has not reported.
        """
        status, lost = departure.status, departure.messages_lost
        what = f"{process} leaves with status {status.value}, and reports {lost} messages lost"
        if status is Status.FENCED:
            require(process.node.life.phase is Phase.FENCED, f"{what}, and was not replaced")
        else:
            require(process in self._drains_since, f"{what}, and was not asked to leave")
        if len(process.settings.members) == 1:
            return
        alone = [fate for fate in self._ledger.fates.values() if self._is_last(fate, process)]
        require(len(alone) <= lost, f"{what}, but is the last to hold {len(alone)}, such as {alone[:1] and alone[0]}")
        if status is not Status.ALONE:
            require(not lost, f"{what}, which is no reason for that status")
        if status is Status.FENCED:
            self._check_succeeded(process)

    def check_drain_ends(self, process: Process) -> None:
        """See that a process that was asked to leave is gone when its time is over.

        Raises:
            Violation: it is not.
        """
        since = self._drains_since.get(process)
        if since is not None:
            since = max(since, process.paused_at)
            late_s = process.now - process.at(since) - process.settings.drain_timeout_s
            require(late_s < 1.0, f"{process} should have left {late_s:.1f} s ago")

    def _check_succeeded(self, process: Process) -> None:
        """See that a replaced process stays until its successor knows all that it holds, if that can be reached."""
        alive = [each for each in self.processes if each.is_alive and each is not process]
        successor = next((each for each in reversed(alive) if each.id == process.id), None)
        others = [each for each in alive if each.id != process.id]
        since = self._clock.now - silent_for_sure_s
        if successor is None or not all(
            self._network.is_clean(one, each, since) for one in (process, successor) for each in others
        ):
            return
        mine, theirs = process.node.replicator.holding.replica, successor.node.replicator.holding.replica
        left = mine.live_dots - theirs.seen
        for progress in successor.node.replicator.progress.values():
            left -= progress.need
        require(not left, f"{process} leaves to {successor} what that does not know: {left}")

    def _is_last(self, fate: Fate, process: Process) -> bool:
        """Return True if a process holds a message that no process holds that it could rely on."""
        if process not in fate.holders or fate.removed_at is not None:
            return False
        lately = self._clock.now - held_lately_s
        if any(at >= lately for at, loser in fate.lost_by if loser is not process):
            return False  # it may have been relied on, and has died since
        others = [each for each in self.processes if each.is_alive and each is not process]
        return not any(each in fate.holders or knows_removed(each, fate.id) for each in others)
