"""What goes wrong, when, and how it is put right again."""

from collections.abc import Callable
from functools import partial
from random import Random

from dqtw.core.lifecycle.lifecycle import Phase
from tests.simulation.clients import wire_s
from tests.simulation.network import Cut
from tests.simulation.process import Process
from tests.simulation.world import World

readiness_patience_s = 60.0
well_max_s = 15.0
unshared_max_s = 3.0
meeting_max_s = 3.0


class Faults:
    """Lets faults happen, until it is told to stop; then it puts everything right."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._clock = world.clock
        self._network = world.network
        self._random = random
        self._scenario = world.scenario
        self._is_over = False
        self._is_rolling = False
        self._is_staged = False
        self._kinds: dict[str, Callable[[], None]] = {
            "cut_one": self._cut_one,
            "cut_halves": self._cut_halves,
            "cut_one_way": self._cut_one_way,
            "cut_ring": self._cut_ring,
            "crash": self._crash,
            "move": self._move,
            "pause": self._pause_one,
            "zombie": self._zombie,
            "standby": self._standby,
            "terminate": self._terminate,
            "terminate_all": self._terminate_all,
            "rolling": lambda: self._roll(self._drain),
            "rolling_crash": lambda: self._roll(self._kill_and_restart),
            "all_crash": self._crash_all,
            "late_holder": self._hide_a_holder,
            "all_pause": self._pause_all,
            "slow": self._slow,
            "break_streams": self._break_streams,
            "stall": self._stall,
            "detour": self._detour,
            "decline": self._decline,
        }

    def begin(self) -> None:
        """Let the first fault come."""
        if self._scenario.fault_every_s:
            self._clock.after(self._random.expovariate(1 / self._scenario.fault_every_s), self._strike)

    def end(self) -> None:
        """Put everything right: no fault is left, every node is there, every process runs."""
        self._is_over = True
        self._world.trace.line("", "all faults end")
        self._network.calm_down()
        for process in self._world.alive():
            process.resume(self._random)
            self._network.resumed(process)
        for node in self._scenario.nodes:
            self._clock.after(0.1, partial(self._world.start_unless_there, node))

    def help_who_is_lost(self) -> None:
        """When so many have moved that somebody finds nobody whom all find, an operator must say where they are."""
        found = {process.id for process in self._world.alive() if self._is_found_by_all(process)}
        if any(not found - {process.id} for process in self._world.alive()):
            self._network.names = self._world.present

    def _is_found_by_all(self, process: Process) -> bool:
        """Whether all others are told, at their start, where it is; it tells them of those that have moved."""
        others = [each for each in self._world.alive() if each.id != process.id]
        is_newest = self._world.present(process.id) is process
        return (
            self._scenario.is_advertised
            and is_newest
            and all(each.settings.peers[process.id] == process.url for each in others)
        )

    def _strike(self) -> None:
        if self._is_over:
            return
        if self._is_staged:  # what takes several steps would seldom come to its end among others
            self.begin()
            return
        names = [name for name, _ in self._scenario.kinds]
        weights = [weight for _, weight in self._scenario.kinds]
        kind = self._random.choices(names, weights)[0]
        self._world.trace.counts[f"fault {kind}"] += 1
        self._world.trace.line("", f"fault: {kind}")
        self._kinds[kind]()
        self.begin()

    def _later(self, delay_s: float, undo: Callable[[], None]) -> None:
        """Do something when a fault has lasted; not after all of them have ended."""
        self._clock.after(delay_s, lambda: None if self._is_over else undo())

    def _any(self) -> Process | None:
        running = [process for process in self._world.alive() if not process.is_paused]
        return self._random.choice(running) if running else None

    def _flip(self) -> bool:
        return self._random.random() < 0.5

    def _while_s(self) -> float:
        return self._random.choice([0.3, 1.5, 3.5, 6.0, 12.0, 20.0])

    # Partitions.

    def _cut(self, cuts: list[Cut]) -> None:
        shown = " ".join(f"{cut.source}→{cut.target}" for cut in cuts[:6])
        self._world.trace.line("", f"nothing gets through {shown}")
        self._network.cut(cuts)
        self._later(self._while_s(), lambda: self._network.heal(cuts))

    def _urls(self) -> list[str]:
        return self._random.sample(sorted(self._network.listeners), len(self._network.listeners))

    def _cut_one(self) -> None:
        urls = self._urls()
        self._cut([cut for other in urls[1:] for cut in _both(urls[0], other)])

    def _cut_halves(self) -> None:
        urls = self._urls()
        middle = len(urls) // 2
        self._cut([cut for one in urls[:middle] for other in urls[middle:] for cut in _both(one, other)])

    def _cut_one_way(self) -> None:
        urls = self._urls()
        targets = urls[1:] if self._flip() else urls[1:2]
        self._cut([Cut(urls[0], target) if self._flip() else Cut(target, urls[0]) for target in targets])

    def _cut_ring(self) -> None:
        """Each node reaches its two neighbours only; with three nodes, one pair is cut."""
        urls = self._urls()
        count = len(urls)
        if count <= 3:
            self._cut(_both(urls[0], urls[1]) if count > 1 else [])
            return
        far = [(i, j) for i in range(count) for j in range(i) if 1 < i - j < count - 1]
        self._cut([cut for i, j in far for cut in _both(urls[i], urls[j])])

    # Lost memory.

    def _may_kill(self) -> bool:
        return not self._scenario.is_gated or self._world.all_are_ready()

    def _crash(self) -> None:
        process = self._any()
        if process is not None and self._may_kill():
            self._kill_and_restart(process)

    def _kill_and_restart(self, process: Process, url: str = "") -> None:
        url = url or process.url
        if self._flip():
            self._network.black_holes.add(process.url)
        self._world.kill(process)
        back_s = self._random.choice([0.05, 0.5, 2.0, 5.0, 12.0])
        self._later(back_s, lambda: self._return(process, url))

    def _return(self, process: Process, url: str) -> None:
        self._network.black_holes.discard(process.url)
        self._world.start_unless_there(process.id, url)

    def _move(self) -> None:
        process = self._any()
        if process is not None and self._may_kill():
            self._kill_and_restart(process, self._another_url(process))

    def _another_url(self, process: Process) -> str:
        if not self._scenario.is_advertised:
            return process.url
        return f"http://{process.id}:{int(process.url.rpartition(':')[2]) % 3 + 1}"

    def _crash_all(self) -> None:
        if not self._scenario.is_gated:
            for process in self._world.alive():
                self._kill_and_restart(process)

    def _hide_a_holder(self, waited_s: float = 0.0) -> None:
        """An owner's last pushes reach one peer alone, and nobody reaches that until the next process serves."""
        serving = [each for each in self._world.alive() if _serves(each)]
        self._is_staged = len({each.id for each in serving}) > 1 and self._may_kill()
        if not self._is_staged and waited_s < well_max_s:
            self._is_staged = True
            self._later(0.5, lambda: self._hide_a_holder(waited_s + 0.5))
        elif self._is_staged:
            self._stage(serving)

    def _stage(self, serving: list[Process]) -> None:
        owner = self._random.choice(serving)
        others = [each for each in self._world.alive() if each.id != owner.id]
        holder = self._random.choice([each for each in serving if each in others])
        self._world.trace.line(holder, f"is the only one to hear of {owner}'s pushes")
        away = [cut for each in others if each is not holder for cut in _both(owner.url, each.url)]
        self._network.cut(away)
        self._world.clients.rush(owner, [])
        self._later(0.05, lambda: self._hide(holder, owner, away, 0.05))

    def _hide(self, holder: Process, owner: Process, away: list[Cut], waited_s: float) -> None:
        if waited_s < unshared_max_s and not self._is_alone(holder, owner.id):
            self._later(0.05, lambda: self._hide(holder, owner, away, waited_s + 0.05))
            return
        self._network.heal(away)
        hidden = [cut for url in self._urls() if url != holder.url for cut in _both(url, holder.url)]
        self._world.trace.line(holder, "is out of reach")
        self._network.cut(hidden)
        self._restart_now(owner)
        if not self._scenario.is_gated and self._flip():  # who has lost its memory, too, says nothing of what there was
            others = [each for each in self._world.alive() if each.id not in (owner.id, holder.id)]
            self._restart_now(*others[:1])
        self._later(1.0, lambda: self._show(holder, owner.id, hidden, 1.0))

    def _restart_now(self, *processes: Process) -> None:
        for process in processes:
            self._world.kill(process)
            self._world.start_unless_there(process.id, process.url)

    def _is_alone(self, holder: Process, queue: str) -> bool:
        """Whether it holds what no other peer of the owner does."""
        others = [each for each in self._world.alive() if each.id not in (holder.id, queue)]
        return any(
            all(dot not in each.node.holder.holdings[queue].replica for each in others)
            for dot in holder.node.holder.holdings[queue].replica.live_dots
        )

    def _show(self, holder: Process, owner: str, hidden: list[Cut], hidden_s: float) -> None:
        present = self._world.present(owner)
        if hidden_s < self._scenario.start_wait_s + 5.0 and not (present is not None and _serves(present)):
            self._later(0.5, lambda: self._show(holder, owner, hidden, hidden_s + 0.5))
        else:
            self._world.trace.line(holder, "is in reach again")
            self._network.heal(hidden)
            self._later(meeting_max_s, self._unstage)

    def _unstage(self) -> None:
        self._is_staged = False

    # Processes that stand still.

    def _pause_one(self) -> None:
        process = self._any()
        if process is not None:
            self._pause(process, self._while_s())

    def _pause_all(self) -> None:
        for process in self._world.alive():
            self._pause(process, self._while_s())

    def _pause(self, process: Process, while_s: float) -> None:
        self._world.trace.line(process, f"stands still for {while_s} s")
        process.pause()
        self._later(while_s, lambda: self._resume(process))

    def _resume(self, process: Process) -> None:
        self._world.trace.line(process, "runs again")
        process.resume(self._random)
        self._network.resumed(process)

    # Two processes of one node.

    def _zombie(self) -> None:
        """A process that is out of reach is replaced, and comes back."""
        process = self._any()
        if process is None or not self._may_double(process):
            return
        self._world.clients.fill(process)  # it should have something to deliver when it comes back
        self._later(0.3, lambda: self._take_away(process))

    def _take_away(self, process: Process) -> None:
        if not process.is_alive or process.is_paused or not self._may_double(process):
            return
        away_s = self._random.choice([4.0, 8.0, 12.0, 16.0])
        url = self._another_url(process)
        if url == process.url or self._flip():
            self._pause(process, away_s)
        else:
            others = [other for other in self._urls() if other != process.url]
            cuts = [cut for other in others for cut in _both(process.url, other)]
            self._world.trace.line(process, f"is cut off for {away_s} s")
            self._network.cut(cuts)
            self._later(away_s, lambda: self._network.heal(cuts))
        self._later(self._random.uniform(0, away_s / 2), lambda: self._replace(process, url))
        self._later(away_s - 0.05, lambda: self._world.clients.empty(process))

    def _may_double(self, process: Process) -> bool:
        """Whether the node may have a second process: not all may, or two clusters live on that never meet."""
        doubled = {node for node in self._scenario.nodes if len(self._world.alive(node)) > 1}
        return process.id not in doubled and len(doubled) + 1 < len(self._scenario.nodes)

    def _replace(self, process: Process, url: str) -> None:
        if self._may_double(process):
            self._world.start(process.id, url)

    def _standby(self) -> None:
        """A second process of a node is started while the first lives, and one of them dies."""
        process = self._any()
        if process is None or not self._scenario.is_advertised or not self._may_double(process):
            return
        second = self._world.start(process.id, self._another_url(process))
        victim = process if self._flip() and self._may_kill() else second
        self._later(self._random.choice([2.0, 6.0, 10.0]), lambda: self._end_standby(victim))

    def _end_standby(self, victim: Process) -> None:
        self._world.kill(victim)
        self._world.start_unless_there(victim.id, victim.url)

    # Leaving.

    def _terminate(self) -> None:
        process = self._any()
        if process is not None:
            self._drain(process)

    def _terminate_all(self) -> None:
        for process in self._world.alive():
            self._drain(process)

    def _drain(self, process: Process) -> None:
        """Ask it to leave, often just when clients have come."""
        if self._flip():
            self._world.clients.rush(process, [])
        self._clock.after(wire_s, lambda: self._terminate_now(process))

    def _terminate_now(self, process: Process) -> None:
        if process.is_alive:
            self._world.trace.line(process, "gets SIGTERM")
            self._world.checker.lives.drained(process)
            process.receive(process.node.drain)

    def _roll(self, end: Callable[[Process], None]) -> None:
        """One node after the other, each when the one before is ready again."""
        if not self._is_rolling and self._world.all_are_ready():
            self._is_rolling = True
            self._roll_on(list(self._scenario.nodes), end, 0.0)

    def _roll_on(self, left: list[str], end: Callable[[Process], None], waited_s: float) -> None:
        if not left or waited_s > readiness_patience_s:
            self._is_rolling = False
        elif self._world.all_are_ready():
            end(self._world.alive(left[0])[0])
            self._later(0.5, lambda: self._roll_on(left[1:], end, 0.0))
        else:
            self._later(0.5, lambda: self._roll_on(left, end, waited_s + 0.5))

    # Bad weather.

    def _slow(self) -> None:
        urls = self._urls()
        if urls:
            self._network.slow[urls[0]] = self._random.choice([0.1, 0.7, 2.0, 4.0])
            self._later(self._while_s(), lambda: self._speed_up(urls[0]))

    def _speed_up(self, url: str) -> None:
        self._network.slow.pop(url, None)

    def _detour(self) -> None:
        """Somebody has mixed up two addresses."""
        urls = self._urls()
        if len(urls) > 1:
            self._world.trace.line("", f"what goes to {urls[0]} comes to {urls[1]}")
            self._network.detours[urls[0]] = urls[1]
            self._later(self._while_s(), lambda: self._end_detour(urls[0]))

    def _decline(self) -> None:
        """A node has another secret, version or cluster name than the others, for a while."""
        url = self._random.choice(self._urls() or [""])
        self._world.trace.line("", f"who asks at {url} is declined")
        self._network.declining[url] += 1
        if self._flip():  # a start, above all, must not take that for silence
            self._later(1.0, self._crash)
        self._later(self._while_s(), lambda: self._network.declining.subtract([url]))

    def _end_detour(self, url: str) -> None:
        self._network.detours.pop(url, None)

    def _break_streams(self) -> None:
        """Cut one stream, the streams of one process, or all."""
        streams = self._network.streams()
        if not streams:
            return
        one = self._random.choice(streams)
        chosen = self._random.choice([[one], [one], [each for each in streams if each.writer == one.writer], streams])
        for stream in chosen:
            self._network.break_stream(stream)

    def _stall(self) -> None:
        """Let a stream, or all that one process writes, accept no data for a while."""
        streams = self._network.streams()
        if streams:
            one = self._random.choice(streams)
            writer = one.writer.process
            all_of_it = [each for each in streams if each.writer.process is writer]
            for stream in all_of_it if self._flip() else [one]:
                self._network.stall(stream, self._while_s())


def _serves(process: Process) -> bool:
    return process.node.life.phase is Phase.SERVING and not process.is_paused


def _both(one: str, other: str) -> list[Cut]:
    return [Cut(one, other), Cut(other, one)]
