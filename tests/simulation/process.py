"""One process: a node's core with a clock of its own, as the driver runs it, that can be paused and killed."""

from collections.abc import Callable
from random import Random
from typing import Protocol

from dqtw.core.effects import Effect
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from tests.simulation.clock import Clock
from tests.simulation.violation import Violation

timer_step_s = 1e-6  # a timer never goes off too early, whatever floats do
spins_max = 50
long_pause_s = 3.0

Input = Callable[[float], None]


class World(Protocol):
    """What a process needs of the world around it."""

    def carry_out(self, process: "Process", effects: list[Effect]) -> None:
        """Do what the core asks for."""
        ...


class Process:
    """One life of a node.

    Attributes:
        name: node id and serial number, for people.
        url: where peers may reach it, if nobody else has taken the address.
        born_at: when it started, in the world's time.
        died_at: when it ended.
        paused_at: when it was last not running.
        stood_still_until: when it was last not running for so long that others may have replaced it.
    """

    def __init__(
        self,
        name: str,
        url: str,
        settings: NodeSettings,
        world: World,
        clock: Clock,
        entropy: Random,
        rate: float,
        wall_ms: int,
    ) -> None:
        self.name = name
        self.url = url
        self.settings = settings
        self.id = settings.node
        self.born_at = clock.now
        self.died_at: float | None = None
        self.paused_at = -1000.0
        self.stood_still_until = -1000.0
        self.is_paused = False
        self.tickets = 0
        self.was_ready = False
        self._world = world
        self._clock = clock
        self._rate = rate
        self._local_at_birth = entropy.uniform(0, 1_000_000)
        self._inbox: list[Input] = []
        self._turn_is_due = False
        self._timer = 0
        self._spins = 0
        self._pause_began_at = 0.0
        self._last_tick = -1.0
        self.node = Node(self.now, settings, entropy.randbytes, wall_ms)
        self._end_turn_soon()

    def __repr__(self) -> str:
        return self.name

    @property
    def is_alive(self) -> bool:
        """Whether it has memory; a paused process has."""
        return self.died_at is None

    @property
    def is_in_turn(self) -> bool:
        """Whether something has come in, and the turn that it began is not over: its effects are not out."""
        return self._turn_is_due

    @property
    def now(self) -> float:
        """This process's own monotonic clock."""
        return self.at(self._clock.now)

    def at(self, when: float) -> float:
        """What this process's clock showed, or will show, at a moment of the world's."""
        return self._local_at_birth + (when - self.born_at) * self._rate

    def next_ticket(self) -> int:
        """A number for one request to this process."""
        self.tickets += 1
        return self.tickets

    def receive(self, taken: Input) -> None:
        """Let something come in: at once, or when the process runs again."""
        if self.is_paused:
            self._inbox.append(taken)
        elif self.is_alive:
            taken(self.now)
            self._end_turn_soon()

    def pause(self) -> None:
        """Do not run it for a while; nothing of it is lost."""
        if not self.is_paused:
            self._pause_began_at = self._clock.now
        self.is_paused = True

    def resume(self, *, timers_first: bool, turn_each: bool) -> None:
        """Run it again: with what came in meanwhile, before or after its timers, in one turn or in many."""
        if not self.is_paused or not self.is_alive:
            return
        self.is_paused = False
        self.paused_at = self._clock.now
        if self.paused_at - self._pause_began_at > long_pause_s:
            self.stood_still_until = self.paused_at
        inbox, self._inbox = self._inbox, []
        if timers_first:
            self._tick(turn_each=turn_each)
        for taken in inbox:
            if self.is_alive:
                taken(self.now)
                if turn_each:
                    self._end_turn()
        if not timers_first:
            self._tick(turn_each=turn_each)
        self._end_turn_soon()

    def die(self) -> None:
        """End, and lose all memory."""
        self.died_at = self._clock.now
        self.is_paused = False
        self._inbox.clear()

    def _tick(self, *, turn_each: bool) -> None:
        if not self.is_alive:
            return
        self.node.tick(self.now)
        if turn_each:
            self._end_turn()

    def _end_turn_soon(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._clock.after(0, self._end_turn_if_running)

    def _end_turn_if_running(self) -> None:
        self._turn_is_due = False
        if self.is_alive and not self.is_paused:
            self._end_turn()

    def _end_turn(self) -> None:
        self._world.carry_out(self, self.node.take_effects(self.now))
        if self.is_alive:
            self._arm()

    def _arm(self) -> None:
        self._timer += 1
        timer, deadline = self._timer, self.node.next_deadline()
        if deadline is not None:
            delay_s = max(deadline - self.now, 0.0) / self._rate
            self._clock.after(delay_s + timer_step_s, lambda: self._go_off(timer))

    def _go_off(self, timer: int) -> None:
        if timer != self._timer or not self.is_alive or self.is_paused:
            return
        self._spins = self._spins + 1 if self._clock.now - self._last_tick < 10 * timer_step_s else 0
        self._last_tick = self._clock.now
        if self._spins > spins_max:
            raise Violation(f"{self} asks for a timer that is due at once, again and again")
        self.node.tick(self.now)
        self._end_turn()
