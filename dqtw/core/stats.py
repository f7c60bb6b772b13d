"""What an operator may want to know of a node, as names and JSON values; seconds end in ``_s``."""

from collections import Counter
from typing import TYPE_CHECKING

from dqtw import __version__
from dqtw.core.commands import State
from dqtw.core.held_copy import HeldCopy
from dqtw.core.opener import Opener

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
        "waiting_for": [str(wait) for wait in node.waits(now)],
        "drain_in_s": None if node.life.drain_at is None else round(max(node.life.drain_at - now, 0.0), 3),
        "only_here": node.life.only_here(now),
        "peers": {opener.peer.id: _peer(now, opener) for opener in owner.links},
        "copies": {queue: _held(now, held) for queue, held in node.holder.held.items()},
    }


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
