"""A forward is carried out at most once, however often the network brings it.

Its sender numbers its forwards, and names its own process, by its incarnation, and the process that it means to ask.
So all that was asked of a process that has ended, or by one that was replaced, is told from what is new, and of each
sender's present process the numbers are remembered, in a window that slides along as in IPsec (RFC 4303, section
3.4.3): several connections bring forwards out of order.

What is refused here may have been carried out when it came before; so nothing in here says that it was not done.
"""

from typing import Final

from attrs import define, field

from dqtw.core.links.peer_messages import Declined, FencedOff, Forward, Forwarded, NoSession, PeerAnswer
from dqtw.core.links.peers import Peers
from dqtw.core.model.errors import Uncertain
from dqtw.core.replication.held_copy import HeldCopy

window_numbers: Final = 2**16  # more than can overtake a forward before its sender gives it up


class ReplayWindow:
    """Which of a sender's numbers were taken; its memory is one bit for each of the window's numbers, and no more."""

    def __init__(self, size: int = window_numbers) -> None:
        self._size = size
        self._all = (1 << size) - 1
        self._last = 0
        self._taken = 0  # bit k stands for the k-th number before the last

    def take(self, number: int) -> bool:
        """Take a number, from 1 up; False when it was taken before, or is too old for that to be known."""
        ahead = number - self._last
        if ahead > 0:
            self._taken = (self._taken << ahead | 1) & self._all if ahead < self._size else 1
            self._last = number
            return True
        if -ahead >= self._size or self._taken >> -ahead & 1:
            return False
        self._taken |= 1 << -ahead
        return True


@define
class Sender:
    """One process that forwards to this node."""

    incarnation: str
    numbers: ReplayWindow = field(factory=ReplayWindow)


class Replays:
    """Tells forwards that are new from those that may have come before.

    Args:
        node: this node's id.
        peers: the other members; their cluster and this process have names.
        held: what is known of each other member; of each, one process is remembered.
    """

    def __init__(self, node: str, peers: Peers, held: dict[str, HeldCopy]) -> None:
        self._node = node
        self._cluster = peers.cluster
        self._boot = peers.boot
        self._held = held
        self._senders: dict[str, Sender] = {}

    def refusal(self, forward: Forward) -> PeerAnswer | None:
        """What to answer instead of carrying it out; None when it is to be carried out: now, and never again."""
        held = self._held.get(forward.node)
        if forward.to != self._boot:  # first: the process that it means may have carried it out
            return NoSession(self._node, self._boot)
        if forward.cluster != self._cluster:
            return Declined(f"this is a node of cluster {self._cluster}, not {forward.cluster}")
        if held is None:
            return Declined(f"{self._node} knows no member {forward.node}")
        held.heard_of(forward.incarnation)
        if forward.incarnation < held.greatest:
            return FencedOff(self._node, self._boot, held.greatest)
        if not self._sender(forward).numbers.take(forward.number):
            return Forwarded(Uncertain("this was asked before, and what came of it was answered then"))
        return None

    def _sender(self, forward: Forward) -> Sender:
        """The process that forwards; of an older one nothing is taken any more, and nothing need be remembered."""
        sender = self._senders.get(forward.node)
        if sender is None or sender.incarnation != forward.incarnation:
            sender = self._senders[forward.node] = Sender(forward.incarnation)
        return sender
