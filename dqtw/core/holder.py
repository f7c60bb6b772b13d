"""The copies that this node holds of its peers' queues, and what it answers those who bring theirs.

A holder changes a copy only by what it is told, remembers for whom which session is valid, and says so truthfully when
a copy has changed behind a session's back: then the session is over.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, field

from dqtw.core.calls import call_timeout_s
from dqtw.core.copy import Copy
from dqtw.core.errors import PeerFault
from dqtw.core.id_set import IdSet
from dqtw.core.keys import KeyMemory, KeyRecord
from dqtw.core.links import Links
from dqtw.core.message import MessageId
from dqtw.core.peer_messages import (
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
from dqtw.core.peers import Peer, Peers
from dqtw.core.ports import HolderEvents
from dqtw.core.session import chunk_bytes_max, chunk_ints_max, chunk_messages_max, keys_per_request_max
from dqtw.core.settings import NodeSettings

token_bytes: Final = 16
silent_after_s: Final = 2 * call_timeout_s  # who compares copies asks again as soon as it is answered, or never
admissions_max: Final = 16  # of one queue; more than the members of any cluster that keeps a copy on every node


@define
class Admission:
    """What one opener was let in for: the token it must show.

    Attributes:
        incarnation: of the owner, in which the opener spoke.
        last_request: the greatest request number seen; what is said in an older one has been said better since.
        last_shared: what that request was answered, in case the network repeats it and loses the first answer.
        may_be_late: what comes next was perhaps said before this process stood still, or took its incarnation. Of what
            comes after that it is not so: an opener has one request in flight.
        heard_at: when its opener spoke last.
        records: the keys to be told while the digest is read.
        is_reading: it is being read, as far as is known here.
    """

    token: str
    role: Role
    incarnation: str
    last_request: int = 0
    last_shared: bool = False
    may_be_late: bool = False
    heard_at: float = 0.0
    records: list[KeyRecord] = field(factory=list)
    is_reading: bool = True

    def is_outdated(self, greatest: str) -> bool:
        """Whether its opener was the owner, and has been replaced."""
        return self.role is Role.OWNER and self.incarnation < greatest

    def tell_records(self, first: int) -> tuple[tuple[KeyRecord, ...], bool]:
        """Some records, from that one on, and whether there are more; the same again when a request is repeated."""
        some = tuple(self.records[first : first + keys_per_request_max])
        return some, len(self.records) > first + len(some)

    def has_read(self) -> None:
        """Its opener is in session: the records are told."""
        self.records, self.is_reading = [], False


class HeldCopy:
    """This node's copy of one peer's queue.

    Attributes:
        greatest: the greatest incarnation of the owner that was heard of.
        owner_boot: the process that opened as the owner last.
        heard_at: when that process was last heard.
        synced_once: the owner has said that this copy lacks nothing, since this process took its incarnation, and since
            it last stood still: before, another process of this node may have been given what this one was not.
        in_sync: it has said so, and nothing else has changed this copy since.
        shared: messages of this copy were given to another peer since the owner's last delta.
        ready: how many messages the owner could deliver when it last spoke.
        changes: how many times the copy has changed behind its owner's back.
    """

    def __init__(self, queue: str, settings: NodeSettings) -> None:
        self.copy = Copy(queue)
        self.keys = KeyMemory(settings.key_memory_s, settings.size)
        self.greatest = ""
        self.owner_boot = ""
        self.heard_at: float | None = None
        self.synced_once = False
        self.in_sync = False
        self.shared = False
        self.ready = 0
        self.changes = 0
        self._admissions: OrderedDict[tuple[Role, str, str], Admission] = OrderedDict()

    def admit(self, now: float, open: Open, token: str) -> Admission:  # noqa: A002
        """Let an opener in; of owners only the latest, of all others a few."""
        if open.role is Role.OWNER:
            self._drop_owners()
            self.copy.prune()
        admission = Admission(token, open.role, open.incarnation, heard_at=now, records=self.keys.records(now))
        self._admissions.pop((open.role, open.node, open.boot), None)
        self._admissions[open.role, open.node, open.boot] = admission
        while len(self._admissions) > admissions_max:
            del self._admissions[next(key for key in self._admissions if key[0] is Role.COPY)]
        return admission

    def find(self, token: str) -> Admission | None:
        """Who shows this token."""
        return next((admission for admission in self._admissions.values() if admission.token == token), None)

    def _drop_owners(self) -> None:
        for key in [key for key in self._admissions if key[0] is Role.OWNER]:
            del self._admissions[key]

    def doubt_owners(self) -> None:
        """What owners say next does not make this copy one that was in sync."""
        for admission in self._admissions.values():
            admission.may_be_late = True

    def hears(self, now: float, admission: Admission) -> bool:
        """An opener speaks; whether it may: an owner that was replaced may not."""
        if admission.is_outdated(self.greatest):
            return False
        admission.heard_at = now
        if admission.role is Role.OWNER:
            self.heard_at = now
        return True

    def has_owner_in_sync(self, owner: Peer) -> bool:
        """Whether the owner has all that is here: the very process that answers now has said so."""
        return self.in_sync and self.owner_boot == owner.boot

    def heard_of(self, incarnation: str) -> None:
        """Somebody told of an incarnation of the owner."""
        if incarnation > self.greatest:
            self.greatest = incarnation
            self.in_sync = False

    def changed_elsewhere(self) -> None:
        """The copy changed behind its owner's back: what the owner believes of it is no longer so."""
        self._drop_owners()
        self.in_sync = False
        self.changes += 1
        self.heard_of(max(self.copy.seen.incarnations, default=""))

    def given_away(self, ids: Iterable[MessageId]) -> None:  # noqa: ARG002
        """Another peer has these from here: the owner is to be told."""
        self.shared = True

    def learn(self, now: float, record: KeyRecord) -> bool:
        """Remember the key of a message that was removed; whether that was news."""
        is_new = self.keys.learn(now, record)
        self.copy.version += is_new  # who has all that was here before has not all that is here now
        for admission in self._admissions.values():
            if is_new and admission.is_reading:  # the next page may tell the removal, which says too little alone
                admission.records.append(record)
        return is_new

    def tidy(self, now: float) -> None:
        """Forget what need not be remembered any longer: old keys, and openers that have gone silent."""
        self.keys.expire(now)
        for key, admission in list(self._admissions.items()):
            if key[0] is Role.COPY and now - admission.heard_at > silent_after_s:
                del self._admissions[key]

    def remove(self, ids: IdSet) -> bool:
        """Know these ids as removed; whether that changed the copy.

        A removal says nothing of the key: a push that was taken back is a removal too. Keys have records of their own.
        """
        new = (ids - self.copy.seen) | (ids & self.copy.live_ids)
        self.copy.gone(new)
        return bool(new)

    def hold(self, now: float, puts: tuple[Put, ...]) -> bool:
        """Hold these messages, but for those that were seen before; whether that changed the copy."""
        return bool(self.copy.put_all((put.id, put.message(now)) for put in puts))


