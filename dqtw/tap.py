"""``twistd dqtw``: the command line, and the service that it asks for."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, cast

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.python import usage
from typing_extensions import override

from dqtw import __version__, values
from dqtw.options import BadOption, Option, options
from dqtw.process.garbage import collect_seldom
from dqtw.process.logs import Log
from dqtw.settings import Settings, read_settings
from dqtw.values import shown


def _taker(option: Option) -> Callable[..., None]:
    """The method by which `usage.Options` hands one option's values over; one without a value is a flag."""

    def take(self: "Options", text: str) -> None:
        self.given.setdefault(option.name, []).append(text)

    def say_yes(self: "Options") -> None:
        take(self, "yes")

    taker = say_yes if option.kind is values.flag else take
    taker.__doc__ = f"{option.help} [default: {option.default_shown}]" if taker is say_yes else option.help
    return taker


class Options(usage.Options):
    """The command line of ``twistd dqtw``.

    Attributes:
        given: what was given, option name to texts.
        settings: the settings that follow, once parsed.
    """

    longdesc = (
        "Each option can also come from an environment variable (--max-bytes: DQTW_MAX_BYTES; several values "
        "are separated by spaces) or from a TOML file named by --config. The command line wins over the "
        "environment, that over the file."
    )
    settings: Settings

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.given: dict[str, list[str]] = {}
        self.defaults.update({option.name: option.default_shown for option in options})

    def opt_version(self) -> NoReturn:
        """Display the version and exit."""
        print(f"dqtw {__version__}")  # noqa: T201
        sys.exit(0)

    @override
    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except (usage.UsageError, BadOption) as error:
            _refuse(error)

    @override
    def parseArgs(self, *leftover: str) -> None:
        if leftover:
            raise usage.UsageError(f"{leftover[0]!r} is not an option")

    @override
    def postOptions(self) -> None:
        self.settings = read_settings(self.given, os.environ)
        if self.settings.log_format == "json" and self._of_twistd("syslog"):
            raise BadOption("--log-format", "json lines can't go to twistd's --syslog")
        if self.settings.log_format == "json" and self._daemon() and self._of_twistd("logfile") == "-":
            raise BadOption("--log-format", "a daemon can't log to standard output")

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

    def _daemon(self) -> bool:
        return self.parent is not None and not self._of_twistd("nodaemon") and not self._of_twistd("debug")

    def _of_twistd(self, name: str) -> Any:
        return self.parent.get(name) if self.parent is not None else None


for _option in options:
    setattr(Options, "opt_" + _option.name.replace("-", "_"), _taker(_option))


def makeService(config: Options) -> IService:  # noqa: N802
    """The service that these options ask for, its doors listening already.

    They listen before twistd makes a daemon of itself, so that a port in use is told to the person who gave
    the command. Nobody is answered before the reactor runs.
    """
    from twisted.internet import reactor  # not sooner: twistd's --reactor chooses which

    from dqtw.service import build_service

    try:
        service = build_service(config.settings, cast(ReactorBase, reactor), config.open_log())
    except BadOption as error:
        _refuse(error)
    collect_seldom()
    return service


def _refuse(error: Exception) -> NoReturn:
    """Leave with one line on standard error and status 1, where twistd would print its whole help first."""
    raise SystemExit(f"dqtw: {' '.join(str(error).split())}")
