"""Rules 1 to 3 and 6 to 8: what a waiting push is, what a session is worth, how copies are brought together."""

import gc
import weakref
from collections.abc import Iterable

import pytest

from dqtw.core.lifecycle.life import Phase
from dqtw.core.links.peer_messages import (
    Applied,
    Asked,
    Delta,
    Fetch,
    Fetched,
    NoSession,
    Open,
    Opened,
    Paged,
    Put,
    Role,
)
from dqtw.core.model.copy import Copy, digest_ints_max
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import Message, MessageId
from dqtw.core.replication.session import Session, chunk_messages_max

from .cluster import Cluster, Gate, cluster, keeping

old = "01HF0000000000000000000000"
page_ids = 8_400  # every second one removed: more than a page of a digest can tell


def keep(copy: Copy, count: int, *, removed: Iterable[int] = ()) -> list[MessageId]:
    """Let a copy hold messages of an earlier incarnation; what a dead owner left behind."""
    ids = [MessageId(copy.queue, old, n) for n in range(1, count + 1)]
    gone = set(removed)
    for id in ids:
        if id.n not in gone:
            copy.put(id, Message(b"old %d" % id.n))
    copy.gone(IdSet.of(copy.queue, ids) - copy.live_ids)
    return ids


def deltas(world: Cluster, by: str, at: str, since: int = 0) -> list[Delta]:
    return [
        each.what
        for each in world.sent[since:]
        if isinstance(each.what, Delta) and (each.asker.address, each.address) == (by, at)
    ]


def first_id(world: Cluster, at: str) -> MessageId:
    return MessageId(world[at].settings.node, world[at].incarnation, 1)


# Rule 1: a waiting push is live.


def test_rule_01_a_push_that_waits_for_its_copies_is_live_counts_and_is_hidden_from_workers() -> None:
    """The slot is taken at once; nobody gets the message before its push is answered."""
    world = cluster("a", "b", size=1)
    gate = world.hold(Applied, by="a")
    push = world.push("a", b"one")
    world.settle()
    id = first_id(world, "a")
    assert id in world.copy("a", "a").live
    assert world["a"].stats(4096)["waiting"] == 1
    get, second = world.get("a"), world.push("a", b"two")
    world.settle()
    assert (push.code, get.bodies, second.code) == ("", [], "full")
    gate.open()
    assert push.id == id
    assert world.get("a").bodies == [b"one"]


def test_rule_01_a_withdrawal_is_a_removal_like_any_other_and_its_id_is_never_used_again() -> None:
    """A push that was taken back is gone in every copy, and the next one gets another id."""
    world = cluster("a", "b", "c", push_timeout_s=1)
    gate = world.hold(Applied, by="a", at="c")
    world.push("a", b"withdrawn")
    world.settle(1.5)
    id = first_id(world, "a")
    assert world.copy("a", "a").knows_removed(id)
    assert world.copy("b", "a").knows_removed(id)
    gate.open()
    assert world.copy("c", "a").knows_removed(id)
    push = world.push("a", b"next")
    world.settle()
    assert (push.id.incarnation, push.id.n) == (id.incarnation, 2)


def test_rule_01_a_peer_that_comes_into_session_is_sent_what_waits() -> None:
    """The digest of the peer is compared with all that is live here, what waits too."""
    world = cluster("a", "b", "c", copies=3, push_timeout_s=20)
    gate = world.hold(Applied, by="a", at="c")
    push = world.push("a")
    world.settle(0.1)
    world.kill("b")
    world.start("b")
    gate.open()
    world.settle(3)
    assert push.code == "Pushed"
    assert world.bodies("b", "a") == [b"x"]


# Rule 2: sessions.


def test_rule_02_each_open_gets_a_random_token_of_128_bits() -> None:
    """No two sessions can be taken for one another."""
    world = cluster("a", "b", "c")
    world.kill("c")
    world.start("c")
    world.settle(2)
    tokens = [each.what.token for each in world.sent if isinstance(each.what, Opened)]
    assert len(set(tokens)) == len(tokens) >= 8
    assert all(len(bytes.fromhex(token)) == 16 for token in tokens)
    assert all(len({token[at] for token in tokens}) > 1 for at in range(32))


