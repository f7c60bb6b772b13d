"""What travels through a queue: messages, the ids that name them, and receipts.

An id names its owner, so that any node can route by it; to clients it is opaque. Ids of one owner sort in the
order in which its queue took them: by incarnation, then by number.
"""

import re
from typing import Final, NamedTuple

from msgspec import Struct

from dqtw.core.model.errors import BadRequest, quote

body_bytes_default_max: Final = 1024 * 1024
content_type_chars_max: Final = 255
key_chars_max: Final = 255
number_max: Final = 2**53  # what every JSON and MessagePack reader can hold exactly

content_type_default: Final = "application/octet-stream"

_node = r"[A-Za-z0-9_-]{1,63}"
_incarnation = r"0[0-9A-HJKMNP-TV-Z]{25}"  # before the year 3085; see `dqtw.core.model.incarnation`
_number = r"[1-9][0-9]{0,15}"
_node_pattern = re.compile(_node)
_incarnation_pattern = re.compile(_incarnation)
_id_pattern = re.compile(rf"({_node})\.({_incarnation})\.({_number})")
_receipt_pattern = re.compile(rf"({_node})\.({_incarnation})\.({_number})\.([0-9a-z]{{1,32}})")


def is_node_id(text: str) -> bool:
    """Whether the text may name a node: 1 to 63 of ``A-Z a-z 0-9 _ -``."""
    return _node_pattern.fullmatch(text) is not None


def is_incarnation(value: object) -> bool:
    """Whether the value may be an incarnation: the 26 characters of a ULID, of a time before the year 3085."""
    return isinstance(value, str) and _incarnation_pattern.fullmatch(value) is not None


class MessageId(NamedTuple):
    """``<node>.<incarnation>.<n>``: one dot of its single writer."""

    node: str
    incarnation: str
    n: int

    def __str__(self) -> str:
        return f"{self.node}.{self.incarnation}.{self.n}"

    @classmethod
    def parse(cls, text: str) -> "MessageId":
        """Read an id.

        Raises:
            BadRequest: the text is not an id.
        """
        found = _id_pattern.fullmatch(text)
        if found is None:
            is_receipt = _receipt_pattern.fullmatch(text)
            hint = ", but a receipt, which is an id with one part more" if is_receipt else ""
            raise BadRequest(f"{quote(text)} is not a message id{hint}")
        return cls(found[1], found[2], int(found[3]))


class Receipt(NamedTuple):
    """``<message id>.<lease token>``: proof that this very delivery was this worker's."""

    id: MessageId
    token: str

    def __str__(self) -> str:
        return f"{self.id}.{self.token}"

    @classmethod
    def parse(cls, text: str) -> "Receipt":
        """Read a receipt.

        Raises:
            BadRequest: the text is not a receipt.
        """
        found = _receipt_pattern.fullmatch(text)
        if found is None:
            hint = ", but a message id; a receipt comes with a delivery" if _id_pattern.fullmatch(text) else ""
            raise BadRequest(f"{quote(text)} is not a receipt{hint}")
        return cls(MessageId(found[1], found[2], int(found[3])), found[4])


def parse_id_or_receipt(text: str) -> MessageId:
    """Read the message id out of an id or of a receipt: to acknowledge, either does.

    Raises:
        BadRequest: the text is neither.
    """
    if _id_pattern.fullmatch(text):
        return MessageId.parse(text)
    try:
        return Receipt.parse(text).id
    except BadRequest:
        raise BadRequest(f"{quote(text)} is neither a receipt nor a message id") from None


class Message(Struct, array_like=True, eq=False, gc=False):
    """Bytes with a content type. Treat it as immutable.

    A queue holds millions of them, so the class is a `msgspec.Struct` that the garbage collector does not visit.

    Attributes:
        body: any bytes, also none.
        content_type: as the client sent it.
        key: the idempotency key it was pushed with.
        born_s: when it was pushed, on this process's monotonic clock. Nodes share no clock: the receiver of a message
            shifts this by the difference of the clocks (`dqtw.core.links.frames.arrived`).
    """

    body: bytes
    content_type: str = content_type_default
    key: str | None = None
    born_s: float = 0.0

    def __repr__(self) -> str:
        return f"Message(<{len(self.body)} bytes>, {self.content_type!r}, {self.key!r}, {self.born_s})"
