"""How a node leaves: never of its own will with the last copy of anything."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from dqtw.core.effects import Departure, Status
from dqtw.core.links.peer_messages import Ask, Asked, PeerAnswer
from dqtw.core.links.peers import Peer, Peers
from dqtw.core.model.health import Wait
from dqtw.core.model.message import MessageId
from dqtw.core.replication.exchange import Exchanges
from dqtw.core.replication.held_copy import HeldCopy
from dqtw.core.replication.holder import Holder
from dqtw.core.replication.links import Links

ask_again_after_s: Final = 0.5
successor_silent_s: Final = 3.0


def _not_held(whose: str) -> Wait:
    return Wait(f"no other node that stays is known to hold all messages of {whose}")


class Drain:
    """Leaving because it was asked to: others must hold all that this node holds."""

    def __init__(
        self, now: float, timeout_s: float, links: Links, peers: Peers, holder: Holder, exchanges: Exchanges
    ) -> None:
        self._since = now
        self._deadline = now + timeout_s
        self._links = links
        self._peers = peers
        self.ask_anew(now)
        self._held = holder.held
        self._exchanges = exchanges
        if not links.is_complete():
            exchanges.include(holder.own)  # no session may ever show who has it
        exchanges.want_everything(now)

    def ask_anew(self, now: float) -> None:  # noqa: ARG002
        """Rely on nothing that peers have said until now."""
        self._asked = {peer.id: peer.last_request for peer in self._peers}

    def departure(self, now: float, *, is_quiet: bool) -> Departure | None:
        """Whether the process may go now, and how."""
        if not len(self._peers):
            return Departure(Status.DRAINED, len(self._links.copy.live))
        if is_quiet and self._own_is_held(now) and all(self._is_held(now, each) for each in self._held.values()):
            return Departure(Status.DRAINED, 0)
        if now >= self._deadline:
            lost = self.only_here(now)
            return Departure(Status.ALONE if lost else Status.DRAINED, lost)
        return None

    def _heirs(self, now: float) -> Iterator[Peer]:
        """Who may be left with what is here: a peer that has said since that it stays."""
        return (peer for peer in self._peers if peer.stays(now, self._asked[peer.id]))

    def _may_inherit(self, now: float, queue: str) -> bool:
        """Whether there is anybody to tell what was removed: without, who has no messages may go at once."""
        return any(peer.may_take(queue) and peer.is_up(now) and not peer.leaving for peer in self._peers)

    def _own_is_held(self, now: float) -> bool:
        may_inherit = self._may_inherit(now, self._links.copy.queue) and self._links.is_complete()
        has_nothing = not self._links.copy.live and not may_inherit
        return has_nothing or any(self._has_own(now, peer) for peer in self._heirs(now))

    def _has_own(self, now: float, peer: Peer) -> bool:
        own, link = self._links.copy.queue, self._links[peer.id]
        return (link.is_settled and link.is_current) or self._exchanges.is_equal(now, own, peer, self._since)

    def _knows(self, peer: Peer, id: MessageId) -> bool:
        link = self._links[peer.id]
        return link.is_current and link.knows(id)

    def _is_held(self, now: float, held: HeldCopy) -> bool:
        owner = held.copy.queue
        for peer in self._heirs(now):
            if peer.id == owner and held.has_owner_in_sync(peer):
                return True
            if self._exchanges.is_equal(now, owner, peer, self._since):
                return True
        return not held.copy.live and not self._may_inherit(now, owner)

    def waits(self, now: float) -> Iterator[Wait]:
        """Return what must happen before the process may go."""
        if not self._own_is_held(now):
            yield _not_held("this node")
        for queue, held in self._held.items():
            if not self._is_held(now, held):
                yield _not_held(queue)

    def only_here(self, now: float) -> int:
        """Return how many messages no node that stays is known to hold."""
        own = 0
        if not self._own_is_held(now):
            heirs = list(self._heirs(now))
            own = sum(not any(self._knows(peer, id) for peer in heirs) for id in self._links.copy.live)
        return own + sum(len(held.copy.live) for held in self._held.values() if not self._is_held(now, held))


class HandOver:
    """Leaving because a newer process of this id exists: a peer must have all, and be in sync with that process.

    If that process has died meanwhile, it is enough that a peer has all: the next start finds it there. If all peers
    were replaced, too, by processes that have died, they would wait for each other for ever: so one that comes later in
    the order of ids, and waits itself, will do.
    """

    def __init__(self, now: float, incarnation: str, holder: Holder, peers: Peers, exchanges: Exchanges) -> None:
        self._since = now
        self._boot = peers.boot
        self._incarnation = incarnation
        self._queue = holder.own.copy.queue
        self._copies = {self._queue: holder.own, **holder.held}
        self._peers = peers
        self._exchanges = exchanges
        self._ask_at = now
        self.ask_anew(now)
        exchanges.include(holder.own)
        exchanges.want_everything(now)

    def ask_anew(self, now: float) -> None:
        """Rely on nothing that peers have said until now."""
        self._heirs: dict[str, Asked] = {}  # what those say who have all
        self._heard_at = now  # when some peer heard the newer process last, as far as is known
        self._relies_from = now

    def pump(self, now: float) -> None:
        """Ask the peers what they know of the newer process."""
        if now < self._ask_at:
            return
        self._ask_at = now + ask_again_after_s
        for peer in self._peers:
            peer.ask(
                now, Ask(self._queue, self._peers.cluster), partial(self._answered, peer, now, self._has_all(now, peer))
            )

    def waits(self, now: float) -> Iterator[Wait]:
        """Return what must happen before the process may go."""
        missing = self._missing(now)
        for queue in missing:
            yield _not_held("this node" if queue == self._queue else queue)
        if not missing:
            yield Wait("no node is known yet to have all that is here and to be in sync with the newer process")

    def only_here(self, now: float) -> int:
        """Return how many messages no node that stays is known to hold."""
        return sum(len(self._copies[queue].copy.live) for queue in self._missing(now))

    def _missing(self, now: float) -> list[str]:
        """Return the queues whose copy here no peer that stays is known to have."""
        staying = [peer for peer in self._peers if peer.is_up(now) and not peer.leaving]
        return [queue for queue in self._copies if not any(self._has(now, peer, queue) for peer in staying)]

    def departure(self, now: float) -> Departure | None:
        """Whether the process may go now, and how."""
        has_died = now - self._heard_at > successor_silent_s
        heirs = [asked for id, asked in self._heirs.items() if self._is_heir(now, self._peers[id], asked)]
        may_go = any(self._is_in_sync(asked) or has_died for asked in heirs)
        return Departure(Status.FENCED, 0) if may_go else None

    def _is_in_sync(self, asked: Asked) -> bool:
        return asked.in_sync and asked.greatest > self._incarnation

    def _is_heir(self, now: float, peer: Peer, asked: Asked) -> bool:
        stays = not peer.leaving or (asked.fenced and peer.id > self._queue)
        return stays and peer.is_up(now) and self._has_all(now, peer)

    def _has_all(self, now: float, peer: Peer) -> bool:
        """Whether the peer has every copy that is here."""
        return all(self._has(now, peer, queue) for queue in self._copies)

    def _has(self, now: float, peer: Peer, queue: str) -> bool:
        """Whether the peer has this copy; an empty one it need not have, if it may not take it."""
        is_empty = not self._copies[queue].copy.live
        return self._exchanges.is_equal(now, queue, peer, self._since) or (is_empty and not peer.may_take(queue))

    def _answered(self, peer: Peer, asked_at: float, had_all: bool, now: float, answer: PeerAnswer) -> None:  # noqa: FBT001
        self._heirs.pop(peer.id, None)
        if not isinstance(answer, Asked) or asked_at < self._relies_from:
            return
        is_newer = answer.greatest > self._incarnation and answer.owner_boot not in ("", self._boot)
        if is_newer and answer.heard_s_ago < successor_silent_s:
            self._heard_at = max(self._heard_at, now - answer.heard_s_ago)
        if had_all and self._is_heir(now, peer, answer):
            self._heirs[peer.id] = answer
