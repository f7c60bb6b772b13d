"""The checks of received frames: the types of their values are right, and here the values are looked at.

A value that passes may be used by the core as it is: ids have their forms, numbers and times their bounds.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from msgspec.structs import force_setattr

from dqtw.core.links import frames as f
from dqtw.core.links.frames import AnyFrame, Contents, Delta
from dqtw.core.model import commands as c
from dqtw.core.model.dots import Dot
from dqtw.core.model.errors import BadRequest, PeerFault
from dqtw.core.model.message import Message, MessageId, Receipt, is_incarnation, is_node_id, number_max
from dqtw.wire.peer.text import bare
from dqtw.wire.values import parse_content_type, parse_key

seconds_max: Final = 1e32  # as many digits as a client may write
members_max: Final = 1000
processes_max: Final = 64  # of one node, in a status
settings_max: Final = 64
url_chars_max: Final = 2048
digest_bytes: Final = 16

_remembered: Final = 256  # of the values that come again and again

Check: TypeAlias = Callable[[Any], None]

_name_pattern = re.compile(r"[ -~]{1,256}")
_word_pattern = re.compile(r"[0-9A-Za-z_-]{1,64}")
_queue_pattern = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_code_pattern = re.compile(r"[a-z_]{1,64}")
_token_pattern = re.compile(r"[0-9a-z]{1,32}")
_url_pattern = re.compile(rf"https?://[!-~]{{1,{url_chars_max}}}")

_is_incarnation = lru_cache(_remembered)(is_incarnation)
_is_node = lru_cache(_remembered)(is_node_id)
_is_queue = lru_cache(_remembered)(_queue_pattern.fullmatch)


@lru_cache(_remembered)
def _is_content_type(text: str) -> bool:
    try:
        parse_content_type(text)
    except BadRequest:
        return False
    return True


def _is_key(text: str) -> bool:
    try:
        parse_key(text)
    except BadRequest:
        return False
    return True


def _expect(is_good: Callable[[Any], object], what: str) -> Check:
    """Return a check that the value passes a test."""

    def check(value: Any) -> None:
        if not is_good(value):
            raise PeerFault(f"not {what}")

    return check


def _or_none(check: Check) -> Check:
    """Return a check of a value that may be absent."""

    def check_present(value: Any) -> None:
        if value is not None:
            check(value)

    return check_present


def _each(check: Check, count_max: int = number_max) -> Check:
    """Return a check of a list."""

    def check_all(values: Any) -> None:
        if len(values) > count_max:
            raise PeerFault(f"more than {count_max} values")
        for value in values:
            check(value)

    return check_all


def _by(check_name: Check, check_value: Check, count_max: int = number_max) -> Check:
    """Return a check of a map."""
    check_names, check_values = _each(check_name, count_max), _each(check_value)

    def check(pairs: Any) -> None:
        check_names(pairs)
        check_values(pairs.values())

    return check


def _fields(**checks: Check) -> Check:
    """Return a check of some fields of a structure."""

    def check_all(value: Any) -> None:
        for name, check in checks.items():
            try:
                check(getattr(value, name))
            except PeerFault as fault:
                raise PeerFault(f"{name}: {fault}") from None

    return check_all


def _one_of(cases: dict[type, Check]) -> Check:
    """Return a check that depends on the type of the value."""

    def check(value: Any) -> None:
        cases[type(value)](value)

    return check


def _bare(name: str) -> Check:
    """Return what brings a text of a structure into a printable form: a peer's words are no reason to end a link."""

    def check(value: Any) -> None:
        text = getattr(value, name)
        printable = bare(text)
        if printable != text:
            force_setattr(value, name, printable)

    return check


_unchecked: Final[Check] = _fields()
_number: Final = _expect(lambda value: 0 <= value <= number_max, "a whole number from 0 to 2^53")
_positive: Final = _expect(lambda value: 0 < value <= number_max, "a whole number from 1 to 2^53")
_time: Final = _expect(lambda value: -seconds_max <= value <= seconds_max, "a time")  # neither is NaN
_duration: Final = _expect(lambda value: 0 <= value <= seconds_max, "a duration")
_node: Final = _expect(_is_node, "a node's id")
_boot: Final = _expect(_word_pattern.fullmatch, "the id of a process")
_incarnation: Final = _expect(_is_incarnation, "an incarnation")
_incarnation_or_none: Final = _or_none(_incarnation)
_address: Final = _expect(lambda value: not value or _url_pattern.fullmatch(value), "a URL")
_name: Final = _expect(_name_pattern.fullmatch, "a name of printable ASCII characters")
_queue: Final = _expect(_is_queue, "the name of a queue")
_content_type: Final = _expect(_is_content_type, "a content type")
_key: Final = _expect(_is_key, "a key")
_key_or_none: Final = _or_none(_key)
_digest: Final = _expect(lambda value: len(value) == digest_bytes, "a digest")


def _check_dot(dot: Dot) -> None:
    _incarnation(dot[0])
    _number(dot[1])


def _check_id(id: MessageId) -> None:
    if not (0 < id.n <= number_max and _is_incarnation(id.incarnation) and _is_node(id.node)):
        raise PeerFault("not a message id")


def _check_receipt(receipt: Receipt) -> None:
    _check_id(receipt.id)
    if _token_pattern.fullmatch(receipt.token) is None:
        raise PeerFault("not a receipt")


