"""Timers that do not care when somebody sets the clock.

Twisted's reactor takes its time from the wall clock: set back by ten seconds, a timer of five is due after
fifteen. Leases and timeouts must not move when a clock is set.
"""

import time
from typing import cast

from twisted.internet.base import DelayedCall, ReactorBase


def follow_monotonic_time(reactor: ReactorBase) -> None:
    """From now on the reactor's time, and with it every timer, is the monotonic clock's.

    Timers that are pending stay due when they were.
    """
    shift_s = time.monotonic() - reactor.seconds()
    for call in cast(list[DelayedCall], reactor.getDelayedCalls()):
        call.seconds = time.monotonic  # what its own reset() goes by
        call.delay(shift_s)
    reactor.seconds = time.monotonic
