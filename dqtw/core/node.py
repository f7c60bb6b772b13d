"""One node as a deterministic machine.

A command, what comes from peers, or the time goes in; effects come out (`Node.take_effects`). Nothing in here reads a
clock, draws a random number or touches a socket, so that a whole cluster of nodes can be run, faults and all, from one
seed. ``now`` is in seconds of a monotonic clock, which must not go back from one call to the next.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Final

from dqtw.core.dispatch import Dispatch
from dqtw.core.effects import Answer, Effect, Event
from dqtw.core.forwarding.inbound import Inbound
from dqtw.core.forwarding.outbound import Outbound
from dqtw.core.forwarding.remote_gets import Again, Answered
from dqtw.core.lifecycle.lifecycle import Lifecycle, Phase
from dqtw.core.lifecycle.ownership import Ownership
from dqtw.core.lifecycle.reports import Reports
from dqtw.core.links.cluster import Cluster
from dqtw.core.links.frames import (
    AnyFrame,
    Applied,
    Backfill,
    Changed,
    Declined,
    Delta,
    End,
    Fenced,
    Fetch,
    Fetched,
    Forward,
    Forwarded,
    Interest,
    Leave,
    Open,
    Opened,
    PageRead,
    ReadPage,
    Stays,
    Synced,
)
from dqtw.core.links.link import FrameReceived, Link, LinkDown, LinkEvent, LinkUp, StatusReceived
from dqtw.core.links.link import Learned as LearnedIncarnation
from dqtw.core.links.network import Network
from dqtw.core.links.streams import Accepted, StreamAnswer, StreamRefused, StreamRequest
from dqtw.core.model.commands import (
    Command,
    Delivered,
    GiveBack,
    check_lengths,
)
from dqtw.core.model.errors import BadRequest, PeerFault, Refusal, Starting
from dqtw.core.model.health import Check, Health
from dqtw.core.model.incarnation import fresh_incarnation, random_bytes
from dqtw.core.model.settings import NodeSettings
from dqtw.core.queue.owner import Owner
from dqtw.core.replication.anti_entropy import AntiEntropy
from dqtw.core.replication.holder import Holder
from dqtw.core.replication.replicator import Replicator
from dqtw.core.replication.sessions import Compared, Confirmed, Ended, Learned, Sessions
from dqtw.core.stats import node_health, node_stats, phase_waits, push_waits

look_again_s: Final = 0.25  # how often conditions that no event announces are looked at, in a cluster
pause_s: Final = 2.0  # a process that was not run for so long may have been replaced
boot_bytes: Final = 16


class Node:
    """A complete node, without any I/O.

    Attributes:
        owner: the queue of this node.
        holder: what it holds of other nodes' messages.
    """

    def __init__(self, now: float, settings: NodeSettings, entropy: Callable[[int], bytes], wall_ms: int) -> None:
        """Start a node.

        Args:
            now: the monotonic clock, in seconds.
            settings: the options.
            entropy: returns as many random bytes as asked for.
            wall_ms: the wall clock, milliseconds since 1970; it only makes incarnations sortable.
        """
        self.settings = settings
        self.started_at = now
        self._entropy = entropy
        self._effects: list[Effect] = []
        self._last_input_at = now
        self._look_at = now
        self._due_at = now  # when `tick` is next needed, as of the end of the last turn
        self._interests: dict[Link, list[str]] = {}  # the queues that polls at each peer wait for
        self._sessions = Sessions()
        self.replicator = Replicator(settings, self._sessions)
        self.owner = Owner(settings, entropy, self.replicator)
        self.holder = Holder(settings, self.replicator.holding)
        self.exchanges = AntiEntropy(settings.node, self.holder, self._sessions)
        self.network = Network(now, settings, entropy(boot_bytes).hex(), entropy)
        self.outbound = Outbound(settings, self.network.cluster)
        self.inbound = Inbound(settings.node)
        self.ownership = Ownership(settings.max_waiting, settings.start_wait_s)
        self.life = Lifecycle(
            now,
            settings,
            lambda at, greatest: fresh_incarnation(
                wall_ms + int(1000 * (at - self.started_at)), entropy(random_bytes), greatest
            ),
        )
        self.reports = Reports(settings)
        self._dispatch = Dispatch(settings, self.owner, self.holder, self.outbound, self.ownership, self.life)
        self._advance(now)

    @property
    def cluster(self) -> Cluster:
        """The members, as this process knows them."""
        return self.network.cluster

    @property
    def messages_count(self) -> int:
        """How many messages are on the queue."""
        return self.replicator.holding.replica.count

    def health(self, check: Check) -> Health:
        """Return whether the node is well, and why it is not."""
        return node_health(self, self._last_input_at, check)  # in a cluster time is seen four times a second

    def stats(self, now: float) -> dict[str, object]:
        """Return what an operator may want to know: names to JSON values, seconds ending in ``_s``."""
        return node_stats(self, now)

    # Input from clients.

    def command(self, now: float, ticket: int, command: Command) -> None:
        """Carry out what a client asks for; its answer is an effect, of this call or of a later one."""
        if now >= self._due_at:
            self.tick(now)  # what is due goes to the requests that have waited for it, not to this one
        try:
            check_lengths(command, self.settings.max_lease_s)
        except BadRequest as refusal:
            self._answer([Answer(ticket, refusal)])
            return
        self._carry_out(now, ticket, command)
        if self.settings.copies == 1 or not self.replicator.progress:
            self._confirm(now)  # there may be no member to wait for
        else:
            self._settle(now)

    def withdraw(self, now: float, ticket: int) -> bool:
        """Forget a request that only waits, for its client is gone; return False if it is answered all the same."""
        waited = self.owner.withdraw(ticket) or self.ownership.withdraw(ticket) or self.outbound.withdraw(ticket)
        self._settle(now)  # the request behind it may be served now
        return waited

    def give_notice(self, now: float, seconds: float) -> None:
        """Report not to be ready from now on, and serve all the same: a drain begins in so many seconds."""
        self.life.drain_at = now + seconds

    def drain(self, now: float) -> None:
        """Begin to leave: accept nothing more, let no request wait, and go when others hold all that is here."""
        self.tick(now)
        self.life.drain(now)
        self._answer(self.owner.dismiss(Delivered(), self.life.refusal()))
        self._answer(Answer(each.ticket, self.life.refusal()) for each in self.ownership.pop_all())
        self._note(
            "handing over; messages of this node: {own}, of nodes that are away: {others}",
            own=self.replicator.holding.replica.count,
            others=sum(each.replica.count for each in self.holder.others if not each.is_current),
        )

    # Input from peers.

    def stream_asked(self, now: float, request: StreamRequest) -> Accepted | StreamRefused:
        """Decide on a stream that a peer wants to open."""
        self._note_pause(now)
        answer, events = self.network.asked(now, request)
        self._handle(now, events)
        return answer

    def dial_answered(self, now: float, stream: int, answer: StreamAnswer) -> None:
        """Take the answer to a stream request of this node."""
        self._note_pause(now)
        self._look_at = now  # the answer may name a greater incarnation of this node
        self._handle(now, self.network.dialled(now, stream, answer))

    def dial_failed(self, now: float, stream: int, why: str, *, is_lasting: bool) -> None:
        """Note that a stream was not opened; ``is_lasting``: the peer refuses this node."""
        self._note_pause(now)
        self.network.dial_failed(now, stream, why, is_lasting=is_lasting)

    def stream_closed(self, now: float, stream: int, why: str) -> None:
        """Note that a stream has ended."""
        self._note_pause(now)
        self._handle(now, self.network.closed(now, stream, why))

    def received(self, now: float, stream: int, frames: list[AnyFrame], express_bytes: int, bulk_bytes: int) -> None:
        """Take what was read from a stream at once: the frames that are complete, and how many bytes there were."""
        self._note_pause(now)
        self._handle(now, self.network.received(now, stream, frames, express_bytes, bulk_bytes))

    def _handle(self, now: float, events: Iterable[LinkEvent]) -> None:
        for event in events:
            match event:
                case FrameReceived(link, frame):
                    if link.is_up and not self.life.has_departed:
                        try:
                            self._take(now, link, frame)
                        except PeerFault as fault:
                            self._effects += self.reports.fault(now, link, str(fault))
                            self._handle(now, self.network.close(now, link, str(fault)))
                case LinkUp(link):
                    self.outbound.link_up(link)
                    self._effects += self.reports.link_up(now, link)
                    self._look_at = now
                case LinkDown(link, why):
                    self._link_down(now, link, why)
                    self._look_at = now
                case StatusReceived() | LearnedIncarnation():
                    self._look_at = now
        self._confirm(now)

    def _take(self, now: float, link: Link, frame: AnyFrame) -> None:
        """Take one frame.

        Raises:
            PeerFault: the peer breaks the protocol.
        """
        match frame:
            case Applied():
                self._sessions.receive(now, link, frame)
            case Delta():
                reported = self.holder.receive(now, link, frame, self.cluster)
                if reported is not None:
                    self.outbound.reported(link, reported.counts)
            case Forward():
                for ticket, command in self.inbound.begin(link, frame):
                    self._carry_out(now, ticket, command)
            case Forwarded():
                self._act(now, self.outbound.forwarded(now, link, frame, self.owner.polls))
            case Backfill() | ReadPage() | Fetch():
                self.holder.receive(now, link, frame, self.cluster)
            case _:
                self._look_at = now  # the frames below come seldom, and may decide anything
                self._take_rare(now, link, frame)

    def _take_rare(self, now: float, link: Link, frame: AnyFrame) -> None:
        match frame:
            case Open() | Synced() | End():
                self.holder.receive(now, link, frame, self.cluster)
            case Opened() | Declined() | PageRead() | Fetched() | Changed():
                self._take_from_session(now, self._sessions.receive(now, link, frame))
            case Interest():
                self._interests[link] = frame.queues
            case Leave():
                link.send(Stays(frame.call, yes=not self.life.is_going))
            case Stays() if self.life.handover is not None:
                self.life.handover.answered(link, frame)
            case Fenced():
                self.cluster.learn(frame.node, frame.greatest)

    def _take_from_session(self, now: float, event: Compared | Learned | Ended | Confirmed | None) -> None:
        match event:
            case Compared(session, owner, _, greatest):
                self.cluster.learn(owner, greatest)
                self.replicator.compared(event)
            case Learned(session) if session in self.replicator:
                self._answer(self.owner.learned(now, event))
            case Learned(session):
                self._sessions.holding_of(session).learn(now, event.contents, event.records, session)
            case Ended(session, owner):
                self.replicator.declined(now, event)
                self.exchanges.ended(now, session, owner)
        self.owner.withhold()

    def _link_down(self, now: float, link: Link, why: str) -> None:
        self._effects += self.reports.link_down(now, link, why)
        for session in self._sessions.link_down(link):
            self.replicator.ended(session)
        self.owner.withhold()
        self.holder.link_down(link)
        self._interests.pop(link, None)
        self._act(now, self.outbound.link_down(now, link))
        self._undo(now, self.inbound.link_down(link))

    # Time.

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._note_pause(now)
        self._handle(now, self.network.tick(now))
        self._answer(self.owner.tick(now))
        self._act(now, self.outbound.tick(now))
        if now >= self._look_at:
            self._advance(now)
        self._confirm(now)
        self.next_deadline(now)

    def _note_pause(self, now: float) -> None:
        """See first whether this process was not run for a while: then it may have been replaced."""
        if now - self._last_input_at > pause_s and len(self.settings.peers):
            self._last_input_at = now
            self._handle(now, self.network.resumed(now))
            self.ownership.resumed(now, self.cluster)
            self.life.recovery.resumed(now)
            self.reports.resumed(now)
        self._last_input_at = now

    def next_deadline(self, now: float) -> float | None:
        """Return when `tick` is next needed."""
        deadlines = [*self.owner.deadlines(), self.outbound.next_deadline(), self.network.next_deadline(now)]
        if self.settings.peers:
            deadlines.append(self._look_at)
        deadline = min((when for when in deadlines if when is not None), default=None)
        self._due_at = inf if deadline is None else deadline
        return deadline

    # What has become possible.

    def _confirm(self, now: float) -> None:
        """Answer what the peers have confirmed, and serve the requests that wait for what that sets free."""
        self._answer(self.owner.confirm(now, self.cluster))
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Serve the requests that wait, until nothing moves; what this changes may be confirmed at once."""
        log = self.replicator.log
        while self.owner.is_awaited and self.life.is_serving and not self.ownership.unconfirmed:
            end = log.end
            takes_keys = self.ownership.takes_keys(self.cluster, self.replicator)
            self._answer(self.owner.settle(now, takes_keys=takes_keys))
            if log.end == end:
                break
            self._answer(self.owner.confirm(now, self.cluster))

    def _advance(self, now: float) -> None:
        """Go on with what no single event decides: fencing, the start, sessions, readiness, requests that were held."""
        self._look_at = now + look_again_s
        cluster, replicator, life = self.cluster, self.replicator, self.life
        own, greatest = replicator.incarnation, cluster.greatest(self.settings.node)
        if own is not None and greatest is not None and greatest > own and life.phase is not Phase.FENCED:
            self._fence(now, greatest)
        if life.may_start_anew(now, cluster, own):
            self._start_anew(now)
        if replicator.incarnation is None and (incarnation := life.choose(now, cluster)) is not None:
            self._take_incarnation(incarnation)
        if replicator.incarnation is not None and life.phase is not Phase.FENCED:
            replicator.open_sessions(now, cluster)
        if life.may_serve(now, cluster, replicator):
            self._serve()
        self.holder.fence(cluster)
        self.exchanges.open_sessions(now, cluster, is_going=life.is_going)
        self.ownership.look(now, cluster, replicator)
        released = self.ownership.release(now, cluster, replicator)
        self._answer(Answer(each.ticket, Starting("the peers have yet to confirm this node")) for each in released.late)
        for each in released.ready:
            self._carry_out(now, each.ticket, each.command)
        if life.becomes_ready(now, cluster, self.holder, self.exchanges):
            self._note("ready")
        waits, members = list(phase_waits(self, now)), cluster.members.values()
        self._effects += self.reports.look(now, life.phase, waits, list(push_waits(self, now)), members)

    def _take_incarnation(self, incarnation: str) -> None:
        self.replicator.incarnation = incarnation
        self.holder.declines = None
        self.cluster.learn(self.settings.node, incarnation)
        self.cluster.become(incarnation, is_going=False)

    def _serve(self) -> None:
        self.owner.queue.release(list(self.replicator.holding.replica.live_dots & self.owner.queue.waiting))
        self._note(
            "serving; messages recovered: {recovered}",
            incarnation=self.replicator.incarnation,
            recovered=self.replicator.holding.replica.count,
        )

    def _fence(self, now: float, greatest: str) -> None:
        """Stop serving: a newer process of this node exists, or existed."""
        self._note(
            "fenced: a newer process of this node exists; handing over",
            incarnation=self.replicator.incarnation,
            greater=greatest,
        )
        self.life.fence(now)
        refusal = self.life.refusal()
        self._answer(self.owner.abandon(refusal))
        self._act(now, self.outbound.abandon())
        self._answer(Answer(each.ticket, refusal) for each in self.ownership.pop_all())
        self.replicator.end_all()
        self.holder.end_owners("this process was replaced")
        self.cluster.become(self.replicator.incarnation, is_going=True)

    def _start_anew(self, now: float) -> None:
        """Go on as a new process with all that this one holds: no process that replaced it lives."""
        self._note("starting anew: no newer process of this node lives")
        self.network, events = self.network.anew(now, self._entropy(boot_bytes).hex())
        self._handle(now, events)
        self.outbound.renewed(self.cluster)
        self.replicator.renew()
        self.holder.renew()
        self.life.start_anew(now)

    def _carry_out(self, now: float, ticket: int, command: Command) -> None:
        self._answer(self._dispatch.carry_out(now, ticket, command, self.cluster))

    # Output.

    def _answer(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            if isinstance(answer.outcome, Refusal):
                self.owner.totals["refused_" + answer.outcome.code] += 1
            if answer.ticket < 0:
                self._undo(self._last_input_at, self.inbound.answer(answer.ticket, answer.outcome))
            else:
                self._effects.append(answer)

    def _act(self, now: float, results: Iterable[Answered | Again]) -> None:
        for result in results:
            if isinstance(result, Answered):
                self._answer([Answer(result.ticket, result.outcome)])
            else:
                self._carry_out(now, result.ticket, result.get)

    def _undo(self, now: float, give_backs: Iterable[GiveBack]) -> None:
        for each in give_backs:
            try:
                self.owner.by_id(now, 0, each)
            except Refusal:
                continue  # the lease has ended
        self._settle(now)

    def _note(self, what: str, **facts: object) -> None:
        """Log an event; a node without peers serves from the start, and has nothing to report."""
        if self.settings.peers:
            self._effects.append(Event(what, facts))

    def take_effects(self, now: float) -> list[Effect]:
        """Return all effects since the last call, in order; each is given once, and must be carried out.

        What goes to peers is made here, so that all that came in since the last call shares frames.
        """
        if self._look_at <= now:
            self._advance(now)
            self._confirm(now)
        if self.owner.polls or not self.outbound.is_idle:
            self.outbound.interest(now, ["default"] if self.owner.polls else [])
            self._act(now, self.outbound.pump(now, self.owner.polls))
        self.inbound.pump()
        self.holder.pump(now, self.cluster)
        ready = {"default": len(self.owner.queue.ready) if self.life.is_serving else 0}
        counts = {link.node: ready for link, queues in self._interests.items() if queues}
        is_whole = self.life.recovery.is_whole and self.life.phase is not Phase.FENCED
        self.replicator.pump(now, counts, self.owner.queue.rises, is_whole=is_whole)
        self.exchanges.pump(now)
        self._leave(now)
        effects = [*self._effects, *self.network.take_effects(now)]
        self._effects.clear()
        return effects

    def _leave(self, now: float) -> None:
        if self.life.begin_handover(now, is_quiet=self.is_quiet):
            self.holder.end_owners("this process is about to stop")
            self.cluster.become(self.replicator.incarnation, is_going=True)
        if self.life.handover is not None:
            self.life.handover.ask(self.cluster)
            departure = self.life.departure(now, self.cluster, self.holder, self.replicator.incarnation)
            if departure is not None:
                self._effects.append(departure)

    @property
    def is_quiet(self) -> bool:
        """True if no request is under way, here or for clients of this node elsewhere."""
        return self.owner.is_quiet and self.outbound.is_quiet and self.inbound.is_quiet and not len(self.ownership)
