"""The owner of a queue: its only writer, and the one that leases its messages out.

It brings together the queue, those who wait for it, the keys and the peers' confirmations. Nothing in here calls
back into a request: what a change makes possible for others is done in `Owner.settle`, after the change.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from dqtw.core.commands import (
    Ack,
    Delivered,
    Delivery,
    Done,
    Get,
    GiveBack,
    Inspect,
    Inspected,
    Nack,
    Outcome,
    Push,
    Pushed,
    State,
    Touch,
    get_bytes_max,
    get_count_max,
    wait_max_s,
)
from dqtw.core.commit import PendingPush, Removals, Then
from dqtw.core.copy import Copy
from dqtw.core.errors import Busy, Full, Refusal, TooLarge
from dqtw.core.keys import KeyMemory
from dqtw.core.links import Links
from dqtw.core.message import Message, MessageId
from dqtw.core.queue import Queue, unknown
from dqtw.core.settings import NodeSettings
from dqtw.core.waiting import Waiter, WaitingLine

_token_prefix_bytes: Final = 6

AnswerTo = Callable[[int, Outcome], None]
C = TypeVar("C")


class Owner:
    """One queue, as its owner runs it.

    Attributes:
        queue: the messages, and where they stand.
        polls: who waits for a message.
        slots: who waits for room to push.
        totals: what happened since the start, by name.
    """

    def __init__(
        self,
        settings: NodeSettings,
        incarnation: str,
        entropy: Callable[[int], bytes],
        links: Links,
        answer: AnswerTo,
    ) -> None:
        self.incarnation = incarnation
        self.queue = Queue(Copy(settings.node), settings.size, settings.max_bytes)
        self.keys = KeyMemory(settings.key_memory_s, settings.size)
        self.polls: WaitingLine[Get] = WaitingLine()
        self.slots: WaitingLine[Push] = WaitingLine()
        self.totals: Counter[str] = Counter()
        self._settings = settings
        self._links = links
        self._answer = answer
        self._pushes: dict[MessageId, PendingPush] = {}
        self._removals = Removals()
        self._n = 0
        self._leases = 0
        self._token_prefix = entropy(_token_prefix_bytes).hex()  # no other process's receipts fit this one's leases

    # What clients ask for.

    def push(self, now: float, ticket: int, push: Push) -> None:
        """Take a message in, now or when there is room."""
        if len(push.body) > self._settings.max_message:
            raise TooLarge(f"a message has at most {self._settings.max_message} bytes, this has {len(push.body)}")
        if self._repeats(ticket, push):
            return
        self._links.check_enough()
        try:
            self.check_turn(len(push.body))
        except Full:
            if push.wait_s <= 0:
                raise
            self._wait(self.slots, now, ticket, push, push.wait_s)
            return
        self._admit(now, ticket, push)

    def get(self, now: float, ticket: int, get: Get) -> None:
        """Hand messages out, now or when there are any."""
        if self.queue.count(State.READY):
            self._deliver(now, ticket, get)
        elif get.wait_s > 0:
            self._wait(self.polls, now, ticket, get, get.wait_s)
        else:
            self._answer(ticket, Delivered())

    def ack(self, now: float, ticket: int, ack: Ack) -> None:
        """Remove a message, whoever has it leased."""
        if ack.id in self._removals:
            self._removals.also(ack.id, lambda _: self._answer(ticket, Done()))
            return
        if ack.id not in self.queue.copy.live or self.queue.is_waiting(ack.id):
            raise unknown(ack.id)
        self.totals["acked"] += 1
        self._remove(now, [ack.id], lambda _: self._answer(ticket, Done()))

    def nack(self, now: float, ticket: int, nack: Nack) -> None:
        """Make a leased message ready again."""
        self.queue.nack(now, nack.receipt, nack.delay_s)
        self.totals["nacked"] += 1
        self._answer(ticket, Done())

    def give_back(self, now: float, ticket: int, give_back: GiveBack) -> None:
        """Undo a delivery that never reached its client."""
        self.queue.give_back(now, give_back.receipt)
        self.totals["delivered"] -= 1
        self._answer(ticket, Done())

    def touch(self, now: float, ticket: int, touch: Touch) -> None:
        """Start a lease anew."""
        self.queue.touch(now, touch.receipt, touch.lease_s)
        self._answer(ticket, Done())

    def inspect(self, now: float, ticket: int, inspect: Inspect) -> None:
        """Tell about one message."""
        self._answer(ticket, self.inspected(now, inspect.id))

    def inspected(self, now: float, id: MessageId) -> Inspected:
        """What is known of one message."""
        return self.queue.inspect(now, id)

    def check_turn(self, body_bytes: int) -> None:
        """See whether a push may go in now: there is room, and nobody waits for it already.

        Raises:
            TooLarge: it could never go in.
            Full: not now.
        """
        self.queue.check_room(body_bytes, self._links.needed)
        if self.slots:
            raise Full("others wait for a slot already")

    def withdraw(self, ticket: int) -> bool:
        """Forget a request that only waits; False for one that is under way, which goes on."""
        return self.polls.leave(ticket) or self.slots.leave(ticket)

    # What time and other requests make possible.

    def settle(self, now: float) -> None:
        """Serve whoever waits for what has become free; one gives way to the other until nothing moves."""
        while (self.polls and self._serve_polls(now)) or (self.slots and self._serve_slots(now)):
            pass

    def tick(self, now: float) -> None:
        """Do what is due."""
        self.totals["lease_lost"] += self.queue.expire(now)
        self.keys.expire(now)
        for poll in self.polls.pop_expired(now):
            self._answer(poll.ticket, Delivered())
        for push in self.slots.pop_expired(now):
            self._give_up(push)

    def deadlines(self) -> Iterable[float | None]:
        """When `tick` is next needed, by each of its reasons."""
        yield self.queue.next_deadline()
        yield self.keys.next_deadline()
        yield self.polls.next_deadline()
        yield self.slots.next_deadline()

    def _serve_polls(self, now: float) -> bool:
        poll = self.polls.first()
        if poll is None or not self.queue.count(State.READY):
            return False
        self.polls.leave(poll.ticket)
        self._deliver(now, poll.ticket, poll.command)
        return True

    def _serve_slots(self, now: float) -> bool:
        first = self.slots.first()
        if first is None:
            return False
        try:
            if first.command.key not in self.keys:  # what is known already needs no slot
                self.queue.check_room(len(first.command.body), self._links.needed)
        except Full:
            return False
        self.slots.leave(first.ticket)
        self._take_turn(now, first)
        return True

    def _take_turn(self, now: float, first: Waiter[Push]) -> None:
        """A slot is free: what was true when the push began to wait must be looked at again."""
        try:
            if not self._repeats(first.ticket, first.command):
                self._links.check_enough()
                self._admit(now, first.ticket, first.command)
        except Refusal as refusal:
            self._answer(first.ticket, refusal)

    def _give_up(self, push: Waiter[Push]) -> None:
        """No slot became free in time; but a push of the same key may have been taken in while this one waited."""
        try:
            if not self._repeats(push.ticket, push.command):
                raise Full("no slot became free in time")
        except Refusal as refusal:
            self._answer(push.ticket, refusal)

    # How it is done.

    def _wait(self, line: WaitingLine[C], now: float, ticket: int, command: C, wait_s: float) -> None:
        if len(self.polls) + len(self.slots) >= self._settings.max_waiting:
            raise Busy(f"{self._settings.max_waiting} requests wait already")
        line.join(Waiter(ticket, command, now + min(wait_s, wait_max_s)))

    def _repeats(self, ticket: int, push: Push) -> bool:
        """Whether the key was pushed before; then the answer is, or will be, that of the first push."""
        known = None if push.key is None else self.keys.find(push.key, push.body)
        if known is None:
            return False
        pending = self._pushes.get(known)
        if pending is None:
            self._answer(ticket, self._pushed(known, duplicate=True))
        else:
            pending.requests.append(ticket)
        return True

    def _admit(self, now: float, ticket: int, push: Push) -> None:
        self._n += 1
        id = MessageId(self._settings.node, self.incarnation, self._n)
        message = Message(push.body, push.content_type, push.key, now)
        self.queue.admit(id, message)
        self.keys.put(id, message)
        self._pushes[id] = PendingPush([ticket])
        self._links.put(id)
        self._commit(id)

    def _commit(self, id: MessageId) -> None:
        """Answer a push, once enough nodes hold its message."""
        pending = self._pushes[id]
        if 1 + len(pending.holders) < self._settings.copies:
            return
        del self._pushes[id]
        self.queue.release(id)
        self.totals["pushed"] += 1
        for ticket in pending.requests:
            self._answer(ticket, self._pushed(id, duplicate=ticket != pending.requests[0]))

    def _pushed(self, id: MessageId, *, duplicate: bool) -> Pushed:
        return Pushed(id, 1 + len(self._links.in_session()), len(self._settings.members), duplicate)

    def _deliver(self, now: float, ticket: int, get: Get) -> None:
        lease_s = self._settings.lease_s if get.lease_s is None else get.lease_s
        deliveries = self._lease(now, min(get.count_max, get_count_max), lease_s)
        outcome = Delivered(tuple(deliveries))
        self.totals["delivered"] += len(deliveries)
        if get.ack_now and deliveries:
            self.totals["acked"] += len(deliveries)
            self._remove(now, [each.receipt.id for each in deliveries], lambda _: self._answer(ticket, outcome))
        else:
            self._answer(ticket, outcome)

    def _lease(self, now: float, count_max: int, lease_s: float) -> list[Delivery]:
        """Lease up to ``count_max`` messages, fewer when they are large; always one, if one is ready."""
        deliveries: list[Delivery] = []
        bytes_left = get_bytes_max
        while len(deliveries) < count_max and bytes_left > 0:
            self._leases += 1
            delivery = self.queue.lease(now, lease_s, f"{self._token_prefix}{self._leases:x}")
            if delivery is None:
                break
            deliveries.append(delivery)
            bytes_left -= len(delivery.message.body)
        return deliveries

    def _remove(self, now: float, ids: list[MessageId], then: Then) -> None:
        """Take messages off the queue for ever; ``then`` is done when every peer in session knows."""
        left = len(ids)

        def known(now: float) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                then(now)

        for id in ids:
            message = self.queue.remove(id)
            if message is not None:
                self.keys.remove(now, id, message)
            self._links.gone(id)
            self._removals.expect(now, id, self._links.in_session(), known)
