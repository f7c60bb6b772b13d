"""Chapter 2 of the protocol, Links: streams, how they are dialled, and which requests are refused."""

from itertools import count
from typing import Any

import pytest

from dqtw.core.links.frames import BootId
from dqtw.core.links.streams import Accepted, Dial

from .one_network import OneNetwork, incarnation, own_boot, report, request, status

greater, lesser = incarnation("01BB"), incarnation("01B")


# --- Streams: dialling ---


def test_the_request_names_cluster_node_boot_url_versions_a_nonce_and_the_node_that_it_wants() -> None:
    one = OneNetwork(cluster="here")
    (dial,) = one.dials()
    asked = dial.request
    assert (asked.cluster, asked.node, asked.boot, asked.url) == ("here", "a", own_boot, "http://a")
    assert (asked.versions, asked.to_node, asked.to_boot) == ((2,), "b", None)
    assert len(asked.nonce) == 32


def test_each_request_has_a_greater_number_and_another_nonce() -> None:
    one = OneNetwork()
    one.turn(10)
    asked = [each.request for each in one.effects if isinstance(each, Dial)]
    assert [each.number for each in asked] == sorted({each.number for each in asked})
    assert len({each.nonce for each in asked}) == len(asked)


def test_a_member_without_a_link_is_dialled_every_second_without_back_off() -> None:
    one = OneNetwork()
    for _ in range(20):
        assert len(one.fail_dials()) == 1
        one.turn(0.999)
        assert one.dials() == []
        one.turn(0.001)


def test_a_dial_is_given_up_after_3_s_and_another_one_begins() -> None:
    one = OneNetwork()
    (dial,) = one.dials()
    one.turn(2.9)
    assert one.closes() == []
    one.turn(0.1)
    assert one.closes()[0] == dial.stream
    (again,) = one.dials()
    assert one.answer(dial, "b1") == [], "an answer that comes too late is ignored"
    assert again.stream != dial.stream


def test_a_member_with_a_link_is_not_dialled() -> None:
    one = OneNetwork()
    link = one.link()
    one.effects.clear()
    one.keep_alive(link, seconds=5)
    assert one.dials() == []


@pytest.mark.parametrize("is_going", [False, True])
def test_a_process_is_dialled_back_at_the_url_that_it_named(is_going: bool) -> None:
    one = OneNetwork()
    one.fail_dials()
    if is_going:
        link = one.link("b1", status(is_going=True))
        one.network.closed(one.now, link.read.number, "cut")
        one.fail_dials()
    one.ask(request(number=10, url="http://elsewhere"))
    one.turn(1)
    (dial,) = one.dials()
    assert (dial.url, dial.request.to_boot) == ("http://elsewhere", "b1")


def test_a_second_process_of_a_node_is_dialled_back_beside_the_first() -> None:
    one = OneNetwork()
    first, second = one.link("b1", status(is_going=True)), one.link("b2", status())
    assert first.is_up and second.is_up
    assert {link.process.boot for link in one.b.links} == {"b1", "b2"}


def test_a_process_is_not_dialled_back_while_that_stream_is_open_or_opening() -> None:
    one = OneNetwork()
    (unbound,) = one.dials()
    one.ask(request(url="http://b"))  # the address that is being dialled
    assert one.dials() == []
    one.answer(unbound, "b1")
    one.ask(request(url="http://b", number=2))
    (back,) = one.dials()  # the second request ended the pair, with the stream that was open
    one.ask(request(url="http://b", number=3))
    assert one.dials() == [], "it is opening"
    one.answer(back, "b1")
    assert one.dials() == []


def test_a_dial_that_found_another_process_is_followed_by_one_for_the_process_that_asked() -> None:
    one = OneNetwork()
    (unbound,) = one.dials()
    one.ask(request(boot="b2", url="http://b"))
    one.answer(unbound, "b1")
    (back,) = one.dials()
    assert back.request.to_boot == "b2"


