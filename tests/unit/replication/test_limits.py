"""Rule 17: limits, pruning, addresses, members."""

from dqtw.core.lifecycle.life import Phase
from dqtw.core.links.peer_messages import Ask, Asked, Declined, Open, Opened, Role
from dqtw.core.model.copy import Copy, incarnations_kept
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import Message, MessageId

from .cluster import Cluster, cluster, keeping


def stats(world: Cluster, address: str) -> dict[str, object]:
    process = world.processes[address]
    return process.node.stats(process.latest)


# Limits.


def test_rule_17_a_peer_takes_what_the_owners_limits_allow() -> None:
    """A node with a lower limit holds the larger messages of its peers; a rolling change of it blocks no session."""
    world = Cluster("a", "b")
    world.start("a", max_message=1000)
    world.start("b", max_message=10, size=1, max_bytes=10)
    world.settle(1)
    pushes = [world.push("a", b"x" * 1000) for _ in range(5)]
    world.settle()
    assert [push.code for push in pushes] == ["Pushed"] * 5
    assert len(world.copy("b", "a").live) == 5
    assert world.push("b", b"x" * 11).code == "too_large"


def test_rule_17_an_owner_tells_its_limits_when_it_opens() -> None:
    """So that its peers can tell a large message from an attack."""
    world = cluster("a", "b", max_message=777)
    opens = [each.what for each in world.sent if isinstance(each.what, Open)]
    assert {each.body_bytes_max for each in opens} == {777}


def test_rule_17_a_message_that_is_larger_than_this_nodes_limit_is_rescued_all_the_same() -> None:
    """Nothing is dropped because a limit was lowered between two starts."""
    world = cluster("a", "b", max_message=1000)
    world.push("a", b"x" * 1000)
    world.settle()
    world.kill("a")
    world.settle(4)
    world.start("a", max_message=10, max_bytes=20)
    world.settle(2)
    assert world.get("a").bodies == [b"x" * 1000]


# Pruning.


def test_rule_17_of_incarnations_with_nothing_live_the_newest_1024_are_kept() -> None:
    """Memory does not grow with the number of restarts; one with a live message is never forgotten."""
    copy = Copy("a")
    names = [f"01HF{number:022d}" for number in range(incarnations_kept + 10)]
    for name in names:
        copy.gone(IdSet.of("a", [MessageId("a", name, 1)]))
    copy.put(MessageId("a", names[3], 2), Message(b"live"))
    world = cluster("a", "b")
    held = world["b"].holder.held["a"]
    held.copy = copy
    held.changed_elsewhere()
    world.settle(3)
    kept = held.copy.seen.incarnations
    assert names[3] in kept
    assert len([name for name in kept if name != names[3]]) <= incarnations_kept + 1
    assert names[0] not in kept
    assert names[-1] in kept
    assert world.bodies("a", "a") == [b"live"]


# Addresses.


def test_rule_17_a_replacement_at_another_address_is_found_by_all() -> None:
    """Start it anywhere: its peers learn where it is, and so do those who did not hear it themselves."""
    world = keeping("a", "b", "c")
    world.kill("a")
    world.settle(4)
    world.start("a", at="elsewhere")
    world.settle(4)
    for at in ("b", "c"):
        ack = world.push(at, b"x")
        world.settle()
        assert ack.code == "Pushed"
        assert "a" in world.in_session(at)
    get = world.get("b")
    world.settle()
    assert len(get.bodies) == 1


def test_rule_17_the_greater_incarnation_knows_the_address_better() -> None:
    """An old process that comes back does not lead anybody astray."""
    world = cluster("a", "b")
    peers = world["b"].peers
    for told, expected in (
        (("01HF0000000000000000000005", "five"), "five"),
        (("01HF0000000000000000000004", "four"), "five"),
        (("01HF0000000000000000000005", "other five"), "five"),
        (("01HF0000000000000000000006", "six"), "six"),
    ):
        peers.learn({"a": told, "x": told})
        assert peers.addresses["a"][1] == expected
    assert "x" not in peers.addresses


