"""The bound: nothing is accepted when there is no room, and no push is refused as long as there is."""

from dqtw.core.model.commands import Push
from tests.simulation.ledger import Fate
from tests.simulation.moments import needed
from tests.simulation.process import Process
from tests.simulation.scenario import Scenario
from tests.simulation.violation import require


class Room:
    """Looks at what every owner's queue has room for, turn by turn."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._before: dict[Process, tuple[int, ...]] = {}
        self._grew_by = 0
        self._is_still = True

    def turn(self, process: Process) -> None:
        """Note what a process has after its turn."""
        replica, slots = process.node.replicator.holding.replica, process.node.owner.admission.slots
        now = (len(needed(process)), replica.count, len(replica.seen), len(slots))
        before = self._before.get(process, (0, 0, 0, 0))
        self._before[process] = now
        self._grew_by, self._is_still = now[0] - before[0], now == before

    def check_admitted(self, process: Process, fate: Fate) -> None:
        """See that a push was only accepted when there was room, counting what is on its way back from peers.

        Raises:
            Violation: there was none.
        """
        if self._grew_by > 0:  # perhaps after it was accepted
            return
        due, replica = len(needed(process)), process.node.replicator.holding.replica
        count = replica.count + due
        require(count <= self._scenario.size, f"{process} accepted {fate}, and has {count} messages, {due} of them due")
        total = replica.body_bytes
        require(total <= self._scenario.max_bytes, f"{process} accepted {fate}, and has {total} bytes")

    def check_refused(self, process: Process, push: Push) -> None:
        """See that a queue that is said to be full is; of one that has changed in the same turn that is not known.

        Raises:
            Violation: there was room.
        """
        if not self._is_still or push.wait_s > 0:
            return
        replica, slots = process.node.replicator.holding.replica, process.node.owner.admission.slots
        count = replica.count + len(needed(process))
        is_full = count >= self._scenario.size or bool(slots)
        is_full = is_full or replica.body_bytes + len(push.body) > self._scenario.max_bytes
        require(is_full, f"{process} says that it is full, and has {count} messages")
