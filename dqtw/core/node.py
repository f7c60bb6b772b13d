"""One node as a deterministic machine.

A command, a peer's request or answer, or the time goes in; effects come out (`Node.take_effects`). Nothing in here
reads a clock, draws a random number or touches a socket, so that a whole cluster of nodes can be run, faults and all,
from one seed. ``now`` is in seconds of a monotonic clock, which must not go back from one call to the next.
"""

from collections.abc import Callable
from typing import Final

from attrs import evolve

from dqtw.core.effects import Answer, Effect, Event, Level, Reply
from dqtw.core.forwarding.favours import Favours
from dqtw.core.forwarding.forwarding import Forwarding, forward_timeout_s
from dqtw.core.forwarding.home import home_of
from dqtw.core.forwarding.replays import Replays
from dqtw.core.lifecycle.doubt import Doubt, patience_s
from dqtw.core.lifecycle.life import Life, Phase
from dqtw.core.lifecycle.reports import Reports
from dqtw.core.lifecycle.start import Start
from dqtw.core.links.peer_messages import Forward, NoSession, Open, PeerAnswer, PeerRequest, Role
from dqtw.core.links.peers import Peers
from dqtw.core.model.commands import (
    Ack,
    ById,
    Command,
    Complete,
    Delivered,
    Get,
    GiveBack,
    Inspect,
    Nack,
    Outcome,
    Push,
    Touch,
    check_lengths,
)
from dqtw.core.model.errors import BadRequest, OwnerDown, Refusal, Starting
from dqtw.core.model.health import Check, Health
from dqtw.core.model.incarnation import fresh_incarnation, random_bytes
from dqtw.core.model.message import MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.queue.owner import Owner
from dqtw.core.queue.queue import unknown
from dqtw.core.replication.exchange import Exchanges
from dqtw.core.replication.held_copy import OwnCopy
from dqtw.core.replication.holder import Holder
from dqtw.core.stats import node_health, node_stats

look_again_s: Final = 0.25  # how often conditions that no event announces are looked at, in a cluster
gap_s: Final = 2.0  # a node that was not run for so long can't judge others by their silence
get_patience_s: Final = 10.0  # how long a get that does not wait may take to ask every peer
favour_patience_s: Final = forward_timeout_s / 2  # of a peer's get that is in doubt; after that nobody may be there
boot_bytes: Final = 16


