"""What peers send each other over a link: frames, one way each, and calls with their answers.

A frame belongs to one of three lanes. Order holds within a lane only. Sets of dots travel as ranges, times as the
sender's clock, of which the receiver keeps the difference to its own.
"""

import sys
from collections.abc import Iterable
from enum import Enum
from typing import ClassVar, TypeAlias

from msgspec import Struct, field

from dqtw.core.model.commands import Command, Delivered, Done, Inspected, Outcome, Pushed
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import Refusal, refusal_of
from dqtw.core.model.key_memory import KeyRecord
from dqtw.core.model.message import Message

NodeId: TypeAlias = str
BootId: TypeAlias = str
"""128 random bits in hexadecimal, which name one process."""


class Lane(Enum):
    """Which frames go first on a stream, and which yield."""

    STATUS = 0  # between any two pieces
    EXPRESS = 1
    BULK = 2  # yields to the others, but gets a quarter of the bytes


class Frame(Struct, frozen=True, array_like=True):
    """What is common to all frames."""

    lane: ClassVar[Lane] = Lane.EXPRESS


class Pair(Frame, frozen=True, array_like=True, tag="pair"):
    """The first frame of a stream that is in a pair: the names of both streams, as their writer sees them."""

    lane: ClassVar[Lane] = Lane.STATUS
    written: str
    read: str


class Heard(Struct, frozen=True, array_like=True):
    """One process, as the sender of a status has heard it.

    Attributes:
        incarnation: None before the process has taken one.
        is_going: the process is leaving, or was fenced.
        age_s: how long ago its last byte came, in seconds.
    """

    boot: str
    incarnation: str | None
    is_going: bool
    age_s: float


class NodeReport(Struct, frozen=True, array_like=True):
    """What the sender of a status knows of one node, itself not included.

    Attributes:
        greatest: the greatest incarnation known; None if none is known.
        address: the URL at which its newest process is reached; empty if it announced none.
        processes: those that were heard.
        in_session: the sender holds a replica for it in a session.
        is_current: by its owner's word that replica lacked nothing, and it did not change otherwise since.
        incarnation: of the owner in that session; None without a session.
    """

    greatest: str | None
    address: str
    processes: list[Heard]
    in_session: bool
    is_current: bool
    incarnation: str | None


class Status(Frame, frozen=True, array_like=True, tag="status"):
    """Sent when a link comes up, each second, and at each change.

    Attributes:
        running_s: for how long the sender's process runs, or has run since it was last paused, in seconds.
        is_going: the sender is leaving, or was fenced.
        express_read, bulk_read: how many bytes of these lanes the sender has read on this link.
        nodes: what it knows of each other node.
        members: of its cluster, as it was told.
        settings: those that should be the same on all nodes, by option.
    """

    lane: ClassVar[Lane] = Lane.STATUS
    node: str
    incarnation: str | None
    running_s: float
    is_going: bool
    express_read: int
    bulk_read: int
    nodes: dict[str, NodeReport]
    members: list[str]
    settings: dict[str, float]


# Sessions: the initiator is an owner, or (role COPY) a peer that compares a third node's replica.


class Role(Enum):
    """In which role a session is opened."""

    OWNER = "owner"
    COPY = "copy"


class Open(Frame, frozen=True, array_like=True, tag="open"):
    """Begin a session about one owner's messages.

    Attributes:
        session: the number of this session on this link, greater than any before from this side.
        owner: the node whose messages it is about.
        incarnation: role OWNER: the sender's own. Role COPY: the greatest one known of that owner, or None.
        body_bytes_max: the largest message that the owner accepts.
    """

    session: int
    owner: str
    role: Role
    incarnation: str | None
    body_bytes_max: int


class Opened(Frame, frozen=True, array_like=True, tag="opened"):
    """Accept a session; the first page of the digest follows as a `PageRead`.

    Attributes:
        was_complete: this replica was complete once since the sender's process took its incarnation.
        changes: the number of the last `Changed` of the sender's process for this owner.
    """

    lane: ClassVar[Lane] = Lane.BULK
    session: int
    was_complete: bool
    changes: int


class Declined(Frame, frozen=True, array_like=True, tag="declined"):
    """Refuse a session for now; the initiator asks again every second."""

    session: int
    why: str


class Fenced(Frame, frozen=True, array_like=True, tag="fenced"):
    """Report that a greater incarnation of that node exists."""

    node: str
    greatest: str


class ReadPage(Frame, frozen=True, array_like=True, tag="read_page"):
    """Ask for the page of the digest past ``after``."""

    session: int
    after: Dot | None


class PageRead(Frame, frozen=True, array_like=True, tag="page"):
    """One page of the digest; see `dqtw.core.model.replica.Page`."""

    lane: ClassVar[Lane] = Lane.BULK
    session: int
    seen: DotSet
    live: DotSet
    after: Dot | None
    upto: Dot | None


class Record(Struct, frozen=True, array_like=True):
    """The key of a removed message; the time is on the sender's clock."""

    key: str
    incarnation: str
    n: int
    digest: bytes
    removed_s: float


class Contents(Struct, frozen=True, array_like=True):
    """Messages, and removals with the records of their keys.

    Attributes:
        puts: by incarnation: numbers and messages.
        removed: the dots of removed messages.
        records: the keys of those that had one.
    """

    puts: dict[str, list[tuple[int, Message]]] = field(default_factory=dict)
    removed: DotSet = field(default_factory=DotSet)
    records: list[Record] = field(default_factory=list)