def test_rule_02_a_peer_forgets_its_tokens_when_it_restarts_and_refuses_unknown_ones() -> None:
    """An owner never takes an empty peer for the one that held everything."""
    world = keeping("a", "b")
    world.kill("b")
    world.start("b")
    push = world.push("a", b"new")
    since = len(world.sent)
    delta = world.hold(Delta, by="a", at="b")
    assert not delta.items
    world.settle()
    assert push.code == ""
    refused = [each for each in world.sent[:] if isinstance(each.what, NoSession) and each.asker.address == "a"]
    assert refused
    assert any(isinstance(each.what, Open) and each.asker.address == "a" for each in world.sent[since:])
    delta.open()
    world.settle(2)
    assert push.code == "Pushed"
    assert world.bodies("b", "a") == [b"kept", b"new"]


@pytest.mark.parametrize(
    "echo", [{"token": "0" * 32}, {"request": 99}, {"request": 1}, {"node": "c"}, {"boot": "0" * 32, "token": "1" * 32}]
)
def test_rule_02_an_answer_counts_only_if_it_echoes_what_was_asked(echo: dict[str, object]) -> None:
    """A proxy that mixes answers up makes no push look replicated."""
    world = cluster("a", "b")
    world.settle(3)
    gate = world.hold(Applied, by="a", at="b")
    push = world.push("a")
    world.settle()
    gate.alter(**echo)
    assert (push.code, world.in_session("a")) == ("", [])
    gate.open()
    world.settle(1)
    assert push.code == "Pushed"


def test_rule_02_an_answer_of_another_process_of_the_peer_does_not_count() -> None:
    """The peer was restarted in between: what its former process confirmed is worth nothing now."""
    world = cluster("a", "b")
    gate = world.hold(Applied, by="a", at="b")
    push = world.push("a")
    world.settle()
    gate.alter(boot="0" * 32)
    assert (push.code, world.in_session("a")) == ("", [])


def test_rule_02_an_answer_counts_for_the_one_request_in_flight_once() -> None:
    """A repeated answer is not taken for that of the next request."""
    world = cluster("a", "b")
    gate = world.hold(Applied, by="a", at="b")
    world.push("a", b"one")
    world.settle()
    [answer] = gate.items
    gate.let()
    push = world.push("a", b"two")
    world.settle()
    world.deliver(answer)
    assert push.code == ""
    assert world.in_session("a") == ["b"]
    gate.open()
    assert push.code == "Pushed"


def test_rule_02_an_open_answer_serves_once() -> None:
    """The token of an older open is not taken for that of a newer one, even when the proxy hands it out again."""
    world = Cluster("a", "b")
    world.start("a")
    world.start("b")
    gate = world.hold(Opened, by="a", at="b")
    world.settle(1.0)
    first = gate.items[-1].what
    gate.items.clear()
    world.settle(5.0)
    assert len(gate.items) == 1
    since = len(world.sent)
    gate.alter(nonce=first.nonce, token=first.token)
    assert world.in_session("a") == []
    assert deltas(world, "a", "b", since) == []
    gate.open()
    world.settle(1)
    assert world.in_session("a") == ["b"]


def test_rule_02_a_request_that_times_out_ends_the_session_and_nothing_is_retried_inside_it() -> None:
    """After 5 s without an answer the next request opens anew; the late answer is worth nothing."""
    world = cluster("a", "b", push_timeout_s=20)
    gate = world.hold(Applied, by="a", at="b")
    push = world.push("a")
    world.settle(4.9)
    assert world.in_session("a") == ["b"]
    since = len(world.sent)
    world.settle(0.101)
    assert world.in_session("a") == []
    gate.let()
    assert (push.code, world.in_session("a")) == ("", [])
    gate.open()
    world.settle(1)
    kinds = [type(each.what) for each in world.sent[since:] if each.asker.address == "a" and not each.is_answer]
    assert kinds[0] is Open
    assert (push.code, world.in_session("a")) == ("Pushed", ["b"])


def test_rule_02_a_peer_that_is_another_node_than_configured_is_refused() -> None:
    """A wrong address in the configuration: the push does not count that node twice, and the operator is told."""
    world = Cluster("a", "b", "c", start_wait_s=5)
    world.start("a", peers={"b": "c", "c": "c"})
    world.start("c")
    world.settle(8)
    assert world.in_session("a") == ["c"]
    assert "c, not b" in world["a"].peers["b"].error
    assert world.push("a").code == "unreplicated"


