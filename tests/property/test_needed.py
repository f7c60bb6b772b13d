"""How many messages only peers hold is kept up, and is what each session's needs make it."""

from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.model.copy import Copy
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import MessageId
from dqtw.core.replication.needed import Needed
from dqtw.core.replication.session import Session

incarnation = "01HF0000000000000000000000"
numbers = st.frozensets(st.integers(1, 12), max_size=6)
changes = st.lists(
    st.tuples(st.just("need"), st.integers(0, 2), numbers)
    | st.tuples(st.sampled_from(["meet", "meet one"]), st.just(0), numbers)
    | st.tuples(st.just("end"), st.integers(0, 2), st.just(frozenset())),
    max_size=20,
)


def ids_of(members: frozenset[int]) -> IdSet:
    return IdSet.of("q", (MessageId("q", incarnation, n) for n in members))


@given(changes)
def test_the_count_is_of_what_some_session_needs_and_nobody_has_met(
    happens: list[tuple[str, int, frozenset[int]]],
) -> None:
    copy, needed = Copy("q"), Needed("q")
    sessions = [Session(copy, "token") for _ in range(3)]
    for what, which, members in happens:
        ids = ids_of(members)
        if what == "need":
            news = ids - copy.seen
            sessions[which].need |= news
            needed.add(sessions[which], news)
        elif what == "end":
            sessions[which] = Session(copy, "another")
        else:
            copy.gone(ids)
            for session in sessions:
                session.need -= ids
            if what == "meet":
                needed.meet(ids)
            else:
                for id in ids:
                    needed.meet_one(id)
        union = IdSet("q")
        for session in sessions:
            union |= session.need
        assert needed.count(sessions, copy.seen) == len(union - copy.seen)
