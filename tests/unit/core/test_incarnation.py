"""Each start of an owner has an id of its own, greater than all before."""

from random import Random

import pytest

from dqtw.core.model.incarnation import fresh_incarnation, random_bytes
from dqtw.core.model.message import is_incarnation

NOW = 1_700_000_000_000
rand = Random(7)


def fresh(wall_ms: int = NOW, greatest: str = "") -> str:
    return fresh_incarnation(wall_ms, rand.randbytes(random_bytes), greatest)


@pytest.mark.parametrize("wall_ms", [0, 1, NOW, 2**48 - 1, 2**48, 2**60])
def test_an_incarnation_is_one_whatever_the_clock_says(wall_ms: int) -> None:
    assert is_incarnation(fresh(wall_ms))


def test_a_clock_before_1970_does_not_keep_a_node_from_starting() -> None:
    assert is_incarnation(fresh(-5))


def test_a_clock_that_is_far_ahead_leaves_room_for_more_starts() -> None:
    """A node that once came up with a broken clock does not keep all its successors from starting."""
    greatest = ""
    for _ in range(1000):
        later = fresh(2**60, greatest)
        assert later > greatest
        greatest = later


def test_one_step_further_than_any_that_is_taken_by_itself_there_is_another() -> None:
    for greatest in (fresh(2**60), "0ZZZZZZZZY" + "Z" * 16):
        later = fresh(NOW, greatest)
        assert is_incarnation(later)
        assert later > greatest


def test_past_the_last_millisecond_there_is_none() -> None:
    """Rather no incarnation than one that is not greater."""
    assert fresh(NOW, "0ZZZZZZZZZ" + "0" * 16) == ""


@pytest.mark.parametrize(
    "text", ["1" + "0" * 25, "7" + "Z" * 25, "8" + "0" * 25, "0" * 25, "0" * 27, "", "0" * 25 + "I"]
)
def test_what_no_node_takes_is_no_incarnation(text: str) -> None:
    """A time after the year 3084, or no ULID at all."""
    assert not is_incarnation(text)


def test_it_has_the_form_of_a_ulid() -> None:
    """The example of the specification: 1469918176385 ms is 01ARYZ6S41."""
    assert fresh_incarnation(1469918176385, bytes(random_bytes)) == "01ARYZ6S41" + "0" * 16
    assert fresh_incarnation(1469918176385, b"\xff" * random_bytes) == "01ARYZ6S41" + "Z" * 16


def test_later_starts_sort_later() -> None:
    starts = [fresh(NOW + ms) for ms in range(100)]
    assert sorted(starts) == starts


def test_a_start_with_a_clock_that_is_behind_is_still_greater_than_all_before() -> None:
    """A restarted owner is never taken for the older one, whatever its clock says."""
    greatest = fresh(NOW)
    for wall_ms in (0, NOW - 10_000, NOW, NOW + 1):
        assert fresh(wall_ms, greatest) > greatest


def test_two_starts_at_once_never_name_two_messages_by_one_id() -> None:
    greatest = fresh(NOW)
    assert fresh(NOW - 1, greatest) != fresh(NOW - 1, greatest)
    assert fresh(NOW) != fresh(NOW)
