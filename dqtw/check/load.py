"""Clients that push, get, acknowledge, give back and retry, through any node; and the drain that ends a run."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from attrs import asdict, define, field, frozen
from typing_extensions import override

from dqtw.check.asking import Access, Address, Answer, ClientDoor, Get
from dqtw.check.doors import open_door
from dqtw.check.history import Delivery, Recorder

drain_batch: Final = 100
pause_after_failure_s: Final = 0.1
pause_s_max: Final = 1.0


@frozen
class Habits:
    """How clients behave.

    Attributes:
        pushes: the share of pushes among what a client does; the rest is work.
        keyed: the share of pushes that carry a key, and are retried until they are answered for sure.
        ack_now: the share of gets that remove at delivery.
        careless: the share of deliveries that are given back, forgotten, or acknowledged late.
        lease_s: the shortest and the longest lease.
        wait_s: the longest poll.
        think_s: the longest pause between two requests.
        body_bytes_max: the longest body.
        timeout_s: how long a client waits for an answer.
        retries: how often a keyed push is retried at most.
    """

    pushes: float = 0.5
    keyed: float = 0.5
    ack_now: float = 0.05
    careless: float = 0.3
    lease_s: tuple[float, float] = (0.5, 3.0)
    wait_s: float = 1.0
    think_s: float = 0.02
    body_bytes_max: int = 2000
    timeout_s: float = 12.0
    retries: int = 8


quiet_habits: Final = Habits(keyed=0.0, careless=0.0, ack_now=0.0, lease_s=(30.0, 60.0))


def body_of(label: str) -> str:
    """The body that a label stands for; its last part is the length in characters."""
    length = int(label.rsplit("-", 1)[1])
    return (f"{label} " * (length // (len(label) + 1) + 1))[: max(length, len(label) + 1)]


def label_of(body: str) -> str:
    """The label whose body this is; what was never pushed is shown as it is."""
    label = body.split(" ", 1)[0]
    try:
        return label if body_of(label) == body else repr(body[:80])
    except (ValueError, IndexError):
        return repr(body[:80])


@define
class Doors:
    """One client's connections to every address, and the record of what it asks there."""

    name: str
    recorder: Recorder
    timeout_s: float
    access: Access
    _open: dict[Address, ClientDoor] = field(factory=dict)

    def at(self, address: Address) -> ClientDoor:
        """The client's connection to an address."""
        if address not in self._open:
            self._open[address] = open_door(address, self.timeout_s, self.access)
        return self._open[address]

    def push(self, at: Address, labels: Sequence[str], key: str = "") -> list[Answer]:
        """Push the bodies of some labels."""
        asked = {"key": key} if key else {}
        numbers = [self.recorder.invoke(self.name, "push", str(at), body=label, **asked) for label in labels]
        answers = self.at(at).push([body_of(label) for label in labels], key)
        return self._note(numbers, answers)

    def get(self, at: Address, get: Get) -> Answer:
        """Get messages; their bodies become labels."""
        asked = {"lease_s": get.lease_s, "ack_now": get.ack_now, "count_max": get.count_max}
        number = self.recorder.invoke(self.name, "get", str(at), **asked)
        answer = self.at(at).get(get)
        named = [{**asdict(each), "body": label_of(each.body)} for each in answer.deliveries]
        self.recorder.outcome(number, answer.result, answer.code, **({"deliveries": named} if named else {}))
        return answer

    def remove(self, at: Address, deliveries: Sequence[Delivery]) -> list[Answer]:
        """Acknowledge some deliveries."""
        numbers = [self.recorder.invoke(self.name, "ack", str(at), id=each.id) for each in deliveries]
        return self._note(numbers, self.at(at).remove([each.receipt for each in deliveries]))

    def nack(self, at: Address, delivery: Delivery, delay_s: float) -> Answer:
        """Give one back."""
        number = self.recorder.invoke(self.name, "nack", str(at), id=delivery.receipt)
        return self._note([number], [self.at(at).nack(delivery.receipt, delay_s)])[0]

    def touch(self, at: Address, delivery: Delivery, lease_s: float) -> Answer:
        """Start its lease anew."""
        number = self.recorder.invoke(self.name, "touch", str(at), id=delivery.receipt, lease_s=lease_s)
        return self._note([number], [self.at(at).touch(delivery.receipt, lease_s)])[0]

    def _note(self, numbers: list[int], answers: list[Answer]) -> list[Answer]:
        for number, answer in zip(numbers, answers, strict=True):
            named = {"id": answer.id} if answer.id else {}
            self.recorder.outcome(number, answer.result, answer.code, **named)
        return answers

    def close(self) -> None:
        """Hang up everywhere."""
        for door in self._open.values():
            door.close()