class Fetch(Frame, frozen=True, array_like=True, tag="fetch"):
    """Ask for messages, and for the removals of others with the records of their keys."""

    session: int
    messages: DotSet
    records: DotSet


class Fetched(Frame, frozen=True, array_like=True, tag="fetched"):
    """Some of what was asked for, at least one; ``clock_s``: the sender's clock, in seconds.

    Attributes:
        absent: dots among those asked for of which the sender has neither the message nor the removal.
    """

    lane: ClassVar[Lane] = Lane.BULK
    session: int
    clock_s: float
    contents: Contents
    absent: DotSet


class Delta(Frame, frozen=True, array_like=True, tag="delta"):
    """A part of the owner's log.

    Attributes:
        upto: the index of the last entry in it.
        clock_s: the sender's clock, in seconds.
        is_synced: the last page is compared, and neither side lacks anything besides what the log says.
        is_whole: the owner has met (a) or (b) of its start, or has recovered from all members since.
        changes_received: the number of the last `Changed` that the owner has received.
        ready: how many messages could be delivered now, of each queue that the peer's polls wait for.
    """

    session: int
    upto: int
    clock_s: float
    contents: Contents
    is_synced: bool
    is_whole: bool
    changes_received: int
    ready: dict[str, int]


class Applied(Frame, frozen=True, array_like=True, tag="applied"):
    """Confirm all log entries up to ``upto``, and all backfill up to the number ``backfill``; 0: none."""

    session: int
    upto: int
    backfill: int


class Backfill(Frame, frozen=True, array_like=True, tag="backfill"):
    """What the peer's digest lacks; numbered for the life of the link."""

    lane: ClassVar[Lane] = Lane.BULK
    session: int
    number: int
    clock_s: float
    contents: Contents


class Changed(Frame, frozen=True, array_like=True, tag="changed"):
    """Report to the initiator of a session what changed here in another way than by that session.

    Attributes:
        number: greater by one than that of the change before; numbers run on for the life of the sender's process.
        live: dots of messages that are new here.
    """

    lane: ClassVar[Lane] = Lane.BULK
    session: int
    number: int
    clock_s: float
    live: DotSet
    removed: DotSet
    records: list[Record]


class Synced(Frame, frozen=True, array_like=True, tag="synced"):
    """Role COPY: both replicas are equal, as of the last `Changed` that the sender has received."""

    lane: ClassVar[Lane] = Lane.BULK
    session: int
    changes_received: int


class End(Frame, frozen=True, array_like=True, tag="end"):
    """End a session that this side has opened."""

    session: int


class Interest(Frame, frozen=True, array_like=True, tag="interest"):
    """The queues that polls at the sender wait for."""

    queues: list[str]


# Calls: each has a number, greater than any before on this link from this side, and is answered at most once.


class Forward(Frame, frozen=True, array_like=True, tag="forward"):
    """Carry out commands of the sender's clients, each for itself; the calls ``first``, ``first`` + 1, …"""

    first: int
    commands: list[Command]


class Refused(Struct, frozen=True, array_like=True, tag="refused"):
    """A `dqtw.core.model.errors.Refusal`, by its code."""

    code: str
    detail: str


class Forwarded(Frame, frozen=True, array_like=True, tag="forwarded"):
    """The outcomes of forwarded commands: each with the number of its call, in the order in which they were reached."""

    outcomes: list[tuple[int, Pushed | Delivered | Done | Inspected | Refused]]


class Leave(Frame, frozen=True, array_like=True, tag="leave"):
    """Ask whether the receiver stays, and tell that the sender does not. Answered with `Stays`."""

    call: int


class Stays(Frame, frozen=True, array_like=True, tag="stays"):
    """Answer a `Leave`."""

    call: int
    yes: bool


AnyFrame: TypeAlias = (
    Pair
    | Status
    | Open
    | Opened
    | Declined
    | Fenced
    | ReadPage
    | PageRead
    | Fetch
    | Fetched
    | Delta
    | Applied
    | Backfill
    | Changed
    | Synced
    | End
    | Interest
    | Forward
    | Forwarded
    | Leave
    | Stays
)


def arrived(now: float, clock_s: float, contents: Contents) -> Contents:
    """Shift the push times of received messages from the sender's clock to this process's, in place."""
    shift = now - clock_s
    for messages in contents.puts.values():
        for _, message in messages:
            message.born_s += shift
            message.content_type = sys.intern(message.content_type)  # millions of messages share a few types
    return contents


def to_records(records: Iterable[KeyRecord]) -> list[Record]:
    """Return key records as they are sent."""
    return [Record(each.key, each.dot[0], each.dot[1], each.digest, each.removed_s) for each in records]


def from_records(now: float, clock_s: float, records: Iterable[Record]) -> list[KeyRecord]:
    """Return received key records, with times on this process's clock."""
    shift = now - clock_s
    return [KeyRecord(each.key, (each.incarnation, each.n), each.digest, each.removed_s + shift) for each in records]


def to_outcome(outcome: Outcome) -> Pushed | Delivered | Done | Inspected | Refused:
    """Return an outcome as it is sent."""
    return Refused(outcome.code, outcome.detail) if isinstance(outcome, Refusal) else outcome


def from_outcome(outcome: Pushed | Delivered | Done | Inspected | Refused) -> Outcome:
    """Return a received outcome."""
    return refusal_of(outcome.code, outcome.detail) if isinstance(outcome, Refused) else outcome
