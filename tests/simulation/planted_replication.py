"""Planted faults: the log, sessions and answers (chapters 1, 3 and 4)."""

from typing import Any
from unittest.mock import patch

from attrs import evolve
from msgspec.structs import replace

from dqtw.core.dispatch import Dispatch
from dqtw.core.effects import Answer
from dqtw.core.links.members import Member
from dqtw.core.model.commands import Done
from dqtw.core.model.dots import DotSet
from dqtw.core.model.errors import Full, Unreplicated
from dqtw.core.model.key_memory import KeyMemory
from dqtw.core.model.replica import Replica
from dqtw.core.queue.admission import Admission
from dqtw.core.queue.owner import Owner
from dqtw.core.queue.queue import Queue
from dqtw.core.replication.holder import Holder
from dqtw.core.replication.holding import Holding
from dqtw.core.replication.log import Log
from dqtw.core.replication.pending import Pending
from dqtw.core.replication.progress import Progress
from dqtw.core.replication.replicator import Replicator
from dqtw.core.replication.session import Session
from tests.simulation.planting import Patch, no, nothing, planted

# Chapter 1: the replica.


@planted("1", "a message that was removed is put again")
def stale_wins() -> list[Patch]:
    original = Replica.put

    def put(self: Any, incarnation: str, messages: Any) -> Any:
        listed = list(messages)
        for n, _ in listed:
            if (incarnation, n) not in self:
                self.seen.discard(incarnation, n)
        return original(self, incarnation, listed)

    return [(Replica, "put", put)]


@planted("1", "what the peer does not hold counts as removed: an empty replica wins")
def empty_wins() -> list[Patch]:
    original = Session.compare

    def compare(self: Any, now: float, page: Any, replica: Any) -> Any:
        missing = replica.between(page.after, page.upto).live - page.seen
        return original(self, now, replace(page, seen=page.seen | missing), replica)

    return [(Session, "compare", compare)]


@planted("1", "a removal travels without the record of its key")
def removal_without_key() -> list[Patch]:
    def records_of(self: Any, removed: DotSet, count_max: int) -> Any:
        return removed, []

    return [(KeyMemory, "records_of", records_of)]


# Chapter 3: the log.


@planted("3", "an entry counts as confirmed as soon as it is sent")
def match_when_sent() -> list[Patch]:
    original = Progress.send_log

    def send_log(self: Any, *arguments: Any, **flags: Any) -> None:
        original(self, *arguments, **flags)
        self.match = max(self.match, self._next - 1)

    return [(Progress, "send_log", send_log)]


@planted("3", "a session begins at the end of the log, not at the last entry that is answered")
def begin_at_the_end() -> list[Patch]:
    original = Progress.begin
    return [(Progress, "begin", lambda self, answered, end: original(self, end, end))]


@planted("3", "an uncertain push counts as answered")
def uncertain_is_answered() -> list[Patch]:
    def answered(self: Any) -> int:
        waiting = [each.index for each in self.pushes._in_order if not each.is_over and each.tickets]
        first = min([*waiting, *([self.removals.first()] if self.removals.first() else [])], default=None)
        return int(self.log.end if first is None else first - 1)

    return [(Replicator, "answered", property(answered))]


@planted("3", "the log is cut past what a peer has confirmed")
def cut_past_match() -> list[Patch]:
    original = Replicator.pump

    def pump(self: Any, *arguments: Any, **flags: Any) -> None:
        original(self, *arguments, **flags)
        for progress in self.progress.values():
            if progress.is_counted:
                progress._next = max(progress._next, self.log.end)

    return [(Replicator, "pump", pump)]