def test_a_process_that_cannot_be_dialled_back_is_tried_each_second_and_given_up_after_10_s() -> None:
    one = OneNetwork()
    accepted = one.ask(request(url=""))
    tries = 0
    for _ in range(9):
        tries += sum(each == "http://b" for each in one.fail_dials())
        one.turn(1)
    assert tries >= 9
    assert one.network.closed(one.now, 0, "unknown") == []
    one.effects.clear()
    one.turn(1)
    assert accepted.stream in one.closes()


def test_a_process_that_is_gone_does_not_keep_its_node_from_being_dialled() -> None:
    one = OneNetwork()
    one.ask(request(url="http://b"))
    wanted = set()
    for _ in range(4):
        for dial in one.dials():
            wanted.add(dial.request.to_boot)
            one.fail(dial)
        one.turn(1)
    assert wanted == {"b1", None}


def test_a_process_that_ought_to_be_current_is_dialled_beside_its_standby() -> None:
    one = OneNetwork()
    standby = one.link("b2", status(start=None))
    serving = one.link("b1", status(start="01B"))
    one.network.closed(one.now, serving.read.number, "cut")
    one.turn(1)
    assert [dial.request.to_boot for dial in one.dials()] == ["b1"]
    assert standby.is_up


def test_a_lesser_process_is_not_dialled_beside_the_current_one() -> None:
    one = OneNetwork()
    one.link("b2", status(start="01BB"))
    old = one.link("b1", status(start="01B"))
    one.network.closed(one.now, old.read.number, "cut")
    one.turn(1)
    assert one.dials() == []


# --- Streams: addresses ---


def test_every_second_try_after_a_failure_goes_to_the_configured_address() -> None:
    one = OneNetwork()
    link = one.link("b1", status(), url="http://moved")
    one.network.closed(one.now, link.read.number, "cut")
    urls = []
    for _ in range(4):
        urls += one.fail_dials()
        one.turn(1)
    assert urls == ["http://moved", "http://b", "http://moved", "http://b"]


def test_a_link_lets_the_next_dial_back_go_to_the_address_that_was_named() -> None:
    one = OneNetwork()
    one.ask(request())
    assert one.fail_dials()[-1] == "http://b1"
    one.turn(1)
    one.requests = count(2)
    one.link()
    one.ask(request(number=9))
    assert [dial.url for dial in one.dials() if dial.request.to_boot == "b1"] == ["http://b1"]


def test_the_address_of_the_greatest_incarnation_wins_whoever_reports_it() -> None:
    one = OneNetwork()
    first = report(greatest="01BB", address="http://second")
    c = one.link("c1", status("c", "01C", nodes={"b": first}))
    assert one.b.url == "http://second"
    one.link("b1", status(start="01B"), url="http://first")
    assert one.b.url == "http://second"
    one.read(c, [status("c", "01C", nodes={"b": report(greatest="01BBB", address="http://third")})])
    assert one.b.url == "http://third"
    one.read(c, [status("c", "01C", nodes={"b": report(greatest="01BBBB")})])
    assert one.b.url == "http://third", "an incarnation without an address says nothing"


@pytest.mark.parametrize(("announced", "used"), [("http://new", "https://b"), ("https://new", "https://new")])
def test_an_address_is_never_weaker_than_configured(announced: str, used: str) -> None:
    one = OneNetwork(peers={"b": "https://b", "c": "http://c"})
    one.fail_dials()
    one.ask(request(url=announced))
    (back,) = one.dials()
    assert back.url == used
    one.link("c1", status("c", "01C", nodes={"b": report(greatest="01BB", address=announced)}))
    assert one.b.url == used


# --- Streams: refusals ---


