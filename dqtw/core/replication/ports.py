"""The seams of the core: what each part asks of the one that made it, and tells it.

A part knows the parts it is made of, and of the one above only what stands here.
"""

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from dqtw.core.links.peer_messages import Open, Put
from dqtw.core.model.commands import Get, Outcome
from dqtw.core.model.copy import Copy
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.keys import KeyMemory, KeyRecord
from dqtw.core.model.message import MessageId

if TYPE_CHECKING:
    from dqtw.core.replication.opener import Opener


class OwnerWorld(Protocol):
    """What an owner needs of its node, and tells it."""

    def answer(self, ticket: int, outcome: Outcome) -> None:
        """Answer a request."""
        ...

    def is_serving(self) -> bool:
        """Whether messages are delivered now."""
        ...

    def is_complete(self) -> bool:
        """Whether the start is over, and this node is its queue's owner still: the others must have its copy."""
        ...

    def open_request(self, nonce: str) -> Open:
        """What to open sessions with."""
        ...

    def peer_changed(self, peer: str) -> None:
        """A session began or ended."""
        ...

    def fenced(self, now: float, greatest: str) -> None:
        """A peer knows a greater incarnation of this owner."""
        ...


class LinksOwner(Protocol):
    """What the links need of the queue's owner, and tell it."""

    copy: Copy
    keys: KeyMemory
    incarnation: str

    def is_complete(self) -> bool:
        """Whether the owner's start is over, and it was not replaced."""
        ...

    def ready_count(self) -> int:
        """How many messages could be delivered now."""
        ...

    def last_number(self) -> int:
        """The number given last."""
        ...

    def peer_sent(self, peer: str, put: IdSet) -> None:
        """These messages are on their way to the peer."""
        ...

    def peer_not_sent(self, peer: str, put: IdSet) -> None:
        """These messages did not go to the peer after all."""
        ...

    def peer_knows(self, peer: str, put: IdSet, gone: IdSet) -> None:
        """The peer holds these, and knows those as removed."""
        ...

    def peer_joined(self, peer: str) -> None:
        """The peer is in session."""
        ...

    def peer_left(self, peer: str) -> None:
        """The peer is no longer in session."""
        ...

    def given_away(self, ids: Iterable[MessageId]) -> None:
        """A peer has these, out of session."""
        ...

    def peer_shared(self, peer: str) -> None:
        """The peer has given its copy to another peer."""
        ...

    def removed_elsewhere(self, ids: IdSet) -> None:
        """These were removed, as a peer knows."""
        ...

    def recovered(self, now: float, put: tuple[Put, ...]) -> list[MessageId]:
        """A peer had these messages; those that were news here."""
        ...

    def fenced(self, now: float, greatest: str) -> None:
        """A peer knows a greater incarnation."""
        ...


@frozen
class Flight:
    """What a delta tells the peer."""

    gone: IdSet
    put: IdSet


class OpenerHome(Protocol):
    """The copy that is brought together with a peer's, and who wants to know how that goes."""

    copy: Copy
    keys: KeyMemory

    def incarnation(self) -> str:
        """In which incarnation of the owner the copy here speaks."""
        ...

    def open_request(self, nonce: str) -> Open:
        """What to open with."""
        ...

    def is_complete(self) -> bool:
        """Whether the copy here is all there is, so that who lacks nothing of it lacks nothing at all."""
        ...

    def ready_count(self) -> int:
        """How many messages could be delivered here now."""
        ...

    def check(self, ids: IdSet) -> None:
        """See whether a peer may know of these ids.

        Raises:
            PeerFault: they were never given.
        """
        ...

    def session_begun(self, opener: "Opener") -> None:
        """The peer's digest is read: from now on what it knows is known."""
        ...

    def session_ended(self, opener: "Opener") -> None:
        """Nothing more is known of what the peer knows."""
        ...

    def fenced(self, now: float, opener: "Opener", greatest: str) -> None:
        """The peer knows a greater incarnation."""
        ...

    def shared(self, opener: "Opener") -> None:
        """The peer has given its copy to another."""
        ...

    def sent(self, opener: "Opener", flight: Flight) -> None:
        """This is on its way to the peer."""
        ...

    def unsent(self, opener: "Opener", flight: Flight) -> None:
        """This was said to be on its way to the peer, and never was."""
        ...

    def known(self, opener: "Opener", flight: Flight) -> None:
        """The peer knows all this now."""
        ...

    def needs(self, opener: "Opener", ids: IdSet) -> None:
        """The peer has these, and the copy here has not."""
        ...

    def learned(self, now: float, opener: "Opener", record: KeyRecord) -> bool:
        """The peer remembers the key of a message that was removed; whether that was news here."""
        ...

    def removed(self, opener: "Opener", ids: IdSet) -> None:
        """The peer knows these as removed, and the copy here does not."""
        ...

    def rescued(self, now: float, opener: "Opener", put: tuple[Put, ...]) -> None:
        """The peer had these messages, and here they are."""
        ...


class HolderEvents(Protocol):
    """What a holder tells its node."""

    def hinted(self, now: float, owner: str) -> None:
        """That owner may have messages to deliver."""
        ...

    def is_leaving(self) -> bool:
        """Whether this node is about to stop."""
        ...

    def is_fenced(self) -> bool:
        """Whether it was replaced, and stays until others hold all that it holds."""
        ...


class ForwardingOwner(Protocol):
    """The queue of this node: who waits for a message there, and in which incarnation its owner speaks."""

    incarnation: str

    def is_in_line(self, ticket: int) -> bool:
        """Whether the poll still stands in line."""
        ...

    def first_waiting(self, count: int, *, without: Container[int]) -> list[tuple[int, Get]]:
        """So many polls, the first in line of those that are not among these."""
        ...

    def leave(self, ticket: int) -> None:
        """Take a poll out of the line: its answer is on its way."""
        ...
