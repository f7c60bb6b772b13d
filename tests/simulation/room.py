"""The bound: nothing is taken in when there is no room, and nobody is told that there is none when there is."""

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
        """A process has had its turn."""
        owner = process.node.owner
        now = (len(needed(process)), len(owner.copy.live), len(owner.copy.seen), len(owner.intake.slots))
        before = self._before.get(process, (0, 0, 0, 0))
        self._before[process] = now
        self._grew_by, self._is_still = now[0] - before[0], now == before

    def check_admitted(self, process: Process, fate: Fate) -> None:
        """A push is only taken in when there is room, counting what is on its way back from peers.

        Raises:
            Violation: there was none.
        """
        if self._grew_by > 0:  # perhaps after it was taken in
            return
        due, copy = len(needed(process)), process.node.owner.copy
        count = len(copy.live) + due
        require(count <= self._scenario.size, f"{process} took {fate} in, and has {count} messages, {due} of them due")
        require(
            copy.body_bytes <= self._scenario.max_bytes, f"{process} took {fate} in, and has {copy.body_bytes} bytes"
        )

    def check_refused(self, process: Process, push: Push) -> None:
        """A queue that is said to be full is; of one that has changed in the same turn, nobody can tell.

        Raises:
            Violation: there was room.
        """
        owner = process.node.owner
        if not self._is_still or push.wait_s > 0:
            return
        count = len(owner.copy.live) + len(needed(process))
        is_full = count >= self._scenario.size or bool(owner.intake.slots)
        is_full = is_full or owner.copy.body_bytes + len(push.body) > self._scenario.max_bytes
        require(is_full, f"{process} says that it is full, and has {count} messages")
