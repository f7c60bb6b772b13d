"""The owner of a queue: its only writer, and the node that leases its messages.

It brings together the queue, the requests that wait for it, and what the peers have confirmed. Each method returns
the answers that it gives; what a change makes possible for other requests is done in `Owner.settle`, after it.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from dqtw.core.effects import Answer
from dqtw.core.links.cluster import Cluster
from dqtw.core.model.commands import (
    Ack,
    ById,
    Complete,
    Delivered,
    Delivery,
    Done,
    Get,
    GiveBack,
    Inspect,
    Nack,
    Outcome,
    Push,
    Touch,
    get_bytes_max,
    get_count_max,
    wait_max_s,
)
from dqtw.core.model.dots import Dot
from dqtw.core.model.errors import Busy, Full, Refusal, Starting, Uncertain
from dqtw.core.model.settings import NodeSettings
from dqtw.core.queue.admission import Admission
from dqtw.core.queue.queue import Queue, unknown
from dqtw.core.queue.waiting import Waiter, WaitingLine
from dqtw.core.replication.replicator import Replicator
from dqtw.core.replication.sessions import Learned

_token_prefix_bytes: Final = 6

C = TypeVar("C")


class Owner:
    """One queue, as its owner runs it.

    Attributes:
        replicator: the messages, and what the peers hold of them.
        queue: the state of each message.
        admission: how messages get onto the queue.
        polls: the requests that wait for a message.
        totals: what happened since the start, by name.
    """

    def __init__(self, settings: NodeSettings, entropy: Callable[[int], bytes], replicator: Replicator) -> None:
        self.replicator = replicator
        self.totals: Counter[str] = Counter()
        self.queue = Queue(settings.node, replicator.holding.replica, settings.size, settings.max_bytes)
        self.admission = Admission(settings, self.queue, replicator, self.totals)
        self.polls: WaitingLine[Get] = WaitingLine()
        self._settings = settings
        self._leases = 0
        self._token_prefix = entropy(_token_prefix_bytes).hex()  # no other process's receipts fit this one's leases

    # Commands.

    def push(self, now: float, ticket: int, push: Push) -> list[Answer]:
        """Add a message, now or when there is room."""
        try:
            return self.admission.push(now, ticket, push)
        except Full:
            if push.wait_s <= 0:
                raise
            self._wait(self.admission.slots, now, ticket, push, push.wait_s)
            return []

    def get(self, now: float, ticket: int, get: Get) -> list[Answer]:
        """Deliver messages, now or when there are any."""
        if self.queue.ready:
            return self._deliver(now, ticket, get)
        if get.wait_s > 0:
            self.poll(now, ticket, get, get.wait_s)
            return []
        return [Answer(ticket, Delivered())]

    def poll(self, now: float, ticket: int, get: Get, wait_s: float) -> None:
        """Let a get wait for a message.

        Raises:
            Busy: too many requests wait already.
        """
        self._wait(self.polls, now, ticket, get, wait_s)

    def by_id(self, now: float, ticket: int, command: ById) -> list[Answer]:
        """Carry out a command that names a message of this queue."""
        id = command.id if isinstance(command, Ack | Inspect) else command.receipt.id
        if self.replicator.is_needed(id[1:]):
            raise Starting("this message is still being recovered; what was leased is delivered again")
        outcome: Outcome = Done()
        match command:
            case Ack():
                return self._ack(now, ticket, id[1:])
            case Complete():
                self.queue.leased(now, command.receipt)
                return self._remove(now, [id[1:]], ticket, Done())
            case Nack():
                self.queue.nack(now, command.receipt, command.delay_s)
                self.totals["nacked"] += 1
            case GiveBack():
                self.queue.give_back(now, command.receipt)
                self.totals["delivered"] -= 1
            case Touch():
                self.queue.touch(now, command.receipt, command.lease_s)
            case Inspect():
                outcome = self.queue.inspect(now, id)
        return [Answer(ticket, outcome)]

    def _ack(self, now: float, ticket: int, dot: Dot) -> list[Answer]:
        if dot in self.replicator.removals:  # its outcome is shared: until then the removal can be lost
            self.replicator.removals.share(now, dot, ticket, answer=Done())
            return []
        if dot not in self.replicator.holding.replica:
            raise unknown(self.queue.id(dot))
        return self._remove(now, [dot], ticket, Done())

    def _remove(self, now: float, dots: list[Dot], ticket: int, outcome: Outcome) -> list[Answer]:
        """Remove messages for ever, and answer when all members that can be waited for know."""
        self.totals["acked"] += len(dots)
        answers: list[Answer] = []
        for pushed in self.replicator.remove(now, dots, ticket, outcome):
            answers += self.admission.succeed(pushed)  # it was on the queue, and a client removed it
        for dot in dots:
            self.queue.forget(dot)
        return answers

    def _deliver(self, now: float, ticket: int, get: Get) -> list[Answer]:
        lease_s = self._settings.lease_s if get.lease_s is None else get.lease_s
        deliveries = self._lease(now, min(get.count_max, get_count_max), lease_s)
        outcome = Delivered(tuple(deliveries))
        self.totals["delivered"] += len(deliveries)
        if get.ack_now and deliveries:
            return self._remove(now, [each.receipt.id[1:] for each in deliveries], ticket, outcome)
        return [Answer(ticket, outcome)]

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

    def _wait(self, line: WaitingLine[C], now: float, ticket: int, command: C, wait_s: float) -> None:
        if len(self.polls) + len(self.admission.slots) >= self._settings.max_waiting:
            raise Busy(f"{self._settings.max_waiting} requests wait already")
        line.join(Waiter(ticket, command, now + min(wait_s, wait_max_s)))

    def withdraw(self, ticket: int) -> bool:
        """Forget a request that only waits; False for a request that is under way, which goes on."""
        return self.polls.leave(ticket) or self.admission.slots.leave(ticket)

    # What peers, time and other requests make possible.

    def confirm(self, now: float, cluster: Cluster) -> list[Answer]:
        """Answer the pushes and removals that enough peers have confirmed."""
        answers = self.admission.commit()
        for waiting in self.replicator.confirmed_removals(now, cluster):
            answers += (Answer(ticket, outcome) for ticket, outcome in waiting.tickets)
        return answers

    def learned(self, now: float, learned: Learned) -> list[Answer]:
        """Add what a peer has sent that was missing here."""
        change = self.replicator.learn(now, learned.contents, learned.records, learned.session)
        answers: list[Answer] = []
        for dot, _ in change.removed:
            self.queue.forget(dot)
            waiting = self.replicator.pushes.drop(dot)
            if waiting is not None:  # it was delivered and removed under another incarnation
                answers += self.admission.succeed(waiting)
        self.queue.release(dot for dot, _ in change.put)
        return answers

    def withhold(self) -> None:
        """Deliver no message that a peer in a session knows as removed."""
        if any(each.records for each in self.replicator.progress.values()) or self.queue.withholds:
            self.queue.withhold(self.replicator.hidden)

    def settle(self, now: float, *, takes_keys: bool) -> list[Answer]:
        """Serve the requests that wait for what has become free, until nothing moves."""
        answers: list[Answer] = []
        while True:
            poll = self.polls.first()
            if poll is not None and self.queue.ready:
                self.polls.leave(poll.ticket)
                answers += self._deliver(now, poll.ticket, poll.command)
                continue
            served = self.admission.serve_slots(now, takes_keys=takes_keys)
            if served is None:
                return answers
            answers += served

    def tick(self, now: float) -> list[Answer]:
        """Do what is due."""
        self.totals["lease_lost"] += self.queue.expire(now)
        self.replicator.holding.keys.expire(now)
        answers = self.admission.tick(now)
        late = Uncertain("not all nodes have confirmed the removal in time")
        answers += (Answer(ticket, late) for ticket in self.replicator.removals.expire(now))
        answers += (Answer(poll.ticket, Delivered()) for poll in self.polls.pop_expired(now))
        return answers

    def deadlines(self) -> Iterable[float | None]:
        """Return when `tick` is next needed, by each of its reasons."""
        yield self.queue.next_deadline()
        yield self.replicator.holding.keys.next_deadline()
        yield self.polls.next_deadline()
        yield self.admission.slots.next_deadline()
        yield from self.replicator.deadlines()

    @property
    def is_quiet(self) -> bool:
        """True if no request waits for peers."""
        return not (self.replicator.pushes.has_requests or self.replicator.removals.has_requests)

    @property
    def is_awaited(self) -> bool:
        """True if a request waits for a message or a slot."""
        return bool(self.polls or self.admission.slots)

    def dismiss(self, poll: Outcome, push: Outcome) -> list[Answer]:
        """Answer all requests that only wait."""
        polls = [Answer(each.ticket, poll) for each in self.polls.pop_all()]
        return polls + [Answer(each.ticket, push) for each in self.admission.slots.pop_all()]

    def abandon(self, refusal: Refusal) -> list[Answer]:
        """Serve no request any more: what is under way cannot be known to succeed, what only waits is refused."""
        late = Uncertain("this node was replaced before all peers had confirmed")
        tickets = self.replicator.pushes.give_up() + self.replicator.removals.give_up()
        return [*(Answer(ticket, late) for ticket in tickets), *self.dismiss(refusal, refusal)]
