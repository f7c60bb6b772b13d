"""Every answer is true: each is judged at the moment at which a process gives it."""

from collections.abc import Callable

from dqtw.core.forwarding.home import home_of
from dqtw.core.lifecycle.life import Phase
from dqtw.core.links.peer_messages import Asking, Forward
from dqtw.core.model.commands import (
    Ack,
    Batch,
    Command,
    Complete,
    Delivered,
    Done,
    Get,
    GiveBack,
    Inspect,
    Inspected,
    Nack,
    Outcome,
    Outcomes,
    Push,
    Pushed,
    Touch,
)
from dqtw.core.model.errors import (
    Full,
    KeyReused,
    LeaseLost,
    OwnerDown,
    Refusal,
    TooLarge,
    Uncertain,
    Unknown,
    Unreplicated,
)
from dqtw.core.model.message import MessageId
from tests.simulation.copies import CopyWatch, knows_removed
from tests.simulation.deliveries import Deliveries
from tests.simulation.ledger import Fate, Ledger
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.requests import Request, Requests, commands_of
from tests.simulation.room import Room
from tests.simulation.scenario import Scenario
from tests.simulation.trace import Trace, short
from tests.simulation.violation import Violation, require


class Promises:
    """Judges what processes answer.

    Attributes:
        deliveries: judges the gets.
    """

    def __init__(
        self,
        scenario: Scenario,
        ledger: Ledger,
        requests: Requests,
        copies: CopyWatch,
        room: Room,
        network: Network,
        trace: Trace,
        alive: Callable[[], list[Process]],
    ) -> None:
        self.deliveries = Deliveries(ledger, requests, network, trace, self._acked, quiet=scenario.quiet)
        self._scenario = scenario
        self._ledger = ledger
        self._copies = copies
        self._room = room
        self._network = network
        self._trace = trace
        self._alive = alive
        self.asked_ahead: dict[MessageId, dict[object, float]] = {}
        self._keys: dict[str, list[MessageId]] = {}
        self._told: set[tuple[Process, MessageId]] = set()  # who has answered a push with which id
        self._bodies: dict[str, set[bytes]] = {}  # of each key

    # What a request may do.

    def asked(self, now: float, request: Request) -> None:
        """A client's request has come to its process."""
        match request.command:
            case Push():
                self._ledger.pushed(request.command.body).may_be += 1
                if request.command.key is not None:
                    self._bodies.setdefault(request.command.key, set()).add(request.command.body)
            case Ack():
                fate = self._ledger.fates.get(request.command.id)
                if fate is not None:
                    fate.removers[request] = now
                else:
                    self.asked_ahead.setdefault(request.command.id, {})[request] = now

    def die(self, process: Process) -> None:
        """Nothing will be answered there."""
        self.deliveries.die(process)

    # What it came to.

    def answered(self, now: float, request: Request, outcome: Outcome | Outcomes) -> None:
        """Judge an answer to a client, or to the peer that has forwarded its request.

        Raises:
            Violation: it is not true.
        """
        name = type(request.command).__name__.lower()
        if request.source is None:
            self._trace.counts[f"{name} {outcome.code if isinstance(outcome, Refusal) else 'ok'}"] += 1
        if isinstance(request.command, Batch) and isinstance(outcome, Outcomes):
            for command, each in zip(request.command.commands, outcome.outcomes, strict=True):
                self._judge(now, request, command, each)
        else:
            require(not isinstance(outcome, Outcomes), f"{request.process} answers {request.command} with {outcome}")
            self._judge(now, request, request.command, outcome)  # type: ignore[arg-type]

    def _judge(self, now: float, request: Request, command: Command, outcome: Outcome) -> None:
        match command:
            case Push():
                self._push(now, request, command, outcome)
            case Get() if isinstance(outcome, Delivered):
                self.deliveries.judge(now, request, command, outcome)
            case Get(ack_now=True) if isinstance(outcome, Uncertain):
                self.deliveries.forget_taken(request.process)
            case Ack():
                self._ack(now, request, command, outcome)
            case Complete():
                self._complete(now, request, command, outcome)
            case Nack() | Touch() | GiveBack():
                self._by_receipt(request, command, outcome)
            case Inspect():
                self._inspect(request, command, outcome)

    def _push(self, now: float, request: Request, push: Push, outcome: Outcome) -> None:
        if isinstance(outcome, Pushed):
            self._pushed(now, request, push, outcome)
            return
        if isinstance(outcome, KeyReused):
            is_reused = push.key is not None and len(self._bodies.get(push.key, ())) > 1
            require(is_reused, f"{request.process} calls key {push.key} reused, and it is not")
        if isinstance(outcome, TooLarge):
            limit = min(self._scenario.max_message, self._scenario.max_bytes)
            require(len(push.body) > limit, f"{request.process} calls {len(push.body)} bytes too large")
        if isinstance(outcome, Full) and self._is_home(request.process, push):
            self._room.check_refused(request.process, push)
        if self._scenario.quiet and all(process.was_ready for process in self._alive()):
            lost = isinstance(outcome, Unreplicated | Uncertain | OwnerDown)
            require(not lost, f"a quiet push at {request.process} was refused: {outcome}")
        if isinstance(outcome, Uncertain):
            self._uncertain(request.process, push)
        if request.source is not None or isinstance(outcome, Uncertain):
            return
        attempts = self._ledger.pushed(push.body)
        attempts.may_be -= 1
        if not attempts.may_be:
            for id in attempts.ids:
                fate = self._ledger.fates[id]
                where = ", ".join(map(str, fate.holders))
                require(not where, f"{request.process} refused {fate} with {_said(outcome)}, and {where} holds it")

    def _uncertain(self, process: Process, push: Push) -> None:
        """A process that still holds what it calls uncertain goes on with it."""
        for id in self._ledger.pushed(push.body).ids:
            fate = self._ledger.fates[id]
            fate.is_uncertain |= fate.admitted_by is process and process in fate.holders

    def _is_home(self, process: Process, push: Push) -> bool:
        return push.key is None or home_of(push.key, self._scenario.nodes) == process.id

    def _pushed(self, now: float, request: Request, push: Push, pushed: Pushed) -> None:
        fate = self._ledger.fates.get(pushed.id)
        require(fate is not None, f"{request.process} has answered a push with {short(pushed.id)}, which is no message")
        assert fate is not None
        same = (push.body, push.content_type, push.key)
        told = (fate.message.body, fate.message.content_type, fate.message.key)
        require(same == told, f"{request.process} has answered {same} with the id of {told}")
        if not fate.removers and request.process.id == fate.id.node:
            live = request.process in fate.holders
            require(live, f"{request.process} answered ok {fate}, which it does not hold")
        if request.process.id == fate.id.node:
            has_told = (request.process, fate.id) in self._told
            is_first = fate.admitted_by is request.process and not has_told
            is_clear = has_told or fate.answered_by is not request.process  # else it may be there for an older one
            right = pushed.duplicate is not is_first or not is_clear or fate.is_uncertain
            self._told.add((request.process, fate.id))
            require(right, f"{request.process} says duplicate={pushed.duplicate} of {fate}")
        if fate.answered_at is None:
            self._check_copies(fate, request.process, pushed)
            fate.answered_at, fate.answered_by = now, request.process
        if push.key is not None:
            self._check_key(now, push.key, fate)

    def _check_copies(self, fate: Fate, process: Process, pushed: Pushed) -> None:
        """A push is answered when so many nodes hold it, all of them in session; one that is removed needs no more."""
        if fate.removed_at is not None:
            return
        copies = max(self._scenario.copies, 1 if fate.removers else pushed.copies)
        have = sorted(fate.nodes)
        require(len(have) >= copies, f"{process} answers that {copies} nodes hold {fate}, but only {have} do")
        known = pushed.copies >= self._scenario.copies or bool(fate.removers) or fate.is_uncertain  # it had them once
        require(known, f"{process} answers ok {fate}, and knows of {pushed.copies} copies in session")

    def _check_key(self, now: float, key: str, fate: Fate) -> None:
        """One key, one message; unless the first is gone for so long that its key may be forgotten."""
        ids = self._keys.setdefault(key, [])
        if fate.id in ids:
            return
        for id in ids:
            self._check_key_of(now, fate, self._ledger.fates[id])
        ids.append(fate.id)

    def _check_key_of(self, now: float, fate: Fate, first: Fate) -> None:
        home = first.id.node
        require(fate.id.node == home, f"{fate} and {first} of the same key {fate.message.key} have different homes")
        memory_s = self._scenario.key_memory_s * (1 - 2 * self._scenario.clock_drift)
        is_old = first.removed_at is not None and fate.admitted_at - first.removed_at >= memory_s - 1.0
        if first.is_given_up or is_old or (not first.holders and first.removed_at is None):
            return
        owner = fate.admitted_by
        met = first.id in fate.namesakes and not first.was_taken_back(owner, fate.admitted_at)
        require(not met, f"{owner} took {fate} in, though it knew {first} of the same key {fate.message.key}")
        self._trace.counts["key taken twice, the first out of reach"] += 1

    # Removals.

    def _ack(self, now: float, request: Request, ack: Ack, outcome: Outcome) -> None:
        fate = self._ledger.fates.get(ack.id)
        if fate is None:
            return
        if isinstance(outcome, Done):
            require(fate.removed_at is not None, f"{request.process} says that {fate} is removed, and it is not")
            at_once = request.was_waiting and fate.removed_at == request.begun_at
            may = not at_once or fate.admitted_by is not request.process
            require(may, f"{request.process} has removed {fate}, which waited for its copies")
            self._acked(now, fate, request)
        elif isinstance(outcome, Unknown):
            self._check_unknown(request, fate)
        if request.source is None and isinstance(outcome, Refusal) and not isinstance(outcome, Uncertain):
            self._refused_ack(request, ack, fate, outcome)

    def _complete(self, now: float, request: Request, complete: Complete, outcome: Outcome) -> None:
        fate = self._ledger.fates.get(complete.receipt.id)
        if fate is None:
            return
        if isinstance(outcome, Done):
            self.deliveries.leases.check_taken_out(request.process, complete.receipt, fate.removed_at)
            self._acked(now, fate, request)
        elif isinstance(outcome, LeaseLost):
            self.deliveries.leases.judge(request.process, complete, outcome)
        if isinstance(outcome, Refusal) and not isinstance(outcome, Uncertain):
            _forget_remover(fate, complete)

    def _refused_ack(self, request: Request, ack: Ack, fate: Fate, outcome: Refusal) -> None:
        fate.removers.pop(request, None)
        _forget_remover(fate, ack)
        is_new = fate.removed_at is not None and fate.removed_at >= request.begun_at
        by_it = is_new and not fate.removers and not fate.may_be_taken and fate.answered_at is not None
        require(not by_it, f"{request.process} refused to remove {fate} with {_said(outcome)}, and it was removed")

    def _acked(self, now: float, fate: Fate, request: Request) -> None:
        process = request.process
        if process.id == fate.id.node:
            was_done_by = request.begun_at if isinstance(request.command, Batch) else now  # the batch may have waited
            self._check_peers_know(fate, process, was_done_by)
        if fate.acked_at is None:
            fate.acked_at = now
            fate.confirmers = [each for each in self._alive() if knows_removed(each, fate.id)]

    def _check_peers_know(self, fate: Fate, owner: Process, since: float) -> None:
        """A removal is answered when every peer knows it that has been in session since then."""
        boots = {process.node.boot: process for process in self._alive()}
        for opener in owner.node.owner.links:
            peer = boots.get(opener.peer.boot)
            came_later = opener.session_since >= owner.at(since)  # perhaps after the answer, in the same turn
            if opener.in_session and not came_later and peer is not None and self.is_valid(owner, peer):
                knows = knows_removed(peer, fate.id)
                require(knows, f"{owner} has answered that {fate} is removed, before {peer} in session knew")

    def is_valid(self, owner: Process, peer: Process) -> bool:
        """Whether the peer, too, still knows the owner's session."""
        session = owner.node.owner.links[peer.id].session
        return session is not None and peer.node.holder.held[owner.id].find(session.token) is not None

    def _check_unknown(self, request: Request, fate: Fate) -> None:
        """Whoever says that there is no such message must be right: none that was answered, and not removed since."""
        others = [asked for remover, asked in fate.removers.items() if remover is not request]
        if fate.answered_at is None or fate.answered_at > request.begun_at or others or fate.is_given_up:
            return
        if request.process is fate.admitted_by and fate.answered_by is not request.process:
            return  # it took the message in, and back again, and does not know that others have recovered it
        for holder, since in fate.holders.items():
            is_peer = holder.id != fate.id.node and self._is_member(holder)
            is_peer = is_peer and not _is_another(request.process, holder)
            if is_peer and holder.node.phase is Phase.SERVING and since < request.begun_at and not holder.is_paused:
                raise Violation(f"{request.process} says that there is no {fate}, but {holder} holds it")

    def _is_member(self, process: Process) -> bool:
        """Whether others reach this process when they ask for its node."""
        newest = [each for each in self._alive() if each.id == process.id][-1]
        return newest is process and self._network.listeners.get(process.url) is process

    # Leases and looks.

    def _by_receipt(self, request: Request, command: Nack | Touch | GiveBack, outcome: Outcome) -> None:
        fate = self._ledger.fates.get(command.receipt.id)
        if fate is None:
            return
        if command.receipt.id.node == request.process.id and not isinstance(outcome, Unknown):
            self.deliveries.leases.judge(request.process, command, outcome)
        if isinstance(outcome, Unknown):
            self._check_unknown(request, fate)

    def _inspect(self, request: Request, inspect: Inspect, outcome: Outcome) -> None:
        fate = self._ledger.fates.get(inspect.id)
        if fate is None:
            return
        if isinstance(outcome, Unknown):
            self._check_unknown(request, fate)
        if isinstance(outcome, Inspected):
            right = (outcome.body_bytes, outcome.content_type) == (len(fate.message.body), fate.message.content_type)
            require(right, f"{request.process} tells {outcome} of {fate}")
            if request.process.id == inspect.id.node:
                self.deliveries.leases.check_inspected(request.process, inspect.id, outcome)
                live = self._copies.is_live(request.process, inspect.id)
                require(live or fate.removers, f"{request.process} tells of {fate}, which it does not hold")


def _said(outcome: Outcome) -> str:
    return f"{outcome.code} ({outcome.detail})" if isinstance(outcome, Refusal) else str(outcome)


def _forget_remover(fate: Fate, command: Ack | Complete) -> None:
    """That command was refused, and so does not remove the message."""
    for asking in [each for each in fate.removers if _carries(each, command)]:
        del fate.removers[asking]


def _carries(remover: object, command: Ack | Complete) -> bool:
    """Whether this is the peer request by which that very command was forwarded."""
    if not isinstance(remover, Asking) or not isinstance(remover.request, Forward):
        return False
    return any(each is command for each in commands_of(remover.request))


def _is_another(process: Process, holder: Process) -> bool:
    """Whether another process of the holder's node answers, or is the one that asks: of two, only one can be asked."""
    if holder.id == process.id:
        return holder is not process
    return process.node.peers[holder.id].boot not in ("", holder.node.boot)
