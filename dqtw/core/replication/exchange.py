"""Bringing the copies of others' queues together, peer with peer: both ways, the same join as with an owner."""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from dqtw.core.links.peer_messages import Open, Put, Role
from dqtw.core.links.peers import Peer, Peers
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.keys import KeyRecord
from dqtw.core.replication.held_copy import HeldCopy
from dqtw.core.replication.opener import Opener, Stage
from dqtw.core.replication.ports import Flight

again_after_s: Final = 5.0  # while an owner is away
retry_after_s: Final = 0.5


class Exchange:
    """One copy on its way to be equal with one peer's; the home of its opener.

    Attributes:
        rises: `Peer.rises` when this began; if that grows, another process may answer, and this counts for nothing.
        changes: `HeldCopy.changes` when this began, and one more for each change that came by this exchange.
        version: `Copy.version`, likewise: at the end it is the copy's own if nobody else has changed that meanwhile.
    """

    def __init__(
        self, held: HeldCopy, peer: Peer, entropy: Callable[[int], bytes], open_request: Callable[[str], Open]
    ):
        self.held = held
        self.copy = held.copy
        self.keys = held.keys
        self.rises = peer.rises
        self.changes = held.changes
        self.version = held.copy.version
        self.open_request = open_request
        self.opener = Opener(peer, Role.COPY, self, entropy)

    def incarnation(self) -> str:
        """In which incarnation of the owner the copy here speaks."""
        return self.held.greatest

    def is_complete(self) -> bool:
        """Only an owner knows that its copy is all there is."""
        return False

    def ready_count(self) -> int:
        """Nothing is delivered from a copy."""
        return 0

    def check(self, ids: IdSet) -> None:
        """Any id may be news here."""

    def session_begun(self, opener: Opener) -> None:
        """Nothing waits for that."""

    def session_ended(self, opener: Opener) -> None:
        """Nothing waited for that."""

    def fenced(self, now: float, opener: Opener, greatest: str) -> None:
        """Only owners are fenced."""

    def shared(self, opener: Opener) -> None:
        """Only an owner needs to know."""

    def sent(self, opener: Opener, flight: Flight) -> None:  # noqa: ARG002
        """The copy here is given away: its owner must be told."""
        if flight.put:
            self.held.given_away(flight.put)

    def unsent(self, opener: Opener, flight: Flight) -> None:
        """The owner was told already that it was given away; that does no harm."""

    def known(self, opener: Opener, flight: Flight) -> None:
        """Nothing waits for that."""

    def needs(self, opener: Opener, ids: IdSet) -> None:
        """Nothing is pushed here that would have to leave them their places."""

    def learned(self, now: float, opener: Opener, record: KeyRecord) -> bool:  # noqa: ARG002
        """The peer remembers the key of a message that was removed; whether that was news here."""
        before = self.copy.version
        is_new = self.held.learn(now, record)
        if is_new:
            self._changed()
        self.version += self.copy.version - before
        return is_new

    def removed(self, opener: Opener, ids: IdSet) -> None:  # noqa: ARG002
        """The peer knows these as removed."""
        if self.held.remove(ids):
            self._changed()
            self.version += 1  # of what its owner takes in again for it the peer knows nothing

    def rescued(self, now: float, opener: Opener, put: tuple[Put, ...]) -> None:  # noqa: ARG002
        """The peer had these messages."""
        if self.held.hold(now, put):
            self._changed()
            self.version += 1

    def _changed(self) -> None:
        self.held.changed_elsewhere()
        self.changes += 1


class Equal(NamedTuple):
    """A moment at which a copy here and a peer's were equal, and what `Exchange` had counted until then."""

    at: float
    rises: int
    changes: int
    version: int


_never: Final = Equal(0.0, -1, 0, 0)


