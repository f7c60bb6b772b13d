"""Many deadlines behind one timer."""

import pytest

from dqtw.core.model.deadlines import Deadlines


def test_what_is_due_comes_in_the_order_in_which_it_fell_due() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for key, when in [("c", 3.0), ("a", 1.0), ("d", 4.0), ("b", 2.0)]:
        deadlines.set(key, when)
    assert deadlines.pop_due(3.0) == ["a", "b", "c"]
    assert deadlines.next() == 4.0


def test_of_the_same_moment_the_one_set_first_comes_first() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for key in "zyx":
        deadlines.set(key, 1.0)
    assert deadlines.pop_due(1.0) == ["z", "y", "x"]


def test_nothing_falls_due_early() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    assert deadlines.pop_due(0.999) == []
    assert "a" in deadlines


def test_a_deadline_set_anew_falls_due_then_and_at_no_other_time() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("a", 5.0)
    assert (deadlines.get("a"), deadlines.next(), len(deadlines)) == (5.0, 5.0, 1)
    assert deadlines.pop_due(4.0) == []
    assert deadlines.pop_due(5.0) == ["a"]
    assert deadlines.pop_due(9.0) == []


def test_a_deadline_may_be_brought_forward() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 5.0)
    deadlines.set("a", 1.0)
    assert deadlines.pop_due(1.0) == ["a"]
    assert deadlines.pop_due(9.0) == []


def test_a_cancelled_deadline_never_falls_due() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.cancel("a")
    deadlines.cancel("never was")
    assert (deadlines.next(), deadlines.get("a"), len(deadlines), "a" in deadlines) == (None, None, 0, False)
    assert deadlines.pop_due(9.0) == []


def test_taking_the_first_out_when_there_is_none() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.cancel("a")
    with pytest.raises(IndexError):
        deadlines.pop()


def test_setting_one_deadline_anew_for_ever_costs_no_memory() -> None:
    """A worker that touches its lease every second for a year does not fill the server."""
    deadlines: Deadlines[str] = Deadlines()
    for turn in range(10_000):
        deadlines.set("a", float(turn))
    assert len(deadlines._heap) <= 64 + 2 + 1


def test_keys_need_no_order_of_their_own() -> None:
    deadlines: Deadlines[object] = Deadlines()
    one, other = object(), object()
    deadlines.set(one, 1.0)
    deadlines.set(other, 1.0)
    assert deadlines.pop_due(1.0) == [one, other]


def test_deadlines_set_anew_many_times_still_fall_due_in_order() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for turn in range(5):
        for key in range(1, 101):
            deadlines.set(key, 100.0 * turn + key * 37 % 101)
    assert [key * 37 % 101 for key in deadlines.pop_due(999.0)] == list(range(1, 101))
