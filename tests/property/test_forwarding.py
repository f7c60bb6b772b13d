"""Forwarding under any interleaving of calls, outcomes, ends of links and clients that go, against naive owners."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dqtw.core.model.commands import Ack, Command, Complete, Delivered, Done, Get, GiveBack, Inspect, Outcome, Push
from dqtw.core.model.errors import Draining, Fenced, OwnerDown, Refusal, Starting, Uncertain
from dqtw.core.model.message import Receipt
from tests.rules.forwarding import Link, World
from tests.rules.naive_owner import id_of

nodes = st.sampled_from("bc")
few = st.integers(0, 3)


class TracedWorld(World):
    """A world that remembers the removals at delivery, by their receipts, and the moments of answers."""

    def __init__(self, *owners: str) -> None:
        self.completing: dict[Receipt, tuple[int, float]] = {}
        self.answered_at: dict[int, float] = {}
        super().__init__(*owners)

    def pump(self) -> None:
        for ticket, completion in self.outbound._completions.items():
            for receipt in completion.deliveries:
                self.completing.setdefault(receipt, (ticket, self.now))
        super().pump()

    def answer(self, ticket: int, outcome: Outcome) -> None:
        super().answer(ticket, outcome)
        self.answered_at[ticket] = self.now


class Forwarding(RuleBasedStateMachine):
    """A node, its clients, two owners with clients of their own, and links that fail on each side separately.

    Attributes:
        links: all links that are up on one side at least.
        asked: by ticket, a forwarded command, which is like no other, with its link and the moment.
        gets: by ticket.
        gone: the tickets whose clients are gone, and are not answered any more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = TracedWorld("b", "c")
        self.links: list[Link] = [*self.world.links.values()]
        self.asked: dict[int, tuple[Command, Link | None, float]] = {}
        self.gets: dict[int, Get] = {}
        self.gone: set[int] = set()
        self.is_abandoned = False
        self.names = iter(range(1, 10**9))

    # Clients of this node.

    @rule(node=nodes, n=st.integers(0, 6), kind=st.sampled_from(["ack", "inspect", "push"]))
    def forward(self, node: str, n: int, kind: str) -> None:
        name = next(self.names)
        command: Command = Push(b"pushed", key=f"{name}")
        live = [*self.world.owners[node].live]
        if kind == "inspect":
            command = Inspect(id_of(node, 10**6 + name))
        elif kind == "ack":
            id = live[n % len(live)] if live else id_of(node, 10**6 + name)
            command = Ack(id)
            if any(command == each for each, _, _ in self.asked.values()):
                return
        link = self.world.links.get(node)
        self.asked[self.world.forward(node, command)] = command, link, self.world.now

    @rule(count_max=st.integers(1, 3), wait_s=st.sampled_from([0.0, 20.0]), ack_now=st.booleans())
    def get(self, count_max: int, wait_s: float, *, ack_now: bool) -> None:
        ticket = self.world.get(count_max, wait_s, ack_now=ack_now)
        self.gets[ticket] = Get(count_max, wait_s, None, ack_now)

    @rule(at=st.integers(0, 9))
    def withdraw(self, at: int) -> None:
        pending = [ticket for ticket in self.gets if ticket not in self.world.answers and ticket not in self.gone]
        if pending:
            ticket = pending[at % len(pending)]
            assert self.world.withdraw(ticket)
            self.gone.add(ticket)

    @rule()
    def push_here(self) -> None:
        self.world.push_here(b"here")

    @rule()
    def pump(self) -> None:
        self.world.pump()

    # Owners, and their other clients.

    @rule(node=nodes, count=few)
    def push_there(self, node: str, count: int) -> None:
        self.world.owners[node].push(*[b"there"] * count)

    @rule(node=nodes, lease_s=st.sampled_from([3.0, 100.0]))
    def lease_there(self, node: str, lease_s: float) -> None:
        owner = self.world.owners[node]
        owner.lease(self.world.now, lease_s)
        owner.was_empty |= not owner.deliverable()

    @rule(node=nodes, at=few)
    def remove_there(self, node: str, at: int) -> None:
        owner = self.world.owners[node]
        if owner.live:
            owner.remove([*owner.live][at % len(owner.live)])
            owner.was_empty |= not owner.deliverable()

    @rule(node=nodes, refusal=st.sampled_from([None, Starting(""), Draining(""), Fenced(""), Uncertain("")]))
    def refuse(self, node: str, refusal: Refusal | None) -> None:
        owner = self.world.owners[node]
        owner.refusal = refusal
        owner.was_empty |= not owner.deliverable()

    @rule(node=nodes, is_slow=st.booleans())
    def slow_down(self, node: str, *, is_slow: bool) -> None:
        self.world.owners[node].is_slow = is_slow

    @rule(node=nodes, at=few)
    def carry_out(self, node: str, at: int) -> None:
        owner = self.world.owners[node]
        if owner.late:
            owner.carry_out(self.world.now, *owner.late.pop(at % len(owner.late)))

    @rule(node=nodes)
    def pump_there(self, node: str) -> None:
        self.world.owners[node].pump()

    # Links.

    @rule(at=few, count=few)
    def to_owner(self, at: int, count: int) -> None:
        for _ in range(count):
            self.world.to_owner(self.links[at % len(self.links)])

    @rule(at=few, count=few)
    def from_owner(self, at: int, count: int) -> None:
        for _ in range(count):
            self.world.from_owner(self.links[at % len(self.links)])

    @precondition(lambda self: len(self.links) > 2)
    @rule(at=few)
    def end_there(self, at: int) -> None:
        self._cut(self.links[at % len(self.links)], is_here=False)

    @rule(at=few)
    def end_here(self, at: int) -> None:
        self._cut(self.links[at % len(self.links)], is_here=True)

    @rule(node=nodes)
    def link(self, node: str) -> None:
        """Another process, or another link to the same one; the older one may go on."""
        if len(self.links) < 5:
            self.links.append(self.world.link(node))

    def _cut(self, link: Link, *, is_here: bool) -> None:
        self.world.cut_here(link) if is_here else self.world.cut_there(link)
        if not link.is_up_here and not link.is_up_there:
            self.links.remove(link)
        if not any(each.node == link.node and each.is_up_here for each in self.links):
            self.links.append(self.world.link(link.node))

    # Time.

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 6.0]))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: len(self.asked) > 3 and not self.is_abandoned)
    @rule()
    def abandon(self) -> None:
        self.is_abandoned = True
        for poll in self.world.polls.pop_all():
            self.world.answer(poll.ticket, Fenced("replaced"))
        self.world.act(self.world.outbound.abandon())

    @invariant()
    def each_command_is_carried_out_once(self) -> None:
        for owner in self.world.owners.values():
            done = Counter(str(command) for command, _ in owner.done if isinstance(command, Ack | Inspect | Push))
            assert all(count == 1 for count in done.values())

    def teardown(self) -> None:
        self._end_faults()
        if self.world.polls:
            assert not any(owner.ready() for owner in self.world.owners.values()), "a poll waits beside a message"
        for _ in range(20):
            self.world.advance(2.5)
            self.world.settle()
        assert self.world.outbound.is_quiet
        assert all(owner.inbound.is_quiet for owner in self.world.owners.values())
        for ticket, (command, link, since) in self.asked.items():
            self._check_command(command, self.world.answers[ticket], link, since)
        handed_out = Counter(receipt for ticket, get in self.gets.items() for receipt in self._check_get(ticket, get))
        assert all(count == 1 for count in handed_out.values())
        self._check_leases(set(handed_out))

    def _end_faults(self) -> None:
        current = {*self.world.links.values()}
        for link in [*self.links]:
            if link not in current or not (link.is_up_here and link.is_up_there):
                self.world.cut_here(link)
                self.world.cut_there(link)
        for node, owner in self.world.owners.items():
            if not self.world.links[node].is_up_here:
                self.world.link(node)
            owner.refusal, owner.is_slow = None, False
            owner.catch_up(self.world.now)
        self.world.settle()

    def _outcome(self, command: Command) -> Outcome | None:
        found = [outcome for owner in self.world.owners.values() for each, outcome in owner.done if each == command]
        return found[0] if found else None

    def _check_command(self, command: Command, answer: Outcome, link: Link | None, since: float) -> None:
        """An answer is that of the owner, or says truly what can be known."""
        outcome = self._outcome(command)
        if isinstance(answer, OwnerDown):
            assert isinstance(command, Inspect) or outcome is None or isinstance(outcome, Draining | Fenced)
        elif isinstance(answer, Uncertain):
            was_lost = link is None or not link.is_up_here or self.is_abandoned or self.world.now - since >= 5.0
            assert was_lost or isinstance(outcome, Uncertain)
        else:
            assert outcome is not None
            assert (type(answer), getattr(answer, "id", None)) == (type(outcome), getattr(outcome, "id", None))

    def _check_get(self, ticket: int, get: Get) -> list[Receipt]:
        """Return what a get has handed out."""
        if ticket in self.gone:
            assert ticket not in self.world.answers
            return []
        answer = self.world.answers[ticket]
        if not isinstance(answer, Delivered):
            assert isinstance(answer, Fenced) or get.ack_now
            assert isinstance(answer, Fenced | Uncertain)
            return []
        assert len(answer.deliveries) <= get.count_max
        receipts = [each.receipt for each in answer.deliveries if each.receipt.id.node != "a"]
        if get.ack_now:
            done = [self._outcome(Complete(receipt)) for receipt in receipts]
            assert done == [Done()] * len(receipts), "handed out, and not surely removed"
        return receipts

    def _check_leases(self, handed_out: set[Receipt]) -> None:
        """Each lease for another node reached a client, was given back, or removed for a get, or its link ended."""
        for owner in self.world.owners.values():
            for receipt, end in owner.leased_to.items():
                if receipt in handed_out or not self._is_up(end):
                    continue
                was_removed = self._outcome(Complete(receipt))
                was_given_back = self._outcome(GiveBack(receipt))
                assert was_removed or was_given_back, "neither at a client, nor given back"
                if was_removed == Done():
                    self._check_lost(*self.world.completing[receipt])

    def _check_lost(self, ticket: int, since: float) -> None:
        """A message that was removed for a get is not handed out: its client is gone, or can't know of it."""
        if ticket not in self.gone:
            outcome, at = self.world.answers[ticket], self.world.answered_at[ticket]
            assert isinstance(outcome, Uncertain | Delivered)
            assert at >= since + 5.0 or self.is_abandoned
            assert isinstance(outcome, Uncertain) or outcome.deliveries

    def _is_up(self, end: object) -> bool:
        return any(end is link.there and link.is_up_here for link in self.world.links.values())


TestForwarding = Forwarding.TestCase