def test_rule_17_two_nodes_that_both_moved_meet_through_a_third() -> None:
    """Neither is where the other was told; the third knows both."""
    world = cluster("a", "b", "c", copies=2)
    for name in ("a", "b"):
        world.kill(name)
    world.settle(4)
    world.start("a", at="a-new", start_wait_s=5)
    world.start("b", at="b-new", start_wait_s=5)
    world.settle(20)
    assert world.in_session("a-new") == ["b", "c"]
    assert world.in_session("b-new") == ["a", "c"]


def test_rule_17_a_node_that_moved_back_is_found_at_its_configured_address() -> None:
    """Every second try goes there."""
    world = cluster("a", "b")
    world.kill("a")
    world.settle(4)
    world.start("a", at="elsewhere")
    world.settle(2)
    assert world.in_session("b") == ["a"]
    world.kill("elsewhere")
    world.settle(4)
    world.start("a", advertise="")
    world.settle(5)
    assert world.in_session("b") == ["a"]
    assert world.in_session("a") == ["b"]


def test_rule_17_who_told_a_new_address_is_asked_there_though_an_old_process_answers_at_the_old_one() -> None:
    """Else a node would speak for ever with a process that was replaced."""
    world = cluster("a", "b")
    peers = world["b"].peers
    peers.learn({"a": ("01HF0000000000000000000005", "five")})
    peer = peers["a"]
    peer._fail(world.processes["b"].latest, "five", "refused")
    assert peer._url() == "a"
    peers.learn({"a": ("01HF0000000000000000000006", "six")})
    assert peer._url() == "six"


def test_rule_17_requests_that_fail_together_change_the_address_once() -> None:
    """Two that were under way to a dead address do not lead back to it."""
    world = cluster("a", "b")
    peers = world["b"].peers
    peers.learn({"a": ("01HF0000000000000000000005", "five")})
    for _ in range(2):
        peers["a"]._fail(world.processes["b"].latest, "five", "refused")
    assert peers["a"]._url() == "a"


def test_rule_17_addresses_are_told_in_open_and_in_its_answer() -> None:
    """Both sides learn."""
    world = cluster("a", "b", "c")
    for name in ("a", "b"):
        world.kill(name)
        world.settle(4)
        world.start(name, at=name + "-new")
        world.settle(4)
    opens = [each.what.addresses for each in world.sent[-200:] if isinstance(each.what, Open | Opened)]
    assert any(set(each) == {"a", "b"} for each in opens)


# Members, and the cluster's name.


def test_rule_17_lists_of_members_that_differ_are_told_and_accepted() -> None:
    """A change of membership by rolling restart passes through this state: nothing stops, the operator sees it."""
    world = Cluster("a", "b")
    world.start("a")
    world.start("b", peers={"a": "a", "c": "c"}, start_wait_s=4)
    world.settle(6)
    assert world.in_session("a") == ["b"]
    push = world.push("a")
    world.settle()
    assert push.code == "Pushed"
    peers = stats(world, "a")["peers"]
    assert isinstance(peers, dict)
    assert peers["b"]["members_differ"] is True
    assert any("members" in event.what for _, event in world.events)


def test_rule_17_a_node_that_knows_more_members_than_its_peers_becomes_ready() -> None:
    """A rolling restart that adds a member, gated on readiness, gets past its first node."""
    world = Cluster("a", "b", "c")
    for name in ("a", "c"):
        world.start(name)
    world.start("b", peers={"a": "a", "c": "c", "d": "d"}, start_wait_s=4)
    world.settle(10)
    assert world["b"].life.was_ready
    logged = [event.what.format(**event.facts) for _, event in world.events]
    assert sorted(line[:10] for line in logged if " declines" in line[:10]) == ["a declines", "c declines"]
    world.drain("b")
    world.settle(3)
    assert "b" in world.departed


def test_rule_17_a_node_that_knows_fewer_members_than_its_peers_becomes_ready() -> None:
    """So does one that takes a member out."""
    world = cluster("a", "b", "c", "d", copies=2)
    world.kill("d")
    world.kill("b")
    world.settle(4)
    world.start("b", peers={"a": "a", "c": "c"})
    world.settle(10)
    assert world["b"].life.was_ready
    assert world["a"].life.was_ready


def c_holds_a_message_and_a_has_died() -> tuple[Cluster, MessageId]:
    world = cluster("a", "b", "c")
    push = world.push("c", b"kept")
    world.settle()
    world.kill("a")
    world.settle(4)
    return world, push.id


