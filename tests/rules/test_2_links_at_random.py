"""Links between processes whose streams fail at random; rules that are broken by hand are noticed."""

from collections.abc import Callable
from random import Random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from dqtw.core.links.frames import AnyFrame, Pair
from dqtw.core.links.link import LinkDown, LinkEvent, LinkUp, OpenStream
from dqtw.core.links.pairing import Pairing

from .stream_world import Proc, Violation, Wire, World, cluster_settings

converged_s = 5.0


class Faults:
    """A world of two or three nodes, one of them perhaps with several processes, and what goes wrong in it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = world = World()
        self.several: str | None = None
        self.nodes = self.random.choice(["ab", "abc"])
        self.blocked: set[frozenset[str]] = set()
        self.boots = 0
        self.is_over = False
        rate = self.random.choice([0.0, 0.05, 0.2])
        world.delay = lambda: (
            0.01 if self.is_over else self.random.choice([0.001, 0.01, 0.05, self.random.uniform(0, 4)])
        )
        world.notice = lambda: 0.01 if self.is_over else self.random.choice([0.01, self.random.uniform(0, 6), None])
        world.hangs = self._hangs
        world.lingers = world.overtakes = lambda: self.random.random() < 0.5
        self.hang_rate = rate
        for node in self.nodes:
            self.start(node)
        if self.random.random() < 0.6:
            self.several = self.nodes[-1]
            self.start(self.several)

    def start(self, node: str) -> None:
        """Start a process, at the address of its node if that is free, or else at one of its own."""
        self.boots += 1
        name = f"{node}{self.boots}"
        is_taken = any(proc.settings.advertise == f"http://{node}" for proc in self.world.procs.values())
        settings = cluster_settings(node, self.nodes)
        settings = evolve(settings, advertise=f"http://{name}") if is_taken else settings
        self.world.start(name, settings, self.random.randbytes(2).hex() + name)

    def step(self) -> None:
        world, random = self.world, self.random
        names = sorted(world.procs)
        wires = [wire for name in names for wire in world.procs[name].wires.values()]
        kind = random.choices(
            ["cut", "say", "die", "block", "unblock", "pause", "crash", "start", "become", "late"],
            [30, 30, 5, 5, 8, 4, 3, 4, 5, 5],
        )[0]
        if kind == "cut" and wires:
            world.cut(random.choice(wires), random.random() < 0.5, random.randrange(4))
        elif kind == "say":
            for here, there in sorted(world.links()):
                world.say(here, there)
        elif kind == "die" and wires:
            wire = random.choice(wires)
            wire.is_dead = wire.is_open
        elif kind == "block" and len(names) > 1:
            self.block(frozenset(random.sample(names, 2)))
        elif kind == "unblock":
            self.blocked.clear()
        elif kind == "pause":
            world.pause(random.choice(names), random.uniform(0.1, 6))
        elif kind == "become":
            world.become(random.choice(names), f"01{random.randrange(10**24):024}", random.random() < 0.2)
        elif kind == "late" and world.requests:
            world.deliver(*random.choice(world.requests), Wire(None, None))  # long after its asker gave it up
        elif kind in ("crash", "start"):
            self._replace(random.choice(names), is_crash=kind == "crash")

    def _replace(self, name: str, is_crash: bool) -> None:
        if is_crash:
            self.world.kill(name)
        if is_crash and name[0] != self.several:
            self.start(name[0])
        elif not is_crash and self.several and len(self.world.procs) < len(self.nodes) + 3:
            self.start(self.several)

    def block(self, pair: frozenset[str]) -> None:
        """Let nothing pass between two processes any more, unnoticed."""
        self.blocked.add(pair)
        for name in pair:
            for wire in self.world.procs[name].wires.values() if name in self.world.procs else ():
                if wire.writer and wire.reader and {wire.writer[0].name, wire.reader[0].name} == pair:
                    wire.is_dead = wire.is_open

    def _hangs(self, asker: Proc, url: str) -> bool:
        if self.is_over:
            return False
        reached = [proc for proc in self.world.procs.values() if proc.settings.advertise == url]
        is_blocked = bool(reached) and frozenset((asker.name, reached[-1].name)) in self.blocked
        return is_blocked or self.random.random() < self.hang_rate

    def over(self) -> None:
        """End all faults; what is under way arrives at once."""
        self.is_over = True
        self.hang_rate = 0.0
        self.blocked.clear()
        self.world.release()
        self.world.hasten(0.05)


def run_at_random(seed: int) -> None:
    faults = Faults(seed)
    world = faults.world
    for _ in range(60):
        world.run(faults.random.choice([0.0, 0.02, faults.random.uniform(0, 2)]))
        faults.step()
    faults.over()
    world.run(converged_s)
    world.check_all_linked()
    changes: list[LinkEvent] = []
    world.observe = lambda proc, event: changes.append(event) if isinstance(event, LinkUp | LinkDown) else None
    world.run(20)
    if changes:
        raise Violation(f"links change without a fault: {changes[0]}")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_links_are_never_two_and_come_up_within_5_s_once_all_is_well(seed: int) -> None:
    run_at_random(seed)


def new_stream_ends_all(plant: pytest.MonkeyPatch) -> None:
    """Let a new stream end the other one, too, though they are in no pair."""

    def replace(pairing: Pairing, old: OpenStream | None, why: str) -> list[LinkEvent]:
        return pairing.end(why)

    plant.setattr(Pairing, "_replace", replace)


def up_when_named(plant: pytest.MonkeyPatch) -> None:
    """Let a link be up before the other side has named it."""

    def pair(pairing: Pairing, now: float) -> None:
        whole(pairing, now)
        if pairing.link is not None:
            pairing.link.is_up = True
            pairing.process.link = pairing.link

    whole = Pairing._pair
    plant.setattr(Pairing, "_pair", pair)
    plant.setattr(Pairing, "_compare", lambda pairing, now, theirs: [])


def pair_unchecked(plant: pytest.MonkeyPatch) -> None:
    """Take any names for those that were sent."""

    def compare(pairing: Pairing, now: float, theirs: Pair) -> list[LinkEvent]:
        if pairing.link is None or pairing.link.is_up:
            return []
        return whole(pairing, now, Pair(pairing.link.pair.read, pairing.link.pair.written))

    whole = Pairing._compare
    plant.setattr(Pairing, "_compare", compare)


def old_frames_processed(plant: pytest.MonkeyPatch) -> None:
    """Take frames of a stream that was closed for frames of the stream after it."""

    def close(pairing: Pairing, stream: OpenStream | None, why: str) -> None:
        whole(pairing, stream, why)
        if stream is not None:
            pairing._streams[stream.number] = pairing

    def received(pairing: Pairing, now: float, number: int, frames: list[AnyFrame], *sizes: int) -> list[LinkEvent]:
        number = number if pairing.read is None else pairing.read.number
        return whole_received(pairing, now, number, frames, *sizes)

    whole, whole_received = Pairing._close, Pairing.received
    plant.setattr(Pairing, "_close", close)
    plant.setattr(Pairing, "received", received)


def silence_ignored(plant: pytest.MonkeyPatch) -> None:
    """Keep streams on which no byte arrives."""
    plant.setattr("dqtw.core.links.link.silence_s_max", 1e9)
    plant.setattr("dqtw.core.links.pairing.silence_s_max", 1e9)


def dials_that_last(plant: pytest.MonkeyPatch) -> None:
    """Never give up a dial."""
    plant.setattr("dqtw.core.links.dialling.dial_s_max", 1e9)


def nothing_dialled_back(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Pairing, "must_dial_back", False)


planted = [
    new_stream_ends_all,
    up_when_named,
    pair_unchecked,
    old_frames_processed,
    silence_ignored,
    dials_that_last,
    nothing_dialled_back,
]


@pytest.mark.parametrize("plant", planted)
def test_a_broken_rule_is_noticed(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        for seed in range(100):
            run_at_random(seed)
