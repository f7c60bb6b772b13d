"""Clients: they push, get, acknowledge and retry, through any node, and some of them vanish."""

from collections.abc import Callable, Collection
from functools import partial
from random import Random
from typing import Protocol

from attrs import define
from msgspec.structs import replace

from dqtw.core.model.commands import (
    Ack,
    Command,
    Delivered,
    Delivery,
    Done,
    Get,
    GiveBack,
    Inspect,
    Nack,
    Outcome,
    Push,
    Pushed,
    Touch,
)
from dqtw.core.model.errors import KeyReused, LeaseLost, Unknown
from dqtw.core.model.message import MessageId
from tests.simulation.clock import Clock
from tests.simulation.process import Process
from tests.simulation.scenario import Scenario
from tests.simulation.trace import Trace, tell_command, tell_outcome

wire_s = 0.001
retries_max = 6
hands_max = 200
rush_max = 8
few = 3
lately = 10  # pushes

Answered = Callable[[Outcome | None], None]


@define(eq=False)
class Call:
    """One request of a client to one process.

    Attributes:
        begun_at: when it came to the process.
        is_withdrawn: its client has hung up.
    """

    command: Command
    process: Process
    answered: Answered
    ticket: int = 0
    begun_at: float = 0.0
    is_withdrawn: bool = False


class Judge(Protocol):
    """Who hears of every request that reaches a process."""

    def called(self, call: Call) -> None:
        """A request has come to its process."""
        ...

    def forgotten(self, call: Call) -> None:
        """A request that only waited was withdrawn."""
        ...


@define
class Task:
    """One client's present request, with as many tries as it takes."""

    command: Command
    tries: int = 0
    is_done: bool = False


class Doors:
    """The way between clients and processes, with the proxies on it."""

    def __init__(self, clock: Clock, random: Random, scenario: Scenario, trace: Trace, judge: Judge) -> None:
        self.calls: dict[tuple[Process, int], Call] = {}
        self.is_calm = False
        self._clock = clock
        self._random = random
        self._weather = scenario.weather
        self._trace = trace
        self._judge = judge

    def send(self, process: Process, command: Command, answered: Answered) -> Call:
        """Ask a process for something; ``answered`` gets the outcome, or None when the connection breaks."""
        return self.send_together(process, [command], answered)[0]

    def send_together(self, process: Process, commands: list[Command], answered: Answered) -> list[Call]:
        """Ask a process for several things in one turn; ``answered`` gets the outcome of the first."""
        calls = [Call(command, process, answered if not place else _ignore) for place, command in enumerate(commands)]
        delay_s = self._random.uniform(0.5, 1.5) * wire_s
        for call in calls:
            self._clock.after(delay_s, partial(self._arrive, call))
        return calls

    def hang_up(self, call: Call) -> None:
        """The client is gone."""
        call.is_withdrawn = True
        if (call.process, call.ticket) in self.calls:
            self._trace.line(call.process, f"client of {call.ticket} hangs up")
            call.process.receive(lambda now: self._withdraw(now, call))

    def answer(self, process: Process, ticket: int, outcome: Outcome) -> None:
        """A process has answered a client; see `dqtw.driver.Driver`, which does the same."""
        call = self.calls.pop((process, ticket))
        if self._trace.is_on:
            self._trace.line(process, f"answers {ticket}: {tell_outcome(outcome)}")
        if call.is_withdrawn:
            if isinstance(outcome, Delivered):
                for delivery in outcome.deliveries:
                    self.send(process, GiveBack(delivery.receipt), lambda _: None)
        elif self.is_calm or self._random.random() >= self._weather.client_loss:
            self._clock.after(self._random.uniform(0.5, 1.5) * wire_s, lambda: call.answered(outcome))
        else:
            self._trace.counts["answers to clients lost"] += 1

    def broken(self, process: Process) -> None:
        """A process died; its clients see their connections break."""
        for key in [key for key in self.calls if key[0] is process]:
            self.calls.pop(key).answered(None)

    def _arrive(self, call: Call) -> None:
        if call.process.is_alive:
            call.process.receive(lambda now: self._taken(now, call))
        else:
            call.answered(None)

    def _taken(self, now: float, call: Call) -> None:
        if call.is_withdrawn:
            return
        call.ticket, call.begun_at = call.process.next_ticket(), self._clock.now
        self.calls[call.process, call.ticket] = call
        if self._trace.is_on:
            self._trace.line(call.process, f"client {call.ticket}: {tell_command(call.command)}")
        self._judge.called(call)
        call.process.node.command(now, call.ticket, call.command)

    def _withdraw(self, now: float, call: Call) -> None:
        if (call.process, call.ticket) in self.calls and call.process.node.withdraw(now, call.ticket):
            del self.calls[call.process, call.ticket]
            self._judge.forgotten(call)


