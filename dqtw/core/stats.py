"""What a node reports of itself: its stats, as names and JSON values, seconds ending in ``_s``; and its health."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dqtw import __version__
from dqtw.core.lifecycle.lifecycle import Phase
from dqtw.core.links.members import Member
from dqtw.core.model.commands import State
from dqtw.core.model.errors import Full, TooLarge, Unreplicated
from dqtw.core.model.health import Check, Health, Wait
from dqtw.core.replication.holding import Holding
from dqtw.core.replication.progress import Progress

if TYPE_CHECKING:
    from dqtw.core.node import Node

_counted = ("pushed", "delivered", "acked", "nacked", "lease_lost")
_states = (State.READY, State.LEASED, State.DELAYED, State.WAITING)


def node_stats(node: "Node", now: float) -> dict[str, object]:
    """Return all that is reported of a node."""
    owner, queue, replica = node.owner, node.owner.queue, node.replicator.holding.replica
    oldest, handover = queue.oldest_ready(), node.life.handover
    return {
        "node": node.settings.node,
        "cluster": node.settings.cluster,
        "incarnation": node.replicator.incarnation or "",
        "state": node.life.phase.value,
        "version": __version__,
        "uptime_s": round(now - node.started_at, 3),
        "size": node.settings.size,
        "queueSize": replica.count,
        **{state.value: queue.count(state) for state in _states},
        "bytes": replica.body_bytes,
        "oldest_ready_s": None if oldest is None else round(max(now - oldest.born_s, 0.0), 3),
        "waiting_polls": len(owner.polls),
        "waiting_pushes": len(owner.admission.slots),
        "keys": len(node.replicator.holding.keys),
        **_totals(owner.totals),
        "waiting_for": [str(wait) for wait in node_waits(node, now, Check.PUSH)],
        "drain_in_s": None if node.life.drain_at is None else round(max(node.life.drain_at - now, 0.0), 3),
        "only_here": None if handover is None else handover.only_here(node.cluster, node.holder),
        "peers": {member.id: _peer(node, now, member) for member in node.cluster.members.values()},
        "copies": {holding.owner: _held(holding) for holding in node.holder.others},
    }


def node_health(node: "Node", now: float, check: Check) -> Health:
    """Return whether a node is well, and what stands in the way if it is not."""
    in_session = len(node.replicator.counted())
    reasons = () if check is Check.LIVE else tuple(_reasons(node, check))
    waiting_for = tuple(wait.what for wait in node_waits(node, now, check)) if reasons else ()
    return Health(not reasons, reasons, in_session, 1 + in_session, len(node.settings.members), waiting_for)


def _reasons(node: "Node", check: Check) -> Iterator[str]:
    life = node.life
    if not life.is_serving:
        yield life.phase.value
    elif not life.was_ready:
        yield Phase.STARTING.value
    elif life.drain_at is not None:
        yield Phase.DRAINING.value
    if check is Check.PUSH and life.phase in (Phase.SERVING, Phase.DRAINING):
        try:
            node.replicator.check_enough()
        except Unreplicated as refusal:
            yield refusal.code
        try:
            node.owner.admission.check_turn(1)
        except (Full, TooLarge) as refusal:
            yield refusal.code


def node_waits(node: "Node", now: float, check: Check) -> list[Wait]:
    """Return all that a node waits for; for other checks than that of pushes, without what only pushes need."""
    waits = list(phase_waits(node, now))
    if node.life.drain_at is not None:
        waits.append(Wait("the end of --drain-notice, when the drain begins"))
    if node.life.is_serving and check is Check.PUSH:
        waits += (wait for wait in push_waits(node, now) if wait not in waits)
    return waits


def phase_waits(node: "Node", now: float) -> Iterator[Wait]:
    """Return what a node waits for to go on: to serve, to be ready, or to leave."""
    life, cluster = node.life, node.cluster
    yield from life.waits(now, cluster, node.replicator, node.holder)
    if life.is_serving and not life.was_ready:
        yield from life.waits_for_replicas(now, cluster, node.holder, node.exchanges)
    if life.phase is Phase.DRAINING and not node.is_quiet:
        yield Wait("requests are under way")


def push_waits(node: "Node", now: float) -> Iterator[Wait]:
    """Return what keeps pushes from getting their copies."""
    have, copies = 1 + len(node.replicator.counted()), node.settings.copies
    if have < copies:
        yield Wait(f"a push needs {copies} copies, {have} can be had now")
        for member in node.cluster.members.values():
            progress = node.replicator.progress.get(member.id)
            if progress is None or not progress.is_counted:
                yield member.trouble(now) or Wait(f"{member.id} is not in session yet")


def _totals(totals: Counter[str]) -> dict[str, object]:
    refused = {name.removeprefix("refused_"): totals[name] for name in sorted(totals) if name.startswith("refused_")}
    return {**{name: totals[name] for name in _counted}, "refused": refused}


def _peer(node: "Node", now: float, member: Member) -> dict[str, object]:
    progress, trouble = node.replicator.progress.get(member.id), member.trouble(now)
    return {
        "state": _state(progress),
        "up": member.is_linked,
        "leaving": member.is_leaving,
        "session_s": None if progress is None or not progress.is_whole else round(now - progress.link.up_at, 3),
        "unacknowledged": node.replicator.log.end - progress.match
        if progress is not None and progress.is_counted
        else 0,
        "members_differ": member.members_differ is not None,
        "settings_differ": list(member.settings_differ),
        "error": "" if trouble is None else trouble.why,
    }


def _state(progress: Progress | None) -> str:
    if progress is None:
        return "down"
    if progress.is_whole:
        return "in_session"
    return "reading" if progress.is_opened else "opening"


def _held(holding: Holding) -> dict[str, object]:
    return {
        "messages": holding.replica.count,
        "bytes": holding.replica.body_bytes,
        "in_sync": holding.is_current,
    }
