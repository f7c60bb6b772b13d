"""What an opener knows of one peer's copy: what that lacks, what it must still be asked for.

A session begins with the peer's digest. From then on the peer knows everything as the opener does, but for what is
listed here as not yet told, and for what is in flight. An owner's sessions hear of every change of its copy, so that
this stays true. The copy of another's queue also changes by what its owner tells, of which no session hears; see
`dqtw.core.replication.exchange.Exchange.version`.

Of messages only ids are kept; what is told of one is looked up when it is told. So what a slow peer costs is bounded.
"""

from collections import OrderedDict, deque
from itertools import islice
from typing import Final

from attrs import define, field, frozen

from dqtw.core.links.peer_messages import Put
from dqtw.core.model.copy import Copy, Digest, Owed, digest_ints_max, owed
from dqtw.core.model.id_set import Dot, IdSet
from dqtw.core.model.keys import KeyRecord
from dqtw.core.model.message import MessageId

chunk_bytes_max: Final = 1024 * 1024
chunk_messages_max: Final = 1_024
chunk_ints_max: Final = 4_096
keys_per_request_max: Final = 1_000
removals_max: Final = 8_192  # taken over from a digest in one go


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
        urgent: of these, those that somebody asks for; fetched before the others.
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
    urgent: IdSet = field(init=False)
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
        self.urgent = IdSet(self.copy.queue)
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

    def read(self, page: Digest, ints_max: int = digest_ints_max) -> Owed:
        """Compare the beginning of a page of the peer's digest with the own copy; what the peer has ahead of that.

        The page speaks for its range only, and was read at one moment. It is read no further than ``ints_max`` ints can
        tell of the own copy, nor past `removals_max` messages that are to be removed here: the rest, from ``after`` on,
        is to be asked for again.
        """
        upto = _sooner(page.upto, self.copy.page_end(page.after, ints_max))
        mine, theirs = self.copy.digest(page.after, upto), page.first(upto)
        to_remove = mine.live & theirs.removed
        if len(to_remove) > removals_max:
            last = next(islice(to_remove, removals_max - 1, None))
            upto = (last.incarnation, last.n)
            mine, theirs = mine.first(upto), theirs.first(upto)
        from_me, from_peer = owed(mine, theirs), owed(theirs, mine)
        self.gones |= from_me.gone
        self.backlog |= from_me.put
        self.need |= from_peer.put
        self.after, self.whole = upto, upto is None
        return from_peer

    def note_fresh(self, id: MessageId, *, is_first: bool = False) -> None:
        """The own copy has a new message; it may be one to be told before the others."""
        self.fresh[id] = None
        if is_first:
            self.fresh.move_to_end(id, last=False)

    def note_recovered(self, ids: IdSet) -> None:
        """The own copy has messages that some other peer had; what this peer was to be asked for, it has, too."""
        self.backlog |= ids - self.need
        self.need -= ids

    def note_gone(self, id: MessageId, record: KeyRecord | None = None) -> None:
        """The own copy knows this id as removed; the record of its key goes with that."""
        if record is not None:
            self.key_of[id] = record
        self.fresh.pop(id, None)
        self.backlog.discard(id)
        self.need.discard(id)
        self.gones.add(id)

    def note_record(self, record: KeyRecord) -> None:
        """The own copy remembers a key that some other peer knew."""
        self.keys.append(record)

    def note_all_gone(self, ids: IdSet) -> None:
        """The own copy knows all these ids as removed; there may be billions, in few ranges."""
        for id in [id for id in self.fresh if id in ids]:
            del self.fresh[id]
        self.backlog -= ids
        self.need -= ids
        self.gones |= ids

    def take_chunk(self, now: float) -> Chunk:
        """Take out what to tell next: removals first, then new messages, then the backlog."""
        if self.keys and len(self.keys) + len(self.key_of) > keys_per_request_max:
            some = tuple(self.keys.popleft() for _ in range(min(len(self.keys), keys_per_request_max)))
            return Chunk(IdSet(self.copy.queue), (), some)  # before removals, which say too little without them
        gone, keys = self._take_gones()
        put: list[Put] = []
        bytes_left = chunk_bytes_max
        from_backlog = IdSet(self.copy.queue)
        while self.fresh and len(put) < chunk_messages_max and bytes_left > 0:
            id, _ = self.fresh.popitem(last=False)
            self.backlog.discard(id)  # pushed while the digest was read, it is listed in both
            bytes_left -= self._tell(now, id, put)
        for id in islice(self.backlog, max(chunk_messages_max - len(put), 0)):
            if bytes_left <= 0:
                break
            from_backlog.add(id)
            bytes_left -= self._tell(now, id, put)
        if from_backlog:
            self.backlog -= from_backlog
        keys += [self.keys.popleft() for _ in range(min(len(self.keys), keys_per_request_max - len(keys)))]
        return Chunk(gone, tuple(put), tuple(keys))

    def take_needed(self) -> IdSet:
        """What to fetch next; ids that the own copy has met meanwhile are needed no more."""
        self.fetching = (self.urgent & self.need) - self.copy.seen
        self.urgent = IdSet(self.copy.queue)
        while self.need and not self.fetching:
            first = self.need.head(chunk_ints_max)
            self.fetching = first - self.copy.seen
            self.need -= first & self.copy.seen
        return self.fetching

    def _take_gones(self) -> tuple[IdSet, list[KeyRecord]]:
        """Removals, and the records of their keys: who confirms the one knows the other."""
        gone = self.gones.head(chunk_ints_max)
        ids = [id for id in self.key_of if id in gone]
        for id in ids[keys_per_request_max:]:
            gone.discard(id)
        self.gones -= gone
        return gone, [self.key_of.pop(id) for id in ids[:keys_per_request_max]]

    def _tell(self, now: float, id: MessageId, put: list[Put]) -> int:
        message = self.copy.live.get(id)
        if message is None:  # removed since it was listed: by another's word, who tells the peer, too, and the key
            return 0
        put.append(Put.of(now, id, message))
        return len(message.body)


def _sooner(one: Dot | None, other: Dot | None) -> Dot | None:
    """The first of two ends; None stands for the end of all ids."""
    return min((end for end in (one, other) if end is not None), default=None)
