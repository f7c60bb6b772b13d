"""A copy of one owner's queue: what is live, and all that was ever seen.

What is seen and not live was removed. Two verbs change a copy, `Copy.put` and `Copy.gone`; both commute and both may
be repeated, so any part of any transfer is safe by itself, and joining copies keeps what nobody has seen removed.

The idea: an optimised observed-remove set without tombstones (Bieniusa et al., 2012) with the causal context as exact
dots of a single writer (Almeida, Shoker, Baquero: Delta state replicated data types, 2018).
"""

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from dqtw.core.model.id_set import Dot, IdSet
from dqtw.core.model.message import Message, MessageId

digest_ints_max: Final = 8_192  # of one page: a few milliseconds of work for either side
incarnations_kept: Final = 1_024


@frozen
class Digest:
    """What a copy holds of the ids past ``after`` up to ``upto``, without the messages; both None: of all ids.

    Both sets were read at one moment: what is seen and not live had been removed by then.
    """

    seen: IdSet
    live: IdSet
    after: Dot | None = None
    upto: Dot | None = None

    @property
    def removed(self) -> IdSet:
        """The ids that this copy knows as removed."""
        return self.seen - self.live

    def first(self, upto: Dot | None) -> "Digest":
        """The part of it that ends at ``upto``, which lies within; read at the same moment."""
        if upto == self.upto:
            return self
        return Digest(self.seen.between(self.after, upto), self.live.between(self.after, upto), self.after, upto)


@frozen
class Owed:
    """What one copy must tell another so that the other lacks nothing of it."""

    gone: IdSet
    put: IdSet


def owed(mine: Digest, theirs: Digest) -> Owed:
    """Compare two digests of the same range: what ``mine`` knows and ``theirs`` does not."""
    return Owed(gone=mine.removed - theirs.removed, put=mine.live - theirs.seen)


class Copy:
    """What one node knows of one owner's queue. ``live`` ⊆ ``seen``.

    ``seen`` only grows, but for old incarnations that have nothing live (`prune`), and for removals that an owner which
    was replaced takes back (`unsee`), lest they spread to what its successor has answered.

    Attributes:
        queue: the owner's node id.
        live: the messages that are on the queue as far as this copy knows.
        live_ids: the same ids, as ranges.
        seen: every id this copy has held or known removed, but for these.
        body_bytes: the total of the live bodies.
        version: a greater one after each put, each removal, and each key record that its holder learns.
    """

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.live: dict[MessageId, Message] = {}
        self.live_ids = IdSet(queue)
        self.seen = IdSet(queue)
        self.body_bytes = 0
        self.version = 0

    def put(self, id: MessageId, message: Message) -> bool:
        """Hold a message, unless its id was seen before; True when that changed the copy."""
        if id in self.seen:
            return False
        self.version += 1
        self.live[id] = message
        self.live_ids.add(id)
        self.seen.add(id)
        self.body_bytes += len(message.body)
        return True

    def put_all(self, messages: Iterable[tuple[MessageId, Message]]) -> list[MessageId]:
        """Hold these messages, but for those that were seen before; the ids that were news.

        The ids go in together: what lies behind them in a queue with many holes moves once.
        """
        news = {id: message for id, message in messages if id not in self.seen}
        ids = IdSet.of(self.queue, news)
        self.version += bool(news)
        self.live |= news
        self.live_ids |= ids
        self.seen |= ids
        self.body_bytes += sum(len(message.body) for message in news.values())
        return list(news)

    def remove(self, id: MessageId) -> Message | None:
        """Know one id as removed; the message it named, if that was live."""
        self.version += 1
        self.seen.add(id)
        message = self.live.pop(id, None)
        if message is not None:
            self.live_ids.discard(id)
            self.body_bytes -= len(message.body)
        return message

    def gone(self, ids: IdSet) -> dict[MessageId, Message]:
        """Know all these ids as removed; the messages among them that were live."""
        self.version += bool(ids)
        removed = {id: self.live.pop(id) for id in self.live_ids & ids}
        self.live_ids -= ids
        self.seen |= ids
        self.body_bytes -= sum(len(message.body) for message in removed.values())
        return removed

    def unsee(self, id: MessageId) -> None:
        """Take a removal back that this copy's holder had no right to make, as if the id had never been met."""
        self.seen.discard(id)

    def knows_removed(self, id: MessageId) -> bool:
        """Whether the id was seen and is not live."""
        return id in self.seen and id not in self.live

    def digest(self, after: Dot | None = None, upto: Dot | None = None) -> Digest:
        """Read the ids past ``after`` up to ``upto``."""
        return Digest(self.seen.between(after, upto), self.live_ids.between(after, upto), after, upto)

    def page(self, after: Dot | None, ints_max: int = digest_ints_max) -> Digest:
        """Read the next page of ids past ``after``: as many as ``ints_max`` ints can tell; ``upto`` None: the last."""
        return self.digest(after, self.page_end(after, ints_max))

    def page_end(self, after: Dot | None, ints_max: int = digest_ints_max) -> Dot | None:
        """Where that page ends."""
        start, left = after or ("", 0), ints_max
        for incarnation in self.seen.incarnations:
            if incarnation < start[0]:
                continue
            low = start[1] if incarnation == start[0] else 0
            both = (self.seen.of_incarnation(incarnation), self.live_ids.of_incarnation(incarnation))
            cuts = [cut for ranges in both if (cut := ranges.bound_at(low, max(left // 2, 1))) is not None]
            if cuts:
                return incarnation, min(cuts) - 1
            left -= sum(ranges.bounds_count for ranges in both)
        return None

    def prune(self) -> list[str]:
        """Forget the oldest incarnations that have nothing live, so that the newest `incarnations_kept` remain."""
        idle = [incarnation for incarnation in self.seen.incarnations if not self.live_ids.of_incarnation(incarnation)]
        forgotten = idle[:-incarnations_kept]
        for incarnation in forgotten:
            self.seen.drop_incarnation(incarnation)
        return forgotten
