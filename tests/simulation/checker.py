"""Safety: what must hold after each turn of each process."""

from dqtw.core.effects import Answer, Departure
from dqtw.core.lifecycle.lifecycle import Phase
from dqtw.core.links.frames import AnyFrame, Delta, Forward
from dqtw.core.model.commands import Command, Complete, Delivered, Get, GiveBack, Outcome, Push, Pushed
from dqtw.core.model.dots import DotSet
from dqtw.core.model.message import Message, MessageId
from tests.simulation.clients import Call
from tests.simulation.clock import Clock
from tests.simulation.copies import Change, CopyWatch
from tests.simulation.ledger import Fate, Ledger
from tests.simulation.lives import Lives
from tests.simulation.network import Network
from tests.simulation.patience import Patience
from tests.simulation.process import Process
from tests.simulation.promises import Promises
from tests.simulation.requests import Request, Requests
from tests.simulation.room import Room
from tests.simulation.scenario import Scenario
from tests.simulation.sessions import SessionWatch
from tests.simulation.streams import Stream
from tests.simulation.trace import Trace, short
from tests.simulation.violation import require

whole_look_every = 200  # turns of all processes together
lawful_ends = (  # why a link may go down; nothing that a peer sends is a reason
    "no byte for",
    "no progress for",
    "the connection was lost",
    "the peer has closed the connection",
    "the peer accepts no data",
    "the peer names another pair of streams",
    "replaced by a newer stream",
    "this process was paused",
    "this process starts anew",
    "another process of that node takes its place",
)


