"""What is handed out: to one worker at a time, by an owner that still is one, and never what is known to be done."""

from collections.abc import Callable

from dqtw.core.model.commands import Delivered, Delivery, Get, State
from dqtw.core.model.message import MessageId
from tests.simulation.leases import Leases
from tests.simulation.ledger import Fate, Ledger
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.requests import Request, Requests
from tests.simulation.trace import Trace, short
from tests.simulation.violation import require

in_doubt_after_s = 3.0
found_within_s = 0.5

Acked = Callable[[float, Fate, Request], None]


class Deliveries:
    """Judges what gets are answered."""

    def __init__(
        self, ledger: Ledger, requests: Requests, network: Network, trace: Trace, acked: Acked, *, quiet: bool
    ) -> None:
        self.leases = Leases()
        self._ledger = ledger
        self._requests = requests
        self._network = network
        self._trace = trace
        self._acked = acked
        self._quiet = quiet
        self._confirmed: dict[tuple[Process, str], tuple[float, float]] = {}
        self._taken: dict[Process, dict[MessageId, None]] = {}
        self._delivered_last: dict[Process, int] = {}
        self._ready_since: dict[Process, float] = {}

    def die(self, process: Process) -> None:
        """Nothing will be handed out there any more."""
        self._taken.pop(process, None)
        self.leases.die(process)

    def confirm(self, owner: Process, peer: str, sent_at: float) -> None:
        """A peer has answered what its owner asked at that moment of its own clock."""
        asked_at, _ = self._confirmed.get((owner, peer), (sent_at, 0.0))
        self._confirmed[owner, peer] = max(asked_at, sent_at), owner.now

    def judge(self, now: float, request: Request, get: Get, outcome: Delivered) -> None:
        """A get is answered.

        Raises:
            Violation: with what must not be handed out there, or not now.
        """
        process = request.process
        if self._quiet and request.source is None and not outcome.deliveries:
            self._check_nothing_was_there(now, request, get)
        count = len(outcome.deliveries)
        require(count <= get.count_max, f"{process} hands out {count} messages, {get.count_max} were asked for")
        for delivery in outcome.deliveries:
            id = delivery.receipt.id
            fate = self._ledger.meet(now, id, delivery.message, process)
            self._trace.counts["delivered"] += request.source is None
            if id.node == process.id:
                self._handed_out(now, request, get, delivery, fate)
            if get.ack_now:
                self._taken.get(process, {}).pop(id, None)
                require(
                    fate.removed_at is not None, f"{process} has handed {fate} out for good, but has not removed it"
                )
                self._acked(now, fate, request)

    def _check_nothing_was_there(self, now: float, request: Request, get: Get) -> None:
        """In a quiet world, nobody waits or asks in vain while messages are ready somewhere."""
        if get.ack_now and get.wait_s == 0:  # what it was brought may have been acknowledged before it was removed
            return
        for process, since in self._ready_since.items():
            had_s = now - (since if get.wait_s == 0 else max(since, request.begun_at))
            require(had_s < found_within_s, f"{request.process} found nothing, and {process} had it for {had_s:.1f} s")

    def note_ready(self, now: float, process: Process) -> None:
        """Remember since when a process has had something to hand out."""
        if process.node.owner.queue.count(State.READY):
            self._ready_since.setdefault(process, now)
        else:
            self._ready_since.pop(process, None)

    def _handed_out(self, now: float, request: Request, get: Get, delivery: Delivery, fate: Fate) -> None:
        """The owner has given a message away."""
        process = request.process
        if self._quiet and fate.first_delivered_at is None and not get.ack_now:
            last = self._delivered_last.get(process, 0)
            require(fate.id.n > last, f"{process} has delivered {last} before {fate}")
            self._delivered_last[process] = fate.id.n
        fate.first_delivered_at = now if fate.first_delivered_at is None else fate.first_delivered_at
        require(
            fate.answered_at is not None or self._may_be_unanswered(fate, process), f"{process} leased {fate} early"
        )
        if not get.ack_now:
            self.leases.begin(process, get, delivery)
            self.check_confirmed(process, f"leases {fate}")
            if fate.acked_at is not None:
                self._check_resurrected(fate, process)

    def _may_be_unanswered(self, fate: Fate, process: Process) -> bool:
        """A message that this process itself took in is shown to workers when it is answered, not before."""
        return fate.admitted_by is not process or fate.is_uncertain

    def check_confirmed(self, process: Process, what: str) -> None:
        """See that an owner that does something has been confirmed by its peers of late.

        Raises:
            Violation: it may have been replaced meanwhile, and has not asked.
        """
        for opener in process.node.owner.links:
            if opener.in_session:
                peer = opener.peer.id
                require(self._is_confirmed(process, peer), f"{process} {what}, though {peer} has not confirmed of late")

    def check_copies_confirmed(self, process: Process, copies: int, what: str) -> None:
        """See that an owner that takes something in can have its copies of peers that have confirmed it of late.

        Raises:
            Violation: it may have been replaced meanwhile, and has not asked.
        """
        sure = 1 + sum(self._is_confirmed(process, opener.peer.id) for opener in process.node.owner.links)
        require(sure >= copies, f"{process} {what}, though only {sure} nodes, itself too, have confirmed of late")

    def _is_confirmed(self, process: Process, peer: str) -> bool:
        """Whether it has: a slow answer will do, but none to what was asked before the process stood still."""
        asked, heard = self._confirmed.get((process, peer), (-1e9, -1e9))
        is_slow = process.now - heard < in_doubt_after_s and asked >= process.at(process.stood_still_until)
        return process.now - asked <= in_doubt_after_s + 1e-6 or is_slow

    def _check_resurrected(self, fate: Fate, process: Process) -> None:
        """An acknowledged message is only delivered again when nobody who knew better could be asked."""
        for confirmer in fate.confirmers:
            knew = confirmer.is_alive and confirmer is not process and confirmer.id != process.id
            if knew and _answers(process, confirmer) and self._network.is_clean(process, confirmer, process.born_at):
                require(not knew, f"{process} delivers {fate}, though {confirmer} knew it as acknowledged")
        require(process not in fate.confirmers, f"{process} delivers {fate}, which it knew as acknowledged")
        self._trace.counts["acknowledged, delivered again lawfully"] += 1

    # Removed at delivery.

    def take_out(self, fate: Fate, process: Process) -> bool:
        """Whether a get that removes at delivery can be why a message was removed there."""
        request = self._requests.takes_out(process)
        if request is not None:
            fate.removers[request] = request.begun_at
            self._taken.setdefault(process, {})[fate.id] = None
        return request is not None

    def forget_taken(self, process: Process) -> None:
        """The client of such a get was told that it can't be known what it removed."""
        self._taken.pop(process, None)

    def check_all_handed_out(self, process: Process) -> None:
        """See that what was removed at delivery was delivered.

        Raises:
            Violation: it was removed for nobody.
        """
        taken = self._taken.get(process)
        if taken and self._requests.takes_out(process) is None:
            for id in taken:
                fate = self._ledger.fates[id]
                withdrawn = fate.withdrawn_by is not None or fate.is_uncertain
                require(withdrawn, f"{process} has removed {short(id)}, and has handed it to nobody")


def _answers(process: Process, confirmer: Process) -> bool:
    """Whether it is this process of its node that answers there, if one has: of two, only one can be asked."""
    return process.node.peers[confirmer.id].boot in ("", confirmer.node.boot)
