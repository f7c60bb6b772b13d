"""Who has which message leased: told by what the owners answer, not by what they believe."""

from attrs import define

from dqtw.core.commands import Complete, Delivery, Done, GiveBack, Nack, Outcome, Touch
from dqtw.core.errors import LeaseLost
from dqtw.core.message import MessageId, Receipt
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
    """The leases that each process has given."""

    def __init__(self) -> None:
        self._leases: dict[tuple[Process, MessageId], Lease] = {}

    def begin(self, process: Process, delivery: Delivery) -> None:
        """A message was handed out.

        Raises:
            Violation: somebody else has it, from the same process.
        """
        receipt, now = delivery.receipt, process.now
        held = self._leases.get((process, receipt.id))
        left = 0.0 if held is None else held.until - now
        require(left < tolerance_s, f"{process} has leased {short(receipt.id)} twice, the first for {left:.3f} s more")
        self._leases[process, receipt.id] = Lease(receipt.token, delivery.lease_s, now + delivery.lease_s)

    def check_taken_out(self, process: Process, receipt: Receipt, removed_at: float | None) -> None:
        """A message was removed for the get that had it leased.

        Raises:
            Violation: it was not removed, or was in nobody's or in other hands by then.
        """
        held = self._leases.get((process, receipt.id))
        was_his = held is not None and held.token == receipt.token
        in_time = held is not None and removed_at is not None and held.until - process.at(removed_at) > -tolerance_s
        require(was_his and in_time, f"{process} has removed {short(receipt.id)} for a get whose lease was over")

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
            if isinstance(command, Touch):
                length_s = held.lease_s if command.lease_s is None else command.lease_s
                held.until = process.now + length_s
            else:
                self.end(process, receipt)

    def end(self, process: Process, receipt: Receipt) -> None:
        """The worker has given it up."""
        del self._leases[process, receipt.id]

    def die(self, process: Process) -> None:
        """Leases die with the process that gave them."""
        for key in [key for key in self._leases if key[0] is process]:
            del self._leases[key]
