"""What a client may ask of a node, and what it may be answered.

A door turns bytes into one of these commands and an outcome back into bytes. Every command is answered once, with
its outcome or with a `dqtw.core.model.errors.Refusal`.
"""

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from dqtw.core.model.errors import BadRequest, Refusal
from dqtw.core.model.message import Message, MessageId, Receipt, content_type_default

wait_max_s = 30.0
get_count_max = 1000
batch_count_max = 1000
get_bytes_max = 16 * 1024 * 1024  # a get stops before the next message once it has this much


class Push(Struct, frozen=True, array_like=True, tag="push"):
    """Put a message on the queue. Answered with `Pushed`.

    Refused with full, too_large, key_reused, unreplicated, uncertain, owner_down, starting, draining, fenced, busy.
    """

    body: bytes
    content_type: str = content_type_default
    key: str | None = None
    wait_s: float = 0.0


class Get(Struct, frozen=True, array_like=True, tag="get"):
    """Lease up to ``count_max`` messages. Answered with `Delivered`, empty when there is nothing.

    Refused with starting, draining, fenced, busy.

    Attributes:
        wait_s: how long to wait for the first message; more than `wait_max_s` counts as that.
        lease_s: how long the delivery is hidden from others; None for the node's default.
        ack_now: remove at delivery: at most once, on the client's demand.
    """

    count_max: int = 1
    wait_s: float = 0.0
    lease_s: float | None = None
    ack_now: bool = False


class Ack(Struct, frozen=True, array_like=True, tag="ack"):
    """Remove a message: the work is done. Answered with `Done`; refused with unknown, owner_down, uncertain, …"""

    id: MessageId


class Nack(Struct, frozen=True, array_like=True, tag="nack"):
    """Give a lease up. Answered with `Done`; refused with lease_lost, unknown, owner_down, uncertain, …"""

    receipt: Receipt
    delay_s: float = 0.0


class Touch(Struct, frozen=True, array_like=True, tag="touch"):
    """Start a lease anew, by default with its own length. Answered with `Done`; refused as `Nack` is."""

    receipt: Receipt
    lease_s: float | None = None


class GiveBack(Struct, frozen=True, array_like=True, tag="giveback"):
    """Undo a delivery that never reached its client: ready again, the attempt not counted. Answered with `Done`."""

    receipt: Receipt


class Complete(Struct, frozen=True, array_like=True, tag="complete"):
    """Remove what was leased for a get that removes at delivery. Answered with `Done`; refused as `Nack` is.

    Between nodes only: the node that talks to the client asks for it, and hands nothing out before. A message whose
    lease has ended meanwhile may be in other hands, so it is not removed.
    """

    receipt: Receipt


class Inspect(Struct, frozen=True, array_like=True, tag="inspect"):
    """Tell about one message. Answered with `Inspected`; refused with unknown, owner_down, …"""

    id: MessageId


ById: TypeAlias = Ack | Nack | Touch | GiveBack | Complete | Inspect
Command: TypeAlias = Push | Get | ById
Batchable: TypeAlias = Ack | GiveBack | Complete


class Batch(Struct, frozen=True, array_like=True, tag="batch"):
    """Commands of one node for another, at most `batch_count_max`, each for itself. Answered with `Outcomes`."""

    commands: tuple[Batchable, ...]


Forwardable: TypeAlias = Command | Batch


def check_lengths(command: Command, longest_s: float) -> None:
    """Check the lease or the delay that a client's command asks for; what a peer forwards was checked by that peer.

    Args:
        command: the command.
        longest_s: the longest lease or delay of this node, in seconds.

    Raises:
        BadRequest: it is longer.
    """
    match command:
        case Get(lease_s=float() as length_s) | Touch(lease_s=float() as length_s):
            name = "lease"
        case Nack(delay_s=length_s):
            name = "delay"
        case _:
            return
    if length_s > longest_s:
        raise BadRequest(f"{name}: {length_s:.15g} seconds are more than --max-lease, which is {longest_s:.15g}")


class State(Enum):
    """Where a message of the queue stands."""

    WAITING = "waiting"  # for its copies: not yet answered, hidden from workers
    READY = "ready"
    DELAYED = "delayed"
    LEASED = "leased"


class Pushed(Struct, frozen=True, array_like=True, tag="pushed"):
    """The message is on the queue, held by ``copies`` of the cluster's ``members`` nodes."""

    id: MessageId
    copies: int
    members: int
    duplicate: bool = False


class Delivery(Struct, frozen=True, array_like=True):
    """One message, leased to one worker for ``lease_s`` seconds."""

    receipt: Receipt
    attempt: int
    lease_s: float
    message: Message


class Delivered(Struct, frozen=True, array_like=True, tag="delivered"):
    """What a get brought; empty when nothing was ready in time."""

    deliveries: tuple[Delivery, ...] = ()


class Done(Struct, frozen=True, array_like=True, tag="done"):
    """It happened."""


class Inspected(Struct, frozen=True, array_like=True, tag="inspected"):
    """What is known of one message."""

    state: State
    attempts: int
    body_bytes: int
    content_type: str
    age_s: float


Success: TypeAlias = Pushed | Delivered | Done | Inspected
Outcome: TypeAlias = Success | Refusal


class Outcomes(Struct, frozen=True, array_like=True, tag="outcomes"):
    """What each command of a batch came to, in their order."""

    outcomes: tuple[Outcome, ...]
