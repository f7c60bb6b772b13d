"""One process: a node's core with a clock of its own, as the driver runs it, that can be paused and killed."""

from collections.abc import Callable, Hashable
from random import Random
from typing import Protocol, TypeAlias

from dqtw.core.effects import Effect
from dqtw.core.model.settings import NodeSettings
from tests.simulation.clock import Clock
from tests.simulation.violation import Violation
from tests.simulation.watched import Watched

timer_step_s = 1e-6  # a timer never goes off too early, whatever floats do
spins_max = 50
long_pause_s = 2.6  # 2 s by any clock that runs off by a fifth

Input: TypeAlias = Callable[[float], None]


class World(Protocol):
    """What a process needs of the world around it."""

    def carry_out(self, process: "Process", effects: list[Effect]) -> None:
        """Do what the core asks for."""
        ...


class Process:
    """One life of a node.

    Attributes:
        name: node id and serial number, for people.
        url: where peers may reach it, if no other process has taken the address.
        born_at: when it started, in the world's time.
        died_at: when it ended.
        paused_at: when it was last not running.
        stood_still_until: when it was last not running for so long that it may have been replaced.
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
        self._inbox: list[tuple[Hashable, Input]] = []
        self._turn_is_due = False
        self._timer = 0
        self._spins = 0
        self._last_tick = -1.0
        self._pause_began_at = 0.0
        self.node = Watched(self.now, settings, entropy.randbytes, wall_ms)
        self._end_turn_soon()

    def __repr__(self) -> str:
        return self.name

    @property
    def is_alive(self) -> bool:
        """Return True if it has memory; a paused process has."""
        return self.died_at is None

    @property
    def is_in_turn(self) -> bool:
        """Return True if something has come in, and the turn that it began is not over: its effects are not out."""
        return self._turn_is_due

    @property
    def now(self) -> float:
        """Return what this process's own monotonic clock shows."""
        return self.at(self._clock.now)

    def at(self, when: float) -> float:
        """Return what this process's clock showed, or will show, at a moment of the world's."""
        return self._local_at_birth + (when - self.born_at) * self._rate

    def next_ticket(self) -> int:
        """Return a number for one request to this process."""
        self.tickets += 1
        return self.tickets

    def receive(self, taken: Input, socket: Hashable = None) -> None:
        """Let something come in: at once, or when the process runs again."""
        if self.is_paused:
            self._inbox.append((socket, taken))
        elif self.is_alive:
            taken(self.now)
            self._end_turn_soon()

    def pause(self) -> None:
        """Do not run it for a while; nothing of it is lost."""
        if not self.is_paused:
            self._pause_began_at = self._clock.now
        self.is_paused = True

    def resume(self, random: Random) -> None:
        """Run it again: with what came in meanwhile, before or after its timers, in one turn or in many.

        What came through one socket keeps its order.
        """
        if not self.is_paused or not self.is_alive:
            return
        self.is_paused = False
        self.paused_at = self._clock.now
        if self.paused_at - self._pause_began_at > long_pause_s:
            self.stood_still_until = self.paused_at
        is_tick_first, turns = random.random() < 0.5, random.choice([0.0, 0.3, 1.0])
        if is_tick_first:
            self.node.tick(self.now)
        for taken in _interleaved(self._inbox, random):
            if not self.is_alive:
                return
            taken(self.now)
            if random.random() < turns:
                self._end_turn()
        self._inbox.clear()
        if not is_tick_first and self.is_alive:
            self.node.tick(self.now)
        self._end_turn_soon()

    def die(self) -> None:
        """End, and lose all memory."""
        self.died_at = self._clock.now
        self.is_paused = False

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
        timer, deadline = self._timer, self.node.next_deadline(self.now)
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


def _interleaved(inbox: list[tuple[Hashable, Input]], random: Random) -> list[Input]:
    """Return what came in, the sockets in any order, each with its inputs in theirs."""
    by_socket: dict[Hashable, list[Input]] = {}
    for socket, taken in reversed(inbox):
        by_socket.setdefault(socket, []).append(taken)
    mixed: list[Input] = []
    while by_socket:
        socket = random.choice(list(by_socket))
        mixed.append(by_socket[socket].pop())
        if not by_socket[socket]:
            del by_socket[socket]
    return mixed
