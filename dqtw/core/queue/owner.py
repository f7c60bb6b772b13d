"""The owner of a queue: its only writer, and the one that leases its messages out.

It brings together the queue, those who wait for it, the keys and the peers' confirmations. Nothing in here calls
back into a request: what a change makes possible for others is done in `Owner.settle`, after the change.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable
from itertools import islice
from typing import Final, TypeVar

from dqtw.core.links.peer_messages import Put
from dqtw.core.links.peers import Peers
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
    State,
    Touch,
    get_bytes_max,
    get_count_max,
    wait_max_s,
)
from dqtw.core.model.copy import Copy
from dqtw.core.model.errors import Busy, Full, Refusal, Starting, Uncertain
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.keys import KeyMemory
from dqtw.core.model.message import MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.queue.intake import Intake
from dqtw.core.queue.queue import Queue, unknown
from dqtw.core.queue.waiting import Waiter, WaitingLine
from dqtw.core.replication.commit import Removals
from dqtw.core.replication.links import Links
from dqtw.core.replication.ports import OwnerWorld

_token_prefix_bytes: Final = 6

C = TypeVar("C")


class Owner:
    """One queue, as its owner runs it.

    Attributes:
        intake: how messages get onto it.
        greatest_met: the greatest incarnation among the ids that peers have told of; if it is greater than this owner's
            own, a newer process gave them.
        copy: every id there was, and the messages.
        queue: where each message stands.
        keys: which message each key names.
        links: what each peer is known to hold of all that.
        polls: who waits for a message.
        totals: what happened since the start, by name.
    """

    def __init__(
        self,
        settings: NodeSettings,
        entropy: Callable[[int], bytes],
        peers: Peers,
        world: OwnerWorld,
    ) -> None:
        self.greatest_met = ""
        self.copy = Copy(settings.node)
        self.queue = Queue(self.copy, settings.size, settings.max_bytes)
        self.keys = KeyMemory(settings.key_memory_s, settings.size)
        self.links = Links(settings.copies, peers, self, entropy, world.open_request)
        self.polls: WaitingLine[Get] = WaitingLine()
        self.totals: Counter[str] = Counter()
        self._settings = settings
        self._world = world
        self._answer = world.answer
        self.intake = Intake(settings, self.queue, self.keys, self.links, self.totals, world.answer)
        self._removals = Removals(world.answer)
        self._leases = 0
        self._token_prefix = entropy(_token_prefix_bytes).hex()  # no other process's receipts fit this one's leases

    @property
    def incarnation(self) -> str:
        """In which incarnation this owner speaks; empty until its start has taken one."""
        return self.intake.incarnation

    @incarnation.setter
    def incarnation(self, incarnation: str) -> None:
        self.intake.incarnation = incarnation

    # What clients ask for.

    def push(self, now: float, ticket: int, push: Push) -> None:
        """Take a message in, now or when there is room."""
        try:
            self.intake.push(now, ticket, push)
        except Full:
            if push.wait_s <= 0:
                raise
            self._wait(self.intake.slots, now, ticket, push, push.wait_s)

    def get(self, now: float, ticket: int, get: Get) -> None:
        """Hand messages out, now or when there are any."""
        if self.queue.count(State.READY):
            self._deliver(now, ticket, get)
        elif get.wait_s > 0:
            self._wait(self.polls, now, ticket, get, get.wait_s)
        else:
            self._answer(ticket, Delivered())

    def by_id(self, now: float, ticket: int, command: ById) -> None:
        """Do what is to be done with one message that is named."""
        if not isinstance(command, Ack):
            self._check_arrived(command.id if isinstance(command, Inspect) else command.receipt.id)
        match command:
            case Ack():
                self.ack(now, ticket, command)
            case Nack():
                self.nack(now, ticket, command)
            case GiveBack():
                self.give_back(now, ticket, command)
            case Complete():
                self.complete(now, ticket, command)
            case Touch():
                self.touch(now, ticket, command)
            case Inspect():
                self.inspect(now, ticket, command)

    def _check_arrived(self, id: MessageId) -> None:
        """See that the message is not on its way here.

        Raises:
            Starting: it is, and all that is known of it is that it is there.
        """
        if self.links.is_needed(id):
            raise Starting("this message is still being recovered; what was leased is delivered again")

    def ack(self, now: float, ticket: int, ack: Ack) -> None:
        """Remove a message, whoever has it leased."""
        if ack.id in self._removals:
            self._removals.share(ack.id, ticket, Done())
            return
        if ack.id not in self.copy.live or self.queue.is_waiting(ack.id):
            raise unknown(ack.id)
        self.totals["acked"] += 1
        self._remove(now, [ack.id], ticket, Done())

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

    def complete(self, now: float, ticket: int, complete: Complete) -> None:
        """Remove a message for the get that has it leased."""
        self.queue.check_leased(now, complete.receipt)
        self.totals["acked"] += 1
        self._remove(now, [complete.receipt.id], ticket, Done())

    def touch(self, now: float, ticket: int, touch: Touch) -> None:
        """Start a lease anew."""
        self.queue.touch(now, touch.receipt, touch.lease_s)
        self._answer(ticket, Done())

    def inspect(self, now: float, ticket: int, inspect: Inspect) -> None:
        """Tell about one message."""
        self._answer(ticket, self.queue.inspect(now, inspect.id))

    def is_in_line(self, ticket: int) -> bool:
        """Whether the poll still stands in line."""
        return ticket in self.polls

    def first_waiting(self, count: int, *, without: Container[int]) -> list[tuple[int, Get]]:
        """So many polls, the first in line of those that are not among these."""
        polls = ((poll.ticket, poll.command) for poll in self.polls if poll.ticket not in without)
        return list(islice(polls, count))

    def leave(self, ticket: int) -> None:
        """Take a poll out of the line: its answer is on its way."""
        self.polls.leave(ticket)

    def stand_in_line(self, now: float, ticket: int, get: Get, wait_s: float) -> None:
        """Wait for a message.

        Raises:
            Busy: too many wait already.
        """
        self._wait(self.polls, now, ticket, get, wait_s)

    def withdraw(self, ticket: int) -> bool:
        """Forget a request that only waits; False for one that is under way, which goes on."""
        return self.polls.leave(ticket) or self.intake.slots.leave(ticket)

    # What time and other requests make possible.

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way."""
        return not self.intake.pushes and not self._removals

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits for a message or a slot."""
        return bool(self.polls or self.intake.slots)

    def settle(self, now: float) -> None:
        """Serve whoever waits for what has become free; one gives way to the other until nothing moves."""
        while (self.polls and self._serve_polls(now)) or self.intake.serve_slots(now):
            pass

    def tick(self, now: float) -> None:
        """Do what is due."""
        self.intake.tick(now)
        self.totals["lease_lost"] += self.queue.expire(now)
        self.keys.expire(now)
        for poll in self.polls.pop_expired(now):
            self._answer(poll.ticket, Delivered())

    def deadlines(self) -> Iterable[float | None]:
        """When `tick` is next needed, by each of its reasons."""
        yield self.queue.next_deadline()
        yield self.keys.next_deadline()
        yield self.polls.next_deadline()
        yield from self.intake.deadlines()
        yield from self.links.deadlines()

    def _serve_polls(self, now: float) -> bool:
        poll = self.polls.first()
        if poll is None or not self.queue.count(State.READY):
            return False
        self.polls.leave(poll.ticket)
        self._deliver(now, poll.ticket, poll.command)
        return True

    # How it is done.

    def _wait(self, line: WaitingLine[C], now: float, ticket: int, command: C, wait_s: float) -> None:
        if len(self.polls) + len(self.intake.slots) >= self._settings.max_waiting:
            raise Busy(f"{self._settings.max_waiting} requests wait already")
        line.join(Waiter(ticket, command, now + min(wait_s, wait_max_s)))

    def _deliver(self, now: float, ticket: int, get: Get) -> None:
        lease_s = self._settings.lease_s if get.lease_s is None else get.lease_s
        deliveries = self._lease(now, min(get.count_max, get_count_max), lease_s)
        outcome = Delivered(tuple(deliveries))
        self.totals["delivered"] += len(deliveries)
        if get.ack_now and deliveries:
            self.totals["acked"] += len(deliveries)
            self._remove(now, [each.receipt.id for each in deliveries], ticket, outcome)
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

    def _remove(self, now: float, ids: list[MessageId], ticket: int, outcome: Outcome) -> None:
        """Take messages off the queue for ever, and answer when every peer in session knows."""
        for id in ids:
            message = self.queue.remove(id)
            self.intake.removed(id)
            self.links.gone(id, None if message is None else self.keys.remove(now, id, message))
        self._removals.begin(ids, self.links.in_session(), ticket, outcome)

    # What the links tell; see `dqtw.core.replication.ports.LinksOwner`.

    def is_complete(self) -> bool:
        """Whether the start is over, and this is its queue's owner still."""
        return self._world.is_complete()

    def ready_count(self) -> int:
        """How many messages could be delivered now."""
        return self.queue.count(State.READY) if self._world.is_serving() else 0

    def last_number(self) -> int:
        """The number given last."""
        return self.intake.last_number

    def peer_sent(self, peer: str, put: IdSet) -> None:
        """These messages are on their way to the peer."""
        self.intake.pushes.sent(peer, put)

    def peer_not_sent(self, peer: str, put: IdSet) -> None:
        """These messages did not go to the peer after all."""
        self.intake.pushes.not_sent(peer, put)

    def peer_knows(self, peer: str, put: IdSet, gone: IdSet) -> None:
        """The peer holds these, and knows those as removed."""
        self.intake.peer_knows(peer, put)
        self._removals.known(peer, self._removals.pending_among(gone))
        self.intake.pushes.undone(peer, gone.__contains__)
        if self.intake.pushes.unsure() and self.links.all_settled():
            self.intake.pushes.settled()

    def peer_joined(self, peer: str) -> None:
        """The peer is in session; what its digest showed of pushes under way, it holds."""
        self._removals.peer_joined(peer, self.links[peer].knows)
        self.intake.peer_joined(peer)
        self._world.peer_changed(peer)

    def peer_left(self, peer: str) -> None:
        """The peer is no longer in session."""
        self.intake.pushes.peer_left(peer)
        self._removals.peer_left(peer)
        self._world.peer_changed(peer)

    def given_away(self, ids: Iterable[MessageId]) -> None:
        """A peer that is leaving has fetched these, out of session."""
        self.intake.pushes.given_away(ids)

    def peer_shared(self, peer: str) -> None:
        """The peer has given its copy to another peer."""
        self.intake.pushes.taint(peer)

    def removed_elsewhere(self, ids: IdSet) -> None:
        """These were removed, as a peer knows: by a process of this owner, on demand, or to take a push back."""
        self.greatest_met = max([self.greatest_met, *ids.incarnations])
        for id, message in self.copy.gone(ids).items():
            self.queue.forget(id)
            self.keys.withdraw(id, message)
            self.intake.removed_elsewhere(id, message)

    def recovered(self, now: float, put: tuple[Put, ...]) -> list[MessageId]:
        """A peer had these messages; those that were news here."""
        self.greatest_met = max([self.greatest_met, *(each.id.incarnation for each in put)])
        news = self.queue.recover((each.id, each.message(now)) for each in put)
        for id in news:
            self.keys.put(id, self.copy.live[id])
        return news

    def fenced(self, now: float, greatest: str) -> None:
        """A peer knows a greater incarnation."""
        self._world.fenced(now, greatest)

    def abandon(self, refusal: Refusal) -> None:
        """Serve nobody any more; what is under way can't be known to succeed, what only waits is refused."""
        for id in self.intake.pushes.unsure():
            self.copy.unsee(id)  # a successor may have answered it with success
        self.intake.pushes.abandon()
        self._removals.abandon(Uncertain("this node was replaced before all peers knew"))
        self.dismiss(refusal, refusal)

    def dismiss(self, poll: Outcome, push: Outcome) -> None:
        """Let nobody wait any more."""
        for waiting_poll in self.polls.pop_all():
            self._answer(waiting_poll.ticket, poll)
        for waiting_push in self.intake.slots.pop_all():
            self._answer(waiting_push.ticket, push)
