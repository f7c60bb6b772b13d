"""What signals do to a server, and with which status it leaves.

Most signals end a process unless they are handled; none that operators, log rotation, service managers, terminals and
containers send may take the queue away. SIGPIPE is ignored by Python, SIGTSTP and SIGCONT pause a process and let it go
on. Those that report a defect or a limit of the process, such as SIGSEGV and SIGXCPU, end it.

Twisted ends a process that was told to stop by sending itself the same signal once more, so that its parent sees
a death by signal where it waits for status 0. A server that was asked to leave, and left in good order, says 0;
one that leaves for another reason has a status of its own.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Final

from twisted.internet.base import ReactorBase

status_failed: Final = 1

_without_effect: Final = ("SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGSTKFLT")


def take_over_stopping(reactor: ReactorBase, stop: Callable[[], None]) -> None:
    """Let SIGTERM, SIGINT and SIGQUIT call ``stop``, in the reactor's thread; to be called in a running reactor.

    Only where nobody else has a handler: a shell's background job ignores SIGINT and SIGQUIT, a debugger wants SIGINT.
    """
    taken_over = (
        (signal.SIGTERM, reactor.sigTerm),
        (signal.SIGINT, reactor.sigInt),
        (signal.SIGQUIT, signal.SIG_DFL),
    )
    for number, before in taken_over:
        if signal.getsignal(number) == before:
            on_signal(reactor, number, stop)


def outlive(reactor: ReactorBase, heard: Callable[[str], None]) -> None:
    """Let signals that have no meaning here call ``heard`` with their name, in the reactor's thread.

    Systems differ in which of them, and which real-time signals, they have.
    """
    for number in signal.valid_signals():
        name = _name(number)
        if name in _without_effect or name.startswith("SIGRT"):
            on_signal(reactor, number, partial(heard, name))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # Python names only the first and the last of the real-time signals
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def on_signal(reactor: ReactorBase, number: int, call: Callable[[], None]) -> None:
    """Let a signal call ``call``, in the reactor's thread; one that comes before the reactor runs waits for it."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        reactor.callFromThread(call)

    signal.signal(number, handle)


class ExitStatus:
    """The status with which this process will leave; 0 until something says otherwise.

    When its reactor has stopped, twistd returns and leaves no way to say a status. So this one is said at the
    very end of the process, when threads are joined and twistd has cleaned up behind itself.
    """

    def __init__(self) -> None:
        self.status = 0

    def apply(self) -> None:
        """Let this process leave with what `status` is by then."""
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.status == 0:
            return
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        os._exit(self.status)
