"""The bound on the bulk bytes that are under way to a peer."""

from collections import deque
from typing import Final

from attrs import frozen

bytes_usual: Final = 256 * 1024
bytes_first: Final = 64 * 1024
bytes_min: Final = 32 * 1024
delay_s_max: Final = 0.5  # from writing to the report, before less is put under way
span_s: Final = 1.0  # what is read in so long a time may be under way
_spacing_s: Final = 0.05  # between the reports that are remembered
_others_min: Final = 2  # reports between the writing of some bytes and the report of them


@frozen
class _Probe:
    """Some bytes whose way is timed: sent up to ``total`` bytes at ``sent_s``, after so many reports."""

    total: int
    sent_s: float
    report_count: int


class Window:
    """How much may be written before the peer reports it as read: at most max(256 KiB, what it read in a second).

    It begins with less, as a slow link must not have more: what fills the buffers on the way delays all that follows.
    It doubles while the bytes under way fill it and arrive soon, and halves when they take long. The time that some
    bytes take counts only if two other reports came meanwhile; else it may be the time between two reports.

    Attributes:
        read: what the peer has reported as read; at most what was written, whatever it reports.
    """

    def __init__(self) -> None:
        self.read = 0
        self._written = 0
        self._size = bytes_first  # `bytes_min` or more
        self._usual = bytes_usual  # the greatest size now
        self._reports: deque[tuple[float, int]] = deque([(float("-inf"), 0)])  # the first is older than `span_s`
        self._report_count = 0
        self._probe: _Probe | None = None
        self._was_full = False  # since the probe was sent

    @property
    def size(self) -> int:
        """How many bytes may be under way."""
        return min(self._size, self._usual)

    @property
    def is_open(self) -> bool:
        """Return True if another piece may be written."""
        is_open = self._written - self.read < min(self._size, self._usual)
        self._was_full |= not is_open
        return is_open

    def wrote(self, now: float, count: int) -> None:
        """Count bytes as written."""
        self._written += count
        if self._probe is None:
            self._probe = _Probe(self._written, now, self._report_count)
            self._was_full = False

    def reported(self, now: float, read: int) -> None:
        """Take a report of the peer: how many bytes it has read since the stream began."""
        self.read = max(self.read, min(read, self._written))
        self._report_count += 1
        reports = self._reports
        if now - reports[-1][0] >= _spacing_s:
            reports.append((now, self.read))
        while len(reports) > 1 and now - reports[1][0] >= span_s:
            reports.popleft()
        self._usual = max(bytes_usual, self.read - reports[0][1])
        probe = self._probe
        if probe is None or self.read < probe.total:
            return
        self._probe = None
        if now - probe.sent_s <= delay_s_max or self.read == self._written:
            if self._was_full:
                self._size = min(2 * self._size, self._usual)
        elif self._report_count - probe.report_count > _others_min:
            self._size = max(self._size // 2, bytes_min)
