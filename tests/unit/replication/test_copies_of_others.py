"""Rule 14: peers bring the copies of a third node's queue together, also while that is away."""

from attrs import evolve

from dqtw.core.links.peer_messages import Delta, Open, Role
from dqtw.core.model.message import Message, MessageId

from .cluster import Cluster, cluster, keeping

old = "01HF0000000000000000000000"


def copy_opens(world: Cluster, queue: str, since: int = 0) -> list[tuple[str, str]]:
    return [
        (each.asker.address, each.address)
        for each in world.sent[since:]
        if isinstance(each.what, Open) and each.what.role is Role.COPY and each.what.queue == queue
    ]


def test_rule_14_a_node_that_starts_gets_the_copy_of_a_dead_owner_from_its_peers() -> None:
    """The messages of a dead node are held by as many as can hold them, also after more restarts."""
    world = keeping("a", "b", "c")
    world.kill("a")
    for name in ("c", "b"):
        world.kill(name)
        world.start(name)
        world.settle(10)
        assert world.bodies(name, "a") == [b"kept"]
    world.start("a")
    world.settle(5)
    assert world.get("a").bodies == [b"kept"]


def test_rule_14_a_dead_owners_copies_are_spread_among_the_survivors() -> None:
    """What only one of them had confirmed is soon with all of them, without a restart."""
    world = cluster("a", "b", "c", "d", copies=2)
    for peer in ("c", "d"):
        world.hold(Delta, by="a", at=peer, when=lambda delta: bool(delta.put))
    push = world.push("a", b"only b has it")
    world.settle()
    assert push.code == "Pushed"
    world.kill("a")
    world.settle(5)
    assert [world.bodies(at, "a") for at in ("b", "c", "d")] == [[b"only b has it"]] * 3


def test_rule_14_what_a_third_node_brings_later_makes_the_copies_unequal_again() -> None:
    """Who leaves must not count on a peer for what came in after the two were equal."""
    world = cluster("a", "b", "c")
    world.kill("a")
    world.settle(6)
    exchanges, peer = world["b"].exchanges, world["b"].peers["c"]
    assert exchanges.is_equal(world.now, "a", peer, 0.0)
    held = world["b"].holder.held["a"]
    held.copy.put(MessageId("a", old, 1), Message(b"late"))
    held.changed_elsewhere()
    assert not exchanges.is_equal(world.now, "a", peer, 0.0)
    world.settle(1)
    assert exchanges.is_equal(world.now, "a", peer, 0.0)
    assert world.bodies("c", "a") == [b"late"]


def test_rule_14_an_owner_that_is_there_and_has_a_backlog_is_not_disturbed_by_an_exchange_of_its_peers() -> None:
    """What they would find is on its way to both; its session would end, and pushes be refused."""
    world = cluster("a", "b", "c")
    world.settle(1)
    since = len(world.sent)
    for _ in range(4):
        world["b"].holder.held["a"].in_sync = False
        world.settle(0.3)
    assert copy_opens(world, "a", since) == []


def test_rule_14_an_owner_that_comes_meanwhile_is_not_disturbed_by_an_exchange_that_has_begun() -> None:
    """What it tells one peer first, that must not tell another before the owner does: a session would end for it."""
    world = cluster("a", "b", "c", copies=2)
    world.kill("a")
    opens = world.hold(Open, by="b", at="c", when=lambda each: each.role is Role.COPY and each.queue == "a")
    world.settle(4)
    assert opens.items
    world.start("a")
    world.settle(1)
    assert world.in_session("a") == ["b", "c"]
    deltas = world.hold(Delta, by="a", at="c")
    assert world.push("a", b"new").outcome is None
    world.settle(0.1)
    opens.open()
    deltas.open()
    world.settle(0.1)
    assert world.bodies("c", "a") == [b"new"]
    assert not [each for _, each in world.events if "out of session" in each.what and each.facts["peer"] == "c"]


def test_rule_14_both_ways_what_either_has_removed_is_removed_at_both() -> None:
    """The same join as with an owner: removals win over messages, in both directions."""
    world = cluster("a", "b", "c", copies=1)
    pushes = [world.push("a", b"%d" % n) for n in range(4)]
    world.settle()
    world.kill("a")
    world.copy("b", "a").remove(pushes[0].id)
    world.copy("c", "a").remove(pushes[1].id)
    world.copy("b", "a").put(MessageId("a", old, 1), Message(b"b has it"))
    world.copy("c", "a").put(MessageId("a", old, 2), Message(b"c has it"))
    world.settle(5)
    for at in ("b", "c"):
        assert world.bodies(at, "a") == [b"b has it", b"c has it", b"2", b"3"]
        assert all(world.copy(at, "a").knows_removed(push.id) for push in pushes[:2])


