"""Commands that peers have forwarded to this node: carried out here, answered on the link on which they came.

Each command has a ticket below 0, as no command of a client has. A command with such a ticket is never forwarded
further, whatever this node takes for the home of its key. The ids in it are a client's: they say nothing about
incarnations. Values (lengths, ids, seconds) were checked when the frame was decoded.
"""

from collections.abc import Iterable

from attrs import define, field
from msgspec.structs import replace

from dqtw.core.forwarding.calls import Link, body_bytes, calls_max, split
from dqtw.core.links.frames import Forward, Forwarded, to_outcome
from dqtw.core.model.commands import (
    Ack,
    Command,
    Complete,
    Delivered,
    Get,
    GiveBack,
    Inspect,
    Nack,
    Outcome,
    Touch,
)
from dqtw.core.model.errors import Busy, OwnerDown, PeerFault
from dqtw.core.model.message import MessageId, number_max


@define(eq=False)
class Served:
    """The calls from one link; made anew for each link.

    Attributes:
        last: the number of the last call that came.
        tickets: of the commands that have no outcome yet.
        outcomes: those not sent yet, by the numbers of their calls, in the order in which they were reached.
    """

    last: int = 0
    tickets: set[int] = field(factory=set)
    outcomes: list[tuple[int, Outcome]] = field(factory=list)


class Inbound:
    """The commands of peers that this node carries out.

    Args:
        node: this node's id.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._links: dict[Link, Served] = {}  # the links on which a call came
        self._calls: dict[int, tuple[Served, int]] = {}  # by ticket: where the outcome goes, and its call's number
        self._last_ticket = 0  # counts down

    @property
    def is_quiet(self) -> bool:
        """Return True if no command of a peer is without an answer that was sent."""
        return not self._calls and not any(served.outcomes for served in self._links.values())

    def begin(self, link: Link, frame: Forward) -> list[tuple[int, Command]]:
        """Return the commands of a frame that are to be carried out here and now, each with its ticket.

        The others are refused; their outcomes go with the next `pump`.

        Raises:
            PeerFault: the numbers of these calls are not greater than all before.
        """
        served = self._links.setdefault(link, Served())
        end = frame.first + len(frame.commands)
        if frame.first <= served.last or end > number_max:
            raise PeerFault(f"calls from number {frame.first} after number {served.last}")
        served.last = end - 1
        commands: list[tuple[int, Command]] = []
        for number, command in enumerate(frame.commands, frame.first):
            id = _id_in(command)
            if id is not None and id.node != self._node:
                served.outcomes.append((number, OwnerDown(f"a command about {id} came to node {self._node}")))
            elif len(served.tickets) >= calls_max:
                served.outcomes.append((number, Busy(f"{calls_max} commands of one node are under way")))
            else:
                self._last_ticket -= 1
                self._calls[self._last_ticket] = served, number
                served.tickets.add(self._last_ticket)
                is_get = isinstance(command, Get)  # its client waits where it is
                commands.append((self._last_ticket, replace(command, wait_s=0.0) if is_get else command))
        return commands

    def answer(self, ticket: int, outcome: Outcome) -> list[GiveBack]:
        """Take the outcome of a command; return what to undo, since its link is down."""
        call = self._calls.pop(ticket, None)
        if call is None:
            return _give_backs([outcome])
        served, number = call
        served.tickets.discard(ticket)
        served.outcomes.append((number, outcome))
        return []

    def pump(self) -> None:
        """Send all outcomes that this turn has brought."""
        for link, served in self._links.items():
            for part in split(served.outcomes, lambda each: body_bytes(each[1])):
                link.send(Forwarded([(number, to_outcome(outcome)) for number, outcome in part]))
            served.outcomes.clear()

    def link_down(self, link: Link) -> list[GiveBack]:
        """Forget the calls from a link; return what to undo: deliveries that were not sent.

        The lease of a delivery that was sent, and may be lost, ends by itself.
        """
        served = self._links.pop(link, Served())
        for ticket in served.tickets:
            del self._calls[ticket]
        return _give_backs(outcome for _, outcome in served.outcomes)


def _id_in(command: Command) -> MessageId | None:
    match command:
        case Ack() | Inspect():
            return command.id
        case Nack() | Touch() | GiveBack() | Complete():
            return command.receipt.id
    return None


def _give_backs(outcomes: Iterable[Outcome]) -> list[GiveBack]:
    delivered = (each for each in outcomes if isinstance(each, Delivered))
    return [GiveBack(delivery.receipt) for each in delivered for delivery in each.deliveries]
