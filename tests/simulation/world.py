"""One seed's world: the processes, what lies between them, and who looks on."""

from functools import partial
from random import Random

from dqtw.core.effects import Answer, Departure, Effect, Event, Status
from dqtw.core.lifecycle.lifecycle import Phase
from tests.simulation.checker import Checker
from tests.simulation.clients import Clients, Doors
from tests.simulation.clock import Clock
from tests.simulation.moments import Moments, needed
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.scenario import Scenario
from tests.simulation.trace import Trace

wall_ms_at_start = 1_700_000_000_000
wall_skew_ms = 100_000_000
clients_start_s = 3.0


class World:
    """Everything there is.

    Attributes:
        homes: the address at which each node was last started.
        absent: a node that is not started again for now.
    """

    def __init__(self, scenario: Scenario, *, is_told: bool = False, is_hashed: bool = False) -> None:
        seed = scenario.seed
        self.scenario = scenario
        self.clock = Clock()
        self.trace = Trace(self.clock, is_told=is_told, is_hashed=is_hashed)
        self.checker = Checker(scenario, self.clock, self.trace)
        self.network = Network(self.clock, Random(f"{seed}/network"), scenario.weather, self.trace, self.checker)
        self.checker.watch(self.network)
        self.doors = Doors(self.clock, Random(f"{seed}/doors"), scenario, self.trace, self.checker)
        self.clients = Clients(self.clock, Random(f"{seed}/clients"), scenario, self.trace, self.doors, self.running)
        self.homes = {node: f"http://{node}:1" for node in scenario.nodes}
        self.network.names = self.present if scenario.is_named else None
        self.is_supervised = True
        self.absent = ""
        self._entropy = Random(f"{seed}/entropy")
        self._fate = Random(f"{seed}/world")
        self._serial = dict.fromkeys(scenario.nodes, 0)
        self._moments = Moments()

    def begin(self) -> None:
        """Start every node, and the clients."""
        for node in self.scenario.nodes:
            self.clock.after(self._fate.uniform(0, 1), partial(self.start_unless_there, node))
        self.clock.after(clients_start_s, self.clients.start)

    # Processes.

    def alive(self, node: str | None = None) -> list[Process]:
        """Every process that has memory, of one node or of all."""
        return [each for each in self.checker.alive() if node is None or each.id == node]

    def present(self, node: str) -> Process | None:
        """A node's newest process."""
        alive = self.alive(node)
        return alive[-1] if alive else None

    def running(self) -> list[Process]:
        """Every process to which a client may connect: a paused one takes connections, too."""
        return self.alive()

    def all_are_ready(self) -> bool:
        """Whether there is one process of each node, and it is well."""
        alive = self.alive()
        ready = [
            each for each in alive if each.was_ready and each.node.life.phase is Phase.SERVING and not each.is_paused
        ]
        return alive == ready and sorted(each.id for each in ready) == list(self.scenario.nodes)

    def start(self, node: str, url: str = "") -> Process:
        """Start a process of a node, at its old address or at another."""
        url = url or self.homes[node]
        self.homes[node] = url
        self._serial[node] += 1
        name = f"{node}#{self._serial[node]}"
        skew = 0 if self.scenario.is_clock_set else self._fate.randint(-wall_skew_ms, wall_skew_ms)
        drift = self.scenario.clock_drift
        process = Process(
            name,
            url,
            self.scenario.settings(node, self._configured(node), url),
            self,
            self.clock,
            self._entropy,
            1 + self._fate.uniform(-drift, drift),
            wall_ms_at_start + int(self.clock.now * 1000) + skew,
        )
        self.trace.line(name, f"starts at {url}")
        self.trace.counts["starts"] += 1
        self.network.listeners[url] = process
        self.checker.born(process)
        return process

    def start_unless_there(self, node: str, url: str = "") -> None:
        """Start a process of a node that has none."""
        if node != self.absent and not self.alive(node):
            self.start(node, url)

    def kill(self, process: Process, departure: Departure | None = None) -> None:
        """A process ends, and its memory is lost."""
        if not process.is_alive:
            return
        self.trace.line(process, "is killed" if departure is None else f"exits with {departure}")
        process.die()
        self.checker.died(process, departure)
        self.network.broken(process)
        if self.network.listeners.get(process.url) is process:
            self._leave_address(process.url)
        self.doors.broken(process)

    def _leave_address(self, url: str) -> None:
        """An address is free; an older process that has it, too, can be reached again."""
        del self.network.listeners[url]
        for process in self.alive():
            if process.url == url:
                self.network.listeners[url] = process

    def _configured(self, node: str) -> dict[str, str]:
        """Where a process is told that its peers are: where they were first, or where they are now."""
        first = {each: f"http://{each}:1" for each in self.scenario.nodes}
        return first if self._fate.random() < 0.5 else {**first, **self.homes, node: first[node]}

    def _depart(self, process: Process, departure: Departure) -> None:
        self.trace.counts[f"exits with status {departure.status.value}"] += 1
        self.kill(process, departure)
        if self.is_supervised and (departure.status is not Status.FENCED or self._fate.random() < 0.3):
            self.clock.after(self._fate.choice([0.01, 1.0, 5.0]), lambda: self.start_unless_there(process.id))

    # What a process wants done.

    def carry_out(self, process: Process, effects: list[Effect]) -> None:
        """Do what a process's core asks for, as the driver does."""
        self.checker.turn(process)
        if self._moments.is_one(process):
            self.clients.rush(process, self.checker.keys_of(needed(process)))
        departure: Departure | None = None
        for effect in effects:
            match effect:
                case Answer():
                    self.doors.answer(process, effect.ticket, effect.outcome)
                case Event():
                    self.trace.line(process, effect.what.format(**effect.facts))
                case Departure():
                    departure = effect
                case _:
                    self.network.carry_out(process, effect)
        self.network.end_turn(process)
        if departure is not None:
            self._depart(process, departure)
