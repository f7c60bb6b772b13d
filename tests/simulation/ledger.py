"""What became of every message: known to the world, not to any node."""

from attrs import define, field

from dqtw.core.model.message import Message, MessageId
from tests.simulation.process import Process
from tests.simulation.trace import short
from tests.simulation.violation import require

lost_lately_s = 20.0  # what a holder has confirmed may be on its way for so long, whatever became of the holder


@define(eq=False)
class Fate:
    """One message id, from its admission on.

    Attributes:
        admitted_by: the process that gave the id.
        holders: the processes that hold the message live, and since when.
        lost_by: the processes that lost their memory while they held it, and when.
        answered_by: the processes that have answered a push of it with success.
        answered_at: when that first happened.
        is_uncertain: a push of it was answered with uncertain, by its owner.
        removed_at: when it was removed for a client; None again if no process knows of that any more.
        removers: the processes that did.
        knowers: the processes that know it as removed, and since when.
        acked_at: when a removal was first answered with success.
        confirmers: the processes that knew the removal then.
        namesakes: messages of the same key that its owner knew when it gave the id.
        is_given_up: it is lost, and may be.
        is_astray: a process of its owner has served without it, because its holders could not be reached for long.
    """

    id: MessageId
    message: Message
    admitted_by: Process
    admitted_at: float
    holders: dict[Process, float] = field(factory=dict)
    lost_by: list[tuple[float, Process]] = field(factory=list)
    answered_by: list[Process] = field(factory=list)
    answered_at: float | None = None
    is_uncertain: bool = False
    removed_at: float | None = None
    removers: list[Process] = field(factory=list)
    knowers: dict[Process, float] = field(factory=dict)
    acked_at: float | None = None
    confirmers: list[Process] = field(factory=list)
    namesakes: list[MessageId] = field(factory=list)
    is_given_up: bool = False
    is_astray: bool = False

    def __str__(self) -> str:
        return f"{short(self.id)} {self.message.body[:16]!r}"

    @property
    def is_owed(self) -> bool:
        """Return True if it was answered with success, and was not removed."""
        return self.answered_at is not None and self.removed_at is None and not self.is_given_up

    def nodes(self, since: float) -> set[str]:
        """Return the nodes that hold it, or have held it until they lost their memory since then."""
        return {process.id for process in self.holders} | {process.id for at, process in self.lost_by if at >= since}


@define(eq=False)
class Attempts:
    """All pushes of one body.

    Attributes:
        may_be: pushes that were not refused for sure; when there is none, the body must be nowhere.
        ids: what they were given.
    """

    body: bytes
    may_be: int = 0
    ids: dict[MessageId, None] = field(factory=dict)


class Ledger:
    """All messages of one world."""

    def __init__(self, copies: int) -> None:
        self.fates: dict[MessageId, Fate] = {}
        self.attempts: dict[bytes, Attempts] = {}
        self.lost_lawfully = 0
        self._named: dict[str, list[MessageId]] = {}
        self._copies = copies

    def of_queue(self, queue: str) -> list[Fate]:
        """Return every message of one owner."""
        return [fate for fate in self.fates.values() if fate.id.node == queue]

    def pushed(self, body: bytes) -> Attempts:
        """Return all pushes of one body."""
        return self.attempts.setdefault(body, Attempts(body))

    def meet(self, now: float, id: MessageId, message: Message, process: Process) -> Fate:
        """Note that a process holds, or has delivered, a message.

        Raises:
            Violation: it can't be; it names another body; it was never pushed, or was refused.
        """
        fate = self.fates.get(id)
        if fate is None:
            own = id.node == process.id and id.incarnation == process.node.replicator.incarnation
            require(own, f"{process} has {short(id)}, an id that its owner never gave")
            fate = self.fates[id] = Fate(id, message, process, now)
            self._name(fate)
            require(message.body in self.attempts, f"{process} has {message.body[:20]!r}, which was never pushed")
            self.attempts[message.body].ids[id] = None
        first = fate.message
        same = (message.body, message.content_type, message.key) == (first.body, first.content_type, first.key)
        require(same, f"{short(id)} is {first.body[:20]!r} and, at {process}, {message.body[:20]!r}")
        attempts = self.attempts[message.body]
        require(attempts.may_be, f"{process} has {fate}, of which every push was refused")
        return fate

    def _name(self, fate: Fate) -> None:
        if fate.message.key is not None:
            known = self._named.setdefault(fate.message.key, [])
            fate.namesakes = [id for id in known if _is_known(id, fate.admitted_by)]
            known.append(fate.id)

    def died(self, now: float, process: Process, *, is_own_will: bool) -> None:
        """Note that a process has lost its memory.

        Raises:
            Violation: a message that was answered is lost, though fewer nodes than `--copies` have lost it.
        """
        for fate in self.fates.values():
            if process in fate.holders:
                del fate.holders[process]
                fate.lost_by.append((now, process))
                if not fate.holders and fate.is_owed:
                    self._lose(fate, process, is_own_will=is_own_will)

    def _lose(self, fate: Fate, process: Process, *, is_own_will: bool) -> None:
        losers = sorted({loser.id for _, loser in fate.lost_by})
        is_lawful = is_own_will or len(losers) >= self._copies
        require(is_lawful, f"{fate} was answered and is lost: with {process} went its last copy, {losers} held it")
        self.lost_lawfully += 1
        fate.is_given_up = True

    def is_lost_lawfully(self, fate: Fate) -> bool:
        """Return True if as many nodes have lost their memory of it as there were copies asked for."""
        return len({loser.id for _, loser in fate.lost_by}) >= self._copies


def _is_known(id: MessageId, owner: Process) -> bool:
    """Return True if an owner knows of a message, here or at a peer in session."""
    replicator = owner.node.replicator
    needed = any(id[1:] in each.need for each in replicator.progress.values())
    return id.node == owner.id and (id[1:] in replicator.holding.replica.seen or needed)
