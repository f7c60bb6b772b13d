"""The links between nodes: whatever a network, or a proxy on the way, may do to a request and to its answer."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Protocol

from attrs import define, frozen

from dqtw.core.links.peer_messages import Asking, Declined, Failed, PeerAnswer
from tests.simulation.clock import Clock
from tests.simulation.process import Process
from tests.simulation.scenario import Weather
from tests.simulation.trace import Trace, tell_answer, tell_request

refused_after_s = 0.001
slow_after_s = 1.0  # a message that took longer is trouble, to the checker
calm = Weather()


@frozen
class Cut:
    """A black hole between two addresses, in one direction."""

    source: str
    target: str


@define
class Storm:
    """Weather that is worse for a while."""

    loss: float = 0.0
    repeat: float = 0.0


class Witness(Protocol):
    """Who hears of all that passes."""

    def sent(self, source: Process, asking: Asking) -> None:
        """A process asks."""
        ...

    def arrived(self, source: Process, target: Process, ticket: int, asking: Asking) -> None:
        """A request has come to a process."""
        ...

    def answered(self, source: Process, asking: Asking, sent_at: float, answer: PeerAnswer) -> None:
        """An answer has come back, to what was asked at ``sent_at`` on the asker's own clock."""
        ...


class Network:
    """Carries requests and answers between processes, by address.

    Attributes:
        listeners: which process has taken which address.
        detours: addresses at which something on the way lets another one answer.
        declining: addresses at which whoever asks is told that nobody speaks with it, and how often that was begun.
        names: finds a node's present process for those who ask at an address that nobody has; None: nobody knows.
        trouble: when a link, from a process to a node, last did not carry something in time.
        weather: what happens to messages.
    """

    def __init__(self, clock: Clock, random: Random, weather: Weather, trace: Trace, witness: Witness) -> None:
        self.listeners: dict[str, Process] = {}
        self.detours: dict[str, str] = {}
        self.declining: Counter[str] = Counter()
        self.trouble: dict[tuple[Process, str], float] = {}
        self.weather = weather
        self.storm = Storm()
        self.slow: dict[str, float] = {}
        self.black_holes: set[str] = set()
        self.names: Callable[[str], Process | None] | None = None
        self._cuts: dict[Cut, int] = {}
        self._clock = clock
        self._random = random
        self._trace = trace
        self._witness = witness
        self._replies: dict[tuple[Process, int], Callable[[PeerAnswer], None]] = {}

    # Faults.

    def cut(self, cuts: list[Cut]) -> None:
        """Let nothing through there."""
        for each in cuts:
            self._cuts[each] = self._cuts.get(each, 0) + 1

    def heal(self, cuts: list[Cut]) -> None:
        """Undo one `cut`."""
        for each in cuts:
            self._cuts[each] = self._cuts.get(each, 1) - 1

    def calm_down(self) -> None:
        """No faults any more."""
        self._cuts.clear()
        self.weather, self.storm = calm, Storm()
        self.slow.clear()
        self.black_holes.clear()
        self.detours.clear()
        self.declining.clear()

    def is_cut(self, source: str, target: str) -> bool:
        """Whether nothing gets through."""
        return self._cuts.get(Cut(source, target), 0) > 0

    def is_clean(self, source: Process, target: Process, since: float) -> bool:
        """Whether all that the one asked of the other since then was carried, both ways, and in time."""
        running = target.is_alive and not target.is_paused and target.paused_at < since and target.born_at <= since
        if not running or source.is_paused or source.paused_at >= since:
            return False
        return self.trouble.get((source, target.id), -1.0) < since and not self.is_cut(source.url, target.url)

    # Requests and answers.

    def ask(self, source: Process, asking: Asking) -> None:
        """Carry a request; it may arrive never, late, or twice."""
        self._witness.sent(source, asking)
        self._trace.counts[f"asked {type(asking.request).__name__.lower()}"] += 1
        if self._trace.is_on:
            self._trace.line(source, f"→ {asking.peer}: {tell_request(asking.request)}  ({asking.call})")
        if self._is_lost(source.url, asking.url):
            self._note_trouble(source, asking.peer, "lost")
            return
        local = source.now
        times = 1
        if self._random.random() < self.weather.repeat + self.storm.repeat:
            self._trace.counts["repeated"] += 1
            times = 2
        for _ in range(times):
            delay_s = self._delay(source.url, asking.url)
            if delay_s > slow_after_s:
                self._note_trouble(source, asking.peer, "slow")
            self._clock.after(delay_s, lambda: self._arrive(source, asking, local, is_one_of_two=times == 2))

    def reply(self, process: Process, ticket: int, answer: PeerAnswer) -> None:
        """Carry an answer back."""
        self._replies.pop((process, ticket))(answer)

    def broken(self, process: Process) -> None:
        """A process died; the answers it owes will not come."""
        for key in [key for key in self._replies if key[0] is process]:
            self._replies.pop(key)(Failed("the connection was lost"))

    def _arrive(self, source: Process, asking: Asking, local: float, *, is_one_of_two: bool) -> None:
        target = self._find(asking)
        if asking.url in self.detours:
            self._note_trouble(source, asking.peer, "misled")
        if target is None or not target.is_alive:
            self._note_trouble(source, asking.peer, "nobody there")
            if asking.url not in self.black_holes:
                refused = Failed("connection refused", was_sent=is_one_of_two)  # a proxy says so, and not what it tried
                self._return(source, asking, None, local, refused)
            return
        if self.declining[asking.url] > 0:
            self._note_trouble(source, asking.peer, "declined")
            declined = Failed("the connection was lost") if is_one_of_two else Declined("the secret is another")
            self._return(source, asking, None, local, declined)
            return
        if target.is_paused:
            self._note_trouble(source, asking.peer, "slow")
        target.receive(lambda now: self._taken(source, target, asking, local, now))

    def _find(self, asking: Asking) -> Process | None:
        """Who listens at an address; where names are known, at a node's present one if nobody does."""
        found = self.listeners.get(self.detours.get(asking.url, asking.url))
        if found is None and self.names is not None:
            found = self.names(asking.peer)
        return found

    def _taken(self, source: Process, target: Process, asking: Asking, local: float, now: float) -> None:
        ticket = target.next_ticket()
        self._replies[target, ticket] = lambda answer: self._return(source, asking, target, local, answer)
        self._witness.arrived(source, target, ticket, asking)
        target.node.peer_asks(now, ticket, asking.request)

    def _return(
        self, source: Process, asking: Asking, target: Process | None, local: float, answer: PeerAnswer
    ) -> None:
        url = target.url if target is not None else asking.url
        if isinstance(answer, Failed):
            self._note_trouble(source, asking.peer, "failed")
        if self._is_lost(url, source.url):
            self._note_trouble(source, asking.peer, "lost")
            return
        delay_s = refused_after_s if target is None else self._delay(url, source.url)
        if delay_s > slow_after_s:
            self._note_trouble(source, asking.peer, "slow")
        who: object = target if target is not None else asking.peer

        def back(now: float) -> None:
            if self._trace.is_on:
                self._trace.line(source, f"← {who}: {tell_answer(answer)}  ({asking.call})")
            self._witness.answered(source, asking, local, answer)
            source.node.peer_answers(now, asking.call, answer)

        self._clock.after(delay_s, lambda: source.receive(back))

    def _is_lost(self, source: str, target: str) -> bool:
        if self.is_cut(source, target):
            return True
        lost = self._random.random() < self.weather.loss + self.storm.loss
        self._trace.counts["lost"] += lost
        return lost

    def _note_trouble(self, source: Process, node: str, why: str) -> None:
        self.trouble[source, node] = self._clock.now
        self._trace.counts[f"trouble: {why}"] += 1

    def _delay(self, source: str, target: str) -> float:
        weather = self.weather
        delay_s = self._random.uniform(0.5, 1.5) * weather.delay_s
        if weather.tail and self._random.random() < weather.tail:
            delay_s += self._random.random() ** 3 * weather.tail_s
        slow = self.slow.get(source, 0.0) + self.slow.get(target, 0.0)
        return delay_s + (self._random.uniform(0.5, 1.5) * slow if slow else 0.0)
