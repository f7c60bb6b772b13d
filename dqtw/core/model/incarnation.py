"""Incarnations: one for each start of an owner, each greater than any before.

In the form of a ULID (github.com/ulid/spec): milliseconds, 80 bits at random, 26 characters that sort as the numbers
do. Of the 48 bits for the time 45 are used, up to the year 3084, so that each begins with 0: nobody takes in what is
past that, from a peer gone wrong, say, because nothing could be greater for ever after. And no clock, wherever it
stands, brings a node near that end.
"""

from typing import Final

_alphabet: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_values: Final = {character: value for value, character in enumerate(_alphabet)}
_length: Final = 26
_random_bits: Final = 80
random_bytes: Final = _random_bits // 8
_ms_max: Final = 2**45 - 1
_clock_ms_max: Final = _ms_max - 2**40  # in 3050; it leaves a million million starts


def fresh_incarnation(wall_ms: int, random: bytes, greatest: str = "") -> str:
    """Return an incarnation of now, or just past the greatest one known when the clock is behind that.

    Empty when there is none: the greatest one known is of the very last millisecond, which no node takes by itself.

    The random part is always fresh, so that two processes that start at once, both with a clock that is behind, do
    not take the same incarnation and name two messages by one id.

    Args:
        wall_ms: the wall clock, in milliseconds since 1970.
        random: `random_bytes` bytes nobody else has.
        greatest: the greatest incarnation that anybody has heard of.
    """
    known_ms = _decode(greatest) >> _random_bits if greatest else -1
    moment = max(min(wall_ms, _clock_ms_max), known_ms + 1)
    return "" if moment > _ms_max else _encode(moment << _random_bits | int.from_bytes(random, "big"))


def _encode(number: int) -> str:
    return "".join(_alphabet[number >> 5 * place & 31] for place in reversed(range(_length)))


def _decode(text: str) -> int:
    number = 0
    for character in text:
        number = number << 5 | _values[character]
    return number
