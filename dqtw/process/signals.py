"""What signals do to a server, and with which status it leaves.

Twisted ends a process that was told to stop by sending itself the same signal once more, so that its parent sees
a death by signal where it waits for status 0. A server that was asked to leave, and left in good order, says 0;
one that leaves for another reason has a status of its own.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

from twisted.internet.base import ReactorBase

status_failed: Final = 1


def take_over_stopping(reactor: ReactorBase, stop: Callable[[], None]) -> None:
    """Let SIGTERM and SIGINT call ``stop``, in the reactor's thread; to be called in a running reactor.

    Only where Twisted had its own handler: a shell's background job ignores SIGINT, a debugger wants it.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        reactor.callFromThread(stop)

    for number, of_twisted in ((signal.SIGTERM, reactor.sigTerm), (signal.SIGINT, reactor.sigInt)):
        if signal.getsignal(number) == of_twisted:
            signal.signal(number, handle)


def on_hangup(reactor: ReactorBase, reload: Callable[[], None]) -> None:
    """Let SIGHUP call ``reload``, in the reactor's thread.

    Unhandled, it would end the process, and with it what is on its queue.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        reactor.callFromThread(reload)

    signal.signal(signal.SIGHUP, handle)


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
