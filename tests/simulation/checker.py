"""Safety: what must hold after each turn of each process."""

from dqtw.core.effects import Answer, Departure, Effect, Reply
from dqtw.core.lifecycle.life import Phase
from dqtw.core.links.peer_messages import (
    Applied,
    Asking,
    Delta,
    Forward,
    Forwarded,
    Open,
    Opened,
    Paged,
    PeerAnswer,
    Role,
)
from dqtw.core.model.commands import (
    Ack,
    Complete,
    Delivered,
    Get,
    Inspect,
    Nack,
    Outcome,
    Outcomes,
    Push,
    Pushed,
    Touch,
)
from dqtw.core.model.message import Message, MessageId
from tests.simulation.clients import Call
from tests.simulation.clock import Clock
from tests.simulation.copies import Change, CopyWatch
from tests.simulation.ledger import Fate, Ledger
from tests.simulation.lives import Lives
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.promises import Promises
from tests.simulation.requests import Request, Requests, commands_of, removed_by
from tests.simulation.room import Room
from tests.simulation.scenario import Scenario
from tests.simulation.trace import Trace, short
from tests.simulation.violation import require

whole_look_every = 200  # turns of all processes together
forwardable = Push | Get | Ack | Nack | Touch | Complete | Inspect


class Checker:
    """Looks at every process after each of its turns; see `Witness` and `Judge`, which this is, too."""

    def __init__(self, scenario: Scenario, clock: Clock, trace: Trace) -> None:
        self.ledger = Ledger(scenario.copies)
        self.requests = Requests()
        self.copies = CopyWatch()
        self.room = Room(scenario)
        self.processes: list[Process] = []
        self._scenario = scenario
        self._clock = clock
        self._trace = trace
        self._turns = 0
        self._answered_now: dict[MessageId, Process] = {}
        self._renewed: list[Fate] = []
        self._synced_once: set[tuple[Process, str]] = set()

    def watch(self, network: Network) -> None:
        """Look at what goes over this network, too."""
        self.lives = Lives(self._clock, self.ledger, network, self._trace, self.processes)
        self.promises = Promises(
            self._scenario, self.ledger, self.requests, self.copies, self.room, network, self._trace, self.alive
        )

    def alive(self) -> list[Process]:
        """Every process that has memory."""
        return [process for process in self.processes if process.is_alive]

    # What comes in.

    def called(self, call: Call) -> None:
        """A client's request has come to its process."""
        request = Request(call.command, call.process, call.ticket, self._clock.now)
        self.requests.begin(request)
        self.promises.asked(self._clock.now, request)

    def forgotten(self, call: Call) -> None:
        """A request that only waited was withdrawn: nothing was done."""
        self.requests.end(call.process, call.ticket)
        if isinstance(call.command, Push):
            self.ledger.pushed(call.command.body).may_be -= 1

    def sent(self, source: Process, asking: Asking) -> None:
        """A process asks a peer for something: on behalf of a client of its own, or not at all."""
        if isinstance(asking.request, Open) and asking.request.role is Role.OWNER:
            self.lives.check_twins(source)
        if not isinstance(asking.request, Forward):
            return
        for command in commands_of(asking.request):
            if isinstance(command, forwardable):
                mine = self.requests.asks_for(source, command)
                require(mine, f"{source} forwards {command}, which no client of its own has asked for")
            removed = removed_by(command)
            if removed in self.ledger.fates:
                self.ledger.fates[removed].removers[asking] = self._clock.now

    def arrived(self, source: Process, target: Process, ticket: int, asking: Asking) -> None:
        """A peer's request has come to a process."""
        if isinstance(asking.request, Delta) and asking.request.queue == source.id:
            held = target.node.holder.held.get(source.id)
            if held is not None and held.find(asking.request.token) is not None:  # else it can't tell who speaks
                self.lives.heard(source, target)
            if asking.request.synced:
                self._synced_once.add((target, source.id))
        if isinstance(asking.request, Forward):
            self.requests.begin(Request(asking.request.command, target, ticket, self._clock.now, source))

    def answered(self, source: Process, asking: Asking, sent_at: float, answer: PeerAnswer) -> None:
        """A peer's answer has come back."""
        if asking.call in source.node.peers.calls._then:
            self.lives.answered(source, asking.peer, answer)
        if isinstance(answer, Opened | Paged | Applied) and getattr(asking.request, "queue", "") == source.id:
            self.promises.deliveries.confirm(source, asking.peer, sent_at)

    # What comes of it.

    def turn(self, process: Process, effects: list[Effect]) -> None:
        """A process has had its turn.

        Raises:
            Violation: something is wrong.
        """
        now = self._clock.now
        answers = [(ticket, outcome) for ticket, outcome in map(_outcome, effects) if outcome is not None]
        self._answered_now.clear()
        self._renewed.clear()
        self.requests.begin_turn()
        self.room.turn(process)
        for effect in effects:
            if isinstance(effect, Asking):
                self.lives.asked(process, effect.peer)
                self._check_synced(process, effect)
        for ticket, outcome in answers:
            self._meet(now, process, ticket, outcome)
        for change in self.copies.changes(process):
            self._changed(now, process, change)
        for ticket, outcome in answers:
            request = self.requests.end(process, ticket)
            require(request is not None, f"{process} has answered {ticket}, which nobody asked or which was answered")
            assert request is not None
            self.promises.answered(now, request, outcome)
        self.promises.deliveries.check_all_handed_out(process)
        self.promises.deliveries.note_ready(now, process)
        self.lives.look(process)
        self._turns += 1
        if self._turns % whole_look_every == 0:
            self.look_at_all()

    def _check_synced(self, owner: Process, asking: Asking) -> None:
        """An owner says that a peer lacks nothing when that is so, and when it has everything itself."""
        if isinstance(asking.request, Delta) and asking.request.synced:
            session = owner.node.owner.links[asking.peer].session
            is_owner = owner.node.life.has_served and owner.node.phase is not Phase.FENCED
            require(is_owner, f"{owner} says that {asking.peer} lacks nothing, and may lack something itself")
            equal = session is None or (session.owes_nothing and not session.need)
            require(equal, f"{owner} says that {asking.peer} lacks nothing, and is not equal with it")

    def _meet(self, now: float, process: Process, ticket: int, outcome: Outcome | Outcomes) -> None:
        """Messages may come and go within one turn: learn of them from the answers."""
        request = self.requests.find(process, ticket)
        if request is None:
            return
        if isinstance(outcome, Pushed) and isinstance(request.command, Push):
            self._answered_now[outcome.id] = process
            if outcome.id not in self.ledger.fates:
                push = request.command
                self.ledger.meet(now, outcome.id, Message(push.body, push.content_type, push.key), process)
        if isinstance(outcome, Delivered) and isinstance(request.command, Get):
            for delivery in outcome.deliveries:
                fate = self.ledger.meet(now, delivery.receipt.id, delivery.message, process)
                if request.command.ack_now:
                    fate.removers.setdefault(request, request.begun_at)

    def _changed(self, now: float, process: Process, change: Change) -> None:
        admitted: list[Fate] = []
        for id, message in change.held.items():
            is_new = id not in self.ledger.fates
            fate = self.ledger.meet(now, id, message, process)
            self.ledger.held(now, fate, process)
            if is_new:
                admitted.append(fate)
        for id in change.removed:
            self._removed(now, process, id)
        admitted = [fate for fate in admitted if fate not in self._renewed]  # those were there before, under another id
        for id in change.unseen:
            fate = self.ledger.fates[id]
            is_own = process is fate.admitted_by and fate.answered_by is not process
            require(is_own, f"{process} has forgotten that {fate} was removed")
        if change.queue == process.id and admitted:
            self.room.check_admitted(process, admitted[-1])
            self.promises.deliveries.check_copies_confirmed(process, self._scenario.copies, f"takes {admitted[-1]} in")

    def _removed(self, now: float, process: Process, id: MessageId) -> None:
        fate = self.ledger.fates.get(id)
        require(fate is not None, f"{process} knows {short(id)} as removed, an id that was never given")
        assert fate is not None
        was_held = fate.holders.pop(process, None) is not None
        if fate.removed_at is not None:
            is_forgotten = now - fate.removed_at > self._scenario.key_memory_s / 2
            if process.id == id.node and (is_forgotten or fate.withdrawn_by is not None):
                self._renew(process, fate)  # without the record of its key, a removal looks like a withdrawal
            return
        verb = "has removed" if was_held else "knows as removed"
        answered = fate.answered_by or self._answered_now.get(id)
        may_be_shown = answered is process or fate.is_uncertain
        if process is fate.admitted_by and not may_be_shown and fate.withdrawn_by is None:
            self._withdrawn(now, process, fate, verb)
        elif answered and fate.withdrawn_by and process.id == id.node and self._renew(process, fate):
            pass  # it is on the queue still, under another id
        elif self._is_asked_for(fate, process) or self._is_delivered(fate, process):
            may = process.id == id.node or fate.withdrawn_by is not None
            require(may, f"{process} {verb} {fate}, which its owner has not removed")
            fate.removed_at = now
            fate.may_be_taken = self.requests.takes_out(process) is not None
            if fate.withdrawn_by is None:  # or else it may just have heard of that
                self.promises.deliveries.check_confirmed(process, f"removes {fate}")
        else:
            self._withdrawn(now, process, fate, verb)

    def _is_delivered(self, fate: Fate, process: Process) -> bool:
        """Whether a get may have taken it out; who took it in shows it to workers when it has answered, not before."""
        answered = fate.answered_by or self._answered_now.get(fate.id)
        may_be_shown = answered is process or process is not fate.admitted_by or fate.is_uncertain
        may_be = process.id == fate.id.node and may_be_shown
        return may_be and self.promises.deliveries.take_out(fate, process)

    def _is_asked_for(self, fate: Fate, process: Process) -> bool:
        """Whether somebody has asked to remove it, perhaps before it was there; still a get may have been faster."""
        fate.removers |= self.promises.asked_ahead.pop(fate.id, {})
        get = self.requests.takes_out(process)
        if fate.removers and get is not None:
            fate.removers[get] = get.begun_at
        return bool(fate.removers)

    def _withdrawn(self, now: float, process: Process, fate: Fate, verb: str) -> None:
        """Who took a push in may take it back, if it has not answered it; that must undo nobody else's answer."""
        answered = fate.answered_by or self._answered_now.get(fate.id)
        if fate.withdrawn_by is None:
            may = process is fate.admitted_by and answered is not process
            require(may, f"{process} {verb} {fate}, and nobody has asked for that")
            fate.withdrawn_by, fate.withdrawn_at = process, now
        elif process is not fate.withdrawn_by and answered is not None and not fate.is_given_up:
            by = f"which {answered} has answered, and {fate.withdrawn_by} has taken back"
            if process.id == fate.id.node:
                require(self._renew(process, fate), f"{process} {verb} {fate}, {by}")
            require(fate.holders or fate.is_given_up, f"{process} {verb} {fate}, {by}")

    def _renew(self, process: Process, fate: Fate) -> bool:
        """Whether the owner has taken it in again, under another id: then that is what it owes from now on."""
        for other in self.ledger.of_queue(process.id):
            same = (other.message.body, other.message.key) == (fate.message.body, fate.message.key)
            here = other.admitted_by is process and process in other.holders
            is_push = process.node.owner.queue.is_waiting(other.id)  # of a retry, which has no copies yet
            if same and here and other.id > fate.id and not is_push:
                other.answered_at, other.answered_by = fate.answered_at or self._clock.now, process
                fate.is_given_up = True
                self._renewed.append(other)
                return True
        return False

    # Life and death.

    def born(self, process: Process) -> None:
        """A process has started."""
        self.processes.append(process)

    def died(self, process: Process, departure: Departure | None = None) -> None:
        """A process has lost its memory: by a fault, or of its own will.

        Raises:
            Violation: something was lost that must not be.
        """
        if departure is not None:
            self.lives.check_departure(process, departure)
        self.ledger.died(self._clock.now, process, is_own_will=departure is not None)
        self.requests.die(process)
        self.promises.die(process)
        self.copies.forget(process)

    # All of it.

    def look_at_all(self) -> None:
        """Look at every process, all of it.

        Raises:
            Violation: something is wrong that no single change has shown.
        """
        for process in self.alive():
            is_waking = process.paused_at == self._clock.now  # it has yet to see what time it is
            if not process.is_paused and not process.is_in_turn and not is_waking:
                self.copies.check_whole(process)
                self._check_queue(process)
                self._check_sessions(process)
                self._check_in_sync(process)
                self.promises.deliveries.leases.check_ends(process)
                self.lives.check_drain_ends(process)

    def _check_queue(self, process: Process) -> None:
        queue = process.node.owner.queue
        if process.node.phase in (Phase.SERVING, Phase.DRAINING):
            require(len(queue) == len(queue.copy.live), f"{process}'s queue and its copy differ")

    def _check_sessions(self, owner: Process) -> None:
        """In session, the peer knows all that the owner knows, but for what the session still owes it."""
        boots = {process.node.boot: process for process in self.alive()}
        copy = owner.node.owner.copy
        for opener in owner.node.owner.links:
            peer = boots.get(opener.peer.boot)
            if not opener.in_session or peer is None or not self.promises.is_valid(owner, peer):
                continue
            theirs = peer.node.holder.held[owner.id].copy
            lacks = [id for id in copy.live if opener.knows(id) and id not in theirs.live]
            require(not lacks, f"{owner} believes that {peer} holds {[short(id) for id in lacks[:3]]}, and it does not")
            undead = [id for id in theirs.live if id in copy.seen and id not in copy.live and opener.knows(id)]
            require(not undead, f"{owner} believes that {peer} knows {[short(id) for id in undead[:3]]} as removed")
            assert opener.session is not None
            more = theirs.live_ids - copy.seen - opener.session.need
            require(not more, f"{owner} believes that {peer} holds no more than itself, and it holds {more}")
            removed = (theirs.seen - theirs.live_ids) & copy.live_ids
            require(not removed, f"{owner} does not know that {peer}, in session, knows {removed} as removed")

    def _check_in_sync(self, process: Process) -> None:
        """A copy that is in sync has nothing that its owner does not know."""
        owners = {owner.node.boot: owner for owner in self.alive() if owner.node.phase is not Phase.FENCED}
        for queue, held in process.node.holder.held.items():
            told = not held.synced_once or (process, queue) in self._synced_once
            require(told, f"{process} says that it was once in sync with {queue}, which never said so")
            owner = owners.get(held.owner_boot)
            if held.in_sync and owner is not None and not owner.is_in_turn:
                more = held.copy.seen - owner.node.owner.copy.seen
                require(not more, f"{process} says that it is in sync with {queue}, and has {more} ahead of it")


def _outcome(effect: Effect) -> tuple[int, Outcome | Outcomes | None]:
    if isinstance(effect, Answer):
        return effect.ticket, effect.outcome
    if isinstance(effect, Reply) and isinstance(effect.answer, Forwarded):
        return effect.ticket, effect.answer.outcome
    return 0, None
