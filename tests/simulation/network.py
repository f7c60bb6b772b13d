"""The network between nodes: streams, and whatever may happen to them."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Protocol

from attrs import frozen

from dqtw.core.links.frames import AnyFrame, Lane
from dqtw.core.links.streams import Accepted, Close, Dial, LinkEffect, Reported, Send, StreamAnswer, StreamRefused
from dqtw.core.model.errors import PeerFault
from tests.simulation.clock import Clock
from tests.simulation.process import Process
from tests.simulation.scenario import Weather
from tests.simulation.streams import Dialled, End, Stream
from tests.simulation.trace import Trace, tell_frame
from tests.simulation.violation import Violation

refused_after_s = 0.001
slow_after_s = 1.0  # a piece that took longer is trouble, to the checker
held_long_s = 0.5
tried_again_s = 0.3  # what a partition holds up is sent again about so often
stalled_s_max = 3.0
calm = Weather()


@frozen
class Cut:
    """A black hole between two addresses, in one direction."""

    source: str
    target: str


class Witness(Protocol):
    """Notes what passes."""

    def sent(self, stream: Stream, frame: AnyFrame) -> None:
        """Note a frame that a process writes."""
        ...


class Network:
    """Carries streams between processes, by address.

    Attributes:
        listeners: which process has taken which address.
        detours: addresses at which another process answers.
        declining: addresses at which each request is refused, and how often that was begun.
        names: finds a node's present process for a dial to an address that is not taken; None: it is not found.
        trouble: when something between two processes was last not carried, or not in time.
        weather: what happens to streams.
        slow: addresses from and to which all is slow, and by how much.
        black_holes: addresses at which a dial is not even refused.
    """

    def __init__(self, clock: Clock, random: Random, weather: Weather, trace: Trace, witness: Witness) -> None:
        self.listeners: dict[str, Process] = {}
        self.detours: dict[str, str] = {}
        self.declining: Counter[str] = Counter()
        self.names: Callable[[str], Process | None] | None = None
        self.trouble: dict[frozenset[Process], float] = {}
        self.weather = weather
        self.slow: dict[str, float] = {}
        self.black_holes: set[str] = set()
        self._cuts: Counter[Cut] = Counter()
        self._ends: dict[tuple[Process, int], Stream | Dialled] = {}
        self._written: dict[Process, dict[int, None]] = {}  # the streams to which each has written in this turn
        self._clock = clock
        self._random = random
        self._trace = trace
        self._witness = witness

    # Faults.

    def cut(self, cuts: list[Cut]) -> None:
        """Let nothing through there."""
        self._cuts.update(cuts)

    def heal(self, cuts: list[Cut]) -> None:
        """Undo one `cut`."""
        self._cuts.subtract(cuts)

    def calm_down(self) -> None:
        """Let no fault happen any more; streams that are broken stay so."""
        self._cuts.clear()
        self.weather = calm
        self.slow.clear()
        self.black_holes.clear()
        self.detours.clear()
        self.declining.clear()
        for stream in self.streams():
            stream.stalled_until = 0.0
            self._pump(stream)

    def is_cut(self, source: str, target: str) -> bool:
        """Return True if nothing gets through."""
        return self._cuts[Cut(source, target)] > 0

    def streams(self) -> list[Stream]:
        """Return the streams that a side has open."""
        return list(dict.fromkeys(each for each in self._ends.values() if isinstance(each, Stream)))

    def break_stream(self, stream: Stream) -> None:
        """Cut a stream: each side notices at a time of its own, or not at all."""
        self._note_trouble(stream.writer.process, stream.reader.process)
        stream.cut(self._random.randint(0, len(stream.on_the_way)))
        self._trace.counts["streams cut"] += 1
        for end in (stream.reader, stream.writer):
            if self._random.random() < 0.7:
                self._clock.after(self._notice_s(), partial(self._notice, stream, end, "the connection was lost"))

    def stall(self, stream: Stream, seconds: float) -> None:
        """Let a stream accept no data for some time."""
        self._note_trouble(stream.writer.process, stream.reader.process)
        stream.stalled_until = self._clock.now + seconds

        def go_on() -> None:
            self._note_trouble(stream.writer.process, stream.reader.process)
            self._pump(stream)

        self._clock.after(seconds, go_on)

    def was_clean_after(self, paused: Process, other: Process, settle_s: float) -> bool:
        """Return True if the other process ran, and all was carried in time, since a while before a pause ended."""
        since = paused.stood_still_until
        if not self.is_clean(paused, other, since):
            return False
        return self.trouble.get(frozenset((paused, other)), -1000.0) < since - settle_s

    def is_clean(self, one: Process, other: Process, since: float) -> bool:
        """Return True if both ran, and all between them was carried in time, since then."""
        for each in (one, other):
            if not each.is_alive or each.is_paused or each.paused_at > since or each.born_at > since:
                return False
        return self.trouble.get(frozenset((one, other)), -1.0) < since and not self._is_between(one, other)

    def _is_between(self, one: Process, other: Process) -> bool:
        return self.is_cut(one.url, other.url) or self.is_cut(other.url, one.url)

    # What processes want done.

    def carry_out(self, process: Process, effect: LinkEffect) -> None:
        """Do what a process's core asks for."""
        match effect:
            case Dial():
                dialled = Dialled(End(process, effect.stream), effect.url, effect.request)
                self._ends[process, effect.stream] = dialled
                self._trace.line(process, f"dials {effect.request.to_node} at {effect.url}")
                self._dial(dialled)
            case Send():
                stream = self._ends.get((process, effect.stream))
                if isinstance(stream, Stream):
                    self._send(stream, effect.frame)
            case Reported():
                stream = self._ends.get((process, effect.stream))
                if isinstance(stream, Stream):
                    stream.outbox.reported(process.now, effect.express_read, effect.bulk_read)
                    self._written.setdefault(process, {})[effect.stream] = None
            case Close():
                self._trace.line(process, f"closes {effect.stream}: {effect.why}")
                self._close(process, effect.stream)

    def end_turn(self, process: Process) -> None:
        """Write what a process has sent."""
        for number in self._written.pop(process, {}):
            stream = self._ends.get((process, number))
            if isinstance(stream, Stream):
                self._pump(stream)

    def resumed(self, process: Process) -> None:
        """Write on, to all streams of a process that was paused."""
        for (owner, _), stream in list(self._ends.items()):
            if owner is process and isinstance(stream, Stream) and stream.writer.process is process:
                self._pump(stream)

    def broken(self, process: Process) -> None:
        """End all streams of a process that has died."""
        is_noticed = self._random.random() < 0.7  # else its machine is gone, too
        for end, stream in [(key, each) for key, each in self._ends.items() if key[0] is process]:
            del self._ends[end]
            if isinstance(stream, Dialled):
                stream.is_given_up = True
            elif is_noticed:
                self._end(stream, process)
            else:
                stream.cut(self._random.randint(0, len(stream.on_the_way)))

    # Dials.

    def _dial(self, dialled: Dialled) -> None:
        source, weather = dialled.caller.process, self.weather
        dice = self._random.random()
        if self.is_cut(source.url, dialled.url) or dice < weather.dial_hang:
            self._note_hang(dialled)
        elif dice < weather.dial_hang + weather.dial_fail:
            self._note_hang(dialled)
            self._fail(dialled, "the name is not known")
        else:
            self._clock.after(self._delay(source.url, dialled.url), lambda: self._knock(dialled))

    def _note_hang(self, dialled: Dialled) -> None:
        self._trace.counts["dials lost"] += 1
        target = self._find(dialled)
        if target is not None:
            self._note_trouble(dialled.caller.process, target)

    def _fail(self, dialled: Dialled, why: str, *, is_lasting: bool = False) -> None:
        self._trace.line(dialled.caller.process, f"fails to dial {dialled.url}: {why}")

        def failed(now: float) -> None:
            caller = dialled.caller
            if self._ends.pop((caller.process, caller.number), None) is dialled:
                caller.process.node.dial_failed(now, caller.number, why, is_lasting=is_lasting)

        self._clock.after(refused_after_s, lambda: dialled.caller.process.receive(failed, dialled))

    def _find(self, dialled: Dialled) -> Process | None:
        found = self.listeners.get(self.detours.get(dialled.url, dialled.url))
        if found is None and self.names is not None:
            found = self.names(dialled.request.to_node)
        return found

    def _knock(self, dialled: Dialled) -> None:
        target, meant = self._find(dialled), self.listeners.get(dialled.url)
        if meant is not None and meant is not target:
            self._note_trouble(dialled.caller.process, meant)
        if target is None:
            if dialled.url not in self.black_holes:
                self._fail(dialled, "connection refused")
        elif self.is_cut(target.url, dialled.caller.process.url):
            self._note_trouble(target, dialled.caller.process)
        else:
            target.receive(lambda now: self._asked(now, target, dialled), dialled)

    def _asked(self, now: float, target: Process, dialled: Dialled) -> None:
        if dialled.is_given_up and self._random.random() < 0.5:
            return  # its end has come, too
        answer = self._answer(now, target, dialled)
        if isinstance(answer, StreamRefused):
            self._fail(dialled, answer.why, is_lasting=answer.is_lasting)
            if answer.is_lasting:
                self._note_trouble(target, dialled.caller.process)
            return
        stream = Stream(self._clock.now, End(target, answer.stream), dialled.caller, answer.answer)
        self._ends[target, answer.stream] = stream
        self._trace.counts["streams"] += 1
        self._schedule(stream)

    def _answer(self, now: float, target: Process, dialled: Dialled) -> Accepted | StreamRefused:
        if self.declining[dialled.url] > 0:
            refused = StreamRefused("unauthorized", "the secret is another")
            if self._random.random() < 0.5:
                target.node.network.request_refused(now, dialled.request.node, refused)
            return refused
        return target.node.stream_asked(now, dialled.request)

    def _answered(self, now: float, stream: Stream, answer: StreamAnswer) -> None:
        key = stream.reader.process, stream.reader.number
        if isinstance(self._ends.get(key), Dialled):
            self._ends[key] = stream
            stream.reader.process.node.dial_answered(now, stream.reader.number, answer)
        else:
            self._end(stream, stream.reader.process)

    # Data.

    def _send(self, stream: Stream, frame: AnyFrame) -> None:
        self._trace.counts[f"sent {type(frame).__name__}"] += 1
        if self._trace.is_on:
            self._trace.line(stream.writer.process, f"→ {stream.reader.process}: {tell_frame(frame)}")
        self._witness.sent(stream, frame)
        self._written.setdefault(stream.writer.process, {})[stream.writer.number] = None
        if stream.put(frame, self._random, self.weather.held):
            held_s = self._random.random() ** 2 * self.weather.held_s
            if held_s > held_long_s:
                self._note_trouble(stream.writer.process, stream.reader.process)
            self._clock.after(held_s, partial(self._release, stream, frame.lane))

    def _release(self, stream: Stream, lane: Lane) -> None:
        stream.release(lane)
        self._pump(stream)

    def _pump(self, stream: Stream) -> None:
        """Let the network take what waits in a stream's outbox, as much as fits."""
        now, writer = self._clock.now, stream.writer.process
        if not stream.is_written or not writer.is_alive or writer.is_paused:
            return
        weather, outbox = self.weather, stream.outbox
        while outbox.is_ready and now >= stream.stalled_until and stream.unread_bytes < weather.capacity:
            data = outbox.take(writer.now, weather.capacity)
            stream.taken_at = now
            stream.unread_bytes += len(data)
            if not stream.is_broken:
                stream.on_the_way.append(data)
                self._schedule(stream)
        if not outbox.is_ready:
            stream.taken_at = now
        else:
            self._clock.after(stalled_s_max + 0.01, partial(self._check_stalled, stream, stream.taken_at))

    def _check_stalled(self, stream: Stream, taken_at: float) -> None:
        """Close a stream of which nothing was taken for 3 s."""
        if stream.taken_at == taken_at and stream.is_written and not stream.writer.process.is_paused:
            self._trace.counts["streams stalled"] += 1
            self._notice(stream, stream.writer, "the peer accepts no data")
            self._end(stream, stream.writer.process)

    def _schedule(self, stream: Stream) -> None:
        delay_s = self._delay(stream.writer.process.url, stream.reader.process.url)
        if delay_s > slow_after_s:
            self._note_trouble(stream.writer.process, stream.reader.process)
        stream.arrives_at = max(stream.arrives_at, self._clock.now + delay_s)
        self._clock.at(stream.arrives_at, lambda: self._arrive(stream))

    def _arrive(self, stream: Stream) -> None:
        """Let the next piece of a stream arrive, if nothing is in the way."""
        if not stream.on_the_way:
            return
        writer, reader = stream.writer.process, stream.reader.process
        if self.is_cut(writer.url, reader.url):
            self._note_trouble(writer, reader)
            stream.arrives_at = max(stream.arrives_at, self._clock.now + self._random.uniform(0.5, 1.5) * tried_again_s)
            self._clock.at(stream.arrives_at, lambda: self._arrive(stream))
            return
        piece = stream.on_the_way.popleft()
        reader.receive(lambda now: self._read(now, stream, piece), stream)

    def _read(self, now: float, stream: Stream, piece: bytes | StreamAnswer | None) -> None:
        reader = stream.reader
        if isinstance(piece, StreamAnswer):
            self._answered(now, stream, piece)
            return
        if not stream.is_read or self._ends.get((reader.process, reader.number)) is not stream:
            return
        if piece is None:
            self._lose(now, stream, reader, "the peer has closed the connection")
            return
        stream.unread_bytes -= len(piece)
        try:
            fed = stream.inbox.feed(piece)
        except PeerFault as fault:
            raise Violation(f"{stream.writer.process} sends {reader.process} what cannot be read: {fault}") from fault
        if self._trace.is_on:
            for frame in fed.frames:
                self._trace.line(reader.process, f"← {stream.writer.process}: {tell_frame(frame)}")
        reader.process.node.received(now, reader.number, fed.frames, fed.express_bytes, fed.bulk_bytes)
        self._clock.after(0, lambda: self._pump(stream))

    # Ends.

    def _close(self, process: Process, number: int) -> None:
        stream = self._ends.pop((process, number), None)
        if isinstance(stream, Dialled):
            stream.is_given_up = True
        elif stream is not None:
            self._end(stream, process)

    def _end(self, stream: Stream, by: Process) -> None:
        """Close one side of a stream; a prefix of what is on its way arrives, and then the end, or never."""
        is_silent = self._random.random() < self.weather.silent
        if by is stream.writer.process:
            stream.is_written = False
            stream.cut(self._random.randint(0, len(stream.on_the_way)))
            if not is_silent:
                stream.on_the_way.append(None)
                self._schedule(stream)
        else:
            stream.is_read = False
            stream.cut(0)
            if not is_silent:
                end = partial(self._notice, stream, stream.writer, "the peer has closed the connection")
                self._clock.after(self._delay(stream.reader.process.url, stream.writer.process.url), end)

    def _notice(self, stream: Stream, end: End, why: str) -> None:
        if end.process.is_alive:
            end.process.receive(lambda now: self._lose(now, stream, end, why), stream)

    def _lose(self, now: float, stream: Stream, end: End, why: str) -> None:
        """Let one side know that a stream has ended."""
        if self._ends.get((end.process, end.number)) is not stream:
            return
        del self._ends[end.process, end.number]
        if end is stream.writer:
            stream.is_written = False
        else:
            stream.is_read = False
        end.process.node.stream_closed(now, end.number, why)

    # Time.

    def _notice_s(self) -> float:
        return self._random.choice([0.0, 0.001, 0.1, 1.0, 4.0])

    def _note_trouble(self, one: Process, other: Process) -> None:
        self.trouble[frozenset((one, other))] = self._clock.now

    def _delay(self, source: str, target: str) -> float:
        weather = self.weather
        delay_s = self._random.uniform(0.5, 1.5) * weather.delay_s
        if weather.tail and self._random.random() < weather.tail:
            delay_s += self._random.random() ** 3 * weather.tail_s
        slow = self.slow.get(source, 0.0) + self.slow.get(target, 0.0)
        return delay_s + (self._random.uniform(0.5, 1.5) * slow if slow else 0.0)
