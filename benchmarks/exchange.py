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
from typing import Any, NamedTuple, TypeVar

from attrs import define, field

from dqtw.core.effects import Answer, Departure, Event, Reply
from dqtw.core.links.peer_messages import Asking, Failed
from dqtw.core.model.commands import Ack, Push
from dqtw.core.model.message import MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.process.garbage import collect_seldom
from dqtw.wire.peer import protocol as peer

T = TypeVar("T")
clear_every = 1_000  # effects of commands are taken as often as one read of a socket would
patience_seconds = 600


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
    """Node a, which has a queue, and node b, which does not exist at first."""

    def __init__(self) -> None:
        self.steps = Steps()
        self._asked: deque[tuple[str, Asking]] = deque()
        self._tickets: dict[tuple[str, int], tuple[str, Asking]] = {}
        self._ticket = 0
        self._nodes = {"a": self._node("a", "b")}

    @property
    def first(self) -> Node:
        """Node a."""
        return self._nodes["a"]

    @property
    def is_done(self) -> bool:
        """Whether b has all that a has."""
        return self.first.owner.links.all_settled()

    def fill(self, messages: int, *, fragmented: bool) -> None:
        """Push so many through a; then remove every second one, if that is wanted."""
        while not self.first.life.is_serving:
            self.go_on()
        for _ in range(messages):
            self._command(Push(b"x"))
        incarnation = self.first.incarnation
        for n in range(2, messages + 1, 2) if fragmented else ():
            self._command(Ack(MessageId("a", incarnation, n)))
        self._take_effects("a")

    def add_empty_peer(self) -> None:
        """Start b."""
        self.steps = Steps()
        self._nodes["b"] = self._node("b", "a")

    def go_on(self) -> None:
        """Let each node do what is due, and carry what they say to each other."""
        for name, node in self._nodes.items():
            self._step(f"{name} does what is due", node.tick)
            self._take_effects(name)
        if self._asked:
            self._carry(*self._asked.popleft())
        else:
            time.sleep(0.001)

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
        effects = self._step(f"{name} makes up its requests", self._nodes[name].take_effects)
        for effect in effects:
            match effect:
                case Asking():
                    self._asked.append((name, effect))
                case Reply():
                    self._reply(name, effect)
                case Answer() | Event() | Departure():
                    pass

    def _carry(self, asker: str, asking: Asking) -> None:
        verb = peer.verb_of(asking.request)
        answerer = self._nodes.get(asking.peer)
        if answerer is None:
            failed = Failed("nobody there", was_sent=False)
            self._nodes[asker].peer_answers(time.monotonic(), asking.call, failed)
            return
        data = self.steps.time(f"{asker} encodes {verb}", lambda: peer.encode_request(asking.request))
        request = self.steps.time(f"{asking.peer} decodes {verb}", lambda: peer.decode_request(verb, data))
        self._ticket += 1
        ticket = self._ticket
        self._tickets[asking.peer, ticket] = (asker, asking)
        self._step(f"{asking.peer} does {verb}", lambda now: answerer.peer_asks(now, ticket, request))
        self._take_effects(asking.peer)

    def _reply(self, name: str, reply: Reply) -> None:
        asker, asking = self._tickets.pop((name, reply.ticket))
        verb = peer.verb_of(asking.request)
        data = self.steps.time(f"{name} encodes the answer to {verb}", lambda: peer.encode_answer(reply.answer))
        answer = self.steps.time(
            f"{asker} decodes the answer to {verb}", lambda: peer.decode_answer(asking.request, data)
        )
        node = self._nodes[asker]
        self._step(f"{asker} takes the answer to {verb}", lambda now: node.peer_answers(now, asking.call, answer))


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