def test_rule_02_a_peer_that_is_the_same_process_as_another_peer_is_refused() -> None:
    """One process behind two member ids holds one copy, not two."""
    world = cluster("a", "b", "c")
    boot = world["c"].boot
    world.kill("b")
    world.settle(1)
    gate = world.hold(Asked, by="a", at="b")
    opened = world.hold(Opened, by="a", at="b")
    world.start("b")
    world.settle(0.5)
    (gate if gate.items else opened).alter(boot=boot)
    assert "b" not in world.in_session("a")
    assert "same process" in world["a"].peers["b"].error


# Rule 3: what a session owes.


def test_rule_03_one_request_is_in_flight_and_the_next_carries_all_that_came_up_meanwhile() -> None:
    """A slow peer makes batches larger, not queues of requests longer."""
    world = cluster("a", "b")
    gate = world.hold(Applied, by="a", at="b")
    since = len(world.sent)
    pushes = [world.push("a", b"%d" % n) for n in range(5)]
    world.settle(0.5)
    assert [len(each.put) for each in deltas(world, "a", "b", since)] == [1]
    gate.let()
    assert [len(each.put) for each in deltas(world, "a", "b", since)] == [1, 4]
    assert [each.code for each in pushes] == ["Pushed", "", "", "", ""]
    gate.open()
    assert [each.code for each in pushes] == ["Pushed"] * 5


def test_rule_03_first_removals_then_new_pushes_then_the_backlog_in_chunks() -> None:
    """Catching up a peer with a long backlog keeps no client waiting: new pushes overtake it."""
    world = cluster("a", "b", copies=1, max_message=4 * 2**20)
    world.kill("b")
    world.settle(7)
    for n in range(4):
        world.push("a", b"%d" % n * 600_000)
        world.settle()
    world.push("a", b"h" * (3 * 2**20))
    world.settle()
    gate = world.hold(Opened, by="a", at="b")
    world.start("b")
    world.settle(1.5)
    world.push("a", b"fresh")
    world.ack("a", first_id(world, "a"))
    world.settle()
    since = len(world.sent)
    gate.open()
    told = [each for each in deltas(world, "a", "b", since) if each.put or each.gone]
    assert [id.n for id in told[0].gone] == [1]
    assert [[put.id.n for put in each.put] for each in told] == [[6, 2, 3], [4, 5]]
    assert world.copy("b", "a").live.keys() == world.copy("a", "a").live.keys()


def test_rule_03_a_message_larger_than_a_chunk_travels_alone() -> None:
    """However large a message, it gets across."""
    copy = Copy("a")
    session = Session(copy, "token")
    for n in (1, 2):
        copy.put(MessageId("a", old, n), Message(b"x" * 2**21))
        session.note_fresh(MessageId("a", old, n))
    assert [len(session.take_chunk(0).put) for _ in range(3)] == [1, 1, 0]


def test_rule_03_a_chunk_has_a_bound_in_messages_too() -> None:
    """A million tiny messages do not make one request."""
    copy = Copy("a")
    session = Session(copy, "token")
    for n in range(1, chunk_messages_max + 2):
        copy.put(MessageId("a", old, n), Message(b""))
    session.note_recovered(copy.live_ids)
    assert [len(session.take_chunk(0).put) for _ in range(3)] == [chunk_messages_max, 1, 0]


def test_rule_03_each_id_is_told_in_its_state_at_the_time_of_sending() -> None:
    """What came and went while the peer was slow is told as removed, and never travels."""
    world = cluster("a", "b", "c", copies=2)
    gate = world.hold(Applied, by="a", at="c")
    world.push("a", b"in flight")
    world.settle()
    short = world.push("a", b"short lived")
    world.settle()
    world.ack("a", short.id)
    world.settle()
    since = len(world.sent)
    gate.open()
    [delta] = [each for each in deltas(world, "a", "c", since) if each.put or each.gone]
    assert (list(delta.gone), delta.put) == ([short.id], ())


def test_rule_03_what_an_owner_removes_before_it_was_sent_is_told_as_removed() -> None:
    """A request never skips an id that the peer is owed."""
    copy = Copy("a")
    session = Session(copy, "token")
    [id] = keep(copy, 1)
    session.note_recovered(copy.live_ids)
    copy.remove(id)
    session.note_gone(id)
    chunk = session.take_chunk(0)
    assert (list(chunk.gone), chunk.put) == ([id], ())