def test_rule_14_when_a_link_comes_up_the_copies_of_an_absent_owner_are_compared() -> None:
    """Two halves of a cluster that was split hold the same as soon as they meet."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("b", "c")
    world.cut("a", "c")
    push = world.push("a", b"kept")
    world.settle()
    assert push.code == "Pushed"
    world.settle(8)
    world.kill("a")
    world.heal()
    world.settle(7)
    assert world.bodies("c", "a") == [b"kept"]


def test_rule_14_while_an_owner_is_away_the_copies_are_compared_again_and_again() -> None:
    """What comes to one of them late, from a process that leaves, comes to the others too."""
    world = cluster("a", "b", "c", copies=2)
    world.kill("a")
    world.settle(12)
    world.copy("b", "a").put(MessageId("a", old, 1), Message(b"late"))
    world.settle(7)
    assert world.bodies("c", "a") == [b"late"]


def test_rule_14_not_before_the_owner_was_silent_for_3_seconds() -> None:
    """A short absence of an owner costs its peers nothing."""
    world = cluster("a", "b", "c", copies=2)
    world.settle(3)
    since = len(world.sent)
    world.pause("a")
    world.settle(2.5)
    assert copy_opens(world, "a", since) == []
    world.settle(4)
    assert set(copy_opens(world, "a", since)) >= {("b", "c")} or set(copy_opens(world, "a", since)) >= {("c", "b")}


def test_rule_14_while_all_is_well_peers_compare_nothing() -> None:
    """The owner tells everybody; peers do not do it once more."""
    world = cluster("a", "b", "c")
    world.settle(5)
    since = len(world.sent)
    for _ in range(5):
        world.push("a")
        world.settle(5)
    assert not [queue for queue in "abc" if copy_opens(world, queue, since)]


def test_rule_14_nobody_but_the_owner_calls_a_copy_complete() -> None:
    """Equal with a peer is not in sync: a copy that only peers have filled does not count for a start."""
    world = keeping("a", "b", "c", copies=2)
    world.kill("a")
    world.settle(1)
    world.kill("c")
    world.start("c", start_wait_s=5)
    world.settle(12)
    held = world["c"].holder.held["a"]
    assert world.bodies("c", "a") == [b"kept"]
    assert (held.in_sync, held.synced_once) == (False, False)


def test_rule_14_nobody_can_open_as_the_owner_of_anothers_queue() -> None:
    """A mistaken or forged open changes nothing."""
    world = cluster("a", "b", "c")
    held = world["c"].holder.held["a"]
    before = (held.greatest, held.owner_boot, held.in_sync)
    open_ = world["b"].open_request("nonce")
    for forged in (
        evolve(open_, queue="a"),
        evolve(open_, queue="c"),
        evolve(open_, queue="c", node="c"),
        evolve(open_, node="x"),
        evolve(open_, queue="x", role=Role.COPY),
        evolve(open_, queue="x", node="x"),
    ):
        answer = world["c"].holder.answer(world.processes["c"].latest, forged)
        assert type(answer).__name__ == "Declined", forged
    assert (held.greatest, held.owner_boot, held.in_sync) == before


def test_rule_14_a_peer_that_restarted_unnoticed_gets_the_copy_anew() -> None:
    """No request to it failed; that it is another process is seen in its answers."""
    world = keeping("a", "b", "c", copies=2)
    world.kill("a")
    world.settle(12)
    world.hold(Open, by="b", when=lambda asked: asked.queue == "a")
    world.kill("b")
    world.start("b")
    world.settle(1.5)
    assert world.bodies("b", "a") == [b"kept"]


def test_rule_14_an_exchange_that_breaks_off_is_taken_up_again() -> None:
    """A lost request delays the copies, and no more."""
    world = cluster("a", "b", "c", copies=2)
    world.hold(Delta, by="a", at="c", when=lambda delta: bool(delta.put))
    world.push("a", b"kept")
    world.settle()
    world.kill("a")
    gate = world.hold(Open, when=lambda asked: asked.role is Role.COPY)
    world.settle(8)
    gate.items.clear()
    assert world.bodies("c", "a") == []
    gate.open()
    world.settle(10)
    assert world.bodies("c", "a") == [b"kept"]
