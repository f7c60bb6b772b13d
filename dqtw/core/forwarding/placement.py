"""Placement of keys: a push with a key goes to the same node through any node, so a retry finds the first push."""

from collections.abc import Iterable
from hashlib import blake2b


def home_of(key: str, members: Iterable[str]) -> str:
    """Return the member whose queue takes pushes with this key; every node returns the same.

    By rendezvous hashing (Thaler, Ravishankar, 1998): when a member leaves or joins, only the keys of that member move.
    """
    return max(members, key=lambda member: (_weight(key, member), member))


def _weight(key: str, member: str) -> bytes:
    return blake2b(f"{member}/{key}".encode(), digest_size=8).digest()