def test_rule_03_a_peer_knows_what_is_neither_owed_nor_in_flight() -> None:
    """`copies` in a push's answer counts who holds it now."""
    world = cluster("a", "b", "c", copies=2)
    gate = world.hold(Applied, by="a", at="c")
    first, second = world.push("a"), world.push("a")
    world.settle()
    links = world["a"].owner.links
    assert [links["b"].knows(first.id), links["c"].knows(first.id), links["c"].knows(second.id)] == [True, False, False]
    assert "copies=2" in str(first.outcome)
    gate.let()
    assert [links["c"].knows(first.id), links["c"].knows(second.id)] == [True, False]
    gate.open()
    assert links["c"].knows(second.id)


def test_rule_03_a_peer_that_is_not_in_session_knows_nothing() -> None:
    """The duplicate of a push answers with the copies of now, not with those of then."""
    world = cluster("a", "b", "c", copies=2)
    push = world.push("a")
    world.settle()
    world.kill("b")
    world.settle(6)
    assert world["a"].owner.links.known_by(push.id) == 2


def test_rule_03_what_is_owed_is_kept_as_ids_and_costs_no_message() -> None:
    """A slow peer does not keep removed messages in memory."""
    world = cluster("a", "b", "c", copies=2)
    world.hold(Applied, by="a", at="c")
    world.push("a", b"in flight")
    world.settle()
    second = world.push("a", b"second")
    world.settle()
    message = weakref.ref(world.copy("a", "a").live[second.id])
    world.ack("a", second.id)
    world.settle()
    for address in ("b", "a"):
        world.copy(address, "a").gone(IdSet.of("a", [second.id]))
    gc.collect()
    assert message() is None


def test_rule_03_an_absent_peer_is_owed_nothing() -> None:
    """What a peer misses while it is away is found out when it comes back."""
    world = cluster("a", "b", "c", copies=2)
    world.kill("c")
    world.settle(6)
    for _ in range(20):
        world.push("a")
    world.settle()
    assert world["a"].owner.links["c"].unacknowledged == 0
    assert world["a"].owner.links["c"].session is None


# Rule 6: the exchange is symmetric.


def test_rule_06_what_the_peer_knows_removed_is_removed_here_before_anything_is_fetched() -> None:
    """A message that was acknowledged is not delivered while the rest is still being rescued."""
    world = Cluster("a", "b")
    ids = keep(world_b := world_copy(world, "b", "a"), 3, removed=(1,))
    gate = world.hold(Fetched, by="a", at="b")
    world.start("a")
    world.settle(0.5)
    assert [world.copy("a", "a").knows_removed(id) for id in ids] == [True, False, False]
    assert list(world["a"].owner.links["b"].session.need) == ids[1:]  # type: ignore[union-attr]
    gate.open()
    assert world.bodies("a", "a") == [b"old 2", b"old 3"]
    assert world_b.live.keys() == world.copy("a", "a").live.keys()


def world_copy(world: Cluster, at: str, queue: str) -> Copy:
    """Start a node; its copy of a queue."""
    world.start(at)
    return world.copy(at, queue)


def test_rule_06_everything_in_which_the_peer_differs_is_told_to_it() -> None:
    """After the exchange both hold the same: what either removed is removed, what either held is held."""
    world = Cluster("a", "b", "c", copies=2)
    keep(world_copy(world, "b", "a"), 4, removed=(1, 2))
    ids = keep(world_copy(world, "c", "a"), 3, removed=(3,))
    world.start("a")
    world.settle(2)
    for address in ("a", "b", "c"):
        assert list(world.copy(address, "a").live) == [ids[0]._replace(n=4)]
        assert [world.copy(address, "a").knows_removed(id) for id in ids] == [True] * 3


def test_rule_06_pushes_go_on_while_messages_are_fetched() -> None:
    """Rescue and new work share the link."""
    world = Cluster("a", "b", "c", copies=2, start_wait_s=4)
    world.start("a")
    world.start("c")
    world.settle(5)
    world.start("b", start_wait_s=1)
    keep(world.copy("b", "a"), 3)
    gate = world.hold(Fetched, by="a", at="b")
    world.settle(1.5)
    assert len(gate.items) == 1
    world.hold(Applied, by="a", at="c")
    push = world.push("a", b"new")
    world.settle()
    gate.let()
    assert push.code == "Pushed"
    assert len(world.copy("b", "a").live) == 4


