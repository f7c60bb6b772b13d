"""Where time and Deferreds meet the core.

The core is a deterministic machine: a command, a peer's message or the time goes in, effects come out. The driver
feeds it, and carries its effects out once per reactor turn, so that all that one read of a socket brought shares one
write, one peer request and one timer.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from dqtw.core.commands import Command, Delivered, GiveBack, Outcome, Success
from dqtw.core.effects import Answer
from dqtw.core.errors import Refusal
from dqtw.core.health import Check, Health
from dqtw.core.node import Node

Ticket: TypeAlias = int

_log = Logger()

timer_seconds_max = 3600.0  # a deadline further away is looked at again by then


class Clock(Protocol):
    """The part of a reactor that the driver needs; its seconds must be monotonic."""

    def seconds(self) -> float:
        """The time, in seconds since any fixed point."""
        ...

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall:  # noqa: A002, N802
        """Call once, ``delay`` seconds from now."""
        ...


class Driver:
    """One node, alive in a reactor."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._tickets = 0
        self._answered: dict[Ticket, Callable[[Outcome], None]] = {}
        self._turn: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None

    def submit(self, command: Command, answered: Callable[[Outcome], None]) -> Ticket:
        """Ask the node for something; ``answered`` is called once, in a later reactor turn, never from in here."""
        self._tickets += 1
        self._answered[self._tickets] = answered
        self._node.command(self._clock.seconds(), self._tickets, command)
        self._end_turn_soon()
        return self._tickets

    def withdraw(self, ticket: Ticket) -> None:
        """The client is gone: what only waits (a poll, a push that waits for a slot) is forgotten, unanswered.

        A push or removal that is under way goes on, and its outcome is dropped. What was leased for the client and
        has not reached it is given back. Withdrawing an answered ticket does nothing.
        """
        if ticket in self._answered:
            self._answered[ticket] = self._nobody_left
            if self._node.withdraw(self._clock.seconds(), ticket):
                del self._answered[ticket]
            self._end_turn_soon()

    def give_back(self, delivered: Delivered) -> None:
        """These deliveries could not be handed to their client: undo them, the attempt not counted."""
        for delivery in delivered.deliveries:
            self.submit(GiveBack(delivery.receipt), _nobody_asked)

    def ask(self, command: Command) -> Deferred[Success]:
        """Ask, as a Deferred that fails with the `Refusal`; cancelling it withdraws the request."""
        asked: Deferred[Success] = Deferred(lambda _: self.withdraw(ticket))
        ticket = self.submit(command, lambda outcome: _fire(asked, outcome))
        return asked

    def drain(self) -> None:
        """Begin to leave: nothing more is taken in, and nobody is left waiting."""
        self._node.drain(self._clock.seconds())
        self._end_turn_soon()

    @property
    def messages_count(self) -> int:
        """How many messages are on the queue."""
        return self._node.messages_count

    def stats(self) -> dict[str, object]:
        """What ``/stats`` tells of the node: names to JSON values."""
        return self._node.stats(self._clock.seconds())

    def health(self, check: Check) -> Health:
        """Whether the node serves gets (``ready``) or would take a push now (``push``), and why not."""
        return self._node.health(check)

    def _end_turn_soon(self) -> None:
        """Carry effects out when this reactor turn's other input is in, too."""
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._end_turn)

    def _end_turn(self) -> None:
        self._turn = None
        for effect in self._node.take_effects():
            self._hand_over(effect)
        self._arm()

    def _hand_over(self, answer: Answer) -> None:
        """Tell who asked; one that fails over it must not keep the others' answers, or the timer, from them."""
        try:
            self._answered.pop(answer.ticket)(answer.outcome)
        except Exception:
            _log.failure("an answer could not be handed over")

    def _arm(self) -> None:
        """Let the one timer go off at the next deadline."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        deadline = self._node.next_deadline()
        self._timer = None
        if deadline is not None:
            delay = min(max(deadline - self._clock.seconds(), 0.0), timer_seconds_max)
            self._timer = self._clock.callLater(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._node.tick(self._clock.seconds())
        self._end_turn()

    def _nobody_left(self, outcome: Outcome) -> None:
        if isinstance(outcome, Delivered):
            self.give_back(outcome)


def _nobody_asked(_: Outcome) -> None:
    """Take an outcome that interests nobody."""


def _fire(asked: Deferred[Success], outcome: Outcome) -> None:
    if asked.called:
        return
    if isinstance(outcome, Refusal):
        asked.errback(outcome)
    else:
        asked.callback(outcome)
