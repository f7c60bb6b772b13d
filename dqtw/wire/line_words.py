"""The words of a line: how they are told apart, and how a value hides what a word can't hold."""

import re
from collections.abc import Collection, Sequence
from urllib.parse import unquote_to_bytes

from dqtw.core.errors import BadRequest

quoted_chars_max = 32  # how much of a client's own word an error repeats

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
        raise BadRequest("words are separated by exactly one space" if text else "an empty line is no command")
    return words


def read_options(words: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Read ``name=value`` words, each at most once, in any order; the values come out decoded.

    Raises:
        BadRequest: a word is not known here, is said twice, or its value can't be decoded.
    """
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in known:
            raise BadRequest(f"unknown word {quote_word(word)}")
        if name in options:
            raise BadRequest(f"{name}= is said twice")
        options[name] = decode_value(value)
    return options


def quote_word(word: str) -> str:
    """Repeat the beginning of a client's word in plain ASCII, so that an error can point at it."""
    shown = ascii(word[:quoted_chars_max])
    return shown if len(word) <= quoted_chars_max else f"{shown}..."


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
        raise BadRequest("a % must be followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadRequest("a percent-encoded value is not UTF-8") from None