class Client(threading.Thread):
    """One client, which makes one request at a time until it is told to stop.

    Args:
        name: its name in the history; no two runs against one queue share it.
        addresses: where it may ask; the list may change while it runs.
        recorder: writes the history.
        habits: how it behaves.
        seed: what its choices are drawn from.
        stop: set when it is to stop.
        access: what the listeners ask of it.
    """

    def __init__(
        self,
        name: str,
        addresses: list[Address],
        recorder: Recorder,
        habits: Habits,
        seed: str,
        stop: threading.Event,
        access: Access,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._addresses = addresses
        self._habits = habits
        self._random = random.Random(seed)  # noqa: S311  (no secret)
        self._stopping = stop
        self._doors = Doors(name, recorder, habits.timeout_s, access)
        self._count = 0
        self._failures = 0  # in a row

    @override
    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                answer = self._push() if self._random.random() < self._habits.pushes else self._work()
                self._stopping.wait(self._random.random() * self._pause_s(answer))
        finally:
            self._doors.close()

    def _pause_s(self, answer: Answer) -> float:
        """Return the longest pause after this answer; it doubles with each failure in a row."""
        self._failures = self._failures + 1 if answer.code else 0
        if not answer.code:
            return self._habits.think_s
        return min(pause_after_failure_s * 2.0 ** min(self._failures - 1, 10), pause_s_max)

    def _any(self) -> Address:
        return self._random.choice(list(self._addresses))

    def _label(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}-{self._random.randint(0, self._habits.body_bytes_max)}"

    def _push(self) -> Answer:
        if self._random.random() < self._habits.keyed:
            return self._push_keyed()
        labels = [self._label() for _ in range(self._random.choice((1, 1, 2, 5)))]
        return self._doors.push(self._any(), labels)[-1]

    def _push_keyed(self) -> Answer:
        """Push until the outcome is known; now and then once more, as a client would that lost the answer."""
        label = self._label()
        answer = Answer(code="lost")
        for _ in range(1 + self._habits.retries):
            answer = self._doors.push(self._any(), [label], f"key {label}")[0]
            if not answer.code and self._random.random() < 0.8:
                break
            if answer.code:
                self._stopping.wait(self._random.random() * 4 * pause_after_failure_s)
        return answer

    def _work(self) -> Answer:
        """Get messages, and do with each what a worker may do."""
        lease_s = round(self._random.uniform(*self._habits.lease_s), 3)
        wait_s = round(self._random.choice((0.0, 1.0)) * self._random.random() * self._habits.wait_s, 3)
        ack_now = self._random.random() < self._habits.ack_now
        get = Get(self._random.choice((1, 1, 3, 10)), wait_s, lease_s, ack_now)
        answer = self._doors.get(self._any(), get)
        if answer.deliveries and not ack_now:
            careful = [each for each in answer.deliveries if self._random.random() >= self._habits.careless]
            if careful:
                self._doors.remove(self._any(), careful)
            for delivery in answer.deliveries:
                if delivery not in careful:
                    self._be_careless(delivery)
        return answer

    def _be_careless(self, delivery: Delivery) -> None:
        match self._random.randrange(4):
            case 0:
                self._doors.nack(self._any(), delivery, self._random.choice((0, 0.2)))
            case 1:
                self._doors.touch(self._any(), delivery, 1.0)
                self._doors.remove(self._any(), [delivery])
            case 2:
                self._stopping.wait(min(delivery.lease_s, 1.0))
                self._doors.remove(self._any(), [delivery])
            case _:
                pass  # died at work


def drain(
    addresses: Sequence[Address],
    recorder: Recorder,
    left: Callable[[], int | None],
    seconds: float,
    access: Access,
) -> None:
    """Get and acknowledge everything, through every address in turn, until nothing is left.

    Args:
        addresses: where to ask.
        recorder: writes the history.
        left: how many messages are left; None when a node does not report it.
        seconds: to give up after.
        access: what the listeners ask of a client.
    """
    doors = Doors("drain", recorder, Habits().timeout_s, access)
    deadline = time.monotonic() + seconds
    found = 1
    while (found or left() != 0) and time.monotonic() < deadline:
        found = sum(_drain_one(doors, address) for address in addresses)
        if not found:
            time.sleep(pause_after_failure_s)
    doors.close()


def _drain_one(doors: Doors, address: Address) -> int:
    got = doors.get(address, Get(drain_batch, 0.2, 30.0)).deliveries
    if got:
        doors.remove(address, got)
    return len(got)
