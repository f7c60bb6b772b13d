"""The owner's log: every change of its replica, numbered 1, 2, 3, … within the process.

Entries hold dots, not bodies. What a peer has is one index into the log, as in Raft; a message that was removed before
its entry is sent is left out, because the removal follows.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from attrs import frozen

from dqtw.core.links.frames import Contents, to_records
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.key_memory import KeyRecord
from dqtw.core.model.message import Message
from dqtw.core.model.replica import Replica

read_bytes_max: Final = 1024 * 1024
read_entries_max: Final = 4096
message_overhead_bytes: Final = 64  # of a message on the wire, besides its body and key

SessionId: TypeAlias = int
"""Names one session of this process with a peer, never used twice."""


@frozen
class Put:
    """A message was added.

    Attributes:
        known_by: the sessions whose peers have it already, to which it is not sent.
    """

    dot: Dot
    known_by: tuple[SessionId, ...] = ()


@frozen
class Removal:
    """Messages were removed; ``records``: the keys of those that had one."""

    dots: DotSet
    records: tuple[KeyRecord, ...]
    known_by: tuple[SessionId, ...] = ()


Entry: TypeAlias = Dot | Put | Removal
"""A plain dot stands for a `Put` that no peer has yet: the usual entry, of which there may be many."""


@frozen
class Part:
    """A part of the log: what its entries up to ``upto`` say."""

    upto: int
    contents: Contents


class Log:
    """The entries that some peer may still need.

    Attributes:
        start: the index of the last entry that was dropped; 0 if none was.
    """

    def __init__(self, replica: Replica) -> None:
        self.start = 0
        self._replica = replica
        self._entries: list[Entry] = []
        self._dropped = 0  # of `_entries`: the first ones, up to `start`, which are freed many at once
        self._latest: tuple[int, int, Part] | None = None  # what was read last: from where, at which end, and the part

    @property
    def end(self) -> int:
        """The index of the last entry."""
        return self.start + len(self._entries) - self._dropped

    def append(self, entry: Entry) -> int:
        """Append an entry; return its index."""
        self._entries.append(entry)
        return self.end

    def truncate(self, upto: int) -> None:
        """Drop the entries up to this index."""
        if upto > self.start:
            self._dropped += upto - self.start
            self.start = upto
            if 2 * self._dropped >= len(self._entries):
                del self._entries[: self._dropped]
                self._dropped = 0

    def read(self, first: int, session: SessionId) -> Part:
        """Return what the entries from ``first`` on say, up to a limit, for one session.

        Peers that have read equally far get the same object, so that it is encoded once.
        """
        if self._latest is not None and self._latest[:2] == (first, self.end):
            return self._latest[2]
        puts: dict[str, list[tuple[int, Message]]] = {}
        removed, records = DotSet(), list[KeyRecord]()
        left_bytes, left_entries, upto, is_shared = read_bytes_max, read_entries_max, first - 1, True
        at = self._dropped + first - self.start - 1
        for entry in self._entries[at : at + read_entries_max]:
            if left_bytes <= 0 or left_entries <= 0:
                break
            upto += 1
            left_entries -= 1
            if isinstance(entry, tuple):
                dot = entry
            else:
                is_shared = is_shared and not entry.known_by
                if session in entry.known_by:
                    continue
                if isinstance(entry, Removal):
                    removed |= entry.dots
                    records += entry.records
                    left_entries -= entry.dots.bounds_count
                    continue
                dot = entry.dot
            message = self._replica.get(dot)
            if message is not None:
                puts.setdefault(dot[0], []).append((dot[1], message))
                left_bytes -= len(message.body) + message_overhead_bytes
        part = Part(upto, Contents(puts, removed, to_records(records)))
        self._latest = (first, self.end, part) if is_shared else None
        return part


def known_by(dots: DotSet, sets: Iterable[tuple[SessionId, DotSet]]) -> tuple[SessionId, ...]:
    """Return the sessions whose sets contain all these dots."""
    return tuple(session for session, known in sets if known and not dots - known)
