"""Taking messages in: a push waits for a slot, gets its id, waits for its copies, and is answered, or taken back.

A push with a key that was seen before is answered as the first one was. What an earlier process of this owner took in
is not this one's to take back: it is adopted, see `dqtw.core.replication.commit.Pushes`. Once a retry was told that it
is there, it is *vouched* for. Should a peer come back that knows it as taken back, the message is *renewed*: it stays,
under another id. A removal of which the key's record tells was a client's; then the message goes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from dqtw.core.model.commands import Push, Pushed
from dqtw.core.model.errors import Full, Refusal, TooLarge
from dqtw.core.model.keys import KeyMemory
from dqtw.core.model.message import Message, MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.queue.queue import Queue
from dqtw.core.queue.waiting import Waiter, WaitingLine
from dqtw.core.replication.commit import AnswerTo, Pushes, answer_late_s
from dqtw.core.replication.links import Links

put_off_s: Final = 0.25
short_of_peers_s: Final = 1.0


class Intake:
    """The messages that one owner takes in.

    Attributes:
        incarnation: in which ids are given; empty until the start has taken one.
        slots: the pushes that wait for room.
        pushes: those that are in, and have no answer yet.
    """

    def __init__(
        self,
        settings: NodeSettings,
        queue: Queue,
        keys: KeyMemory,
        links: Links,
        totals: Counter[str],
        answer: AnswerTo,
    ) -> None:
        self.incarnation = ""
        self.slots: WaitingLine[Push] = WaitingLine()
        self.pushes = Pushes(settings.node, settings.copies, len(settings.members), settings.push_timeout_s, answer)
        self._settings = settings
        self._queue = queue
        self._keys = keys
        self._links = links
        self._totals = totals
        self._answer = answer
        self._vouched: set[MessageId] = set()  # recovered messages of which a retry was told that they are there
        self._renewed: set[MessageId] = set()  # taken in again under a new id, without waiting for copies
        self._n = 0
        self._was_short = True

    @property
    def last_number(self) -> int:
        """The number given last."""
        return self._n

    # A slot.

    def push(self, now: float, ticket: int, push: Push) -> None:
        """Take a message in now, unless its key was pushed before.

        Raises:
            TooLarge: it could never go in.
            KeyReused: its key was pushed with another body.
            Unreplicated: too few peers are in session.
            Full: not now; it may wait in `slots`.
        """
        if len(push.body) > self._settings.max_message:
            raise TooLarge(f"a message has at most {self._settings.max_message} bytes, this has {len(push.body)}")
        if self.repeats(now, ticket, push):
            return
        self._links.check_enough()
        self.check_turn(len(push.body))
        self.admit(now, ticket, push)

    def check_turn(self, body_bytes: int) -> None:
        """See whether a push may go in now: there is room, and nobody waits for it already.

        Raises:
            TooLarge: it could never go in.
            Full: not now.
        """
        self._queue.check_room(body_bytes, self._links.needed)
        if self.slots:
            raise Full("others wait for a slot already")

    def serve_slots(self, now: float) -> bool:
        """Let the first push in that waits for a slot, if there is one now; whether that changed anything."""
        first = self.slots.first()
        if first is None or (first.command.key is not None and not self._links.rescue_is_done()):
            return False  # the key may be among the messages that are still being recovered
        try:
            if first.command.key not in self._keys:  # what is known already needs no slot
                self._queue.check_room(len(first.command.body), self._links.needed)
        except Full:
            return False
        self.slots.leave(first.ticket)
        self._take_turn(now, first)
        return True

    def _take_turn(self, now: float, first: Waiter[Push]) -> None:
        """A slot is free: what was true when the push began to wait must be looked at again."""
        try:
            if not self.repeats(now, first.ticket, first.command):
                self._links.check_enough()
                self.admit(now, first.ticket, first.command)
        except Refusal as refusal:
            self._answer(first.ticket, refusal)

    def _give_up(self, now: float, push: Waiter[Push]) -> None:
        """No slot became free in time; but a push of the same key may have been taken in while this one waited."""
        try:
            if not self.repeats(now, push.ticket, push.command):
                raise Full("no slot became free in time")
        except Refusal as refusal:
            self._answer(push.ticket, refusal)

    # A place on the queue.

    def repeats(self, now: float, ticket: int, push: Push) -> bool:
        """Whether the key was pushed before; then the answer is, or will be, that of the first push.

        Raises:
            KeyReused: it was pushed with another body.
        """
        known = None if push.key is None else self._keys.find(push.key, push.body)
        if known is None:
            return False
        if self.pushes.share(known, ticket):
            return True
        if known in self._queue.copy.live and (known.incarnation != self.incarnation or known in self._renewed):
            self._adopt(now, ticket, known)
        else:
            self._answer(ticket, self._pushed(known, duplicate=True))
        return True

    def admit(self, now: float, ticket: int, push: Push) -> None:
        """Take a message in, and answer when enough nodes hold it."""
        self._n += 1
        id = MessageId(self._settings.node, self.incarnation, self._n)
        message = Message(push.body, push.content_type, push.key, now)
        self._queue.admit(id, message)
        self._keys.put(id, message)
        self.pushes.begin(now, id, ticket)
        self._links.put(id)
        self.commit([id])

    def commit(self, ids: Iterable[MessageId]) -> None:
        """Answer those pushes of which enough nodes hold the message."""
        for id in self.pushes.committed(ids):
            if self.pushes.is_adopted(id):
                self._vouched.add(id)
            else:
                self._queue.release(id)
            self.succeed(id)

    def succeed(self, id: MessageId) -> None:
        """Answer those who wait to be told of this message, if there are any."""
        is_new = not self.pushes.is_adopted(id)
        requests = self.pushes.finish(id)
        self._totals["pushed"] += is_new and bool(requests)
        for ticket in requests:
            self._answer(ticket, self._pushed(id, duplicate=not is_new or ticket != requests[0]))

    def removed(self, id: MessageId) -> None:
        """The message is off the queue; a retry that waits to be told of it is told."""
        self._vouched.discard(id)
        self._renewed.discard(id)
        self.succeed(id)

    def removed_elsewhere(self, id: MessageId, message: Message) -> None:
        """A peer knows the message as removed: it was recovered, delivered and acknowledged there.

        What an earlier process took in may have been taken back by it instead. Had this one told a retry before the two
        met that the message is there, then it stays, under another id.
        """
        is_owed = id in self._vouched and not self._keys.was_removed(message.key, id)
        if self.pushes.is_adopted(id):
            self.pushes.disown(id)
        self.removed(id)
        if is_owed:
            self._take_in_again(message)

    def _take_in_again(self, message: Message) -> None:
        self._n += 1
        id = MessageId(self._settings.node, self.incarnation, self._n)
        self._queue.recover([(id, message)])
        self._renewed.add(id)
        self._keys.put(id, message)
        self._links.put(id, is_first=True)  # else peers would know the old id as removed, and not know the new one

    def peer_knows(self, peer: str, put: Iterable[MessageId]) -> None:
        """The peer holds these."""
        self.pushes.held(peer, put)
        self.commit(put)

    def peer_joined(self, peer: str) -> None:
        """The peer is in session; what its digest showed of pushes under way, it holds."""
        self.pushes.joined(peer, self._links[peer].knows)
        self.commit(self.pushes.ids())

    # Time.

    def tick(self, now: float) -> None:
        """Give up what did not get its copies, or no slot, in time."""
        self._hurry_if_short_of_peers(now)
        for id in self.pushes.pop_due(now):
            self._time_out(now, id)
        for push in self.slots.pop_expired(now):
            self._give_up(now, push)

    def deadlines(self) -> Iterator[float | None]:
        """When `tick` is next needed, by each of its reasons."""
        yield self.slots.next_deadline()
        yield self.pushes.next_deadline()

    def _adopt(self, now: float, ticket: int, id: MessageId) -> None:
        """Tell a retry of a recovered message as soon as every member holds it."""
        peers = [peer for peer in self._links.in_session() if self._links[peer].knows(id)]
        self.pushes.adopt(now, id, ticket, peers)
        self.commit([id])
        if len(self._links.in_session()) + 1 < len(self._settings.members) and self.pushes.is_adopted(id):
            self.pushes.disown(id)

    def _hurry_if_short_of_peers(self, now: float) -> None:
        """Pushes under way that can't get their copies any more wait a little for a peer to come back, not for long."""
        is_short = self._links.is_short
        if is_short and not self._was_short:
            self.pushes.hurry(now + short_of_peers_s)
        elif self._was_short and not is_short:
            self.pushes.calm()
        self._was_short = is_short

    def _time_out(self, now: float, id: MessageId) -> None:
        """A push did not get its copies in time: take it back, if it is this process's to take back.

        In doubt, that must be confirmed first; by what was asked since its time was up: slow peers are always in doubt.
        Who waits for it is answered all the same before long.
        """
        if self.pushes.is_adopted(id):
            self.pushes.disown(id)
        elif self._links.in_doubt(now) and not self._links.is_fresh(now, self.pushes.due_at(now, id)):
            if now >= self.pushes.due_at(now, id) + answer_late_s:
                self.pushes.answer_uncertain(id)
            self.pushes.put_off(id, now + put_off_s)
        else:
            self._withdraw(now, id)

    def _withdraw(self, now: float, id: MessageId) -> None:
        message = self._queue.remove(id)
        if message is not None:
            self._keys.withdraw(id, message)
        self._links.gone(id)
        self.pushes.withdraw(now, id)

    def _pushed(self, id: MessageId, *, duplicate: bool) -> Pushed:
        return Pushed(id, self._links.known_by(id), len(self._settings.members), duplicate)
