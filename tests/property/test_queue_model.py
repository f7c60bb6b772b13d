"""A node of one against the naive one: whatever clients do, in whatever order, both give the same answers."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dqtw.core.model.commands import (
    Ack,
    Command,
    Delivered,
    Done,
    Get,
    GiveBack,
    Inspect,
    Inspected,
    Nack,
    Outcome,
    Push,
    Pushed,
    State,
    Touch,
)
from dqtw.core.model.errors import Refusal
from dqtw.core.model.message import MessageId, Receipt
from dqtw.core.model.settings import NodeSettings
from tests.property.naive_node import Answer, NaiveNode
from tests.unit.core.world import World

bodies = st.sampled_from([b"", b"a", b"b", b"ccc", b"dddddd"])
names = st.sampled_from([None, None, "k", "l"])
waits = st.sampled_from([0.0, 0.0, 1.0, 4.0, 1e6])
leases = st.sampled_from([None, 1.0, 3.0])
delays = st.sampled_from([0.0, 1.0, 2.0])
pauses = st.sampled_from([0.0, 0.5, 1.0, 3.0, 7.0])
counts = st.sampled_from([1, 1, 2, 1000])
picks = st.integers(0, 10_000)


class QueueAgainstModel(RuleBasedStateMachine):
    """Every rule is done to both; after each, every answer and every figure is compared."""

    @initialize(size=st.integers(1, 4), max_bytes=st.sampled_from([4, 8, 100]), max_waiting=st.sampled_from([1, 3, 9]))
    def start(self, size: int, max_bytes: int, max_waiting: int) -> None:
        limits = NodeSettings(
            size=size,
            max_bytes=max_bytes,
            max_message=5,
            max_waiting=max_waiting,
            lease_s=2.0,
            key_memory_s=5.0,
        )
        self.world = World(limits)
        self.model = NaiveNode(limits)
        self.tickets = 0
        self.receipts: list[tuple[Receipt, int]] = []  # with which delivery each came
        self.compared: set[int] = set()
        incarnation = self.world.owner.replicator.incarnation
        assert incarnation is not None
        self.incarnation = incarnation

    # What clients do.

    @rule(body=bodies, key=names, wait_s=waits)
    def push(self, body: bytes, key: str | None, wait_s: float) -> None:
        command = Push(body, "text/plain", key, wait_s)
        ticket = self.ask(command)
        self.model.push(self.world.now, ticket, command)
        self.model.settle(self.world.now)

    @rule(count=counts, wait_s=waits, lease_s=leases, ack_now=st.booleans())
    def get(self, count: int, wait_s: float, lease_s: float | None, ack_now: bool) -> None:
        command = Get(count, wait_s, lease_s, ack_now)
        ticket = self.ask(command)
        self.model.get(self.world.now, ticket, command)
        self.model.settle(self.world.now)

    @rule(n=st.integers(1, 12))
    def ack(self, n: int) -> None:
        ticket = self.ask(Ack(self.named(n)))
        self.model.ack(self.world.now, ticket, n)
        self.model.settle(self.world.now)

    @rule(n=st.integers(1, 12))
    def inspect(self, n: int) -> None:
        ticket = self.ask(Inspect(self.named(n)))
        self.model.inspect(self.world.now, ticket, n)

    @precondition(lambda self: bool(self.receipts))
    @rule(pick=picks)
    def ack_delivered(self, pick: int) -> None:
        self.ack(self.receipts[pick % len(self.receipts)][0].id.n)

    @precondition(lambda self: bool(self.receipts))
    @rule(pick=picks, delay_s=delays)
    def nack(self, pick: int, delay_s: float) -> None:
        receipt, delivery = self.receipts[pick % len(self.receipts)]
        ticket = self.ask(Nack(receipt, delay_s))
        self.model.nack(self.world.now, ticket, receipt.id.n, delivery, delay_s)
        self.model.settle(self.world.now)

    @precondition(lambda self: bool(self.receipts))
    @rule(pick=picks)
    def give_back(self, pick: int) -> None:
        receipt, delivery = self.receipts[pick % len(self.receipts)]
        ticket = self.ask(GiveBack(receipt))
        self.model.nack(self.world.now, ticket, receipt.id.n, delivery, 0.0, counted=False)
        self.model.settle(self.world.now)

    @precondition(lambda self: bool(self.receipts))
    @rule(pick=picks, lease_s=leases)
    def touch(self, pick: int, lease_s: float | None) -> None:
        receipt, delivery = self.receipts[pick % len(self.receipts)]
        ticket = self.ask(Touch(receipt, lease_s))
        self.model.touch(self.world.now, ticket, receipt.id.n, delivery, lease_s)

    @precondition(lambda self: self.tickets > 0)
    @rule(pick=picks)
    def leave(self, pick: int) -> None:
        ticket = 1 + pick % self.tickets
        assert self.world.leave(ticket) == self.model.leave(ticket)
        self.model.settle(self.world.now)

    # What time does.

    @rule(seconds=pauses)
    def sleep(self, seconds: float) -> None:
        until = self.world.now + seconds
        self.world.sleep(seconds)
        while (due := min(self.model.deadlines(), default=until + 1.0)) <= until:
            self.model.tick(max(due, until - seconds))

    @rule(seconds=pauses)
    def oversleep(self, seconds: float) -> None:
        self.world.oversleep(seconds)

    # What must hold.

    @invariant()
    def answers_agree(self) -> None:
        assert {ticket: plain(outcome) for ticket, outcome in self.world.answers.items()} == self.model.answers
        for ticket in self.world.answers.keys() - self.compared:
            outcome = self.world.answers[ticket]
            if isinstance(outcome, Delivered):
                receipts = [each.receipt for each in outcome.deliveries]
                self.receipts += zip(receipts, self.model.handed.get(ticket, []), strict=True)
        self.compared |= self.world.answers.keys()

    @invariant()
    def figures_agree(self) -> None:
        stats, model = self.world.node.stats(self.world.now), self.model
        ready = model.in_state(State.READY)
        assert [stats[state.value] for state in State] == [len(model.in_state(state)) for state in State]
        assert stats["queueSize"] == len(model.messages)
        assert stats["bytes"] == model.body_bytes()
        assert stats["oldest_ready_s"] == (self.world.now - ready[0].born_s if ready else None)
        assert (stats["waiting_polls"], stats["waiting_pushes"]) == (len(model.polls), len(model.slots))
        assert stats["keys"] == len(model.live_keys) + len(model.removed_keys)
        assert stats["lease_lost"] == model.lease_lost

    @invariant()
    def the_timer_is_set_for_what_comes_next(self) -> None:
        assert self.world.node.next_deadline(self.world.now) == min(self.model.deadlines(), default=None)

    @invariant()
    def the_bound_holds(self) -> None:
        replica = self.world.owner.replicator.holding.replica
        assert replica.count <= self.model.settings.size
        assert replica.body_bytes <= self.model.settings.max_bytes

    @invariant()
    def the_replica_is_the_queue(self) -> None:
        """What the peers would be sent is what the clients see."""
        replica = self.world.owner.replicator.holding.replica
        numbers = [n for (_, n), _ in replica.messages()]
        assert [n for _, n in replica.live_dots] == sorted(numbers) == [m.n for m in self.model.messages]
        assert list(replica.seen) == [(self.incarnation, n) for n in range(1, len(replica.seen) + 1)]

    @invariant()
    def each_message_is_in_one_state(self) -> None:
        queue, live = self.world.owner.queue, self.world.owner.replicator.holding.replica.live_dots
        assert not (queue.ready | queue.waiting | queue.hidden) - live
        assert sum(queue.count(state) for state in State) == len(live)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.drain()
        self.model.tick(self.world.now)
        self.model.drain()
        self.answers_agree()

    # How both are driven.

    def ask(self, command: Command) -> int:
        self.model.tick(self.world.now)
        self.tickets += 1
        assert self.world.ask(command) == self.tickets
        return self.tickets

    def named(self, n: int) -> MessageId:
        return MessageId("node", self.incarnation, n)


def plain(outcome: Outcome) -> Answer:
    """The answer in plain words."""
    match outcome:
        case Pushed(id, _, _, duplicate):
            return ("pushed", id.n, duplicate)
        case Delivered(deliveries):
            handed = ((each.receipt.id.n, each.attempt, each.lease_s, each.message.body) for each in deliveries)
            return ("delivered", tuple(handed))
        case Inspected(state, attempts, body_bytes, content_type, age_s):
            return ("inspected", state, attempts, body_bytes, content_type, age_s)
        case Done():
            return ("done",)
        case Refusal():
            return (outcome.code,)


TestQueueAgainstModel = QueueAgainstModel.TestCase
TestQueueAgainstModel.settings = settings(stateful_step_count=60)
