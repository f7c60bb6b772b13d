"""The copies that this node holds of its peers' queues, and what it answers those who bring theirs.

A holder changes a copy only by what it is told, remembers for whom which session is valid, and says so truthfully when
a copy has changed behind a session's back: then the session is over.
"""

from collections.abc import Callable
from typing import Final

from dqtw.core.links.peer_messages import (
    Applied,
    Ask,
    Asked,
    Declined,
    Delta,
    FencedOff,
    Fetch,
    Fetched,
    NoSession,
    Open,
    Opened,
    Page,
    Paged,
    PeerAnswer,
    Put,
    Role,
)
from dqtw.core.links.peers import Peers
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.held_copy import Admission, HeldCopy, OwnCopy
from dqtw.core.replication.ports import HolderEvents
from dqtw.core.replication.session import chunk_bytes_max, chunk_ints_max, chunk_messages_max

token_bytes: Final = 16


class Holder:
    """All copies of peers' queues on this node."""

    def __init__(
        self,
        settings: NodeSettings,
        boot: str,
        peers: Peers,
        entropy: Callable[[int], bytes],
        events: HolderEvents,
        own: OwnCopy,
    ) -> None:
        self.held = {peer: HeldCopy(peer, settings) for peer in settings.peers}
        self.own = own
        self._node = settings.node
        self._cluster = settings.cluster
        self._boot = boot
        self._peers = peers
        self._entropy = entropy
        self._events = events

    def answer(self, now: float, request: Ask | Open | Page | Delta | Fetch) -> PeerAnswer:
        """Do what a peer asks; at once, for a holder never waits for anybody."""
        try:
            return self._answer(now, request)
        except PeerFault as fault:
            return Declined(str(fault))

    def _answer(self, now: float, request: Ask | Open | Page | Delta | Fetch) -> PeerAnswer:
        match request:
            case Ask():
                return self._ask(now, request)
            case Open():
                return self._open(now, request)
            case Page():
                return self._page(now, request)
            case Delta():
                return self._delta(now, request)
            case Fetch():
                return self._fetch(now, request)

    def begin_again(self, gap_s: float) -> None:
        """This process itself was not running: that owners were silent meanwhile proves nothing."""
        self.was_away()
        for held in self.held.values():
            if held.heard_at is not None:
                held.heard_at += gap_s

    def was_away(self) -> None:
        """Another process of this node may have been given what this one was not.

        So no start is to rely on a copy here before its owner has said anew that it lacks nothing.
        """
        for held in self.held.values():
            held.synced_once = False
            held.doubt_owners()

    def tidy(self, now: float) -> None:
        """Forget what need not be remembered any longer."""
        for held in (*self.held.values(), self.own):
            held.tidy(now)

    def _ask(self, now: float, ask: Ask) -> PeerAnswer:
        if ask.cluster != self._cluster:
            return Declined(f"this is a node of cluster {self._cluster}, not {ask.cluster}")
        held = self.held.get(ask.queue)
        if held is None:
            return self._no_such_queue(ask.queue)
        heard_s_ago = now - held.heard_at if held.heard_at is not None else 0.0
        held.heard_of(self._told_incarnation(ask.queue))
        return Asked(
            self._node,
            self._boot,
            held.greatest,
            held.owner_boot,
            heard_s_ago,
            held.synced_once,
            held.in_sync,
            self._events.is_leaving(),
            self._events.is_fenced(),
            dict(self._peers.addresses),
        )

    def _open(self, now: float, open: Open) -> PeerAnswer:  # noqa: A002
        held = self._copy_of(open.queue)
        if open.cluster != self._cluster:
            return Declined(f"this is a node of cluster {self._cluster}, not {open.cluster}")
        if held is None or open.node not in self._peers.members:
            return self._no_such_queue(open.queue if held is None else open.node)
        if open.role is Role.OWNER and (open.node != open.queue or held is self.own):
            return Declined(f"{open.node} is not the owner of the queue {open.queue}")
        self._peers.learn(open.addresses)
        held.heard_of(self._told_incarnation(open.queue))
        if open.role is Role.OWNER:
            held.heard_of(open.incarnation)
            if open.incarnation < held.greatest:
                return self._fenced(held)
            held.owner_boot, held.heard_at, held.in_sync, held.shared = open.boot, now, False, False
        admission = held.admit(now, open, self._entropy(token_bytes).hex())
        keys, left = admission.tell_records(0)
        return Opened(
            self._node,
            self._boot,
            open.nonce,
            admission.token,
            held.copy.page(None),
            keys,
            left,
            self._peers.members,
            self._peers.settings,
            dict(self._peers.addresses),
            self._events.is_leaving(),
        )

    def _page(self, now: float, page: Page) -> PeerAnswer:
        held, admission = self._find(page.queue, page.token)
        if held is None or admission is None:
            return NoSession(self._node, self._boot)
        if not held.hears(now, admission):
            return self._fenced(held)
        keys, left = admission.tell_records(page.keys_from)
        digest = None if left else held.page(admission, page.after)
        leaving = self._events.is_leaving()
        return Paged(self._node, self._boot, page.token, page.request, digest, keys, left, leaving)

    def _delta(self, now: float, delta: Delta) -> PeerAnswer:
        held, admission = self._find(delta.queue, delta.token)
        # That its token is unknown fences nobody; who speaks in an older incarnation is told that it was replaced.
        if held is None or (admission is None and delta.incarnation >= held.greatest):
            return NoSession(self._node, self._boot)
        if admission is None or not held.hears(now, admission):
            return self._fenced(held)
        admission.has_read()
        changed = False
        for record in delta.keys:  # first: they tell a removal from a push that was taken back
            changed |= held.learn(now, record)
        changed |= held.remove(delta.gone) | held.hold(now, delta.put)
        shared, cannot_reach = False, ""
        if admission.role is Role.COPY:
            if changed:
                held.changed_elsewhere()
        else:
            shared = self._take_word(now, held, admission, delta)
            cannot_reach = self._peers[delta.queue].failure
        admission.last_request = max(admission.last_request, delta.request)
        leaving = self._events.is_leaving()
        return Applied(self._node, self._boot, delta.token, delta.request, shared, cannot_reach, leaving)

    def _take_word(self, now: float, held: HeldCopy, admission: Admission, delta: Delta) -> bool:
        """Take over what the owner says of itself, unless it has spoken since; whether the copy was shared before.

        To tell it clears the mark; so a request that is repeated gets the first answer again: that may have been lost.
        """
        if delta.request > admission.last_request:
            admission.last_shared, held.shared = held.shared, False
            held.in_sync = delta.synced
            held.synced_once = held.synced_once or (delta.synced and not admission.may_be_late)
            admission.may_be_late = False
            held.ready = delta.ready
            if delta.ready:
                self._events.hinted(now, delta.queue)
        return admission.last_shared

    def _fetch(self, now: float, fetch: Fetch) -> PeerAnswer:
        held, admission = self._find(fetch.queue, fetch.token)
        if held is None or admission is None:
            return NoSession(self._node, self._boot)
        if not held.hears(now, admission):
            return self._fenced(held)
        admission.has_read()
        copy = held.copy
        put: list[Put] = []
        bytes_left = chunk_bytes_max
        for id in copy.live_ids & fetch.ids:
            if bytes_left <= 0 or len(put) >= chunk_messages_max:
                break
            put.append(Put.of(now, id, copy.live[id]))
            bytes_left -= len(put[-1].body)
        if put and admission.role is Role.COPY:
            held.given_away([each.id for each in put])
        gone = ((fetch.ids & copy.seen) - copy.live_ids).head(chunk_ints_max)
        leaving = self._events.is_leaving()
        return Fetched(self._node, self._boot, fetch.token, fetch.request, tuple(put), gone, leaving)

    def _find(self, queue: str, token: str) -> tuple[HeldCopy | None, Admission | None]:
        held = self._copy_of(queue)
        return held, None if held is None else held.find(token)

    def _copy_of(self, queue: str) -> HeldCopy | None:
        return self.own if queue == self._node else self.held.get(queue)

    def _told_incarnation(self, queue: str) -> str:
        return self._peers.addresses.get(queue, ("", ""))[0]

    def _fenced(self, held: HeldCopy) -> FencedOff:
        return FencedOff(self._node, self._boot, held.greatest)

    def _no_such_queue(self, queue: str) -> Declined:
        return Declined(f"{self._node} knows no member {queue}; its members are {', '.join(self._peers.members)}")
