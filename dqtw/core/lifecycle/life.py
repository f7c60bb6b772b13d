"""A node's life: it starts, serves, becomes ready, and leaves, because it was asked to or because it was replaced."""

from collections.abc import Callable, Iterator
from enum import Enum

from dqtw.core.effects import Departure
from dqtw.core.lifecycle.leaving import Drain, HandOver, ask_again_after_s
from dqtw.core.lifecycle.start import Start
from dqtw.core.links.peer_messages import Ask, PeerAnswer
from dqtw.core.links.peers import Peers
from dqtw.core.model.errors import Draining, Fenced, Refusal, Starting
from dqtw.core.model.health import Wait
from dqtw.core.model.settings import NodeSettings
from dqtw.core.queue.owner import Owner
from dqtw.core.replication.exchange import Exchanges
from dqtw.core.replication.held_copy import HeldCopy
from dqtw.core.replication.holder import Holder


def _nobody_wonders(*_: object, **__: object) -> None:
    """Log nothing."""


def _only_heard(now: float, answer: PeerAnswer) -> None:
    """Take an answer of which only that it came is of interest."""


class Phase(Enum):
    """What a node is doing with its life.

    STARTING ──has what it must have──▶ SERVING ──is asked to leave──▶ DRAINING ──is replaced──▶ FENCED

    Who is starting may be asked to leave, and who is serving may be replaced. A start that hears of a greater
    incarnation goes on, and takes one that is greater still. A fenced node that is asked to leave stays fenced.

    Pushes and gets are served while SERVING; what names a message of this queue while SERVING or DRAINING, and of
    another node's also while STARTING, once there is an incarnation; what peers ask about copies always, until the
    process may go.
    """

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    FENCED = "fenced"


