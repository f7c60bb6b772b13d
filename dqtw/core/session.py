"""What an opener knows of one peer's copy: what that lacks, what it must still be asked for.

A session begins with the peer's digest. From then on the peer knows everything as the opener does, but for what is
listed here as not yet told, and for what is in flight. Only ids are kept: what a slow peer costs is bounded.
"""

from collections import OrderedDict, deque
from itertools import islice
from typing import Final

from attrs import define, field, frozen

from dqtw.core.copy import Copy, Digest, owed
from dqtw.core.keys import KeyRecord
from dqtw.core.message import MessageId
from dqtw.core.peer_messages import Put
from dqtw.core.ranges import Dot, IdSet

chunk_bytes_max: Final = 1024 * 1024
chunk_messages_max: Final = 1_024
chunk_ints_max: Final = 4_096
keys_per_request_max: Final = 1_000


@frozen
class Chunk:
    """One request's worth of what the peer lacks, each id in its state of now."""

    gone: IdSet
    put: tuple[Put, ...]
    keys: tuple[KeyRecord, ...]


@define
class Session:
    """One peer's copy of one queue, as the opener sees it.

    Attributes:
        gones: removals that the peer does not know.
        fresh: new messages that somebody waits to see replicated, oldest first; sent before the backlog.
        backlog: other messages that the peer lacks.
        keys: records of keys that the peer lacks, of messages that it knows as removed.
        key_of: records of the keys of messages among ``gones``.
        need: messages that only the peer has.
        whole: the peer's digest has been read to its end; before that, nothing can be said of what it knows.
        after: how far the digest has been read.
        token: the peer's name for this session; empty until it has answered the open.
        boot: the peer's process that opened it.
        fetching: what the fetch in flight asks for.
    """

    copy: Copy
    token: str
    gones: IdSet = field(init=False)
    fresh: OrderedDict[MessageId, None] = field(factory=OrderedDict, init=False)
    backlog: IdSet = field(init=False)
    need: IdSet = field(init=False)
    keys: deque[KeyRecord] = field(factory=deque, init=False)
    key_of: dict[MessageId, KeyRecord] = field(factory=dict, init=False)
    whole: bool = field(default=False, init=False)
    after: Dot | None = field(default=None, init=False)
    boot: str = field(default="", init=False)
    fetching: IdSet = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.gones = IdSet(self.copy.queue)
        self.backlog = IdSet(self.copy.queue)
        self.need = IdSet(self.copy.queue)
        self.fetching = IdSet(self.copy.queue)

    @property
    def owes_nothing(self) -> bool:
        """Whether the peer has been sent everything it lacks."""
        return self.whole and not (self.gones or self.fresh or self.backlog or self.keys)

    @property
    def owed_count(self) -> int:
        """How many ids' states the peer has yet to be told."""
        return len(self.gones) + len(self.fresh) + len(self.backlog)

    def lacks(self, id: MessageId) -> bool:
        """Whether the peer has yet to be told of this id's state."""
        return id in self.fresh or id in self.backlog or id in self.gones

    def read(self, page: Digest) -> IdSet:
        """Compare a page of the peer's digest with the own copy; what the peer knows removed and this copy does not.

        The page speaks for its range only, and was read at one moment.
        """
        mine = self.copy.digest(page.after, page.upto)
        from_me, from_peer = owed(mine, page), owed(page, mine)
        self.gones.update(from_me.gone)
        self.backlog.update(from_me.put)
        self.need.update(from_peer.put)
        self.after, self.whole = page.upto, page.upto is None
        return from_peer.gone

    def note_fresh(self, id: MessageId) -> None:
        """The own copy has a new message."""
        self.fresh[id] = None

    def note_recovered(self, id: MessageId) -> None:
        """The own copy has a message that some other peer had."""
        self.backlog.add(id)

    def note_gone(self, id: MessageId, record: KeyRecord | None = None) -> None:
        """The own copy knows this id as removed; the record of its key goes with that."""
        if record is not None:
            self.key_of[id] = record
        self.fresh.pop(id, None)
        self.backlog.discard(id)
        self.need.discard(id)
        self.gones.add(id)

    def note_all_gone(self, ids: IdSet) -> None:
        """The own copy knows all these ids as removed; there may be billions, in few ranges."""
        for id in [id for id in self.fresh if id in ids]:
            del self.fresh[id]
        self.backlog -= ids
        self.need -= ids
        self.gones.update(ids)

    def take_chunk(self, now: float) -> Chunk:
        """Take out what to tell next: removals first, then new messages, then the backlog."""
        gone, keys = self._take_gones()
        put: list[Put] = []
        bytes_left = chunk_bytes_max
        from_backlog = IdSet(self.copy.queue)
        while self.fresh and len(put) < chunk_messages_max and bytes_left > 0:
            id, _ = self.fresh.popitem(last=False)
            self.backlog.discard(id)
            bytes_left -= self._tell(now, id, put, gone)
        for id in islice(self.backlog, max(chunk_messages_max - len(put), 0)):
            if bytes_left <= 0:
                break
            from_backlog.add(id)
            bytes_left -= self._tell(now, id, put, gone)
        if from_backlog:
            self.backlog -= from_backlog
        keys += [self.keys.popleft() for _ in range(min(len(self.keys), keys_per_request_max - len(keys)))]
        return Chunk(gone, tuple(put), tuple(keys))

    def take_needed(self) -> IdSet:
        """What to fetch next; ids that the own copy has met meanwhile are needed no more."""
        self.need -= self.copy.seen
        self.fetching = self.need.head(chunk_ints_max)
        return self.fetching

    def _take_gones(self) -> tuple[IdSet, list[KeyRecord]]:
        """Removals, and the records of their keys: who confirms the one knows the other."""
        gone = self.gones.head(chunk_ints_max)
        ids = [id for id in self.key_of if id in gone]
        for id in ids[keys_per_request_max:]:
            gone.discard(id)
        self.gones -= gone
        return gone, [self.key_of.pop(id) for id in ids[:keys_per_request_max]]

    def _tell(self, now: float, id: MessageId, put: list[Put], gone: IdSet) -> int:
        message = self.copy.live.get(id)
        if message is None:
            gone.add(id)
            return 0
        put.append(Put.of(now, id, message))
        return len(message.body)
