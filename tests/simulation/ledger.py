"""What became of every message: known to the world, not to any node."""

from attrs import define, field

from dqtw.core.model.message import Message, MessageId
from tests.simulation.process import Process
from tests.simulation.trace import short
from tests.simulation.violation import Violation, require


@define(eq=False)
class Fate:
    """One message id, from its admission on.

    Attributes:
        admitted_by: the process that gave the id.
        holders: the processes that hold the message live, and since when.
        lost_by: the processes that lost their memory while they held it.
        answered_at: when its push was first answered with success.
        answered_by: the process that gave that answer.
        is_uncertain: the process that took it in has answered its push with uncertain, and went on with it: it may take
            it back, or deliver it once it has its copies.
        withdrawn_by: the process that took the push back, because it had not enough copies in time.
        withdrawn_at: when it did.
        removers: requests that may have removed it, and when they were made.
        removed_at: when it was first removed, on somebody's demand.
        acked_at: when a removal was first answered with success.
        confirmers: the processes that knew the removal then.
        first_delivered_at: when it was first handed out.
        may_be_taken: a get that removes at delivery was under way at its owner when it was removed.
        namesakes: messages of the same key that its owner knew when it gave the id.
        is_given_up: it is lost, and may be; or it is on the queue under another id.
        is_astray: a process of its owner has served without it, because who holds it could not be reached for long.
    """

    id: MessageId
    message: Message
    admitted_by: Process
    admitted_at: float
    holders: dict[Process, float] = field(factory=dict)
    lost_by: list[tuple[float, Process]] = field(factory=list)
    answered_at: float | None = None
    answered_by: Process | None = None
    is_uncertain: bool = False
    withdrawn_by: Process | None = None
    withdrawn_at: float | None = None
    removers: dict[object, float] = field(factory=dict)
    removed_at: float | None = None
    acked_at: float | None = None
    confirmers: list[Process] = field(factory=list)
    first_delivered_at: float | None = None
    may_be_taken: bool = False
    namesakes: list[MessageId] = field(factory=list)
    is_given_up: bool = False
    is_astray: bool = False

    def __str__(self) -> str:
        return f"{short(self.id)} {self.message.body[:16]!r}"

    @property
    def is_owed(self) -> bool:
        """Whether it was answered with success, and nobody has asked to remove it."""
        return self.answered_at is not None and not self.removers

    def was_taken_back(self, by: Process, until: float) -> bool:
        """Whether that process had taken it back by then, and so had forgotten its key."""
        return self.withdrawn_by is by and self.withdrawn_at is not None and self.withdrawn_at <= until

    @property
    def nodes(self) -> set[str]:
        """The nodes that hold it, or have held it until they lost their memory."""
        return {process.id for process in self.holders} | {process.id for _, process in self.lost_by}


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
        """Every message of one owner."""
        return [fate for fate in self.fates.values() if fate.id.node == queue]

    def pushed(self, body: bytes) -> Attempts:
        """All pushes of one body."""
        return self.attempts.setdefault(body, Attempts(body))

    def meet(self, now: float, id: MessageId, message: Message, process: Process) -> Fate:
        """A process holds, or has handed out, a message.

        Raises:
            Violation: it can't be; it names another body; it was never pushed, or was refused.
        """
        fate = self.fates.get(id)
        if fate is None:
            own = id.node == process.id and id.incarnation == process.node.incarnation
            require(own, f"{process} has {short(id)}, an id that its owner never gave")
            fate = self.fates[id] = Fate(id, message, process, now)
            self._name(fate)
            require(message.body in self.attempts, f"{process} has {message.body[:20]!r}, which nobody pushed")
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

    def held(self, now: float, fate: Fate, process: Process) -> None:
        """A process holds this message from now on."""
        fate.holders[process] = now

    def died(self, now: float, process: Process, *, is_own_will: bool) -> None:
        """A process has lost its memory.

        Raises:
            Violation: a message that was answered is lost, though fewer nodes than `--copies` have lost it.
        """
        for fate in self.fates.values():
            if process in fate.holders:
                del fate.holders[process]
                fate.lost_by.append((now, process))
                if fate.answered_at is not None and fate.removed_at is None and not fate.holders:
                    self._lose(fate, process, is_own_will=is_own_will)

    def _lose(self, fate: Fate, process: Process, *, is_own_will: bool) -> None:
        if is_own_will or self.is_lost_lawfully(fate):
            self.lost_lawfully += 1
            fate.is_given_up = True
        elif fate.is_owed:  # else a request to remove it is under way; should that be refused, the end will show it
            losers = sorted({loser.id for _, loser in fate.lost_by})
            raise Violation(f"{fate} was answered and is lost: with {process} went its last copy, {losers} held it")

    def is_lost_lawfully(self, fate: Fate) -> bool:
        """Whether as many nodes have lost their memory of it as there were copies asked for."""
        return len({loser.id for _, loser in fate.lost_by}) >= self._copies


def _is_known(id: MessageId, owner: Process) -> bool:
    """Whether an owner knew of a message before its present turn, here or at a peer in session."""
    openers = [each for each in owner.node.owner.links if each.in_session and each.session_since < owner.now]
    needed = any(each.session is not None and id in each.session.need for each in openers)
    return id in owner.node.owner.copy.seen or needed
