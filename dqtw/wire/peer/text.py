"""Text that a peer sent, in the form in which it is logged and shown."""

from typing import Final

chars_max: Final = 1000


def bare(text: str) -> str:
    """Return a text on one line, of at most `chars_max` characters, all of them printable."""
    cut = text[:chars_max]
    return cut if cut.isprintable() else "".join(each if each.isprintable() else "?" for each in cut)
