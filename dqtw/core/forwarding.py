"""Any node answers: what another node must do is asked of it, once, and never further.

A get that finds nothing here stands in line like any other, and meanwhile the peers whose copies are not empty are
asked one after the other. Whatever comes first is its answer; what comes too late is given back.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from attrs import define, field

from dqtw.core.calls import call_timeout_s
from dqtw.core.commands import (
    Ack,
    Command,
    Delivered,
    Done,
    Get,
    GiveBack,
    Inspect,
    Outcome,
    Push,
    wait_max_s,
)
from dqtw.core.errors import Fenced, OwnerDown, Refusal, Starting, Uncertain
from dqtw.core.holder import HeldCopy
from dqtw.core.message import Receipt
from dqtw.core.peer_messages import Declined, Failed, Forward, Forwarded, PeerAnswer
from dqtw.core.peers import Peer, Peers, Then
from dqtw.core.ports import ForwardingOwner

forward_timeout_s: Final = 5.0


@define
class Hunt:
    """A get on its way through the peers."""

    get: Get
    left: list[Peer] = field(factory=list)


class Forwarding:
    """What this node asks of others for its clients."""

    def __init__(
        self,
        node: str,
        peers: Peers,
        held: dict[str, HeldCopy],
        own: ForwardingOwner,
        answer: Callable[[int, Outcome], None],
    ) -> None:
        self._node = node
        self._peers = peers
        self._held = held
        self._own = own
        self._answer = answer
        self._hunts: dict[int, Hunt] = {}
        self._out: dict[str, int] = dict.fromkeys(held, 0)
        self._numbers: dict[str, int] = dict.fromkeys(held, 0)
        self._completing: dict[int, Delivered] = {}
        self._turn = 0

    def forward(self, now: float, ticket: int, owner: str, command: Command) -> None:
        """Let the owner do it, and answer what that came to.

        Raises:
            OwnerDown: it does not answer, and was not asked.
            Starting: this process has no incarnation yet, by which others know it.
        """
        peer = self._peers[owner]
        if not _can_be_asked(now, peer):
            raise OwnerDown(f"{owner} must answer this, and can't be reached")
        if not self._own.incarnation:
            raise Starting("this node has yet to learn what its peers know of it")
        wait_s = min(command.wait_s, wait_max_s) if isinstance(command, Push) else 0.0
        timeout_s = forward_timeout_s + (wait_s + forward_timeout_s * 2 if isinstance(command, Push) else 0.0)
        self._ask(now, peer, command, partial(self._forwarded, ticket, command), timeout_s)

    def _ask(self, now: float, peer: Peer, command: Command, then: Then, timeout_s: float = call_timeout_s) -> None:
        self._numbers[peer.id] += 1
        forward = Forward(self._node, self._own.incarnation, peer.boot, self._numbers[peer.id], command)
        peer.ask(now, forward, then, timeout_s)

    def _forwarded(self, ticket: int, command: Command, now: float, answer: PeerAnswer) -> None:  # noqa: ARG002
        outcome = answer.outcome if isinstance(answer, Forwarded) else _lost(answer)
        if isinstance(outcome, Fenced):
            outcome = OwnerDown("the owner is being replaced")
        elif isinstance(outcome, Uncertain) and isinstance(command, Inspect):  # it changes nothing
            outcome = OwnerDown("the node that must answer this did not")
        self._answer(ticket, outcome)

    # Gets that find nothing here.

    def hunt(self, now: float, ticket: int, get: Get) -> None:
        """Ask the peers that may have something for a get that waits in line."""
        self._turn += 1
        self._hunts[ticket] = Hunt(get, self._candidates(now))
        self._go_on(now, ticket)

    def hinted(self, now: float, owner: str) -> None:
        """That owner has something ready: send as many of the waiting polls there as may be served."""
        peer = self._peers[owner]
        while self._out[owner] < self._held[owner].ready and _can_be_asked(now, peer):
            found = self._own.first_waiting(without=self._hunts)
            if found is None:
                return
            ticket, get = found
            self._hunts[ticket] = Hunt(get, [peer])
            self._go_on(now, ticket)

    def withdraw(self, ticket: int) -> bool:
        """Its client is gone: what still comes for it is given back; whether its answer was to come from here."""
        self._hunts.pop(ticket, None)  # who still stands in line is answered by nobody; who does not, by someone else
        return self._completing.pop(ticket, None) is not None

    def abandon(self, refusal: Refusal) -> None:
        """Ask for nobody any more."""
        self._hunts.clear()
        completing, self._completing = self._completing, {}
        for ticket in completing:
            self._answer(ticket, refusal)

    def _candidates(self, now: float) -> list[Peer]:
        """The peers whose copies are not empty, each get starting with another one; asked from the last on."""
        peers = [peer for peer in self._peers if self._held[peer.id].copy.live and _can_be_asked(now, peer)]
        at = self._turn % len(peers) if peers else 0
        return peers[at:] + peers[:at]

    def _go_on(self, now: float, ticket: int) -> None:
        hunt = self._hunts[ticket]
        if not self._own.is_waiting(ticket):
            del self._hunts[ticket]
        elif hunt.left:
            peer = hunt.left.pop()
            self._out[peer.id] += 1
            command = Get(hunt.get.count_max, 0.0, hunt.get.lease_s)
            self._ask(now, peer, command, partial(self._returned, ticket, peer))
        else:
            del self._hunts[ticket]
            if hunt.get.wait_s <= 0:
                self._own.leave(ticket)
                self._answer(ticket, Delivered())

    def _returned(self, ticket: int, peer: Peer, now: float, answer: PeerAnswer) -> None:
        self._out[peer.id] -= 1
        outcome = answer.outcome if isinstance(answer, Forwarded) else None
        if not isinstance(outcome, Delivered) or not outcome.deliveries:
            if ticket in self._hunts:
                self._go_on(now, ticket)
        elif ticket not in self._hunts or not self._own.is_waiting(ticket):
            self._hunts.pop(ticket, None)
            self._give_back(now, peer, outcome)
        else:
            get = self._hunts.pop(ticket).get
            self._own.leave(ticket)
            if get.ack_now:
                self._complete(now, ticket, peer, outcome)
            else:
                self._answer(ticket, outcome)
            self.hinted(now, peer.id)

    def _give_back(self, now: float, peer: Peer, delivered: Delivered) -> None:
        for delivery in delivered.deliveries:
            self._ask(now, peer, GiveBack(delivery.receipt), _nobody_asked)

    def _complete(self, now: float, ticket: int, peer: Peer, delivered: Delivered) -> None:
        """Remove what is to be removed at delivery, and only then hand it out."""
        self._completing[ticket] = delivered
        unanswered = [delivery.receipt for delivery in delivered.deliveries]
        removed: set[Receipt] = set()

        def acked(receipt: Receipt, now: float, answer: PeerAnswer) -> None:  # noqa: ARG001
            unanswered.remove(receipt)
            if isinstance(answer, Forwarded) and isinstance(answer.outcome, Done):
                removed.add(receipt)
            if not unanswered and self._completing.pop(ticket, None) is not None:
                self._hand_out(ticket, delivered, removed)

        for receipt in list(unanswered):
            self._ask(now, peer, Ack(receipt.id), partial(acked, receipt))

    def _hand_out(self, ticket: int, delivered: Delivered, removed: set[Receipt]) -> None:
        """Hand out what is surely removed; of the rest that can't be known, so nobody may have it from here."""
        deliveries = tuple(each for each in delivered.deliveries if each.receipt in removed)
        lost = Uncertain("the message was to be removed at delivery; whether it was is not known")
        self._answer(ticket, Delivered(deliveries) if deliveries else lost)


def _can_be_asked(now: float, peer: Peer) -> bool:
    """Whether it answers, and has said which process does."""
    return peer.is_up(now) and bool(peer.boot)


def _lost(answer: PeerAnswer) -> Refusal:
    """What to make of a forward that was not answered with an outcome."""
    if isinstance(answer, Declined) or (isinstance(answer, Failed) and not answer.was_sent):
        return OwnerDown("the node that must answer this did not, and has done nothing")
    return Uncertain("the owner was asked, and its answer was lost")


def _nobody_asked(now: float, answer: PeerAnswer) -> None:
    """Take an answer that interests nobody: at worst a lease runs out."""