def many_needed(*names: str) -> tuple[Cluster, list[MessageId]]:
    """An owner that serves meets peers that hold large messages which it has never seen."""
    world = Cluster("a", "b", "c", copies=1, start_wait_s=4, max_message=2**20)
    world.start("a")
    world.settle(5)
    ids = [MessageId("a", old, n) for n in range(1, 5)]
    for name in names:
        copy = world_copy(world, name, "a")
        for id in ids:
            copy.put(id, Message(b"x" * 2**20))
    return world, ids


def test_rule_06_a_long_rescue_does_not_hold_up_pushes() -> None:
    """Between two fetches goes what came up meanwhile."""
    world, _ = many_needed("b")
    gate = world.hold(Fetched, by="a", at="b")
    world.settle(1.5)
    world.push("a", b"new")
    world.settle()
    assert len(world.copy("b", "a").live) == 4
    gate.let()
    assert gate.items
    assert b"new" in world.bodies("b", "a")


def test_rule_06_a_copy_from_which_something_is_still_to_be_fetched_is_not_called_in_sync() -> None:
    """Its holder may not leave, thinking that the owner has it all."""
    world, ids = many_needed("b")
    gate = world.hold(Fetched, by="a", at="b")
    world.settle(1.5)
    for _ in ids:
        assert not world["b"].holder.held["a"].in_sync
        world.settle(1.2)
        gate.let()
    world.settle(1.2)
    assert world["b"].holder.held["a"].in_sync


def test_rule_06_what_one_peer_has_given_is_not_fetched_from_another() -> None:
    """A rescue moves each message about once, however many hold it."""
    world, ids = many_needed("b", "c")
    gate = world.hold(Fetched, by="a", at="c")
    world.settle(2)
    assert list(world.copy("a", "a").live) == ids
    assert len(gate.items) == 1
    gate.open()
    world.settle(2)
    assert [type(each.what) for each in world.sent if each.address == "c"].count(Fetched) == 1


def test_rule_06_what_one_peer_has_given_is_not_told_to_another_that_has_it() -> None:
    """Nor does it travel back to those who hold it already."""
    world, ids = many_needed("b", "c")
    world.settle(6)
    assert list(world.copy("a", "a").live) == ids
    assert world["a"].owner.links.needed == 0
    assert not any(each.put for name in ("b", "c") for each in deltas(world, "a", name, 0))


def test_rule_06_a_digest_is_read_as_far_as_the_own_copy_can_be_compared_in_one_go() -> None:
    """A peer that has nothing tells that in one page; a queue with many holes is not compared with it in one turn."""
    copy = Copy("a")
    numbers = range(1, 2 * digest_ints_max, 2)
    for n in numbers:
        copy.put(MessageId("a", old, n), Message(b""))
    session = Session(copy, "token")
    reads = 0
    while not session.whole:
        before = len(session.backlog)
        session.read(Copy("a").page(session.after))
        assert len(session.backlog) - before <= digest_ints_max
        reads += 1
    assert reads > 1
    assert session.backlog == copy.live_ids


def test_rule_06_removals_of_a_large_queue_are_taken_over_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer tells with two ints that a million messages are gone; to remove them takes a while."""
    monkeypatch.setattr("dqtw.core.replication.session.removals_max", 10)
    mine, theirs = Copy("a"), Copy("a")
    for copy in (mine, theirs):
        keep(copy, 35)
    theirs.gone(theirs.live_ids)
    session = Session(mine, "token")
    parts = []
    while not session.whole:
        parts.append(len(mine.gone(session.read(theirs.page(session.after)).gone)))
    assert parts == [10, 10, 10, 5]
    assert not mine.live


def test_rule_06_what_is_gone_when_it_is_to_be_fetched_is_removed_here() -> None:
    """The peer learned of the removal in between."""
    world = Cluster("a", "b")
    [id] = keep(world_copy(world, "b", "a"), 1)
    gate = world.hold(Fetched, by="a", at="b")
    world.start("a")
    world.settle(0.5)
    gate.alter(put=(), gone=IdSet.of("a", [id]))
    assert world.copy("a", "a").knows_removed(id)
    assert world["a"].life.is_serving


def pages_world() -> tuple[Cluster, list[MessageId]]:
    """A peer whose digest takes more than one page, and its owner, about to start."""
    world = Cluster("a", "b")
    ids = keep(world_copy(world, "b", "a"), page_ids, removed=range(1, page_ids, 2))
    return world, ids


def test_rule_06_pages_of_a_digest_speak_for_their_range_only() -> None:
    """A digest too large for one answer comes in parts, and nothing is concluded from a part about the rest."""
    world, ids = pages_world()
    gate = world.hold(Paged, by="a", at="b")
    world.start("a", size=page_ids)
    world.settle()
    session = world["a"].owner.links["b"].session
    assert session is not None
    assert not session.whole
    assert session.after is not None
    upto = session.after[1]
    assert world.copy("a", "a").seen.last(old) < ids[-1].n
    assert all(id.n <= upto for id in session.need)
    assert not session.gones
    assert world.in_session("a") == []
    gate.open()
    world.settle(1)
    assert world.copy("a", "a").live.keys() == world.copy("b", "a").live.keys()
    assert world["a"].life.is_serving


def test_rule_06_a_page_of_another_part_than_was_asked_for_is_refused() -> None:
    """A mixed up answer can't make an owner believe that the peer lacks or has what it does not."""
    world, _ = pages_world()
    gate = world.hold(Paged, by="a", at="b")
    world.start("a")
    world.settle()
    first = next(each.what.digest for each in world.sent if isinstance(each.what, Opened) and each.asker.address == "a")
    gate.alter(digest=first)
    assert world["a"].owner.links["b"].session is None
    gate.open()
    world.settle(1)
    assert world["a"].life.is_serving


