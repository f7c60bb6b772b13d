"""Where time and Deferreds meet the core.

The core is a deterministic machine: a command, a peer's message or the time goes in, effects come out. The driver
feeds it, and carries its effects out once per reactor turn, so that all that one read of a socket brought shares one
write, one peer request and one timer.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from dqtw.core.effects import Answer, Departure, Effect, Event
from dqtw.core.links.frames import AnyFrame
from dqtw.core.links.streams import Accepted, LinkEffect, StreamAnswer, StreamRefused, StreamRequest
from dqtw.core.model.commands import Command, Delivered, GiveBack, Outcome, Success
from dqtw.core.model.errors import Refusal
from dqtw.core.model.health import Check, Health
from dqtw.core.node import Node

Ticket: TypeAlias = int

_log = Logger(namespace="dqtw")

timer_seconds_max = 3600.0  # a deadline further away is looked at again by then


class Clock(Protocol):
    """The part of a reactor that the driver needs; its seconds must be monotonic."""

    def seconds(self) -> float:
        """The time, in seconds since any fixed point."""
        ...

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall:  # noqa: A002, N802
        """Call once, ``delay`` seconds from now."""
        ...


class PeerTransport(Protocol):
    """What carries the streams between this process and its peers."""

    def carry_out(self, effects: Sequence[LinkEffect]) -> None:
        """Carry out the effects of one turn, in order; nothing is reported to the driver from in here."""
        ...


class Driver:
    """One node, alive in a reactor.

    Attributes:
        departed: fires when the node may go, having handed over what it held, with how it goes.
    """

    def __init__(self, node: Node, clock: Clock, transport: PeerTransport | None = None) -> None:
        self.departed: Deferred[Departure] = Deferred()
        self._node = node
        self._clock = clock
        self._transport = transport
        self._refused: dict[str, Counter[str]] = {}  # by listener and code
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

    def start(self, address: str = "") -> None:
        """Begin to talk with the peers, and announce the URL at which they reach this node."""
        self._node.network.url = address
        self._tick()

    # What the transport of the peers reports; see `dqtw.net.peer.port.PeerPort`.

    def stream_asked(self, request: StreamRequest) -> Accepted | StreamRefused:
        """Judge a peer's request for a stream."""
        self._end_turn_soon()
        return self._node.stream_asked(self._clock.seconds(), request)

    def request_refused(self, node: str, refused: StreamRefused) -> None:
        """Note that a request of that node, as it names itself, was refused before the node judged it."""
        self._node.network.request_refused(self._clock.seconds(), node, refused)

    def dial_answered(self, stream: int, answer: StreamAnswer) -> None:
        """Take the answer to a stream request of this node."""
        self._node.dial_answered(self._clock.seconds(), stream, answer)
        self._end_turn_soon()

    def dial_failed(self, stream: int, why: str, *, is_lasting: bool) -> None:
        """Note that a stream was not opened; ``is_lasting``: the peer refuses this node."""
        self._node.dial_failed(self._clock.seconds(), stream, why, is_lasting=is_lasting)
        self._end_turn_soon()

    def received(self, stream: int, frames: list[AnyFrame], express_bytes: int, bulk_bytes: int) -> None:
        """Take what was read from a stream at once."""
        self._node.received(self._clock.seconds(), stream, frames, express_bytes, bulk_bytes)
        self._end_turn_soon()

    def stream_closed(self, stream: int, why: str) -> None:
        """Note that a stream has ended."""
        self._node.stream_closed(self._clock.seconds(), stream, why)
        self._end_turn_soon()

    def give_notice(self, seconds: float) -> None:
        """Be not ready from now on, and serve all the same: `drain` will be called in so many seconds."""
        self._node.give_notice(self._clock.seconds(), seconds)

    def drain(self) -> None:
        """Begin to leave: nothing more is taken in, and nobody is left waiting."""
        self._node.drain(self._clock.seconds())
        self._end_turn_soon()

    @property
    def node_id(self) -> str:
        """This node's id."""
        return self._node.settings.node

    @property
    def members(self) -> tuple[str, ...]:
        """All node ids of the cluster, this one included."""
        return self._node.settings.members

    @property
    def messages_count(self) -> int:
        """How many messages are on the queue."""
        return self._node.messages_count

    def count_refused(self, listener: str, code: str) -> None:
        """Count a request that a listener refused before the node saw it, by the refusal's code."""
        self._refused.setdefault(listener, Counter())[code] += 1

    def stats(self) -> dict[str, object]:
        """Return what ``/stats`` reports of the node: names to JSON values."""
        listeners = {name: {"refused": dict(sorted(counts.items()))} for name, counts in sorted(self._refused.items())}
        return {**self._node.stats(self._clock.seconds()), "listeners": listeners}

    def health(self, check: Check) -> Health:
        """Whether the node serves gets (``ready``) or would take a push now (``push``), and why not."""
        return self._node.health(check)

    def _end_turn_soon(self) -> None:
        """Carry effects out when this reactor turn's other input is in, too."""
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._end_turn)

    def _end_turn(self) -> None:
        self._turn = None
        for_peers: list[LinkEffect] = []
        for effect in self._node.take_effects(self._clock.seconds()):
            try:
                self._carry_out(effect, for_peers)
            except Exception:  # it must not keep the other effects, or the timer, from being seen to
                _log.failure("{effect} could not be carried out", effect=type(effect).__name__)
        try:
            if for_peers:
                assert self._transport is not None, "a node with peers needs a transport to them"
                self._transport.carry_out(for_peers)
        except Exception:
            _log.failure("{effect} could not be carried out", effect="what goes to peers")
        self._arm()

    def _carry_out(self, effect: Effect, for_peers: list[LinkEffect]) -> None:
        match effect:
            case Answer():
                self._answered.pop(effect.ticket)(effect.outcome)
            case Event():
                log = _log.warn if effect.level == "warn" else _log.info
                log(effect.what, **effect.facts)
            case Departure():
                self.departed.callback(effect)
            case _:
                for_peers.append(effect)

    def _arm(self) -> None:
        """Let the one timer go off at the next deadline."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        deadline = self._node.next_deadline(self._clock.seconds())
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
