"""Chapter 2 of the protocol, Links: pairing, statuses, liveness, pauses."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from dqtw.core.links.frames import AnyFrame, BootId, Heard, Interest, NodeId, Pair, Status
from dqtw.core.links.link import FrameReceived, Learned, LinkDown, LinkUp, StatusReceived
from dqtw.core.links.network import Network
from dqtw.core.links.streams import Accepted, Dial, Send, StreamAnswer, StreamRefused

from .one_network import OneNetwork, incarnation, report, request, status

too_late = "7" + "Z" * 25
greater, lesser = incarnation("01BB"), incarnation("01B")


# --- Pairing ---


def test_a_side_that_has_both_streams_sends_the_two_names_as_the_first_frame() -> None:
    one = OneNetwork()
    accepted = one.ask(request(nonce="theirs"))
    (dial,) = one.dials()
    one.network.dialled(one.now, dial.stream, StreamAnswer("b", "b1", "answer"))
    one.turn()
    names = Pair(f"theirs.{accepted.answer.nonce}", f"{dial.request.nonce}.answer")
    assert [each for each in one.effects if isinstance(each, Send)] == [Send(accepted.stream, names)]


def test_a_link_is_up_once_the_same_two_names_are_read() -> None:
    one = OneNetwork()
    link = one.half_link()
    assert not link.is_up
    assert one.b.links == []
    assert one.read(link, [Pair(link.pair.read, link.pair.written)]) == [LinkUp(link)]
    assert one.b.links == [link]


@pytest.mark.parametrize("change", [lambda pair: Pair(pair.written, pair.read), lambda pair: Pair(pair.read, "other")])
def test_other_names_end_the_pair(change: Callable[[Pair], Pair]) -> None:
    one = OneNetwork()
    link = one.half_link()
    assert one.read(link, [change(link.pair)]) == []
    one.turn()
    assert {link.read.number, link.written.number} <= set(one.closes())
    assert one.read(link, [Pair(link.pair.read, link.pair.written)]) == []


def test_names_without_a_pair_here_close_the_stream_on_which_they_came() -> None:
    one = OneNetwork()
    (dial,) = one.dials()
    one.answer(dial, "b1")
    assert one.network.received(one.now, dial.stream, [Pair("old", "older")], 0, 0) == []
    one.turn()
    assert one.closes() == [dial.stream]


def test_a_pair_is_named_once() -> None:
    one = OneNetwork()
    link = one.link()
    (down,) = one.read(link, [Pair(link.pair.read, link.pair.written), Interest([])])
    assert isinstance(down, LinkDown)


@pytest.mark.parametrize("which", ["read", "written"])
def test_when_a_pair_ends_both_its_streams_are_closed(which: str) -> None:
    one = OneNetwork()
    link = one.link()
    one.effects.clear()
    ended, other = (link.read, link.written) if which == "read" else (link.written, link.read)
    assert one.network.closed(one.now, ended.number, "cut") == [LinkDown(link, "cut")]
    one.turn()
    assert one.closes() == [other.number], "the end of a stream that the transport reported is not asked for"


def test_a_new_request_ends_the_link_with_both_streams_and_is_accepted() -> None:
    one = OneNetwork()
    link = one.link()
    answer, events = one.network.asked(one.now, request(number=9))
    assert isinstance(answer, Accepted)
    assert [type(event) for event in events] == [LinkDown]
    one.turn()
    assert {link.read.number, link.written.number} <= set(one.closes())
    assert answer.stream not in one.closes()


def test_a_stream_in_no_pair_is_kept_until_a_newer_one_of_its_direction_replaces_it() -> None:
    one = OneNetwork()
    (dial,) = one.dials()
    one.answer(dial, "b1")  # no stream to write to yet
    first = one.ask(request(number=1))
    pair = one.b.pairings[BootId("b1")]
    assert pair.read is not None and pair.read.number == dial.stream
    one = OneNetwork()
    first = one.ask(request(number=1, url="http://b"))
    second = one.ask(request(number=2, url="http://b"))
    one.turn()
    assert one.closes()[:1] == [first.stream]
    assert second.stream not in one.closes()


def test_frames_of_a_stream_that_is_not_in_force_are_dropped() -> None:
    one = OneNetwork()
    link = one.half_link()
    assert one.read(link, [Interest(["early"]), status()]) == []
    assert one.b.processes[0].status is None
    one.read(link, [Pair(link.pair.read, link.pair.written)])
    frame = Interest(["x"])
    assert one.read(link, [frame]) == [FrameReceived(link, frame)]
    one.network.closed(one.now, link.written.number, "cut")
    assert one.read(link, [frame]) == []
    assert one.network.received(one.now, 12345, [frame], 0, 0) == []


def test_frames_on_a_stream_that_this_process_writes_are_dropped() -> None:
    one = OneNetwork()
    link = one.link()
    assert one.network.received(one.now, link.written.number, [Interest([])], 0, 0) == []


def test_a_frame_that_is_sent_on_a_link_that_is_down_is_lost() -> None:
    one = OneNetwork()
    link, frame = one.link(), Interest(["x"])
    one.network.closed(one.now, link.written.number, "cut")
    link.send(frame)
    one.turn()
    assert not any(isinstance(each, Send) and each.frame == frame for each in one.effects)


def test_frames_come_in_order_and_those_after_the_end_of_the_link_do_not() -> None:
    one = OneNetwork()
    link = one.half_link()
    first, second = Interest(["1"]), Interest(["2"])
    frames: list[AnyFrame] = [Pair(link.pair.read, link.pair.written), first, status(), second, status("c"), first]
    up, one_frame, said, learned, two, down = one.read(link, frames)
    assert (up, one_frame, two) == (LinkUp(link), FrameReceived(link, first), FrameReceived(link, second))
    assert isinstance(said, StatusReceived) and isinstance(learned, Learned) and isinstance(down, LinkDown)


# --- Status ---


def test_a_status_is_sent_at_link_up_before_any_other_frame() -> None:
    one = OneNetwork()
    link = one.link()
    link.send(Interest([]))
    names, first, _ = one.sent(link)
    assert isinstance(names, Pair) and isinstance(first, Status)


def test_a_status_is_sent_each_second_on_each_link() -> None:
    one = OneNetwork()
    b, c = one.link("b1"), one.link("c1")
    one.turn()
    one.effects.clear()
    one.keep_alive(b, c, seconds=5)
    assert len(one.sent(b)) == len(one.sent(c)) == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.cluster.become(incarnation("01A"), is_going=False),
        lambda network: network.cluster.become(None, is_going=True),
        lambda network: network.cluster.learn(NodeId("c"), incarnation("01C")),
        lambda network: network.cluster.report_replica(
            NodeId("c"), in_session=True, is_current=False, incarnation=lesser
        ),
    ],
)
def test_a_status_is_sent_at_each_change_once_a_turn(change: Callable[[Network], None]) -> None:
    one = OneNetwork()
    link = one.link()
    one.turn()
    one.effects.clear()
    change(one.network)
    assert len(one.sent(link)) == 1
    one.effects.clear()
    change(one.network)
    assert one.sent(link) == [], "nothing has changed"


def test_much_that_was_read_of_the_bulk_lane_is_reported_at_once() -> None:
    one = OneNetwork()
    link = one.link()
    one.turn()
    one.effects.clear()
    one.read(link, (), 100, 10_000)
    assert one.sent(link) == []
    one.read(link, (), 0, 10_000)
    said = one.status_sent(link)
    assert (said.express_read, said.bulk_read) == (100, 20_000)


def test_a_status_says_what_is_known_of_each_node() -> None:
    one = OneNetwork()
    one.network.cluster.become(incarnation("01A"), is_going=False)
    b1 = one.link("b1", status(start="01B", is_going=True), url="http://old")
    b2 = one.link("b2", status(start="01BB"), url="http://new")
    one.turn(1)
    one.read(b2)
    one.network.cluster.report_replica(NodeId("b"), in_session=True, is_current=True, incarnation=greater)
    link = one.link("c1")
    one.turn(0.25)
    one.network.cluster.become(incarnation("01A"), is_going=True)
    said = one.status_sent(link)
    assert (said.node, said.incarnation, said.is_going, said.running_s) == ("a", incarnation("01A"), True, 1.25)
    assert said.members == ["a", "b", "c"]
    assert said.settings == one.settings.shared.by_option
    b = said.nodes["b"]
    assert (b.greatest, b.address, b.in_session, b.is_current, b.incarnation) == (
        greater,
        "http://new",
        True,
        True,
        greater,
    )
    assert b.processes == [Heard("b1", lesser, True, 1.25), Heard("b2", greater, False, 0.25)]
    assert said.nodes["c"] == report(), "a process that has sent no status is not reported"
    assert b1.is_up


def test_an_address_is_reported_with_its_own_incarnation_only() -> None:
    one = OneNetwork()
    one.link("b1", status(start="01B"))
    one.network.cluster.learn(NodeId("b"), greater)
    said = one.status_sent(one.link("c1"))
    assert (said.nodes["b"].greatest, said.nodes["b"].address) == (greater, "")


@pytest.mark.parametrize(
    "wrong",
    [
        status("c"),
        status(incarnation=too_late),
        status(incarnation="b1"),
        status(running_s=float("nan")),
        status(running_s=-1.0),
        status(nodes={"c": report(Heard("c1", None, False, float("inf")))}),
        status(nodes={"c": report(Heard("c1", None, False, -0.1))}),
        status(bulk_read=-1),
    ],
)
def test_a_status_that_breaks_the_protocol_closes_the_link(wrong: Status) -> None:
    one = OneNetwork()
    link = one.link()
    (down,) = one.read(link, [wrong])
    assert isinstance(down, LinkDown)
    assert one.b.processes[0].status is None


def test_statuses_bring_incarnations_of_members_and_of_this_nodes_own_id() -> None:
    one = OneNetwork()
    own = incarnation("01A")
    nodes = {"a": report(greatest="01A"), "c": report(greatest="01C"), "d": report(greatest="01D")}
    nodes["c"] = replace(nodes["c"], greatest=too_late)
    link = one.link()
    said, *learned = one.read(link, [status(nodes=nodes)])
    assert learned == [Learned(NodeId("b"), lesser), Learned(NodeId("a"), own)]
    known = {node: one.network.cluster.greatest(NodeId(node)) for node in "abcd"}
    assert known == {"a": own, "b": lesser, "c": None, "d": None}
    assert one.read(link, [status(nodes=nodes)]) == [said], "nothing new"


# --- Liveness ---


def test_a_link_on_which_no_byte_arrives_for_3_s_is_closed() -> None:
    one = OneNetwork()
    link = one.link()
    one.turn(2.9)
    assert link.is_up
    assert one.turn(0.1) == [LinkDown(link, "no byte for 3 s")]


def test_a_slow_transfer_is_alive_though_no_frame_is_complete() -> None:
    one = OneNetwork()
    link = one.link()
    assert one.keep_alive(link, seconds=120) == []
    assert link.is_up


def test_a_pair_that_the_other_side_does_not_name_within_3_s_is_closed() -> None:
    one = OneNetwork()
    link = one.half_link()
    one.effects.clear()
    assert one.turn(3) == [], "a link that never was up does not go down"
    assert {link.read.number, link.written.number} <= set(one.closes())


def test_the_3_s_of_a_pair_count_from_when_both_streams_were_there() -> None:
    one = OneNetwork()
    (dial,) = one.dials()
    one.answer(dial, "b1")
    one.turn(2.9)
    one.ask(request())
    one.turn(2.9)
    (link,) = one.pairs()
    assert one.read(link, [Pair(link.pair.read, link.pair.written)]) == [LinkUp(link)]


def test_a_stream_that_stays_alone_and_silent_for_3_s_is_closed() -> None:
    one = OneNetwork()
    (dial,) = one.dials()
    one.answer(dial, "b1")
    one.turn(2.9)
    assert dial.stream not in one.closes()
    one.turn(0.1)
    assert dial.stream in one.closes()


def test_a_link_without_progress_for_10_s_while_an_answer_is_due_is_closed() -> None:
    one = OneNetwork()
    link = one.link()
    link.due(one.now, "page")
    one.keep_alive(link, seconds=9.5)
    assert link.is_up
    (down,) = one.keep_alive(link, seconds=0.5)
    assert down == LinkDown(link, "no progress for 10 s while these are due: page")


@pytest.mark.parametrize("progress", ["express", "bulk", "peer reads"])
def test_any_progress_keeps_a_link_on_which_an_answer_is_due(progress: str) -> None:
    one = OneNetwork()
    link = one.link()
    link.due(one.now, "page")
    for n in range(1, 4):
        one.keep_alive(link, seconds=9)
        if progress == "peer reads":
            one.read(link, [status(express_read=n)])
        else:
            one.read(link, (), **{progress: 1})
    assert link.is_up
    assert one.keep_alive(link, seconds=10) != []


def test_a_status_that_reports_no_growth_is_no_progress() -> None:
    one = OneNetwork()
    link = one.link("b1", status(bulk_read=100))
    link.due(one.now, "applied")
    for _ in range(10):
        one.keep_alive(link, seconds=1)
        one.read(link, [status(bulk_read=100)])
    assert not link.is_up


def test_an_answer_that_was_met_is_not_waited_for() -> None:
    one = OneNetwork()
    link = one.link()
    link.due(one.now, ("fetched", 1))
    link.met(("fetched", 1))
    link.met(("fetched", 2))
    one.keep_alive(link, seconds=20)
    assert link.is_up
    link.due(one.now, ("fetched", 3))
    one.keep_alive(link, seconds=9)
    assert link.is_up, "the time counts from when it became due"


# --- What breaks the protocol; calls ---


def test_a_link_that_breaks_the_protocol_is_closed_and_the_others_are_not() -> None:
    one = OneNetwork()
    b, c = one.link("b1"), one.link("c1")
    assert one.network.close(one.now, b, "a page that was not asked for") == [
        LinkDown(b, "a page that was not asked for")
    ]
    assert one.network.close(one.now, b, "again") == []
    assert c.is_up
    one.turn()
    assert {b.read.number, b.written.number} <= set(one.closes())


def test_calls_are_numbered_for_each_link() -> None:
    one = OneNetwork()
    b, c = one.link("b1"), one.link("c1")
    assert [b.next_call(), b.next_call(), c.next_call()] == [1, 2, 1]


# --- Pauses ---


def test_a_process_that_was_paused_closes_all_its_links_first() -> None:
    one = OneNetwork()
    b, c = one.link("b1"), one.half_link("c1")
    one.turn()
    one.effects.clear()
    one.now += 10
    assert one.network.resumed(one.now) == [LinkDown(b, "this process was paused")]
    assert one.read(b, [Interest([])]) == []
    one.turn()
    assert {b.read.number, b.written.number, c.read.number, c.written.number} <= set(one.closes())
    assert len([each for each in one.effects if isinstance(each, Dial)]) == 2


def test_a_dial_of_before_the_pause_is_given_up() -> None:
    one = OneNetwork()
    (dial,) = one.dials()
    one.now += 2.5
    one.network.resumed(one.now)
    assert one.answer(dial, "b1") == []
    assert len(one.dials()) == 1


def test_everything_that_waits_for_a_time_counts_from_the_end_of_the_pause() -> None:
    one = OneNetwork()
    one.network.cluster.become(lesser, is_going=False)
    one.network.request_refused(one.now, "c", StreamRefused("unauthorized", "in words"))
    one.now += 10
    assert one.b.is_unreachable(one.now)
    one.network.resumed(one.now)
    assert not one.b.is_unreachable(one.now)
    assert not one.member("c").is_refused(one.now), "c may accept by now"
    assert one.network.cluster.successor_silent_s(one.now, lesser) == 0
    assert one.status_sent(one.link("c1")).running_s == 0
    one.turn(3)
    assert one.b.is_unreachable(one.now)
    assert one.network.cluster.successor_silent_s(one.now, lesser) == 3
