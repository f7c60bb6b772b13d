"""The calls of this node on one link, and what the node at its other end has reported to be ready there.

What a node has ready is taken to be its last report, less what came from there since. That may be too much, because
other nodes get messages there as well; then a get comes back empty, and is not repeated before the next report. It is
never taken to be nothing before a get, or a report, has shown that nothing is left. Else a poll could wait beside a
message that was ready all along: its count does not rise from 0, and so is not reported.
"""

from collections import deque
from typing import Final

from attrs import define, field

from dqtw.core.forwarding.calls import Link, body_bytes, calls_max, split
from dqtw.core.forwarding.remote_gets import Completion, RemoteGet
from dqtw.core.links.frames import Forward
from dqtw.core.model.commands import (
    Command,
    Complete,
    Delivered,
    Done,
    Get,
    GiveBack,
    Inspect,
    Inspected,
    Outcome,
    Push,
    Pushed,
)
from dqtw.core.model.deadlines import Deadlines
from dqtw.core.model.errors import OwnerDown, PeerFault, Refusal, Uncertain

queue_default: Final = "default"

_success: Final[dict[type[Command], type[Outcome]]] = {Push: Pushed, Get: Delivered, Inspect: Inspected}


@define(eq=False)
class Call:
    """One command for another node, until its outcome is known.

    Attributes:
        purpose: the ticket of the client that gets the outcome, or what the call is a part of; None for a give back.
        number: None until it is sent.
    """

    calls: "LinkCalls"
    command: Command
    purpose: int | RemoteGet | Completion | None
    number: int | None = None

    def lost(self) -> Refusal:
        """Return what is known of the command when there can be no outcome any more."""
        if self.number is None:
            return OwnerDown("the node that must answer this can't be reached; nothing was asked of it")
        return Uncertain("the node that must answer this was asked, and its answer was lost")


@define(eq=False)
class LinkCalls:
    """The calls on one link, and what was reported on it; made anew for each link.

    Attributes:
        unsent: in order, what waits for the next `send` or for others to end. Calls that are over stay in it.
        under_way: the calls that were sent and have no outcome, by number.
        last: the number of the last call that was sent.
        gets: how many gets for polls are unsent or under way.
        ready: by queue, how many messages that node may have ready.
        reports: how many reports of ready messages came.
        interest: the version of the interest that was sent last.
    """

    link: Link
    unsent: deque[Call] = field(factory=deque)
    under_way: dict[int, Call] = field(factory=dict)
    last: int = 0
    gets: int = 0
    ready: dict[str, int] = field(factory=dict)
    reports: int = 0
    interest: int = 0

    @property
    def room(self) -> int:
        """Return how many more calls may begin."""
        return calls_max - len(self.unsent) - len(self.under_way)

    def check(self, number: int, outcome: Outcome) -> None:
        """Check that a peer may answer this call in this way; one that was given up is not remembered.

        Raises:
            PeerFault: the call was never made, or this is not an outcome of such a command.
        """
        call = self.under_way.get(number)
        is_possible = number <= self.last if call is None else _fits(call.command, outcome)
        if not is_possible:
            raise PeerFault(f"call {number} has {type(outcome).__name__} for an outcome")

    def got(self, reports: int, outcome: Outcome) -> None:
        """End a get, and note what its outcome shows of the messages that are ready there.

        A report that came since the get was sent, when the number of reports was ``reports``, may be newer.
        """
        self.gets -= 1
        ready, is_latest = self.ready.get(queue_default, 0), self.reports == reports
        if isinstance(outcome, Delivered) and outcome.deliveries:
            ready = max(ready - len(outcome.deliveries), 1) if ready or is_latest else 0
        elif isinstance(outcome, Uncertain):
            ready = min(ready, 1)
        elif is_latest:
            ready = 0
        self.ready[queue_default] = ready

    def send(self, unfinished: Deadlines[Call]) -> None:
        """Send what waits and is not over, as far as the bound allows."""
        sent: list[Call] = []
        while self.unsent and len(self.under_way) + len(sent) < calls_max:
            call = self.unsent.popleft()
            match call:
                case Call(command=Complete(receipt=receipt), purpose=Completion(is_wanted=False)):
                    call.command, call.purpose = GiveBack(receipt), None
            if call in unfinished:
                sent.append(call)
        for part in split(sent, lambda call: body_bytes(call.command)):
            for call in part:
                call.number = self.last = self.link.next_call()
                self.under_way[self.last] = call
            self.link.send(Forward(self.last - len(part) + 1, [call.command for call in part]))


def _fits(command: Command, outcome: Outcome) -> bool:
    """Return True if a command of that kind may have such an outcome."""
    if isinstance(outcome, Delivered) and isinstance(command, Get):
        return len(outcome.deliveries) <= command.count_max
    return isinstance(outcome, (Refusal, _success.get(type(command), Done)))
