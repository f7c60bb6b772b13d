"""Ranges and sets of dots behave as plain sets do, and travel whole."""

from collections.abc import Iterable

from hypothesis import example, given
from hypothesis import strategies as st

from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.message import number_max
from dqtw.core.model.ranges import Ranges

numbers = st.integers(1, 30)
number_sets = st.frozensets(numbers)
runs = st.tuples(st.booleans(), numbers, st.integers(1, 12))
incarnations = st.sampled_from(
    ["01HF0000000000000000000000", "01HF0000000000000000000001", "0ZZZZZZZZZZZZZZZZZZZZZZZZZ"]
)
dots = st.tuples(incarnations, st.integers(1, 12))
dot_sets = st.frozensets(dots)
whatever = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | incarnations,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=2) | incarnations, inner, max_size=4),
    max_leaves=12,
)


def ranges_of(members: Iterable[int]) -> Ranges:
    made = Ranges()
    for number in members:
        made.add(number, number + 1)
    return made


@given(st.lists(runs))
def test_adding_and_taking_out_runs(changes: list[tuple[bool, int, int]]) -> None:
    ranges, members = Ranges(), set[int]()
    for adds, start, length in changes:
        run = range(start, start + length)
        if adds:
            ranges.add(start, start + length)
            members |= set(run)
        else:
            ranges.discard(start, start + length)
            members -= set(run)
        assert list(ranges) == sorted(members)
        assert (len(ranges), bool(ranges)) == (len(members), bool(members))
        assert ranges.last == max(members, default=0)
        assert [number for number in range(45) if number in ranges] == sorted(members)
        assert ranges == ranges_of(members)


@given(number_sets, number_sets)
def test_the_algebra_of_ranges(one: frozenset[int], other: frozenset[int]) -> None:
    assert set(ranges_of(one) | ranges_of(other)) == one | other
    assert set(ranges_of(one) & ranges_of(other)) == one & other
    assert set(ranges_of(one) - ranges_of(other)) == one - other


@given(number_sets, number_sets)
def test_equal_sets_are_equal_however_they_came_about(one: frozenset[int], other: frozenset[int]) -> None:
    """So two copies can be compared, and the same set is always told in the same words."""
    mine = ranges_of(sorted(one, reverse=True))
    assert (mine == ranges_of(other)) == (one == other)
    assert (mine - ranges_of(other)) == ranges_of(one - other)
    assert (mine | ranges_of(other)) == ranges_of(one | other)


@given(number_sets, st.integers(0, 35), st.integers(0, 35))
def test_what_lies_between_two_numbers(members: frozenset[int], start: int, stop: int) -> None:
    assert ranges_of(members).between(start, stop) == ranges_of(members & set(range(start, stop)))


@given(number_sets)
def test_no_operation_changes_its_operands(members: frozenset[int]) -> None:
    ranges = ranges_of(members)
    copy = ranges.copy()
    copy.add(3, 9)
    copy.discard(1, 5)
    for made in (ranges | copy, ranges & ranges, ranges - Ranges(), ranges.between(0, 99)):
        made.add(40, 50)
    assert set(ranges) == members


@given(number_sets)
def test_ranges_travel_whole(members: frozenset[int]) -> None:
    steps = ranges_of(members).to_wire()
    assert all(step >= 1 for step in steps)
    assert len(steps) == ranges_of(members).bounds_count
    assert Ranges.from_wire(steps) == ranges_of(members)


@given(whatever | st.lists(st.integers(-1, 5), max_size=8))
@example([number_max, 1])
@example([number_max, 2])
def test_whatever_comes_for_ranges_is_ranges_or_the_peer_s_fault(told: object) -> None:
    try:
        ranges = Ranges.from_wire(told)
    except PeerFault:
        return
    assert ranges.to_wire() == told
    assert ranges.last <= number_max


@given(st.dictionaries(incarnations | st.text(max_size=2), st.lists(st.integers(-1, 5), max_size=6), max_size=3))
def test_whatever_comes_for_a_set_of_dots_is_one_or_the_peer_s_fault(told: dict[str, list[int]]) -> None:
    """The decoder has seen to the types."""
    try:
        some = DotSet.from_wire(told)
    except PeerFault:
        return
    assert some.to_wire() == {incarnation: steps for incarnation, steps in told.items() if steps}


@given(st.lists(st.tuples(st.booleans(), dots)))
def test_adding_and_taking_out_dots(changes: list[tuple[bool, Dot]]) -> None:
    some, members = DotSet(), set[Dot]()
    for adds, dot in changes:
        (some.add if adds else some.discard)(*dot)
        (members.add if adds else members.discard)(dot)
        assert list(some) == sorted(members)
        assert (len(some), bool(some)) == (len(members), bool(members))
        assert some.incarnations == sorted({incarnation for incarnation, _ in members})
        assert some.incarnations_count == len(some.incarnations)
        assert some.first_dot() == min(members, default=None)
        for incarnation in some.incarnations:
            assert some.last(incarnation) == max(n for each, n in members if each == incarnation)
        assert some == DotSet.of(members)


