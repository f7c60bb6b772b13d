"""What each process holds, looked at after each of its turns: only the changes cost anything."""

from collections.abc import Iterator

from attrs import define

from dqtw.core.model.copy import Copy
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import Message, MessageId
from tests.simulation.process import Process
from tests.simulation.trace import short
from tests.simulation.violation import require


@define(eq=False)
class Snapshot:
    """One copy, as it was after its process's latest turn."""

    live: dict[MessageId, Message]
    seen: IdSet
    size: tuple[int, int] = (0, 0)


@define(eq=False)
class Change:
    """What one turn did to one copy.

    Attributes:
        held: messages that are live now and were not before.
        removed: ids that are known as removed now and were not before.
        unseen: ids that are not known at all now, and were known as removed before.
    """

    queue: str
    held: dict[MessageId, Message]
    removed: list[MessageId]
    unseen: list[MessageId]


def copies_of(process: Process) -> Iterator[tuple[str, Copy]]:
    """Every copy that a process has, its own queue's first."""
    yield process.id, process.node.owner.copy
    for queue, held in process.node.holder.held.items():
        yield queue, held.copy


class CopyWatch:
    """The latest snapshots of all copies."""

    def __init__(self) -> None:
        self._snapshots: dict[tuple[Process, str], Snapshot] = {}

    def changes(self, process: Process) -> Iterator[Change]:
        """What this process's latest turn changed.

        Raises:
            Violation: a copy contradicts itself, or has forgotten something.
        """
        for queue, copy in copies_of(process):
            before = self._snapshots.get((process, queue))
            if before is None:
                before = self._snapshots[process, queue] = Snapshot({}, IdSet(queue))
            size = (len(copy.live), len(copy.seen))
            if size != before.size:
                before.size = size
                yield self._compare(process, queue, copy, before)

    def is_live(self, process: Process, id: MessageId) -> bool:
        """Whether the process holds the message."""
        copy = copy_of(process, id.node)
        return copy is not None and id in copy.live

    def forget(self, process: Process) -> None:
        """A process is dead."""
        for key in [key for key in self._snapshots if key[0] is process]:
            del self._snapshots[key]

    def check_whole(self, process: Process) -> None:
        """Look at all of a process's copies, not only at what changed.

        Raises:
            Violation: a copy contradicts itself, or changed in a way that the sizes did not show.
        """
        for queue, copy in copies_of(process):
            where = f"{process}'s copy of {queue}"
            require(set(copy.live_ids) == copy.live.keys(), f"{where} lists other ids than it holds")
            require(not copy.live_ids - copy.seen, f"{where} holds what it has not seen")
            total = sum(len(message.body) for message in copy.live.values())
            require(total == copy.body_bytes, f"{where} counts {copy.body_bytes} bytes, there are {total}")
            before = self._snapshots.get((process, queue))
            if before is not None:
                require(before.live == copy.live, f"{where} has changed without a change of size")

    def _compare(self, process: Process, queue: str, copy: Copy, before: Snapshot) -> Change:
        held = {id: message for id, message in copy.live.items() if id not in before.live}
        unseen = [id for id in held if id not in copy.seen]
        require(not unseen, f"{process} holds {unseen[:1]} of {queue} without having seen it")
        forgotten = [id for id in before.live if id not in copy.seen]
        require(not forgotten, f"{process} has forgotten {[short(id) for id in forgotten[:3]]}, which it held")
        undead = [id for id in held if id in before.seen]
        require(not undead, f"{process} holds {[short(id) for id in undead[:3]]} again, which it knew as removed")
        unseen_now = before.seen - copy.seen
        removed = [id for id in before.live if id not in copy.live]
        removed += [id for id in copy.seen - before.seen if id not in copy.live and id not in before.live]
        before.live, before.seen = dict(copy.live), copy.seen.copy()
        return Change(queue, held, removed, list(unseen_now))


def copy_of(process: Process, queue: str) -> Copy | None:
    """A process's copy of one queue."""
    if queue == process.id:
        return process.node.owner.copy
    held = process.node.holder.held.get(queue)
    return None if held is None else held.copy


def knows_removed(process: Process, id: MessageId) -> bool:
    """Whether the process knows the id as removed."""
    copy = copy_of(process, id.node)
    return copy is not None and copy.knows_removed(id)
