"""A bound on the values in a long piece of MessagePack, counted without making any of them.

A value of one byte, such as an empty array, takes more than sixty bytes once it is read. So a long frame is read only
if it has few values, which are then large ones: bodies of messages.
"""

from typing import Final

from dqtw.core.model.errors import PeerFault

items_max: Final = 2**20


def _table() -> list[tuple[int, int, int]]:
    """Return for each first byte: bytes of the length, further bytes without it, values per unit of the length."""
    table = [(0, 0, 0)] * 256
    lengths = {0xC4: (0, 0), 0xC7: (1, 0), 0xD9: (0, 0), 0xDC: (0, 1), 0xDE: (0, 2)}
    for first, (more, values) in lengths.items():
        sizes = (2, 4) if values else (1, 2, 4)
        for place, size in enumerate(sizes):
            table[first + place] = (size, more, values)
    scalars = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
    extensions = {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
    for first, size in (scalars | extensions).items():
        table[first] = (0, size, 0)
    return table


_layout: Final = _table()


def check_items(data: bytes | bytearray, count_max: int = items_max) -> None:
    """Check that the data are one value that holds at most so many, itself and those inside of others included.

    Raises:
        PeerFault: there are more, or the data end too early or too late.
    """
    at, left, end = 0, 1, len(data)
    while left:
        if left > count_max:
            raise PeerFault("a frame holds too many values")
        if at >= end:
            raise PeerFault("a frame is cut short")
        first = data[at]
        at += 1
        left -= 1
        count_max -= 1
        if first < 0x80 or first >= 0xE0:
            continue
        if first < 0xA0:
            left += (first & 15) * (1 if first & 0x10 else 2)
        elif first < 0xC0:
            at += first & 31
        else:
            size, more, values = _layout[first]
            length = int.from_bytes(data[at : at + size], "big") if size else 0
            at += size + more
            if values:
                left += length * values
            else:
                at += length
    if at != end:
        raise PeerFault("a frame is cut short, or something follows it")
