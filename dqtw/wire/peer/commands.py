"""What a node asks of another for one of its clients, and what that came to."""

from types import MappingProxyType
from typing import Final

from dqtw.core.model.commands import (
    Ack,
    Batch,
    Complete,
    Delivered,
    Delivery,
    Done,
    Get,
    GiveBack,
    Inspect,
    Inspected,
    Nack,
    Outcomes,
    Push,
    Pushed,
    State,
    Touch,
    batch_count_max,
    get_count_max,
)
from dqtw.core.model.errors import BadRequest, KeyReused, LeaseLost, NotNow, PeerFault, Refusal, TooLarge, Unknown
from dqtw.core.model.message import Message, MessageId, Receipt
from dqtw.wire.peer.kinds import (
    Cases,
    Kind,
    Source,
    blob,
    flag,
    judged,
    one_of,
    or_nil,
    parsed,
    prose,
    record,
    row,
    seconds,
    several,
    whole,
    word_of,
)
from dqtw.wire.peer.values import content_type, count, key

message_id: Final = parsed(MessageId.parse)
receipt: Final = parsed(Receipt.parse)

_batchable: Final[Cases] = MappingProxyType(
    {
        "ack": ((Ack,), record(Ack, id=message_id)),
        "give_back": ((GiveBack,), record(GiveBack, receipt=receipt)),
        "complete": ((Complete,), record(Complete, receipt=receipt)),
    }
)
_batch = record(Batch, commands=several(one_of(_batchable), batch_count_max))

commands: Final[Cases] = MappingProxyType(
    {
        **_batchable,
        "push": ((Push,), record(Push, body=blob, content_type=content_type, key=or_nil(key), wait_s=seconds)),
        "get": (
            (Get,),
            record(Get, count_max=whole(1, get_count_max), wait_s=seconds, lease_s=or_nil(seconds), ack_now=flag),
        ),
        "nack": ((Nack,), record(Nack, receipt=receipt, delay_s=seconds)),
        "touch": ((Touch,), record(Touch, receipt=receipt, lease_s=or_nil(seconds))),
        "inspect": ((Inspect,), record(Inspect, id=message_id)),
        "batch": ((Batch,), _batch),
    }
)
command: Final = one_of(commands)

# A delivery names its message by the receipt. When that was born is the owner's business alone.

_delivery_row = row(receipt, whole(1), seconds, blob, content_type, or_nil(key))


def _read_delivery(source: Source) -> Delivery:
    told_receipt, attempt, lease_s, *message = _delivery_row(source)
    return Delivery(told_receipt, attempt, lease_s, Message(*message))


def _write_delivery(told: Delivery) -> object:
    message = told.message
    lease_s = seconds.write(told.lease_s)
    return str(told.receipt), told.attempt, lease_s, message.body, message.content_type, message.key


_deliveries = several(Kind(_read_delivery, _write_delivery), get_count_max)

# Refusals: what the carrying out of a command may be refused with, by code. What only a door says is not among them.

_refusal_types: Final[tuple[type[Refusal], ...]] = (
    BadRequest,
    KeyReused,
    LeaseLost,
    TooLarge,
    Unknown,
    *NotNow.__subclasses__(),
)
_refusals: Final = {refusal.code: refusal for refusal in _refusal_types}


def _refusal_of(code: object) -> type[Refusal]:
    if type(code) is not str or code not in _refusals:
        raise PeerFault("not a code that a command is refused with")
    return _refusals[code]


def _refused(code: type[Refusal], detail: str) -> Refusal:
    return code(detail)


_batch_outcomes: Final[Cases] = MappingProxyType(
    {
        "done": ((Done,), record(Done)),
        "refused": (_refusal_types, record(_refused, code=judged(_refusal_of), detail=prose)),
    }
)

outcomes: Final[Cases] = MappingProxyType(
    {
        **_batch_outcomes,
        "pushed": ((Pushed,), record(Pushed, id=message_id, copies=count, members=count, duplicate=flag)),
        "delivered": ((Delivered,), record(Delivered, deliveries=_deliveries)),
        "inspected": (
            (Inspected,),
            record(
                Inspected,
                state=word_of(State),
                attempts=count,
                body_bytes=count,
                content_type=content_type,
                age_s=seconds,
            ),
        ),
        "outcomes": ((Outcomes,), record(Outcomes, outcomes=several(one_of(_batch_outcomes), batch_count_max))),
    }
)
outcome: Final = one_of(outcomes)