@given(dot_sets, dot_sets)
def test_the_algebra_of_sets_of_dots(one: frozenset[Dot], other: frozenset[Dot]) -> None:
    mine, theirs = DotSet.of(one), DotSet.of(other)
    assert mine | theirs == DotSet.of(one | other)
    assert mine & theirs == DotSet.of(one & other)
    assert mine - theirs == DotSet.of(one - other)
    assert (mine == theirs) == (one == other)
    assert (mine, theirs) == (DotSet.of(one), DotSet.of(other))


@given(dot_sets, st.none() | dots, st.none() | dots)
def test_what_lies_between_two_dots(members: frozenset[Dot], after: Dot | None, upto: Dot | None) -> None:
    expected = {dot for dot in members if (after is None or dot > after) and (upto is None or dot <= upto)}
    assert DotSet.of(members).between(after, upto) == DotSet.of(expected)


@given(dot_sets, st.integers(0, 40))
def test_the_first_dots(members: frozenset[Dot], count: int) -> None:
    some = DotSet.of(members)
    assert list(some.first(count)) == sorted(members)[:count]
    assert some == DotSet.of(members)


@given(dot_sets)
def test_sets_of_dots_travel_whole(members: frozenset[Dot]) -> None:
    assert DotSet.from_wire(DotSet.of(members).to_wire()) == DotSet.of(members)


@given(dot_sets, st.integers(0, 12))
def test_the_first_dots_that_so_many_ints_can_express(members: frozenset[Dot], ints_max: int) -> None:
    """Whoever sends a large set in parts always gets on, and no part is larger than asked for."""
    some = DotSet.of(members)
    head = some.head(ints_max)
    assert list(head) == sorted(members)[: len(head)]
    assert head.bounds_count <= max(ints_max, 2)
    assert bool(head) == bool(members)
    head.add("01HF0000000000000000000000", 99)
    assert some == DotSet.of(members)
    if some.bounds_count <= ints_max:
        assert some.head(ints_max) == some


@given(st.sets(st.integers(1, 400), max_size=3), st.sets(st.integers(1, 400), min_size=60), st.integers(1, 30))
def test_a_short_set_and_a_long_one_are_brought_together_as_any_two(few: set[int], many: set[int], run: int) -> None:
    """The long one is taken in slices then, or an exchange of a queue with many holes would not come to its end."""
    short = {number for start in few for number in range(start, start + run)}
    one, other = ranges_of(short), ranges_of(many)
    for mine, theirs, a, b in ((one, other, short, many), (other, one, many, short)):
        assert set(mine | theirs) == a | b
        assert set(mine - theirs) == a - b
        assert set(mine & theirs) == a & b


fragmented = st.builds(
    lambda numbers, first: {number + first for number in numbers},
    st.sets(st.integers(0, 120), max_size=60),
    st.integers(1, 150),
)


@given(fragmented, fragmented)
def test_two_sets_with_many_holes(one: set[int], other: set[int]) -> None:
    """Wherever they lie: beside each other, overlapping, one within the other; and each is counted right."""
    mine, theirs = ranges_of(one), ranges_of(other)
    for made, expected in ((mine | theirs, one | other), (mine - theirs, one - other), (mine & theirs, one & other)):
        assert made == ranges_of(expected)
        assert len(made) == len(expected)
    assert (mine, theirs) == (ranges_of(one), ranges_of(other))


@given(fragmented, st.lists(st.tuples(st.booleans(), fragmented), max_size=5), st.booleans())
def test_a_set_that_others_are_brought_into(
    members: set[int], changes: list[tuple[bool, set[int]]], is_counted: bool
) -> None:
    """It is the set that algebra would have made anew, and what it was told of is not changed by it."""
    ranges = ranges_of(members)
    if is_counted:
        assert len(ranges) == len(members)
    for adds, change in changes:
        other = ranges_of(change)
        if adds:
            ranges |= other
            members = members | change
        else:
            ranges -= other
            members = members - change
        assert other == ranges_of(change)
        assert ranges == ranges_of(members)
        assert len(ranges) == len(members)


@given(dot_sets, st.lists(st.tuples(st.booleans(), dot_sets), max_size=5))
def test_a_set_of_dots_that_others_are_brought_into(
    members: frozenset[Dot], changes: list[tuple[bool, frozenset[Dot]]]
) -> None:
    some = DotSet.of(members)
    for adds, change in changes:
        other = DotSet.of(change)
        if adds:
            some |= other
            members |= change
        else:
            some -= other
            members -= change
        assert other == DotSet.of(change)
        assert (some, len(some), bool(some)) == (DotSet.of(members), len(members), bool(members))


@given(dot_sets)
def test_a_set_of_dots_without_itself_is_empty(members: frozenset[Dot]) -> None:
    some = DotSet.of(members)
    some |= some
    assert some == DotSet.of(members)
    some -= some
    assert not some
