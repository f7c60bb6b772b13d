"""Any node answers: what another node must do is asked of it, once, and never further.

A get that finds nothing here stands in line like any other, and meanwhile the peers whose copies are not empty are
asked one after the other. Whatever comes first is its answer; what comes too late is given back.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from attrs import define, field

from dqtw.core.forwarding.batches import Piles
from dqtw.core.links.calls import call_timeout_s
from dqtw.core.links.peer_messages import Declined, Failed, Forward, Forwarded, PeerAnswer
from dqtw.core.links.peers import Peer, Peers, Then
from dqtw.core.model.commands import (
    Batchable,
    Command,
    Complete,
    Delivered,
    Delivery,
    Done,
    Forwardable,
    Get,
    GiveBack,
    Inspect,
    Outcome,
    Outcomes,
    Push,
    wait_max_s,
)
from dqtw.core.model.errors import Fenced, LeaseLost, OwnerDown, Refusal, Starting, Uncertain, Unknown
from dqtw.core.model.message import Receipt
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.commit import answer_late_s
from dqtw.core.replication.held_copy import HeldCopy
from dqtw.core.replication.ports import ForwardingOwner

forward_timeout_s: Final = 5.0


@define
class Hunt:
    """A get on its way through the peers.

    Attributes:
        left: whom it has yet to ask.
        since: the latest hint of which it has made use.
    """

    get: Get
    left: list[Peer]
    since: int


@define
class Completion:
    """A get whose messages are to be removed before they are handed out.

    Attributes:
        delivered: what the peer has leased to it.
        missing_count: of how many it has not said what became of them.
        removed: what is surely removed, and may be handed out.
        left: what surely is not, and is given back.
        is_in_doubt: whether there are others, of which that can't be known, so that nobody may have them from here.
    """

    delivered: Delivered
    missing_count: int
    removed: set[Receipt] = field(factory=set)
    left: list[Delivery] = field(factory=list)
    is_in_doubt: bool = False

    def take(self, delivery: Delivery, outcome: Outcome) -> None:
        """Note what became of a removal; who has lost its lease is not the one who removes it."""
        self.missing_count -= 1
        if isinstance(outcome, Done):
            self.removed.add(delivery.receipt)
        elif not isinstance(outcome, Refusal) or isinstance(outcome, Uncertain):
            self.is_in_doubt = True
        elif not isinstance(outcome, Unknown | LeaseLost):
            self.left.append(delivery)

    def outcome(self) -> Outcome:
        """What the client gets."""
        deliveries = tuple(each for each in self.delivered.deliveries if each.receipt in self.removed)
        if self.is_in_doubt and not deliveries:
            return Uncertain("the message was to be removed at delivery; whether it was is not known")
        return Delivered(deliveries)


class Forwarding:
    """What this node asks of others for its clients."""

    def __init__(
        self,
        settings: NodeSettings,
        peers: Peers,
        held: dict[str, HeldCopy],
        own: ForwardingOwner,
        answer: Callable[[int, Outcome], None],
    ) -> None:
        self._node = settings.node
        self._push_timeout_s = settings.push_timeout_s
        self._peers = peers
        self._held = held
        self._own = own
        self._answer = answer
        self._hunts: dict[int, Hunt] = {}  # by ticket: gets that stand in line here, and go round the peers
        self._out: dict[str, int] = dict.fromkeys(held, 0)  # how many of them are at each peer
        self._numbers: dict[str, int] = dict.fromkeys(held, 0)  # the last forward to each peer; they are numbered
        self._under_way = 0  # forwards that have no answer
        self._completing: set[int] = set()  # tickets of gets that wait until their messages are removed
        self._piles = Piles(self._ask)
        self._hunts_begun = 0  # hunts are counted, so that each begins with another peer
        self._hints = 0  # hints are numbered
        self._hinted = dict.fromkeys(held, 0)  # the latest of each owner

    def forward(self, now: float, ticket: int, owner: str, command: Command) -> None:
        """Let the owner do it, and answer what that came to.

        Raises:
            OwnerDown: it does not answer, and was not asked.
            Starting: this process has no incarnation yet, by which others know it.
        """
        peer = self._peers[owner]
        took = partial(self._forwarded, ticket, command)
        if not _can_be_asked(now, peer):
            raise OwnerDown(f"{owner} must answer this, and can't be reached")
        if not self._own.incarnation:
            raise Starting("this node has yet to learn what its peers know of it")
        if isinstance(command, Batchable):
            self._piles.add(peer, command, took)
            return
        self._ask(now, peer, command, took, self._timeout_s(command))

    def _timeout_s(self, command: Forwardable) -> float:
        """Return how long the answer is waited for: a push may first wait for a slot, and then for its copies."""
        if isinstance(command, Push):
            return min(command.wait_s, wait_max_s) + self._push_timeout_s + answer_late_s
        return forward_timeout_s

    @property
    def is_quiet(self) -> bool:
        """Whether everything that was forwarded has its answer."""
        return not self._under_way and not self._piles

    def pump(self, now: float) -> None:
        """Forward what came up in this turn and can go together."""
        self._piles.send(now)

    def _ask(self, now: float, peer: Peer, command: Forwardable, then: Then, timeout_s: float = call_timeout_s) -> None:
        self._numbers[peer.id] += 1
        forward = Forward(
            self._node, self._peers.cluster, self._own.incarnation, peer.boot, self._numbers[peer.id], command
        )
        self._under_way += 1
        peer.ask(now, forward, partial(self._answered, then), timeout_s)

    def _answered(self, then: Then, now: float, answer: PeerAnswer) -> None:
        self._under_way -= 1
        then(now, answer)

    def _forwarded(self, ticket: int, command: Command, now: float, answer: PeerAnswer) -> None:  # noqa: ARG002
        outcome = _outcome(answer)
        if isinstance(outcome, Fenced):
            outcome = OwnerDown("the owner is being replaced")
        elif isinstance(outcome, Uncertain) and isinstance(command, Inspect):  # it changes nothing
            outcome = OwnerDown("the node that must answer this did not")
        self._answer(ticket, outcome)

    # Gets that find nothing here.

    def hunt(self, now: float, ticket: int, get: Get) -> None:
        """Ask the peers that may have something for a get that waits in line."""
        self._hunts_begun += 1
        self._hunts[ticket] = Hunt(get, self._candidates(now), self._hints)
        self._go_on(now, ticket)

    def hinted(self, now: float, owner: str) -> None:
        """That owner has something ready: send as many of the waiting polls there as may be served."""
        self._hints += 1
        self._hinted[owner] = self._hints
        self._send_polls(now, owner)

    def _send_polls(self, now: float, owner: str) -> None:
        peer = self._peers[owner]
        count = self._held[owner].ready - self._out[owner]
        if count <= 0 or not _can_be_asked(now, peer):
            return
        for ticket, get in self._own.first_waiting(count, without=self._hunts):
            self._hunts[ticket] = Hunt(get, [peer], self._hints)
            self._go_on(now, ticket)

    def withdraw(self, ticket: int) -> bool:
        """Its client is gone: what still comes for it is given back; whether its answer was to come from here."""
        self._hunts.pop(ticket, None)  # who still stands in line is answered by nobody; who does not, by someone else
        is_completing = ticket in self._completing
        self._completing.discard(ticket)
        return is_completing

    def abandon(self) -> None:
        """Ask for nobody any more; what is being removed for a client may be removed, and it gets nothing."""
        self._hunts.clear()
        completing, self._completing = self._completing, set()
        for ticket in sorted(completing):
            self._answer(ticket, Uncertain("this node was replaced before it was known what is removed"))

    def _candidates(self, now: float) -> list[Peer]:
        """The peers whose copies are not empty, each get starting with another one; asked from the last on."""
        peers = [peer for peer in self._peers if self._held[peer.id].copy.live and _can_be_asked(now, peer)]
        at = self._hunts_begun % len(peers) if peers else 0
        return peers[at:] + peers[:at]

    def _go_on(self, now: float, ticket: int) -> None:
        hunt = self._hunts[ticket]
        if not hunt.left and hunt.get.wait_s > 0:  # some may have got something while it was out elsewhere
            hunt.left, hunt.since = self._hinted_since(now, hunt.since), self._hints
        if not self._own.is_in_line(ticket):
            del self._hunts[ticket]
        elif hunt.left:
            peer = hunt.left.pop()
            self._out[peer.id] += 1
            lease_s = None if hunt.get.ack_now else hunt.get.lease_s  # of no meaning to its client then
            command = Get(hunt.get.count_max, 0.0, lease_s)
            self._ask(now, peer, command, partial(self._returned, ticket, peer))
        else:
            del self._hunts[ticket]
            if hunt.get.wait_s <= 0:
                self._own.leave(ticket)
                self._answer(ticket, Delivered())

    def _hinted_since(self, now: float, hint: int) -> list[Peer]:
        """The peers that have had something ready after that hint, and more than others are sent for."""
        return [
            peer
            for peer in self._peers
            if self._hinted[peer.id] > hint
            and self._out[peer.id] < self._held[peer.id].ready
            and _can_be_asked(now, peer)
        ]

    def _returned(self, ticket: int, peer: Peer, now: float, answer: PeerAnswer) -> None:
        self._out[peer.id] -= 1
        outcome = answer.outcome if isinstance(answer, Forwarded) else None
        if not isinstance(outcome, Delivered) or not outcome.deliveries:
            if ticket in self._hunts:
                self._go_on(now, ticket)
        elif ticket not in self._hunts or not self._own.is_in_line(ticket):
            self._hunts.pop(ticket, None)
            self._give_back(peer, outcome.deliveries)
        else:
            get = self._hunts.pop(ticket).get
            self._own.leave(ticket)
            if get.ack_now:
                self._complete(ticket, peer, outcome)
            else:
                self._answer(ticket, outcome)
            self._send_polls(now, peer.id)

    def _give_back(self, peer: Peer, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self._piles.add(peer, GiveBack(delivery.receipt), _nobody_asked)

    def _complete(self, ticket: int, peer: Peer, delivered: Delivered) -> None:
        """Remove what is to be removed at delivery, and only then hand it out."""
        self._completing.add(ticket)
        completion = Completion(delivered, len(delivered.deliveries))
        for delivery in delivered.deliveries:
            then = partial(self._removed, ticket, peer, completion, delivery)
            self._piles.add(peer, Complete(delivery.receipt), then)

    def _removed(
        self,
        ticket: int,
        peer: Peer,
        completion: Completion,
        delivery: Delivery,
        now: float,  # noqa: ARG002
        answer: PeerAnswer,
    ) -> None:
        completion.take(delivery, _outcome(answer))
        if completion.missing_count:
            return
        self._give_back(peer, completion.left)
        if ticket in self._completing:  # else its client is gone
            self._completing.discard(ticket)
            self._answer(ticket, completion.outcome())


def _can_be_asked(now: float, peer: Peer) -> bool:
    """Whether it answers, and has said which process does."""
    return peer.is_up(now) and bool(peer.boot)


def _outcome(answer: PeerAnswer) -> Outcome:
    """What a forwarded command came to, as far as can be known."""
    if isinstance(answer, Forwarded) and not isinstance(answer.outcome, Outcomes):
        return answer.outcome
    if isinstance(answer, Declined) or (isinstance(answer, Failed) and not answer.was_sent):
        return OwnerDown("the node that must answer this did not, and has done nothing")
    return Uncertain("the owner was asked, and its answer was lost")


def _nobody_asked(now: float, answer: PeerAnswer) -> None:
    """Take an answer that interests nobody: at worst a lease runs out."""
