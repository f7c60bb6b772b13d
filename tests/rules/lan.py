"""A few nodes, the network between them, and their clients, all moved by the test: one run is like the next.

Frames arrive after a moment, in order. A test can cut processes off from each other, in both directions or in one, and
nothing is noticed then but silence; it can break streams, hold frames of some kinds back, pause and kill processes.
Order holds within a lane only, so what is held back holds back no other lane.
"""

from collections.abc import Callable, Iterator
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, TypeVar

from attrs import define, evolve, field, frozen

from dqtw.core.effects import Answer, Departure, Event
from dqtw.core.forwarding.placement import home_of
from dqtw.core.links.frames import AnyFrame, Lane
from dqtw.core.links.streams import Accepted, Close, Dial, Send, StreamRefused
from dqtw.core.model.commands import Ack, Command, Delivered, Delivery, Get, Outcome, Push, Pushed
from dqtw.core.model.errors import Refusal
from dqtw.core.model.message import MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.core.replication.holding import Holding
from dqtw.wire.peer.codec import decode, encode

latency_s = 0.001
wall_ms_at_start = 1_700_000_000_000

T = TypeVar("T")


@frozen
class Sent:
    """A frame that a process has sent to another one."""

    at: float
    by: str
    to: str
    frame: AnyFrame


@define(eq=False)
class Stream:
    """A stream from one process to another, each with its own number for it.

    Attributes:
        is_broken: nothing arrives any more.
        stalled: what was sent while the two were cut off from each other; it arrives when they are not any more.
    """

    writer: str
    written: int
    reader: str
    read: int
    is_broken: bool = False
    stalled: list[bytes] = field(factory=list)


@define(eq=False)
class Hold:
    """Frames of some kinds that do not arrive until they are released; what follows in their lane waits behind them."""

    kinds: tuple[type, ...]
    by: str
    to: str
    when: Callable[[Any], bool]
    held: list[tuple[Stream, bytes]] = field(factory=list)
    is_over: bool = False

    def takes(self, stream: Stream, data: bytes) -> bool:
        if self.is_over or self.by not in ("", stream.writer) or self.to not in ("", stream.reader):
            return False
        frame = decode(data)
        behind = any(each is stream and decode(other).lane is frame.lane for each, other in self.held)
        return behind or (isinstance(frame, self.kinds) and self.when(frame))


