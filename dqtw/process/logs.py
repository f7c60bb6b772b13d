"""Where log lines go, as text or as JSON (one object a line), and how their file is opened again.

twistd would do that for text, but its file goes on with what log rotation has moved away.
"""

import json
import re
import sys
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

from attrs import frozen
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    PredicateResult,
    formatEvent,
    formatTime,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from typing_extensions import override

_noise: Final = re.compile(r".* starting on .*|\(.*Port.* Closed\)")


class ReopenedFile(LogFile):
    """A log file, as twistd's: at a million bytes it is renamed, and a new one begun.

    Each line goes to the end of the file, also if another process has cut it, as logrotate does with `copytruncate`.
    """

    @override
    def _openFile(self) -> None:
        self.closed = False
        self._file = Path(self.path).open("ab", 0)  # noqa: SIM115 - it stays open
        self.size = self._file.tell()

    @override
    def reopen(self) -> None:
        """Write to the file of this name from now on, whatever became of the one that is open.

        Raises:
            OSError: it can't be opened; the file that is open stays in use.
        """
        before = self._file
        self._openFile()
        before.close()


@frozen
class Log:
    """Where log lines go.

    Attributes:
        file: what they are written to: standard output, or a file that can be opened again.
        form: how they are written.
    """

    file: IO[Any]
    form: Literal["text", "json"]

    @classmethod
    def open(cls, path: str | None, form: Literal["text", "json"], *, daemon: bool) -> "Log":
        """Open the file that twistd would log to, by its rules.

        Args:
            path: twistd's ``--logfile``.
            form: how lines are to be written.
            daemon: whether twistd will daemonize.

        Raises:
            OSError: the file can't be opened.
        """
        if path == "-" or (path is None and not daemon):
            return cls(sys.stdout, form)
        return cls(ReopenedFile.fromFullPath(path or "twistd.log"), form)  # type: ignore[no-untyped-call]

    @property
    def observer(self) -> ILogObserver:
        """What writes each event to the file, apart from noise."""
        writer = FileLogObserver(self.file, json_line) if self.form == "json" else textFileLogObserver(self.file)
        return FilteringLogObserver(writer, [cast(ILogFilterPredicate, _is_wanted)])

    def reopen(self) -> bool:
        """Open the file again; return False if there is none.

        Raises:
            OSError: it can't be opened; the file that is open stays in use.
        """
        if not isinstance(self.file, ReopenedFile):
            return False
        self.file.reopen()
        return True


def json_line(event: LogEvent) -> str:
    """Return one event as one line: time, level, system, message, and the failure if there is one."""
    level = event.get("log_level")
    line = {
        "time": formatTime(event.get("log_time")),
        "level": level.name if level is not None else "info",
        "system": event.get("log_system") or event.get("log_namespace") or "-",
        "message": formatEvent(event),
    }
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        line["message"] = line["message"] or failure.getErrorMessage()
        line["failure"] = failure.getTraceback()
    return json.dumps(line) + "\n"


def _is_wanted(event: LogEvent) -> Any:
    """Leave out Twisted's lines about ports, which say less than this server's own."""
    is_noise = event.get("log_namespace") == "log_legacy" and _noise.fullmatch(formatEvent(event))
    return PredicateResult.no if is_noise else PredicateResult.maybe