def test_rule_06_what_happens_while_pages_are_read_is_told_too() -> None:
    """What is pushed or acknowledged between two pages reaches the peer, on whichever page it was."""
    world, ids = pages_world()
    world.start("a", start_wait_s=1, size=100_000)
    world.settle(1)
    world.kill("b")
    world.settle(7)
    keep(world_copy(world, "b", "a"), page_ids, removed=range(1, page_ids, 2))
    gate = world.hold(Paged, by="a", at="b")
    world.settle(2)
    assert gate.items
    acks = [world.ack("a", id) for id in (ids[1], ids[-1])]
    gate.open()
    world.settle(1)
    assert [ack.code for ack in acks] == ["Done", "Done"]
    assert [world.copy("b", "a").knows_removed(id) for id in (ids[1], ids[-1])] == [True, True]
    assert world.copy("a", "a").live.keys() == world.copy("b", "a").live.keys()


def test_rule_06_numbers_that_were_never_given_are_refused_and_never_applied() -> None:
    """A peer that claims to know ids of the future makes no message vanish before it was pushed."""
    world = cluster("a", "b")
    world.push("a")
    world.settle()
    future = MessageId("a", world["a"].incarnation, 7)
    world.copy("b", "a").gone(IdSet.of("a", [future]))
    world["b"].holder.held["a"].changed_elsewhere()
    world.settle(3)
    assert future not in world.copy("a", "a").seen
    assert "never given" in world["a"].peers["b"].error
    assert world.in_session("a") == []


# Rule 7: the bound.


def bound_world(count: int, size: int) -> tuple[Cluster, list[MessageId]]:
    """An owner that serves alone, and meets a peer that holds messages of it; the fetch has no answer yet."""
    world = Cluster("a", "b", "c", copies=1, size=size, start_wait_s=4)
    world.start("a")
    world.settle(5)
    ids = keep(world_copy(world, "b", "a"), count)
    return world, ids


def test_rule_07_what_a_peer_holds_and_is_on_its_way_here_counts() -> None:
    """A queue never takes in more than its size because it had not yet fetched the rest."""
    world, _ = bound_world(2, 3)
    gate = world.hold(Fetched, by="a", at="b")
    world.settle(2)
    first, second = world.push("a"), world.push("a")
    world.settle()
    assert (first.code, second.code) == ("Pushed", "full")
    gate.open()
    assert len(world.copy("a", "a").live) == 3
    assert world.push("a").code == "full"


def test_rule_07_a_message_that_two_peers_hold_counts_once() -> None:
    """No slot is lost because every peer has the message."""
    world, _ = bound_world(2, 3)
    keep(world_copy(world, "c", "a"), 2)
    world.hold(Fetched, by="a")
    world.settle(2)
    assert world["a"].owner.links.needed == 2
    push = world.push("a")
    world.settle()
    assert push.code == "Pushed"


def test_rule_07_what_turns_out_to_be_removed_keeps_no_place() -> None:
    """One peer holds messages that another knows as removed: before they are fetched, their places are free."""
    world, ids = bound_world(2, 2)
    world.cut("b", "c")
    world_copy(world, "c", "a").gone(IdSet.of("a", ids))
    world.hold(Fetched, by="a", at="b")
    gate = world.hold(Opened, by="a", at="c")
    world.settle(2)
    assert world.push("a").code == "full"
    gate.open()
    push = world.push("a")
    world.settle()
    assert push.code == "Pushed"


