"""Links do in time what is due, and come up again without a storm of dials."""

from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.links.frames import BootId, NodeId
from dqtw.core.links.link import Link, OpenStream, Process
from dqtw.core.links.pairing import Pairing
from tests.rules.lan import ready

moments = st.integers(0, 10**10).map(lambda number: number / 997)


def link_at(now: float) -> Link:
    link = Link(Process(NodeId("b"), BootId("boot")), OpenStream(1, "r", now), OpenStream(2, "w", now), [])
    link.is_up = True
    return link


# What a link announces as its deadline is due by then: otherwise a node is woken again and again for one moment.


@given(moments)
def test_a_status_is_owed_at_the_deadline(now: float) -> None:
    link = link_at(now)
    link.status_at = now
    assert not link.owes_status(now, 0)
    assert link.owes_status(link.next_deadline(), 0)


@given(moments)
def test_a_silent_link_has_its_fault_at_the_deadline(now: float) -> None:
    link = link_at(now)
    link.status_at = now + 100
    assert link.fault(now) is None
    assert link.fault(link.next_deadline()) is not None


@given(moments)
def test_a_link_without_progress_has_its_fault_at_the_deadline(now: float) -> None:
    link = link_at(now)
    link.due(now, "page")
    link.read.at = link.status_at = now + 100
    assert link.fault(link.next_deadline()) is not None


@given(moments, st.booleans())
def test_a_stream_without_its_pair_is_closed_at_the_deadline(now: float, is_read: bool) -> None:
    pairing = Pairing(now, Process(NodeId("b"), BootId("boot")), {}, [])
    stream = OpenStream(1, "name", now)
    pairing.read, pairing.written = (stream, None) if is_read else (None, stream)
    deadline = pairing.next_deadline()
    assert deadline is not None
    pairing.tick(deadline)
    assert (pairing.read, pairing.written) == (None, None)


# Dials.


def test_processes_that_have_lost_different_streams_do_not_dial_each_other_in_lockstep() -> None:
    """A request that waited while its process was paused is stale: each side closes what the other has just opened."""
    lan = ready("a", "b")
    lan.pause("a")
    lan.run(4)
    lan.start("a2", "a")
    lan.until(lambda: lan["a2"].life.was_ready)
    before = len(lan.events)
    lan.resume("a")
    lan.until(lambda: ("a", "b is linked") in lan.events[before:], within_s=5)
    assert lan["b"].network._last_stream < 20
