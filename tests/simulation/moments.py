"""When an owner is most easily wrong: as it begins to serve, and as it finds that a peer holds more.

Chance seldom brings a client in just then, so the clients are told of them.
"""

from dqtw.core.lifecycle.life import Phase
from dqtw.core.model.message import MessageId
from tests.simulation.process import Process


def needed(process: Process) -> list[MessageId]:
    """The messages of its queue that a process knows to be on their way to it."""
    owner = process.node.owner
    sessions = [opener.session for opener in owner.links if opener.session is not None]
    ids = {id for session in sessions for id in session.need}
    return sorted(id for id in ids if id not in owner.copy.seen)


class Moments:
    """Notices them, turn by turn."""

    def __init__(self) -> None:
        self._before: dict[Process, tuple[bool, bool]] = {}

    def is_one(self, process: Process) -> bool:
        """Whether one has come with this turn of the process."""
        serves = process.node.phase is Phase.SERVING
        now = (serves, serves and bool(needed(process)))
        before, self._before[process] = self._before.get(process, (False, False)), now
        return any(is_so and not was_so for was_so, is_so in zip(before, now, strict=True))
