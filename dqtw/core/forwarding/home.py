"""Which member is the home of a key: a retry through any node finds the first push there."""

from collections.abc import Iterable
from hashlib import blake2b


def home_of(key: str, members: Iterable[str]) -> str:
    """The member whose queue takes pushes with this key, the same on every node.

    By rendezvous hashing (Thaler, Ravishankar, 1998): when a member goes or comes, only its own keys move.
    """
    return max(members, key=lambda member: (_weight(key, member), member))


def _weight(key: str, member: str) -> bytes:
    return blake2b(f"{member}/{key}".encode(), digest_size=8).digest()
