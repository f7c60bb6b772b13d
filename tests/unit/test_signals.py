"""With which status a process leaves, and what its signals do."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import cast

import pytest
from twisted.internet.base import ReactorBase

from dqtw.process.signals import on_signal, outlive, take_over_stopping


class FakeReactor:
    """The parts of a reactor that signals meet."""

    def sigTerm(self, *_: object) -> None: ...

    def sigInt(self, *_: object) -> None: ...

    def callFromThread(self, call: object, *arguments: object) -> None:
        assert callable(call)
        call(*arguments)


@pytest.fixture
def reactor() -> Iterator[ReactorBase]:
    unchangeable = {signal.SIGKILL, signal.SIGSTOP}
    before = {number: signal.getsignal(number) for number in signal.valid_signals() - unchangeable}
    yield cast(ReactorBase, FakeReactor())
    for number, handler in before.items():
        signal.signal(number, handler)


def test_stopping_is_taken_over_from_twisted(reactor: ReactorBase) -> None:
    signal.signal(signal.SIGTERM, reactor.sigTerm)
    signal.signal(signal.SIGINT, reactor.sigInt)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    stops: list[str] = []
    take_over_stopping(reactor, lambda: stops.append("stop"))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.raise_signal(number)
    assert stops == ["stop", "stop", "stop"]


def test_what_a_shell_lets_its_background_jobs_ignore_stays_ignored(reactor: ReactorBase) -> None:
    signal.signal(signal.SIGTERM, reactor.sigTerm)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    take_over_stopping(reactor, lambda: None)
    for number in (signal.SIGINT, signal.SIGQUIT):
        assert signal.getsignal(number) is signal.SIG_IGN


def test_a_signal_calls(reactor: ReactorBase) -> None:
    calls: list[str] = []
    on_signal(reactor, signal.SIGHUP, lambda: calls.append("reread"))
    signal.raise_signal(signal.SIGHUP)
    assert calls == ["reread"]


def leave_with(status: int) -> subprocess.CompletedProcess[str]:
    """A process that has an exit status of its own."""
    program = (
        "import atexit; from dqtw.process.signals import ExitStatus\n"
        f"own = ExitStatus(); own.apply(); own.status = {status}; atexit.register(print, 'cleaned up'); print('done')\n"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("status", [0, 1, 3, 4])
def test_a_process_leaves_with_its_own_status_and_after_what_others_do_at_its_end(status: int) -> None:
    ended = leave_with(status)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "done\ncleaned up\n", "")


def test_a_signal_without_meaning_is_heard_and_ends_nothing(reactor: ReactorBase) -> None:
    heard: list[str] = []
    outlive(reactor, heard.append)
    for number in (signal.SIGUSR2, signal.SIGPWR, signal.SIGRTMIN, signal.SIGRTMIN + 3, signal.SIGRTMAX):
        signal.raise_signal(number)
    assert heard == ["SIGUSR2", "SIGPWR", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMAX"]


def test_no_signal_from_outside_is_left_that_ends_the_process(reactor: ReactorBase) -> None:
    """But for those that the service handles itself, and those of defects and limits."""
    handled = {"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGKILL"}
    of_defects = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP", "SIGXCPU", "SIGXFSZ"}
    harmless = {"SIGCHLD", "SIGCONT", "SIGPIPE", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"}
    outlive(reactor, lambda name: None)
    left = {number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_DFL}
    assert {signal.Signals(number).name for number in left} <= handled | of_defects | harmless
