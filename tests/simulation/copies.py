"""What each process holds, looked at after each of its turns: only the changes cost anything."""

from collections.abc import Iterator

from attrs import define

from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.message import Message, MessageId
from dqtw.core.model.replica import Replica
from tests.simulation.process import Process
from tests.simulation.trace import short_dot, tell_dots
from tests.simulation.violation import require


@define(eq=False)
class Snapshot:
    """One replica, as it was after its process's latest turn.

    Attributes:
        version: greater after each change.
    """

    live: dict[Dot, Message]
    seen: DotSet
    size: tuple[int, int, int] = (0, 0, 0)
    version: int = 0


@define(eq=False)
class Change:
    """What one turn did to one replica.

    Attributes:
        held: messages that are live now and were not before.
        removed: messages that are known as removed now and were not before.
    """

    owner: str
    held: dict[MessageId, Message]
    removed: list[MessageId]


def replicas_of(process: Process) -> Iterator[tuple[str, Replica]]:
    """Return every replica that a process has, by the owner."""
    return ((owner, holding.replica) for owner, holding in process.node.holder.holdings.items())


class CopyWatch:
    """The latest snapshots of all replicas."""

    def __init__(self) -> None:
        self._snapshots: dict[tuple[Process, str], Snapshot] = {}

    def changes(self, process: Process) -> Iterator[Change]:
        """Return what this process's latest turn changed.

        Raises:
            Violation: a replica contradicts itself, or has forgotten something.
        """
        for owner, replica in replicas_of(process):
            before = self._snapshots.get((process, owner))
            if before is None:
                before = self._snapshots[process, owner] = Snapshot({}, DotSet())
            size = (replica.count, len(replica.seen), replica.body_bytes)
            if size != before.size:
                before.size = size
                before.version += 1
                yield self._compare(process, owner, replica, before)

    def version(self, process: Process, owner: str) -> int:
        """Return a number that is greater after each change of a replica."""
        before = self._snapshots.get((process, owner))
        return 0 if before is None else before.version

    def is_live(self, process: Process, id: MessageId) -> bool:
        """Return True if the process holds the message."""
        return id[1:] in process.node.holder.holdings[id.node].replica

    def forget(self, process: Process) -> None:
        """Forget a process that has died."""
        for key in [key for key in self._snapshots if key[0] is process]:
            del self._snapshots[key]

    def check_whole(self, process: Process) -> None:
        """Look at all of a process's replicas, not only at what changed.

        Raises:
            Violation: a replica contradicts itself, or changed in a way that the sizes did not show.
        """
        for owner, replica in replicas_of(process):
            where = f"{process}'s replica of {owner}"
            live = dict(replica.messages())
            require(set(replica.live_dots) == live.keys(), f"{where} lists other messages than it holds")
            require(not replica.live_dots - replica.seen, f"{where} holds what it has not seen")
            require(replica.count == len(live), f"{where} counts {replica.count} messages, there are {len(live)}")
            total = sum(len(message.body) for message in live.values())
            require(total == replica.body_bytes, f"{where} counts {replica.body_bytes} bytes, there are {total}")
            before = self._snapshots.get((process, owner))
            if before is not None:
                require(before.live.keys() == live.keys(), f"{where} has changed without a change of size")

    def _compare(self, process: Process, owner: str, replica: Replica, before: Snapshot) -> Change:
        live, where = dict(replica.messages()), f"{process}'s replica of {owner}"
        held = {dot: message for dot, message in live.items() if dot not in before.live}
        unseen = [short_dot(dot) for dot in held if dot not in replica.seen]
        require(not unseen, f"{where} holds {unseen[:1]} without having seen it")
        forgotten = before.seen - replica.seen
        require(not forgotten, f"{where} has forgotten {tell_dots(forgotten)}")
        undead = [short_dot(dot) for dot in held if dot in before.seen]
        require(not undead, f"{where} holds {undead[:3]} again, which it knew as removed")
        removed = [dot for dot in before.live if dot not in live]
        removed += [dot for dot in replica.seen - before.seen if dot not in live]
        before.live, before.seen = live, replica.seen.copy()
        return Change(
            owner,
            {MessageId(owner, *dot): message for dot, message in held.items()},
            [MessageId(owner, *dot) for dot in removed],
        )


def knows_removed(process: Process, id: MessageId) -> bool:
    """Return True if the process knows the message as removed."""
    replica = process.node.holder.holdings[id.node].replica
    return id[1:] in replica.seen and id[1:] not in replica
