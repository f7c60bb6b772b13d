"""One run: load on a cluster, a watch on its nodes, a drain at the end, all of it in a history."""

import threading
import time
from collections.abc import Callable
from typing import Final

from attrs import Factory, define, field
from typing_extensions import override

from dqtw.check.asking import Address
from dqtw.check.doors import open_door
from dqtw.check.history import Recorder, Sight
from dqtw.check.load import Client, Habits, drain

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
        self._door = open_door(address, look_timeout_s)
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
        nodes: where each node itself is asked how it is: the same, unless clients come through a proxy.
        recorder: writes the history.
        name: what the clients' names begin with, unlike any other run against this queue.
    """

    addresses: list[Address]
    recorder: Recorder
    name: str
    nodes: list[Address] = field(default=Factory(lambda self: self.addresses, takes_self=True))
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
        for address in self.nodes:
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
        """A node is elsewhere from now on, and clients that ask nodes themselves ask there."""
        for address in new:
            if address not in self.nodes:
                self.watch(address)
        self.nodes[:] = [each for each in self.nodes if each not in old or each in new]
        self.nodes.extend(each for each in new if each not in self.nodes)

    def finish(self) -> None:
        """Let the clients go, wait until every node serves, drain, and end the history."""
        self._let_go()
        serving_after_s = wait_until(self._all_serve, serving_s_max)
        drain(self.addresses, self.recorder, self.left, drain_s_max)
        self._stop_watching.wait(2 * look_every_s)  # one more look at each
        self._look_away()
        self.recorder.end(serving_after_s, self.left())

    def stop(self) -> None:
        """Give up: the history stays without an end."""
        self._let_go()
        self._look_away()

    def _let_go(self) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()

    def _look_away(self) -> None:
        self._stop_watching.set()
        for watch in self._watches:
            watch.join()

    def _stats(self) -> list[dict[str, object]]:
        """What every node says of itself that answers."""
        doors = [open_door(address, look_timeout_s) for address in self.nodes]
        found = [door.stats() for door in doors]
        for door in doors:
            door.close()
        return [stats for stats in found if stats is not None]

    def _all_serve(self) -> bool:
        stats = self._stats()
        return len(stats) == len(self.nodes) and all(each["state"] == "serving" for each in stats)

    def left(self) -> int | None:
        """How many messages are left on all nodes; None when one of them does not answer."""
        stats = self._stats()
        if len(stats) < len(self.nodes):
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
