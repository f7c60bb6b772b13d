"""What the core asks of the world around it."""

from typing import Literal, TypeAlias

from attrs import field, frozen

from dqtw.core.commands import Outcome
from dqtw.core.leaving import Departure
from dqtw.core.peer_messages import Asking, PeerAnswer

Level: TypeAlias = Literal["info", "warn"]


@frozen
class Answer:
    """Tell the client that holds this ticket."""

    ticket: int
    outcome: Outcome


@frozen
class Reply:
    """Tell the peer that holds this ticket."""

    ticket: int
    answer: PeerAnswer


@frozen
class Event:
    """Something happened in the life of the node or of a peer; for the log.

    Attributes:
        what: in words, with the names of the facts in braces.
        level: of the log line.
    """

    what: str
    facts: dict[str, object] = field(factory=dict)
    level: Level = "info"


Effect: TypeAlias = Answer | Reply | Asking | Event | Departure
