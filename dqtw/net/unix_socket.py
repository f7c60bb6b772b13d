# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""Listening on a socket in the file system.

Twisted takes a name away whose lock file names a process that has ended, and with a daemon that is so from the start:
the process that listened first has ended. So a second daemon took the socket of the first. Here a name is free if
nothing is there, or if a socket is there on which no process listens, as after SIGKILL.
"""

import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from typing import Final

from attrs import frozen
from twisted.internet import tcp, unix
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

lock_wait_s_max: Final = 5.0
_lock_retry_s: Final = 0.01


@implementer(IStreamServerEndpoint)
@frozen
class UnixEndpoint:
    """An endpoint in the file system.

    Attributes:
        reactor: the reactor.
        path: the name of the socket.
        mode: who may connect, as the bits of chmod.
        backlog: how many connections may wait to be accepted.
    """

    reactor: ReactorBase
    path: str
    mode: int = 0o666
    backlog: int = 50

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen, if no other process does."""
        return execute(self._listen, factory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        port = _Port(os.fsencode(self.path), factory, self.backlog, self.mode, self.reactor)
        with _alone_in(os.path.dirname(self.path) or os.curdir):
            _make_free(self.path)
            port.startListening()
        return port


class _Port(unix.Port):
    """A listening socket that takes its own name away at the end, and no other one's."""

    _own: tuple[int, int] | None = None

    @override
    def startListening(self) -> None:
        super().startListening()
        self._own = _identity(self._bindPath)

    @override
    def connectionLost(self, reason: Failure) -> None:
        with suppress(FileNotFoundError):
            if _identity(self._bindPath) == self._own:
                os.unlink(self._bindPath)
        tcp.Port.connectionLost(self, reason)


def _identity(path: bytes) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


@contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """Let no other start of a server take or free a name in this directory meanwhile.

    Raises:
        OSError: the directory can't be read, or another process keeps it locked.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    until = time.monotonic() + lock_wait_s_max
    while True:
        try:
            flock(handle, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise OSError("another process keeps its directory locked") from None
            time.sleep(_lock_retry_s)
        else:
            return


def _make_free(path: str) -> None:
    """Take a socket away on which no process listens.

    Raises:
        OSError: a process listens there, or another kind of file is there.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError("a file is there that is not a socket")
    if _is_live(path):
        raise OSError("another process listens there")
    os.unlink(path)


def _is_live(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # so many wait to be accepted that no other can
            return True
    return True
