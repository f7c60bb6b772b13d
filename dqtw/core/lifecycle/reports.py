"""The log lines on what lasts: what a node waits for, peers that are of no use, pushes that are refused.

A line comes when its text is new, not with every try. When texts alternate, or have numbers that change, a few lines
come at once, and then no more than one a minute until it is over.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from attrs import define, field

from dqtw.core.effects import Event, Level
from dqtw.core.lifecycle.lifecycle import Phase
from dqtw.core.links.link import Link
from dqtw.core.links.members import Member
from dqtw.core.model.health import Wait
from dqtw.core.model.settings import NodeSettings

lines_max: Final = 5  # on one subject at once
link_lines_max: Final = 10  # on the links to one peer, within `another_line_s`
another_line_s: Final = 60.0
patience_s: Final = 1.0  # what is over by then is not worth a line
linking_s: Final = 0.5  # after a stream was opened its pair may follow, and a link
short_s: Final = 3.0  # so long too few peers may be counted, or a peer may start: one that is started again is back

_pushes: Final = "pushes"
states: Final = {
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
        logged_at: when the latest of them was logged; void while there are none.
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


@define
class LinkReport:
    """What was logged on the links to one peer, which may come and go every second.

    Attributes:
        logged: when the latest lines were logged.
        latest: the latest change, if its line has yet to be logged.
    """

    logged: deque[float] = field(factory=lambda: deque(maxlen=link_lines_max))
    latest: Event | None = None

    def due(self, now: float) -> list[Event]:
        """Return the line on the latest change, unless there were too many lines within the last minute."""
        is_too_early = len(self.logged) == link_lines_max and now - self.logged[0] < another_line_s
        if self.latest is None or is_too_early:
            return []
        event, self.latest = self.latest, None
        self.logged.append(now)
        return [event]


class Reports:
    """The reports of one node. Each method returns the lines that are due."""

    def __init__(self, settings: NodeSettings) -> None:
        self._start_wait_s = settings.start_wait_s
        self._members = ", ".join(settings.members)
        self._reports: dict[Hashable, Report] = {}  # by subject, of which each peer has a few
        self._links: dict[str, LinkReport] = {}  # by the peer

    def resumed(self, now: float) -> None:
        """Count anew how long everything lasts: this process was paused."""
        for report in self._reports.values():
            report.since = now

    def link_up(self, now: float, link: Link) -> list[Event]:
        """Report that a link is up."""
        return self._link_changed(now, link, Event("{peer} is linked", link.facts))

    def link_down(self, now: float, link: Link, why: str) -> list[Event]:
        """Report that a link has ended."""
        return self._link_changed(now, link, Event("{peer} is not linked: {why}", {"why": why, **link.facts}))

    def fault(self, now: float, link: Link, why: str) -> list[Event]:
        """Report that a peer breaks the protocol; the same words once a minute, as links come up again."""
        facts = {"why": why, **link.facts}
        return self._log(now, ("fault", link.node), Event("{peer} sent what it must not: {why}", facts, "warn"))

    def _link_changed(self, now: float, link: Link, event: Event) -> list[Event]:
        report = self._links.setdefault(link.node, LinkReport())
        report.latest = event
        return report.due(now)

    def look(
        self, now: float, phase: Phase, waits: Sequence[Wait], push_waits: Sequence[Wait], members: Iterable[Member]
    ) -> list[Event]:
        """Return the lines on what has lasted long enough, and on what is over.

        Args:
            now: the monotonic clock, in seconds.
            phase: of the process.
            waits: what the process waits for in this phase.
            push_waits: what keeps pushes from getting their copies.
            members: the peers.
        """
        is_short = bool(push_waits)
        events = [event for report in self._links.values() for event in report.due(now)]
        for member in members:
            events += self._look_at_peer(now, member, is_named_elsewhere=is_short or phase is not Phase.SERVING)
            events += self._look_at_differences(now, member)
            self._over(now, ("fault", member.id), after_s=another_line_s)
        events += self._look_at_pushes(now, phase, push_waits)
        for each in Phase:
            events += self._look_at_waits(now, each, waits if each is phase else ())
        return events

    def _look_at_peer(self, now: float, member: Member, *, is_named_elsewhere: bool) -> list[Event]:
        """Report what is wrong with a peer: a refusal always, the rest unless the lines on waits name it."""
        subject, trouble = ("peer", member.id), member.trouble(now)
        if trouble is None:
            self._over(now, subject)
        elif member.is_refused(now):
            return self._log(now, subject, Event("{trouble}", {"trouble": trouble}, "warn"))
        elif not is_named_elsewhere and _is_settled(now, member):
            return self._log(now, subject, Event("{trouble}", {"trouble": trouble}))
        return []

    def _look_at_differences(self, now: float, member: Member) -> list[Event]:
        events: list[Event] = []
        subject, theirs = ("members", member.id), member.members_differ
        if theirs is None:
            self._over(now, subject, after_s=another_line_s)
        else:
            facts: dict[str, object] = {"peer": member.id, "theirs": ", ".join(theirs), "here": self._members}
            events += self._log(now, subject, Event("{peer} has other members: {theirs}; here: {here}", facts, "warn"))
        subject, differences = ("settings", member.id), member.settings_differ
        if not differences:
            self._over(now, subject, after_s=another_line_s)
        else:
            facts = {"peer": member.id, "differences": "; ".join(differences)}
            events += self._log(now, subject, Event("{peer} has other settings: {differences}", facts, "warn"))
        return events

    def _look_at_pushes(self, now: float, phase: Phase, waits: Sequence[Wait]) -> list[Event]:
        if not waits or phase is not Phase.SERVING:
            was_logged = self._over(now, _pushes)
            return [Event("pushes are accepted again")] if was_logged and phase is Phase.SERVING else []
        if self._lasts_s(now, _pushes) < short_s:
            return []
        return self._log(now, _pushes, Event("pushes are refused: {waits}", {"waits": _joined(waits)}, "warn"))

    def _look_at_waits(self, now: float, phase: Phase, waits: Sequence[Wait]) -> list[Event]:
        if not waits:
            self._over(now, phase)
            return []
        lasts_s = self._lasts_s(now, phase)
        if lasts_s < patience_s:
            return []
        facts: dict[str, object] = {"state": states[phase], "waits": _joined(waits)}
        level: Level = "warn" if lasts_s > self._start_wait_s else "info"
        return self._log(now, phase, Event("{state}: {waits}", facts, level))

    def _lasts_s(self, now: float, subject: Hashable) -> float:
        return now - self._reports.setdefault(subject, Report(now)).since

    def _log(self, now: float, subject: Hashable, event: Event) -> list[Event]:
        report = self._reports.setdefault(subject, Report(now))
        text = event.what.format(**event.facts)
        if not report.is_news(now, event.level, text):
            return []
        report.lines.append((event.level, text))
        report.logged_at = now
        return [event]

    def _over(self, now: float, subject: Hashable, after_s: float = 0.0) -> bool:
        """Note that it does not last any more; return True if anything was logged on it.

        Args:
            now: the monotonic clock, in seconds.
            subject: what does not last any more.
            after_s: it counts as over so long after its last line at the earliest. Two processes of one peer report in
                turn, and only one of them may be set up otherwise.
        """
        report = self._reports.get(subject)
        if report is None or (report.lines and now - report.logged_at < after_s):
            return False
        del self._reports[subject]
        return bool(report.lines)


def _joined(waits: Sequence[Wait]) -> str:
    return "; ".join(map(str, waits))


def _is_settled(now: float, member: Member) -> bool:
    """Return True if what is wrong with a peer is not over in a moment: it is just being linked, or has just been."""
    if member.is_linked:
        return all(now >= link.up_at + short_s for link in member.links)
    return all(now >= each.active_at + linking_s for each in member.pairings.values() if each.written or each.read)
