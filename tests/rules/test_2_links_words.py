"""Chapter 2 of the protocol, Links: the words for members; and what statuses say of incarnations and twins."""

import pytest

from dqtw.core.links.frames import BootId, Heard, NodeId
from dqtw.core.links.link import LinkDown
from dqtw.core.links.streams import Close, Dial, StreamRefused
from dqtw.core.model.health import Wait

from .one_network import OneNetwork, incarnation, own_boot, report, status

greater, lesser = incarnation("01BB"), incarnation("01B")


def refusal(code: str) -> StreamRefused:
    return StreamRefused(code, "in words")


def wait(member_trouble: Wait | None) -> str | None:
    return member_trouble.what if member_trouble else None


# --- Words ---


def test_a_node_is_present_while_a_process_of_it_is_linked_that_has_an_incarnation_and_is_not_leaving() -> None:
    one = OneNetwork()
    assert not one.b.is_present
    link = one.link()
    assert one.b.is_linked and not one.b.is_present
    one.read(link, [status(start=None)])
    assert not one.b.is_present
    one.read(link, [status()])
    assert one.b.is_present
    one.read(link, [status(is_going=True)])
    assert one.b.is_linked and not one.b.is_present
    one.network.closed(one.now, link.read.number, "cut")
    assert not one.b.is_linked


def test_a_node_is_unreachable_after_3_s_without_a_byte_of_a_present_process() -> None:
    one = OneNetwork()
    one.turn(2.9)
    assert not one.b.is_unreachable(one.now)
    one.turn(0.1)
    assert one.b.is_unreachable(one.now), "counted from the start"
    link = one.link()
    assert one.b.is_unreachable(one.now)
    one.read(link, [status()])
    assert not one.b.is_unreachable(one.now)
    one.keep_alive(link, seconds=5)
    assert not one.b.is_unreachable(one.now)
    one.read(link, [status(is_going=True)])
    one.keep_alive(link, seconds=2.5)
    assert not one.b.is_unreachable(one.now)
    one.keep_alive(link, seconds=0.5)
    assert one.b.is_unreachable(one.now), "bytes of a leaving process do not count"


def test_a_node_whose_link_flaps_is_not_unreachable() -> None:
    one = OneNetwork()
    for _ in range(5):
        link = one.link("b1", status())
        one.turn(2)
        one.network.closed(one.now, link.read.number, "cut")
        one.turn(0.9)
        assert not one.b.is_unreachable(one.now)


@pytest.mark.parametrize("by", ["here", "there"])
def test_a_node_is_refused_until_3_s_after_the_last_attempt_that_either_side_refused(by: str) -> None:
    one = OneNetwork()
    one.turn(5)
    for _ in range(3):
        if by == "here":
            one.network.request_refused(one.now, "b", refusal("unauthorized"))
        else:
            one.fail(one.dials()[-1], "unauthorized", is_lasting=True)
        one.turn(1)
        assert one.b.is_refused(one.now) and not one.b.is_unreachable(one.now)
    one.turn(1.9)
    assert one.b.is_refused(one.now)
    one.turn(0.1)
    assert not one.b.is_refused(one.now) and one.b.is_unreachable(one.now)


def test_a_link_ends_a_refusal() -> None:
    one = OneNetwork()
    one.network.request_refused(one.now, "b", refusal("version"))
    link = one.link()
    assert not one.b.is_refused(one.now)
    one.network.closed(one.now, link.read.number, "cut")
    assert not one.b.is_refused(one.now)


def test_a_node_that_is_linked_is_not_refused_though_another_process_of_it_is() -> None:
    one = OneNetwork()
    one.link()
    one.network.request_refused(one.now, "b", refusal("version"))
    assert not one.b.is_refused(one.now)


@pytest.mark.parametrize("code", ["wrong_node", "wrong_boot", "too_many", "replayed"])
def test_what_an_asker_just_tries_again_is_not_a_refusal(code: str) -> None:
    one = OneNetwork()
    one.network.request_refused(one.now, "b", refusal(code))
    assert not one.b.is_refused(one.now)