class Node:
    """The whole of a node, but for the world around it."""

    def __init__(self, now: float, settings: NodeSettings, entropy: Callable[[int], bytes], wall_ms: int) -> None:
        """Start a node.

        Args:
            now: the monotonic clock, in seconds.
            settings: what it was told.
            entropy: gives as many random bytes as asked for.
            wall_ms: the wall clock, milliseconds since 1970; it only makes the incarnation sortable.
        """
        self.settings = settings
        self.started_at = now
        self.boot = entropy(boot_bytes).hex()
        self._entropy = entropy
        self._effects: list[Effect] = []
        self._last_step = now
        self._look_at = now
        self.peers = Peers(settings, self.boot, self._effects.append, self._note)
        self.owner = Owner(settings, entropy, self.peers, self)
        own = OwnCopy(self.owner.links, settings)
        self.holder = Holder(settings, self.boot, self.peers, entropy, self, own)
        self.exchanges = Exchanges(self.holder.held, self.peers, entropy, self._open_copy)
        self.forwarding = Forwarding(settings, self.peers, self.holder.held, self.owner, self.answer)
        self._favours = Favours(Replays(settings.node, self.peers, self.holder.held), self._effects.append)
        self.doubt = Doubt(self.owner.links, settings.max_waiting)
        start = Start(
            now,
            settings,
            self.boot,
            self.peers,
            lambda greatest: fresh_incarnation(wall_ms, entropy(random_bytes), greatest),
        )
        self.life = Life(settings, self.peers, self.owner, self.holder, self.exchanges, start, self._note)
        self._reports = Reports(settings, self.peers, self.owner.links, self.life, self._note)
        self._turn(now)

    # What comes in.

    def command(self, now: float, ticket: int, command: Command) -> None:
        """Do what a client asks; its answer is an effect, of this call or of a later one."""
        self.tick(now)  # what is due goes to the requests that have waited for it, not to this one
        try:
            check_lengths(command, self.settings.max_lease_s)
        except BadRequest as refusal:
            self.answer(ticket, refusal)
            return
        self._carry_out(now, ticket, command)
        self._turn(now)

    def withdraw(self, now: float, ticket: int) -> bool:
        """Forget a request that only waits, for its client is gone; False for one that is answered all the same."""
        waited = self.owner.withdraw(ticket) | self.forwarding.withdraw(ticket) | self.doubt.withdraw(ticket)
        self.tick(now)  # who stood behind it may be served now
        return waited

    def peer_asks(self, now: float, ticket: int, request: PeerRequest) -> None:
        """Do what a peer asks; the reply is an effect, of this call or of a later one."""
        self.tick(now)
        if self.life.has_departed:
            self._effects.append(Reply(ticket, NoSession(self.settings.node, self.boot)))  # and nothing is denied
        elif isinstance(request, Forward):
            for each, command in self._favours.begin(ticket, request):
                self._carry_out(now, each, command)
        else:
            self._effects.append(Reply(ticket, self.holder.answer(now, request)))
        self._turn(now)

    def peer_answers(self, now: float, call: int, answer: PeerAnswer) -> None:
        """Take the answer to a request of this node, or `Failed` for one that can't have an answer."""
        self._note_gap(now)
        self.peers.calls.answered(now, call, answer)
        self._turn(now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._note_gap(now)
        self.peers.calls.tick(now)
        self.owner.tick(now)
        self._turn(now)

    def give_notice(self, now: float, seconds: float) -> None:
        """Be not ready from now on, and serve all the same: the node will be told to drain in so many seconds."""
        self.life.drain_at = now + seconds

    def drain(self, now: float) -> None:
        """Begin to leave: take nothing more in, let nobody wait, and go when others hold all that is here."""
        self.tick(now)
        self.life.drain(now)
        self.owner.dismiss(Delivered(), self.life.refusal())

    # What comes out.

    def take_effects(self, now: float) -> list[Effect]:
        """All effects since the last call, in order; each is given once, and must be carried out.

        There is nothing to store first, and nothing to confirm: what became of a request comes in by `peer_answers`.
        Requests to peers are made up here, so that all that came in since the last call shares one.
        """
        self._turn(now)
        self.forwarding.pump(now)
        self.owner.links.pump(now)
        self.exchanges.carry_on(now)
        departure = self.life.departure(now, is_quiet=self.is_quiet)
        if departure is not None:
            self._effects.append(departure)
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    def next_deadline(self) -> float | None:
        """When `tick` is next needed."""
        deadlines = [*self.owner.deadlines(), self.peers.calls.next_deadline()]
        if len(self.peers):
            deadlines.append(self._look_at)
        return min((when for when in deadlines if when is not None), default=None)

    @property
    def is_quiet(self) -> bool:
        """Whether no request is under way, here or for clients of this node elsewhere."""
        return self.owner.is_quiet and self.forwarding.is_quiet and not len(self.doubt)

    @property
    def phase(self) -> Phase:
        """What the node is doing with its life."""
        return self.life.phase

    @property
    def incarnation(self) -> str:
        """The incarnation of this node's queue; empty before the start has taken one."""
        return self.owner.incarnation

    @property
    def messages_count(self) -> int:
        """How many messages are on the queue."""
        return len(self.owner.copy.live)

    def health(self, check: Check) -> Health:
        """Whether the node is well, and why not."""
        return node_health(self, self._last_step, check)  # in a cluster time is seen four times a second

    def stats(self, now: float) -> dict[str, object]:
        """What an operator may want to know; names to JSON values, seconds end in ``_s``."""
        return node_stats(self, now)

    # As time goes on.

    def _note_gap(self, now: float) -> None:
        """See first whether this process was not run for a while: then the others' silence proves nothing."""
        if now - self._last_step > gap_s:
            for peer in self.peers:
                peer.forgive(now)
            self.holder.begin_again(now - self._last_step)
            self.doubt.begin_again(now)
            self._reports.begin_again(now)
            self.owner.intake.pushes.begin_again()
            self.life.begin_again(now)
        self._last_step = now

    def _turn(self, now: float) -> None:
        """See what has become possible: after each input, and before effects are taken; once more does no harm.

        First whether this process was replaced: a greater incarnation than its own was given by a newer one, and nobody
        may be served any more. Then its life goes on. What no event announces (that a silence has lasted, above all) is
        looked at four times a second. Those who wait come last, when it is known whether this is the owner still.
        """
        if self.owner.incarnation and self.owner.greatest_met > self.owner.incarnation:
            self.fenced(now, self.owner.greatest_met)
        self.life.go_on(now)
        if now >= self._look_at:
            self._look_at = now + look_again_s
            self.exchanges.begin(now)
            self.holder.tidy(now)
            self.life.look_for_readiness(now)
            self.life.stay_in_touch(now)
            self._give_up_in_doubt(now)
            self._reports.look(now)
        for each in self.doubt.pop_cleared(now):
            self._carry_out(now, each.ticket, each.command, is_cleared=True)
        if not self.owner.is_awaited:
            self.doubt.nobody_waits()
        elif self.life.is_serving and self.doubt.is_cleared(now):
            self.owner.settle(now)

    def _give_up_in_doubt(self, now: float) -> None:
        """Let nobody wait for ever for peers that are slow; nothing was done."""
        for each in self.doubt.pop_expired(now):
            is_get = isinstance(each.command, Get)
            self.answer(each.ticket, Delivered() if is_get else Starting("the peers have yet to confirm this node"))

    # Doing what is asked.

    def _carry_out(self, now: float, ticket: int, command: Command, *, is_cleared: bool = False) -> None:
        try:
            match command:
                case Push():
                    self._push(now, ticket, command, is_cleared=is_cleared)
                case Get():
                    self._get(now, ticket, command, is_cleared=is_cleared)
                case Ack() | Inspect():
                    self._by_id(now, ticket, command, command.id, is_cleared=is_cleared)
                case Nack() | Touch() | GiveBack() | Complete():
                    self._by_id(now, ticket, command, command.receipt.id, is_cleared=is_cleared)
        except Refusal as refusal:
            self.answer(ticket, refusal)

    def _push(self, now: float, ticket: int, push: Push, *, is_cleared: bool) -> None:
        self._check_open()
        if push.key is not None:
            home = home_of(push.key, self.settings.members)
            if home != self.settings.node and ticket not in self._favours:
                self.forwarding.forward(now, ticket, home, push)
                return
            if not self.owner.links.rescue_is_done():
                raise Starting("the key may be among the messages that are still being recovered")
        links = self.owner.links
        is_doubtful = links.copies_in_doubt(now) if push.key is None else links.in_doubt(now)
        if is_doubtful and not is_cleared:
            # Else a retry at this process's successor makes two messages of one.
            self.doubt.park(now, ticket, push, min(patience_s, self.settings.push_timeout_s))
        else:
            self.owner.push(now, ticket, push)

    def _get(self, now: float, ticket: int, get: Get, *, is_cleared: bool) -> None:
        self._check_open()
        if not is_cleared and self.owner.links.in_doubt(now):
            self.doubt.park(now, ticket, get, favour_patience_s if ticket in self._favours else get_patience_s)
        elif ticket in self._favours:
            self.owner.get(now, ticket, evolve(get, wait_s=0.0))
        elif self.owner.ready_count() or not len(self.peers):
            self.owner.get(now, ticket, get)
        else:
            self.owner.stand_in_line(now, ticket, get, get.wait_s or get_patience_s)
            self.forwarding.hunt(now, ticket, get)

    def _by_id(self, now: float, ticket: int, command: ById, id: MessageId, *, is_cleared: bool) -> None:
        if self.phase is Phase.FENCED:
            raise self.life.refusal()
        if id.node != self.settings.node:
            if id.node not in self.peers and self.peers.somebody_knows(id.node):
                raise OwnerDown(f"{id.node} is no member that this node was told of")
            if id.node not in self.peers and len(self.peers) and self.phase is Phase.STARTING:
                raise self.life.refusal()  # the peers have yet to tell which members they know
            if id.node not in self.peers or ticket in self._favours:
                raise unknown(id)
            self.forwarding.forward(now, ticket, id.node, command)
            return
        if self.phase is Phase.STARTING:
            raise self.life.refusal()
        if isinstance(command, Ack) and self.owner.links.is_needed(id):
            self.owner.links.fetch_first(id)  # removed unseen, nobody would remember its key
            self.doubt.park(now, ticket, command)
            return
        is_doubtful = self.owner.links.may_know(id) or self.owner.links.in_doubt(now)
        if is_doubtful and not is_cleared:
            self.doubt.park(now, ticket, command)
        else:
            self.owner.by_id(now, ticket, command)

    def _check_open(self) -> None:
        if not self.life.is_serving:
            raise self.life.refusal()

    # What the parts tell; see their own protocols.

    def answer(self, ticket: int, outcome: Outcome) -> None:
        """Answer a request of a client, here or at a peer."""
        if isinstance(outcome, Refusal):
            self.owner.totals["refused_" + outcome.code] += 1
        if not self._favours.answer(ticket, outcome):
            self._effects.append(Answer(ticket, outcome))

    def is_serving(self) -> bool:
        """Whether messages are delivered now."""
        return self.life.is_serving

    def is_complete(self) -> bool:
        """Whether the start is over, and this node is its queue's owner still: the others must have its copy."""
        return self.life.has_served and self.phase is not Phase.FENCED

    def is_leaving(self) -> bool:
        """Whether this node is about to stop."""
        return self.life.is_leaving

    def is_fenced(self) -> bool:
        """Whether it was replaced, and stays until others hold all that it holds."""
        return self.life.is_handing_over

    def open_request(self, nonce: str) -> Open:
        """What to open sessions with, as the owner."""
        return self._open(self.settings.node, Role.OWNER, nonce)

    def _open_copy(self, queue: str, nonce: str) -> Open:
        return self._open(queue, Role.COPY, nonce)

    def _open(self, queue: str, role: Role, nonce: str) -> Open:
        return Open(
            queue,
            role,
            self.settings.cluster,
            self.settings.node,
            self.boot,
            self.owner.incarnation,
            nonce,
            self.settings.max_message,
            self.settings.members,
            dict(self.peers.addresses),
        )

    def peer_changed(self, peer: str) -> None:
        """A session began or ended."""
        if self.owner.links[peer].in_session:
            self._note("{peer} is in session", peer=peer)
        else:
            self._note("{peer} is out of session: {why}", peer=peer, why=self.owner.links[peer].ended)

    def hinted(self, now: float, owner: str) -> None:
        """That owner may have messages to deliver."""
        self.forwarding.hinted(now, owner)

    def fenced(self, now: float, greatest: str) -> None:
        """A peer knows a greater incarnation of this node."""
        if self.life.fence(now, greatest):
            self.forwarding.abandon()
            for each in self.doubt.pop_all():
                self.answer(each.ticket, self.life.refusal())

    def _note(self, what: str, level: Level = "info", **facts: object) -> None:
        self._effects.append(Event(what, facts, level))
