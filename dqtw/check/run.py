"""One run: load on a cluster, a watch on its nodes, a drain at the end, all of it in a history."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from typing import Any, Final

from attrs import Factory, define, field
from typing_extensions import override

from dqtw.check.asking import Access, Address, NoStats
from dqtw.check.doors import no_access, open_door
from dqtw.check.history import Recorder, Sight
from dqtw.check.load import Client, Habits, drain

look_every_s: Final = 0.2
look_timeout_s: Final = 2.0
serving_s_max: Final = 60.0
drain_s_max: Final = 120.0
drain_unserved_s_max: Final = 10.0  # where a node is missing, the drain can't reach everything


class CannotStart(Exception):
    """A run would say nothing, or would do harm; the text says why."""


class Watch(threading.Thread):
    """Asks one address again and again what the node behind it says of itself."""

    def __init__(self, address: Address, recorder: Recorder, stop: threading.Event, access: Access) -> None:
        super().__init__(name=f"watch {address}", daemon=True)
        self._door = open_door(address, look_timeout_s, access)
        self._recorder = recorder
        self._stopping = stop

    @override
    def run(self) -> None:
        while not self._stopping.wait(look_every_s):
            begun = self._recorder.now()
            with suppress(NoStats):
                self._recorder.sight(Sight.read(begun, self._recorder.now(), self._door.stats()))
        self._door.close()


@define
class Run:
    """What is under way.

    Attributes:
        addresses: where clients ask; change it with `move` while a run is under way.
        nodes: where each node itself is asked how it is: the same, unless clients come through a proxy.
        recorder: writes the history.
        name: what the clients' names begin with, unlike any other run against this queue.
        access: what the listeners ask of a client.
    """

    addresses: list[Address]
    recorder: Recorder
    name: str
    nodes: list[Address] = field(default=Factory(lambda self: self.addresses, takes_self=True))
    access: Access = no_access
    _stop: threading.Event = field(factory=threading.Event)
    _stop_watching: threading.Event = field(factory=threading.Event)
    _clients: list[Client] = field(factory=list)
    _watches: list[Watch] = field(factory=list)

    def start(self, clients: int, habits: Habits, seed: str) -> None:
        """Let the clients come.

        Raises:
            CannotStart: an address does not lead to a node, or there are messages on the queue.
        """
        stats, failures = self._looks({*self.addresses, *self.nodes})
        if failures:
            raise CannotStart("; ".join(f"{address}: {why}" for address, why in sorted(failures.items(), key=str)))
        if any(each["queueSize"] for each in stats):
            raise CannotStart("there are messages on the queue, which this would take off: use one that is empty")
        for address in self.nodes:
            self.watch(address)
        for number in range(clients):
            name = f"{self.name}.{number}"
            client = Client(name, self.addresses, self.recorder, habits, f"{seed} {number}", self._stop, self.access)
            self._clients.append(client)
            client.start()

    def watch(self, address: Address) -> None:
        """Note from now on what the node at this address says of itself."""
        watch = Watch(address, self.recorder, self._stop_watching, self.access)
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
        seconds = drain_unserved_s_max if serving_after_s is None else drain_s_max
        drain(self.addresses, self.recorder, self.left, seconds, self.access)
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

    def _looks(self, addresses: Iterable[Address]) -> tuple[list[dict[str, Any]], dict[Address, str]]:
        """Return the stats of the nodes behind these addresses, and why the others reported none."""
        found, failures = list[dict[str, Any]](), dict[Address, str]()
        for address in addresses:
            with closing(open_door(address, look_timeout_s, self.access)) as door:
                try:
                    found.append(door.stats())
                except NoStats as error:
                    failures[address] = f"{error}"
        return found, failures

    def _all_serve(self) -> bool:
        stats, failures = self._looks(self.nodes)
        return not failures and all(each["state"] == "serving" for each in stats)

    def left(self) -> int | None:
        """Return how many messages are left on all nodes; None when one of them does not answer."""
        stats, failures = self._looks(self.nodes)
        return None if failures else sum({each["node"]: int(each["queueSize"]) for each in stats}.values())


def wait_until(condition: Callable[[], bool], seconds: float) -> float | None:
    """Return how long it took until the condition came true; None if it did not in that time."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            return None
        time.sleep(0.05)
    return time.monotonic() - begun