def test_a_word_that_changes_with_time_wakes_the_node() -> None:
    one = OneNetwork()
    one.fail_dials()
    one.fail_dials("c")
    one.network.request_refused(one.now, "b", refusal("version"))
    deadlines = set()
    for _ in range(20):
        deadline = one.network.next_deadline(one.now)
        assert deadline is not None
        deadlines.add(deadline)
        one.now = deadline
        one.network.tick(one.now)
    assert 103.0 in deadlines


def test_trouble_says_why_a_node_is_of_no_use() -> None:
    one = OneNetwork()
    assert one.b.trouble(one.now) is None
    one.fail(one.dials()[0], "unauthorized", is_lasting=True)
    assert one.b.trouble(one.now) == Wait("b refuses a", "unauthorized (http://b)")
    one.network.request_refused(one.now, "b", refusal("version"))
    assert one.b.trouble(one.now) == Wait("a refuses b", "in words")
    one.turn(3)
    one.fail_dials()
    assert one.b.trouble(one.now) is not None
    one.turn(1)
    one.fail_dials()
    assert one.b.trouble(one.now) == Wait("b cannot be reached", "connection refused (http://b)")
    link = one.link()
    assert wait(one.b.trouble(one.now)) == "b is starting"
    one.read(link, [status()])
    assert one.b.trouble(one.now) is None
    one.read(link, [status(is_going=True)])
    assert wait(one.b.trouble(one.now)) == "b is leaving"
    one.turn(4)
    trouble = one.b.trouble(one.now)
    assert trouble is not None and "the last link ended: no byte for 3 s" in trouble.why


def test_failures_of_before_a_link_are_forgotten() -> None:
    one = OneNetwork()
    one.fail_dials()
    link = one.link("b1", url="http://moved")
    one.network.closed(one.now, link.read.number, "cut")
    one.turn(3)
    trouble = one.b.trouble(one.now)
    assert trouble is not None and "connection refused" not in trouble.why


def test_trouble_says_that_a_node_answers_and_does_not_dial() -> None:
    one = OneNetwork()
    one.turn(3)
    one.answer(one.dials()[-1], "b1")
    one.turn(1)
    assert one.b.trouble(one.now) == Wait("b cannot be reached", "it answers, but opens no stream at a")


def test_settings_and_members_that_differ_are_told_apart_from_trouble() -> None:
    one = OneNetwork(copies=2)
    assert (one.b.members_differ, one.b.settings_differ) == (None, ())
    one.link("b1", status(settings=one.settings.shared.by_option))
    assert (one.b.members_differ, one.b.settings_differ) == (None, ())
    one.turn(1)
    one.link("b2", status(members=["b", "a"], settings={"--copies": 3, "--new": 1}))
    assert one.b.members_differ == ("a", "b")
    assert one.b.settings_differ == ("--copies is 3 there and 2 here",)


# --- 3: which process of a node counts ---


def test_the_current_process_is_the_linked_one_of_the_greatest_incarnation_that_is_not_leaving() -> None:
    one = OneNetwork()
    assert one.b.current is None
    first = one.link("b1")
    assert one.b.current is None, "nothing is known of it yet"
    one.read(first, [status(start=None)])
    assert one.b.current is first
    second = one.link("b2", status(start="01BB"))
    one.keep_alive(first, second, seconds=1)
    third = one.link("b3", status(start="01B"))
    assert one.b.current is second, "the greatest, not the newest"
    one.read(second, [status(start="01BB", is_going=True)])
    assert one.b.current is third
    one.network.closed(one.now, third.read.number, "cut")
    assert one.b.current is first


def test_incarnations_that_are_not_or_of_others_are_not_learned() -> None:
    cluster = OneNetwork().network.cluster
    assert cluster.learn(NodeId("b"), lesser)
    assert not cluster.learn(NodeId("b"), lesser)
    assert not cluster.learn(NodeId("b"), "7" + "Z" * 25)
    assert not cluster.learn(NodeId("d"), lesser)
    assert cluster.learn(NodeId("a"), lesser)
    cluster.become(greater, is_going=False)
    assert cluster.greatest(NodeId("a")) == greater


