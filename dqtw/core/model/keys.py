"""Idempotency keys: which message a key named, while that is on the queue and for a while after its removal."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from attrs import frozen

from dqtw.core.model.deadlines import Deadlines
from dqtw.core.model.errors import KeyReused
from dqtw.core.model.message import Message, MessageId

records_min: Final = 100_000
records_per_slot: Final = 10


def body_digest(body: bytes) -> bytes:
    """What is remembered of a body, to tell a retry from another message under the same key."""
    return blake2b(body, digest_size=16).digest()


@frozen
class KeyRecord:
    """A key, what it named, and for how long that has been removed; an age, because nodes share no clock."""

    key: str
    id: MessageId
    digest: bytes
    age_s: float


@frozen
class _Known:
    id: MessageId
    digest: bytes
    number: int = 0  # of its removal, in the order in which this memory learned of them


class KeyMemory:
    """The keys of one queue. What it holds is bounded: the record that was to be forgotten first goes first.

    Attributes:
        learned: how many removals it has learned of, those included that it has forgotten since.
    """

    def __init__(self, memory_s: float, size: int) -> None:
        self.learned = 0
        self._memory_s = memory_s
        self._records_max = max(records_min, records_per_slot * size)
        self._live: dict[str, dict[MessageId, _Known]] = {}
        self._removed: dict[str, _Known] = {}  # the one that was learned last comes last
        self._forget_at: Deadlines[str] = Deadlines()

    def __len__(self) -> int:
        return len(self._live) + len(self._removed)

    def __contains__(self, key: str | None) -> bool:
        return key in self._live or key in self._removed

    def find(self, key: str, body: bytes) -> MessageId | None:
        """The id that a push with this key got before, or None.

        Raises:
            KeyReused: it was pushed with another body.
        """
        known = next(iter(self._live.get(key, {}).values()), None) or self._removed.get(key)
        if known is None:
            return None
        if known.digest != body_digest(body):
            raise KeyReused("this key was used before, with another body")
        return known.id

    def was_removed(self, key: str | None, id: MessageId) -> bool:
        """Whether this message is known to have been removed; one that was taken back is not."""
        known = self._removed.get(key or "")
        return known is not None and known.id == id

    def put(self, id: MessageId, message: Message) -> None:
        """Remember the key of a message that is on the queue."""
        if message.key is not None:
            self._live.setdefault(message.key, {}).setdefault(id, _Known(id, body_digest(message.body)))

    def withdraw(self, id: MessageId, message: Message) -> None:
        """Forget the key of a push that was taken back: it may be pushed again."""
        if message.key is not None and message.key in self._live:
            self._live[message.key].pop(id, None)
            if not self._live[message.key]:
                del self._live[message.key]

    def remove(self, now: float, id: MessageId, message: Message) -> KeyRecord | None:
        """Remember the key of a message that was removed; the record, for the other copies."""
        if message.key is None:
            return None
        self.withdraw(id, message)
        record = KeyRecord(message.key, id, body_digest(message.body), 0.0)
        self.learn(now, record)
        return record

    def learn(self, now: float, record: KeyRecord) -> bool:
        """Remember what another copy remembers, unless it is too old, or this copy's memory of it is younger.

        Whether it was news; another age of what is known is none.
        """
        is_new = not self.was_removed(record.key, record.id)
        forget_at = now + self._memory_s - record.age_s
        if forget_at <= now or (self._forget_at.get(record.key) or now) >= forget_at:
            return False
        if is_new:
            self.learned += 1
            self._removed.pop(record.key, None)
            self._removed[record.key] = _Known(record.id, record.digest, self.learned)
        self._forget_at.set(record.key, forget_at)
        if len(self._removed) > self._records_max:
            del self._removed[self._forget_at.pop()]
        return is_new and record.key in self._removed

    def learned_since(self, number: int) -> Iterator[MessageId]:
        """The removals that were learned of after so many, the latest first; but for those forgotten since."""
        for known in reversed(self._removed.values()):
            if known.number <= number:
                return
            yield known.id

    def expire(self, now: float) -> None:
        """Forget what was removed long enough ago."""
        for key in self._forget_at.pop_due(now):
            del self._removed[key]

    def next_deadline(self) -> float | None:
        """When `expire` is next needed."""
        return self._forget_at.next()

    def records(self, now: float) -> list[KeyRecord]:
        """All that is remembered of removed messages."""
        return [
            KeyRecord(key, known.id, known.digest, now - (self._forget_at.get(key) or now) + self._memory_s)
            for key, known in self._removed.items()
        ]
