"""One run: load on a cluster, a watch on its nodes, a drain at the end, all of it in a history."""

import threading
import time
from collections.abc import Callable
from typing import Final

from attrs import define, field
from typing_extensions import override

from dqtw.check.doors import Address
from dqtw.check.history import Recorder, Sight
from dqtw.check.load import Client, Habits, drain, quiet_habits

look_every_s: Final = 0.2
look_timeout_s: Final = 2.0
serving_s_max: Final = 60.0
drain_s_max: Final = 120.0


class NotEmpty(Exception):
    """The queue is in use: what is on it would be taken off."""


class Watch(threading.Thread):
    """Asks one address again and again what the node behind it says of itself."""

    def __init__(self, address: Address, recorder: Recorder, stop: threading.Event) -> None:
        super().__init__(name=f"watch {address}", daemon=True)
        self._door = address.open(look_timeout_s)
        self._recorder = recorder
        self._stopping = stop

    @override
    def run(self) -> None:
        while not self._stopping.wait(look_every_s):
            begun = self._recorder.now()
            stats = self._door.stats()
            if stats is not None:
                self._recorder.sight(Sight.read(begun, self._recorder.now(), stats))
        self._door.close()


@define
class Run:
    """What is under way.

    Attributes:
        addresses: where clients ask; change it with `move` while a run is under way.
        recorder: writes the history.
        name: what the clients' names begin with, unlike any other run against this queue.
    """

    addresses: list[Address]
    recorder: Recorder
    name: str
    _stop: threading.Event = field(factory=threading.Event)
    _stop_watching: threading.Event = field(factory=threading.Event)
    _clients: list[Client] = field(factory=list)
    _watches: list[Watch] = field(factory=list)

    def start(self, clients: int, habits: Habits, seed: str) -> None:
        """Let the clients come.

        Raises:
            NotEmpty: there are messages on the queue.
        """
        if any(stats["queueSize"] for stats in self._stats()):
            raise NotEmpty("there are messages on the queue, which this would take off: use one that is empty")
        for address in self.addresses:
            self.watch(address)
        for number in range(clients):
            name = f"{self.name}.{number}"
            client = Client(name, self.addresses, self.recorder, habits, f"{seed} {number}", self._stop)
            self._clients.append(client)
            client.start()

    def watch(self, address: Address) -> None:
        """Note from now on what the node at this address says of itself."""
        watch = Watch(address, self.recorder, self._stop_watching)
        self._watches.append(watch)
        watch.start()

    def move(self, old: list[Address], new: list[Address]) -> None:
        """Clients find a node elsewhere from now on."""
        for address in new:
            if address not in self.addresses:
                self.watch(address)
        self.addresses[:] = [each for each in self.addresses if each not in old or each in new]
        self.addresses.extend(each for each in new if each not in self.addresses)

    def finish(self) -> None:
        """Let the clients go, wait until every node serves, drain, and end the history."""
        self._stop.set()
        for client in self._clients:
            client.join()
        serving_after_s = wait_until(self._all_serve, serving_s_max)
        drain(self.addresses, self.recorder, self.left, drain_s_max)
        self._stop_watching.wait(2 * look_every_s)  # one more look at each
        self._stop_watching.set()
        for watch in self._watches:
            watch.join()
        self.recorder.end(serving_after_s, self.left())

    def _stats(self) -> list[dict[str, object]]:
        """What every node says of itself that answers."""
        doors = [address.open(look_timeout_s) for address in self.addresses]
        found = [door.stats() for door in doors]
        for door in doors:
            door.close()
        return [stats for stats in found if stats is not None]

    def _all_serve(self) -> bool:
        stats = self._stats()
        return len(stats) == len(self.addresses) and all(each["state"] == "serving" for each in stats)

    def left(self) -> int | None:
        """How many messages are left on all nodes; None when one of them does not answer."""
        stats = self._stats()
        if len(stats) < len(self.addresses):
            return None
        return sum({str(each["node"]): int(str(each["queueSize"])) for each in stats}.values())


def wait_until(condition: Callable[[], bool], seconds: float) -> float | None:
    """How long it took until the condition came true; None: it did not in that time."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            return None
        time.sleep(0.05)
    return time.monotonic() - begun


def check(
    addresses: list[Address], recorder: Recorder, name: str, *, seconds: float, clients: int, seed: str, quiet: bool
) -> None:
    """Load a cluster for some time, and drain it.

    Raises:
        NotEmpty: there are messages on the queue.
    """
    run = Run(addresses, recorder, name)
    run.start(clients, quiet_habits if quiet else Habits(), seed)
    time.sleep(seconds)
    run.finish()