def test_rule_17_a_member_of_which_only_the_peers_were_told_is_not_said_to_have_no_such_message() -> None:
    """While a member is taken out, who no longer lists it can't ask it: its messages are there all the same."""
    world, id = c_holds_a_message_and_a_has_died()
    world.start("a", peers={"b": "b"}, copies=2)
    world.settle(5)
    ack = world.ack("a", id)
    world.settle(1)
    assert ack.code == "owner_down"
    assert world.ack("a", MessageId("nobody", id.incarnation, 1)).code == "unknown"
    assert world.bodies("c", "c") == [b"kept"]


def test_rule_17_lists_of_members_that_agree_are_not_told() -> None:
    world = cluster("a", "b")
    peers = stats(world, "a")["peers"]
    assert isinstance(peers, dict)
    assert peers["b"]["members_differ"] is False


def test_rule_17_another_cluster_name_is_refused() -> None:
    """Two clusters that were wired together by mistake do not mix their messages."""
    world = Cluster("a", "b", start_wait_s=1)
    world.start("a", cluster="one")
    world.start("b", cluster="two")
    world.settle(20)
    assert [world[at].life.phase for at in ("a", "b")] == [Phase.STARTING] * 2
    assert world.in_session("a") == []
    assert any(isinstance(each.what, Declined) and "cluster two" in each.what.why for each in world.sent)


def test_rule_17_a_node_that_is_no_member_is_refused() -> None:
    """It is told which members there are."""
    world = Cluster("a", "b", start_wait_s=1)
    world.start("a")
    world.start("x", peers={"a": "a"})
    world.settle(5)
    assert world["x"].life.phase is Phase.STARTING
    assert any("its members are a, b" in each.what.why for each in world.sent if isinstance(each.what, Declined))


def test_rule_17_the_openers_of_a_copy_are_few() -> None:
    """Peers that come and go do not fill the memory of those who stay."""
    world = cluster("a", "b", "c")
    process = world.processes["b"]
    for number in range(100):
        asked = world["c"]._open_copy("a", str(number))
        answer = process.node.holder.answer(process.latest, asked)
        assert isinstance(answer, Opened)
        assert asked.role is Role.COPY
    assert len(process.node.holder.held["a"]._admissions) <= 16
    assert isinstance(process.node.holder.answer(process.latest, Ask("a", "dqtw")), Asked)


def test_rule_17_who_starts_does_not_call_the_message_of_a_member_unknown_that_only_its_peers_know() -> None:
    """It has yet to hear which members there are."""
    world, id = c_holds_a_message_and_a_has_died()
    opened = world.hold(Opened, by="a", at="b")
    world.start("a", peers={"b": "b"}, copies=2)
    ack = world.ack("a", id)
    world.settle(1)
    assert ack.code == "starting"
    opened.open()
    world.settle(1)
    ack = world.ack("a", id)
    assert ack.code == "owner_down"


def test_rule_17_who_has_compared_copies_and_is_gone_costs_nothing() -> None:
    """A hundred thousand records of keys were kept for each, in case that it would ask once more."""
    world = cluster("a", "b", "c")
    holder, now = world["c"].holder, world.processes["c"].latest
    held = holder.held["a"]
    [owners] = held._admissions
    for boot in range(10):
        opened = holder.answer(now, Open("a", Role.COPY, "dqtw", "b", f"{boot}", "", "n", 1, world.members, {}))
        assert isinstance(opened, Opened)
    assert len(held._admissions) == 11
    world.settle(11)
    assert list(held._admissions) == [owners]


def test_rule_17_a_member_that_only_a_peer_knows_is_known_while_that_is_started_again() -> None:
    """Until the peer's new process has told its members, what its last one told is the best that is known."""
    world, id = c_holds_a_message_and_a_has_died()
    world.start("a", peers={"b": "b"}, copies=2)
    world.settle(5)
    assert world["a"].life.is_serving
    world.hold(Opened, by="a", at="b")
    world.kill("b")
    world.start("b")
    world.settle(1.5)
    ack = world.ack("a", id)
    assert ack.code == "owner_down"
