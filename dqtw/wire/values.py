"""The values that a client writes as text, read and written alike by every listener."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from dqtw.core.model.commands import Get
from dqtw.core.model.errors import BadRequest, quote
from dqtw.core.model.message import content_type_chars_max, key_chars_max

seconds_chars_max: Final = 32

_seconds_pattern = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_content_type_pattern = re.compile(rf"[\x20-\x7e]{{1,{content_type_chars_max}}}")
# What could end a line or a header somewhere (C0, C1, the Unicode separators), and halves of characters.
_key_pattern = re.compile(rf"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{{1,{key_chars_max}}}")


def parse_seconds(name: str, text: str) -> float:
    """Read the seconds that a client gives by this name: a plain decimal number, with a fraction or without.

    Raises:
        BadRequest: the text has a sign or an exponent, more than 32 characters, or is not a number.
    """
    if len(text) > seconds_chars_max or _seconds_pattern.fullmatch(text) is None:
        raise BadRequest(
            f"{name}: {quote(text)} is not a number of seconds such as 30 or 0.25 "
            f"(no sign, no exponent, at most {seconds_chars_max} characters)"
        )
    return float(text)


def parse_lease(text: str) -> float:
    """Read the length of a lease in seconds; how long it may be is the node's to check.

    Raises:
        BadRequest: the text is not a number of seconds, or is 0.
    """
    lease_s = parse_seconds("lease", text)
    if lease_s <= 0:
        raise BadRequest(f"lease: {quote(text)} is not greater than 0")
    return lease_s


def parse_get(options: Mapping[str, str], count_max: int = 1) -> Get:
    """Read a get for at most so many messages from its options, which are ``wait``, ``lease`` and ``ack``.

    Raises:
        BadRequest: a value can't be read, or a lease is asked for where the message is removed at delivery.
    """
    ack = options.get("ack")
    if ack not in (None, "now"):
        raise BadRequest(f"ack: {quote(ack)} is not now, the only value")
    lease = options.get("lease")
    if ack and lease is not None:
        raise BadRequest(
            "lease: with ack=now there is none, as the message is removed at delivery; leave one of them out"
        )
    return Get(
        count_max,
        wait_s=parse_seconds("wait", options.get("wait", "0")),
        lease_s=None if lease is None else parse_lease(lease),
        ack_now=bool(ack),
    )


def format_seconds(seconds: float) -> str:
    """Write finite seconds as the shortest decimal that reads back as the same number; never an exponent."""
    text = format(Decimal(repr(float(seconds))), "f")
    return text.removesuffix(".0")


def parse_key(text: str) -> str:
    """Check an idempotency key: 1 to 255 characters, none of them a control character.

    Raises:
        BadRequest: it is empty, too long, or holds what can't be printed.
    """
    if _key_pattern.fullmatch(text) is None:
        raise BadRequest(f"the key {quote(text)} is not 1 to {key_chars_max} characters without control characters")
    return text


def parse_content_type(text: str) -> str:
    """Check a content type: 1 to 255 printable ASCII characters, so that it can't inject a header or a line.

    Raises:
        BadRequest: it is empty, too long, or holds anything else.
    """
    if _content_type_pattern.fullmatch(text) is None:
        raise BadRequest(
            f"the content type {quote(text)} is not 1 to {content_type_chars_max} printable ASCII characters"
        )
    return text
