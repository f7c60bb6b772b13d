"""Incarnations: one for each start of an owner, each greater than any before.

In the form of a ULID (github.com/ulid/spec): 48 bits of milliseconds, 80 bits at random, 26 characters that sort as
the numbers do.
"""

from typing import Final

_alphabet: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_values: Final = {character: value for value, character in enumerate(_alphabet)}
_length: Final = 26
_random_bits: Final = 80
random_bytes: Final = _random_bits // 8
_wall_ms_max: Final = 2**48 - 1


def fresh_incarnation(wall_ms: int, random: bytes, greatest: str = "") -> str:
    """Return an incarnation of now, or just past the greatest one known when the clock is behind that.

    The random part is always fresh, so that two processes that start at once, both with a clock that is behind, do
    not take the same incarnation and name two messages by one id.

    Args:
        wall_ms: the wall clock, in milliseconds since 1970.
        random: `random_bytes` bytes nobody else has.
        greatest: the greatest incarnation that anybody has heard of.
    """
    known_ms = _decode(greatest) >> _random_bits if greatest else -1
    moment = max(wall_ms, known_ms + 1)
    return _encode(min(moment, _wall_ms_max) << _random_bits | int.from_bytes(random, "big"))


def _encode(number: int) -> str:
    return "".join(_alphabet[number >> 5 * place & 31] for place in reversed(range(_length)))


def _decode(text: str) -> int:
    number = 0
    for character in text:
        number = number << 5 | _values[character]
    return number