class OwnCopy(HeldCopy):
    """This node's copy of its own queue, for a peer that is leaving and may hold more of it than its owner does.

    It is also what this node brings to its peers when it was replaced, or leaves before it has served.
    """

    def __init__(self, links: Links, settings: NodeSettings) -> None:
        super().__init__(settings.node, settings)
        self.copy, self.keys = links.copy, links.keys
        self._links = links

    def learn(self, now: float, record: KeyRecord) -> bool:
        """Remember the key of a message that was removed; whether that was news."""
        return self._links.learned(now, None, record)

    def remove(self, ids: IdSet) -> bool:
        """Know these ids as removed; whether that changed the copy."""
        return self._links.remove(ids)

    def given_away(self, ids: Iterable[MessageId]) -> None:
        """A peer has these from here."""
        self._links.given_away(ids)

    def hold(self, now: float, puts: tuple[Put, ...]) -> bool:
        """Take these messages in, but for those that were seen before; whether that changed the copy."""
        return self._links.hold(now, puts)


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
        digest = None if left else held.copy.page(page.after)
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
        shared = False
        if admission.role is Role.COPY:
            if changed:
                held.changed_elsewhere()
        else:
            shared = self._take_word(now, held, admission, delta)
        admission.last_request = max(admission.last_request, delta.request)
        return Applied(self._node, self._boot, delta.token, delta.request, shared, self._events.is_leaving())

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
