"""The bounded queue over its owner's messages: which are ready, which are leased, and until when.

Nothing waits in here: the queue says what there is, `dqtw.core.queue.waiting` says which requests want it.
"""

from collections import Counter
from collections.abc import Iterable

from attrs import define

from dqtw.core.model.commands import Delivery, Inspected, State
from dqtw.core.model.deadlines import Deadlines
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import Full, LeaseLost, TooLarge, Unknown
from dqtw.core.model.message import Message, MessageId, Receipt
from dqtw.core.model.replica import Replica


@define
class Entry:
    """A message that was delivered at least once.

    Attributes:
        lease_s: length of its latest lease, for a touch that names none.
        token: of its latest lease; a receipt with another token is out of date.
    """

    state: State = State.READY
    attempts: int = 0
    token: str = ""
    lease_s: float = 0.0


class Queue:
    """The messages of one owner, in the order of their dots.

    A live message is either waiting, or ready, or hidden, or it has an entry that says that it is leased or delayed.

    Attributes:
        waiting: messages whose copies have not come; not shown to workers.
        ready: messages that can be delivered.
        rises: how often the first of them became ready.
        hidden: messages that would be ready, but are withheld: a peer knows them as removed, and they are not
            delivered until it is known what became of them.
    """

    def __init__(self, node: str, replica: Replica, size: int, bytes_max: int) -> None:
        self.waiting = DotSet()
        self.ready = DotSet()
        self.rises = 0
        self.hidden = DotSet()
        self._withheld = DotSet()
        self._node = node
        self._replica = replica
        self._size = size
        self._bytes_max = bytes_max
        self._entries: dict[Dot, Entry] = {}
        self._counts: Counter[State] = Counter()  # of entries
        self._deadlines: Deadlines[Dot] = Deadlines()  # of leases and delays

    def count(self, state: State) -> int:
        """Return how many messages are in that state."""
        match state:
            case State.READY:
                return len(self.ready)
            case State.WAITING:
                return len(self.waiting) + len(self.hidden)
            case _:
                return self._counts[state]

    def check_room(self, body_bytes: int, expected: int = 0) -> None:
        """See that one more message fits, beside ``expected`` messages that are known to come.

        Raises:
            TooLarge: it could never fit.
            Full: it does not fit now.
        """
        count, held_bytes = self._replica.count + expected, self._replica.body_bytes
        if body_bytes > self._bytes_max:
            raise TooLarge(f"a queue of {self._bytes_max} bytes never has room for {body_bytes}")
        if count >= self._size:
            raise Full(f"the queue holds {count} messages, its size is {self._size}")
        if held_bytes + body_bytes > self._bytes_max:
            raise Full(f"the queue holds {held_bytes} bytes of at most {self._bytes_max}")

    def admit(self, dot: Dot) -> None:
        """Add a new message that waits for its copies."""
        self.waiting.add(*dot)

    def release(self, dots: Iterable[Dot]) -> None:
        """Make messages ready, whatever they waited for."""
        for dot in dots:
            self.waiting.discard(*dot)
            self._show(dot)

    def _show(self, dot: Dot) -> None:
        if dot in self._withheld:
            self.hidden.add(*dot)
            return
        self.rises += not self.ready
        self.ready.add(*dot)

    @property
    def withholds(self) -> bool:
        """True if some messages are withheld."""
        return bool(self._withheld)

    def withhold(self, dots: DotSet) -> None:
        """Deliver none of these messages, and again all others."""
        shown = self.hidden - dots
        held = self.ready & dots
        self.hidden = (self.hidden - shown) | held
        ready = self.ready - held
        self.rises += bool(shown and not ready)
        self.ready = ready | shown
        self._withheld = dots

    def lease(self, now: float, lease_s: float, token: str) -> Delivery | None:
        """Deliver the first ready message; None if none is ready."""
        dot = self.ready.first_dot()
        if dot is None:
            return None
        self.ready.discard(*dot)
        entry = self._entries.get(dot)
        if entry is None:
            entry = self._entries[dot] = Entry()
        entry.state, entry.token, entry.lease_s = State.LEASED, token, lease_s
        entry.attempts += 1
        self._counts[State.LEASED] += 1
        self._deadlines.set(dot, now + lease_s)
        message = self._replica.get(dot)
        assert message is not None
        return Delivery(Receipt(self.id(dot), token), entry.attempts, lease_s, message)

    def forget(self, dot: Dot) -> None:
        """Drop what is known of a message that was removed."""
        entry = self._entries.pop(dot, None)
        if entry is not None and entry.state is not State.READY:
            self._counts[entry.state] -= 1
            self._deadlines.cancel(dot)
        else:
            for dots in (self.ready, self.waiting, self.hidden):
                if dot in dots:
                    dots.discard(*dot)

    def nack(self, now: float, receipt: Receipt, delay_s: float) -> None:
        """Make a leased message ready again, at its old place, ``delay_s`` seconds from now.

        Raises:
            Unknown: the message was removed.
            LeaseLost: the lease is no longer this receipt's.
        """
        entry, dot = self.leased(now, receipt), receipt.id[1:]
        if delay_s > 0:
            self._counts[State.LEASED] -= 1
            self._counts[State.DELAYED] += 1
            entry.state = State.DELAYED
            self._deadlines.set(dot, now + delay_s)
        else:
            self._deadlines.cancel(dot)
            self._end(dot)

    def give_back(self, now: float, receipt: Receipt) -> None:
        """Undo a delivery that never reached its worker.

        Raises:
            Unknown: the message was removed.
            LeaseLost: the lease is no longer this receipt's.
        """
        self.leased(now, receipt).attempts -= 1
        self.nack(now, receipt, 0.0)

    def touch(self, now: float, receipt: Receipt, lease_s: float | None) -> None:
        """Start a lease again.

        Raises:
            Unknown: the message was removed.
            LeaseLost: the lease is no longer this receipt's.
        """
        entry = self.leased(now, receipt)
        self._deadlines.set(receipt.id[1:], now + (entry.lease_s if lease_s is None else lease_s))

    def leased(self, now: float, receipt: Receipt) -> Entry:
        """Return the entry of a message that this receipt's holder has leased.

        Raises:
            Unknown: the message was removed.
            LeaseLost: the lease is no longer this receipt's.
        """
        dot = receipt.id[1:]
        if dot not in self._replica:
            raise unknown(receipt.id)
        entry, deadline = self._entries.get(dot), self._deadlines.get(dot)
        if entry is None or entry.state is not State.LEASED or entry.token != receipt.token:
            raise LeaseLost("the lease has ended or was given up")
        if deadline is None or deadline <= now:
            raise LeaseLost("the lease has ended or was given up")
        return entry

    def inspect(self, now: float, id: MessageId) -> Inspected:
        """Report on a message.

        Raises:
            Unknown: it is not on the queue.
        """
        dot = id[1:]
        message = self._replica.get(dot)
        if message is None:
            raise unknown(id)
        entry = self._entries.get(dot, Entry())
        is_held = dot in self.waiting or dot in self.hidden
        age_s = max(now - message.born_s, 0.0)
        state = State.WAITING if is_held else entry.state
        return Inspected(state, entry.attempts, len(message.body), message.content_type, age_s)

    def expire(self, now: float) -> int:
        """Make messages ready whose lease or delay is over; return how many leases ended."""
        leased = self._counts[State.LEASED]
        for dot in self._deadlines.pop_due(now):
            self._end(dot)
        return leased - self._counts[State.LEASED]

    def next_deadline(self) -> float | None:
        """Return when `expire` is next needed, or None."""
        return self._deadlines.next()

    def oldest_ready(self) -> Message | None:
        """Return the message that would be delivered next, or None."""
        dot = self.ready.first_dot()
        return None if dot is None else self._replica.get(dot)

    def _end(self, dot: Dot) -> None:
        """End a lease or a delay."""
        entry = self._entries[dot]
        self._counts[entry.state] -= 1
        entry.state = State.READY
        self._show(dot)

    def id(self, dot: Dot) -> MessageId:
        """Return the id by which clients know a message."""
        return MessageId(self._node, *dot)


def unknown(id: MessageId) -> Unknown:
    """Return the refusal for an id that names nothing on the queue."""
    return Unknown(f"there is no message {id}: it was removed, or never was")
