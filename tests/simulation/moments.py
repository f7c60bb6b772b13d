"""When an owner is most easily wrong: as it begins to serve, and as it finds that a peer holds more.

Chance seldom brings a client in just then, so the clients are sent at these moments.
"""

from dqtw.core.lifecycle.lifecycle import Phase
from dqtw.core.model.dots import DotSet
from tests.simulation.process import Process


def needed(process: Process) -> DotSet:
    """Return the messages of its queue that a process knows to be on their way to it."""
    needs = DotSet()
    for progress in process.node.replicator.progress.values():
        needs |= progress.need
    return needs - process.node.replicator.holding.replica.seen


class Moments:
    """Notices them, turn by turn."""

    def __init__(self) -> None:
        self._before: dict[Process, tuple[bool, bool]] = {}

    def is_one(self, process: Process) -> bool:
        """Return True if one has come with this turn of the process."""
        serves = process.node.life.phase is Phase.SERVING
        now = (serves, serves and bool(needed(process)))
        before, self._before[process] = self._before.get(process, (False, False)), now
        return any(is_so and not was_so for was_so, is_so in zip(before, now, strict=True))