@pytest.mark.parametrize(
    ("changes", "code", "is_refusal"),
    [
        ({"cluster": "other"}, "wrong_cluster", True),
        ({"versions": (1, 3)}, "version", True),
        ({"versions": ()}, "version", True),
        ({"node": "d", "boot": "d1"}, "unknown_member", False),
        ({"to_node": "c"}, "wrong_node", False),
        ({"node": "a", "boot": own_boot}, "wrong_node", False),
        ({"node": "a", "boot": "a2"}, "wrong_node", False),
        ({"to_boot": "a0"}, "wrong_boot", False),
        ({"number": 0}, "replayed", False),
    ],
)
def test_a_request_that_cannot_be_accepted_is_refused(changes: dict[str, Any], code: str, is_refusal: bool) -> None:
    one = OneNetwork()
    assert one.refused(request(**changes)) == code
    assert one.b.is_refused(one.now) is is_refusal
    assert all(not member.pairings for member in one.network.cluster.members.values())


def test_a_request_to_this_very_process_by_its_name_is_accepted() -> None:
    assert OneNetwork().refused(request(to_boot=own_boot)) is None


def test_a_request_of_this_node_itself_is_refused_in_words() -> None:
    one = OneNetwork()
    said = []
    for boot in (own_boot, BootId("a2")):
        answer, _ = one.network.asked(one.now, request("a", boot))
        assert not isinstance(answer, Accepted)
        said.append(answer.why)
    assert said == ["that is the node a itself", "that is the node a too, but not the same process"]


@pytest.mark.parametrize("number", [1, 4, 5])
def test_a_replayed_request_is_refused_and_harms_no_link(number: int) -> None:
    one = OneNetwork()
    one.ask(request(number=4))
    one.requests = iter([5])  # type: ignore[assignment]
    link = one.link()
    assert one.refused(request(number=number)) == "replayed"
    assert link.is_up
    assert one.refused(request(number=6)) is None


def test_a_fifth_process_is_refused_while_four_are_linked_and_takes_the_place_of_one_that_is_not() -> None:
    one = OneNetwork()
    links = [one.link(f"b{n}", status(start=None)) for n in range(4)]
    assert one.refused(request(boot="b5")) == "too_many"
    assert not one.b.is_refused(one.now)
    one.network.closed(one.now, links[2].read.number, "cut")
    assert one.refused(request(boot="b5")) is None
    assert [process.boot for process in one.b.processes] == ["b0", "b1", "b3", "b5"]


def test_of_processes_without_a_link_those_without_a_stream_are_replaced_first() -> None:
    one = OneNetwork()
    one.ask(request(boot="b0"))
    one.turn(1)
    gone = one.link("b1", status(start=None))
    one.network.closed(one.now, gone.read.number, "cut")
    one.fail_dials()
    for n in (2, 3, 4):
        one.ask(request(boot=f"b{n}"))
    assert [process.boot for process in one.b.processes] == ["b0", "b2", "b3", "b4"]
    one.effects.clear()
    one.ask(request(boot="b5"))
    one.turn()
    assert [process.boot for process in one.b.processes] == ["b2", "b3", "b4", "b5"]
    assert one.closes(), "the stream of the one that was replaced is closed"


@pytest.mark.parametrize(
    ("node", "boot", "why"),
    [
        ("c", "c1", "that is the node c, not b"),
        ("a", own_boot, "that is this node itself"),
        ("a", "a2", "that is another process of this node"),
        ("b", "b2", "that is another process of b"),
    ],
)
def test_an_answer_of_another_process_than_was_meant_is_a_failure(node: str, boot: str, why: str) -> None:
    one = OneNetwork()
    one.ask(request(boot="b1"))
    (dial,) = [each for each in one.dials() if each.request.to_boot == "b1"]
    assert one.answer(dial, boot, node) == []
    one.turn()
    assert dial.stream in one.closes()
    one.network.cluster.running_since = one.b.present_at = one.now - 3
    trouble = one.b.trouble(one.now)
    assert trouble is not None and why in trouble.why