class Checker:
    """Looks at every process after each of its turns; see `Witness` and `Judge`, which this is, too."""

    def __init__(self, scenario: Scenario, clock: Clock, trace: Trace) -> None:
        self.ledger = Ledger(scenario.copies)
        self.requests = Requests()
        self.copies = CopyWatch()
        self.room = Room(scenario)
        self.sessions = SessionWatch(self.copies, self.alive)
        self.processes: list[Process] = []
        self._scenario = scenario
        self._clock = clock
        self._trace = trace
        self._turns = 0

    def watch(self, network: Network) -> None:
        """Look at what goes over this network, too."""
        self.lives = Lives(self._clock, self.ledger, network, self._trace, self.processes)
        self.patience = Patience(self._scenario, self._clock, self.requests, network, self.processes)
        self.promises = Promises(
            self._scenario, self.ledger, self.copies, self.room, self.lives, network, self._trace, self.alive
        )

    def alive(self) -> list[Process]:
        """Return every process that has memory."""
        return [process for process in self.processes if process.is_alive]

    def keys_of(self, dots: DotSet) -> list[str | None]:
        """Return the keys of messages of whichever owner."""
        return [fate.message.key for id, fate in self.ledger.fates.items() if id[1:] in dots]

    # What comes in.

    def called(self, call: Call) -> None:
        """Note a client's request that has come to its process."""
        self.requests.begin(Request(call.command, call.process, call.ticket, self._clock.now))
        if isinstance(call.command, Push):
            self.promises.asked(call.command)

    def forgotten(self, call: Call) -> None:
        """Note that a request that only waited was withdrawn: nothing was done."""
        self.requests.end(call.process, call.ticket)
        if isinstance(call.command, Push):
            self.ledger.pushed(call.command.body).may_be -= 1

    def sent(self, stream: Stream, frame: AnyFrame) -> None:
        """Look at a frame that a process writes."""
        if isinstance(frame, Delta) and frame.is_synced:
            self._check_synced(stream.writer.process, stream.reader.process)
        if isinstance(frame, Forward):
            for command in frame.commands:
                self._check_forwarded(stream.writer.process, command)

    def _check_forwarded(self, process: Process, command: Command) -> None:
        """See that a process forwards what a client of its own has asked for, and nothing else."""
        mine = [each.command for each in self.requests.now_at(process) if not each.is_forwarded]
        match command:
            case GiveBack():
                return
            case Get():
                is_asked = any(isinstance(each, Get) for each in mine)
            case Complete():
                is_asked = any(isinstance(each, Get) and each.ack_now for each in mine)
            case _:
                is_asked = command in mine
        require(is_asked, f"{process} forwards {command}, which no client of its own has asked for")

    def _check_synced(self, owner: Process, peer: Process) -> None:
        """See that an owner calls a peer synced only while it lacks nothing itself that the peer has."""
        progress = owner.node.replicator.progress.get(peer.id)
        if progress is not None and progress.link.process.boot == peer.node.cluster.boot:
            lacks = progress.need or progress.records or not progress.is_whole
            require(not lacks, f"{owner} says that {peer} is synced, and lacks what that has")

    # What comes of it.

    def turn(self, process: Process) -> None:
        """Look at a process after its turn.

        Raises:
            Violation: something is wrong.
        """
        now = self._clock.now
        self.requests.begin_turn()
        self.room.turn(process)
        for ticket, command in process.node.begun:
            if ticket < 0:
                self.requests.begin(Request(command, process, ticket, now))
        reached, process.node.reached = process.node.reached, []
        process.node.begun.clear()
        for each in reached:
            if isinstance(each, Answer):
                self._meet(now, process, each.ticket, each.outcome)
        for change in self.copies.changes(process):
            self._changed(now, process, change)
        for each in reached:
            if isinstance(each, GiveBack):
                self.promises.deliveries.leases.undo(process, each.receipt)
            else:
                self._answered(now, process, each)
        self._check_ends(process)
        self.promises.look(now, process)
        self.promises.deliveries.note_ready(now, process)
        self.lives.look(process)
        self.sessions.check(process)
        self.patience.check(process)
        self._turns += 1
        if self._turns % whole_look_every == 0:
            self.look_at_all()

    def _check_ends(self, process: Process) -> None:
        """See that a link only ends for what a network does, or a process of itself, and never in a quiet world."""
        for node, why in process.node.ended:
            self._trace.counts[f"link ends: {why.split(' while')[0]}"] += 1
            require(why.startswith(lawful_ends), f"{process} ends a link to {node}: {why}")
            is_strange = self._scenario.quiet and process.node.life.was_ready
            require(not is_strange, f"{process} ends a link to {node} in a quiet world: {why}")
        process.node.ended.clear()

    def _answered(self, now: float, process: Process, answer: Answer) -> None:
        request = self.requests.end(process, answer.ticket)
        what = f"{process} has answered {answer.ticket}, which was not asked, or was answered"
        require(request is not None, what)
        assert request is not None
        self.promises.answered(now, request, answer.outcome)
        if isinstance(request.command, Get) and request.command.ack_now and isinstance(answer.outcome, Delivered):
            self.promises.taken(now, request, answer.outcome)

    def _meet(self, now: float, process: Process, ticket: int, outcome: Outcome) -> None:
        """Learn of messages from the answers, because they may come and go within one turn."""
        request = self.requests.find(process, ticket)
        if request is None:
            return
        push = request.command
        if isinstance(outcome, Pushed) and isinstance(push, Push) and outcome.id not in self.ledger.fates:
            self.ledger.meet(now, outcome.id, Message(push.body, push.content_type, push.key), process)
        if isinstance(outcome, Delivered):
            for delivery in outcome.deliveries:
                self.ledger.meet(now, delivery.receipt.id, delivery.message, process)

    def _changed(self, now: float, process: Process, change: Change) -> None:
        admitted: Fate | None = None
        for id, message in change.held.items():
            is_new = id not in self.ledger.fates
            fate = self.ledger.meet(now, id, message, process)
            fate.holders[process] = now
            admitted = fate if is_new else admitted
        for id in change.removed:
            self._removed(now, process, id)
        if admitted is not None:
            self.room.check_admitted(process, admitted)

    def _removed(self, now: float, process: Process, id: MessageId) -> None:
        fate = self.ledger.fates.get(id)
        require(fate is not None, f"{process} knows {short(id)} as removed, an id that was never given")
        assert fate is not None
        was_held = fate.holders.pop(process, None) is not None
        fate.knowers[process] = now
        verb = "has removed" if was_held else "knows as removed"
        is_asked_for = process.id == id.node and self.requests.remover(process, id) is not None
        if is_asked_for and was_held:
            fate.removers.append(process)
            self.lives.check_confirmed(process, f"removes {fate}")
        if fate.removed_at is None:
            require(is_asked_for, f"{process} {verb} {fate}, which no client has asked for there")
            fate.removed_at = now

    # Life and death.

    def born(self, process: Process) -> None:
        """Note a process that has started."""
        self.processes.append(process)

    def died(self, process: Process, departure: Departure | None = None) -> None:
        """Note that a process has lost its memory: by a fault, or of its own will.

        Raises:
            Violation: something was lost that must not be.
        """
        if departure is not None:
            self.lives.check_departure(process, departure)
        self.ledger.died(self._clock.now, process, is_own_will=departure is not None)
        self.requests.die(process)
        self.promises.deliveries.leases.die(process)
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
                self.sessions.check_current(process)
                self._check_queue(process)
                self.promises.deliveries.leases.check_ends(process)
                self.lives.check_drain_ends(process)

    def _check_queue(self, process: Process) -> None:
        """See that each live message has one state."""
        queue, replica = process.node.owner.queue, process.node.replicator.holding.replica
        if process.node.life.phase in (Phase.SERVING, Phase.DRAINING):
            entries = DotSet.of(
                dot for dot, entry in queue._entries.items() if entry.state.value in ("leased", "delayed")
            )
            states = (queue.waiting, queue.ready, queue.hidden, entries)
            total = sum(map(len, states))
            everything = DotSet()
            for each in states:
                everything |= each
            is_one = total == len(everything) and everything == replica.live_dots
            require(is_one, f"{process}'s queue has {total} messages in states, {replica.count} are live")
