"""What happens to a cluster while clients use it: one fault after the other, each one over before the next begins.

So no two nodes lose their memory at once: a node that was replaced is ready before the next one is touched.
"""

import random
import signal
import time
from collections.abc import Callable

from attrs import define, field

from dqtw.check.run import Run
from tests.cluster.cluster import Cluster, wait_for

silent_s = 3.5  # after which a node counts as unreachable, and its id as free


@define
class Nemesis:
    """Does things to a cluster under load, and notes them in the history.

    Attributes:
        cluster: the cluster.
        run: the load.
        random: what its choices are drawn from.
    """

    cluster: Cluster
    run: Run
    random: random.Random
    _count: int = field(default=0)

    def step(self) -> str:
        """Do one thing, drawn by lot, and wait until that is over; its name."""
        faults: list[Callable[[], None]] = [
            self.replace,
            self.replace_elsewhere,
            self.restart,
            self.freeze,
            self.zombie,
            self.roll,
        ]
        if self.cluster.relays is not None:
            faults += [self.partition, self.one_way, self.slow]
        fault = self.random.choice(faults)
        fault()
        return fault.__name__

    def _any(self) -> str:
        return self.random.choice(list(self.cluster.ids))

    def _note(self, what: str) -> None:
        self._count += 1
        self.run.recorder.fault(what)

    def _recover(self) -> None:
        self.cluster.wait_whole()

    def replace(self) -> None:
        """SIGKILL, and a new process at the same address."""
        id = self._any()
        self._note(f"kill {id}")
        self.cluster.kill(id)
        time.sleep(self.random.uniform(0, 2))
        self.cluster.launch(id)
        self._recover()

    def replace_elsewhere(self) -> None:
        """SIGKILL, and a new process at another address."""
        id = self._any()
        self._note(f"kill {id}, and start it elsewhere")
        self.cluster.kill(id)
        old = self.cluster.places[id].addresses
        new = self.cluster.move(id).addresses
        self.cluster.launch(id)
        self.run.move(old, new)
        self._recover()

    def restart(self) -> None:
        """SIGTERM, and a new process."""
        id = self._any()
        self._note(f"restart {id}")
        self._restart(id)
        self._recover()

    def _restart(self, id: str) -> None:
        node = self.cluster.running.pop(id)
        node.send_signal(signal.SIGTERM)
        status = node.process.wait(70)
        assert status == 0, f"{id} left with {status}:\n{node.log}"
        self.cluster.launch(id)

    def roll(self) -> None:
        """SIGTERM to one node after the other, the next one when the last one is ready."""
        for id in self.cluster.ids:
            self._note(f"roll {id}")
            self._restart(id)
            self.cluster.wait_ready(id)
        self._recover()

    def freeze(self) -> None:
        """SIGSTOP, and SIGCONT some seconds later, with nobody in its place."""
        id, seconds = self._any(), self.random.uniform(0.5, 7)
        self._note(f"freeze {id} for {seconds:.1f} s")
        self.cluster.pause(id)
        time.sleep(seconds)
        self.cluster.go_on(id)
        self._recover()

    def zombie(self) -> None:
        """SIGSTOP, a new process elsewhere, and SIGCONT: the old one must hand over and leave."""
        id = self._any()
        self._note(f"freeze {id}, start another elsewhere")
        self.cluster.pause(id)
        old = self.cluster.places[id].addresses
        first = self.cluster.stand_by(id)
        self.cluster.wait_ready(id)
        self.run.move([], self.cluster.places[id].addresses)
        time.sleep(self.random.uniform(0, 2))
        self._note(f"let the old {id} go on")
        first.send_signal(signal.SIGCONT)
        status = first.process.wait(60)
        assert status == 3, f"the old {id} left with {status}:\n{first.log}"
        self.run.move(old, self.cluster.places[id].addresses)
        self._recover()

    def partition(self) -> None:
        """One node, or half of them, cut off from the others' peer links; clients reach all."""
        ids = self.random.sample(list(self.cluster.ids), len(self.cluster.ids))
        at = self.random.randint(1, len(ids) - 1)
        self._cut(ids[:at], ids[at:], both=True)

    def one_way(self) -> None:
        """What one node sends does not arrive."""
        id = self._any()
        self._cut([id], [each for each in self.cluster.ids if each != id], both=False)

    def _cut(self, some: list[str], others: list[str], *, both: bool) -> None:
        assert self.cluster.relays is not None
        seconds = self.random.uniform(0.5, 9)
        self._note(f"cut {'off ' if both else ''}{' '.join(some)} from {' '.join(others)} for {seconds:.1f} s")
        (self.cluster.relays.part if both else self.cluster.relays.cut)(some, others)
        time.sleep(seconds)
        self.cluster.relays.heal()
        self._note("heal")
        self._recover()

    def slow(self) -> None:
        """One link takes its time for a while."""
        assert self.cluster.relays is not None
        one, other = self.random.sample(list(self.cluster.ids), 2)
        seconds = self.random.choice((0.05, 0.3, 1.0))
        self._note(f"what {one} sends to {other} takes {seconds} s")
        self.cluster.relays.delay(one, other, seconds)
        time.sleep(self.random.uniform(1, 4))
        self.cluster.relays.heal()
        self._recover()


def wait_for_load(run: Run, cluster: Cluster) -> None:
    """Wait until the clients have pushed something."""
    wait_for(lambda: sum(cluster.stats(id)["pushed"] for id in cluster.ids) > 50, "the clients push nothing")
