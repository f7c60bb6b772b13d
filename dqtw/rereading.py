"""What a server has read from files and reads again on SIGHUP: tokens, secrets, certificates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attrs import frozen
from twisted.logger import Logger

from dqtw.net.peer.secret import BadSecret
from dqtw.net.tls import BadCertificate
from dqtw.net.tokens import BadTokens
from dqtw.process.files import can_others_read

_log = Logger(namespace="dqtw")


class Contents(Protocol):
    """What was read from a file: so many items."""

    def __len__(self) -> int: ...

    def reread(self) -> None:
        """Read the file again; a failure leaves the contents as they are.

        Raises:
            BadCertificate, BadSecret, BadTokens: the file can't be used.
        """
        ...


@frozen
class Reread:
    """One file whose contents are in use.

    Attributes:
        option: the option that names it.
        what: what its contents are.
        contents: the contents.
        private: the file that other users of the machine must not read; None if its contents are public.
    """

    option: str
    what: str
    contents: Contents
    private: Path | None

    def warn_of_readers(self) -> None:
        """Warn if other users of this machine can read what they should not."""
        if self.private is not None and can_others_read(self.private):
            _log.warn(
                "--{option}: every user of this machine can read {path}; mend it with: chmod o= {path}",
                option=self.option,
                path=str(self.private),
            )


def reread_all(files: Sequence[Reread]) -> None:
    """Read all files again, each by itself, and log what came of it."""
    if not files:
        _log.info("SIGHUP: no option names a file that is read again")
    for file in files:
        try:
            file.contents.reread()
        except (BadCertificate, BadSecret, BadTokens) as error:
            _log.error(
                "--{option}: {why}; the {what} stay as they were", option=file.option, why=str(error), what=file.what
            )
        else:
            count = len(file.contents)
            _log.info("--{option}: read again, {what}: {count}", option=file.option, what=file.what, count=count)
            file.warn_of_readers()
