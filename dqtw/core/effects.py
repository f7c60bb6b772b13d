"""What the core asks of the world around it."""

from enum import Enum
from typing import Literal, TypeAlias

from attrs import field, frozen

from dqtw.core.links.streams import LinkEffect
from dqtw.core.model.commands import Outcome

Level: TypeAlias = Literal["info", "warn"]


@frozen
class Answer:
    """Tell the client that holds this ticket."""

    ticket: int
    outcome: Outcome


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


class Status(Enum):
    """With which status the process exits."""

    DRAINED = 0
    FENCED = 3
    ALONE = 4


@frozen
class Departure:
    """The process may go: its exit status, and how many messages no other node holds as far as it knows."""

    status: Status
    messages_lost: int


Effect: TypeAlias = Answer | LinkEffect | Event | Departure
