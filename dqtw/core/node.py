"""One node as a deterministic machine.

A command, a withdrawal or the time goes in; effects come out (`Node.take_effects`). Nothing in here reads a clock,
draws a random number or touches a socket, so that a whole cluster of nodes can be run, faults and all, from one seed.
Every call takes ``now``, seconds of a monotonic clock, which must not go back from one call to the next.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from dqtw.core.commands import (
    Ack,
    Command,
    Delivered,
    Get,
    GiveBack,
    Inspect,
    Nack,
    Outcome,
    Push,
    State,
    Touch,
)
from dqtw.core.effects import Answer, Effect
from dqtw.core.errors import Draining, Full, Refusal, Unreplicated
from dqtw.core.health import Check, Health
from dqtw.core.incarnation import fresh_incarnation, random_bytes
from dqtw.core.links import Links
from dqtw.core.message import MessageId
from dqtw.core.owner import Owner
from dqtw.core.queue import unknown
from dqtw.core.settings import NodeSettings


class Phase(Enum):
    """What a node is doing with its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    FENCED = "fenced"


class Node:
    """The whole of a node, but for the world around it."""

    def __init__(self, settings: NodeSettings, entropy: Callable[[int], bytes], wall_ms: int) -> None:
        """Prepare a node.

        Args:
            settings: what it was told.
            entropy: gives as many random bytes as asked for.
            wall_ms: the wall clock, milliseconds since 1970; it only makes the incarnation sortable.
        """
        self.settings = settings
        self.phase = Phase.SERVING
        self._effects: list[Effect] = []
        self._links = Links(settings.copies)
        incarnation = fresh_incarnation(wall_ms, entropy(random_bytes))
        self._owner = Owner(settings, incarnation, entropy, self._links, self._answer)

    # What comes in.

    def command(self, now: float, ticket: int, command: Command) -> None:
        """Do what a client asks; its answer is an effect, of this call or of a later one."""
        self.tick(now)  # what is due goes to who has waited for it, not to who comes now
        try:
            self._carry_out(now, ticket, command)
        except Refusal as refusal:
            self._answer(ticket, refusal)
        self._owner.settle(now)

    def withdraw(self, now: float, ticket: int) -> bool:
        """Forget a request that only waits, for its client is gone; False for one that is answered all the same."""
        waited = self._owner.withdraw(ticket)
        self.tick(now)  # who stood behind it may be served now
        return waited

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._owner.tick(now)
        self._owner.settle(now)

    def drain(self, now: float) -> None:
        """Begin to leave: take nothing more in, and let nobody wait."""
        self.tick(now)
        self.phase = Phase.DRAINING
        for poll in self._owner.polls.pop_all():
            self._answer(poll.ticket, Delivered())
        for push in self._owner.slots.pop_all():
            self._answer(push.ticket, self._draining())

    # What comes out.

    def take_effects(self) -> list[Effect]:
        """All effects since the last call, in order; the caller owes it to the world to carry them out."""
        effects, self._effects = self._effects, []
        return effects

    def next_deadline(self) -> float | None:
        """When `tick` is next needed."""
        return min((when for when in self._owner.deadlines() if when is not None), default=None)

    @property
    def messages_count(self) -> int:
        """How many messages are on the queue."""
        return len(self._owner.queue)

    def health(self, check: Check) -> Health:
        """Whether the node is well, and why not."""
        in_session = len(self._links.in_session())
        copies = 1 + in_session
        reasons = () if check is Check.LIVE else tuple(self._reasons(check))
        return Health(not reasons, reasons, in_session, copies, len(self.settings.members))

    def stats(self, now: float) -> dict[str, object]:
        """What an operator may want to know; names to JSON values, seconds end in ``_s``."""
        queue, totals = self._owner.queue, self._owner.totals
        oldest = queue.oldest_ready()
        return {
            "node": self.settings.node,
            "state": self.phase.value,
            "size": self.settings.size,
            "queueSize": len(queue),
            **{state.value: queue.count(state) for state in (State.READY, State.LEASED, State.DELAYED, State.WAITING)},
            "bytes": queue.copy.body_bytes,
            "oldest_ready_s": None if oldest is None else max(now - oldest.born_s, 0.0),
            "waiting_polls": len(self._owner.polls),
            "waiting_pushes": len(self._owner.slots),
            "keys": len(self._owner.keys),
            **{name: totals[name] for name in ("pushed", "delivered", "acked", "nacked", "lease_lost")},
            "refused": {name[8:]: count for name, count in sorted(totals.items()) if name.startswith("refused_")},
            "peers": {},
            "copies": {},
        }

    # How it is done.

    def _carry_out(self, now: float, ticket: int, command: Command) -> None:
        match command:
            case Push():
                self._check_open()
                self._owner.push(now, ticket, command)
            case Get():
                self._check_open()
                self._owner.get(now, ticket, command)
            case Ack():
                self._route(command.id)
                self._owner.ack(now, ticket, command)
            case Nack():
                self._route(command.receipt.id)
                self._owner.nack(now, ticket, command)
            case GiveBack():
                self._route(command.receipt.id)
                self._owner.give_back(now, ticket, command)
            case Touch():
                self._route(command.receipt.id)
                self._owner.touch(now, ticket, command)
            case Inspect():
                self._route(command.id)
                self._owner.inspect(now, ticket, command)

    def _route(self, id: MessageId) -> None:
        if id.node != self.settings.node:
            raise unknown(id)

    def _check_open(self) -> None:
        if self.phase is Phase.DRAINING:
            raise self._draining()

    def _draining(self) -> Draining:
        return Draining("this node is about to stop")

    def _reasons(self, check: Check) -> Iterator[str]:
        if self.phase is not Phase.SERVING:
            yield self.phase.value
        if check is Check.PUSH:
            for probe in (
                self._links.check_enough,
                lambda: self._owner.check_turn(1),
            ):
                with _refusal() as refused:
                    probe()
                yield from refused

    def _answer(self, ticket: int, outcome: Outcome) -> None:
        if isinstance(outcome, Refusal):
            self._owner.totals["refused_" + outcome.code] += 1
        self._effects.append(Answer(ticket, outcome))


@contextmanager
def _refusal() -> Iterator[list[str]]:
    """Collect the code with which the block is refused, if it is."""
    codes: list[str] = []
    try:
        yield codes
    except (Full, Unreplicated) as refusal:
        codes.append(refusal.code)