def test_rule_07_only_rescued_messages_exceed_the_size_and_then_pushes_wait() -> None:
    """Nothing that is recovered is dropped; pushes are refused until the queue is below its size again."""
    world, ids = bound_world(4, 2)
    world.settle(3)
    assert len(world.copy("a", "a").live) == 4
    for id, code in zip(ids, ["full", "full", "Pushed", "Pushed"], strict=True):
        ack = world.ack("a", id)
        world.settle()
        push = world.push("a")
        world.settle()
        assert (ack.code, push.code) == ("Done", code)


# Rule 8: a copy that changed behind the session's back ends it.


def zombie_world() -> tuple[Cluster, MessageId]:
    """`c` holds a message of `a` that neither `a` nor `b` know, and does not speak with `a`."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.cut("b", "c")
    world.settle(12)
    id = MessageId("a", old, 1)
    world.copy("c", "a").put(id, Message(b"only c has it"))
    return world, id


def test_rule_08_an_exchange_between_peers_ends_the_owners_session_and_the_owner_rescues() -> None:
    """A message that comes to light at a peer is on its owner's queue a moment later."""
    world, id = zombie_world()
    since = len(world.sent)
    world.heal()
    world.cut("a", "c")
    world.settle(8)
    assert id in world.copy("b", "a").live
    assert any(isinstance(each.what, NoSession) and each.asker.address == "a" for each in world.sent[since:])
    assert id in world.copy("a", "a").live
    assert world.get("a").bodies == [b"only c has it"]


def test_rule_08_what_a_peer_fetches_from_another_ends_the_session_too() -> None:
    """Whichever of the two peers began: here the owner's peer is leaving, and looks for what others have."""
    world, id = zombie_world()
    world.hold(Open, by="c", at="b", when=lambda asked: asked.role is Role.COPY)
    world.heal()
    world.cut("a", "c")
    world.settle(8)
    assert id not in world.copy("b", "a").live
    world.hold(Applied, by="b")
    world.push("b", b"keeps b from leaving")
    world.drain("b")
    world.settle(2)
    assert id in world.copy("a", "a").live


def test_rule_08_a_removal_that_a_peer_learns_from_another_ends_the_session_too() -> None:
    """Whichever of the two peers began."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.cut("b", "c")
    push = world.push("a")
    world.settle(12)
    world.copy("c", "a").remove(push.id)
    world.hold(Open, by="c", at="b", when=lambda asked: asked.role is Role.COPY)
    world.heal()
    world.cut("a", "c")
    world.settle(8)
    world.hold(Applied, by="b")
    world.push("b", b"keeps b from leaving")
    world.drain("b")
    world.settle(2)
    assert world.copy("a", "a").knows_removed(push.id)


def test_rule_08_a_removal_that_comes_to_light_reaches_the_owner_too() -> None:
    """A message that was acknowledged at a former owner is not delivered for long."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.cut("b", "c")
    push = world.push("a")
    world.settle(12)
    world.copy("c", "a").gone(IdSet.of("a", [push.id]))
    world.heal()
    world.cut("a", "c")
    world.settle(8)
    assert world.copy("a", "a").knows_removed(push.id)
    assert world.get("a").bodies == []


def test_rule_08_a_quiet_owner_asks_every_second_at_least() -> None:
    """With no traffic at all it is found out within a second that a session is over."""
    world = cluster("a", "b")
    world.settle(5)
    since = len(world.sent)
    world.settle(10)
    assert 9 <= len(deltas(world, "a", "b", since)) <= 11
    world["b"].holder.held["a"].changed_elsewhere()
    since = len(world.sent)
    world.settle(1.01)
    assert any(isinstance(each.what, Opened) and each.asker.address == "a" for each in world.sent[since:])
    assert world.in_session("a") == ["b"]


def test_rule_08_nothing_that_changes_no_copy_ends_a_session() -> None:
    """Peers that compare equal copies leave the owner's session alone."""
    world = cluster("a", "b", "c", copies=2)
    world.push("a")
    world.cut("a", "c")
    world.settle(12)
    since = len(world.sent)
    world.heal()
    world.settle(5)
    assert not [each for each in world.sent[since:] if isinstance(each.what, NoSession) and each.asker.address == "a"]