@planted("3", "backfill counts as confirmed when it is sent")
def backfill_when_sent() -> list[Patch]:
    original = Session.pump

    def pump(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        self._unconfirmed.clear()

    return [(Session, "pump", pump)]


@planted("3", "the confirmation of any backfill confirms all")
def any_backfill_confirms() -> list[Patch]:
    return [(Session, "confirmed", lambda self, number: self._unconfirmed.clear() if number else None)]


@planted("3", "a comparison has one side: the peer does not get what it lacks")
def one_sided() -> list[Patch]:
    original = Session.compare

    def compare(self: Any, *arguments: Any) -> Any:
        news = original(self, *arguments)
        self._unsent = DotSet()
        return news

    return [(Session, "compare", compare)]


@planted("3", "a digest is complete with its first page")
def one_page_is_enough() -> list[Patch]:
    original = Session.compare

    def compare(self: Any, *arguments: Any) -> Any:
        if self.is_whole:
            return DotSet()
        news = original(self, *arguments)
        self.is_whole = True
        return news

    return [(Session, "compare", compare)]


@planted("3", "what was learned from a peer is not in the log")
def learned_not_logged() -> list[Patch]:
    original = Replicator.learn

    def learn(self: Any, *arguments: Any) -> Any:
        with patch.object(Log, "append", lambda log, entry: log.end):
            return original(self, *arguments)

    return [(Replicator, "learn", learn)]


@planted("3", "what one peer has counts as known to all")
def known_by_all() -> list[Patch]:
    original = Log.read

    def read(self: Any, first: int, session: int) -> Any:
        part = original(self, first, session)
        foreign = {entry.dot for entry in self._entries if hasattr(entry, "dot") and hasattr(entry, "known_by")}
        contents = part.contents
        puts = {
            incarnation: [(n, message) for n, message in runs if (incarnation, n) not in foreign]
            for incarnation, runs in contents.puts.items()
        }
        return evolve(part, contents=replace(contents, puts={each: runs for each, runs in puts.items() if runs}))

    return [(Log, "read", read)]


@planted("3", "changes behind the owner's back are not reported")
def changed_ignored() -> list[Patch]:
    return [(Holding, "report", nothing)]


@planted("3", "a peer is called synced while the owner still needs messages from it")
def synced_too_early() -> list[Patch]:
    return [(Session, "is_synced", property(lambda self: self.is_whole))]


@planted("3", "what the peer knows as removed is not removed here")
def keep_the_removed() -> list[Patch]:
    original = Session.compare

    def compare(self: Any, *arguments: Any) -> Any:
        news = original(self, *arguments)
        self.records = DotSet()
        return news

    return [(Session, "compare", compare)]


@planted("3", "a message that a peer knows as removed is delivered until the records come")
def hidden_is_delivered() -> list[Patch]:
    return [(Replicator, "hidden", property(lambda self: DotSet()))]


@planted("3", "a replica stays current when it changes otherwise")
def current_for_ever() -> list[Patch]:
    original = Holding.learn

    def learn(self: Any, *arguments: Any) -> Any:
        before = self.is_current
        change = original(self, *arguments)
        self.is_current = before
        return change

    return [(Holding, "learn", learn)]


@planted("3", "a replica is taken for complete although its owner does not say so")
def complete_without_whole() -> list[Patch]:
    original = Holder._delta
    return [
        (
            Holder,
            "_delta",
            lambda self, now, holding, serving, frame: original(
                self, now, holding, serving, replace(frame, is_whole=True)
            ),
        )
    ]


# Chapter 4: answers.


@planted("4.1", "one copy fewer than asked for is enough")
def one_copy_fewer() -> list[Patch]:
    original = Replicator.committed

    def committed(self: Any) -> Any:
        copies, self._copies = self._copies, max(self._copies - 1, 1)
        try:
            return original(self)
        finally:
            self._copies = copies

    return [(Replicator, "committed", committed)]


@planted("4.1", "a peer that has left its session still counts for commits")
def count_who_left() -> list[Patch]:
    original = Replicator.committed

    def committed(self: Any) -> Any:
        matches = sorted([*(each.match for each in self.counted()), *(match + 1 for match in self._left.values())])
        if len(matches) >= self._copies - 1 > 0:
            self.committed_upto = max(self.committed_upto, min(matches[1 - self._copies], self.log.end))
        return original(self)

    return [(Replicator, "committed", committed)]


@planted("4.1", "a push is shown to workers before it has its copies")
def show_early() -> list[Patch]:
    original = Queue.admit

    def admit(self: Any, dot: Any) -> None:
        original(self, dot)
        self.release([dot])

    return [(Queue, "admit", admit)]


@planted("4.2", "a removal is answered before the peers know of it")
def ack_at_once() -> list[Patch]:
    def confirmed_removals(self: Any, *_: Any) -> Any:
        return self.removals.reach(self.log.end)

    return [(Replicator, "confirmed_removals", confirmed_removals)]


@planted("4.2", "a peer whose session ended is not waited for")
def ack_without_the_lost() -> list[Patch]:
    original = Replicator.ended

    def ended(self: Any, session: Any) -> None:
        original(self, session)
        self._left.clear()

    return [(Replicator, "ended", ended)]


@planted("4.2", "a peer that is gone is waited for until the end")
def ack_waits_for_the_dead() -> list[Patch]:

    original = Replicator.confirmed_removals

    def confirmed_removals(self: Any, now: float, cluster: Any) -> Any:
        with patch.object(Member, "is_unreachable", no):
            return original(self, now, cluster)

    return [(Replicator, "confirmed_removals", confirmed_removals)]


@planted("4.2", "another removal of an id whose removal is pending is answered at once")
def second_ack_at_once() -> list[Patch]:

    original = Owner._ack

    def ack(self: Any, now: float, ticket: int, dot: Any) -> Any:
        return [Answer(ticket, Done())] if dot in self.replicator.removals else original(self, now, ticket, dot)

    return [(Owner, "_ack", ack)]


@planted("4.3", "a push that has its id is refused as unreplicated when its copies do not come")
def unreplicated_late() -> list[Patch]:

    original = Admission.tick

    def tick(self: Any, now: float) -> Any:
        late = [Answer(ticket, Unreplicated("too late")) for ticket in self._replicator.expired_pushes(now)]
        return late + original(self, now)

    return [(Admission, "tick", tick)]


@planted("4.3", "a push that is uncertain is taken back")
def taken_back() -> list[Patch]:
    original = Replicator.expired_pushes

    def expired_pushes(self: Any, now: float) -> Any:
        tickets = original(self, now)
        for waiting in list(self.pushes._by_dot.values()) if tickets else []:
            if not waiting.tickets:
                self.holding.replica.remove_one(waiting.dots[0])
        return tickets

    return [(Replicator, "expired_pushes", expired_pushes)]


@planted("4.3", "a push waits for its copies without an end")
def wait_for_ever() -> list[Patch]:
    return [(Replicator, "expired_pushes", lambda self, now: [])]


@planted("4.3", "a message whose push is uncertain stays hidden when its copies come")
def uncertain_stays_hidden() -> list[Patch]:
    original = Pending.expire

    def expire(self: Any, now: float) -> Any:
        tickets = original(self, now)
        for waiting in self._in_order:
            waiting.is_over = waiting.is_over or not waiting.tickets
        return tickets

    return [(Pending, "expire", expire)]


@planted("4.4", "messages that only a peer holds do not count")
def ignore_need() -> list[Patch]:
    return [(Replicator, "needed", property(lambda self: 0))]


@planted("4.4", "one message more than the size is accepted")
def one_too_many() -> list[Patch]:
    original = Queue.check_room

    def check_room(self: Any, body_bytes: int, expected: int = 0) -> None:
        original(self, body_bytes, expected - 1)

    return [(Queue, "check_room", check_room)]


@planted("4.4", "a queue is called full while it has room for one more")
def full_too_early() -> list[Patch]:
    original = Queue.check_room

    def check_room(self: Any, body_bytes: int, expected: int = 0) -> None:
        original(self, body_bytes, expected + (self._replica.count > 1))

    return [(Queue, "check_room", check_room)]


@planted("promise", "a full queue drops its oldest message")
def evict_when_full() -> list[Patch]:
    original = Queue.check_room

    def check_room(self: Any, body_bytes: int, expected: int = 0) -> None:
        try:
            original(self, body_bytes, expected)
        except Full:
            dot = self._replica.live_dots.first_dot()
            if dot is None:
                raise
            self._replica.remove_one(dot)
            self.forget(dot)

    return [(Queue, "check_room", check_room)]


@planted("4.5", "an unknown id is refused as unknown without asking the peers")
def unknown_without_asking() -> list[Patch]:

    return [(Dispatch, "_check_elsewhere", nothing)]
