"""The log lines on what lasts: what a node waits for, peers that are of no use, pushes that are refused.

A line comes when its text is new, not with every try. When texts alternate, or have numbers that change, a few lines
come at once, and then no more than one a minute until it is over.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field

from dqtw.core.effects import Level
from dqtw.core.lifecycle.life import Life, Phase
from dqtw.core.links.peers import Peer, Peers
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.links import Links

lines_max: Final = 5  # on one subject at once
another_line_s: Final = 60.0
patience_s: Final = 1.0  # what is over by then is not worth a line
short_s: Final = 3.0  # so long too few peers may be in session: a peer that is started again is back by then

_pushes: Final = "pushes"
_states: Final = {
    Phase.STARTING: "starting",
    Phase.SERVING: "not ready",
    Phase.DRAINING: "handing over",
    Phase.FENCED: "handing over",
}


@define
class Report:
    """What was logged on one subject.

    Attributes:
        since: since when it lasts.
        lines: the latest lines.
        logged_at: when the latest of them was logged.
    """

    since: float
    lines: deque[tuple[Level, str]] = field(factory=lambda: deque(maxlen=lines_max))
    logged_at: float = 0.0

    def is_news(self, now: float, level: Level, text: str) -> bool:
        """Return True if a text is to be logged."""
        if (level, text) in self.lines:
            return False
        is_new_level = level not in {each for each, _ in self.lines}
        return is_new_level or len(self.lines) < lines_max or now - self.logged_at >= another_line_s


class Reports:
    """The reports of one node."""

    def __init__(
        self, settings: NodeSettings, peers: Peers, links: Links, life: Life, note: Callable[..., None]
    ) -> None:
        self._start_wait_s = settings.start_wait_s
        self._peers = peers
        self._links = links
        self._life = life
        self._note = note
        self._reports: dict[str | Phase, Report] = {}  # by subject

    def begin_again(self, now: float) -> None:
        """Count anew how long everything lasts: this process itself was not running."""
        for report in self._reports.values():
            report.since = now

    def look(self, now: float) -> None:
        """Log what is news."""
        for peer in self._peers:
            self._look_at_peer(now, peer)
        self._look_at_pushes(now)
        for phase in Phase:
            self._look_at_waits(now, phase)

    def _look_at_peer(self, now: float, peer: Peer) -> None:
        subject, trouble = f"peer {peer.id}", peer.trouble(now)
        if self._links[peer.id].in_session:
            self._over(subject)
        elif trouble is not None and (peer.declined or peer.fault):
            self._log(now, subject, "warn", str(trouble))
        elif trouble is not None and self._life.is_serving and not self._links.is_short:
            self._log(now, subject, "info", str(trouble))  # else it is among what the node waits for

    def _look_at_pushes(self, now: float) -> None:
        if not self._life.is_serving or not self._links.is_short:
            if self._over(_pushes) and self._life.is_serving:
                self._note("pushes are accepted again")
        elif self._lasts_s(now, _pushes) >= short_s:
            why = "; ".join(map(str, self._links.waits(now)))
            self._log(now, _pushes, "warn", f"pushes are refused: {why}")

    def _look_at_waits(self, now: float, phase: Phase) -> None:
        waits = [str(wait) for wait in self._life.waits(now)] if phase is self._life.phase else []
        if not waits:
            self._over(phase)
        elif (lasts_s := self._lasts_s(now, phase)) >= patience_s:
            level: Level = "warn" if lasts_s > self._start_wait_s else "info"
            self._log(now, phase, level, f"{_states[phase]}: {'; '.join(waits)}")

    def _lasts_s(self, now: float, subject: str | Phase) -> float:
        return now - self._reports.setdefault(subject, Report(now)).since

    def _log(self, now: float, subject: str | Phase, level: Level, text: str) -> None:
        report = self._reports.setdefault(subject, Report(now))
        if report.is_news(now, level, text):
            report.lines.append((level, text))
            report.logged_at = now
            self._note("{text}", level, text=text)

    def _over(self, subject: str | Phase) -> bool:
        """Note that it does not last any more; return True if anything was logged on it."""
        report = self._reports.pop(subject, None)
        return report is not None and bool(report.lines)
