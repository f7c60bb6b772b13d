"""A node of one as plainly as it can be written: lists that are searched from the front, and nothing is fast."""

from typing import TypeAlias

from attrs import define

from dqtw.core.model.commands import Get, Push, State
from dqtw.core.model.settings import NodeSettings

Answer: TypeAlias = tuple[object, ...]


@define
class Naive:
    """One message. ``until`` is when its lease or delay ends."""

    n: int
    push: Push
    born_s: float
    state: State = State.READY
    until: float = 0.0
    attempts: int = 0
    delivery: int = 0
    lease_s: float = 0.0


class NaiveNode:
    """What a node of one should answer to whom, and when.

    Attributes:
        answers: for each ticket a tuple that says the answer in plain words.
        handed: for each ticket the numbers of the deliveries it was answered with.
        lease_lost: how many leases ended by themselves.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self.answers: dict[int, Answer] = {}
        self.handed: dict[int, list[int]] = {}
        self.messages: list[Naive] = []
        self.polls: list[tuple[float, int, Get]] = []
        self.slots: list[tuple[float, int, Push]] = []
        self.live_keys: dict[str, tuple[int, bytes]] = {}
        self.removed_keys: dict[str, tuple[int, bytes, float]] = {}
        self.lease_lost = 0
        self._n = 0
        self._deliveries = 0

    def find(self, n: int) -> Naive | None:
        """The message of that number, if it is on the queue."""
        return next((each for each in self.messages if each.n == n), None)

    def in_state(self, state: State) -> list[Naive]:
        """The messages that stand there, oldest first."""
        return [each for each in self.messages if each.state is state]

    def body_bytes(self) -> int:
        """The total of the bodies."""
        return sum(len(each.push.body) for each in self.messages)

    def deadlines(self) -> list[float]:
        """Everything that time will bring."""
        timed = [each.until for each in self.messages if each.state in (State.LEASED, State.DELAYED)]
        waits = [until for until, *_ in (*self.polls, *self.slots)]
        return sorted([*timed, *waits, *(forget_at for *_, forget_at in self.removed_keys.values())])

    # What clients ask for.

    def push(self, now: float, ticket: int, push: Push) -> None:
        """Take a message in, now or later."""
        if len(push.body) > self.settings.max_message:
            self._refuse(ticket, "too_large")
        elif self._repeats(ticket, push):
            pass
        elif len(push.body) > self.settings.max_bytes:
            self._refuse(ticket, "too_large")
        elif not self.slots and self._has_room(push):
            self._admit(now, ticket, push)
        elif push.wait_s <= 0:
            self._refuse(ticket, "full")
        elif self._too_many_wait():
            self._refuse(ticket, "busy")
        else:
            self.slots.append((now + min(push.wait_s, 30.0), ticket, push))

    def get(self, now: float, ticket: int, get: Get) -> None:
        """Hand messages out, now or later."""
        if self.in_state(State.READY):
            self._deliver(now, ticket, get)
        elif get.wait_s <= 0:
            self.answers[ticket] = ("delivered", ())
        elif self._too_many_wait():
            self._refuse(ticket, "busy")
        else:
            self.polls.append((now + min(get.wait_s, 30.0), ticket, get))

    def ack(self, now: float, ticket: int, n: int) -> None:
        """Remove a message."""
        message = self.find(n)
        if message is None:
            self._refuse(ticket, "unknown")
        else:
            self._remove(now, message)
            self.answers[ticket] = ("done",)

    def nack(self, now: float, ticket: int, n: int, delivery: int, delay_s: float, *, counted: bool = True) -> None:
        """Give a lease up; or, not ``counted``, give the delivery back."""
        message = self._leased(ticket, n, delivery)
        if message is not None:
            message.attempts -= not counted
            message.state = State.DELAYED if delay_s > 0 else State.READY
            message.until = now + delay_s
            self.answers[ticket] = ("done",)

    def touch(self, now: float, ticket: int, n: int, delivery: int, lease_s: float | None) -> None:
        """Start a lease anew."""
        message = self._leased(ticket, n, delivery)
        if message is not None:
            message.until = now + (message.lease_s if lease_s is None else lease_s)
            self.answers[ticket] = ("done",)

    def inspect(self, now: float, ticket: int, n: int) -> None:
        """Tell about a message."""
        message = self.find(n)
        if message is None:
            self._refuse(ticket, "unknown")
        else:
            told = (message.state, message.attempts, len(message.push.body), message.push.content_type)
            self.answers[ticket] = ("inspected", *told, now - message.born_s)

    def leave(self, ticket: int) -> bool:
        """Forget a request that waits."""
        before = len(self.polls) + len(self.slots)
        self.polls = [each for each in self.polls if each[1] != ticket]
        self.slots = [each for each in self.slots if each[1] != ticket]
        return len(self.polls) + len(self.slots) < before

    def drain(self) -> None:
        """Answer all who wait."""
        self.answers |= {ticket: ("delivered", ()) for _, ticket, _ in self.polls}
        self.answers |= {ticket: ("draining",) for _, ticket, _ in self.slots}
        self.polls, self.slots = [], []

    # What time and others make possible.

    def tick(self, now: float) -> None:
        """Do what is due."""
        for message in self.messages:
            if message.state in (State.LEASED, State.DELAYED) and message.until <= now:
                self.lease_lost += message.state is State.LEASED
                message.state = State.READY
        self.removed_keys = {key: known for key, known in self.removed_keys.items() if known[2] > now}
        for _, ticket, _ in [each for each in self.polls if each[0] <= now]:
            self.leave(ticket)
            self.answers[ticket] = ("delivered", ())
        for _, ticket, push in [each for each in self.slots if each[0] <= now]:
            self.leave(ticket)
            if not self._repeats(ticket, push):
                self._refuse(ticket, "full")
        self.settle(now)

    def settle(self, now: float) -> None:
        """Serve those who wait, polls first, until nobody can be served."""
        while True:
            if self.polls and self.in_state(State.READY):
                _, ticket, get = self.polls.pop(0)
                self._deliver(now, ticket, get)
            elif self.slots and self._repeats(self.slots[0][1], self.slots[0][2]):
                self.slots.pop(0)
            elif self.slots and self._has_room(self.slots[0][2]):
                _, ticket, push = self.slots.pop(0)
                self._admit(now, ticket, push)
            else:
                return

    # How it is done.

    def _refuse(self, ticket: int, code: str) -> None:
        self.answers[ticket] = (code,)

    def _too_many_wait(self) -> bool:
        return len(self.polls) + len(self.slots) >= self.settings.max_waiting

    def _has_room(self, push: Push) -> bool:
        fits = self.body_bytes() + len(push.body) <= self.settings.max_bytes
        return fits and len(self.messages) < self.settings.size

    def _repeats(self, ticket: int, push: Push) -> bool:
        known = self.live_keys.get(push.key or "") or self.removed_keys.get(push.key or "")
        if known is None:
            return False
        self.answers[ticket] = ("pushed", known[0], True) if known[1] == push.body else ("key_reused",)
        return True

    def _admit(self, now: float, ticket: int, push: Push) -> None:
        self._n += 1
        self.messages.append(Naive(self._n, push, now))
        if push.key is not None:
            self.live_keys[push.key] = (self._n, push.body)
        self.answers[ticket] = ("pushed", self._n, False)

    def _deliver(self, now: float, ticket: int, get: Get) -> None:
        handed = []
        self.handed[ticket] = []
        for message in self.in_state(State.READY)[: get.count_max]:
            self._deliveries += 1
            message.state = State.LEASED
            message.attempts += 1
            message.delivery = self._deliveries
            message.lease_s = self.settings.lease_s if get.lease_s is None else get.lease_s
            message.until = now + message.lease_s
            self.handed[ticket].append(message.delivery)
            handed.append((message.n, message.attempts, message.lease_s, message.push.body))
            if get.ack_now:
                self._remove(now, message)
        self.answers[ticket] = ("delivered", tuple(handed))

    def _remove(self, now: float, message: Naive) -> None:
        self.messages.remove(message)
        if message.push.key is not None:
            n, body = self.live_keys.pop(message.push.key)
            self.removed_keys[message.push.key] = (n, body, now + self.settings.key_memory_s)

    def _leased(self, ticket: int, n: int, delivery: int) -> Naive | None:
        message = self.find(n)
        if message is None:
            self._refuse(ticket, "unknown")
            return None
        if message.state is not State.LEASED or message.delivery != delivery:
            self._refuse(ticket, "lease_lost")
            return None
        return message
