"""Sets that cost as much as they have holes. Their algebra is tested against plain sets in the property tests."""

import pytest

from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.message import number_max
from dqtw.core.model.ranges import Ranges

FIRST, SECOND, THIRD = (f"01HF000000000000000000000{n}" for n in range(3))


def ranges(*numbers: int) -> Ranges:
    made = Ranges()
    for number in numbers:
        made.add(number, number + 1)
    return made


def some_dots(*dots: Dot) -> DotSet:
    return DotSet.of(dots)


def test_a_million_numbers_in_a_row_cost_two_ints() -> None:
    """A busy queue's copy does not grow with the messages that went through it."""
    made = Ranges()
    for number in range(1, 10_001):
        made.add(number, number + 1)
    assert (made.bounds_count, len(made), made.last) == (2, 10_000, 10_000)


def test_a_hole_that_is_filled_costs_nothing_any_more() -> None:
    made = ranges(1, 3)
    assert made.bounds_count == 4
    made.add(2, 3)
    assert made == Ranges([1, 4])


def test_the_empty_set_has_no_last_number() -> None:
    assert (Ranges().last, DotSet().last(FIRST), bool(Ranges()), bool(DotSet())) == (0, 0, False, False)


def test_the_wire_form_is_first_length_hole_length() -> None:
    assert ranges(1, 2, 3, 7, 8).to_wire() == [1, 3, 3, 2]
    assert Ranges().to_wire() == []
    assert Ranges([1, 4712]).to_wire() == [1, 4711]


def test_the_greatest_number_there_may_be_travels() -> None:
    greatest = Ranges([number_max, number_max + 1])
    assert Ranges.from_wire(greatest.to_wire()) == greatest


@pytest.mark.parametrize(
    "told",
    [
        *(None, 7, "ab", {}, (1, 1)),
        *([1], [1, 1, 1], [0, 1], [1, 0], [-1, 3], [1, -1]),
        *([1.0, 1], ["1", 1], [True, 1], [None, None], [number_max, 2], [2**64, 1]),
    ],
)
def test_what_a_confused_peer_sends_for_ranges_is_its_fault(told: object) -> None:
    """Only its own session suffers: nothing but a peer's fault is ever raised."""
    with pytest.raises(PeerFault):
        Ranges.from_wire(told)


@pytest.mark.parametrize("told", [{"nonsense": [1, 1]}, {"1" + FIRST[1:]: [1, 1]}, {FIRST: [1]}, {FIRST: [0, 1]}])
def test_what_a_confused_peer_sends_for_a_set_of_dots_is_its_fault(told: dict[str, list[int]]) -> None:
    with pytest.raises(PeerFault):
        DotSet.from_wire(told)


def test_an_incarnation_without_numbers_is_none() -> None:
    """Two sets with the same members are equal, however they were told."""
    assert DotSet.from_wire({FIRST: []}) == DotSet()
    emptied = some_dots((FIRST, 1))
    emptied.discard(FIRST, 1)
    assert emptied == DotSet()
    assert not emptied
    assert emptied.incarnations == []


def test_dots_come_in_the_order_of_the_pushes() -> None:
    unordered = some_dots((SECOND, 1), (FIRST, 10), (FIRST, 2))
    assert list(unordered) == [(FIRST, 2), (FIRST, 10), (SECOND, 1)]
    assert unordered.incarnations == [FIRST, SECOND]
    assert (unordered.first_dot(), unordered.last(FIRST), unordered.last(THIRD)) == ((FIRST, 2), 10, 0)
    assert DotSet().first_dot() is None


def test_what_lies_between_two_dots_counts_the_last_and_not_the_first() -> None:
    some = some_dots((FIRST, 1), (FIRST, 2), (FIRST, 3), (SECOND, 1), (THIRD, 1))
    assert some.between((FIRST, 1), (SECOND, 1)) == some_dots((FIRST, 2), (FIRST, 3), (SECOND, 1))
    assert some.between(None, (FIRST, 2)) == some_dots((FIRST, 1), (FIRST, 2))
    assert some.between((SECOND, 1), None) == some_dots((THIRD, 1))
    assert some.between(None, None) == some


def test_the_first_dots_are_as_many_as_were_asked_for() -> None:
    some = some_dots((FIRST, 1), (FIRST, 2), (FIRST, 4), (SECOND, 1))
    assert [list(some.first(count)) for count in range(6)] == [list(some)[:count] for count in range(6)]
    assert len(some) == 4


def test_the_head_is_what_so_many_integers_can_express() -> None:
    """At least one range, so that sending a set part by part comes to an end."""
    some = some_dots((FIRST, 1), (FIRST, 2), (FIRST, 4), (SECOND, 1))
    assert some.head(0) == some.head(2) == some.head(3) == some_dots((FIRST, 1), (FIRST, 2))
    assert some.head(4) == some_dots((FIRST, 1), (FIRST, 2), (FIRST, 4))
    assert some.head(6) == some.head(100) == some
    assert DotSet().head(4) == DotSet()


def test_a_copy_of_a_set_goes_its_own_way() -> None:
    one = some_dots((FIRST, 1))
    other = one.copy()
    other.add(FIRST, 2)
    joined = DotSet()
    joined |= one
    joined.add(FIRST, 3)
    assert one == some_dots((FIRST, 1))


def test_dropping_an_incarnation_forgets_all_of_it() -> None:
    some = some_dots((FIRST, 1), (FIRST, 5), (SECOND, 1))
    some.drop(FIRST)
    some.drop(THIRD)
    assert some == some_dots((SECOND, 1))
    assert (some.bounds_count, len(some)) == (2, 1)


def test_sets_are_readable_in_a_failing_test() -> None:
    assert repr(ranges(1, 2, 5)) == "Ranges(1-2 5-5)"
    assert repr(some_dots((FIRST, 1))) == f"DotSet({{'{FIRST}': Ranges(1-1)}})"


def test_the_bound_that_lies_some_bounds_further_on() -> None:
    some = Ranges([1, 3, 5, 7])
    assert [some.bound_at(0, count) for count in range(5)] == [1, 3, 5, 7, None]
    assert [some.bound_at(3, count) for count in range(3)] == [5, 7, None]
