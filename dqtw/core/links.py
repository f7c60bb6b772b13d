"""What each peer is known to hold of this node's own queue."""

from collections.abc import Collection

from dqtw.core.errors import Unreplicated
from dqtw.core.message import MessageId


class Links:
    """The links to all peers; with no peers there is nobody to wait for."""

    def __init__(self, copies: int) -> None:
        self._copies = copies

    def in_session(self) -> Collection[str]:
        """The peers in session now."""
        return ()

    @property
    def needed(self) -> int:
        """How many messages of this queue are known to be held by a peer only, and are on their way here."""
        return 0

    def check_enough(self) -> None:
        """See whether a push could get its copies.

        Raises:
            Unreplicated: too few peers are in session.
        """
        have = 1 + len(self.in_session())
        if have < self._copies:
            raise Unreplicated(f"a push needs {self._copies} copies, {have} can be had now")

    def put(self, id: MessageId) -> None:
        """The queue has a new message, of which the peers do not know."""

    def gone(self, id: MessageId) -> None:
        """A message left the queue, and the peers do not know."""
