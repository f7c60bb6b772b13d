"""What nodes say to each other: requests, and what may answer each.

Every value in here is complete in itself and is never changed once made: a request may be repeated, delayed or lost,
and parts of it are kept by both sides.
"""

from enum import Enum
from typing import NamedTuple, TypeAlias

from attrs import field, frozen

from dqtw.core.model.commands import Forwardable, Outcome, Outcomes
from dqtw.core.model.copy import Digest
from dqtw.core.model.id_set import Dot, IdSet
from dqtw.core.model.keys import KeyRecord
from dqtw.core.model.message import Message, MessageId
from dqtw.core.model.settings import SharedSettings

Addresses: TypeAlias = dict[str, tuple[str, str]]
"""Node id to its incarnation and the URL at which peers reach it; the greater incarnation is the truer one."""


class Put(NamedTuple):
    """A message on its way to another copy; its age stands in for a time, because nodes share no clock."""

    id: MessageId
    body: bytes
    content_type: str
    key: str | None
    age_s: float

    @classmethod
    def of(cls, now: float, id: MessageId, message: Message) -> "Put":
        """Tell a message to a peer."""
        return cls(id, message.body, message.content_type, message.key, max(now - message.born_s, 0.0))

    def message(self, now: float) -> Message:
        """Hold it here."""
        return Message(self.body, self.content_type, self.key, now - self.age_s)


class Role(Enum):
    """In which right a session is opened: as the queue's owner, or as another that holds a copy of it."""

    OWNER = "owner"
    COPY = "copy"


# Requests.


@frozen
class Ask:
    """What do you know of this queue? Asking changes nothing."""

    queue: str
    cluster: str


@frozen
class Open:
    """Let us bring our copies of this queue together.

    Attributes:
        nonce: echoed by the answer, so that an answer serves one open only.
        body_bytes_max: the largest body that this node takes from clients; its peers hold as much, whatever they take.
    """

    queue: str
    role: Role
    cluster: str
    node: str
    boot: str
    incarnation: str
    nonce: str
    body_bytes_max: int
    members: tuple[str, ...]
    addresses: Addresses


@frozen
class Page:
    """Tell the next part of your digest, past ``after``, and of your keys, from number ``keys_from`` on."""

    queue: str
    token: str
    request: int
    after: Dot | None
    keys_from: int


@frozen
class Delta:
    """What changed here, or what you lack.

    Attributes:
        synced: once this is applied, the peer lacks nothing.
        ready: how many messages the owner could deliver now; a hint to those whose clients wait.
    """

    queue: str
    token: str
    request: int
    incarnation: str
    gone: IdSet
    put: tuple[Put, ...] = ()
    keys: tuple[KeyRecord, ...] = ()
    synced: bool = False
    ready: int = 0


@frozen
class Fetch:
    """Give me these messages."""

    queue: str
    token: str
    request: int
    ids: IdSet


@frozen
class Forward:
    """Carry this command out for a client of mine; never forwarded further, and never carried out a second time.

    Attributes:
        incarnation: of the process that asks; its node's newer processes have greater ones.
        to: the process that is asked; no other is meant.
        number: from 1 up, another one for each forward of that process to that node.
    """

    node: str
    cluster: str
    incarnation: str
    to: str
    number: int
    command: Forwardable


PeerRequest: TypeAlias = Ask | Open | Page | Delta | Fetch | Forward

# Answers. Each one in a session says whether its node is leaving: about to stop, and no holder to rely on.


@frozen
class Asked:
    """What is known of the queue that was asked for.

    Attributes:
        greatest: the greatest incarnation of its owner that was heard of; empty: none.
        owner_boot: the process that opened as its owner last; empty: none did.
        heard_s_ago: for how long that process has been silent.
        synced_once: this copy lacked nothing at some time since the process that answers took its incarnation, and
            since it last stood still.
        in_sync: the owner of the greatest incarnation has said that this copy lacks nothing, and nothing changed since.
        leaving: this node is about to stop.
        fenced: it was replaced, and stays until others hold all that it holds.
    """

    node: str
    boot: str
    greatest: str
    owner_boot: str
    heard_s_ago: float
    synced_once: bool
    in_sync: bool
    leaving: bool
    fenced: bool
    addresses: Addresses


@frozen
class Opened:
    """The session's token, and the first page of what this copy holds."""

    node: str
    boot: str
    nonce: str
    token: str
    digest: Digest
    keys: tuple[KeyRecord, ...]
    keys_left: bool
    members: tuple[str, ...]
    settings: SharedSettings
    addresses: Addresses
    leaving: bool


@frozen
class Paged:
    """One more page."""

    node: str
    boot: str
    token: str
    request: int
    digest: Digest | None
    keys: tuple[KeyRecord, ...]
    keys_left: bool
    leaving: bool


@frozen
class Applied:
    """A delta was taken in.

    Attributes:
        shared: since the last such answer this copy was given to another peer.
        cannot_reach: why requests of this node to the owner fail at present, in words; empty: they do not.
    """

    node: str
    boot: str
    token: str
    request: int
    shared: bool
    cannot_reach: str
    leaving: bool


@frozen
class Fetched:
    """The messages asked for: here they are, or they are gone; the rest is to be asked for again."""

    node: str
    boot: str
    token: str
    request: int
    put: tuple[Put, ...]
    gone: IdSet
    leaving: bool


@frozen
class Forwarded:
    """What the command came to."""

    outcome: Outcome | Outcomes


@frozen
class FencedOff:
    """A greater incarnation of this owner was heard of."""

    node: str
    boot: str
    greatest: str


@frozen
class NoSession:
    """No session has this token: open anew. Or a forward was meant for another process than this one.

    A process that has handed everything over, and is about to end, says nothing else: it confirms nothing, and denies
    nothing that it may have done.
    """

    node: str
    boot: str


@frozen
class Declined:
    """This node does not speak with the asker at all, and says why."""

    why: str


@frozen
class Failed:
    """No answer came, or none that can be trusted. Made by the asker's own side, never sent.

    Attributes:
        was_sent: the peer may have had the request; False only when it surely has not.
        node: the node that answered in place of the peer, and did nothing; empty: none did.
    """

    why: str
    was_sent: bool = True
    node: str = ""


InSession: TypeAlias = Opened | Paged | Applied | Fetched
PeerAnswer: TypeAlias = Asked | InSession | Forwarded | FencedOff | NoSession | Declined | Failed


@frozen
class Asking:
    """One request on its way.

    Attributes:
        call: the number under which its answer is expected.
        peer: the node that is asked.
        url: the address at which that node is asked.
        timeout_s: how long the answer is waited for.
    """

    call: int
    peer: str
    url: str
    request: PeerRequest = field(repr=lambda request: type(request).__name__)
    timeout_s: float
