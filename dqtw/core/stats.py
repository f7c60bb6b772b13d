"""What a node reports of itself: its stats, as names and JSON values, seconds ending in ``_s``; and its health."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dqtw import __version__
from dqtw.core.lifecycle.life import Phase
from dqtw.core.model.commands import State
from dqtw.core.model.errors import Full, TooLarge, Unreplicated
from dqtw.core.model.health import Check, Health, Wait
from dqtw.core.replication.held_copy import HeldCopy
from dqtw.core.replication.opener import Opener

if TYPE_CHECKING:
    from dqtw.core.node import Node

_counted = ("pushed", "delivered", "acked", "nacked", "lease_lost")
_states = (State.READY, State.LEASED, State.DELAYED, State.WAITING)


def node_stats(node: "Node", now: float) -> dict[str, object]:
    """All that is told of a node."""
    owner, queue = node.owner, node.owner.queue
    oldest = queue.oldest_ready()
    return {
        "node": node.settings.node,
        "cluster": node.settings.cluster,
        "incarnation": node.incarnation,
        "state": node.phase.value,
        "version": __version__,
        "uptime_s": round(now - node.started_at, 3),
        "size": node.settings.size,
        "queueSize": node.messages_count,
        **{state.value: queue.count(state) for state in _states},
        "bytes": owner.copy.body_bytes,
        "oldest_ready_s": None if oldest is None else round(max(now - oldest.born_s, 0.0), 3),
        "waiting_polls": len(owner.polls),
        "waiting_pushes": len(owner.intake.slots),
        "keys": len(owner.keys),
        **_totals(owner.totals),
        "waiting_for": [str(wait) for wait in _waits(node, now, Check.PUSH)],
        "drain_in_s": None if node.life.drain_at is None else round(max(node.life.drain_at - now, 0.0), 3),
        "only_here": node.life.only_here(now),
        "peers": {opener.peer.id: _peer(now, opener) for opener in owner.links},
        "copies": {queue: _held(now, held) for queue, held in node.holder.held.items()},
    }


def node_health(node: "Node", now: float, check: Check) -> Health:
    """Return whether a node is well, and what stands in the way if it is not."""
    in_session = len(node.owner.links.in_session())
    reasons = () if check is Check.LIVE else tuple(_reasons(node, check))
    waiting_for = tuple(wait.what for wait in _waits(node, now, check)) if reasons else ()
    return Health(not reasons, reasons, in_session, 1 + in_session, len(node.settings.members), waiting_for)


def _reasons(node: "Node", check: Check) -> Iterator[str]:
    if not node.life.is_serving:
        yield node.phase.value
    elif not node.life.was_ready:
        yield Phase.STARTING.value
    elif node.life.drain_at is not None:
        yield Phase.DRAINING.value
    if check is Check.PUSH and node.phase in (Phase.SERVING, Phase.DRAINING):
        for probe in (node.owner.links.check_enough, lambda: node.owner.intake.check_turn(1)):
            try:
                probe()
            except (Full, TooLarge, Unreplicated) as refusal:
                yield refusal.code


def _waits(node: "Node", now: float, check: Check) -> list[Wait]:
    """Return all that a node waits for; for other checks than that of pushes, without what only these need."""
    waits = list(node.life.waits(now))
    if node.life.drain_at is not None:
        waits.append(Wait("the end of --drain-notice, when the drain begins"))
    if node.phase is Phase.DRAINING and not node.is_quiet:
        waits.append(Wait("requests are under way"))
    if node.life.is_serving and check is Check.PUSH:
        waits += (wait for wait in node.owner.links.waits(now) if wait not in waits)
    return waits


def _totals(totals: Counter[str]) -> dict[str, object]:
    refused = {name.removeprefix("refused_"): totals[name] for name in sorted(totals) if name.startswith("refused_")}
    return {**{name: totals[name] for name in _counted}, "refused": refused}


def _peer(now: float, opener: Opener) -> dict[str, object]:
    return {
        "state": opener.stage.value,
        "up": opener.peer.is_up(now),
        "leaving": opener.peer.leaving,
        "session_s": round(now - opener.session_since, 3) if opener.in_session else None,
        "unacknowledged": opener.unacknowledged,
        "members_differ": opener.peer.members_differ,
        "settings_differ": list(opener.peer.settings_differ),
        "error": opener.peer.error,
    }


def _held(now: float, held: HeldCopy) -> dict[str, object]:
    return {
        "messages": len(held.copy.live),
        "bytes": held.copy.body_bytes,
        "in_sync": held.in_sync,
        "heard_s": None if held.heard_at is None else round(now - held.heard_at, 3),
    }
