"""Processes with their networks, on a simulated clock, joined by simulated streams."""

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from attrs import define, evolve, field

from dqtw.core.links.frames import AnyFrame, BootId, Interest, Pair, Status
from dqtw.core.links.link import FrameReceived, Link, LinkEvent, LinkUp
from dqtw.core.links.network import Network
from dqtw.core.links.streams import Accepted, Close, Dial, LinkEffect, Send, StreamAnswer, StreamRequest
from dqtw.core.model.settings import NodeSettings

pause_s_max = 2.0  # that a process does not notice
eof = "eof"

Item = StreamAnswer | AnyFrame | str
End = tuple["Proc", int]


class Violation(AssertionError):
    """A rule is broken."""


@define(eq=False)
class Wire:
    """One stream: what is under way, and its two ends; None for an end that is closed."""

    writer: End | None
    reader: End | None
    items: deque[Item] = field(factory=deque)
    last_at: float = 0.0  # when the last item arrives
    is_open: bool = False  # the answer has arrived
    is_dead: bool = False  # nothing arrives any more, and neither end learns of that


@define(eq=False)
class Proc:
    """One process."""

    name: str
    settings: NodeSettings
    network: Network
    wires: dict[int, Wire] = field(factory=dict)
    deferred: list[Callable[[], None]] | None = None  # inputs, while it is paused
    paused_at: float = 0.0
    is_alive: bool = True
    wake_at: float | None = None

    @property
    def boot(self) -> str:
        return self.network.cluster.boot