class Exchanges:
    """All copies with all peers, one at a time with each peer."""

    def __init__(
        self,
        held: dict[str, HeldCopy],
        peers: Peers,
        entropy: Callable[[int], bytes],
        open_request: Callable[[str, str], Open],
    ) -> None:
        self._held = dict(held)
        self._peers = peers
        self._entropy = entropy
        self._open_request = open_request
        self._running: dict[str, Exchange] = {}
        self._equal: dict[tuple[str, str], Equal] = {}  # the latest such moment, by queue and peer
        self._told_by_owner: dict[tuple[str, str], int] = {}  # `Peer.rises` while the owner was there, in sync
        self._retry_at: dict[tuple[str, str], float] = {}  # by queue and peer, too
        self._everything_since: float | None = None  # since when this node is leaving: all is exchanged once more

    def include(self, held: HeldCopy) -> None:
        """Bring one more copy together with every peer: this node's own queue, which it does not serve, now or ever."""
        self._held[held.copy.queue] = held

    def want_everything(self, now: float) -> None:
        """Bring every copy together with every peer again, whether its owner is there or not: this node is leaving."""
        self._everything_since = now

    def was_equal(self, queue: str, peer: Peer, since: float = 0.0) -> bool:
        """Whether this node's copy was equal with the peer's at some moment since, in the peer's present process."""
        equal = self._equal.get((queue, peer.id), _never)
        return equal.rises == peer.rises and equal.at >= since

    def is_equal(self, now: float, queue: str, peer: Peer, since: float) -> bool:
        """Whether it was, and the copy here is the same still, but for what its owner, who goes on, has changed."""
        if not self.was_equal(queue, peer, since):
            return False
        equal, held = self._equal[queue, peer.id], self._held[queue]
        is_same = equal.version == held.copy.version or self._owner_goes_on(now, queue, held)
        return equal.changes == held.changes and is_same

    def _owner_goes_on(self, now: float, queue: str, held: HeldCopy) -> bool:
        if queue not in self._peers:
            return False
        owner = self._peers[queue]
        return held.has_owner_in_sync(owner) and owner.is_up(now) and not owner.leaving

    def begin(self, now: float) -> None:
        """Begin what is due."""
        for peer in self._peers:
            if peer.id not in self._running and peer.is_up(now):
                self._begin(now, peer)

    def carry_on(self, now: float) -> None:
        """Carry on with what has begun, end what is done, and begin what comes next with that peer."""
        for id in list(self._running):
            self._carry_on(now, self._peers[id])
            if id not in self._running and self._peers[id].is_up(now):
                self._begin(now, self._peers[id])

    def _carry_on(self, now: float, peer: Peer) -> None:
        running = self._running[peer.id]
        if self._is_needless(now, running):
            self._end(now, peer)
            return
        if running.opener.stage is not Stage.DOWN:
            running.opener.pump(now)
        if running.opener.is_settled:
            self._equal[running.copy.queue, peer.id] = Equal(now, running.rises, running.changes, running.version)
            self._end(now, peer)
        elif running.opener.stage is Stage.DOWN or running.rises != peer.rises:
            self._end(now, peer)

    def _end(self, now: float, peer: Peer) -> None:
        running = self._running.pop(peer.id)
        running.opener.end(now, "the copies were compared")
        self._retry_at[running.copy.queue, peer.id] = now + retry_after_s

    def _begin(self, now: float, peer: Peer) -> None:
        for queue, held in self._held.items():
            if self._is_due(now, queue, held, peer):
                self._running[peer.id] = Exchange(held, peer, self._entropy, partial(self._open_request, queue))
                self._running[peer.id].opener.pump(now)
                return

    def _is_due(self, now: float, queue: str, held: HeldCopy, peer: Peer) -> bool:
        """Whether this copy and the peer's are to be brought together now.

        While this node leaves: each copy with each peer. Else only a third node's queue: once each time the peer comes
        up, unless the owner is there and in sync with this copy; and every 5 s while the owner can't be reached.
        """
        if now < self._retry_at.get((queue, peer.id), now) or not peer.knows_member(queue):
            return False
        if self._everything_since is not None and not self.is_equal(now, queue, peer, self._everything_since):
            return True
        if queue == peer.id or queue not in self._peers:
            return False
        owner = self._peers[queue]
        if self._owner_tells(now, queue, held):
            self._told_by_owner[queue, peer.id] = peer.rises
            return False
        if not self.was_equal(queue, peer) and self._told_by_owner.get((queue, peer.id)) != peer.rises:
            return True
        return owner.unreachable(now) and not self.is_equal(now, queue, peer, now - again_after_s)

    def _is_needless(self, now: float, running: Exchange) -> bool:
        """Whether the owner has come meanwhile: what others tell the peer of its queue ends its session with that."""
        return self._everything_since is None and self._owner_tells(now, running.copy.queue, running.held)

    def _owner_tells(self, now: float, queue: str, held: HeldCopy) -> bool:
        """Whether the owner is there, and has told all there is to this copy; so it tells others, too."""
        return queue in self._peers and held.has_owner_in_sync(self._peers[queue]) and self._peers[queue].is_up(now)
