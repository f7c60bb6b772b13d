"""A copy of one peer's queue as this node holds it, and who was let in to change or read it."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from attrs import define, evolve, field

from dqtw.core.links.calls import call_timeout_s
from dqtw.core.links.peer_messages import Open, Put, Role
from dqtw.core.links.peers import Peer
from dqtw.core.model.copy import Copy, Digest
from dqtw.core.model.id_set import Dot, IdSet
from dqtw.core.model.keys import KeyMemory, KeyRecord
from dqtw.core.model.message import MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.links import Links
from dqtw.core.replication.session import keys_per_request_max

silent_after_s: Final = 2 * call_timeout_s  # who compares copies asks again as soon as it is answered, or never
late_ints_max: Final = 2_048  # that a page tells more, for what it leaves out
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
        records: the keys to be told before the digest is read.
        learned: how many removals the copy's key memory had learned of by then, or by the last page.
        late: those of which it has learned since. The digest does not tell of them: a removal says too little without
            its record, and records that come as fast as they are told would put the digest off for ever.
    """

    token: str
    role: Role
    incarnation: str
    late: IdSet
    last_request: int = 0
    last_shared: bool = False
    may_be_late: bool = False
    heard_at: float = 0.0
    records: list[KeyRecord] = field(factory=list)
    learned: int = 0

    def is_outdated(self, greatest: str) -> bool:
        """Whether its opener was the owner, and has been replaced."""
        return self.role is Role.OWNER and self.incarnation < greatest

    def tell_records(self, first: int) -> tuple[tuple[KeyRecord, ...], bool]:
        """Some records, from that one on, and whether there are more; the same again when a request is repeated."""
        some = tuple(self.records[first : first + keys_per_request_max])
        return some, len(self.records) > first + len(some)

    def has_read(self) -> None:
        """Its opener is in session: the records are told, and the digest."""
        self.records = []
        self.late = IdSet(self.late.queue)


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
        admission = Admission(token, open.role, open.incarnation, IdSet(self.copy.queue), heard_at=now)
        admission.records, admission.learned = self.keys.records(now), self.keys.learned
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
        return is_new

    def page(self, admission: Admission, after: Dot | None) -> Digest:
        """The next page of the digest past ``after``; what comes late is for another session to tell."""
        admission.late |= IdSet.of(self.copy.queue, sorted(self.keys.learned_since(admission.learned)))
        admission.learned = self.keys.learned
        page = self.copy.page(after)
        if not admission.late:
            return page
        late = page.removed & admission.late
        if late.bounds_count > late_ints_max:
            late = late.head(late_ints_max)
            newest = late.incarnations[-1]
            page = page.first((newest, late.last(newest)))
        return evolve(page, seen=page.seen - late)

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
