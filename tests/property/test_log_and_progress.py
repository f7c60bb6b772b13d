"""The owner's side against a naive model: each push and removal is confirmed exactly when the definitions say so.

C is the (K - 1)-th largest, R the smallest index up to which the members that are counted have confirmed the log (4.1,
4.2). Members join and leave, confirm late, restart empty; what they hold is checked against the log that was sent.
"""

from collections.abc import Iterator
from typing import Any

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dqtw.core.links.frames import Applied, Backfill, Contents, Delta, Fetch, Fetched, Open, PageRead, ReadPage
from dqtw.core.model.commands import Done
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.message import Message
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.holding import Holding
from dqtw.core.replication.replicator import Replicator
from dqtw.core.replication.session import contents_of
from dqtw.core.replication.sessions import Compared, Learned, Sessions
from tests.rules.stubs import StubLink

incarnation = "01HF0000000000000000000000"
names = ["b", "c", "d"]
members = st.sampled_from(names)


@define
class StubMember:
    """A member as the owner's cluster knows it."""

    id: str
    current: Any = None
    gone: bool = False
    is_leaving: bool = False
    links: list[Any] = field(factory=list)

    def is_refused(self, now: float) -> bool:
        return False

    def is_unreachable(self, now: float) -> bool:
        return self.gone


@define
class StubCluster:
    members: dict[str, StubMember]


@define(eq=False)
class Peer:
    """A member's process: what it holds, and what has been sent to it and by it and did not arrive yet."""

    holding: Holding = field(factory=lambda: Holding("a", 600.0, 100))
    link: StubLink | None = None
    session: int = 0
    inbox: list[Any] = field(factory=list)
    outbox: list[Any] = field(factory=list)


