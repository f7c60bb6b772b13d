"""Who has which message leased: told by what the owners answer, not by what they believe."""

from collections import Counter

from attrs import define

from dqtw.core.model.commands import Complete, Delivery, Done, Get, GiveBack, Inspected, Nack, Outcome, State, Touch
from dqtw.core.model.errors import LeaseLost
from dqtw.core.model.message import MessageId, Receipt
from tests.simulation.process import Process
from tests.simulation.trace import short
from tests.simulation.violation import require

tolerance_s = 1e-3


@define
class Lease:
    """One message in one worker's hands, until a moment of its owner's clock."""

    token: str
    lease_s: float
    until: float


class Leases:
    """The leases that each process has given, the delays it was asked for, and how often it has delivered what."""

    def __init__(self) -> None:
        self._leases: dict[tuple[Process, MessageId], Lease] = {}
        self._delayed_until: dict[tuple[Process, MessageId], float] = {}
        self._attempts: Counter[tuple[Process, MessageId]] = Counter()

    def begin(self, process: Process, get: Get, delivery: Delivery) -> None:
        """A message was handed out.

        Raises:
            Violation: somebody else has it, from the same process; or it was delayed; or what is told of it is not so.
        """
        receipt, key = delivery.receipt, (process, delivery.receipt.id)
        left = self._left_s(process, receipt.id)
        require(left < tolerance_s, f"{process} has leased {short(receipt.id)} twice, the first for {left:.3f} s more")
        delay = self._delayed_until.pop(key, process.now) - process.now
        require(
            delay < tolerance_s, f"{process} has leased {short(receipt.id)} {delay:.3f} s before its delay was over"
        )
        lease_s = process.settings.lease_s if get.lease_s is None else get.lease_s
        require(delivery.lease_s == lease_s, f"{process} leases {short(receipt.id)} for {delivery.lease_s} s")
        self._attempts[key] += 1
        attempts = self._attempts[key]
        require(delivery.attempt == attempts, f"{process} calls {delivery.attempt} what is attempt {attempts}")
        self._leases[key] = Lease(receipt.token, delivery.lease_s, process.now + delivery.lease_s)

    def _left_s(self, process: Process, id: MessageId) -> float:
        """For how long a message is leased still, by its owner's clock."""
        held = self._leases.get((process, id))
        return 0.0 if held is None else held.until - process.now

    def check_ends(self, process: Process) -> None:
        """Look at all that is no longer leased, nor delayed.

        Raises:
            Violation: it is hidden from workers still.
        """
        over = [id for (at, id), lease in self._leases.items() if at is process and lease.until < process.now]
        late = [id for (at, id), until in self._delayed_until.items() if at is process and until < process.now]
        for id in [*over, *late]:
            entry = process.node.owner.queue._entries.get(id[1:])
            is_hidden = entry is not None and entry.state in (State.LEASED, State.DELAYED)
            is_delayed = self._delayed_until.get((process, id), 0.0) > process.now - tolerance_s
            is_leased = self._left_s(process, id) > -tolerance_s
            require(
                not is_hidden or is_delayed or is_leased, f"{process} hides {short(id)} though nobody has it leased"
            )

    def check_taken_out(self, process: Process, receipt: Receipt, removed_at: float | None) -> None:
        """A message was removed for the get that had it leased.

        Raises:
            Violation: it was not removed, or was in nobody's or in other hands by then.
        """
        held = self._leases.get((process, receipt.id))
        was_his = held is not None and held.token == receipt.token
        in_time = held is not None and removed_at is not None and held.until - process.at(removed_at) > -tolerance_s
        require(was_his and in_time, f"{process} has removed {short(receipt.id)} for a get whose lease was over")

    def check_inspected(self, process: Process, id: MessageId, told: Inspected) -> None:
        """A client was told about a message.

        Raises:
            Violation: what it was told is not so.
        """
        attempts = self._attempts[process, id]
        require(
            told.attempts == attempts, f"{process} tells of {told.attempts} attempts of {short(id)}, not {attempts}"
        )
        left, delay = self._left_s(process, id), self._delayed_until.get((process, id), 0.0) - process.now
        if left > tolerance_s or delay > tolerance_s:
            hidden = State.LEASED if left > tolerance_s else State.DELAYED
            require(told.state is hidden, f"{process} says that {short(id)} is {told.state.value}, not {hidden.value}")
        elif left < -tolerance_s and delay < -tolerance_s:
            shown = told.state in (State.READY, State.WAITING)
            require(shown, f"{process} says that {short(id)} is {told.state.value}, and nobody has it")

    def judge(self, process: Process, command: Nack | Touch | GiveBack | Complete, outcome: Outcome) -> None:
        """A worker has used its receipt.

        Raises:
            Violation: the lease was said to be lost, or not lost, and that is not so.
        """
        receipt = command.receipt
        held = self._leases.get((process, receipt.id))
        is_valid = held is not None and held.token == receipt.token and held.until - process.now > tolerance_s
        if isinstance(outcome, LeaseLost):
            require(not is_valid, f"{process} says that the lease of {short(receipt.id)} is lost, and it is not")
        if isinstance(outcome, Done):
            is_over = held is None or held.token != receipt.token or held.until - process.now < -tolerance_s
            require(not is_over, f"{process} took a receipt of {short(receipt.id)} whose lease is over")
            assert held is not None
            self._use(process, command, held)

    def _use(self, process: Process, command: Nack | Touch | GiveBack | Complete, held: Lease) -> None:
        key = process, command.receipt.id
        if isinstance(command, Touch):
            held.until = process.now + (held.lease_s if command.lease_s is None else command.lease_s)
            return
        del self._leases[key]
        self._attempts[key] -= isinstance(command, GiveBack)
        if isinstance(command, Nack) and command.delay_s > 0:
            self._delayed_until[key] = process.now + command.delay_s

    def undo(self, process: Process, receipt: Receipt) -> None:
        """Note that a delivery reached no client."""
        held = self._leases.get((process, receipt.id))
        if held is not None and held.token == receipt.token and held.until - process.now > -tolerance_s:
            self._use(process, GiveBack(receipt), held)

    def die(self, process: Process) -> None:
        """Leases die with the process that gave them."""
        for kept in (self._leases, self._delayed_until, self._attempts):
            for key in [key for key in kept if key[0] is process]:
                del kept[key]
