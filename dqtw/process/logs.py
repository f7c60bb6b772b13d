"""Log lines as JSON: one object a line, Twisted's own lines too."""

import json
import signal
import sys
from typing import IO, Any

from twisted.internet.base import ReactorBase
from twisted.logger import FileLogObserver, LogEvent, formatEvent, formatTime
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile


def json_line(event: LogEvent) -> str:
    """One event as one line: time, level, system, message, and the failure if there is one."""
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


def json_observer(file: IO[Any]) -> FileLogObserver:
    """An observer that writes each event to the file."""
    return FileLogObserver(file, json_line)


def open_log(path: str | None, reactor: ReactorBase, *, daemon: bool) -> IO[Any]:
    """The file that twistd would log to: by its own rules, which it applies only to its own text format.

    Args:
        path: twistd's ``--logfile``.
        reactor: to rotate the file when SIGUSR1 asks for it.
        daemon: whether twistd will daemonize.
    """
    if path == "-" or (path is None and not daemon):
        return sys.stdout
    file: Any = LogFile.fromFullPath(path or "twistd.log")
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))
    return file  # type: ignore[no-any-return]
