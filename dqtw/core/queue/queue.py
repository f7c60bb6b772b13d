"""The bounded queue over its owner's own copy: which message is ready, which is leased, and until when.

Nothing waits in here: the queue says what there is, `dqtw.core.queue.waiting` says who would like it.
"""

from collections import Counter
from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from attrs import define

from dqtw.core.model.commands import Delivery, Inspected, State
from dqtw.core.model.copy import Copy
from dqtw.core.model.deadlines import Deadlines
from dqtw.core.model.errors import Full, LeaseLost, TooLarge, Unknown
from dqtw.core.model.message import Message, MessageId, Receipt


@define
class Entry:
    """Where one message stands.

    Attributes:
        lease_s: length of its latest lease, for a touch that names none.
        token: of its latest lease; a receipt with another token is out of date.
    """

    state: State
    attempts: int = 0
    token: str = ""
    lease_s: float = 0.0


class Queue:
    """The messages of one owner, in the order of their ids.

    Attributes:
        copy: what the owner itself knows of its queue; every live message has an entry here, and no other has.
    """

    def __init__(self, copy: Copy, size: int, bytes_max: int) -> None:
        self.copy = copy
        self._size = size
        self._bytes_max = bytes_max
        self._entries: dict[MessageId, Entry] = {}
        self._counts: Counter[State] = Counter()
        self._ready: list[MessageId] = []  # a heap; an id that was removed while ready stays until it surfaces
        self._deadlines: Deadlines[MessageId] = Deadlines()  # of leases and delays

    def __len__(self) -> int:
        return len(self._entries)

    def count(self, state: State) -> int:
        """How many messages stand there."""
        return self._counts[state]

    def check_room(self, body_bytes: int, expected: int = 0) -> None:
        """See whether one more message fits, beside ``expected`` ones that are known to come.

        Raises:
            TooLarge: it could never fit.
            Full: it does not fit now.
        """
        if body_bytes > self._bytes_max:
            raise TooLarge(f"a queue of {self._bytes_max} bytes never has room for {body_bytes}")
        if len(self._entries) + expected >= self._size:
            raise Full(f"the queue holds {len(self._entries) + expected} messages, its size is {self._size}")
        if self.copy.body_bytes + body_bytes > self._bytes_max:
            raise Full(f"the queue holds {self.copy.body_bytes} bytes of at most {self._bytes_max}")

    def admit(self, id: MessageId, message: Message) -> None:
        """Take a new message in, hidden from workers until it is `released`."""
        self.copy.put(id, message)
        self._entries[id] = Entry(State.WAITING)
        self._counts[State.WAITING] += 1

    def recover(self, messages: Iterable[tuple[MessageId, Message]]) -> list[MessageId]:
        """Take in messages that another copy kept, ready at their old places, but for known ones; the new ids."""
        news = self.copy.put_all(messages)
        for id in news:
            self._entries[id] = Entry(State.WAITING)
            self._counts[State.WAITING] += 1
            self.release(id)
        return news

    def release(self, id: MessageId) -> None:
        """Show a message that waited for its copies to the workers."""
        self._move(self._entries[id], State.READY)
        heappush(self._ready, id)

    def lease(self, now: float, lease_s: float, token: str) -> Delivery | None:
        """Hand the first ready message out; None when none is ready."""
        id = self._first_ready()
        if id is None:
            return None
        heappop(self._ready)
        entry = self._entries[id]
        self._move(entry, State.LEASED)
        entry.attempts += 1
        entry.token = token
        entry.lease_s = lease_s
        self._deadlines.set(id, now + lease_s)
        return Delivery(Receipt(id, token), entry.attempts, lease_s, self.copy.live[id])

    def remove(self, id: MessageId) -> Message | None:
        """Take a message off the queue for ever; what it was, or None when it is not on the queue."""
        message = self.copy.remove(id)
        if message is not None:
            self.forget(id)
        return message

    def is_waiting(self, id: MessageId) -> bool:
        """Whether the message still waits for its copies."""
        entry = self._entries.get(id)
        return entry is not None and entry.state is State.WAITING

    def nack(self, now: float, receipt: Receipt, delay_s: float) -> None:
        """Make a leased message ready again, at its old place, ``delay_s`` seconds from now.

        Raises:
            Unknown: the message is gone.
            LeaseLost: the lease is no longer this receipt's.
        """
        entry = self._leased(now, receipt)
        if delay_s > 0:
            self._move(entry, State.DELAYED)
            self._deadlines.set(receipt.id, now + delay_s)
        else:
            self._deadlines.cancel(receipt.id)
            self.release(receipt.id)

    def give_back(self, now: float, receipt: Receipt) -> None:
        """Undo a delivery that never reached its worker.

        Raises:
            Unknown: the message is gone.
            LeaseLost: the lease is no longer this receipt's.
        """
        self._leased(now, receipt).attempts -= 1
        self.nack(now, receipt, 0.0)

    def touch(self, now: float, receipt: Receipt, lease_s: float | None) -> None:
        """Start a lease anew.

        Raises:
            Unknown: the message is gone.
            LeaseLost: the lease is no longer this receipt's.
        """
        entry = self._leased(now, receipt)
        self._deadlines.set(receipt.id, now + (entry.lease_s if lease_s is None else lease_s))

    def check_leased(self, now: float, receipt: Receipt) -> None:
        """See that the message is in the hands of this receipt's holder.

        Raises:
            Unknown: the message is gone.
            LeaseLost: the lease is no longer this receipt's.
        """
        self._leased(now, receipt)

    def inspect(self, now: float, id: MessageId) -> Inspected:
        """Tell about a message.

        Raises:
            Unknown: it is not on the queue.
        """
        entry = self._entries.get(id)
        if entry is None:
            raise unknown(id)
        message = self.copy.live[id]
        age_s = max(now - message.born_s, 0.0)
        return Inspected(entry.state, entry.attempts, len(message.body), message.content_type, age_s)

    def expire(self, now: float) -> int:
        """Make ready again what had a lease or a delay until now; how many leases ended."""
        leased = self._counts[State.LEASED]
        for id in self._deadlines.pop_due(now):
            self.release(id)
        return leased - self._counts[State.LEASED]

    def next_deadline(self) -> float | None:
        """When `expire` is next needed."""
        return self._deadlines.next()

    def oldest_ready(self) -> Message | None:
        """The message that would be delivered next."""
        id = self._first_ready()
        return None if id is None else self.copy.live[id]

    def _leased(self, now: float, receipt: Receipt) -> Entry:
        entry = self._entries.get(receipt.id)
        if entry is None:
            raise unknown(receipt.id)
        deadline = self._deadlines.get(receipt.id)
        if entry.state is not State.LEASED or entry.token != receipt.token or deadline is None or deadline <= now:
            raise LeaseLost("the lease has ended or was given up")
        return entry

    def forget(self, id: MessageId) -> None:
        """The copy has lost this message: drop where it stood, and its deadline."""
        entry = self._entries.pop(id)
        self._counts[entry.state] -= 1
        self._deadlines.cancel(id)
        if len(self._ready) > 64 + 2 * self._counts[State.READY]:
            self._compact_ready()

    def _compact_ready(self) -> None:
        """Removed ids never outnumber the ready ones, so memory follows the queue's length."""
        self._ready = [id for id in self._ready if id in self._entries]
        heapify(self._ready)

    def _first_ready(self) -> MessageId | None:
        while self._ready and self._ready[0] not in self._entries:
            heappop(self._ready)
        return self._ready[0] if self._ready else None

    def _move(self, entry: Entry, state: State) -> None:
        self._counts[entry.state] -= 1
        self._counts[state] += 1
        entry.state = state


def unknown(id: MessageId) -> Unknown:
    """The refusal for an id that names nothing on the queue."""
    return Unknown(f"there is no message {id}: it was removed, or never was")
