"""Whatever arrives, and in whatever order, a network raises nothing."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.links.frames import Heard, Interest, Pair
from dqtw.core.links.members import processes_max
from dqtw.core.links.streams import StreamAnswer

from .one_network import OneNetwork, incarnation, report, request, status

greater, lesser = incarnation("01BB"), incarnation("01B")


boots = st.sampled_from(["a1", "a2", "b1", "b2", "b3", "b4", "b5", "c1"])
reports = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(
        report,
        st.builds(Heard, boots, st.sampled_from([None, lesser, "x"]), st.booleans(), st.floats()),
        greatest=st.sampled_from([None, "01B", "01BB", "7"]),
        address=st.sampled_from(["", "http://x", "https://x", "x"]),
    ),
)
statuses = st.builds(
    status,
    st.sampled_from("abc"),
    st.sampled_from([None, "01B", "01BB", "x"]),
    running_s=st.floats(),
    is_going=st.booleans(),
    express_read=st.integers(-1, 100),
    nodes=reports,
)
requests = st.builds(
    request,
    st.sampled_from("abcd"),
    boots,
    st.integers(-1, 20),
    url=st.sampled_from(["", "http://x", "http://b"]),
    to_boot=st.sampled_from([None, "a1", "a2"]),
)


@given(st.data())
def test_whatever_arrives_in_whatever_order_raises_nothing_and_the_timer_rests(data: st.DataObject) -> None:
    one = OneNetwork()
    network, streams = one.network, st.integers(0, 12)
    answers = st.builds(StreamAnswer, st.sampled_from("abcd"), boots, st.just("nonce"))
    frames = st.lists(st.one_of(statuses, st.builds(Interest, st.just([]))))
    inputs: dict[str, Callable[[], object]] = {
        "asked": lambda: network.asked(one.now, data.draw(requests)),
        "dialled": lambda: network.dialled(one.now, data.draw(streams), data.draw(answers)),
        "failed": lambda: network.dial_failed(one.now, data.draw(streams), "why", is_lasting=data.draw(st.booleans())),
        "received": lambda: network.received(one.now, data.draw(streams), data.draw(frames), 1, 100_000),
        "paired": lambda: [one.read(link, [Pair(link.pair.read, link.pair.written)]) for link in one.pairs()],
        "closed": lambda: network.closed(one.now, data.draw(streams), "why"),
        "resumed": lambda: network.resumed(one.now),
        "turn": lambda: one.turn(data.draw(st.floats(0, 5))),
    }
    for _ in range(data.draw(st.integers(0, 25))):
        inputs[data.draw(st.sampled_from(sorted(inputs)))]()
        one.turn()
        for member in network.cluster.members.values():
            member.trouble(one.now)
            assert len(member.processes) <= processes_max
