"""A naive owner of a queue, as the tests of forwarding need it: obvious rather than fast, with its real `Inbound`."""

from collections import deque
from collections.abc import Iterable

from attrs import define, field

from dqtw.core.forwarding.inbound import Inbound
from dqtw.core.links.frames import AnyFrame, Contents, Delta, Forward, Interest
from dqtw.core.model.commands import (
    Ack,
    Command,
    Complete,
    Delivered,
    Delivery,
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
from dqtw.core.model.errors import LeaseLost, Refusal, Unknown
from dqtw.core.model.message import Message, MessageId, Receipt

INCARNATION = "01HF0000000000000000000000"


def id_of(node: str, n: int = 1) -> MessageId:
    return MessageId(node, INCARNATION, n)


@define(eq=False)
class End:
    """A link as one of its processes has it: what it has sent, and the other has not received yet."""

    node: str
    sent: deque[AnyFrame] = field(factory=deque)
    calls: int = 0

    def send(self, frame: AnyFrame) -> None:
        self.sent.append(frame)

    def next_call(self) -> int:
        self.calls += 1
        return self.calls


@define
class Lease:
    token: str
    until: float


class Owner:
    """A naive owner of a queue, with its real `Inbound`.

    Attributes:
        done: the commands that it has carried out, with their outcomes, in order.
        refusal: what it answers to all that it is asked; None: it carries it out.
        interest: for each link that is up, the queues of interest at its other end.
        ends, leased_to: where each ticket, and each lease for another node, came from.
        was_empty: nothing could be delivered, at some moment since the last report.
        is_slow: it carries nothing out before `catch_up`.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self.inbound = Inbound(node)
        self.live: dict[MessageId, bytes] = {}
        self.leases: dict[MessageId, Lease] = {}
        self.attempts: dict[MessageId, int] = {}
        self.keys: dict[str, MessageId] = {}
        self.done: list[tuple[Command, Outcome]] = []
        self.refusal: Refusal | None = None
        self.is_slow = False
        self.late: list[tuple[int, Command]] = []
        self.interest: dict[End, set[str]] = {}
        self.ends: dict[int, End] = {}
        self.leased_to: dict[Receipt, End] = {}
        self.was_empty = True
        self._n = 0
        self._token = 0

    def ready(self) -> list[MessageId]:
        return [id for id in self.live if id not in self.leases]

    def push(self, *bodies: bytes) -> list[MessageId]:
        return [self._put(body) for body in bodies]

    def _put(self, body: bytes) -> MessageId:
        self._n += 1
        id = id_of(self.node, self._n)
        self.live[id] = body
        return id

    def lease(self, now: float, lease_s: float = 60.0) -> Delivery | None:
        """Lease the first message that is ready, for whomever."""
        for id in self.ready():
            self._token += 1
            self.attempts[id] = self.attempts.get(id, 0) + 1
            self.leases[id] = Lease(f"{self._token}", now + lease_s)
            return Delivery(Receipt(id, f"{self._token}"), self.attempts[id], lease_s, Message(self.live[id]))
        return None

    def expire(self, now: float) -> None:
        self.leases = {id: lease for id, lease in self.leases.items() if lease.until > now}

    def remove(self, id: MessageId) -> None:
        del self.live[id]
        self.leases.pop(id, None)

    def receive(self, now: float, end: End, frame: AnyFrame) -> None:
        match frame:
            case Forward():
                for ticket, command in self.inbound.begin(end, frame):
                    self.ends[ticket] = end
                    if self.is_slow:
                        self.late.append((ticket, command))
                    else:
                        self.carry_out(now, ticket, command)
            case Interest():
                begins = set(frame.queues) - self.interest[end]
                self.interest[end] = set(frame.queues)
                if begins:
                    self.report(end)

    def link_down(self, now: float, end: End) -> None:
        del self.interest[end]
        self.undo(now, self.inbound.link_down(end))

    def catch_up(self, now: float) -> None:
        late, self.late = self.late, []
        for ticket, command in late:
            self.carry_out(now, ticket, command)

    def carry_out(self, now: float, ticket: int, command: Command) -> None:
        self.expire(now)
        outcome = self.outcome(now, command) if self.refusal is None else self.refusal
        self.done.append((command, outcome))
        if isinstance(outcome, Delivered):
            self.leased_to.update((each.receipt, self.ends[ticket]) for each in outcome.deliveries)
        self.undo(now, self.inbound.answer(ticket, outcome))
        self.was_empty |= not self.deliverable()

    def undo(self, now: float, give_backs: Iterable[GiveBack]) -> None:
        for each in give_backs:
            self.done.append((each, self.outcome(now, each)))

    def outcome(self, now: float, command: Command) -> Outcome:
        match command:
            case Get():
                lease_s = 60.0 if command.lease_s is None else command.lease_s
                leased = (self.lease(now, lease_s) for _ in range(command.count_max))
                return Delivered(tuple(each for each in leased if each is not None))
            case Push():
                known = self.keys.get(command.key or "")
                if known is not None:
                    return Pushed(known, 1, 1, duplicate=True)
                id = self._put(command.body)
                if command.key is not None:
                    self.keys[command.key] = id
                return Pushed(id, 1, 1)
            case Ack() | Inspect():
                if command.id not in self.live:
                    return Unknown("no such message")
                if isinstance(command, Inspect):
                    return Inspected(State.READY, 0, len(self.live[command.id]), "", 0.0)
                self.remove(command.id)
                return Done()
        return self._by_receipt(now, command)

    def _by_receipt(self, now: float, command: Nack | Touch | GiveBack | Complete) -> Outcome:
        id, token = command.receipt
        if id not in self.live:
            return Unknown("no such message")
        lease = self.leases.get(id)
        if lease is None or lease.token != token:
            return LeaseLost("the lease has ended")
        match command:
            case Complete():
                self.remove(id)
            case Touch():
                lease.until = now + (command.lease_s or 60.0)
            case Nack() | GiveBack():
                del self.leases[id]
                self.attempts[id] -= isinstance(command, GiveBack)
        return Done()

    def deliverable(self) -> int:
        return len(self.ready()) if self.refusal is None else 0

    def pump(self) -> None:
        """End a turn: report a count that rose from 0, and send the outcomes."""
        if self.was_empty and self.deliverable():
            self.was_empty = False
            for end in self.interest:
                self.report(end)
        self.was_empty |= not self.deliverable()
        self.inbound.pump()

    def report(self, end: End) -> None:
        if self.interest[end]:
            ready = dict.fromkeys(self.interest[end], self.deliverable())
            end.send(Delta(1, 0, 0.0, Contents(), is_synced=True, is_whole=True, changes_received=0, ready=ready))
