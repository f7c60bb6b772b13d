"""What a process must wait for before it acts as the owner: after a pause, and for a push with a key.

A process that was paused may have been replaced. Until its peers have answered it again it delivers nothing, removes
nothing, and takes no push with a key.
"""

from attrs import frozen

from dqtw.core.links.cluster import Cluster
from dqtw.core.model.commands import Ack, Command, Complete, Get, Push
from dqtw.core.model.errors import Busy
from dqtw.core.queue.waiting import Waiter, WaitingLine
from dqtw.core.replication.replicator import Replicator

patience_s = 10.0


@frozen
class Released:
    """Requests that waited: those that may go on, and those whose time is up."""

    ready: list[Waiter[Command]]
    late: list[Waiter[Command]]


class Ownership:
    """Whether this process may act as the owner, and the requests that wait for that.

    Attributes:
        unconfirmed: the members that have not answered since the last pause.
    """

    def __init__(self, waiting_max: int, start_wait_s: float) -> None:
        self.unconfirmed: set[str] = set()
        self._pushes: WaitingLine[Command] = WaitingLine()
        self._others: WaitingLine[Command] = WaitingLine()
        self._waiting_max = waiting_max
        self._start_wait_s = start_wait_s
        self._resumed_at = 0.0

    def resumed(self, now: float, cluster: Cluster) -> None:
        """Wait for all members again: the process was paused."""
        self.unconfirmed = {member.id for member in cluster.members.values()}
        self._resumed_at = now

    def look(self, now: float, cluster: Cluster, replicator: Replicator) -> None:
        """Note which members have answered, or cannot."""
        for node in list(self.unconfirmed):
            member, session = cluster.members[node], replicator.progress.get(node)
            is_over = now >= self._resumed_at + self._start_wait_s
            if (
                (session is not None and session.is_opened)
                or member.is_refused(now)
                or member.is_unreachable(now)
                or (is_over and (session is None or now - session.link.bulk_at >= patience_s))
            ):
                self.unconfirmed.discard(node)

    def must_wait(self, command: Command, cluster: Cluster, replicator: Replicator) -> bool:
        """Return True if a command must not be carried out yet."""
        if isinstance(command, Push):
            return command.key is not None and not self.takes_keys(cluster, replicator)
        return bool(self.unconfirmed) and isinstance(command, Get | Ack | Complete)

    def takes_keys(self, cluster: Cluster, replicator: Replicator) -> bool:
        """Return True if no present member can have a message with a key that is not known here."""
        if self.unconfirmed:
            return False
        for member in cluster.members.values():
            session = replicator.progress.get(member.id)
            if member.is_present and (session is None or not session.is_recovered):
                return False
        return True

    def park(self, now: float, ticket: int, command: Command) -> None:
        """Let a command wait.

        Raises:
            Busy: too many wait already.
        """
        if len(self) >= self._waiting_max:
            raise Busy(f"{self._waiting_max} requests wait already")
        line = self._pushes if isinstance(command, Push) else self._others
        line.join(Waiter(ticket, command, now + patience_s))

    def release(self, now: float, cluster: Cluster, replicator: Replicator) -> Released:
        """Return the requests that need not wait any more."""
        if not len(self):
            return Released([], [])
        late = [*self._pushes.pop_expired(now), *self._others.pop_expired(now)]
        ready = [] if self.unconfirmed else self._others.pop_all()
        if self._pushes and self.takes_keys(cluster, replicator):
            ready += self._pushes.pop_all()
        return Released(ready, late)

    def withdraw(self, ticket: int) -> bool:
        """Forget a request; return False if it does not wait here."""
        return self._pushes.leave(ticket) or self._others.leave(ticket)

    def pop_all(self) -> list[Waiter[Command]]:
        """Return all requests that wait, and forget them."""
        return [*self._pushes.pop_all(), *self._others.pop_all()]

    def __len__(self) -> int:
        return len(self._pushes) + len(self._others)
