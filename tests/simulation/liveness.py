"""When the faults have ended, everything must become well again, and all that is left must come out."""

from collections.abc import Callable, Iterator, Sized
from random import Random
from typing import TypeAlias

from dqtw.core.lifecycle.lifecycle import Phase
from dqtw.core.model.commands import Ack, Delivered, Done, Get, Outcome
from dqtw.core.model.message import MessageId
from tests.simulation.faults import Faults
from tests.simulation.process import Process
from tests.simulation.trace import short, short_dot
from tests.simulation.violation import Violation
from tests.simulation.world import World

well_within_s = 60.0
drained_within_s = 90.0
look_every_s = (0.5, 1.2)  # at random: in step with heartbeats, each look would find one under way
looks_in_a_row = 3
without_one_share = 0.2
get_count = 10

Sorrows: TypeAlias = Callable[[], Iterator[str]]


class Liveness:
    """Waits, within bounds, until everything is well, and then takes everything out."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._clock = world.clock
        self._scenario = world.scenario
        self._random = Random(f"{world.scenario.seed}/looks")
        self._out: dict[MessageId, None] = {}
        self._pending = 0

    def check(self) -> None:
        """See that the world recovers.

        Raises:
            Violation: it does not, or not in time, or something is missing.
        """
        self._world.clients.is_over = True
        self._world.doors.is_calm = True
        self._faults.end()
        bound_s = well_within_s + self._scenario.start_wait_s + self._scenario.drain_timeout_s
        may_lose = len(self._scenario.nodes) > 1 and not self._scenario.quiet
        if may_lose and self._random.random() < without_one_share:
            self._do_without_one(bound_s)
        ended_at = self._clock.now
        self._wait(bound_s, self._sorrows, "not well again")
        self._world.trace.counts["recovery, seconds"] += round(self._clock.now - ended_at)
        self._world.checker.look_at_all()
        self._drain()

    def _do_without_one(self, bound_s: float) -> None:
        """One node does not come back: the others serve all the same, and are ready."""
        node = self._random.choice(self._scenario.nodes)
        self._world.absent = node
        for process in self._world.alive(node):
            self._world.kill(process)
        self._wait(bound_s, self._idle, f"not all are ready without {node}")
        self._world.absent = ""

    def _idle(self) -> Iterator[str]:
        self._end_standbys()
        self._faults.help_who_is_lost()
        for node in self._scenario.nodes:
            self._world.start_unless_there(node)
            alive = self._world.alive(node)
            waits = any(
                each.node.life.phase is Phase.FENCED for each in alive
            )  # perhaps to leave all to the absent one
            serves = any(each.node.life.phase is Phase.SERVING and each.node.life.was_ready for each in alive)
            if node != self._world.absent and not serves and not waits:
                yield f"{node} has these processes: {[f'{each} {each.node.life.phase.value}' for each in alive]}"

    def _wait(self, bound_s: float, sorrows: Sorrows, what: str) -> None:
        until, looks = self._clock.now + bound_s, 0
        while True:
            self._clock.run_until(self._clock.now + self._random.uniform(*look_every_s))
            first = next(iter(sorrows()), None)
            looks = looks + 1 if first is None else 0
            if looks == looks_in_a_row:
                return
            if first is not None and self._clock.now > until:
                raise Violation(f"{what} {bound_s} s after the faults ended: {first}")

    def _sorrows(self) -> Iterator[str]:
        self._end_standbys()
        for node in self._scenario.nodes:
            self._world.start_unless_there(node)
        self._faults.help_who_is_lost()  # also who has left since, and was started where nobody looks for it
        for node in self._scenario.nodes:
            alive = self._world.alive(node)
            if len(alive) != 1:
                yield f"{node} has these processes: {[f'{each} {each.node.life.phase.value}' for each in alive]}"
                return
        processes = self._world.alive()
        for process in processes:
            yield from _sorrows_of(process)
        for owner in processes:
            for process in processes:
                yield from _differences(owner, process)

    def _end_standbys(self) -> None:
        """Stop what only an operator can stop.

        That is a second process that waits for the first to die, or one whose address another has taken.
        """
        for process in self._world.alive():
            has_address = self._world.network.listeners.get(process.url) is process
            is_of_use = process.node.life.phase is not Phase.FENCED and process.node.cluster.links
            if not has_address and not is_of_use:
                self._world.kill(process)
        for node in self._scenario.nodes:
            alive = self._world.alive(node)
            waiting = [each for each in alive if each.node.life.phase is Phase.STARTING]
            if len(alive) > 1 and any(each.node.life.phase is Phase.SERVING for each in alive):
                for each in waiting:
                    self._world.kill(each)

    # Taking everything out.

    def _drain(self) -> None:
        """Get and acknowledge through all nodes, until nothing is left."""
        ledger = self._world.checker.ledger
        due = [fate for fate in ledger.fates.values() if fate.is_owed]
        lost = [fate for fate in due if not fate.holders]
        if lost:
            raise Violation(f"{lost[0]} was answered, never removed, and nobody holds it")
        self._wait(drained_within_s, self._left, "not all taken out")
        missing = [fate for fate in due if fate.id not in self._out]
        if missing:
            raise Violation(f"{missing[0]} was answered, never removed, and was not delivered in the final drain")
        self._wait(20.0, self._sorrows, "not well after the final drain")

    def _left(self) -> Iterator[str]:
        if not self._pending:
            for process in self._world.alive():
                self._pending += 1
                self._world.doors.send(process, Get(get_count, 1.0, 60.0), self._got)
        left = [dot for process in self._world.alive() for dot in process.node.replicator.holding.replica.live_dots]
        if left:
            yield f"{len(left)} messages are left, such as {short_dot(left[0])}"

    def _got(self, outcome: Outcome | None) -> None:
        self._pending -= 1
        if isinstance(outcome, Delivered):
            alive = self._world.alive()
            for at, delivery in enumerate(outcome.deliveries):
                self._out[delivery.receipt.id] = None
                self._ack(alive[at % len(alive)], Ack(delivery.receipt.id))

    def _ack(self, process: Process, ack: Ack) -> None:
        def acked(outcome: Outcome | None) -> None:
            if not isinstance(outcome, Done):
                raise Violation(f"in the final drain {process} has answered an ack of {short(ack.id)} with {outcome!r}")

        self._world.doors.send(process, ack, acked)


def _sorrows_of(process: Process) -> Iterator[str]:
    """Return what is not well with one process."""
    node = process.node
    if node.life.phase is not Phase.SERVING:
        waits = list(node.life.waits(process.now, node.cluster, node.replicator, node.holder))
        yield f"{process} is {node.life.phase.value}: {waits}"
    if not node.life.was_ready:
        waits = list(node.life.waits_for_replicas(process.now, node.cluster, node.holder, node.exchanges))
        yield f"{process} is not ready: {waits}"
    for member in node.cluster.members.values():
        progress = node.replicator.progress.get(member.id)
        if progress is None or not progress.is_synced:
            yield f"{process} is not synced with {member.id}: {member.trouble(process.now)}"
    stats = node.stats(process.now)
    for name in ("waiting", "waiting_polls", "waiting_pushes"):
        if stats[name]:
            yield f"{process} has {stats[name]} {name}"
    yield from _leftovers(process)


def _leftovers(process: Process) -> Iterator[str]:
    """Return the state of requests for which nothing waits any more."""
    node = process.node
    left: dict[str, Sized] = {
        "parked requests": node.ownership,
        "forwarded commands": node.inbound._calls,
        "calls": node.outbound._open,
        "remote gets": node.outbound._gets,
        "completions": node.outbound._completions,
        "pushes": node.replicator.pushes,
        "removals": node.replicator.removals,
        "exchanges": [each for each, _ in node._sessions if each not in node.replicator.progress.values()],
    }
    yield from (f"{process} has {len(what)} {name} left over" for name, what in left.items() if len(what))


def _differences(owner: Process, process: Process) -> Iterator[str]:
    """Return how a process's replica differs from its owner's."""
    truth, replica = owner.node.replicator.holding.replica, process.node.holder.holdings[owner.id].replica
    if replica.live_dots != truth.live_dots:
        yield f"{process} holds {replica.count} messages of {owner}, which has {truth.count}"
    elif replica.seen != truth.seen:
        yield f"{process} has seen {replica.seen} of {owner}, which has seen {truth.seen}"
    if process is not owner and not process.node.holder.holdings[owner.id].is_current:
        yield f"{process}'s replica of {owner} is not current"
