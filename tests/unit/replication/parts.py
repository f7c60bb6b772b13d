"""What the world of the scenario tests is made of: a client's request, a running node, one thing on its way."""

from typing import Any

from attrs import define, field, frozen

from dqtw.core.model.commands import Delivered, Delivery, Outcome, Pushed
from dqtw.core.model.errors import Refusal
from dqtw.core.model.message import MessageId
from dqtw.core.node import Node


@define(eq=False)
class Ticket:
    """A client's request, and what it was answered; a request is answered once."""

    number: int
    outcome: Outcome | None = None

    @property
    def code(self) -> str:
        """The word for what was answered: a refusal's code, or the kind of success; empty so far."""
        outcome = self.outcome
        return outcome.code if isinstance(outcome, Refusal) else type(outcome).__name__ if outcome else ""

    @property
    def id(self) -> MessageId:
        """The id that a push got."""
        assert isinstance(self.outcome, Pushed), self.outcome
        return self.outcome.id

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What a get brought."""
        assert isinstance(self.outcome, Delivered), self.outcome
        return self.outcome.deliveries

    @property
    def bodies(self) -> list[bytes]:
        """The messages that a get brought."""
        return [each.message.body for each in self.deliveries]


@define(eq=False)
class Process:
    """One running node, with a clock of its own that never goes back."""

    address: str
    node: Node
    zero: float
    latest: float
    is_paused: bool = False
    inbox: list["Item"] = field(factory=list)


@frozen(eq=False)
class Item:
    """One request on its way to an address, or one answer on its way back."""

    asker: Process
    address: str
    call: int
    what: Any  # a PeerRequest, or a PeerAnswer
    is_answer: bool = False