class Lan:
    """Some nodes, a clock, and what they said.

    Attributes:
        nodes: those that run, by name; a test may give a second process of a node another name.
        answers: the outcomes, by ticket.
        frames: all frames that were sent.
        departures: how processes have left, by name; they are not run any more.
    """

    def __init__(self, *names: str, seed: int = 0, clocks_apart_s: float = 0.0, **options: object) -> None:
        self.now = 100.0
        self.nodes: dict[str, Node] = {}
        self.answers: dict[int, Outcome] = {}
        self.events: list[tuple[str, str]] = []
        self.departures: dict[str, Departure] = {}
        self.frames: list[Sent] = []
        self.cut: set[tuple[str, str]] = set()
        self.refuses: Callable[[str, str], str] = lambda asker, asked: ""
        self._random = Random(seed)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._tickets = count(1)
        self._streams: dict[tuple[str, int], Stream] = {}  # by either process and its number
        self._holds: list[Hold] = []
        self._paused: dict[str, list[Callable[[], None]]] = {}  # what has come for processes that are not run
        self._zero: dict[str, float] = {}  # the monotonic clock of each process is ahead by so much
        self._clocks_apart_s = clocks_apart_s
        self._members = names
        self._options = options
        for name in names:
            self.start(name)

    # Processes.

    def start(self, name: str, node: str | None = None, *, wall_ms: int = 0, **options: object) -> Node:
        """Start a process of a node, empty."""
        node = node or name
        peers = {each: f"http://{each}" for each in self._members if each != node}
        copies = len(self._members)
        settings = NodeSettings(node=node, peers=peers, copies=copies, advertise=f"http://{name}")
        settings = evolve(settings, **{**self._options, **options})  # type: ignore[arg-type]
        self._zero[name] = self._clocks_apart_s * (1 + len(self._zero))
        wall_ms = wall_ms or wall_ms_at_start + int(self.now * 1000)
        self.nodes[name] = Node(self.clock(name), settings, self._random.randbytes, wall_ms)
        self._turn(name)
        return self.nodes[name]

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def clock(self, name: str) -> float:
        """Return the monotonic clock of a process."""
        return self.now + self._zero[name]

    def kill(self, name: str, *, silently: bool = False) -> None:
        """End a process; its streams break, or nothing is noticed but silence."""
        del self.nodes[name]
        self._paused.pop(name, None)
        self._break({stream for (owner, _), stream in self._streams.items() if owner == name}, silently=silently)

    def pause(self, name: str) -> None:
        """Do not run a process for a while; what is sent to it waits in its sockets."""
        self._paused[name] = []

    def resume(self, name: str, *, timers_first: bool = True) -> None:
        """Run a process again, which looks first at its timers, or at its sockets."""
        came = self._paused.pop(name)
        if timers_first:
            self._tick(name)
        for each in came:
            each()
        self._tick(name)

    def drain(self, name: str) -> None:
        """Ask a process to leave."""
        self.nodes[name].drain(self.clock(name))
        self._turn(name)

    # The network.

    def partition(self, *pair: str) -> None:
        """Cut two processes off from each other; nothing is noticed but silence."""
        self.cut |= {pair, pair[::-1]}  # type: ignore[arg-type]

    def mute(self, by: str, to: str) -> None:
        """Let nothing from one process arrive at another one; the other direction goes on."""
        self.cut.add((by, to))

    def isolate(self, name: str, *others: str) -> None:
        """Cut a process off from these, or from all others; nothing is noticed but silence."""
        for other in others or tuple(each for each in self.nodes if each != name):
            self.partition(name, other)

    def heal(self) -> None:
        """Let all processes reach each other again; what was sent on streams that still exist arrives."""
        self.cut.clear()
        for stream in set(self._streams.values()):
            for data in stream.stalled:
                self._later(partial(self._arrive, stream, data))
            stream.stalled.clear()

    def sever(self, one: str, other: str, *, noticed_by: tuple[str, ...] | None = None) -> None:
        """Break the streams between two processes; what is under way on them is lost."""
        streams = {each for each in self._streams.values() if {each.writer, each.reader} == {one, other}}
        self._break(streams, noticed_by=(one, other) if noticed_by is None else noticed_by)
        self.run(2 * latency_s)

    def hold(self, *kinds: type, by: str = "", to: str = "", when: Callable[[Any], bool] = lambda frame: True) -> Hold:
        """Hold frames of these kinds back, and with them what follows in their lane."""
        self._holds.append(Hold(kinds, by, to, when))
        return self._holds[-1]

    def release(self, hold: Hold) -> None:
        """Let the frames arrive that were held back, and all others."""
        hold.is_over = True
        self._holds.remove(hold)
        for stream, data in hold.held:
            self._later(partial(self._arrive, stream, data))

    def drop(self, hold: Hold) -> None:
        """Lose the frames that were held back: the streams must be broken for that."""
        hold.is_over = True
        self._holds.remove(hold)

    def sent(self, kind: type[T], *, by: str = "", to: str = "", since: float = 0.0) -> list[T]:
        """Return the frames of a kind that were sent."""
        return [
            each.frame
            for each in self.frames
            if isinstance(each.frame, kind) and by in ("", each.by) and to in ("", each.to) and each.at >= since
        ]

    # Clients.

    def ask(self, name: str, *commands: Command) -> int:
        """Submit commands in one turn; return the ticket of the first: the others follow it."""
        tickets = [next(self._tickets) for _ in commands]
        for ticket, command in zip(tickets, commands, strict=True):
            self.nodes[name].command(self.clock(name), ticket, command)
        self._turn(name)
        return tickets[0]

    def do(self, name: str, command: Command, within_s: float = 15.0) -> Outcome:
        """Submit a command and wait for its outcome."""
        ticket = self.ask(name, command)
        end = self.now + within_s
        while ticket not in self.answers and self.now < end:
            self.run(0.05)
        return self.answers[ticket]

    def result(self, ticket: int) -> str:
        """Return an answer in one word; "" while there is none."""
        return "" if ticket not in self.answers else word(self.answers[ticket])

    def push(self, name: str, body: bytes = b"x", *, key: str | None = None) -> MessageId:
        """Push a message that is accepted; return its id."""
        return pushed(self.do(name, Push(body, key=key))).id

    def get(self, name: str, count_max: int = 100, **options: object) -> list[Delivery]:
        """Get what is ready."""
        outcome = self.do(name, evolve_get(Get(count_max), **options))
        assert isinstance(outcome, Delivered), outcome
        return list(outcome.deliveries)

    def bodies(self, name: str) -> list[bytes]:
        """Get what is ready; return the bodies."""
        return [each.message.body for each in self.get(name)]

    def ack(self, name: str, id: MessageId) -> str:
        """Acknowledge a message; return the answer in one word."""
        return word(self.do(name, Ack(id)))

    # What tests look at.

    def holding(self, name: str, owner: str) -> Holding:
        """Return what a process holds of an owner's messages, its own or a peer's."""
        return self.nodes[name].holder.holdings[owner]

    def held(self, name: str, owner: str) -> list[bytes]:
        """Return the bodies that a process holds of an owner's messages, oldest first."""
        return [message.body for _, message in sorted(self.holding(name, owner).replica.messages(), key=lambda m: m[0])]

    def phase(self, name: str) -> str:
        """Return what a process does."""
        return self.nodes[name].life.phase.value

    def waits(self, name: str) -> list[str]:
        """Return what a process waits for, as its stats say."""
        waits = self.nodes[name].stats(self.clock(name))["waiting_for"]
        assert isinstance(waits, list)
        return waits

    def in_session(self, name: str) -> set[str]:
        """Return the nodes with which an owner is in session: the last page is compared."""
        return {node for node, each in self.nodes[name].replicator.progress.items() if each.is_whole}

    def key_of(self, home: str, number: int = 0) -> str:
        """Return a key whose home is that node; another one for each number."""
        return [key for key in map(str, range(999)) if home_of(key, self._members) == home][number]

    # Time.

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end, ticks = self.now + seconds, 0
        while True:
            at, name = min(self._deadlines(), default=(end + 1, ""))
            ticks = ticks + 1 if at <= self.now else 0
            assert ticks < 1000, f"{name} is woken again and again for the same moment"
            if self._queue and self._queue[0][0] <= min(at, end):
                self.now, _, action = heappop(self._queue)
                action()
            elif at <= end:
                self.now = max(self.now, at)
                self._tick(name)
            else:
                self.now = end
                return

    def until(self, condition: Callable[[], object], within_s: float = 60.0) -> None:
        """Let time pass until something is so."""
        end = self.now + within_s
        while not condition():
            assert self.now < end, "it did not come to that"
            self.run(0.01)

    def _deadlines(self) -> Iterator[tuple[float, str]]:
        for name, node in self.nodes.items():
            if name not in self._paused and (at := node.next_deadline(self.clock(name))) is not None:
                yield at - self._zero[name], name

    def _later(self, action: Callable[[], None]) -> None:
        heappush(self._queue, (self.now + latency_s, next(self._order), action))

    def _tick(self, name: str) -> None:
        if name in self.nodes:
            self.nodes[name].tick(self.clock(name))
            self._turn(name)

    def _turn(self, name: str) -> None:
        node = self.nodes.get(name)
        if node is None:
            return
        departure = None
        for effect in node.take_effects(self.clock(name)):
            match effect:
                case Answer(ticket, outcome):
                    assert ticket not in self.answers
                    self.answers[ticket] = outcome
                case Event(what, facts):
                    self.events.append((name, what.format(**facts)))
                case Departure():
                    self.departures[name] = departure = effect
                case Dial():
                    self._later(partial(self._dial, name, node, effect))
                case Send(number, frame):
                    self._send(name, number, frame)
                case Close(number):
                    stream = self._streams.get((name, number))
                    if stream is not None:
                        self._break({stream}, noticed_by=(stream.reader if name == stream.writer else stream.writer,))
        if departure is not None:
            self.kill(name)

    # Streams.

    def _dial(self, name: str, node: Node, dial: Dial) -> None:
        target = dial.url.removeprefix("http://")
        if self.nodes.get(name) is not node or (name, target) in self.cut or (target, name) in self.cut:
            return
        if target not in self.nodes:
            self._dial_failed(name, dial, "connection refused", is_lasting=False)
        elif target in self._paused:
            self._paused[target].append(lambda: self._dial(name, node, dial))
        elif why := self.refuses(name, target):
            refused = StreamRefused("unauthorized", why)
            self.nodes[target].network.request_refused(self.clock(target), dial.request.node, refused)
            self._dial_failed(name, dial, why, is_lasting=True)
        else:
            self._asked(name, target, dial)

    def _asked(self, name: str, target: str, dial: Dial) -> None:
        answer = self.nodes[target].stream_asked(self.clock(target), dial.request)
        if isinstance(answer, Accepted):
            stream = Stream(target, answer.stream, name, dial.stream)
            self._streams[name, dial.stream] = self._streams[target, answer.stream] = stream
            self._input(name, lambda: self.nodes[name].dial_answered(self.clock(name), dial.stream, answer.answer))
        else:
            self._dial_failed(name, dial, answer.why, is_lasting=answer.is_lasting)
        self._turn(target)

    def _dial_failed(self, name: str, dial: Dial, why: str, *, is_lasting: bool) -> None:
        def fail() -> None:
            self.nodes[name].dial_failed(self.clock(name), dial.stream, why, is_lasting=is_lasting)

        self._input(name, fail)

    def _send(self, name: str, number: int, frame: AnyFrame) -> None:
        stream = self._streams.get((name, number))
        if stream is not None:
            data = encode(frame)
            self.frames.append(Sent(self.now, name, stream.reader, decode(data)))
            self._later(lambda: self._arrive(stream, data))

    def _arrive(self, stream: Stream, data: bytes) -> None:
        if stream.is_broken:
            return
        hold = next((each for each in self._holds if each.takes(stream, data)), None)
        if hold is not None:
            hold.held.append((stream, data))
        elif (stream.writer, stream.reader) in self.cut:
            stream.stalled.append(data)
        else:
            self._input(stream.reader, lambda: self._received(stream, data))

    def _received(self, stream: Stream, data: bytes) -> None:
        frame = decode(data)
        express, bulk = len(data) * (frame.lane is Lane.EXPRESS), len(data) * (frame.lane is Lane.BULK)
        name = stream.reader
        self.nodes[name].received(self.clock(name), stream.read, [frame], express, bulk)

    def _break(
        self, streams: set[Stream], *, silently: bool = False, noticed_by: tuple[str, ...] | None = None
    ) -> None:
        for stream in sorted(streams, key=lambda each: (each.writer, each.written)):
            stream.is_broken = True
            self._streams.pop((stream.writer, stream.written), None)
            self._streams.pop((stream.reader, stream.read), None)
            for name, number in ((stream.writer, stream.written), (stream.reader, stream.read)):
                if not silently and (noticed_by is None or name in noticed_by):
                    self._later(partial(self._closed, name, self.nodes.get(name), number))

    def _closed(self, name: str, node: Node | None, number: int) -> None:
        def close() -> None:
            self.nodes[name].stream_closed(self.clock(name), number, "the connection was lost")

        if self.nodes.get(name) is node:
            self._input(name, close)

    def _input(self, name: str, action: Callable[[], object]) -> None:
        """Let a process take its input, now or when it is run again."""
        if name in self._paused:
            self._paused[name].append(lambda: self._input(name, action))
        elif name in self.nodes:
            action()
            self._turn(name)


def evolve_get(get: Get, **options: object) -> Get:
    """Return a get with other options."""
    return Get(**{**{name: getattr(get, name) for name in get.__struct_fields__}, **options})


def pushed(outcome: Outcome) -> Pushed:
    """Return the outcome, which must be that of a push that was accepted."""
    assert isinstance(outcome, Pushed), outcome
    return outcome


def word(outcome: Outcome) -> str:
    """Return an outcome in one word: the code of a refusal, or the name of its kind."""
    return outcome.code if isinstance(outcome, Refusal) else type(outcome).__name__


def ready(*names: str, **options: object) -> Lan:
    """Return a cluster that has started, and in which every node is ready."""
    lan = Lan(*names, **options)  # type: ignore[arg-type]
    lan.until(lambda: all(node.life.was_ready for node in lan.nodes.values()))
    lan.run(0.1)
    return lan
