"""One owner's messages on this node, and the sessions in which they are compared with what peers hold."""

from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from dqtw.core.links.frames import Changed, Contents, Role, Status, to_records
from dqtw.core.links.link import Link
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.key_memory import KeyMemory, KeyRecord
from dqtw.core.model.message import Message
from dqtw.core.model.replica import Replica, incarnations_kept
from dqtw.core.replication.session import Session

changed_records_max: Final = 4096


@frozen
class Change:
    """What was news to a replica.

    Attributes:
        put: the new messages.
        removed: messages that were live until now.
        removed_dots: all new removals; a removed message need not have been live here.
    """

    put: list[tuple[Dot, Message]]
    removed: list[tuple[Dot, Message]]
    removed_dots: DotSet

    @property
    def put_dots(self) -> DotSet:
        """The dots of the new messages."""
        return DotSet.of(dot for dot, _ in self.put)


@define(eq=False)
class Serving:
    """A session that a peer has opened here.

    Attributes:
        number: names the session on the link.
        incarnation: role OWNER: of the owner's process.
        last_change: the number of the last `Changed` that was sent in it.
        unreported: what changed here in another way than by this session, and is to be reported.
        is_synced: role COPY: the initiator reported that the replicas are equal, after the last change.
        status_before: role COPY: the initiator's latest status when it reported so, which may be older than that.
        applied: the index of the last log entry that was applied, and ``backfill`` the number of the last backfill.
    """

    link: Link
    number: int
    role: Role
    incarnation: str | None
    last_change: int
    unreported: DotSet = field(factory=DotSet)
    is_synced: bool = False
    status_before: Status | None = None
    applied: int = 0
    backfill: int = 0


class Holding:
    """What this node holds of one owner's messages.

    Attributes:
        owner: the owner's node id.
        serving: the sessions that peers have opened here, at most one for each link.
        by_owner: the session of the owner, if it has one here.
        comparing: the sessions in role COPY that this node has opened, at most one for each link.
        changes: how many changes were reported; they are numbered for the life of the process.
        is_current: the owner has reported that this replica lacks nothing, and it did not change otherwise since.
        announced: the incarnation of the owner's session, and `is_current`, as the peers were last sent them.
        was_complete: the owner has once reported so, when it knew itself of every answered push.
    """

    def __init__(self, owner: str, memory_s: float, size: int) -> None:
        self.owner = owner
        self.replica = Replica()
        self.keys = KeyMemory(memory_s, size)
        self.serving: dict[Link, Serving] = {}
        self.by_owner: Serving | None = None
        self.comparing: dict[Link, Session] = {}
        self.changes = 0
        self.is_current = False
        self.announced: tuple[str | None, bool] = (None, False)
        self.was_complete = False

    def begin(self, serving: Serving) -> None:
        """Begin a session that a peer opens here; it takes the place of an older one."""
        self.end(serving.link)
        if serving.role is Role.OWNER:
            if self.by_owner is not None:
                self.end(self.by_owner.link)
            self.by_owner = serving
        self.serving[serving.link] = serving

    def end(self, link: Link) -> None:
        """End the session that was opened here over a link, if there is one."""
        serving = self.serving.pop(link, None)
        if serving is not None and serving is self.by_owner:
            self.by_owner = None
            self.is_current = False

    def learn(
        self, now: float, contents: Contents, records: Sequence[KeyRecord], source: Session | Serving | None
    ) -> Change:
        """Add what a peer has sent; return what was news.

        Args:
            now: the monotonic clock, in seconds.
            contents: messages, with times on this process's clock, and removed dots.
            records: the keys of removed messages, with times on this process's clock.
            source: the session in which it came.
        """
        put: list[tuple[Dot, Message]] = []
        for incarnation, messages in contents.puts.items():
            put += (((incarnation, n), message) for n, message in self.replica.put(incarnation, messages))
        for dot, message in put:
            if message.key is not None:
                self.keys.put(dot, message)
        removed_dots = self.replica.news(contents.removed) if contents.removed else contents.removed
        removed = self.replica.remove(removed_dots) if removed_dots else []
        if removed or records:
            self.keys.learn(now, removed, records)
        change = Change(put, removed, removed_dots)
        if put or removed_dots:
            if source is None or source is not self.by_owner:
                self.is_current = False
            if self.comparing or len(self.serving) > 1 or not isinstance(source, Serving):
                self.note(change.put_dots, removed_dots, source)
            if self.replica.seen.incarnations_count > len(self.replica.live) + incarnations_kept:
                self.replica.prune()
        return change

    def note(self, put: DotSet, removed: DotSet, source: Session | Serving | None) -> None:
        """Let the sessions know what changed here, except for the session that brought it."""
        for serving in self.serving.values():
            if serving is not source:
                serving.unreported |= put
                serving.unreported |= removed
                serving.is_synced = False
        for session in self.comparing.values():
            session.known(put, removed)
            if session is not source:
                session.add_unsent(put)
                session.add_unsent(removed)

    def report(self, now: float) -> None:
        """Report to the initiators what changed here."""
        for serving in self.serving.values():
            if serving.unreported:
                dots = serving.unreported.first(changed_records_max)
                serving.unreported -= dots
                self.changes += 1
                serving.last_change = self.changes
                live = dots & self.replica.live_dots
                removed = dots - live
                _, records = self.keys.records_of(removed, changed_records_max)
                serving.link.send(Changed(serving.number, self.changes, now, live, removed, to_records(records)))
