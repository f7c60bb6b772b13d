"""Gets for which other nodes are asked, and what the clients of forwarded requests get in the end."""

from collections.abc import Iterator
from typing import Protocol, TypeAlias

from attrs import define, field, frozen

from dqtw.core.model.commands import Delivered, Delivery, Done, Get, Outcome
from dqtw.core.model.errors import LeaseLost, Uncertain, Unknown
from dqtw.core.model.message import Receipt


class Poll(Protocol):
    """One get that waits on this node."""

    @property
    def ticket(self) -> int:
        """Return the ticket of its client."""

    @property
    def command(self) -> Get:
        """Return the get."""

    @property
    def until(self) -> float:
        """Return the moment at which it gives up."""


class Polls(Protocol):
    """The gets that wait on this node, in order.

    The owner answers them from its own messages and when their time is over. A poll that was answered, or withdrawn,
    is not among them any more, and that is how this package learns of it.
    """

    def __contains__(self, ticket: int) -> bool: ...

    def __iter__(self) -> Iterator[Poll]: ...

    def leave(self, ticket: int) -> bool:
        """Take a poll out; return False if it is not among them."""


@frozen
class Answered:
    """The client with this ticket gets this outcome."""

    ticket: int
    outcome: Outcome


@frozen
class Again:
    """A get must be carried out anew, here or elsewhere, until the same moment: what it had leased is not for it.

    It is not among the polls any more.
    """

    ticket: int
    get: Get
    until: float


Result: TypeAlias = Answered | Again


@define(eq=False)
class RemoteGet:
    """A poll for which other nodes are asked, one after the other.

    Attributes:
        left: the nodes that are still to be asked, the next one last.
        reports: how many reports of ready messages the present link had brought when the get was sent there.
    """

    poll: Poll
    left: list[str]
    reports: int = 0


@define(eq=False)
class Completion:
    """A poll with ``ack_now`` whose deliveries are removed at their owner before its client gets any of them.

    Attributes:
        poll: it is not among the polls any more.
        deliveries: by receipt, in the order of the queue.
        undecided: how many removals have no outcome yet.
        removed: the receipts of what this very get has removed, so that no other client gets it.
        is_in_doubt: of some removals it is not known, and never will be.
        is_wanted: its client is there, and gets what is removed.
    """

    poll: Poll
    deliveries: dict[Receipt, Delivery]
    undecided: int
    removed: set[Receipt] = field(factory=set)
    is_in_doubt: bool = False
    is_wanted: bool = True

    def take(self, receipt: Receipt, outcome: Outcome) -> bool:
        """Note the outcome of one removal; return True if the message is leased still, to be given back.

        Without its lease the message was removed by others, or is delivered to them.
        """
        self.undecided -= 1
        if isinstance(outcome, Done):
            self.removed.add(receipt)
        elif isinstance(outcome, Uncertain):
            self.is_in_doubt = True
        return not isinstance(outcome, Done | Uncertain | Unknown | LeaseLost)

    def result(self, now: float) -> Result:
        """Return what becomes of the poll when each removal has its outcome."""
        removed = tuple(each for receipt, each in self.deliveries.items() if receipt in self.removed)
        if removed:
            return Answered(self.poll.ticket, Delivered(removed))
        if self.is_in_doubt:
            why = "the message was to be removed at delivery; whether it was is not known"
            return Answered(self.poll.ticket, Uncertain(why))
        if now >= self.poll.until:
            return Answered(self.poll.ticket, Delivered())
        return Again(self.poll.ticket, self.poll.command, self.poll.until)
