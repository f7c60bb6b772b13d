"""How long a node does nothing else while it exchanges a large queue with a peer that has nothing.

Two nodes in this process, as the driver runs them, with the bytes that would travel between them. Each step is what a
reactor would do without a pause; the longest of each kind are told. A step of 50 ms makes every client wait 50 ms.
"""

import argparse
import gc
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from attrs import define, field

from dqtw.core.links.streams import Close, Dial, Reported, Send, StreamRefused
from dqtw.core.model.commands import Ack, Push
from dqtw.core.model.message import MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.process.garbage import collect_seldom
from dqtw.wire.peer.codec import Encoder
from dqtw.wire.peer.lanes import Inbox, Outbox

T = TypeVar("T")
clear_every = 1_000  # effects of commands are taken as often as one read of a socket would
patience_seconds = 600
read_bytes = 64 * 1024  # what a transport takes and gives at once
frame_bytes_max = 64 * 1024 * 1024


class Step(NamedTuple):
    """What a reactor did without a pause.

    Attributes:
        seconds: how long it took, by the clock.
        processor_seconds: for how much of that it had a processor; where others want one, too, that is less.
    """

    processor_seconds: float
    seconds: float
    what: str


class Watch:
    """Tells what has passed since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def step(self, what: str) -> Step:
        began, processor_began = self._began
        return Step(time.process_time() - processor_began, time.perf_counter() - began, what)


@define
class Steps:
    """What took how long; of each kind the longest, and the total."""

    longest: dict[str, Step] = field(factory=dict)
    total: Counter[str] = field(factory=Counter)

    def time(self, what: str, do: Callable[[], T]) -> T:
        """Do it, and note how long that took."""
        watch = Watch()
        try:
            return do()
        finally:
            self.note(watch.step(what))

    def note(self, step: Step) -> None:
        """Note one step."""
        self.longest[step.what] = max(step, self.longest.get(step.what, step))
        self.total[step.what] += 1

    def worst(self) -> list[Step]:
        """The longest step of each kind, the longest first."""
        return sorted(self.longest.values(), reverse=True)


class Pair:
    """Node a, which has a queue, and node b, which does not exist at first; and the streams between them."""

    def __init__(self) -> None:
        self.steps = Steps()
        self._ticket = 0
        self._encoder = Encoder()
        self._dials: deque[tuple[str, Dial]] = deque()
        self._streams: dict[tuple[str, int], int] = {}  # (writer, its number of a stream): the reader's number
        self._ways: dict[tuple[str, int], tuple[Outbox, Inbox]] = {}
        self._nodes = {"a": self._node("a", "b")}

    @property
    def first(self) -> Node:
        """Node a."""
        return self._nodes["a"]

    @property
    def is_done(self) -> bool:
        """True if b has all that a has."""
        progress = self.first.replicator.progress.get("b")
        return progress is not None and progress.is_synced

    def fill(self, messages: int, *, fragmented: bool) -> None:
        """Push so many through a; then remove every second one, if that is wanted."""
        while not self.first.life.is_serving:
            self.go_on()
        for _ in range(messages):
            self._command(Push(b"x"))
        incarnation = self.first.replicator.incarnation or ""
        for n in range(2, messages + 1, 2) if fragmented else ():
            self._command(Ack(MessageId("a", incarnation, n)))
        self._take_effects("a")

    def add_empty_peer(self) -> None:
        """Start b."""
        self.steps = Steps()
        self._nodes["b"] = self._node("b", "a")

    def go_on(self) -> None:
        """Let each node do what is due, and carry what they send to each other."""
        for name, node in self._nodes.items():
            self._step(f"{name} does what is due", node.tick)
            self._take_effects(name)
        while self._dials:
            self._dial(*self._dials.popleft())
        for writer, number in list(self._ways):
            self._carry(writer, number)

    def _node(self, name: str, other: str) -> Node:
        settings = NodeSettings(node=name, peers={other: f"http://{other}"}, size=2**31, start_wait_s=0.1)
        return Node(time.monotonic(), settings, os.urandom, time.time_ns() // 1_000_000)

    def _command(self, command: Push | Ack) -> None:
        self._ticket += 1
        self.first.command(time.monotonic(), self._ticket, command)
        if self._ticket % clear_every == 0:
            self._take_effects("a")

    def _step(self, what: str, do: Callable[[float], T]) -> T:
        return self.steps.time(what, lambda: do(time.monotonic()))

    def _take_effects(self, name: str) -> None:
        for effect in self._step(f"{name} makes up its frames", self._nodes[name].take_effects):
            match effect:
                case Dial():
                    self._dials.append((name, effect))
                case Send():
                    way = self._ways.get((name, effect.stream))
                    if way is not None:
                        put = partial(way[0].put, effect.frame)
                        self.steps.time(f"{name} encodes a {type(effect.frame).__name__}", put)
                case Reported():
                    way = self._ways.get((name, effect.stream))
                    if way is not None:
                        way[0].reported(time.monotonic(), effect.express_read, effect.bulk_read)
                case Close():
                    self._ways.pop((name, effect.stream), None)

    def _dial(self, asker: str, dial: Dial) -> None:
        now, other = time.monotonic(), dial.request.to_node
        if other not in self._nodes:
            self._nodes[asker].dial_failed(now, dial.stream, "connection refused", is_lasting=False)
            return
        accepted = self._nodes[other].stream_asked(now, dial.request)
        if isinstance(accepted, StreamRefused):
            self._nodes[asker].dial_failed(now, dial.stream, accepted.why, is_lasting=False)
            return
        self._ways[other, accepted.stream] = Outbox(None, self._encoder.encode), Inbox(frame_bytes_max)
        self._streams[other, accepted.stream] = dial.stream
        self._nodes[asker].dial_answered(now, dial.stream, accepted.answer)
        self._take_effects(asker)
        self._take_effects(other)

    def _carry(self, writer: str, number: int) -> None:
        outbox, inbox = self._ways[writer, number]
        reader = "b" if writer == "a" else "a"
        data = self._step(f"{writer} cuts pieces", lambda now: outbox.take(now, read_bytes))
        if not data:
            return
        fed = self.steps.time(f"{reader} decodes", lambda: inbox.feed(data))
        kinds = " ".join(sorted({type(frame).__name__ for frame in fed.frames})) or "parts of a frame"
        stream = self._streams[writer, number]
        self._step(
            f"{reader} takes {kinds}",
            lambda now: self._nodes[reader].received(now, stream, fed.frames, fed.express_bytes, fed.bulk_bytes),
        )
        self._take_effects(reader)


def watch_collector(pair: Pair) -> Callable[[str, dict[str, Any]], None]:
    """Note how long the garbage collector takes; it stops whatever step it happens in."""
    watch = Watch()

    def note(phase: str, info: dict[str, Any]) -> None:
        nonlocal watch
        if phase == "start":
            watch = Watch()
        else:
            pair.steps.note(watch.step(f"the garbage collector, generation {info['generation']}"))

    return note


def measure(messages: int, *, fragmented: bool, seconds_max: float) -> bool:
    """Fill, exchange, and tell; whether the exchange came to its end in that time."""
    pair = Pair()
    pair.fill(messages, fragmented=fragmented)
    watch = watch_collector(pair)
    gc.callbacks.append(watch)
    pair.add_empty_peer()
    began = time.monotonic()
    while not pair.is_done and time.monotonic() - began < seconds_max:
        pair.go_on()
    gc.callbacks.remove(watch)
    kind = "every second one removed" if fragmented else "none removed"
    end = "done" if pair.is_done else "NOT done"
    print(f"{messages} messages, {kind}: exchange {end} after {time.monotonic() - began:.1f} s; the longest steps:")
    for step in pair.steps.worst()[:8]:
        times = f"{step.processor_seconds * 1000:8.1f} ms of a processor, {step.seconds * 1000:8.1f} ms by the clock"
        print(f"  {times}: {step.what} (of {pair.steps.total[step.what]})")
    return pair.is_done


def main() -> None:
    """Measure a queue without holes, and one with as many as there can be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exchange", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=patience_seconds, help="give an exchange up after these")
    arguments = parser.parse_args()
    collect_seldom()
    done = [
        measure(arguments.messages, fragmented=fragmented, seconds_max=arguments.seconds)
        for fragmented in (False, True)
    ]
    raise SystemExit(0 if all(done) else 1)


if __name__ == "__main__":
    main()
