"""Sets that cost as much as they have holes. Their algebra is tested against plain sets in the property tests."""

import pytest

from dqtw.core.model.errors import PeerFault
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import MessageId, number_max
from dqtw.core.model.ranges import Ranges

FIRST, SECOND, THIRD = (f"01HF000000000000000000000{n}" for n in range(3))


def ranges(*numbers: int) -> Ranges:
    made = Ranges()
    for number in numbers:
        made.add(number, number + 1)
    return made


def ids(*dots: tuple[str, int]) -> IdSet:
    return IdSet.of("q", [MessageId("q", *dot) for dot in dots])


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
    assert (Ranges().last, IdSet("q").last(FIRST), bool(Ranges()), bool(IdSet("q"))) == (0, 0, False, False)


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


@pytest.mark.parametrize("told", [None, [], {"nonsense": [1, 1]}, {7: [1, 1]}, {FIRST: [1]}, {FIRST: None}])
def test_what_a_confused_peer_sends_for_a_set_of_ids_is_its_fault(told: object) -> None:
    with pytest.raises(PeerFault):
        IdSet.from_wire("q", told)


def test_an_incarnation_without_numbers_is_none() -> None:
    """Two sets with the same members are equal, however they were told."""
    assert IdSet.from_wire("q", {FIRST: []}) == IdSet("q")
    emptied = ids((FIRST, 1))
    emptied.discard(MessageId("q", FIRST, 1))
    assert emptied == IdSet("q")
    assert not emptied
    assert emptied.incarnations == []


def test_ids_come_in_the_order_of_the_pushes() -> None:
    unordered = ids((SECOND, 1), (FIRST, 10), (FIRST, 2))
    assert [(id.incarnation, id.n) for id in unordered] == [(FIRST, 2), (FIRST, 10), (SECOND, 1)]
    assert unordered.incarnations == [FIRST, SECOND]


def test_what_lies_between_two_ids_counts_the_last_and_not_the_first() -> None:
    some = ids((FIRST, 1), (FIRST, 2), (FIRST, 3), (SECOND, 1), (THIRD, 1))
    assert some.between((FIRST, 1), (SECOND, 1)) == ids((FIRST, 2), (FIRST, 3), (SECOND, 1))
    assert some.between(None, (FIRST, 2)) == ids((FIRST, 1), (FIRST, 2))
    assert some.between((SECOND, 1), None) == ids((THIRD, 1))
    assert some.between(None, None) == some


def test_taking_the_first_ids_takes_them_out() -> None:
    some = ids((FIRST, 1), (FIRST, 3), (SECOND, 1))
    assert some.take(2) == [MessageId("q", FIRST, 1), MessageId("q", FIRST, 3)]
    assert some == ids((SECOND, 1))
    assert some.take(2) == [MessageId("q", SECOND, 1)]
    assert some.take(2) == []


def test_a_copy_of_a_set_goes_its_own_way() -> None:
    one = ids((FIRST, 1))
    other = one.copy()
    other.add(MessageId("q", FIRST, 2))
    joined = IdSet("q")
    joined.update(one)
    joined.add(MessageId("q", FIRST, 3))
    assert one == ids((FIRST, 1))


def test_dropping_an_incarnation_forgets_all_of_it() -> None:
    some = ids((FIRST, 1), (FIRST, 5), (SECOND, 1))
    some.drop_incarnation(FIRST)
    some.drop_incarnation(THIRD)
    assert some == ids((SECOND, 1))
    assert (some.bounds_count, len(some)) == (2, 1)


def test_sets_are_readable_in_a_failing_test() -> None:
    assert repr(ranges(1, 2, 5)) == "Ranges(1-2 5-5)"
    assert repr(ids((FIRST, 1))) == f"IdSet(q, {{'{FIRST}': Ranges(1-1)}})"


def test_the_bound_that_lies_some_bounds_further_on() -> None:
    some = Ranges([1, 3, 5, 7])
    assert [some.bound_at(0, count) for count in range(5)] == [1, 3, 5, 7, None]
    assert [some.bound_at(3, count) for count in range(3)] == [5, 7, None]
