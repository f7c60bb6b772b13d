"""Answers that wait until enough peers know what happened.

A push is answered when enough nodes hold its message; a removal when every peer in session knows of it. Both are
told here what the peers come to know, and when a peer is no longer in session.
"""

from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

from attrs import define, field

from dqtw.core.message import MessageId

Then: TypeAlias = Callable[[float], None]


@define
class PendingPush:
    """A message that waits for its copies.

    Attributes:
        requests: tickets of those who wait for the outcome: the first push, then retries with the same key.
        holders: the peers in session that have confirmed it.
        sent_to: every peer it was sent to.
        tainted: a peer may hold it in a way that a withdrawal can no longer undo for sure.
    """

    requests: list[int]
    holders: set[str] = field(factory=set)
    sent_to: set[str] = field(factory=set)
    tainted: bool = False


class Removals:
    """Removals that not every peer in session knows yet, and what to do once all do."""

    def __init__(self) -> None:
        self._unaware: dict[MessageId, set[str]] = {}
        self._then: dict[MessageId, list[Then]] = {}

    def __len__(self) -> int:
        return len(self._unaware)

    def __contains__(self, id: MessageId) -> bool:
        return id in self._unaware

    def expect(self, now: float, id: MessageId, peers: Collection[str], then: Then) -> None:
        """Call ``then`` once all these peers know the removal; at once when there are none."""
        if not peers:
            then(now)
            return
        self._unaware[id] = set(peers)
        self._then.setdefault(id, []).append(then)

    def also(self, id: MessageId, then: Then) -> None:
        """Call ``then`` as well, when a pending removal is known."""
        self._then[id].append(then)

    def learned(self, now: float, peer: str, ids: Iterable[MessageId]) -> None:
        """The peer knows these removals now."""
        for id in ids:
            unaware = self._unaware.get(id)
            if unaware is not None:
                unaware.discard(peer)
                self._settle(now, id)

    def lost(self, now: float, peer: str) -> None:
        """The peer is no longer in session: nobody waits for it."""
        self.learned(now, peer, [id for id, unaware in self._unaware.items() if peer in unaware])

    def pop_all(self) -> list[Then]:
        """Give every removal up; what would have been done."""
        everything = [then for thens in self._then.values() for then in thens]
        self._unaware.clear()
        self._then.clear()
        return everything

    def _settle(self, now: float, id: MessageId) -> None:
        if not self._unaware[id]:
            del self._unaware[id]
            for then in self._then.pop(id):
                then(now)
