"""Chapter 5.5: how a process leaves."""

from dqtw.core.effects import Status
from dqtw.core.lifecycle.lifecycle import Lifecycle
from dqtw.core.model.commands import Push, Pushed
from dqtw.core.model.settings import NodeSettings
from tests.rules.lan import Lan


def test_5_5_a_second_request_to_leave_does_not_extend_the_drain() -> None:
    """The drain ends `--drain-timeout` after the first request."""
    lan = Lan("a", "b", drain_timeout_s=10.0)
    lan.run(5.0)
    assert isinstance(lan.do("a", Push(b"x")), Pushed)
    lan.partition("a", "b")
    lan.nodes["a"].drain(lan.now)
    lan.run(8.0)
    lan.nodes["a"].drain(lan.now)
    lan.run(3.0)
    assert lan.departures["a"].status is Status.ALONE


def test_5_5_a_process_that_is_never_quiet_hands_over_all_the_same() -> None:
    """Clients go on to acknowledge; the drain waits for that for half of its time at most."""
    life = Lifecycle(0.0, NodeSettings(drain_timeout_s=8.0), lambda now, greatest: "")
    life.drain(100.0)
    assert not life.begin_handover(103.9, is_quiet=False)
    assert life.begin_handover(104.1, is_quiet=False)
    assert not life.begin_handover(104.2, is_quiet=True)  # it has begun
