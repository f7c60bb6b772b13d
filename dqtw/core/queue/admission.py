"""How messages get onto the queue: a push waits for a slot, gets its number, and is answered when it has its copies.

A push is never taken back. A push with a key that is known is answered as the first push with it was.
"""

from collections import Counter
from typing import Final

from dqtw.core.effects import Answer
from dqtw.core.model.commands import Push, Pushed
from dqtw.core.model.dots import Dot
from dqtw.core.model.errors import Full, Refusal, TooLarge, Uncertain
from dqtw.core.model.message import Message
from dqtw.core.model.settings import NodeSettings
from dqtw.core.queue.queue import Queue
from dqtw.core.queue.waiting import Waiter, WaitingLine
from dqtw.core.replication.pending import Waiting
from dqtw.core.replication.replicator import Replicator

copies_late: Final = (
    "the copies of the message did not come in time; it is on the queue, hidden until they come, or lost with this node"
)


class Admission:
    """The pushes of one queue.

    Attributes:
        slots: the pushes that wait for room.
    """

    def __init__(self, settings: NodeSettings, queue: Queue, replicator: Replicator, totals: Counter[str]) -> None:
        self.slots: WaitingLine[Push] = WaitingLine()
        self._settings = settings
        self._queue = queue
        self._replicator = replicator
        self._totals = totals

    def push(self, now: float, ticket: int, push: Push) -> list[Answer]:
        """Add a message now, unless its key is known.

        Raises:
            TooLarge: it could never go in.
            KeyReused: its key was used with another body.
            Unreplicated: too few peers can hold it.
            Full: there is no room now; it may wait in `slots`.
        """
        if len(push.body) > self._settings.max_message:
            raise TooLarge(f"a message has at most {self._settings.max_message} bytes, this has {len(push.body)}")
        if (answers := self._repeat(now, ticket, push)) is not None:
            return answers
        self._replicator.check_enough()
        self.check_turn(len(push.body))
        self._admit(now, ticket, push)
        return []

    def check_turn(self, body_bytes: int) -> None:
        """See that a push may go in now: there is room, and no other waits for it already.

        Raises:
            TooLarge: it could never go in.
            Full: not now.
        """
        self._queue.check_room(body_bytes, self._replicator.needed)
        if self.slots:
            raise Full("others wait for a slot already")

    def serve_slots(self, now: float, *, takes_keys: bool) -> list[Answer] | None:
        """Let the first push in that waits for a slot; return the answers of that, or None if it must wait on.

        Args:
            now: the monotonic clock, in seconds.
            takes_keys: pushes with a key are taken now.
        """
        first = self.slots.first()
        if first is None or (first.command.key is not None and not takes_keys):
            return None
        try:
            if first.command.key not in self._replicator.holding.keys:  # a known message needs no slot
                self._queue.check_room(len(first.command.body), self._replicator.needed)
        except Full:
            return None
        self.slots.leave(first.ticket)
        return self._take_turn(now, first)

    def _take_turn(self, now: float, first: Waiter[Push]) -> list[Answer]:
        try:
            if (answers := self._repeat(now, first.ticket, first.command)) is not None:
                return answers
            self._replicator.check_enough()
            self._admit(now, first.ticket, first.command)
        except Refusal as refusal:
            return [Answer(first.ticket, refusal)]
        return []

    def _repeat(self, now: float, ticket: int, push: Push) -> list[Answer] | None:
        """Answer a push whose key is known, now or with its copies; None if the key is new.

        A known key comes before every refusal: a retry is never told that its message is not on the queue.
        """
        keys, replicator = self._replicator.holding.keys, self._replicator
        dot = None if push.key is None else keys.find(push.key, push.body)
        if dot is None:
            return None
        is_committed = dot not in replicator.pushes and dot[0] == replicator.incarnation
        if dot in replicator.holding.replica and not is_committed:
            replicator.repeat(now, dot, ticket)
            return []
        return [Answer(ticket, self._pushed(dot, None, is_duplicate=True))]

    def _admit(self, now: float, ticket: int, push: Push) -> None:
        message = Message(push.body, push.content_type, push.key, now)
        self._queue.admit(self._replicator.push(now, message, ticket))

    def commit(self) -> list[Answer]:
        """Answer the pushes that enough nodes hold, and make their messages ready."""
        answers: list[Answer] = []
        for waiting in self._replicator.committed():
            self._queue.release(dot for dot in waiting.dots if dot in self._queue.waiting)
            answers += self.succeed(waiting)
        return answers

    def succeed(self, waiting: Waiting[bool]) -> list[Answer]:
        """Return the answers of pushes whose message has its copies, or was removed by a client meanwhile."""
        (dot,) = waiting.dots
        self._totals["pushed"] += sum(not is_retry for _, is_retry in waiting.tickets)
        return [
            Answer(ticket, self._pushed(dot, waiting.index, is_duplicate=is_retry))
            for ticket, is_retry in waiting.tickets
        ]

    def _pushed(self, dot: Dot, entry: int | None, *, is_duplicate: bool) -> Pushed:
        copies = self._replicator.copies(dot, entry)
        return Pushed(self._queue.id(dot), copies, len(self._settings.members), is_duplicate)

    def tick(self, now: float) -> list[Answer]:
        """Answer the pushes that waited too long, for their copies or for a slot."""
        answers = [Answer(ticket, Uncertain(copies_late)) for ticket in self._replicator.expired_pushes(now)]
        for push in self.slots.pop_expired(now):
            try:  # a push with the same key may have gone in while this one waited
                repeated = self._repeat(now, push.ticket, push.command)
                answers += [Answer(push.ticket, Full("no slot became free in time"))] if repeated is None else repeated
            except Refusal as refusal:
                answers.append(Answer(push.ticket, refusal))
        return answers
