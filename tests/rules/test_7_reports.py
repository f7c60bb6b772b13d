"""Chapter 7: an owner reports to polls at other nodes what they could get."""

from dqtw.core.model.commands import Delivered, Get, Push, Pushed
from tests.rules.lan import Lan


def test_7_a_message_whose_lease_has_ended_is_reported_again() -> None:
    """The count was 1, fell to 0 without a report, and is 1 again: that is a rise from 0."""
    lan = Lan("a", "b")
    lan.run(5.0)
    ticket = lan.ask("b", Get(wait_s=20.0, lease_s=2.0))
    lan.run(0.5)
    assert isinstance(lan.do("a", Push(b"x")), Pushed)
    lan.run(0.5)
    assert isinstance(lan.answers[ticket], Delivered)
    again = lan.ask("b", Get(wait_s=20.0, lease_s=2.0))
    lan.run(3.0)
    outcome = lan.answers[again]
    assert isinstance(outcome, Delivered)
    assert [each.message.body for each in outcome.deliveries] == [b"x"]
