"""Many deadlines against a plain list of them."""

from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.model.deadlines import Deadlines

keys = st.integers(0, 4)
moments = st.integers(0, 20).map(float)
changes = st.lists(
    st.tuples(st.just("set"), keys, moments)
    | st.tuples(st.just("cancel"), keys, st.just(0.0))
    | st.tuples(st.just("due"), st.just(0), moments)
    | st.tuples(st.just("pop"), st.just(0), st.just(0.0)),
    max_size=300,
)


@given(changes)
def test_deadlines_against_a_plain_list(changes: list[tuple[str, int, float]]) -> None:
    """Nothing falls due early, late, twice, or after it was cancelled; ties come in the order they were set."""
    deadlines: Deadlines[int] = Deadlines()
    plain: list[tuple[float, int, int]] = []  # when, in which order set, key
    for order, (what, key, when) in enumerate(changes):
        match what:
            case "set":
                deadlines.set(key, when)
                plain = [*(entry for entry in plain if entry[2] != key), (when, order, key)]
            case "cancel":
                deadlines.cancel(key)
                plain = [entry for entry in plain if entry[2] != key]
            case "due":
                due = sorted(entry for entry in plain if entry[0] <= when)
                assert deadlines.pop_due(when) == [entry[2] for entry in due]
                plain = [entry for entry in plain if entry not in due]
            case "pop" if plain:
                assert deadlines.pop() == min(plain)[2]
                plain.remove(min(plain))
        assert deadlines.next() == min((entry[0] for entry in plain), default=None)
        assert len(deadlines) == len(plain)
        assert {key: deadlines.get(key) for key in range(5) if key in deadlines} == {
            entry[2]: entry[0] for entry in plain
        }
