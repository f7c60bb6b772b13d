"""The network between the nodes of a scenario, and the time that passes in it; the test moves both by hand."""

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, evolve, field

from dqtw.core.effects import Answer, Departure, Event, Reply
from dqtw.core.links.peer_messages import Asking, Failed, PeerAnswer

from .parts import Item, Process, Ticket

deliveries_max = 20_000  # at one moment; more means that two nodes keep each other busy for ever


@define(eq=False)
class Gate:
    """What a hold has caught, in order; the test lets it through, drops it, repeats it or alters it."""

    world: "Network"
    catches: Callable[[Item], bool]
    items: list[Item] = field(factory=list)

    def let(self, count: int = 1) -> None:
        """Let the first ones through, and all that follows from them."""
        caught, self.items = self.items[:count], self.items[count:]
        for item in caught:
            self.world.deliver(item)
        self.world.settle()

    def alter(self, **changes: Any) -> None:
        """Let the first one through with other contents."""
        item = self.items.pop(0)
        self.world.deliver(evolve(item, what=evolve(item.what, **changes)))
        self.world.settle()

    def answer(self, what: PeerAnswer) -> None:
        """Let the asker of the first one have this answer instead."""
        self.world.deliver(evolve(self.items.pop(0), what=what, is_answer=True))
        self.world.settle()

    def open(self) -> None:
        """Hold nothing back any more."""
        self.world.gates.remove(self)
        self.let(len(self.items))


class Network:
    """What is on its way between processes, and what they told the world."""

    def __init__(self) -> None:
        self.now = 0.0
        self.processes: dict[str, Process] = {}
        self.events: list[tuple[str, Event]] = []
        self.departed: dict[str, Departure] = {}
        self.gates: list[Gate] = []
        self.sent: list[Item] = []  # all that was ever sent
        self._wire: deque[Item] = deque()
        self._cuts: set[frozenset[str]] = set()
        self._refusing: set[str] = set()
        self._tickets: list[Ticket | Item] = []

    def hold(self, what: type, by: str = "", at: str = "", when: Callable[[Any], bool] = lambda _: True) -> Gate:
        """Keep back requests or answers of one kind, of those that ``by`` asked ``at``."""

        def catches(item: Item) -> bool:
            fits = by in ("", item.asker.address) and at in ("", item.address)
            return fits and isinstance(item.what, what) and when(item.what)

        self.gates.append(Gate(self, catches))
        return self.gates[-1]

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two addresses; nobody is told."""
        self._cuts.add(frozenset((one, other)))

    def heal(self) -> None:
        """Undo every cut and refusal."""
        self._cuts.clear()
        self._refusing.clear()

    def refuse(self, address: str) -> None:
        """Let an address refuse connections; what its process asks itself still passes."""
        self._refusing.add(address)

    def settle(self, seconds: float = 0.0) -> None:
        """Deliver what is on its way, and let so much time pass, doing what falls due in it."""
        until = self.now + seconds
        self._deliver_all()
        while (due := self._next_due()) is not None and due[0] <= until:
            self.now = max(self.now, due[0])
            self._run(due[1], due[1].node.tick)
            self._deliver_all()
        self.now = until

    def deliver(self, item: Item) -> None:
        """Let one item arrive, whatever is held back."""
        target = item.asker if item.is_answer else self.processes.get(item.address)
        if frozenset((item.asker.address, item.address)) in self._cuts:
            return
        if not item.is_answer and (target is None or item.address in self._refusing):
            self._send(evolve(item, what=Failed("connection refused", was_sent=False), is_answer=True))
        elif target is None or self.processes.get(target.address) is not target:
            return
        elif target.is_paused:
            target.inbox.append(item)
        elif item.is_answer:
            self._run(target, lambda now: target.node.peer_answers(now, item.call, item.what))
        else:
            self._tickets.append(item)
            ticket = len(self._tickets) - 1
            self._run(target, lambda now: target.node.peer_asks(now, ticket, item.what))

    def _deliver_all(self) -> None:
        for _ in range(deliveries_max):
            if not self._wire:
                return
            self.deliver(self._wire.popleft())
        raise AssertionError("this never comes to rest")

    def _next_due(self) -> tuple[float, Process] | None:
        running = [each for each in self.processes.values() if not each.is_paused]
        due = [(when - each.zero, each) for each in running if (when := each.node.next_deadline()) is not None]
        return min(due, key=lambda each: each[0], default=None)

    def _run(self, process: Process, act: Callable[[float], object]) -> None:
        deadline = process.node.next_deadline()
        now = max(process.latest, self.now + process.zero)
        if deadline is not None and abs(deadline - now) < 1e-6:
            now = max(now, deadline)  # what is due is not missed by a rounding
        process.latest = now
        act(now)
        self._carry_out(process)

    def _carry_out(self, process: Process) -> None:
        for effect in process.node.take_effects(process.latest):
            match effect:
                case Asking():
                    self._send(Item(process, effect.url, effect.call, effect.request))
                case Reply():
                    item = self._tickets[effect.ticket]
                    assert isinstance(item, Item)
                    self._send(evolve(item, what=effect.answer, is_answer=True))
                case Answer():
                    ticket = self._tickets[effect.ticket]
                    assert isinstance(ticket, Ticket)
                    assert ticket.outcome is None, "answered twice"
                    ticket.outcome = effect.outcome
                case Event():
                    self.events.append((process.address, effect))
                case Departure():
                    self.departed[process.address] = effect
                    del self.processes[process.address]

    def _send(self, item: Item) -> None:
        self.sent.append(item)
        gate = next((gate for gate in self.gates if gate.catches(item)), None)
        (self._wire if gate is None else gate.items).append(item)
