"""What is delivered: to one worker at a time, by an owner that still is one, and never what is known to be removed."""

from dqtw.core.model.commands import Delivered, Delivery, Get, State
from dqtw.core.model.message import MessageId
from tests.simulation.leases import Leases
from tests.simulation.ledger import Fate, Ledger, lost_lately_s
from tests.simulation.lives import Lives
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.requests import Request
from tests.simulation.scenario import Scenario
from tests.simulation.trace import Trace
from tests.simulation.violation import require

found_within_s = 0.5


class Deliveries:
    """Judges what gets are answered."""

    def __init__(self, scenario: Scenario, ledger: Ledger, lives: Lives, network: Network, trace: Trace) -> None:
        self.leases = Leases()
        self._scenario = scenario
        self._ledger = ledger
        self._lives = lives
        self._network = network
        self._trace = trace
        self._shown: set[MessageId] = set()
        self._delivered_last: dict[Process, int] = {}
        self._ready_since: dict[Process, float] = {}

    def judge(self, now: float, request: Request, get: Get, outcome: Delivered) -> None:
        """Judge the answer to a get.

        Raises:
            Violation: it brings what must not be delivered there, or not now.
        """
        process, count = request.process, len(outcome.deliveries)
        if self._scenario.quiet and not request.is_forwarded and not count:
            self._check_nothing_was_there(now, request, get)
        require(count <= get.count_max, f"{process} delivers {count} messages, {get.count_max} were asked for")
        for delivery in outcome.deliveries:
            fate = self._ledger.meet(now, delivery.receipt.id, delivery.message, process)
            self._trace.counts["delivered"] += not request.is_forwarded
            if delivery.receipt.id.node == process.id:
                self._delivered(now, process, get, delivery, fate)
            if get.ack_now:
                require(fate.removed_at is not None, f"{process} has delivered {fate} for good, and it is not removed")

    def _check_nothing_was_there(self, now: float, request: Request, get: Get) -> None:
        """See that in a quiet world no poll waits or asks in vain while messages are ready anywhere."""
        if get.ack_now and get.wait_s == 0:  # what it was brought may have been acknowledged before it was removed
            return
        for process, since in self._ready_since.items():
            if process.is_alive:
                had_s = now - (since if get.wait_s == 0 else max(since, request.begun_at))
                what = f"{request.process} found nothing, and {process} had it for {had_s:.1f} s"
                require(had_s < found_within_s, what)

    def note_ready(self, now: float, process: Process) -> None:
        """Remember since when a process has had something to deliver."""
        if process.node.life.is_serving and process.node.owner.queue.count(State.READY):
            self._ready_since.setdefault(process, now)
        else:
            self._ready_since.pop(process, None)

    def _delivered(self, now: float, process: Process, get: Get, delivery: Delivery, fate: Fate) -> None:
        if self._scenario.quiet and fate.id not in self._shown and not get.ack_now:
            last = self._delivered_last.get(process, 0)
            require(fate.id.n > last, f"{process} has delivered {last} before {fate}")
            self._delivered_last[process] = fate.id.n
        self._shown.add(fate.id)
        self._check_not_early(now, process, fate)
        if not get.ack_now:
            self._lives.check_confirmed(process, f"delivers {fate}")
            self.leases.begin(process, get, delivery)
            self._check_not_removed(now, process, fate)

    def _check_not_early(self, now: float, process: Process, fate: Fate) -> None:
        """See that a message that this process itself accepted is not shown before it has its copies.

        A process that has started anew holds what it accepted before as if it had recovered that.
        """
        is_committed = process in fate.answered_by or fate.admitted_by is not process or fate.removed_at is not None
        is_recovered = process.node.replicator.incarnation != fate.id.incarnation
        if not is_committed and not is_recovered:
            have = sorted(fate.nodes(now - lost_lately_s))
            require(len(have) >= self._scenario.copies, f"{process} delivers {fate} too early: held by {have}")

    def _check_not_removed(self, now: float, process: Process, fate: Fate) -> None:
        """See that an acknowledged message is delivered only where no process that knew better could be asked."""
        knew = fate.knowers.get(process, now) < now  # else it was removed later in the turn
        require(not knew, f"{process} delivers {fate}, which it knew as removed")
        if fate.acked_at is None or process in fate.knowers:
            return
        for confirmer in fate.confirmers:
            knew = confirmer.is_alive and confirmer.id != process.id
            if (
                knew
                and self._is_asked(process, confirmer)
                and self._network.is_clean(process, confirmer, process.born_at)
            ):
                require(not knew, f"{process} delivers {fate}, though {confirmer} knew it as acknowledged")
        self._trace.counts["acknowledged, delivered again lawfully"] += 1

    def _is_asked(self, process: Process, confirmer: Process) -> bool:
        """Return True if the process has its session with this very process of that node, or none at all."""
        progress = process.node.replicator.progress.get(confirmer.id)
        return progress is None or progress.link.process.boot == confirmer.node.cluster.boot
