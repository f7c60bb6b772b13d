"""The invariant of a session, on the real objects of both sides.

In session, the peer knows every change of the owner's replica up to ``match``, except for backfill that it has not
confirmed and messages that were removed later; and the owner knows what the peer has besides.
"""

from collections.abc import Callable, Iterator

from dqtw.core.model.dots import DotSet
from dqtw.core.replication.holding import Serving
from dqtw.core.replication.log import Log, Put, Removal
from dqtw.core.replication.progress import Progress
from tests.simulation.copies import CopyWatch
from tests.simulation.process import Process
from tests.simulation.trace import tell_dots
from tests.simulation.violation import require


class SessionWatch:
    """Looks at the sessions of a process, in both roles, when something of them has changed."""

    def __init__(self, copies: CopyWatch, alive: Callable[[], list[Process]]) -> None:
        self._copies = copies
        self._alive = alive
        self._checked: dict[tuple[Process, int], tuple[object, ...]] = {}

    def check(self, process: Process) -> None:
        """Look at the sessions that a process has with its peers, and its peers with it.

        Raises:
            Violation: one side is wrong about the other.
        """
        processes = {each.node.cluster.boot: each for each in self._alive()}
        for owner, progress, peer, serving in _sessions_of(process, processes):
            state = (
                self._copies.version(owner, owner.id),
                self._copies.version(peer, owner.id),
                progress.match,
                progress.is_whole,
                len(progress._unconfirmed),
                serving.last_change == progress.changes_received,
                bool(serving.unreported),
                len(progress.need),
                len(progress.records),
            )
            if self._checked.get((owner, progress.id)) != state:
                self._checked[owner, progress.id] = state
                _check(owner, progress, peer, serving)

    def check_current(self, process: Process) -> None:
        """See that a replica that is current has nothing that its owner does not know.

        Raises:
            Violation: it has.
        """
        owners = {each.node.cluster.boot: each for each in self._alive()}
        for holding in process.node.holder.others:
            serving = holding.by_owner
            owner = None if serving is None else owners.get(serving.link.process.boot)
            if holding.is_current and owner is not None:
                more = holding.replica.seen - owner.node.replicator.holding.replica.seen
                require(not more, f"{process}'s replica of {owner} is current, and is ahead of it by {tell_dots(more)}")


def _sessions_of(
    process: Process, processes: dict[str, Process]
) -> Iterator[tuple[Process, Progress, Process, Serving]]:
    """Return the sessions that both sides have, with the owner and the peer."""
    for progress in process.node.replicator.progress.values():
        peer = processes.get(progress.link.process.boot)
        serving = None if peer is None else _serving_of(process, progress, peer)
        if peer is not None and serving is not None:
            yield process, progress, peer, serving
    for holding in process.node.holder.others:
        by_owner = holding.by_owner
        owner = None if by_owner is None else processes.get(by_owner.link.process.boot)
        if owner is None or by_owner is None:
            continue
        progress_there = owner.node.replicator.progress.get(process.id)
        if progress_there is not None and _serving_of(owner, progress_there, process) is by_owner:
            yield owner, progress_there, process, by_owner


def _serving_of(owner: Process, progress: Progress, peer: Process) -> Serving | None:
    serving = peer.node.holder.holdings[owner.id].by_owner
    if serving is None or serving.number != progress.id:
        return None
    here, there = progress.link.pair, serving.link.pair
    return serving if (here.written, here.read) == (there.read, there.written) else None


def entries_after(log: Log, index: int) -> DotSet:
    """Return the messages that the entries after an index put or remove."""
    dots = DotSet()
    for entry in log._entries[log._dropped + index - log.start :]:
        if isinstance(entry, Removal):
            dots |= entry.dots
        else:
            dots.add(*(entry.dot if isinstance(entry, Put) else entry))
    return dots


def _check(owner: Process, progress: Progress, peer: Process, serving: Serving) -> None:
    log, match = owner.node.replicator.log, progress.match
    if not progress.is_counted:
        return
    what = f"{owner} has confirmation {match} of {peer}, and its log goes from {log.start} to {log.end}"
    require(log.start <= match <= log.end, what)
    if not progress.is_whole:
        return
    mine, theirs = owner.node.replicator.holding.replica, peer.node.holder.holdings[owner.id].replica
    open_dots = entries_after(log, match) | progress._unsent
    for _, dots in progress._unconfirmed:
        open_dots |= dots
    lacks = (mine.live_dots - theirs.seen) - open_dots
    require(not lacks, f"{owner} believes that {peer} holds {tell_dots(lacks)}, and it does not")
    undead = (mine.removed_dots - theirs.removed_dots) - open_dots
    require(not undead, f"{owner} believes that {peer} knows {tell_dots(undead)} as removed")
    if serving.unreported or serving.last_change != progress.changes_received:
        return
    more = (theirs.live_dots - mine.seen) - progress.need
    require(not more, f"{owner} believes that {peer} has no more than itself, and it has {tell_dots(more)}")
    removed = (theirs.removed_dots - mine.removed_dots) - progress.records
    require(not removed, f"{owner} does not know that {peer}, in session, knows {tell_dots(removed)} as removed")
