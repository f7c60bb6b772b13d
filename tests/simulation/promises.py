"""Every answer is true: each is judged at the end of the turn in which a process gives it."""

from collections.abc import Callable

from dqtw.core.forwarding.placement import home_of
from dqtw.core.lifecycle.lifecycle import Phase
from dqtw.core.model.commands import (
    Ack,
    Complete,
    Delivered,
    Done,
    Get,
    GiveBack,
    Inspect,
    Inspected,
    Nack,
    Outcome,
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
from tests.simulation.ledger import Fate, Ledger, lost_lately_s
from tests.simulation.lives import Lives
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.requests import Request
from tests.simulation.room import Room
from tests.simulation.scenario import Scenario
from tests.simulation.trace import Trace, short
from tests.simulation.violation import require

gone_after_s = 2.0  # no owner may take a peer for unreachable before; clocks run off by a fifth


class Promises:
    """Judges what processes answer.

    Attributes:
        deliveries: judges the gets.
    """

    def __init__(
        self,
        scenario: Scenario,
        ledger: Ledger,
        copies: CopyWatch,
        room: Room,
        lives: Lives,
        network: Network,
        trace: Trace,
        alive: Callable[[], list[Process]],
    ) -> None:
        self.deliveries = Deliveries(scenario, ledger, lives, network, trace)
        self._scenario = scenario
        self._ledger = ledger
        self._copies = copies
        self._room = room
        self._trace = trace
        self._alive = alive
        self._keys: dict[str, list[MessageId]] = {}
        self._bodies: dict[str, set[bytes]] = {}  # of each key
        self._counted: dict[tuple[Process, Process], float] = {}  # when an owner last counted a peer

    def asked(self, push: Push) -> None:
        """Note a push that has come from a client."""
        self._ledger.pushed(push.body).may_be += 1
        if push.key is not None:
            self._bodies.setdefault(push.key, set()).add(push.body)

    def look(self, now: float, process: Process) -> None:
        """Remember which peers an owner counts."""
        boots = {each.node.cluster.boot: each for each in self._alive()}
        for progress in process.node.replicator.counted():
            peer = boots.get(progress.link.process.boot)
            if peer is not None:
                self._counted[process, peer] = now
        for member in process.node.cluster.members.values():
            if member.is_refused(process.now) or member.is_unreachable(process.now):
                for each in [each for each in self._counted if each[0] is process and each[1].id == member.id]:
                    del self._counted[each]

    def answered(self, now: float, request: Request, outcome: Outcome) -> None:
        """Judge an answer to a client, or to the peer that has forwarded its request.

        Raises:
            Violation: it is not true.
        """
        command = request.command
        if not request.is_forwarded:
            name = type(command).__name__.lower()
            self._trace.counts[f"{name} {outcome.code if isinstance(outcome, Refusal) else 'ok'}"] += 1
        match command:
            case Push():
                self._push(now, request, command, outcome)
            case Get() if isinstance(outcome, Delivered):
                self.deliveries.judge(now, request, command, outcome)
            case Ack():
                self._ack(now, request, command.id, outcome)
            case Complete():
                self._complete(now, request, command, outcome)
            case Nack() | Touch() | GiveBack():
                self._by_receipt(now, request, command, outcome)
            case Inspect():
                self._inspect(now, request, command, outcome)

    # Pushes.

    def _push(self, now: float, request: Request, push: Push, outcome: Outcome) -> None:
        process = request.process
        if isinstance(outcome, Pushed):
            self._pushed(now, request, push, outcome)
            return
        if isinstance(outcome, KeyReused):
            is_reused = push.key is not None and len(self._bodies.get(push.key, ())) > 1
            require(is_reused, f"{process} calls key {push.key} reused, and it is not")
        if isinstance(outcome, TooLarge):
            limit = min(self._scenario.max_message, self._scenario.max_bytes)
            require(len(push.body) > limit, f"{process} calls {len(push.body)} bytes too large")
        if isinstance(outcome, Full) and self._is_home(process, push):
            self._room.check_refused(process, push)
        if self._scenario.quiet and all(each.was_ready for each in self._alive()):
            lost = isinstance(outcome, Unreplicated | Uncertain | OwnerDown)
            require(not lost, f"a quiet push at {process} was refused: {_said(outcome)}")
        attempts = self._ledger.pushed(push.body)
        if isinstance(outcome, Uncertain):
            for id in attempts.ids:
                self._ledger.fates[id].is_uncertain |= id.node == process.id
        elif not request.is_forwarded:
            attempts.may_be -= 1
            if not attempts.may_be:
                for id in attempts.ids:
                    require(False, f"{process} refused {self._ledger.fates[id]} with {_said(outcome)}, and it is there")

    def _is_home(self, process: Process, push: Push) -> bool:
        return push.key is None or home_of(push.key, self._scenario.nodes) == process.id

    def _pushed(self, now: float, request: Request, push: Push, pushed: Pushed) -> None:
        process, fate = request.process, self._ledger.fates.get(pushed.id)
        require(fate is not None, f"{process} has answered a push with {short(pushed.id)}, which is no message")
        assert fate is not None
        same = (push.body, push.content_type, push.key)
        told = (fate.message.body, fate.message.content_type, fate.message.key)
        require(same == told, f"{process} has answered {same} with the id of {told}")
        if process.id != fate.id.node:
            require(fate.answered_at is not None, f"{process} answers ok {fate}, which its owner has not answered")
            return
        live = process in fate.holders or fate.removed_at is not None or knows_removed(process, fate.id)
        require(live, f"{process} answered ok {fate}, which it does not hold")
        is_first = fate.admitted_by is process and process not in fate.answered_by
        right = pushed.duplicate is not is_first or fate.is_uncertain or not is_first
        require(right, f"{process} says duplicate={pushed.duplicate} of {fate}")
        self._check_copies(now, fate, process, pushed)
        if process not in fate.answered_by:
            fate.answered_by.append(process)
        fate.answered_at = now if fate.answered_at is None else fate.answered_at
        if push.key is not None:
            self._check_key(now, push.key, fate)

    def _check_copies(self, now: float, fate: Fate, process: Process, pushed: Pushed) -> None:
        """See that a push is answered when K nodes hold it; one that is removed needs no more."""
        if fate.removed_at is not None or knows_removed(process, fate.id):
            return
        is_known = process in fate.answered_by
        have = sorted(fate.nodes((process.born_at if is_known else now) - lost_lately_s))
        copies = self._scenario.copies
        require(len(have) >= copies, f"{process} answers ok {fate}, which {have} hold, of {copies} nodes that must")
        have = sorted(fate.nodes(now - lost_lately_s))
        require(len(have) >= pushed.copies, f"{process} answers that {pushed.copies} nodes hold {fate}, and {have} do")

    def _check_key(self, now: float, key: str, fate: Fate) -> None:
        """See that one key is one message; unless the first was removed for so long that its key may be forgotten."""
        ids = self._keys.setdefault(key, [])
        if fate.id in ids:
            return
        for id in ids:
            self._check_key_of(fate, self._ledger.fates[id])
        ids.append(fate.id)

    def _check_key_of(self, fate: Fate, first: Fate) -> None:
        home = first.id.node
        require(fate.id.node == home, f"{fate} and {first} of the same key {fate.message.key} have different homes")
        memory_s = self._scenario.key_memory_s * (1 - 2 * self._scenario.clock_drift)
        is_old = first.removed_at is not None and fate.admitted_at - first.removed_at >= memory_s - 1.0
        if first.is_given_up or is_old or (not first.holders and first.removed_at is None):
            return
        met = first.id in fate.namesakes
        require(not met, f"{fate.admitted_by} took {fate}, though it knew {first} of the same key {fate.message.key}")
        self._trace.counts["key taken twice, the first out of reach"] += 1

    # Removals.

    def _ack(self, now: float, request: Request, id: MessageId, outcome: Outcome) -> None:
        fate = self._ledger.fates.get(id)
        if fate is None:
            require(
                not isinstance(outcome, Done), f"{request.process} says that {short(id)} is removed, which never was"
            )
        elif isinstance(outcome, Done):
            self._acked(now, fate, request.process)
        elif isinstance(outcome, Unknown):
            self._check_unknown(request, fate)

    def _complete(self, now: float, request: Request, complete: Complete, outcome: Outcome) -> None:
        fate = self._ledger.fates.get(complete.receipt.id)
        if fate is not None and isinstance(outcome, Done):
            self.deliveries.leases.check_taken_out(request.process, complete.receipt, fate.removed_at)
            self._acked(now, fate, request.process)
        elif fate is not None and isinstance(outcome, LeaseLost):
            self.deliveries.leases.judge(request.process, complete, outcome)

    def taken(self, now: float, request: Request, outcome: Delivered) -> None:
        """Judge the removals of a get that removes at delivery."""
        for delivery in outcome.deliveries:
            self._acked(now, self._ledger.fates[delivery.receipt.id], request.process)

    def _acked(self, now: float, fate: Fate, process: Process) -> None:
        require(fate.removed_at is not None, f"{process} says that {fate} is removed, and it is not")
        if process.id == fate.id.node:
            require(knows_removed(process, fate.id), f"{process} says that {fate} is removed, and holds it")
            self._check_peers_know(now, fate, process)
        if fate.acked_at is None:
            fate.acked_at = now
            fate.confirmers = [each for each in self._alive() if knows_removed(each, fate.id)]

    def _check_peers_know(self, now: float, fate: Fate, owner: Process) -> None:
        """See that a removal is answered when every peer knows it that is counted, or was until a moment ago."""
        progress = owner.node.replicator.progress
        for peer in self._alive():
            counted_at = self._counted.get((owner, peer), -1000.0)
            if now - counted_at > gone_after_s or peer.id == owner.id or knows_removed(peer, fate.id):
                continue
            mine, member = progress.get(peer.id), owner.node.cluster.members[peer.id]
            is_it = mine is not None and mine.link.process.boot == peer.node.cluster.boot
            if mine is not None and (not is_it or mine.lacks(fate.id[1:])):
                continue  # it is another process that is waited for, or it was counted after the answer
            may_go = member.is_refused(owner.now) or member.is_unreachable(owner.now)
            may_go = may_go or any(link.process.is_going for link in member.links) or peer.node.life.is_going
            require(may_go, f"{owner} has answered that {fate} is removed, before {peer} knew")

    def _check_unknown(self, request: Request, fate: Fate) -> None:
        """See that what is called unknown is: never answered, or removed, or out of reach for its owner's process."""
        process, id = request.process, fate.id
        if not fate.is_owed or process.id != id.node or len([each for each in self._alive() if each.id == id.node]) > 1:
            return
        nodes = [each.id for each in self._alive()]
        for holder, since in fate.holders.items():
            is_peer = holder.id != id.node and nodes.count(holder.id) == 1
            serves = holder.node.life.phase is Phase.SERVING and not holder.is_paused
            may = not is_peer or not serves or since > request.begun_at
            require(may, f"{process} says that there is no {fate}, and {holder} holds it")

    # Leases and looks.

    def _by_receipt(self, now: float, request: Request, command: Nack | Touch | GiveBack, outcome: Outcome) -> None:
        fate = self._ledger.fates.get(command.receipt.id)
        if fate is None:
            return
        if command.receipt.id.node == request.process.id and not isinstance(outcome, Unknown):
            self.deliveries.leases.judge(request.process, command, outcome)
        if isinstance(outcome, Unknown):
            self._check_unknown(request, fate)

    def _inspect(self, now: float, request: Request, inspect: Inspect, outcome: Outcome) -> None:
        fate = self._ledger.fates.get(inspect.id)
        if fate is None:
            return
        if isinstance(outcome, Unknown):
            self._check_unknown(request, fate)
        if isinstance(outcome, Inspected):
            right = (outcome.body_bytes, outcome.content_type) == (len(fate.message.body), fate.message.content_type)
            require(right, f"{request.process} reports {outcome} of {fate}")
            if request.process.id == inspect.id.node:
                live = self._copies.is_live(request.process, inspect.id) or fate.removed_at is not None
                require(live, f"{request.process} reports on {fate}, which it does not hold")
                self.deliveries.leases.check_inspected(request.process, inspect.id, outcome)


def _said(outcome: Outcome) -> str:
    return f"{outcome.code} ({outcome.detail})" if isinstance(outcome, Refusal) else str(outcome)
