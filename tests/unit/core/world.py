"""A node and nobody around it but the test: a hand-run clock, seeded entropy, and who was answered what."""

from random import Random
from typing import TypeVar

from dqtw.core.effects import Answer, Departure, Event
from dqtw.core.model.commands import (
    Ack,
    Command,
    Delivered,
    Delivery,
    Done,
    Get,
    Inspect,
    Inspected,
    Outcome,
    Push,
    Pushed,
    State,
)
from dqtw.core.model.errors import Refusal
from dqtw.core.model.message import MessageId, Receipt
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.core.queue.owner import Owner

wall_ms = 1_700_000_000_000

O = TypeVar("O", bound=Outcome)  # noqa: E741


class World:
    """One node of a cluster of one, as its clients see it.

    Attributes:
        now: the monotonic clock; it runs only in `World.sleep`.
        answers: what each ticket was answered, in the order of the answers.
        departure: how the node may go; None: it stays.
        events: what was logged.
    """

    def __init__(self, settings: NodeSettings | None = None, seed: int = 1) -> None:
        self.now = 1000.0
        self.answers: dict[int, Outcome] = {}
        self.departure: Departure | None = None
        self.events: list[str] = []
        self.node = Node(0.0, settings or NodeSettings(), Random(seed).randbytes, wall_ms)
        self._tickets = 0
        self._gone: set[int] = set()

    # What a client does.

    def ask(self, command: Command) -> int:
        """Send a command; its ticket."""
        self._tickets += 1
        self.node.command(self.now, self._tickets, command)
        self._collect()
        return self._tickets

    def tell(self, command: Command) -> Outcome:
        """Send a command that must be answered at once; the answer."""
        return self.answers[self.ask(command)]

    def leave(self, ticket: int) -> bool:
        """The client of this ticket hangs up; whether its request was only waiting."""
        waited = self.node.withdraw(self.now, ticket)
        if waited:
            self._gone.add(ticket)
        self._collect()
        return waited

    def sleep(self, seconds: float) -> None:
        """Let time pass; the node is woken at each of its deadlines, as the driver does it."""
        until = self.now + seconds
        while (due := self.node.next_deadline(self.now)) is not None and due <= until:
            self.now = max(self.now, due)
            self.node.tick(self.now)
            self._collect()
        self.now = until

    def oversleep(self, seconds: float) -> None:
        """Let time pass without waking the node: its timer is late."""
        self.now += seconds

    def drain(self) -> None:
        """Ask the node to leave."""
        self.node.drain(self.now)
        self._collect()

    # Shorthand for requests that are answered at once.

    def push(self, body: bytes = b"", *, key: str | None = None) -> MessageId:
        """Push a message that is taken; its id."""
        return expect(Pushed, self.tell(Push(body, key=key))).id

    def get(self, count: int = 1, *, lease_s: float | None = None, ack_now: bool = False) -> list[Delivery]:
        """Get what is ready."""
        return list(expect(Delivered, self.tell(Get(count, lease_s=lease_s, ack_now=ack_now))).deliveries)

    def get_one(self, *, lease_s: float | None = None) -> Delivery:
        """Get the one message that is delivered next."""
        (delivery,) = self.get(lease_s=lease_s)
        return delivery

    def bodies(self, count: int = 1000) -> list[bytes]:
        """Get the bodies of what is ready."""
        return [delivery.message.body for delivery in self.get(count)]

    def ack(self, id: MessageId) -> None:
        """Acknowledge a message that is on the queue."""
        expect(Done, self.tell(Ack(id)))

    def inspect(self, id: MessageId) -> Inspected:
        """Look at a message that is on the queue."""
        return expect(Inspected, self.tell(Inspect(id)))

    def state(self, id: MessageId) -> State:
        """Where a message that is on the queue stands."""
        return self.inspect(id).state

    def refused(self, command: Command) -> str:
        """Send a command that must be refused at once; the code."""
        return code(self.tell(command))

    # What may be looked at.

    @property
    def owner(self) -> Owner:
        """The inside of the node, for what no client can see."""
        return self.node.owner

    def is_answered(self, ticket: int) -> bool:
        """Whether the ticket has its answer."""
        return ticket in self.answers

    def brought(self, ticket: int) -> list[bytes]:
        """The bodies that a get brought."""
        return [each.message.body for each in expect(Delivered, self.answers[ticket]).deliveries]

    def stat(self, name: str) -> object:
        """One of the figures an operator sees."""
        return self.node.stats(self.now)[name]

    def _collect(self) -> None:
        for effect in self.node.take_effects(self.now):
            if isinstance(effect, Answer):
                assert effect.ticket not in self.answers, "answered twice"
                assert effect.ticket not in self._gone, "a client that left was answered"
                self.answers[effect.ticket] = effect.outcome
            elif isinstance(effect, Departure):
                assert self.departure is None, "a node goes once"
                self.departure = effect
            elif isinstance(effect, Event):
                self.events.append(effect.what)
        self.node.next_deadline(self.now)  # the driver sets its timer after each turn


def expect(kind: type[O], outcome: Outcome) -> O:
    """The outcome, which must be of this kind."""
    assert isinstance(outcome, kind), outcome
    return outcome


def code(outcome: Outcome) -> str:
    """The code of an outcome that must be a refusal."""
    assert isinstance(outcome, Refusal), outcome
    return outcome.code


def stale(receipt: Receipt) -> Receipt:
    """A receipt of the same message, with another lease's token."""
    return Receipt(receipt.id, "0" + receipt.token)
