"""What a node waits for, and which peers are of no use to it, is in its health, its stats and its log."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from attrs import evolve

from dqtw.core.effects import Event
from dqtw.core.lifecycle.lifecycle import Phase
from dqtw.core.lifecycle.reports import Reports, lines_max, link_lines_max
from dqtw.core.links.frames import BootId, NodeId, Open, PageRead, Role, Status
from dqtw.core.links.link import Link, OpenStream, Process
from dqtw.core.links.members import Member, Refusal
from dqtw.core.links.pairing import Pairing
from dqtw.core.model.commands import Ack, Get, Push
from dqtw.core.model.health import Check, Wait
from dqtw.core.model.settings import NodeSettings
from tests.rules.lan import Lan, ready

SETTINGS = NodeSettings(node="a", peers={"b": "http://b", "c": "http://c"}, copies=2, start_wait_s=30.0)
INCARNATION = "01HF0000000000000000000000"


class Log:
    """The reports of a node whose state the test makes up; it is looked at four times a second."""

    def __init__(self, settings: NodeSettings = SETTINGS) -> None:
        self.now = 1000.0
        self.reports = Reports(settings)
        self.settings = settings
        self.phase = Phase.SERVING
        self.waits: list[Wait] = []
        self.push_waits: list[Wait] = []
        self.members = {id: Member(self.now, NodeId(id), settings) for id in settings.peers}
        self.lines: list[tuple[str, str]] = []
        for member in self.members.values():
            self.link(member)

    def link(self, member: Member, boot: str = "boot", incarnation: str | None = INCARNATION) -> Link:
        """Let a process of a peer be linked, and present."""
        process = Process(member.id, BootId(boot))
        process.link = Link(process, OpenStream(1, "1", self.now), OpenStream(2, "2", self.now), [])
        process.link.up_at = self.now
        member.pairings[process.boot] = Pairing(self.now, process, {}, [])
        self.status(process, incarnation=incarnation)
        return process.link

    def status(self, process: Process, **fields: object) -> None:
        """Let a process send a status."""
        status = Status(
            node=process.node,
            incarnation=INCARNATION,
            running_s=1.0,
            is_going=False,
            express_read=0,
            bulk_read=0,
            nodes={},
            members=list(self.settings.members),
            settings=self.settings.shared.by_option,
        )
        process.status, process.status_at = msgspec.structs.replace(status, **fields), self.now

    def unlink(self, id: str, why: str = "connection refused") -> Member:
        """End the links to a peer, and let dialling it fail."""
        member = self.members[id]
        member.pairings.clear()
        member.present_at = self.now
        member.dial_failed(member.configured_url, why)
        return member

    def look(self, seconds: float = 0.0, each: Callable[[], object] = lambda: None) -> None:
        """Look, and let time pass; ``each``: something to do before each look."""
        end = self.now + seconds
        while True:
            each()
            self.take(self.reports.look(self.now, self.phase, self.waits, self.push_waits, self.members.values()))
            if self.now >= end:
                return
            self.now += 0.25

    def take(self, events: Sequence[Event]) -> None:
        """Write what is reported."""
        self.lines += [(event.level, event.what.format(**event.facts)) for event in events]


def log(lan: Lan, name: str, part: str = "", since: int = 0) -> list[str]:
    """What a process has logged."""
    return [line for by, line in lan.events[since:] if by == name and part in line]


# What a node waits for.


def test_a_wait_is_logged_once_and_a_long_one_is_a_warning() -> None:
    made = Log()
    made.phase, made.waits = (
        Phase.STARTING,
        [Wait("b is starting"), Wait("c cannot be reached", "no answer (http://c)")],
    )
    made.look(0.75)
    assert made.lines == []
    made.look(200)
    line = "starting: b is starting; c cannot be reached: no answer (http://c)"
    assert made.lines == [("info", line), ("warn", line)]


@pytest.mark.parametrize(
    ("phase", "word"),
    [(Phase.SERVING, "not ready"), (Phase.DRAINING, "handing over"), (Phase.FENCED, "handing over")],
)
def test_a_wait_is_named_by_what_it_is_for(phase: Phase, word: str) -> None:
    made = Log()
    made.phase, made.waits = phase, [Wait("this")]
    made.look(2)
    assert made.lines == [("info", f"{word}: this")]


def test_a_wait_that_is_over_at_once_is_not_worth_a_line() -> None:
    made = Log()
    for _ in range(10):
        made.waits = [Wait("this")]
        made.look(0.75)
        made.waits = []
        made.look(0.25)
    assert made.lines == []


def test_a_wait_in_one_phase_does_not_count_in_the_next() -> None:
    made = Log()
    made.phase, made.waits = Phase.STARTING, [Wait("this")]
    made.look(20)
    made.phase = Phase.SERVING
    made.look(20)
    assert made.lines == [("info", "starting: this"), ("info", "not ready: this")]


def test_a_number_that_changes_each_time_is_logged_a_few_times_and_then_once_a_minute() -> None:
    made = Log()
    made.phase = Phase.STARTING
    left = [10_000]

    def go_on() -> None:
        left[0] -= 1
        made.waits = [Wait(f"b has {left[0]} more messages of this node")]

    made.look(25, go_on)
    assert len(made.lines) == lines_max
    made.look(150, go_on)
    assert lines_max + 2 <= len(made.lines) <= lines_max + 4
    assert "warn" in {level for level, _ in made.lines}


def test_after_a_pause_everything_lasts_from_now_on() -> None:
    """The peers could not be reached, because this process was not run."""
    made = Log()
    made.phase, made.waits, made.push_waits = Phase.SERVING, [Wait("this")], [Wait("that")]
    made.look()
    made.now += 600
    made.reports.resumed(made.now)
    made.look(0.5)
    assert made.lines == []
    made.look(3)
    assert made.lines == [("info", "not ready: this"), ("warn", "pushes are refused: that")]


def test_a_start_names_the_peers_that_it_waits_for() -> None:
    lan = Lan("a", "b", "c", start_wait_s=8.0)
    lan.kill("b")
    lan.kill("c")
    lan.run(6)
    what = ["b cannot be reached: connection refused (http://b)", "c cannot be reached: connection refused (http://c)"]
    assert lan.waits("a")[:2] == what
    assert log(lan, "a", "starting: ")[-1] == f"starting: {'; '.join(what)}"
    assert lan["a"].health(Check.READY).waiting_for == ("b cannot be reached", "c cannot be reached")


def test_a_start_that_is_refused_says_why() -> None:
    lan = Lan("a", "b", start_wait_s=8.0)
    lan.refuses = lambda asker, asked: "the secret is another" if asker == "a" else ""
    lan.run(60)
    why = "b refuses a: the secret is another (http://b)"
    assert lan.waits("a") == [why]
    assert lan["a"].health(Check.READY).waiting_for == ("b refuses a",)
    assert log(lan, "a", "the secret is another") == [why, f"starting: {why}", f"starting: {why}"]
    assert log(lan, "a", "serving") == []


def test_no_address_is_shown_to_clients_that_ask_for_health() -> None:
    """Health needs no token."""
    lan = ready("a", "b", "c")
    lan.kill("b")
    lan.kill("c")
    lan.run(6)
    for check in Check:
        assert "http" not in repr(lan["a"].health(check))
    assert lan["a"].health(Check.PUSH).waiting_for == (
        "a push needs 3 copies, 1 can be had now",
        "b cannot be reached",
        "c cannot be reached",
    )
    assert "connection refused (http://b)" in lan.waits("a")[1]
    assert lan["a"].health(Check.LIVE).waiting_for == ()


def test_a_replica_that_a_peer_has_yet_to_send_is_named() -> None:
    """The messages of a node that is away are regained from the peers that hold them."""
    lan = ready("a", "b", "c", copies=1, start_wait_s=4.0)
    lan.push("b")
    lan.run(1)
    lan.kill("b")
    lan.kill("a")
    lan.run(4)
    hold = lan.hold(PageRead, by="c", to="a")
    lan.start("a")
    lan.until(lambda: lan.phase("a") == "serving")
    lan.run(1.5)
    wait = "c has yet to send what it holds of b's queue"
    assert lan.waits("a") == [wait]
    assert lan["a"].health(Check.READY).waiting_for == (wait,)
    assert log(lan, "a", "not ready: ") == [f"not ready: {wait}"]
    lan.release(hold)
    lan.run(1)
    assert lan.held("a", "b") == [b"x"]
    assert log(lan, "a")[-1] == "ready"


def test_a_node_that_leaves_says_what_it_waits_for() -> None:
    lan = ready("a", "b", copies=1)
    lan.push("a")
    lan.kill("b")
    lan.run(4)
    lan.drain("a")
    lan.run(3)
    waits = ["no other node that stays is known to hold all messages of a"]
    assert lan.waits("a") == waits
    assert log(lan, "a", "handing over") == [
        "handing over; messages of this node: 1, of nodes that are away: 0",
        f"handing over: {waits[0]}",
    ]
    health = lan["a"].health(Check.READY)
    assert (health.reasons, health.waiting_for) == (("draining",), tuple(waits))
    assert lan["a"].stats(lan.clock("a"))["only_here"] == 1


def test_a_node_that_was_replaced_says_so_once() -> None:
    lan = ready("a", "b", "c")
    lan.push("a")
    lan.pause("a")
    lan.run(4)
    lan.start("a2", "a")
    lan.until(lambda: lan["a2"].life.was_ready)
    lan.resume("a")
    lan.until(lambda: "a" in lan.departures)
    assert log(lan, "a", "fenced") == ["fenced: a newer process of this node exists; handing over"]


# Messages of others.


def test_messages_of_nodes_that_are_away_are_counted_when_a_node_leaves() -> None:
    """It may hold the last copy of each."""
    lan = ready("a", "b", drain_timeout_s=10.0)
    lan.push("b")
    lan.kill("b")
    lan.run(4)
    lan.drain("a")
    lan.run(2)
    assert log(lan, "a", "handing over; ") == ["handing over; messages of this node: 0, of nodes that are away: 1"]
    stats = lan["a"].stats(lan.clock("a"))
    assert (stats["queueSize"], stats["only_here"]) == (0, 1)
    assert lan.waits("a") == ["no other node that stays is known to hold all messages of b"]
    lan.run(12)
    assert lan.departures["a"].messages_lost == 1


def test_messages_of_nodes_that_are_there_are_not_counted_when_a_node_leaves() -> None:
    lan = ready("a", "b")
    lan.push("b")
    assert lan["a"].stats(lan.clock("a"))["only_here"] is None
    lan.drain("a")
    assert log(lan, "a")[-1] == "handing over; messages of this node: 0, of nodes that are away: 0"
    lan.run(4)
    assert lan.departures["a"].messages_lost == 0


# Links.


def test_a_link_that_comes_up_or_ends_is_logged_with_the_reason() -> None:
    lan = ready("a", "b")
    assert log(lan, "a", "linked") == ["b is linked"]
    lan.kill("b")
    lan.run(1)
    lan.start("b")
    lan.run(1)
    lan.partition("a", "b")
    lan.run(4)
    assert log(lan, "a", "linked")[:-1] == [
        "b is linked",
        "b is not linked: the connection was lost",
        "b is linked",
    ]
    ended = {log(lan, by, "linked")[-1].removeprefix(f"{of} is not linked: ") for by, of in ("ab", "ba")}
    assert ended <= {"the connection was lost", "no byte for 3 s"}
    assert "no byte for 3 s" in ended


def test_a_link_line_says_to_which_process() -> None:
    """For logs as JSON."""
    made = Log()
    link = made.link(made.members["b"], "b-1")
    (up,) = made.reports.link_up(made.now, link)
    (down,) = made.reports.link_down(made.now, link, "it was closed")
    assert up.facts == {"peer": "b", "boot": "b-1", "incarnation": INCARNATION, "url": None}
    assert down.facts == {**up.facts, "why": "it was closed"}


def test_links_that_come_and_go_all_the_time_do_not_fill_the_log_and_the_last_change_is_in_it() -> None:
    """Such as those with a peer that breaks the protocol."""
    made = Log()
    link = made.link(made.members["b"])
    for n in range(500):
        made.take(made.reports.link_up(made.now, link))
        made.take(made.reports.link_down(made.now, link, f"fault {n}"))
        made.look(1)
    seen = len(made.lines)
    assert link_lines_max <= seen <= 2 * link_lines_max * (1 + 500 // 60)
    made.look(61)
    assert made.lines[-1] == ("info", "b is not linked: fault 499")
    made.take(made.reports.link_up(made.now, link))
    made.look(61)
    assert made.lines[-1] == ("info", "b is linked")
    made.look(200)
    assert made.lines[-1] == ("info", "b is linked")
    assert len(made.lines) <= seen + 2


def test_links_to_one_peer_that_come_and_go_take_no_lines_from_another_s() -> None:
    made = Log()
    bad, good = made.link(made.members["b"]), made.link(made.members["c"])
    for n in range(50):
        made.take(made.reports.link_down(made.now, bad, str(n)))
    made.lines.clear()
    made.take(made.reports.link_down(made.now, good, "it was closed"))
    assert made.lines == [("info", "c is not linked: it was closed")]


def test_a_fault_of_a_peer_is_a_warning_once_a_minute() -> None:
    """The link comes up again, and the peer does the same again."""
    made = Log()
    link = made.link(made.members["b"])

    def go_wrong() -> None:
        made.take(made.reports.fault(made.now, link, "this is not the next page"))

    made.look(90, go_wrong)
    assert made.lines == [("warn", "b sent what it must not: this is not the next page")] * 2


def test_what_a_peer_must_not_send_ends_its_link_and_is_reported() -> None:
    lan = ready("a", "b")
    link = lan["b"].cluster.links[0]
    link.send(Open(7, "c", Role.OWNER, INCARNATION, 100))
    lan.ask("b", Get())
    lan.run(0.5)
    why = "b opens a session as the owner of what c owns"
    assert log(lan, "a", "must not") == [f"b sent what it must not: {why}"]
    assert f"b is not linked: {why}" in log(lan, "a")


# Peers that are of no use.


def test_the_reason_why_a_peer_cannot_be_reached_is_logged_once() -> None:
    """At info level: with two copies of three, pushes go on."""
    lan = ready("a", "b", "c", copies=2)
    lan.kill("c")
    lan.run(60)
    line = "c cannot be reached: connection refused (http://c); the last link ended: the connection was lost"
    assert log(lan, "a", "c cannot be reached") == [line]
    lan.start("c")
    lan.run(5)
    lan.kill("c")
    lan.run(60)
    assert log(lan, "a", "c cannot be reached") == [line] * 2


def test_a_peer_that_is_not_reached_for_a_moment_is_not_worth_a_line() -> None:
    lan = ready("a", "b", "c", copies=2)
    lan.kill("c")
    lan.run(2)
    lan.start("c")
    lan.run(60)
    assert not log(lan, "a", "cannot be reached")
    assert not log(lan, "a", "c is starting")


def test_why_a_peer_is_of_no_use_has_its_level() -> None:
    made = Log()
    member = made.unlink("b")
    made.look(10)
    assert made.lines == [("info", "b cannot be reached: connection refused (http://b)")]
    member.refuse(Refusal(made.now, NodeId("b"), "the secret is another (http://b)"))
    made.look(2)
    assert made.lines[1:] == [("warn", "b refuses a: the secret is another (http://b)")]


def test_a_peer_that_starts_for_long_or_leaves_is_named() -> None:
    made = Log()
    process = made.link(made.members["b"], incarnation=None).process
    made.look(2.75)
    assert made.lines == []
    made.look(1)
    assert made.lines == [("info", "b is starting")]
    made.status(process, is_going=True)
    made.look(1)
    assert made.lines[1:] == [("info", "b is leaving")]


def test_a_peer_that_is_just_being_linked_is_not_named() -> None:
    """The reasons of before do not count any more, and there are no others."""
    made = Log()
    member = made.unlink("b")
    made.look(10)
    pairing = Pairing(made.now, Process(member.id, BootId("boot")), {}, [])
    member.pairings[pairing.process.boot] = pairing
    pairing.written = OpenStream(1, "1", made.now)
    member._failures.clear()
    made.look(0.25)
    assert len(made.lines) == 1
    made.look(0.5)
    assert made.lines[1:] == [("info", "b cannot be reached")]


def test_a_peer_is_not_named_twice_while_other_lines_name_it() -> None:
    made = Log()
    made.unlink("b")
    made.phase, made.waits = Phase.STARTING, [Wait("b cannot be reached")]
    made.look(10)
    made.phase, made.waits, made.push_waits = Phase.SERVING, [], [Wait("b cannot be reached")]
    made.look(10)
    assert [line for _, line in made.lines] == [
        "starting: b cannot be reached",
        "pushes are refused: b cannot be reached",
    ]


def test_reasons_that_differ_each_time_are_logged_a_few_times() -> None:
    """Such as the time by which a clock is off."""
    made = Log()
    member, count = made.unlink("b"), [0]

    def go_on() -> None:
        count[0] += 1
        member.refuse(Refusal(made.now, NodeId("b"), f"the time is {count[0]} s off"))

    made.look(100, go_on)
    assert len(made.lines) in (lines_max, lines_max + 1)
    assert {level for level, _ in made.lines} == {"warn"}


def test_both_addresses_of_a_peer_that_moved_are_named_and_do_not_alternate() -> None:
    lan = ready("a", "b", "c", copies=2)
    lan.kill("c")
    lan.run(4)
    lan.start("elsewhere", "c")
    lan.run(4)
    lan.kill("elsewhere")
    since = len(lan.events)
    lan.run(60)
    found = log(lan, "a", "c cannot be reached", since)
    assert "connection refused (http://elsewhere); connection refused (http://c)" in found[-1]
    assert len(found) <= 2


def test_an_error_is_cleared_when_the_peer_is_present_again() -> None:
    lan = ready("a", "b")

    def error() -> object:
        peers = lan["a"].stats(lan.clock("a"))["peers"]
        assert isinstance(peers, dict)
        return peers["b"]["error"]

    assert error() == ""
    lan.kill("b")
    lan.run(4)
    assert error() == ("connection refused (http://b); the last link ended: the connection was lost")
    lan.start("b")
    lan.until(lambda: lan["b"].life.was_ready)
    assert error() == ""


# Pushes.


def test_pushes_that_are_refused_for_want_of_copies_are_a_warning_until_they_are_accepted_again() -> None:
    made = Log()
    made.push_waits = [Wait("a push needs 3 copies, 2 can be had now"), Wait("c cannot be reached", "refused")]
    made.look(2.75)
    assert made.lines == []  # a process that is started again is back by then
    made.look(60)
    line = ("warn", "pushes are refused: a push needs 3 copies, 2 can be had now; c cannot be reached: refused")
    assert made.lines == [line]
    made.push_waits = []
    made.look(60)
    assert made.lines[1:] == [("info", "pushes are accepted again")]
    made.push_waits = [Wait("a push needs 3 copies, 2 can be had now")]
    made.look(2)
    made.push_waits = []
    made.look(60)
    assert len(made.lines) == 2


def test_a_node_that_leaves_does_not_report_that_pushes_are_accepted_again() -> None:
    made = Log()
    made.push_waits = [Wait("a push needs 3 copies, 2 can be had now")]
    made.look(10)
    made.phase, made.push_waits = Phase.DRAINING, []
    made.look(10)
    assert len(made.lines) == 1


def test_pushes_of_a_cluster_that_lacks_a_node_are_reported_as_refused() -> None:
    lan = ready("a", "b", "c")
    lan.kill("c")
    lan.run(2.5)
    assert not log(lan, "a", "pushes are refused")
    lan.run(60)
    lines = log(lan, "a", "pushes are ")
    assert lines[-1].startswith("pushes are refused: a push needs 3 copies, 2 can be had now; c cannot be reached: ")
    assert len(lines) <= 2
    lan.start("c")
    lan.run(5)
    assert log(lan, "a", "pushes are ")[-1] == "pushes are accepted again"
    assert len(log(lan, "a", "pushes are accepted again")) == 1


# Peers that are set up otherwise.


def test_settings_that_differ_are_a_warning_and_accepted() -> None:
    lan = Lan("a", "b", "c")
    lan.kill("c")
    lan.start("c", copies=2, max_message=1000, key_memory_s=60.5)
    lan.run(4)
    differences = [
        "--copies is 2 there and 3 here",
        "--max-message is 1000 there and 1048576 here",
        "--key-memory is 60.5 there and 600 here",
    ]

    def told(by: str, of: str) -> object:
        peers = lan[by].stats(lan.clock(by))["peers"]
        assert isinstance(peers, dict)
        return peers[of]["settings_differ"]

    assert told("a", "c") == differences
    assert told("c", "a")[0] == "--copies is 3 there and 2 here"  # type: ignore[index]
    assert told("a", "b") == []
    assert log(lan, "a", "other settings") == [f"c has other settings: {'; '.join(differences)}"]
    lan.push("a")
    lan.run(100)
    assert len(log(lan, "a", "other settings")) == 1
    lan.kill("c")
    lan.run(4)
    lan.start("c")
    lan.run(4)
    assert told("a", "c") == []


def test_other_members_are_a_warning() -> None:
    lan = Lan("a", "b")
    lan.kill("b")
    lan.start("b", peers={"a": "http://a", "c": "http://c"}, start_wait_s=4.0)
    lan.run(60)
    assert log(lan, "a", "other members") == ["b has other members: a, b, c; here: a, b"]


def test_a_difference_is_logged_once_also_when_two_processes_of_a_peer_report_in_turn() -> None:
    """As while the older one hands over."""
    made = Log()
    old, new = (made.link(made.members["b"], boot).process for boot in ("old", "new"))
    settings = evolve(SETTINGS.shared, copies=3).by_option
    turn = [0]

    def go_on() -> None:
        turn[0] += 1
        if turn[0] % 2:
            made.status(old, settings=settings, members=["a", "b"])
        else:
            made.status(new)
        (old if turn[0] % 2 else new).status_at += 0.001 * turn[0]

    made.look(50, go_on)
    assert made.lines == [
        ("warn", "b has other members: a, b; here: a, b, c"),
        ("warn", "b has other settings: --copies is 3 there and 2 here"),
    ]


def test_a_difference_that_comes_back_later_is_logged_again() -> None:
    made = Log()
    process = made.link(made.members["b"]).process
    for _ in range(2):
        made.status(process, members=["b"])
        made.look(1)
        made.status(process)
        made.look(70)
    assert made.lines == [("warn", "b has other members: b; here: a, b, c")] * 2


# A cluster in which all is well.


def test_a_cluster_in_which_all_is_well_waits_for_nothing_and_logs_no_more_than_its_start() -> None:
    lan = ready("a", "b", "c")
    since = len(lan.events)
    for _ in range(20):
        lan.do("a", Push(b"x"))
        lan.do("b", Get(ack_now=True))
        lan.run(1)
    assert lan.events[since:] == []
    for id in "abc":
        assert lan.waits(id) == []
        peers = [f"{other} is linked" for other in "abc" if other != id]
        assert sorted(log(lan, id)) == sorted([*peers, "serving; messages recovered: 0", "ready"])
    assert lan.do("a", Ack(lan.push("a"))) is not None