def _check_message(message: Message) -> None:
    key = message.key
    if not (
        -seconds_max <= message.born_s <= seconds_max
        and _is_content_type(message.content_type)
        and (key is None or _is_key(key))
    ):
        raise PeerFault("not a message")


_dot_or_none: Final = _or_none(_check_dot)
_record: Final = _fields(key=_key, incarnation=_incarnation, n=_positive, digest=_digest, removed_s=_time)
_records: Final = _each(_record)
_ready: Final = _by(_queue, _number)


def _check_contents(contents: Contents) -> None:
    for incarnation, messages in contents.puts.items():
        _incarnation(incarnation)
        for n, message in messages:
            if not 0 < n <= number_max:
                raise PeerFault("the number of a message is not a whole number from 1 to 2^53")
            _check_message(message)
    if contents.records:
        _records(contents.records)


# Checks of frames


def _check_delta(delta: Delta) -> None:
    """Check the frame that comes most often, without the detours of the table below."""
    if not (
        0 <= delta.session <= number_max
        and 0 <= delta.upto <= number_max
        and -seconds_max <= delta.clock_s <= seconds_max
        and 0 <= delta.changes_received <= number_max
    ):
        raise PeerFault("a number in a delta is out of range")
    _check_contents(delta.contents)
    if delta.ready:
        _ready(delta.ready)


_commands: Final = _one_of(
    {
        c.Push: _fields(content_type=_content_type, key=_key_or_none, wait_s=_duration),
        c.Get: _fields(
            count_max=_expect(lambda value: 0 < value <= c.get_count_max, "a count of messages"),
            wait_s=_duration,
            lease_s=_or_none(_duration),
        ),
        c.Ack: _fields(id=_check_id),
        c.Nack: _fields(receipt=_check_receipt, delay_s=_duration),
        c.Touch: _fields(receipt=_check_receipt, lease_s=_or_none(_duration)),
        c.GiveBack: _fields(receipt=_check_receipt),
        c.Complete: _fields(receipt=_check_receipt),
        c.Inspect: _fields(id=_check_id),
    }
)
_delivery: Final = _fields(receipt=_check_receipt, attempt=_positive, lease_s=_duration, message=_check_message)
_code: Final = _fields(code=_expect(_code_pattern.fullmatch, "the code of a refusal"))


def _check_refused(refused: f.Refused) -> None:
    _code(refused)
    _bare("detail")(refused)


_outcomes: Final = _one_of(
    {
        c.Pushed: _fields(id=_check_id, copies=_number, members=_number),
        c.Delivered: _fields(deliveries=_each(_delivery)),
        c.Done: _unchecked,
        c.Inspected: _fields(
            attempts=_number,
            body_bytes=_number,
            content_type=_content_type,
            age_s=_expect(lambda age: age >= 0, "an age"),
        ),
        f.Refused: _check_refused,
    }
)


def _check_outcome(outcome: tuple[int, Any]) -> None:
    _number(outcome[0])
    _outcomes(outcome[1])


_heard: Final = _fields(boot=_boot, incarnation=_incarnation_or_none, age_s=_duration)
_report: Final = _fields(
    greatest=_incarnation_or_none,
    address=_address,
    processes=_each(_heard, processes_max),
    incarnation=_incarnation_or_none,
)


def _check_declined(declined: f.Declined) -> None:
    _number(declined.session)
    _bare("why")(declined)


_checks: Final[dict[type, Check]] = {
    f.Pair: _fields(written=_name, read=_name),
    f.Status: _fields(
        node=_node,
        incarnation=_incarnation_or_none,
        running_s=_duration,
        express_read=_number,
        bulk_read=_number,
        nodes=_by(_node, _report, members_max),
        members=_each(_node, members_max),
        settings=_by(_name, _time, settings_max),
    ),
    f.Open: _fields(session=_number, owner=_node, incarnation=_incarnation_or_none, body_bytes_max=_number),
    f.Opened: _fields(session=_number, changes=_number),
    f.Declined: _check_declined,
    f.Fenced: _fields(node=_node, greatest=_incarnation),
    f.ReadPage: _fields(session=_number, after=_dot_or_none),
    f.PageRead: _fields(session=_number, after=_dot_or_none, upto=_dot_or_none),
    f.Fetch: _fields(session=_number),
    f.Fetched: _fields(session=_number, clock_s=_time, contents=_check_contents),
    f.Delta: _check_delta,
    f.Applied: _fields(session=_number, upto=_number, backfill=_number),
    f.Backfill: _fields(session=_number, number=_number, clock_s=_time, contents=_check_contents),
    f.Changed: _fields(session=_number, number=_number, clock_s=_time, records=_records),
    f.Synced: _fields(session=_number, changes_received=_number),
    f.End: _fields(session=_number),
    f.Interest: _fields(queues=_each(_queue)),
    f.Forward: _fields(first=_number, commands=_each(_commands)),
    f.Forwarded: _fields(outcomes=_each(_check_outcome)),
    f.Leave: _fields(call=_number),
    f.Stays: _fields(call=_number),
}


def check_frame(frame: AnyFrame) -> None:
    """Check the values of a frame, and make a peer's words printable.

    Raises:
        PeerFault: a value is not what it should be.
    """
    _checks[type(frame)](frame)