# --- 5.2 and 5.3: what statuses say of this node's own id ---


@pytest.mark.parametrize(
    ("heard", "is_in_the_way"),
    [
        (Heard("a2", lesser, False, 2.9), True),
        (Heard("a2", lesser, False, 3.0), False),
        (Heard("a2", lesser, True, 0.0), False),
        (Heard("a2", None, False, 0.0), False),
        (Heard("a0", None, False, 0.0), True),
        (Heard("a0", None, True, 0.0), False),
        (Heard(own_boot, lesser, False, 0.0), False),
    ],
)
def test_a_start_waits_for_a_process_of_its_id_that_a_peer_has_heard(heard: Heard, is_in_the_way: bool) -> None:
    one = OneNetwork()
    one.link("b1", status(nodes={"a": report(heard)}))
    twin = one.network.cluster.twin_in_the_way(one.now)
    assert (twin is not None) is is_in_the_way
    if twin is not None:
        assert (twin.by, twin.boot, twin.incarnation, twin.is_going) == ("b", heard.boot, heard.incarnation, False)


def test_the_age_of_what_a_peer_has_heard_grows_also_when_its_link_is_gone() -> None:
    one = OneNetwork()
    link = one.link("b1", status(nodes={"a": report(Heard("a2", lesser, False, 1.0))}))
    one.turn(1.5)
    one.network.closed(one.now, link.read.number, "cut")
    (twin,) = one.network.cluster.twins(one.now)
    assert twin.age_s == 2.5
    assert one.network.cluster.twin_in_the_way(one.now) == twin
    one.turn(0.5)
    assert one.network.cluster.twin_in_the_way(one.now) is None


def test_a_start_can_see_whether_each_linked_peer_has_run_for_3_s() -> None:
    one = OneNetwork()
    cluster = one.network.cluster
    assert cluster.have_peers_run(one.now)
    link = one.link()
    assert not cluster.have_peers_run(one.now), "its status has yet to come"
    one.read(link, [status(running_s=1.0)])
    assert not cluster.have_peers_run(one.now)
    one.keep_alive(link, seconds=2)
    assert cluster.have_peers_run(one.now)


def test_a_fenced_process_sees_for_how_long_no_successor_was_heard() -> None:
    one = OneNetwork()
    cluster = one.network.cluster
    one.turn(10)
    assert cluster.successor_silent_s(one.now, lesser) == 10
    heard = [Heard("a2", greater, False, 1.5), Heard("a3", lesser, False, 0.1), Heard("a4", None, False, 0.1)]
    one.link("b1", status(nodes={"a": report(*heard)}))
    assert cluster.successor_silent_s(one.now, lesser) == 1.5
    one.turn(1)
    assert cluster.successor_silent_s(one.now, lesser) == 2.5


def test_a_process_that_starts_anew_keeps_what_is_known_and_has_new_links() -> None:
    one = OneNetwork()
    (dial,) = one.dials("c")
    link = one.link("b1", status(start="01BB"), url="http://moved")
    new, events = one.network.anew(one.now, BootId("a2"))
    assert events == [LinkDown(link, "this process starts anew")]
    assert new.cluster.greatest(NodeId("b")) == greater
    assert new.cluster.members[NodeId("b")].url == "http://moved"
    assert (new.cluster.boot, new.cluster.incarnation, new.cluster.is_going) == ("a2", None, False)
    new.tick(one.now)
    effects = new.take_effects(one.now)
    closed = {each.stream for each in effects if isinstance(each, Close)}
    dialled = {each.stream for each in effects if isinstance(each, Dial)}
    assert closed == {link.read.number, link.written.number, dial.stream}
    assert min(dialled) > max(closed), "no number of a stream is used twice"
