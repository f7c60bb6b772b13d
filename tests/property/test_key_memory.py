"""The memory of keys against a naive one: lists that are searched from the front (6)."""

from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import KeyReused
from dqtw.core.model.key_memory import KeyMemory, KeyRecord, body_digest
from dqtw.core.model.message import Message

incarnation = "01HF0000000000000000000000"
memory_s = 10.0
keys = st.sampled_from(["k", "l"])
numbers = st.integers(1, 6)
Step = tuple[str, int] | tuple[str, int, int]
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("put"), numbers),
        st.tuples(st.just("remove"), numbers),
        st.tuples(st.just("learn"), numbers, st.integers(0, 15)),
        st.tuples(st.just("wait"), st.integers(1, 6)),
    ),
    max_size=40,
)


def key_of(n: int) -> str:
    return "kl"[n % 2]


def message(n: int) -> Message:
    return Message(b"body", key=key_of(n))


@define
class Naive:
    live: list[int]
    removed: dict[str, tuple[int, float]]  # by key: the message, and when it was removed

    def learn(self, now: float, n: int, at: float) -> None:
        known = self.removed.get(key_of(n))
        if at + memory_s > now and (known is None or at > known[1]):
            self.removed[key_of(n)] = n, at

    def expire(self, now: float) -> None:
        self.removed = {key: (n, at) for key, (n, at) in self.removed.items() if at + memory_s > now}

    def find(self, key: str) -> Dot | None:
        live = [n for n in self.live if key_of(n) == key]
        n = live[0] if live else self.removed.get(key, (0, 0.0))[0]
        return (incarnation, n) if n else None


@given(steps)
def test_a_key_names_the_first_live_message_or_the_one_that_was_removed_last(
    steps: list[tuple[str, int] | tuple[str, int, int]],
) -> None:
    now, memory, naive = 100.0, KeyMemory(memory_s, 1), Naive([], {})
    seen = set[int]()
    for step in steps:
        what, n = step[:2]
        if what == "put" and n not in seen:
            memory.put((incarnation, n), message(n))
            naive.live.append(n)
            seen.add(n)
        elif what == "remove" and n in naive.live:
            record = memory.remove(now, (incarnation, n), message(n))
            assert record == KeyRecord(key_of(n), (incarnation, n), body_digest(b"body"), now)
            naive.live.remove(n)
            naive.learn(now, n, now)
        elif what == "learn":
            at = now - (step[2] if len(step) > 2 else 0)
            removed = [((incarnation, n), message(n))] if n in naive.live else []
            memory.learn(now, removed, [KeyRecord(key_of(n), (incarnation, n), body_digest(b"body"), at)])
            if removed:
                naive.live.remove(n)
            naive.learn(now, n, at)
            seen.add(n)
        elif what == "wait":
            now += n
            memory.expire(now)
            naive.expire(now)
        for key in "kl":
            assert memory.find(key, b"body") == naive.find(key)
            assert (key in memory) == (naive.find(key) is not None)
        records = memory.records_of(DotSet.of((incarnation, each) for each in range(1, 7)), 100)[1]
        assert {each.dot[1] for each in records} == {n for n, _ in naive.removed.values()}


@given(st.sets(st.integers(1, 40), max_size=25), st.integers(1, 8))
def test_the_records_of_a_set_come_in_parts_that_cover_it(removed: set[int], count_max: int) -> None:
    memory = KeyMemory(memory_s, 100)
    for n in removed:
        put = Message(b"", key=f"k{n}")
        memory.put((incarnation, n), put)
        memory.remove(0.0, (incarnation, n), put)
    left = DotSet.of((incarnation, n) for n in range(1, 41))
    found: list[int] = []
    while left:
        covered, records = memory.records_of(left, count_max)
        assert len(records) <= count_max
        assert covered
        assert {each.dot for each in records} == {dot for dot in covered if dot[1] in removed}
        found += (each.dot[1] for each in records)
        left -= covered
    assert sorted(found) == sorted(removed)


@given(keys, st.binary(max_size=4), st.binary(max_size=4), st.booleans())
def test_only_the_same_body_is_found_under_a_key(key: str, body: bytes, other: bytes, is_removed: bool) -> None:
    memory = KeyMemory(memory_s, 1)
    put = Message(body, key=key)
    memory.put((incarnation, 1), put)
    if is_removed:
        memory.remove(0.0, (incarnation, 1), put)
    try:
        assert memory.find(key, other) == (incarnation, 1)
        assert body == other
    except KeyReused:
        assert body != other
