"""What happened, in short lines for a person, and a fingerprint of it all."""

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Protocol

from dqtw.core.links.frames import (
    AnyFrame,
    Applied,
    Backfill,
    Changed,
    Contents,
    Declined,
    Delta,
    Fenced,
    Fetch,
    Fetched,
    Forward,
    Forwarded,
    Leave,
    Open,
    Opened,
    PageRead,
    ReadPage,
    Status,
    Stays,
    Synced,
    from_outcome,
)
from dqtw.core.model.commands import (
    Ack,
    Command,
    Complete,
    Delivered,
    Get,
    GiveBack,
    Inspect,
    Nack,
    Outcome,
    Push,
    Pushed,
    Touch,
)
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import Refusal
from dqtw.core.model.message import MessageId


class Time(Protocol):
    """What a trace needs of the clock."""

    now: float


class Trace:
    """The story of one seed.

    Attributes:
        counts: how often things happened, by name; kept whether the story is told or not.
    """

    def __init__(self, clock: Time, *, is_told: bool = False, is_hashed: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.is_on = is_told or is_hashed
        self._clock = clock
        self._is_told = is_told
        self._hash = blake2b(digest_size=16)

    def line(self, who: object, what: str) -> None:
        """Something happened."""
        if self.is_on:
            text = f"{self._clock.now:10.4f}  {who!s:<7} {what}"
            self._hash.update(text.encode())
            if self._is_told:
                print(text)

    @property
    def fingerprint(self) -> str:
        """The same for two runs that told the same story."""
        return self._hash.hexdigest()


def short(id: MessageId) -> str:
    """An id, without the part of the incarnation that is the same in a whole story."""
    return f"{id.node}.{id.incarnation[6:13]}.{id.n}"


def short_dot(dot: Dot) -> str:
    """Return a dot, without the part of the incarnation that is the same in a whole story."""
    return f"{dot[0][6:13]}.{dot[1]}"


def tell_dots(dots: DotSet) -> str:
    """Return a set of dots in words."""
    listed = [short_dot(dot) for dot, _ in zip(dots, range(4), strict=False)]
    return f"[{' '.join(listed)}{' …' if len(dots) > 4 else ''}]"


def tell_command(command: Command) -> str:
    """Return what a client asks for in words."""
    match command:
        case Push():
            key = f" key={command.key}" if command.key else ""
            wait = f" wait={command.wait_s:.1f}" if command.wait_s else ""
            return f"push {command.body[:16]!r}{key}{wait}"
        case Get():
            now = " ack=now" if command.ack_now else ""
            return f"get max={command.count_max} wait={command.wait_s:.1f} lease={command.lease_s}{now}"
        case Ack() | Inspect():
            return f"{type(command).__name__.lower()} {short(command.id)}"
        case Nack() | Touch() | GiveBack() | Complete():
            return f"{type(command).__name__.lower()} {short(command.receipt.id)}.{command.receipt.token[-4:]}"


def tell_outcome(outcome: Outcome) -> str:
    """Return an outcome in words."""
    match outcome:
        case Refusal():
            return f"{outcome.code}: {outcome.detail}"
        case Pushed():
            return f"ok {short(outcome.id)} {outcome.copies}/{outcome.members}{' duplicate' * outcome.duplicate}"
        case Delivered():
            each = [f"{short(d.receipt.id)}.{d.receipt.token[-4:]} ({d.attempt})" for d in outcome.deliveries]
            return f"messages {' '.join(each)}" if each else "empty"
    return "ok"


def tell_contents(contents: Contents) -> str:
    """Return contents in words."""
    puts = [short_dot((incarnation, n)) for incarnation, runs in contents.puts.items() for n, _ in runs]
    return f"put [{' '.join(puts[:5])}] removed {tell_dots(contents.removed)} records {len(contents.records)}"


def _tell_status(frame: Status) -> str:
    known = []
    for id, report in frame.nodes.items():
        flags = " in session" * report.in_session + " current" * report.is_current
        known.append(f"{id} {(report.greatest or '')[6:13]}{flags}")
    return f"{(frame.incarnation or '')[6:13]}{' going' * frame.is_going}; {', '.join(known)}"


def _tell_page(frame: PageRead) -> str:
    upto = frame.upto and short_dot(frame.upto)
    return f"seen {tell_dots(frame.seen)} live {tell_dots(frame.live)} upto {upto}"


def _tell_delta(frame: Delta) -> str:
    flags = " synced" * frame.is_synced + " whole" * frame.is_whole
    return f"upto {frame.upto} {tell_contents(frame.contents)}{flags} received {frame.changes_received}"


def _tell_forwarded(frame: Forwarded) -> str:
    return ", ".join(f"{n}: {tell_outcome(from_outcome(each))}" for n, each in frame.outcomes)


_tell: dict[type, Callable[[Any], str]] = {
    Status: _tell_status,
    Open: lambda frame: f"{frame.owner} as {frame.role.value} in {(frame.incarnation or '')[6:13]}",
    Opened: lambda frame: f"changes {frame.changes}{' was complete' * frame.was_complete}",
    Declined: lambda frame: frame.why,
    Fenced: lambda frame: f"{frame.node} by {frame.greatest[6:13]}",
    ReadPage: lambda frame: f"after {frame.after and short_dot(frame.after)}",
    PageRead: _tell_page,
    Fetch: lambda frame: f"{tell_dots(frame.messages)} records {tell_dots(frame.records)}",
    Fetched: lambda frame: f"{tell_contents(frame.contents)} absent {tell_dots(frame.absent)}",
    Delta: _tell_delta,
    Backfill: lambda frame: f"#{frame.number} {tell_contents(frame.contents)}",
    Applied: lambda frame: f"upto {frame.upto} backfill {frame.backfill}",
    Changed: lambda frame: f"#{frame.number} live {tell_dots(frame.live)} removed {tell_dots(frame.removed)}",
    Synced: lambda frame: f"received {frame.changes_received}",
    Forward: lambda frame: f"{frame.first}: {', '.join(map(tell_command, frame.commands))}",
    Forwarded: _tell_forwarded,
    Leave: str,
    Stays: str,
}


def tell_frame(frame: AnyFrame) -> str:
    """Return a frame in words."""
    name = f"{type(frame).__name__.lower()} {getattr(frame, 'session', '')}"
    return f"{name} {_tell[type(frame)](frame)}" if type(frame) in _tell else name