class Life:
    """Which phase a node is in, and what leads to the next.

    Attributes:
        was_ready: it has served with every copy regained; once true, it stays.
        has_served: its start is over: it has recovered what it could, see `Start.may_serve`.
        has_departed: it was told that it may go; what comes in from then on is not taken.
        address: the URL that peers are told.
        drain_at: when the drain begins of which notice was given; None: no notice was given, or the drain has begun.
    """

    def __init__(
        self,
        settings: NodeSettings,
        peers: Peers,
        owner: Owner,
        holder: Holder,
        exchanges: Exchanges,
        start: Start,
        note: Callable[..., None],
    ) -> None:
        self.phase = Phase.STARTING
        self.was_ready = False
        self.has_served = False
        self.has_departed = False
        self.address = settings.advertise
        self.drain_at: float | None = None
        self._settings = settings
        self._peers = peers
        self._owner = owner
        self._holder = holder
        self._exchanges = exchanges
        self._start = start
        self._note = note if len(peers) else _nobody_wonders  # nothing can happen to a node that is alone
        self._drain: Drain | None = None
        self._hand_over: HandOver | None = None
        self._ask_at = 0.0

    @property
    def is_serving(self) -> bool:
        """Whether messages are taken and delivered."""
        return self.phase is Phase.SERVING

    @property
    def is_leaving(self) -> bool:
        """Whether the node is about to stop."""
        return self.phase in (Phase.DRAINING, Phase.FENCED)

    @property
    def is_handing_over(self) -> bool:
        """Whether the node was replaced, and nobody has asked it to leave for that."""
        return self._hand_over is not None and self._drain is None

    def refusal(self) -> Refusal:
        """What a request is told that can't be served in this phase."""
        match self.phase:
            case Phase.STARTING:
                return Starting("this node is still recovering what its peers hold")
            case Phase.DRAINING:
                return Draining("this node is about to stop")
            case _:
                return Fenced("a newer process of this node's id exists; this one is leaving")

    def waits(self, now: float) -> Iterator[Wait]:
        """Return what the node waits for: to serve, to be ready, or to go."""
        match self.phase:
            case Phase.STARTING:
                yield from self._start.waits(now, self._owner.links)
            case Phase.SERVING if not self.was_ready:
                for held in self._holder.held.values():
                    yield from self._waits_for_copy(now, held)
            case Phase.FENCED if self._hand_over is not None:
                yield from self._hand_over.waits(now)
            case Phase.DRAINING if self._drain is not None:
                yield from self._drain.waits(now)

    def go_on(self, now: float) -> None:
        """Go on with the start, if that is not over."""
        if self.phase is not Phase.STARTING:
            return
        links = self._owner.links
        self._start.pump(now, links)
        if self._start.incarnation != self._owner.incarnation:
            self._take_incarnation(now, self._start.incarnation)
        if self._start.may_serve(now, links):
            self._serve()

    def _take_incarnation(self, now: float, incarnation: str) -> None:
        self._owner.links.end_all(now, "this start takes another incarnation")
        self._holder.was_away()  # until now, another process may have been this node
        self._owner.incarnation = incarnation
        if self.address and incarnation:
            self._peers.learn({self._settings.node: (incarnation, self.address)})
        self._start.pump(now, self._owner.links)

    def _serve(self) -> None:
        self.phase = Phase.SERVING
        self.has_served = True
        for peer in self._peers:
            self._owner.links.want(peer.id)
        self._note(
            "serving; messages recovered: {recovered}",
            incarnation=self._owner.incarnation,
            recovered=len(self._owner.copy.live),
        )

    def stay_in_touch(self, now: float) -> None:
        """Ask every peer now and then while leaving: who is there, and who stays?"""
        if self.is_leaving and now >= self._ask_at:
            self._ask_at = now + ask_again_after_s
            for peer in self._peers:
                peer.ask(now, Ask(self._settings.node, self._peers.cluster), _only_heard)

    def begin_again(self, now: float) -> None:
        """This process itself was not running: who was to inherit from it may be gone."""
        self._start.begin_again(now)
        for leaving in (self._drain, self._hand_over):
            if leaving is not None:
                leaving.ask_anew(now)

    def look_for_readiness(self, now: float) -> None:
        """See whether everything is regained that can be had."""
        if self.is_serving and not self.was_ready and not any(self.waits(now)):
            self.was_ready = True
            self._note("ready")

    def _waits_for_copy(self, now: float, held: HeldCopy) -> Iterator[Wait]:
        """Return what is missing until a copy is regained: its owner's word, or without it what all others hold."""
        owner = self._peers[held.copy.queue]
        if held.has_owner_in_sync(owner):
            return
        if owner.unreachable(now):
            others = (each for each in self._peers if each.knows_member(owner.id) and not each.unreachable(now))
            for each in others:
                if each is not owner and not self._exchanges.was_equal(owner.id, each):
                    yield each.trouble(now) or Wait(f"{each.id} has yet to give what it holds of {owner.id}'s queue")
        elif owner.cannot_reach:
            what = f"{owner.id} has not yet confirmed this node's copy of its queue: {owner.id} cannot reach this node"
            yield Wait(what, owner.cannot_reach)
        else:
            yield owner.trouble(now) or Wait(f"{owner.id} has yet to confirm this node's copy of its queue")

    def drain(self, now: float) -> None:
        """Begin to leave because the node was asked to; the phase says whether it was fenced before."""
        self.drain_at = None
        if self._drain is None:
            if self.phase is not Phase.FENCED:
                self.phase = Phase.DRAINING
            timeout_s, links = self._settings.drain_timeout_s, self._owner.links
            self._drain = Drain(now, timeout_s, links, self._peers, self._holder, self._exchanges)
            self._note(
                "handing over; messages of this node: {own}, of nodes that are away: {others}",
                own=len(self._owner.copy.live),
                others=sum(
                    len(held.copy.live) for held in self._holder.held.values() if not self._owner_is_here(now, held)
                ),
            )

    def _owner_is_here(self, now: float, held: HeldCopy) -> bool:
        owner = self._peers[held.copy.queue]
        return held.has_owner_in_sync(owner) and owner.is_up(now) and not owner.leaving

    def only_here(self, now: float) -> int | None:
        """Return how many messages no node that stays is known to hold; None unless this node is leaving."""
        leaving = self._drain or self._hand_over
        return None if leaving is None else leaving.only_here(now)

    def fence(self, now: float, greatest: str) -> bool:
        """A peer knows a greater incarnation; whether that ends this node's service now."""
        if self.phase is Phase.STARTING:
            self._start.fenced(now, self._owner.links)
        if self.phase not in (Phase.SERVING, Phase.DRAINING):
            return False
        self.phase = Phase.FENCED
        self._note(
            "fenced: a newer process of this node exists; handing over",
            incarnation=self._owner.incarnation,
            greater=greatest,
        )
        self._owner.abandon(self.refusal())  # first: with no peer in session a removal would count as confirmed
        self._owner.links.end_all(now, "this node was replaced")
        self._holder.own.heard_of(self._owner.incarnation)
        self._hand_over = HandOver(now, self._owner.incarnation, self._holder, self._peers, self._exchanges)
        return True

    def departure(self, now: float, *, is_quiet: bool) -> Departure | None:
        """Whether the process may go now, and how; told once. Quiet: no request is under way."""
        if self.has_departed:
            return None
        departure = self._departure(now, is_quiet=is_quiet)
        self.has_departed = departure is not None
        return departure

    def _departure(self, now: float, *, is_quiet: bool) -> Departure | None:
        if self._hand_over is not None:
            self._hand_over.pump(now)
            departure = self._hand_over.departure(now)
            if departure is not None:
                return departure
        if self._drain is None:
            return None
        # A fenced node goes by its hand-over; to be asked to leave only sets it a deadline. So it is never quiet here.
        return self._drain.departure(now, is_quiet=is_quiet and self._hand_over is None)
