"""The values that a client writes as text, read and written alike at every door."""

import re
from decimal import Decimal
from typing import Final

from dqtw.core.errors import BadRequest
from dqtw.core.message import content_type_chars_max, key_chars_max

seconds_chars_max: Final = 32

_seconds_pattern = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_content_type_pattern = re.compile(rf"[\x20-\x7e]{{1,{content_type_chars_max}}}")
# What could end a line or a header somewhere (C0, C1, the Unicode separators), and halves of characters.
_key_pattern = re.compile(rf"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{{1,{key_chars_max}}}")


def parse_seconds(text: str) -> float:
    """Read seconds: a plain decimal number, with a fraction or without; no sign, no exponent.

    Raises:
        BadRequest: it is no such number, or has more than 32 characters.
    """
    if len(text) > seconds_chars_max or _seconds_pattern.fullmatch(text) is None:
        raise BadRequest("seconds must be a decimal number, not negative, of at most 32 characters")
    return float(text)


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
        raise BadRequest("a key must be 1 to 255 characters, without control characters")
    return text


def parse_content_type(text: str) -> str:
    """Check a content type: 1 to 255 printable ASCII characters, so that it can't inject a header or a line.

    Raises:
        BadRequest: it is empty, too long, or holds anything else.
    """
    if _content_type_pattern.fullmatch(text) is None:
        raise BadRequest("a content type must be 1 to 255 printable ASCII characters")
    return text
