"""Which process served as which node at what time, as far as their own words show."""

from collections import defaultdict
from collections.abc import Iterable
from math import inf

from attrs import frozen

from dqtw.check.history import Sight

serving = "serving"


@frozen
class Change:
    """A node's queue passed to a new process; both may have served at any time in between.

    Attributes:
        begun: the new process cannot have served earlier.
        ended: the old one was not seen to serve later, and the new one was.
    """

    incarnation: str
    begun: float
    ended: float


class Owners:
    """What the sights tell."""

    def __init__(self, sights: Iterable[Sight]) -> None:
        self._sights: dict[str, list[Sight]] = defaultdict(list)
        for sight in sorted(sights, key=lambda sight: sight.begun):
            if sight.incarnation:
                self._sights[sight.node].append(sight)
        self._changes = {node: _changes(seen) for node, seen in self._sights.items()}

    def are_known(self, node: str) -> bool:
        """Whether anybody saw that node."""
        return node in self._sights

    def may_have_changed(self, node: str, begun: float, ended: float) -> bool:
        """Whether the node's queue may have passed to another process in that time."""
        changes = self._changes.get(node)
        return changes is None or any(each.begun <= ended and begun <= each.ended for each in changes)

    def in_session(self, node: str, begun: float, ended: float) -> set[str]:
        """The peers with which the node was in one session for all that time, as it said afterwards."""
        return {
            peer
            for sight in self._sights.get(node, [])
            if sight.begun >= ended
            for peer, age_s in sight.sessions.items()
            if sight.ended - age_s <= begun and sight.ended - sight.uptime_s <= begun
        }

    def lived_through(self, node: str, begun: float, ended: float) -> bool:
        """Whether one process of the node is known to have been there before and after that time."""
        before = {sight.incarnation for sight in self._sights.get(node, []) if sight.ended <= begun}
        after = {sight.incarnation for sight in self._sights.get(node, []) if sight.begun >= ended}
        return bool(before & after) and not self.may_have_changed(node, begun, ended)

    def has_met(self, node: str, peer: str, since: float, until: float) -> bool:
        """Whether the process that serves as the node since then has been in session with the peer."""
        seen = [sight for sight in self._sights.get(node, []) if since <= sight.begun and sight.ended <= until]
        return any(peer in sight.sessions for sight in seen)

    def last_change(self, node: str, before: float) -> Change | None:
        """The latest change that had begun by then."""
        begun = [each for each in self._changes.get(node, []) if each.begun <= before]
        return begun[-1] if begun else None


def _changes(seen: list[Sight]) -> list[Change]:
    """The changes of one node, in order; the first is the one by which its first process came."""
    begun: dict[str, float] = {}
    for sight in seen:
        since = sight.begun - sight.uptime_s
        begun[sight.incarnation] = min(since, begun.get(sight.incarnation, inf))
    return [Change(each, begun[each], _settled(each, seen)) for each in sorted(begun)]


def _settled(incarnation: str, seen: list[Sight]) -> float:
    """When that process alone was known to serve."""
    first = min((each.ended for each in seen if each.incarnation >= incarnation and each.state == serving), default=inf)
    older = [each.ended for each in seen if each.incarnation < incarnation and each.state == serving]
    return max(first, *older) if older else first
