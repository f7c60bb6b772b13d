"""Idempotency keys: which message a key names, while that is on the queue and for a while after its removal."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from attrs import frozen

from dqtw.core.model.deadlines import Deadlines
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import KeyReused
from dqtw.core.model.message import Message

records_min: Final = 100_000
records_per_slot: Final = 10


def body_digest(body: bytes) -> bytes:
    """Return what is remembered of a body, to tell a retry from another message under the same key."""
    return blake2b(body, digest_size=16).digest()


@frozen
class KeyRecord:
    """The key of a removed message.

    Attributes:
        removed_s: when it was removed, in seconds of this process's monotonic clock.
    """

    key: str
    dot: Dot
    digest: bytes
    removed_s: float


class KeyMemory:
    """The keys of one owner's messages.

    Its size is bounded: past the bound the record that would be forgotten first goes first. A live message comes
    before a removed one of the same key, for it can still be delivered.
    """

    def __init__(self, memory_s: float, size: int) -> None:
        self._memory_s = memory_s
        self._records_max = max(records_min, records_per_slot * size)
        self._live: dict[str, dict[Dot, bytes]] = {}  # by key: the messages that have it, and the digest of each
        self._removed: dict[str, KeyRecord] = {}
        self._by_dot: dict[str, dict[int, str]] = {}  # the keys of removed messages, by incarnation and number
        self._forget_at: Deadlines[str] = Deadlines()

    def __len__(self) -> int:
        return len(self._live) + len(self._removed)

    def __contains__(self, key: str | None) -> bool:
        return key in self._live or key in self._removed

    def find(self, key: str, body: bytes) -> Dot | None:
        """Return the message that was pushed with this key, or None.

        Raises:
            KeyReused: it was pushed with another body.
        """
        live = self._live.get(key)
        if live:
            dot, digest = next(iter(live.items()))
        elif key in self._removed:
            record = self._removed[key]
            dot, digest = record.dot, record.digest
        else:
            return None
        if digest != body_digest(body):
            raise KeyReused("this key was used before, with another body")
        return dot

    def put(self, dot: Dot, message: Message) -> None:
        """Remember the key of a live message, if it has one."""
        if message.key is not None:
            self._live.setdefault(message.key, {})[dot] = body_digest(message.body)

    def remove(self, now: float, dot: Dot, message: Message) -> KeyRecord | None:
        """Remember that a live message was removed now; return the record, or None if the message has no key."""
        if message.key is None:
            return None
        record = KeyRecord(message.key, dot, self._take_live(dot, message), now)
        self._learn(now, record)
        return record

    def learn(self, now: float, removed: Iterable[tuple[Dot, Message]], records: Iterable[KeyRecord]) -> None:
        """Take over what a peer reports of removed messages.

        Args:
            now: the monotonic clock, in seconds.
            removed: messages that were live here until now.
            records: the keys that the peer remembers. A key without a record is older than the memory goes back.
        """
        for dot, message in removed:
            if message.key is not None:
                self._take_live(dot, message)
        for record in records:
            self._learn(now, record)

    def _take_live(self, dot: Dot, message: Message) -> bytes:
        assert message.key is not None
        live = self._live.get(message.key, {})
        digest = live.pop(dot, None)
        if not live:
            self._live.pop(message.key, None)
        return body_digest(message.body) if digest is None else digest

    def _learn(self, now: float, record: KeyRecord) -> None:
        forget_at = record.removed_s + self._memory_s
        if forget_at <= now or (self._forget_at.get(record.key) or now) >= forget_at:
            return  # it is too old, or the memory of this key here is younger
        self._forget(record.key)
        self._removed[record.key] = record
        self._by_dot.setdefault(record.dot[0], {})[record.dot[1]] = record.key
        self._forget_at.set(record.key, forget_at)
        if len(self._removed) > self._records_max:
            self._forget(self._forget_at.pop())

    def _forget(self, key: str) -> None:
        record = self._removed.pop(key, None)
        if record is not None:
            numbers = self._by_dot[record.dot[0]]
            del numbers[record.dot[1]]
            if not numbers:
                del self._by_dot[record.dot[0]]

    def records_of(self, removed: DotSet, count_max: int) -> tuple[DotSet, list[KeyRecord]]:
        """Return the records of the first of these removed messages, at most ``count_max`` of them.

        Returns:
            The part of the set that the answer covers, which may be much larger than the count of its records; and
            the records of all messages in that part.
        """
        records: list[KeyRecord] = []
        for incarnation in removed.incarnations:
            ranges, keys = removed.numbers(incarnation), self._by_dot.get(incarnation, {})
            known = (
                [n for n in ranges if n in keys] if len(ranges) < len(keys) else sorted(n for n in keys if n in ranges)
            )
            left = count_max - len(records)
            records += (self._removed[keys[n]] for n in known[:left])
            if len(known) > left:
                return removed.between(None, (incarnation, known[left] - 1)), records
        return removed, records

    def expire(self, now: float) -> None:
        """Forget what was removed long enough ago."""
        for key in self._forget_at.pop_due(now):
            self._forget(key)

    def next_deadline(self) -> float | None:
        """Return when `expire` is next needed, or None."""
        return self._forget_at.next()