class Owner(RuleBasedStateMachine):
    """An owner with three members and K = 2 or 3."""

    copies = 2

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sessions = Sessions()
        peers = dict.fromkeys(names, "")
        self.replicator = Replicator(NodeSettings(node="a", peers=peers, copies=self.copies), self.sessions)
        self.replicator.incarnation = incarnation
        self.cluster: Any = StubCluster({name: StubMember(name) for name in names})
        self.peers = {name: Peer() for name in names}
        self.entries: list[frozenset[Dot]] = []  # the log, naively: of each index what it put or removed
        self.matches: dict[str, int] = {}  # of the members counted now
        self.left: dict[str, int] = {}  # of those that were
        self.pushes: dict[int, Dot] = {}  # that are pending, by index
        self.removals: dict[int, frozenset[Dot]] = {}
        self.committed = 0
        self.tickets = 0

    # What clients and peers do.

    @rule()
    def push(self) -> None:
        self.tickets += 1
        dot = self.replicator.push(self.now, Message(b"m"), self.tickets)
        self.entries.append(frozenset([dot]))
        self.pushes[len(self.entries)] = dot

    @precondition(lambda self: self.replicator.holding.replica.count)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        live = sorted(self.replicator.holding.replica.live_dots)
        removed = data.draw(st.lists(st.sampled_from(live), min_size=1, max_size=3, unique=True))
        self.tickets += 1
        ended = self.replicator.remove(self.now, removed, self.tickets, Done())
        mine = {index: dot for index, dot in self.pushes.items() if dot in removed}
        assert {each.index for each in ended} == set(mine)
        self.pushes = {index: dot for index, dot in self.pushes.items() if index not in mine}
        self.entries.append(frozenset(removed))
        self.removals[len(self.entries)] = frozenset(removed)

    @rule(name=members)
    def link_up(self, name: str) -> None:
        member, peer = self.cluster.members[name], self.peers[name]
        if member.current is None:
            peer.link = member.current = StubLink(name)
            peer.link.process = name  # type: ignore[attr-defined]
            member.gone = False
            self.replicator.open_sessions(self.now, self.cluster)
            (opened,) = peer.link.take(Open)
            peer.session = opened.session
            peer.outbox = [None]  # the first page, read when it is delivered
            peer.inbox = []

    @rule(name=members, restarts=st.booleans())
    def link_down(self, name: str, restarts: bool) -> None:
        member, peer = self.cluster.members[name], self.peers[name]
        if member.current is not None:
            for session in self.sessions.link_down(member.current):
                self.replicator.ended(session)
            member.current = peer.link = None
            if name in self.matches:
                self.left[name] = self.matches.pop(name)
        if restarts:
            self.peers[name] = Peer()

    @rule(name=members)
    def unreachable(self, name: str) -> None:
        member = self.cluster.members[name]
        if member.current is None:
            member.gone = True
            self.left.pop(name, None)
            self.pump()  # the owner looks at its members in every turn

    @rule(name=members, count=st.integers(1, 4))
    def receive(self, name: str, count: int) -> None:
        """Let a member take what was sent to it, and answer."""
        peer = self.peers[name]
        for frame in peer.inbox[:count]:
            self.take(peer, frame)
        del peer.inbox[:count]

    def take(self, peer: Peer, frame: Any) -> None:
        match frame:
            case Delta(_, upto, _, contents):
                peer.holding.learn(self.now, contents, [], None)
                peer.outbox.append(Applied(peer.session, upto, 0))
            case Backfill(_, number, _, contents):
                peer.holding.learn(self.now, contents, [], None)
                peer.outbox.append(Applied(peer.session, 0, number))
            case Fetch(_, messages, records):
                covered, contents = contents_of(messages, peer.holding.replica, peer.holding.keys)
                also = records & peer.holding.replica.removed_dots
                whole = Contents(contents.puts, contents.removed | also, [])
                absent = (covered | records) - peer.holding.replica.seen
                peer.outbox.append(Fetched(peer.session, self.now, whole, absent))
            case ReadPage():
                peer.outbox.append(None)

    @rule(name=members, count=st.integers(1, 4))
    def confirm(self, name: str, count: int) -> None:
        """Let the owner take what a member has sent."""
        peer = self.peers[name]
        if peer.link is None:
            return
        for frame in peer.outbox[:count]:
            page = peer.holding.replica.page(None)
            event = self.sessions.receive(
                self.now,
                peer.link,  # type: ignore[arg-type]
                PageRead(peer.session, page.seen, page.live, None, None) if frame is None else frame,
            )
            if isinstance(event, Compared):
                answered = self.answered()
                self.replicator.compared(event)
                self.matches[name] = answered
                self.left.pop(name, None)
            elif isinstance(event, Learned):
                end = self.replicator.log.end
                change = self.replicator.learn(self.now, event.contents, event.records, event.session)
                self.entries += [frozenset([dot]) for dot, _ in change.put]
                if change.removed_dots:
                    self.entries.append(frozenset(change.removed_dots))
                    for index in [each for each, dot in self.pushes.items() if dot in change.removed_dots]:
                        assert self.replicator.pushes.drop(self.pushes.pop(index)) is not None
                assert self.replicator.log.end - end == len(self.entries) - end
            elif isinstance(frame, Applied):
                self.matches[name] = max(self.matches[name], frame.upto)
        del peer.outbox[:count]

    # What the definitions say.

    def answered(self) -> int:
        return min([len(self.entries) + 1, *self.pushes, *self.removals]) - 1

    @rule()
    def pump(self) -> None:
        """Let the owner answer and send, as it does at the end of each turn."""
        matches = sorted(self.matches.values(), reverse=True)
        if len(matches) >= self.copies - 1:
            self.committed = max(self.committed, matches[self.copies - 2])
        confirmed = min([*self.matches.values(), *self.left.values()], default=len(self.entries))
        pushes = {index for index in self.pushes if index <= self.committed}
        removals = {index for index in self.removals if index <= confirmed}
        assert {each.index for each in self.replicator.committed()} == pushes
        assert {each.index for each in self.replicator.confirmed_removals(self.now, self.cluster)} == removals
        for index in pushes:
            holders = [name for name in self.matches if self.matches[name] >= index]
            assert len([name for name in holders if self.knows(name, self.pushes[index])]) >= self.copies - 1
            del self.pushes[index]
        for index in removals:
            for name in self.matches:
                assert not self.removals[index] - self.removed(name)
            del self.removals[index]
        self.replicator.pump(self.now, {}, 0, is_whole=True)
        for peer in self.peers.values():
            if peer.link is not None:
                peer.inbox += peer.link.frames
                peer.link.frames.clear()

    def knows(self, name: str, dot: Dot) -> bool:
        return dot in self.peers[name].holding.replica.seen

    def removed(self, name: str) -> frozenset[Dot]:
        return frozenset(self.peers[name].holding.replica.removed_dots)

    @invariant()
    def in_session_a_peer_knows_every_change_up_to_match(self) -> None:
        """Except for backfill that is not confirmed, and messages that were removed later (3 Invariant)."""
        for name, progress in self.replicator.progress.items():
            assert progress.is_counted == (name in self.matches)
            if not progress.is_whole:
                continue
            assert progress.match == self.matches[name]
            removed = self.replicator.holding.replica.removed_dots
            for dot in self.changes_upto(progress.match):
                assert progress.lacks(dot) or dot in removed or self.knows(name, dot)
            for index, dots in self.removals.items():
                if index <= progress.match:
                    assert all(dot in self.removed(name) or progress.lacks(dot) for dot in dots)

    def changes_upto(self, index: int) -> Iterator[Dot]:
        for dots in self.entries[:index]:
            yield from dots

    @invariant()
    def the_log_is_kept_from_what_is_answered_and_matched(self) -> None:
        log = self.replicator.log
        assert log.end == len(self.entries)
        assert log.start <= min([self.answered(), *self.matches.values()])

    def teardown(self) -> None:
        """Let all members come and catch up: then nothing waits, and the replicas are equal."""
        for _ in range(6):
            for name in names:
                self.link_up(name)
                self.pump()
                self.receive(name, 10_000)
                self.confirm(name, 10_000)
                self.pump()
        mine = self.replicator.holding.replica
        assert not self.pushes
        assert not self.removals
        for name in names:
            theirs = self.peers[name].holding.replica
            assert theirs.live_dots == mine.live_dots
            assert theirs.seen == mine.seen
            assert self.replicator.progress[name].is_synced
        assert self.replicator.log.start == self.replicator.log.end


class OwnerOfAll(Owner):
    """K = M: a push needs all members."""

    copies = 4


run = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestTwoCopies = Owner.TestCase
TestTwoCopies.settings = run
TestAllCopies = OwnerOfAll.TestCase
TestAllCopies.settings = run


def test_needed_counts_what_only_peers_have_once() -> None:
    """The union of what each session needs, without what has come."""
    sessions = Sessions()
    replicator = Replicator(NodeSettings(node="a", peers={"b": "", "c": ""}), sessions)
    replicator.incarnation = incarnation
    needs = {"b": DotSet.of([(incarnation, 1), (incarnation, 2)]), "c": DotSet.of([(incarnation, 2)])}
    for name, need in needs.items():
        session = sessions.open_as_owner(0.0, StubLink(name), replicator.holding, incarnation, 1)  # type: ignore[arg-type]
        session.need |= need
        replicator.progress[name] = session
    assert replicator.needed == 2
    replicator._known(DotSet.of([(incarnation, 2)]), DotSet())
    assert replicator.needed == 1
