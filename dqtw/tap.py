"""``twistd dqtw``: the command line, and the service that it asks for."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from getopt import GetoptError
from typing import Any, NoReturn, cast

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.python import usage
from typing_extensions import override

from dqtw import __version__
from dqtw.config import values
from dqtw.config.help import help_text, instead_of_option, instead_of_word
from dqtw.config.options import BadOption, Option, options
from dqtw.config.settings import Settings, read_settings
from dqtw.config.values import shown
from dqtw.process.garbage import collect_seldom
from dqtw.process.logs import Log


def _taker(option: Option) -> Callable[..., None]:
    """Return the method by which `usage.Options` hands one option's values over; one without a value is a flag."""

    def take(self: "Options", text: str) -> None:
        self.given.setdefault(option.name, []).append(text)

    def say_yes(self: "Options") -> None:
        take(self, "yes")

    return say_yes if option.kind is values.flag else take


class Options(usage.Options):
    """The command line of ``twistd dqtw``.

    Attributes:
        given: what was given, option name to texts.
        settings: the settings that follow, once parsed.
    """

    settings: Settings

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.given: dict[str, list[str]] = {}

    def opt_version(self) -> NoReturn:
        """Display the version and exit."""
        print(f"dqtw {__version__}")  # noqa: T201
        sys.exit(0)

    @override
    def getUsage(self, width: int | None = None) -> str:
        return help_text(width or shutil.get_terminal_size().columns)

    @override
    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except (usage.UsageError, BadOption) as error:
            unread = error.__context__
            if isinstance(unread, GetoptError):
                _refuse(f"{error}: {instead_of_option(unread.opt, self._names_of_twistd())}")
            _refuse(str(error))

    @override
    def parseArgs(self, *leftover: str) -> None:
        if leftover:
            raise usage.UsageError(f"{shown(leftover[0])} is not an option: {instead_of_word(leftover[0])}")

    @override
    def postOptions(self) -> None:
        self.settings = read_settings(self.given, os.environ)
        if self.settings.log_format == "json" and self._of_twistd("syslog"):
            raise BadOption("--log-format", "json lines can't go to twistd's --syslog")
        if self._daemon() and self._of_twistd("logfile") == "-" and not self._of_twistd("syslog"):
            raise BadOption("twistd --logfile", "a daemon can't log to standard output; name a file, or say twistd -n")

    def open_log(self) -> Log | None:
        """Return where twistd's options want log lines to go; None for syslog, which is twistd's to write.

        Raises:
            BadOption: the file can't be opened.
        """
        if self._of_twistd("syslog"):
            return None
        try:
            return Log.open(self._of_twistd("logfile"), self.settings.log_format, daemon=self._daemon())
        except OSError as error:
            raise BadOption("twistd --logfile", f"can't write {shown(str(error.filename))}: {error.strerror}") from None

    def check_places(self) -> None:
        """See that twistd can work where it is told to; it would show a traceback.

        Raises:
            BadOption: it can't.
        """
        folder, pid_file = self._of_twistd("rundir"), self._of_twistd("pidfile")
        if self._of_twistd("chroot"):  # what a path means is known only later
            return
        if folder and not os.path.isdir(folder):
            raise BadOption("twistd --rundir", f"{shown(folder)} is not a directory")
        if pid_file and not os.access(pid_file if os.path.exists(pid_file) else os.path.dirname(pid_file), os.W_OK):
            raise BadOption(
                "twistd --pidfile", f"can't write {shown(pid_file)}; name another file, or none: --pidfile="
            )

    def _daemon(self) -> bool:
        return self.parent is not None and not self._of_twistd("nodaemon") and not self._of_twistd("debug")

    def _names_of_twistd(self) -> set[str]:
        return {name.rstrip("=") for name in self.parent.longOpt} if self.parent is not None else set()

    def _of_twistd(self, name: str) -> Any:
        return self.parent.get(name) if self.parent is not None else None


for _option in options:
    setattr(Options, "opt_" + _option.name.replace("-", "_"), _taker(_option))


def makeService(config: Options) -> IService:  # noqa: N802
    """Return the service that these options ask for, its listeners listening already.

    They listen before twistd makes a daemon of itself, so that whoever gave the command is told of a port in use. No
    client is answered before the reactor runs.
    """
    from twisted.internet import reactor  # not sooner: twistd's --reactor chooses which

    from dqtw.service import build_service

    try:
        config.check_places()
        service = build_service(config.settings, cast(ReactorBase, reactor), config.open_log())
    except BadOption as error:
        _refuse(str(error))
    collect_seldom()
    return service


def _refuse(why: str) -> NoReturn:
    """Leave with one line on standard error and status 1, where twistd would print its whole help first."""
    raise SystemExit(f"dqtw: {' '.join(why.split())}")
