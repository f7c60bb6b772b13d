"""The owner's side of replication: its messages, the log of their changes, and what each peer has confirmed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dqtw.core.links.cluster import Cluster
from dqtw.core.links.frames import Contents
from dqtw.core.links.link import Process
from dqtw.core.model.commands import Outcome
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import PeerFault, Unreplicated
from dqtw.core.model.key_memory import KeyRecord
from dqtw.core.model.message import Message
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.holding import Change, Holding
from dqtw.core.replication.log import Log, Put, Removal, known_by
from dqtw.core.replication.pending import Pending, Waiting
from dqtw.core.replication.progress import Progress
from dqtw.core.replication.session import Session
from dqtw.core.replication.sessions import Compared, Ended, Sessions, open_again_after_s

ack_timeout_s: Final = 10.0
too_few_peers_s: Final = 1.0


class Replicator:
    """What this node owns, and its replicas at the peers.

    Attributes:
        incarnation: in which dots are given; None until the start has taken one.
        last: the number given last.
        holding: the messages.
        log: every change of them that some peer may lack.
        progress: the session with each member that has one.
        pushes: messages that are not committed yet; each request with True if it is a retry.
        removals: removals that are not confirmed yet; each request with its answer.
        committed_upto: the greatest index up to which pushes were committed.
    """

    def __init__(self, settings: NodeSettings, sessions: Sessions) -> None:
        self.incarnation: str | None = None
        self.last = 0
        self.holding = Holding(settings.node, settings.key_memory_s, settings.size)
        self.log = Log(self.holding.replica)
        self.progress: dict[str, Progress] = {}
        self.pushes: Pending[bool] = Pending(settings.push_timeout_s)
        self.removals: Pending[Outcome] = Pending(ack_timeout_s)
        self.committed_upto = 0
        self._copies = settings.copies
        self._body_bytes_max = settings.max_message
        self._sessions = sessions
        self._left: dict[str, int] = {}  # the last `match` of members whose session has ended
        self._declined: dict[
            Process, tuple[float, str | None]
        ] = {}  # when to ask again, and in which incarnation it was
        self._short_since: float | None = None  # since when too few members are counted

    def __contains__(self, session: Session) -> bool:
        return self._sessions.holding_of(session) is self.holding

    def renew(self) -> None:
        """Begin as a new process, which holds what this one did; all sessions are over."""
        self.incarnation = None
        self.last = 0
        self.log = Log(self.holding.replica)
        self.pushes, self.removals = self.pushes.renewed(), self.removals.renewed()
        self.committed_upto = 0
        self._left.clear()
        self._declined.clear()

    # Changes.

    def push(self, now: float, message: Message, ticket: int) -> Dot:
        """Add a new message, and let its request wait for the copies."""
        assert self.incarnation is not None
        self.last += 1
        dot = (self.incarnation, self.last)
        self.holding.replica.put(dot[0], [(dot[1], message)])
        if message.key is not None:
            self.holding.keys.put(dot, message)
        if self.holding.serving or self.holding.comparing:
            self.holding.note(DotSet.of([dot]), DotSet(), None)
        self.pushes.add(now, self.log.append(dot), (dot,), ticket, answer=False)
        return dot

    def repeat(self, now: float, dot: Dot, ticket: int) -> None:
        """Let a retry wait for the copies of a live message, which is sent once more if it is not pending.

        A message that this process did not commit may have been recovered from a single node, so what its peers have
        confirmed of older entries says nothing about it.
        """
        if dot in self.pushes:
            self.pushes.share(now, dot, ticket, answer=True)
        else:
            self.pushes.add(now, self.log.append(dot), (dot,), ticket, answer=True)

    def remove(self, now: float, dots: Sequence[Dot], ticket: int, outcome: Outcome) -> list[Waiting[bool]]:
        """Remove live messages, and let the request wait until the peers know; return the pushes that this ends."""
        records: list[KeyRecord] = []
        ended: list[Waiting[bool]] = []
        for dot in dots:
            message = self.holding.replica.remove_one(dot)
            assert message is not None
            if (record := self.holding.keys.remove(now, dot, message)) is not None:
                records.append(record)
            if (waiting := self.pushes.drop(dot)) is not None:
                ended.append(waiting)
        removed = DotSet.of(dots)
        self._known(DotSet(), removed)
        if self.holding.serving or self.holding.comparing:
            self.holding.note(DotSet(), removed, None)
        self.removals.add(now, self.log.append(Removal(removed, tuple(records))), tuple(dots), ticket, answer=outcome)
        return ended

    def learn(self, now: float, contents: Contents, records: list[KeyRecord], source: Session | None) -> Change:
        """Add what a peer has sent of this node's messages; return what was news.

        Raises:
            PeerFault: the peer names messages that this process never pushed.
        """
        self.check(contents)
        needs = [(each.id, each.need) for each in self.progress.values()]
        removals = [(each.id, each.records) for each in self.progress.values()]
        change = self.holding.learn(now, contents, records, source)
        mine = (source.id,) if isinstance(source, Progress) else ()
        for dot, _ in change.put:
            has = (*mine, *(id for id, need in needs if dot in need))
            self.log.append(Put(dot, has) if has else dot)
        if change.removed_dots:
            removed = change.removed_dots
            has = (*mine, *known_by(removed, removals))
            known_records = tuple(each for each in records if each.dot in removed)
            self.log.append(Removal(removed, known_records, has))
        if change.put or change.removed_dots:
            self._known(change.put_dots, change.removed_dots)
        return change

    def check(self, contents: Contents) -> None:
        """See that a peer names no message of this incarnation that was not pushed."""
        if self.incarnation is None:
            return
        numbers = (n for n, _ in contents.puts.get(self.incarnation, ()))
        if max(contents.removed.last(self.incarnation), *numbers, 0, 0) > self.last:
            raise PeerFault("a peer knows a message of this incarnation that was never pushed")

    def _known(self, put: DotSet, removed: DotSet) -> None:
        for progress in self.progress.values():
            progress.known(put, removed)

    # Sessions.

    @property
    def needed(self) -> int:
        """How many messages only peers have, as far as is known; messages that several have count once."""
        needs = [each.need for each in self.progress.values() if each.need]
        if len(needs) < 2:
            return len(needs[0]) if needs else 0
        union = DotSet()
        for need in needs:
            union |= need
        return len(union)

    def is_needed(self, dot: Dot) -> bool:
        """Return True if a peer has this message, and it has not arrived here yet."""
        return any(dot in each.need for each in self.progress.values())

    @property
    def hidden(self) -> DotSet:
        """Live messages that a peer knows as removed, and that are not delivered until its records have come."""
        hidden = DotSet()
        for each in self.progress.values():
            hidden |= each.records & self.holding.replica.live_dots
        return hidden

    def counted(self) -> list[Progress]:
        """Return the sessions that count for answers."""
        return [each for each in self.progress.values() if each.is_counted]

    @property
    def _has_enough(self) -> bool:
        """True if a push can get its copies."""
        return 1 + len(self.counted()) >= self._copies

    def check_enough(self) -> None:
        """See that a push can get its copies.

        Raises:
            Unreplicated: too few members are counted.
        """
        if not self._has_enough:
            have = 1 + len(self.counted())
            raise Unreplicated(f"{have} of {self._copies} nodes can hold the message now; it is not on the queue")

    def open_sessions(self, now: float, cluster: Cluster) -> None:
        """Open a session with each member's newest process, and end those with older processes."""
        assert self.incarnation is not None
        self._declined = {
            process: (until, incarnation)
            for process, (until, incarnation) in self._declined.items()
            if until > now and process.incarnation == incarnation
        }
        for member in cluster.members.values():
            progress, link = self.progress.get(member.id), member.current
            if progress is not None and (progress.link is not link or progress.lags(self.log.end)):
                self._sessions.end(progress)
                self.ended(progress)
                progress = None
            if progress is None and link is not None and link.process not in self._declined:
                self.progress[member.id] = self._sessions.open_as_owner(
                    now, link, self.holding, self.incarnation, self._body_bytes_max
                )

    def ended(self, session: Session) -> None:
        """Note that a session is over."""
        node = session.link.node
        if isinstance(session, Progress) and self.progress.get(node) is session:
            del self.progress[node]
            if session.is_counted:
                self._left[node] = session.match

    def declined(self, now: float, ended: Ended) -> None:
        """Ask a process that declines again in a second, or when it has taken an incarnation."""
        process = ended.session.link.process
        self._declined[process] = now + open_again_after_s, process.incarnation
        self.ended(ended.session)

    def compared(self, compared: Compared) -> None:
        """Count a member from the first page on: then the log is sent to it."""
        session = compared.session
        if isinstance(session, Progress) and compared.is_first:
            session.begin(self.answered, self.log.end)
            self._left.pop(session.link.node, None)
            if self._has_enough:
                self._short_since = None

    def end_all(self) -> None:
        """End all sessions with members: this process is no longer the owner."""
        for progress in list(self.progress.values()):
            self._sessions.end(progress)
        self.progress.clear()
        self._left.clear()

    # Answers.

    @property
    def answered(self) -> int:
        """A: the index up to which every push is committed, and every removal is answered."""
        first = min(
            (index for index in (self.pushes.first(), self.removals.first()) if index is not None), default=None
        )
        return self.log.end if first is None else first - 1

    def committed(self) -> list[Waiting[bool]]:
        """Return the pushes that K nodes hold: up to C, the (K - 1)th largest match of the members that are counted."""
        if self._copies > 1:
            matches = sorted((each.match for each in self.counted()), reverse=True)
            if len(matches) >= self._copies - 1:
                self.committed_upto = max(self.committed_upto, matches[self._copies - 2])
        else:
            self.committed_upto = self.log.end
        return self.pushes.reach(self.committed_upto)

    def confirmed_removals(self, now: float, cluster: Cluster) -> list[Waiting[Outcome]]:
        """Return the removals that all members know: R is the smallest match of those that must be waited for.

        A member whose session has ended is waited for until it is refused, leaving or unreachable.
        """
        for node in list(self._left):
            member = cluster.members[node]
            if member.is_refused(now) or member.is_unreachable(now) or member.is_leaving:
                del self._left[node]
        if self.removals.first() is None:
            return []
        matches = [each.match for each in self.counted()]
        matches += self._left.values()
        return self.removals.reach(min(matches, default=self.log.end))

    def expired_pushes(self, now: float) -> list[int]:
        """Return the requests that waited too long for their copies, or 1 s since too few members are counted."""
        if self._has_enough:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = now
        if self._short_since is not None and now >= self._short_since + too_few_peers_s:
            return self.pushes.give_up()
        return self.pushes.expire(now)

    def copies(self, dot: Dot, entry: int | None) -> int:
        """Return how many nodes are known to hold a message; ``entry``: its index; None: it was committed before."""
        index = self.committed_upto if entry is None else entry
        return 1 + sum(each.has(dot, index, is_entry=entry is not None) for each in self.counted())

    def pump(self, now: float, counts: Mapping[str, dict[str, int]], rises: int, *, is_whole: bool) -> None:
        """Send the log and the rest to every peer, and drop the entries that all have."""
        holding = self.holding
        for node, progress in self.progress.items():
            progress.send_log(now, self.log, counts.get(node, {}), rises, is_whole=is_whole)
            progress.pump(now, holding.replica, holding.keys)
        self.log.truncate(min(self.answered, *(each.match for each in self.counted()), self.answered))

    def deadlines(self) -> Iterable[float | None]:
        """Return when the time of a request is up."""
        yield self.pushes.next_deadline()
        yield self.removals.next_deadline()
        if self._short_since is not None and self.pushes.has_requests:
            yield self._short_since + too_few_peers_s