def test_rule_02_those_who_open_a_copy_do_not_push_its_owner_out() -> None:
    """Peers come and go, each process with a session of its own, while the owner stays."""
    world = cluster("a", "b", "c")
    process = world.processes["c"]
    for number in range(17):
        asked = Open("a", Role.COPY, "dqtw", "b", f"boot{number}", "", "nonce", 1024, ("a", "b", "c"), {})
        process.node.holder.answer(process.latest, asked)
    since = len(world.events)
    world.settle(2)
    assert [event.what for _, event in world.events[since:]] == []


# What comes to be known while a peer's digest is read, page by page.


def reading_of_c(*, live: Iterable[MessageId] = (), removed: Iterable[MessageId] = ()) -> tuple[Cluster, Gate, Gate]:
    """A process of a has read one page of c's digest, and not the next; what b tells of its copy is on its way."""
    world = Cluster("a", "b", "c")
    world.cut("b", "c")
    world.start("b")
    world.start("c")
    keep(world.copy("c", "a"), page_ids, removed=range(2, page_ids, 2))
    for id in live:
        world.copy("b", "a").put(id, Message(b"of b"))
    world.copy("b", "a").gone(IdSet.of("a", removed))
    told_by_b = world.hold(Opened, by="a", at="b", when=lambda opened: opened.digest.seen.queue == "a")
    pages = world.hold(Paged, by="a", at="c")
    world.start("a")
    world.settle(1)
    assert pages.items
    return world, told_by_b, pages


def test_rule_03_a_peer_whose_digest_is_being_read_is_told_of_a_removal_that_comes_meanwhile() -> None:
    """Its page has been read already, and shows the message live."""
    id = MessageId("a", old, 1)
    world, told_by_b, pages = reading_of_c(removed=[id])
    told_by_b.open()
    assert world.copy("a", "a").knows_removed(id)
    pages.open()
    world.settle(4)
    assert world.copy("c", "a").knows_removed(id)


def test_rule_03_a_peer_whose_digest_is_being_read_is_told_of_a_message_that_comes_meanwhile() -> None:
    """Its page has been read already, and does not show the message."""
    id = MessageId("a", "01HE0000000000000000000000", 1)
    world, told_by_b, pages = reading_of_c(live=[id])
    told_by_b.open()
    assert id in world.copy("a", "a").live
    pages.open()
    world.settle(4)
    assert id in world.copy("c", "a").live


def test_rule_07_what_a_peer_is_known_to_hold_counts_while_the_rest_of_its_digest_is_read() -> None:
    """Its messages will need their places, whenever its session begins."""
    world, _, _ = reading_of_c()
    assert world["a"].owner.links.in_session() == []
    assert world["a"].owner.links.needed > 1000


# Rules 5 and 11: what others do with the owner's own copy.


def test_rule_05_a_waiting_push_that_a_leaving_peer_has_fetched_is_in_doubt() -> None:
    """It keeps what it fetched of the owner's own copy out of any session; nobody confirms for it."""
    world = cluster("a", "b", "c", push_timeout_s=1)
    gate = world.hold(Applied, by="a", at="c")
    push = world.push("a", b"waits")
    world.settle(0.1)
    holder, now = world["a"].holder, world.processes["a"].latest
    asked = Open("a", Role.COPY, "dqtw", "b", world["b"].boot, "", "nonce", 1024, ("a", "b", "c"), {})
    opened = holder.answer(now, asked)
    assert isinstance(opened, Opened)
    fetched = holder.answer(now, Fetch("a", opened.token, 1, opened.digest.live))
    assert isinstance(fetched, Fetched)
    assert [put.body for put in fetched.put] == [b"waits"]
    world.settle(1.2)
    gate.open()
    world.settle(1)
    assert push.code == "uncertain"


@pytest.mark.parametrize("is_live", [True, False])
def test_rule_11_an_owner_that_meets_an_id_of_a_greater_incarnation_has_been_replaced(is_live: bool) -> None:
    """Whoever brings it, and whatever became of the message."""
    world = cluster("a", "b")
    id = MessageId("a", "01Z00000000000000000000000", 1)
    process = world.processes["a"]
    if is_live:
        process.node.owner.links.hold(process.latest, (Put(id, b"x", "text/plain", None, 0.0),))
    else:
        process.node.owner.links.remove(IdSet.of("a", [id]))
    process.node.tick(process.latest)
    assert process.node.phase is Phase.FENCED