class World:
    """All processes and streams.

    Attributes:
        delay: seconds on the way, for each item.
        notice: after how long one end learns that the other was closed; None: never.
        hangs: a dial is not answered until `release`.
        lingers: what has arrived on a stream that a process closes is still given to it.
        overtakes: a status overtakes frames of the express lane.
        observe, trace: are called with each event and each effect of a process.
        after: is called after each event of the world.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.procs: dict[str, Proc] = {}
        self.delay: Callable[[], float] = lambda: 0.01
        self.notice: Callable[[], float | None] = lambda: 0.01
        self.hangs: Callable[[Proc, str], bool] = lambda asker, url: False
        self.overtakes: Callable[[], bool] = lambda: False
        self.lingers: Callable[[], bool] = lambda: False
        self.observe: Callable[[Proc, LinkEvent], None] = lambda proc, event: None
        self.trace: Callable[[Proc, LinkEffect], None] = lambda proc, effect: None
        self.after: Callable[[], None] = self.check
        self.hung: list[tuple[str, StreamRequest, Wire]] = []
        self.requests: list[tuple[str, StreamRequest]] = []  # all that arrived, and at which URL
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._named: set[tuple[str, str, str]] = set()
        self._sent: dict[Link, int] = {}
        self._got: dict[Link, int] = {}

    # --- time ---

    def at(self, when: float, what: Callable[[], None]) -> None:
        heappush(self._heap, (max(when, self.now), next(self._order), what))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            self.now, _, what = heappop(self._heap)
            what()
            self.after()
        self.now = end

    def hasten(self, seconds: float) -> None:
        """Let all that is under way arrive within some time."""
        self._heap = [(min(when, self.now + seconds), order, what) for when, order, what in self._heap]
        heapify(self._heap)

    # --- processes ---

    def start(self, name: str, settings: NodeSettings, boot: str) -> Proc:
        order = count()
        entropy = lambda n: f"{name}{next(order)}".encode().rjust(n, b"-")[-n:]  # noqa: E731
        proc = Proc(name, settings, Network(self.now, settings, BootId(boot), entropy))
        self.procs[name] = proc
        self._turn(proc, list)
        return proc

    def kill(self, name: str) -> None:
        proc = self.procs.pop(name)
        proc.is_alive = False
        for number in list(proc.wires):
            self._drop_end(proc, number)

    def pause(self, name: str, seconds: float) -> None:
        proc = self.procs[name]
        if proc.deferred is None:
            proc.deferred, proc.paused_at = [], self.now
            self.at(self.now + seconds, lambda: self._resume(proc))

    def become(self, name: str, incarnation: str | None, is_going: bool = False) -> None:
        network = self.procs[name].network
        self.input(self.procs[name], lambda: network.cluster.become(incarnation, is_going=is_going))

    def input(self, proc: Proc, what: Callable[[], Any]) -> None:
        """Give a process an input, now or after its pause."""
        if proc.deferred is not None:
            proc.deferred.append(lambda: self._turn(proc, what))
        elif proc.is_alive:
            self._turn(proc, what)

    def _resume(self, proc: Proc) -> None:
        deferred, proc.deferred = proc.deferred or [], None
        if not proc.is_alive:
            return
        if self.now - proc.paused_at > pause_s_max:
            self._turn(proc, lambda: proc.network.resumed(self.now))
        for each in deferred:
            each()
        self._turn(proc, list)

    def _turn(self, proc: Proc, what: Callable[[], list[LinkEvent] | None]) -> None:
        events = what() or []
        deadline = proc.network.next_deadline(self.now)
        if deadline is not None and deadline <= self.now:
            events = [*events, *proc.network.tick(self.now)]
        for event in events:
            self._check_event(proc, event)
            self.observe(proc, event)
        for effect in proc.network.take_effects(self.now):
            self.trace(proc, effect)
            self._carry_out(proc, effect)
        self._arm(proc)

    def _arm(self, proc: Proc) -> None:
        deadline = proc.network.next_deadline(self.now)
        if deadline is None or (proc.wake_at is not None and self.now < proc.wake_at <= deadline):
            return
        proc.wake_at = when = max(deadline, self.now)

        def wake() -> None:
            if proc.wake_at == when:
                proc.wake_at = None
                self.input(proc, list)

        self.at(when, wake)

    # --- streams ---

    def _carry_out(self, proc: Proc, effect: LinkEffect) -> None:
        if isinstance(effect, Dial):
            wire = proc.wires[effect.stream] = Wire(None, (proc, effect.stream))
            if self.hangs(proc, effect.url):
                self.hung.append((effect.url, effect.request, wire))
            else:
                self.at(self.now + self.delay(), lambda: self.deliver(effect.url, effect.request, wire))
        elif isinstance(effect, Send):
            if isinstance(effect.frame, Pair):
                self._named.add((proc.boot, effect.frame.written, effect.frame.read))
            if effect.stream in proc.wires:  # else it is cut, and the process has yet to learn of it
                self._write(proc.wires[effect.stream], effect.frame)
        elif isinstance(effect, Close):
            self._drop_end(proc, effect.stream)

    def deliver(self, url: str, request: StreamRequest, wire: Wire) -> None:
        """Let a stream request arrive."""
        self.requests.append((url, request))
        reached = [proc for proc in self.procs.values() if proc.settings.advertise == url]
        if not reached:
            self._fail_dial(wire, "connection refused", is_lasting=False)
            return
        proc = reached[-1]

        def ask() -> list[LinkEvent]:
            answer, events = proc.network.asked(self.now, request)
            if isinstance(answer, Accepted):
                wire.writer = (proc, answer.stream)
                proc.wires[answer.stream] = wire
                self._write(wire, answer.answer)
                if wire.reader is None:
                    self._learn_end(wire)
            else:
                self._fail_dial(wire, f"{answer.code}: {answer.why}", is_lasting=answer.is_lasting)
            return events

        self.input(proc, ask)

    def release(self) -> None:
        """Let all requests that hang arrive."""
        hung, self.hung = self.hung, []
        for url, request, wire in hung:
            self.deliver(url, request, wire)

    def cut(self, wire: Wire, at_writer: bool, kept: int = 0) -> None:
        """Cut a stream: one end learns of it now, the other one after a time; what is left under way still arrives."""
        end = wire.writer if at_writer else wire.reader
        if end is None:
            return
        while at_writer and len(wire.items) > kept:
            wire.items.pop()
        proc, number = end
        self._drop_end(proc, number)
        self.input(proc, lambda: proc.network.closed(self.now, number, "cut"))

    def wire(self, writer: str, reader: str) -> Wire:
        """Return the stream that one process writes to another."""
        return next(
            wire
            for wire in self.procs[writer].wires.values()
            if wire.writer and wire.writer[0].name == writer and wire.reader and wire.reader[0].name == reader
        )

    def _write(self, wire: Wire, item: Item) -> None:
        if wire.is_dead:
            return
        first = next((place for place, each in enumerate(wire.items) if isinstance(each, Interest)), len(wire.items))
        if isinstance(item, Status) and self.overtakes():
            wire.items.insert(first, item)
        else:
            wire.items.append(item)
        wire.last_at = max(wire.last_at, self.now + self.delay())
        self.at(wire.last_at, lambda: self._arrive(wire))

    def _arrive(self, wire: Wire) -> None:
        if wire.reader is None or wire.is_dead or not wire.items:
            return
        item = wire.items.popleft()
        proc, number = wire.reader

        def read() -> list[LinkEvent]:
            if wire.reader != (proc, number):
                return []
            if isinstance(item, StreamAnswer):
                wire.is_open = True
                return proc.network.dialled(self.now, number, item)
            if isinstance(item, str):
                wire.reader = None
                del proc.wires[number]
                return proc.network.closed(self.now, number, "end of stream")
            size = 0 if isinstance(item, Pair | Status) else 100
            return proc.network.received(self.now, number, [item], size, 0)

        self.input(proc, read)

    def _drop_end(self, proc: Proc, number: int) -> None:
        wire = proc.wires.pop(number, None)
        if wire is None:
            return
        if wire.writer == (proc, number):
            wire.writer = None
            if self.notice() is not None:
                self._write(wire, eof)
        else:
            wire.reader = None
            self._learn_end(wire)
            frames = [item for item in wire.items if not isinstance(item, StreamAnswer | str)]
            if wire.is_open and self.lingers():
                late = lambda: self.input(proc, lambda: proc.network.received(self.now, number, frames, 100, 0))  # noqa: E731
                self.at(self.now + self.delay(), late)

    def _learn_end(self, wire: Wire) -> None:
        """Let the writer learn that its reader is gone."""
        after, writer = self.notice(), wire.writer
        if after is None or writer is None or wire.is_dead:
            return
        proc, number = writer

        def end() -> list[LinkEvent]:
            if proc.wires.get(number) is not wire:
                return []
            wire.writer = None
            del proc.wires[number]
            return proc.network.closed(self.now, number, "reset by peer")

        self.at(self.now + after, lambda: self.input(proc, end))

    def _fail_dial(self, wire: Wire, why: str, is_lasting: bool) -> None:
        def fail() -> None:
            if wire.reader is not None:
                proc, number = wire.reader
                wire.reader = None
                del proc.wires[number]
                proc.network.dial_failed(self.now, number, why, is_lasting=is_lasting)

        if wire.reader is not None:
            asker = wire.reader[0]
            self.at(self.now + self.delay(), lambda: self.input(asker, fail))

    # --- what is checked ---

    def links(self) -> dict[tuple[str, str], Link]:
        """Return the links that are up, by the names of this process and the other."""
        names = {proc.boot: proc.name for proc in self.procs.values()}
        return {
            (proc.name, names[link.process.boot]): link
            for proc in self.procs.values()
            for member in proc.network.cluster.members.values()
            for link in member.links
            if link.process.boot in names
        }

    def say(self, name: str, to: str) -> None:
        """Send a numbered frame that names its link."""
        link = self.links().get((name, to))
        if link is not None:
            self._sent[link] = self._sent.get(link, 0) + 1
            frame = Interest([link.pair.written, link.pair.read, str(self._sent[link])])
            self.input(self.procs[name], lambda: link.send(frame))

    def _check_event(self, proc: Proc, event: LinkEvent) -> None:
        if isinstance(event, LinkUp):
            link = event.link
            if (link.process.boot, link.pair.read, link.pair.written) not in self._named:
                raise Violation(f"{proc.name} has a link that {link.process.boot} has never named")
        if isinstance(event, FrameReceived) and isinstance(event.frame, Interest):
            link = event.link
            self._got[link] = self._got.get(link, 0) + 1
            if event.frame.queues != [link.pair.read, link.pair.written, str(self._got[link])]:
                raise Violation(f"{proc.name} gets a frame of another link, or not in order: {event.frame.queues}")

    def check(self) -> None:
        links = self.links()
        for (here, there), link in links.items():
            other = links.get((there, here))
            if other is not None and other.pair != seen_from_there(link.pair):
                raise Violation(f"two links of {here} and {there} are in force: {link.pair}, {other.pair}")

    def check_all_linked(self) -> None:
        links = self.links()
        for a in self.procs.values():
            for b in self.procs.values():
                if a.settings.node != b.settings.node and (a.name, b.name) not in links:
                    raise Violation(f"{a.name} has no link to {b.name}")


def seen_from_there(pair: Pair) -> Pair:
    """Return the same pair as the other side sends it."""
    return Pair(pair.read, pair.written)


def cluster_settings(node: str, nodes: str, **changes: Any) -> NodeSettings:
    """Return the settings of a node in a cluster of nodes with names of one letter."""
    peers = {each: f"http://{each}" for each in nodes if each != node}
    return evolve(NodeSettings(node=node, peers=peers, advertise=f"http://{node}"), **changes)
