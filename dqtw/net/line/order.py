"""The order on one line connection: what may start behind what, and which answer is due next.

Commands are carried out in the order in which they were sent. Neighbours that change the queue are carried out
together, so that a client who pipelines them shares one request to the peers; nothing is started behind a command
that waits, so that no lease runs while its delivery is stuck behind a long poll.
"""

from collections import deque
from enum import Enum
from typing import Final

from attrs import define

from dqtw.core.model.commands import Ack, Delivered, Get, Nack, Outcome, Push, Touch
from dqtw.driver import Ticket
from dqtw.wire.line.answers import render
from dqtw.wire.line.requests import Request, Simple

gets_together_max: Final = 16  # bounds the bodies that come at once for a client that may not read them


class Kind(Enum):
    """How a request stands to those around it."""

    CHANGE = "change"
    WAITING_PUSH = "waiting push"
    GET = "get"
    WAITING_GET = "waiting get"
    ALONE = "alone"  # tells or does something that must come after all before it
    AT_ONCE = "at once"  # touches nothing: only its answer has a place


_joins: Final = {
    Kind.CHANGE: {Kind.CHANGE, Kind.WAITING_PUSH},
    Kind.WAITING_PUSH: {Kind.WAITING_PUSH},
    Kind.GET: {Kind.GET},
    Kind.WAITING_GET: set[Kind](),
}


def kind_of(request: Request) -> Kind:
    """How this request stands to those around it."""
    match request:
        case Push():
            return Kind.WAITING_PUSH if request.wait_s > 0 else Kind.CHANGE
        case Get():
            return Kind.WAITING_GET if request.wait_s > 0 else Kind.GET
        case Ack() | Nack() | Touch():
            return Kind.CHANGE
        case Simple.STATS | Simple.QUIT:
            return Kind.ALONE
    return Kind.AT_ONCE


@define(eq=False)
class Due:
    """One request that is owed an answer.

    Attributes:
        kind: how it stands to those around it.
        held_bytes: what it keeps in memory: a body on its way to the node, or the answer's.
        ack_now: the request is a get whose message is removed at delivery.
        answer: the outcome, or the bytes that say it; None as long as there is none.
        ticket: by which the driver knows it.
    """

    kind: Kind
    held_bytes: int = 0
    ack_now: bool = False
    answer: Outcome | bytes | None = None
    ticket: Ticket = 0

    def pieces(self) -> tuple[bytes, ...]:
        """Return the answer, to be written."""
        assert self.answer is not None
        return (self.answer,) if isinstance(self.answer, bytes) else render(self.answer, ack_now=self.ack_now)


class DueAnswers:
    """The answers that one connection is owed, oldest first.

    Attributes:
        held_bytes: what all of them keep in memory.
        in_flight: how many of them the node has not answered yet.
    """

    def __init__(self) -> None:
        self.held_bytes = 0
        self.in_flight = 0
        self._due: deque[Due] = deque()
        self._last_kind = Kind.CHANGE

    def __len__(self) -> int:
        return len(self._due)

    def may_start(self, kind: Kind) -> bool:
        """Whether a request of this kind may start now, behind those that are under way."""
        if not self.in_flight or kind is Kind.AT_ONCE:
            return True
        if kind is Kind.GET and self.in_flight >= gets_together_max:
            return False
        return kind in _joins[self._last_kind]

    def start(self, kind: Kind, held_bytes: int, *, ack_now: bool = False) -> Due:
        """Make a place for the answer of a request that goes to the node."""
        due = Due(kind, held_bytes, ack_now)
        self._append(due)
        self.in_flight += 1
        self._last_kind = kind
        return due

    def say(self, answer: bytes) -> None:
        """Put an answer that is known already behind all others."""
        self._append(Due(Kind.AT_ONCE, len(answer), answer=answer))

    def answer(self, due: Due, outcome: Outcome) -> None:
        """This one is answered; it is written when all before it are."""
        self.held_bytes -= due.held_bytes
        due.held_bytes = _body_bytes(outcome)
        self.held_bytes += due.held_bytes
        due.answer = outcome
        self.in_flight -= 1

    def take(self) -> list[bytes]:
        """Take out the answers whose turn it is, as pieces to be written."""
        pieces: list[bytes] = []
        while self._due and self._due[0].answer is not None:
            due = self._due.popleft()
            self.held_bytes -= due.held_bytes
            pieces += due.pieces()
        return pieces

    def unanswered(self) -> list[Due]:
        """Those under way in the node."""
        return [due for due in self._due if due.answer is None]

    def abandon(self) -> list[Delivered]:
        """The client is gone: forget all, and tell which deliveries it never got."""
        lost = [due.answer for due in self._due if isinstance(due.answer, Delivered) and due.answer.deliveries]
        self._due.clear()
        self.held_bytes = self.in_flight = 0
        return lost

    def _append(self, due: Due) -> None:
        self._due.append(due)
        self.held_bytes += due.held_bytes


def _body_bytes(outcome: Outcome) -> int:
    if not isinstance(outcome, Delivered):
        return 0
    return sum(len(delivery.message.body) for delivery in outcome.deliveries)
