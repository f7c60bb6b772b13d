"""The words of a line, and the percent-encoding of what a word can't hold."""

import re
from collections.abc import Collection, Sequence
from urllib.parse import unquote_to_bytes

from dqtw.core.model.errors import BadRequest, quote

_control = re.compile(r"[\x00-\x1f\x7f]")
_needs_encoding = re.compile(r"[\x00-\x20%\x7f-\x9f\u2028\u2029]")
_broken_encoding = re.compile(r"%(?![0-9A-Fa-f]{2})")


def split_words(line: bytes) -> list[str]:
    """Split a line, its end already taken off, into words.

    Raises:
        BadRequest: it is not UTF-8, holds a control character, or words are not separated by one space.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise BadRequest("the line is not UTF-8") from None
    if _control.search(text):
        raise BadRequest("the line holds a control character; percent-encode it")
    words = text.split(" ")
    if "" in words:
        raise BadRequest("words are separated by exactly one space")
    return words


def read_options(words: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Read ``name=value`` words, each at most once, in any order; the values come out decoded.

    Raises:
        BadRequest: a word is not known here, is given twice, or its value can't be decoded.
    """
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in known:
            raise BadRequest(f"unknown word {quote(word)}; here {_list(known)} may stand")
        if name in options:
            raise BadRequest(f"{name}= is given twice")
        options[name] = decode_value(value)
    return options


def _list(names: Collection[str]) -> str:
    return ", ".join(f"{name}=" for name in names)


def encode_value(text: str) -> str:
    """Percent-encode what would end a word or a line: spaces, ``%`` and control characters."""
    return _needs_encoding.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)


def decode_value(text: str) -> str:
    """Undo `encode_value`; any other character may come percent-encoded too.

    Raises:
        BadRequest: a ``%`` without two hexadecimal digits, or bytes that are not UTF-8.
    """
    if "%" not in text:
        return text
    if _broken_encoding.search(text):
        raise BadRequest(f"in {quote(text)} a % is not followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadRequest(f"{quote(text)} decodes to bytes that are not UTF-8") from None