class Clients:
    """All clients of one world.

    Attributes:
        hands: receipts that workers hold, and may use well or badly.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        scenario: Scenario,
        trace: Trace,
        doors: Doors,
        running: Callable[[], list[Process]],
    ) -> None:
        self.hands: list[Delivery] = []
        self.is_over = False
        self._clock = clock
        self._random = random
        self._scenario = scenario
        self._weather = scenario.weather
        self._trace = trace
        self._doors = doors
        self._running = running
        self._pushes = 0
        self._known: list[MessageId] = []
        self._old: list[Push] = []

    def start(self) -> None:
        """Let every client begin."""
        for _ in range(self._scenario.clients):
            self._think()

    def _think(self) -> None:
        if not self.is_over:
            self._clock.after(self._random.expovariate(1 / self._scenario.think_s), self._act)

    def _act(self) -> None:
        if not self.is_over:
            self._try(Task(self._choose()))

    # What to ask for.

    def _choose(self) -> Command:
        dice = self._random.random()
        if self._scenario.guesses and self._known and self._random.random() < 0.15:
            last = max(self._known[-lately:], key=lambda id: (id.incarnation, id.n))
            return Ack(MessageId(last.node, last.incarnation, last.n + self._random.randint(1, 3)))
        if dice < 0.42:
            return self._push()
        if dice < 0.66 or not self.hands:
            return self._get()
        if dice < 0.94:
            return self._use(self._random.randrange(len(self.hands)))
        if self._known:
            return Inspect(self._random.choice(self._known))
        return self._get()

    def _push(self) -> Push:
        random = self._random
        if self._old and random.random() < 0.05:
            return random.choice(self._old)  # the same key again, long after
        self._pushes += 1
        body = b"m%d" % self._pushes
        if random.random() < 0.2:
            body += b"." * random.choice([50, 110, 300, 500])
        key = f"k{self._pushes}" if random.random() < self._scenario.key_share else None
        if self._scenario.borrows_keys and self._old and random.random() < 0.2:
            key = random.choice(self._old[-lately:]).key  # for another message: a client gone wrong
        wait_s = random.choice([0.0, 0.0, 0.5, 5.0])
        push = Push(body, random.choice(["text/plain", "application/json"]), key, wait_s)
        if key is not None:
            self._old.append(push)
        return push

    def _get(self) -> Get:
        random = self._random
        return Get(
            count_max=random.choice([1, 1, 1, 3, 10]),
            wait_s=random.choice([0.0, 0.0, 0.5, 3.0, 10.0]),
            lease_s=random.choice([0.2, 2.0, 8.0, 20.0]),
            ack_now=random.random() < 0.15,
        )

    def _use(self, at: int) -> Command:
        delivery = self.hands[at]
        dice = self._random.random()
        if dice < 0.15:
            return Nack(delivery.receipt, self._random.choice([0.0, 0.0, 0.5, 3.0]))
        if dice < 0.25:
            return Touch(delivery.receipt, self._random.choice([None, 1.0, 5.0]))
        if dice < 0.30:
            return Inspect(delivery.receipt.id)
        if dice < 0.85:
            del self.hands[at]
        return Ack(delivery.receipt.id)

    def rush(self, process: Process, keys: Collection[str | None]) -> None:
        """Ask a process for several things at once, at a moment that matters; pushes of these keys, above all."""
        if self.is_over:
            return
        self._trace.counts["rushes"] += 1
        for _ in range(self._random.randint(1, rush_max)):
            command = self._choose_in_a_rush([push for push in self._old if push.key in keys])
            asked = process if self._random.random() < 0.7 else self._random.choice(self._running())
            self._doors.send(asked, command, partial(self._note, command))

    def fill(self, process: Process) -> None:
        """Push some messages that stay with the process to which they come."""
        if not self.is_over:
            for _ in range(few):
                push = replace(self._push(), key=None)
                self._doors.send(process, push, partial(self._note, push))

    def empty(self, process: Process) -> None:
        """Get some messages from a process."""
        if not self.is_over:
            for _ in range(few):
                get = self._get()
                self._doors.send(process, get, partial(self._note, get))

    def _choose_in_a_rush(self, urgent: list[Push]) -> Command:
        dice = self._random.random()
        if dice < 0.3 and self._old:
            return self._random.choice(urgent or self._old[-lately:])
        if dice < 0.5 and self.hands:
            return Ack(self._random.choice(self.hands).receipt.id)
        return self._choose()

    # How it is asked for.

    def _try(self, task: Task) -> None:
        running = self._running()
        if self.is_over:
            return
        if not running:
            self._clock.after(1.0, lambda: self._try(task))
            return
        process = self._random.choice(running)
        task.tries += 1
        self._trace.counts[f"tried {type(task.command).__name__.lower()}"] += 1
        once = _Once(lambda outcome: self._answered(task, outcome))
        calls = self._doors.send_together(process, [task.command, *self._more_acks(task)], once)
        if self._random.random() < self._weather.client_repeat:
            self._trace.counts["repeated by a proxy"] += 1
            calls.append(self._doors.send(self._random.choice(running), task.command, once))
        vanishes = self._random.random() < self._weather.vanish
        patience_s = self._random.choice([0.01, 0.3, 2.0]) if vanishes else self._random.uniform(20, 45)

        def give_up() -> None:
            if once.is_pending:
                for call in calls:
                    self._doors.hang_up(call)
                once(None)

        self._clock.after(patience_s, give_up)

    def _more_acks(self, task: Task) -> list[Command]:
        """What a worker acknowledges together with another message: it never asks what became of these."""
        if not isinstance(task.command, Ack) or task.tries > 1 or self._random.random() < 0.5:
            return []
        count = min(self._random.choice([1, 2, 8]), len(self.hands))
        return [Ack(self.hands.pop(self._random.randrange(len(self.hands))).receipt.id) for _ in range(count)]

    def _note(self, command: Command, outcome: Outcome | None) -> None:
        """Keep what a client has got, for it or another to use."""
        if outcome is None:
            self._trace.counts["unanswered"] += 1
        if isinstance(outcome, Delivered):
            room = hands_max - len(self.hands)
            if not (isinstance(command, Get) and command.ack_now):
                self.hands.extend(outcome.deliveries[:room])
            self._known.extend(each.receipt.id for each in outcome.deliveries)
        if isinstance(outcome, Pushed):
            self._known.append(outcome.id)

    def _answered(self, task: Task, outcome: Outcome | None) -> None:
        self._note(task.command, outcome)
        if self._is_final(task, outcome):
            self._think()
        else:
            self._clock.after(self._random.expovariate(2.0), lambda: self._try(task))

    def _is_final(self, task: Task, outcome: Outcome | None) -> bool:
        """Whether the client lets it be; a push without a key must not be retried when its fate is unknown."""
        if (
            isinstance(outcome, Pushed | Delivered | Done | Unknown | LeaseLost | KeyReused)
            or task.tries >= retries_max
        ):
            return True
        if isinstance(task.command, Push):
            return task.command.key is None
        return isinstance(task.command, Get | Inspect)


def _ignore(_: Outcome | None) -> None:
    """Take an outcome that interests nobody."""


class _Once:
    """Takes the first answer; a request that was repeated gets more."""

    def __init__(self, answered: Answered) -> None:
        self._answered: Answered = answered
        self.is_pending = True

    def __call__(self, outcome: Outcome | None) -> None:
        if self.is_pending:
            self.is_pending = False
            self._answered(outcome)
