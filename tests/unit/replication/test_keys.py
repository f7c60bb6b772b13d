"""Rule 15: a retry with the same key finds the first push, in every copy and for a while after its removal."""

import pytest

from dqtw.core.links.peer_messages import Applied, Delta, Fetch, Fetched, Open, Opened, Page, Paged, Role
from dqtw.core.model.copy import Copy
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.keys import KeyMemory, KeyRecord, body_digest
from dqtw.core.model.message import Message, MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.held_copy import HeldCopy, late_ints_max
from dqtw.core.replication.session import Session, keys_per_request_max

from .cluster import Cluster, cluster, key_at

old = "01HF0000000000000000000000"


def restarted(world: Cluster, name: str = "a") -> None:
    world.kill(name)
    world.settle(4)
    world.start(name)
    world.settle(4)
    assert world[name].life.is_serving


def test_rule_15_a_retry_while_the_first_push_waits_shares_its_outcome() -> None:
    """Through any node: both get the same id, and it is on the queue once."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    gate = world.hold(Applied, by="a", at="c")
    first, here, there = (world.push(at, b"once", key=key) for at in ("a", "a", "b"))
    world.settle()
    assert [first.code, here.code, there.code] == ["", "", ""]
    gate.open()
    assert first.id == here.id == there.id
    assert ["duplicate=True" in str(each.outcome) for each in (first, here, there)] == [False, True, True]
    assert world.bodies("a", "a") == [b"once"]


def test_rule_15_a_key_that_was_withdrawn_is_forgotten() -> None:
    """After `unreplicated` the same push can be made anew, and gets another id."""
    world = cluster("a", "b", "c", push_timeout_s=2)
    key = key_at("a", world)
    gate = world.hold(Applied, by="a", at="c")
    first = world.push("a", b"again", key=key)
    world.settle(2.1)
    gate.open()
    assert first.code == "unreplicated"
    again = world.push("a", b"again", key=key)
    world.settle()
    assert again.id.n == 2
    assert "duplicate=False" in str(again.outcome)
    other = world.push("a", b"other", key=key_at("a", world, 1))
    world.settle()
    assert other.code == "Pushed"


def test_rule_15_a_withdrawal_leaves_no_memory_of_the_key_in_any_copy() -> None:
    """A removal says nothing of a key: a successor takes the retry of a withdrawn push as new."""
    world = cluster("a", "b", "c", push_timeout_s=2)
    key = key_at("a", world)
    gate = world.hold(Applied, by="a", at="c")
    first = world.push("a", b"again", key=key)
    world.settle(2.1)
    gate.open()
    assert first.code == "unreplicated"
    world.settle(1)
    restarted(world)
    again = world.push("a", b"again", key=key)
    world.settle()
    assert again.id.incarnation == world["a"].incarnation
    assert world.get("a").bodies == [b"again"]


@pytest.mark.parametrize("copies", [2, 3])
def test_rule_15_a_retry_that_finds_a_recovered_push_is_told_of_it_only_if_that_can_not_be_taken_back(
    copies: int,
) -> None:
    """`b` holds a push that `a` took back before it died; `c` knows that it was taken back, and is away for now."""
    world = cluster("a", "b", "c", copies=copies, start_wait_s=10)
    key, id = key_at("a", world), MessageId("a", world["a"].incarnation, 1)
    world.kill("a")
    world.copy("b", "a").put(id, Message(b"once", key=key))
    world.copy("c", "a").remove(id)
    world.pause("c")
    world.settle(4)
    world.start("a")
    world.settle(14)
    assert world["a"].life.is_serving
    retry = world.push("a", b"once", key=key)
    world.settle(3)
    world.resume("c")
    world.settle(10)
    assert retry.code == "uncertain"
    assert world.bodies("a", "a") == []
    anew = world.push("a", b"once", key=key)
    world.settle()
    assert anew.id.incarnation == world["a"].incarnation


def test_rule_15_a_retry_that_finds_a_recovered_push_which_all_hold_is_its_duplicate() -> None:
    """With every member in session nobody can take it back any more."""
    world = cluster("a", "b", "c")
    key, id = key_at("a", world), MessageId("a", world["a"].incarnation, 1)
    world.kill("a")
    world.cut("b", "c")  # or c would have it from b
    world.copy("b", "a").put(id, Message(b"once", key=key))
    world.settle(4)
    world.start("a")
    gate = world.hold(Applied, by="a", at="c")
    world.settle(2)
    retry = world.push("a", b"once", key=key)
    world.settle()
    assert (retry.code, len(gate.items)) == ("", 1)
    gate.open()
    assert retry.id == id
    assert "duplicate=True" in str(retry.outcome)


def test_rule_15_a_key_is_known_to_the_successor_while_its_message_is_on_the_queue() -> None:
    """The key travels with the message."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    first = world.push("a", b"once", key=key)
    world.settle()
    restarted(world)
    again = world.push("a", b"once", key=key)
    world.settle()
    assert again.id == first.id
    assert world.bodies("a", "a") == [b"once"]


def test_rule_15_a_key_is_remembered_after_its_message_was_removed_by_all_copies() -> None:
    """The record goes with the removal: a retry after the owner's death is a duplicate still."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    first = world.push("a", b"once", key=key)
    world.settle()
    ack = world.ack("a", first.id)
    world.settle()
    assert ack.code == "Done"
    restarted(world)
    again = world.push("a", b"once", key=key)
    world.settle()
    assert again.id == first.id
    assert world.bodies("a", "a") == []


def test_rule_15_the_record_travels_with_the_removal() -> None:
    """What is acknowledged to the client is remembered by whoever confirmed it."""
    world = cluster("a", "b")
    key = key_at("a", world)
    push = world.push("a", b"once", key=key)
    world.settle()
    since = len(world.sent)
    world.ack("a", push.id)
    world.settle()
    told = [each.what for each in world.sent[since:] if isinstance(each.what, Delta) and each.what.gone]
    assert [[record.key for record in delta.keys] for delta in told] == [[key]]


def test_rule_15_a_peer_that_was_away_learns_the_records_in_the_exchange() -> None:
    """Its memory is as long as that of the others when it has to take part in a start."""
    world = cluster("a", "b", "c", copies=2)
    key = key_at("a", world)
    world.kill("c")
    world.settle(4)
    first = world.push("a", b"once", key=key)
    world.settle()
    world.ack("a", first.id)
    world.settle()
    world.start("c")
    world.settle(5)
    world.kill("b")
    world.kill("a")
    world.settle(3)
    world.start("a", start_wait_s=4)
    world.settle(6)
    again = world.push("a", b"once", key=key)
    assert again.code in ("Pushed", "unreplicated")
    assert again.id == first.id


def test_rule_15_the_records_of_a_dead_owners_queue_are_spread_among_the_survivors() -> None:
    """A peer that started empty meanwhile remembers what the others do."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    push = world.push("a", b"once", key=key)
    world.settle()
    world.ack("a", push.id)
    world.settle()
    world.kill("a")
    world.settle(1)
    world.kill("c")
    world.hold(Open, by="c", when=lambda asked: asked.queue == "a")
    world.start("c")
    world.settle(2)
    assert key in world["c"].holder.held["a"].keys
    world.kill("b")
    world.start("b")
    world.settle(2)
    world.start("a")
    world.settle(4)
    again = world.push("a", b"once", key=key)
    assert again.id == push.id


def test_rule_15_a_record_is_told_though_nothing_else_is_to_be_told() -> None:
    """Two copies that differ in their memory of keys alone are not equal yet."""
    world = cluster("a", "b", "c")
    world.hold(Open, by="c", when=lambda asked: asked.queue == "a")
    world.kill("a")
    memory = world["b"].holder.held["a"].keys
    memory.learn(world.processes["b"].latest, KeyRecord("k", MessageId("a", old, 1), body_digest(b""), 1.0))
    world.settle(6)
    assert "k" in world["c"].holder.held["a"].keys


def test_rule_15_many_records_come_in_parts() -> None:
    """More keys than one request may carry get across, in both directions."""
    count = 2 * keys_per_request_max + 10
    world = Cluster("a", "b")
    world.start("b")
    memory = world["b"].holder.held["a"].keys
    for n in range(count):
        memory.learn(world.processes["b"].latest, KeyRecord(f"k{n}", MessageId("a", old, n + 1), b"d" * 16, 0.0))
    world.start("a")
    world.settle(2)
    assert len(world["a"].owner.keys) == count
    assert [type(each.what) for each in world.sent].count(Page) == 2
    pages = [each.what.keys for each in world.sent if isinstance(each.what, Opened) and each.asker.address == "a"]
    assert max(map(len, pages)) == keys_per_request_max
    world.kill("b")
    world.settle(2)
    world.start("b")
    world.settle(5)
    assert len(world["b"].holder.held["a"].keys) == count
    sizes = [len(e.what.keys) for e in world.sent if isinstance(e.what, Delta) and e.asker.address == "a"]
    assert max(sizes) == keys_per_request_max


def test_rule_15_a_record_is_forgotten_everywhere_when_its_time_is_over() -> None:
    """`--key-memory` counts from the removal, however often the record has travelled since."""
    world = cluster("a", "b", "c", key_memory_s=60)
    key = key_at("a", world)
    first = world.push("a", b"once", key=key)
    world.settle()
    world.ack("a", first.id)
    world.settle(25)
    restarted(world)
    restarted(world, "b")
    restarted(world)
    world.settle(5)
    again = world.push("a", b"once", key=key)
    assert again.id == first.id
    world.settle(30)
    assert [len(world[at].holder.held["a"].keys) for at in ("b", "c")] == [0, 0]
    later = world.push("a", b"once", key=key)
    world.settle()
    assert later.id != first.id


def test_rule_15_ages_not_times_are_told() -> None:
    """No two processes share a clock."""
    world = cluster("a", "b", key_memory_s=60)
    key = key_at("a", world)
    push = world.push("a", b"once", key=key)
    world.settle()
    world.ack("a", push.id)
    world.settle(20)
    world.kill("b")
    world.start("b")
    world.settle(4)
    told = [r for e in world.sent if isinstance(e.what, Delta) for r in e.what.keys if r.age_s > 1]
    assert told
    assert all(19 < record.age_s < 26 for record in told)


def test_rule_15_a_keyed_push_is_refused_while_a_peer_in_session_has_messages_that_are_not_here() -> None:
    """The key may be among them: `starting`, and the client tries again."""
    world = Cluster("a", "b", copies=1, start_wait_s=4)
    world.start("a")
    world.settle(5)
    key = key_at("a", world)
    world.start("b")
    id = MessageId("a", old, 1)
    world.copy("b", "a").put(id, Message(b"once", key=key))
    gate = world.hold(Fetched, by="a", at="b")
    world.settle(1.5)
    assert gate.items
    push, plain = world.push("a", b"once", key=key), world.push("a", b"plain")
    assert (push.code, plain.code) == ("starting", "Pushed")
    gate.open()
    world.settle(1)
    again = world.push("a", b"once", key=key)
    world.settle()
    assert again.id == id


def test_rule_15_a_record_that_only_a_peer_has_is_found_by_a_retry() -> None:
    """What a peer remembers comes in with its digest, also to an owner that serves already."""
    world = Cluster("a", "b", "c", copies=1, start_wait_s=4)
    world.start("a")
    world.settle(5)
    key = key_at("a", world)
    world.start("b")
    memory = world["b"].holder.held["a"].keys
    memory.learn(world.processes["b"].latest, KeyRecord(key, MessageId("a", old, 1), body_digest(b"once"), 1.0))
    world.settle(3)
    push = world.push("a", b"once", key=key)
    assert push.id == MessageId("a", old, 1)


def test_rule_15_the_same_key_with_another_body_is_refused_by_the_successor_too() -> None:
    """Also after the removal, when only the digest of the body is left."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    first = world.push("a", b"once", key=key)
    world.settle()
    world.ack("a", first.id)
    world.settle()
    restarted(world)
    assert world.push("a", b"another", key=key).code == "key_reused"


def test_rule_15_the_memory_is_bounded_and_the_oldest_goes_first() -> None:
    """At most max(100,000, 10 N) records, however many keys are used."""
    assert KeyMemory(600, 7)._records_max == 100_000
    assert KeyMemory(600, 20_000)._records_max == 200_000
    memory = KeyMemory(600, 7)
    memory._records_max = 1000
    for n in range(1005):
        memory.learn(0.0, KeyRecord(f"k{n}", MessageId("a", old, n + 1), body_digest(b""), 500 - n / 1000))
    assert len(memory) == 1000
    assert memory.find("k0", b"") is None
    assert memory.find("k4", b"") is None
    assert memory.find("k5", b"") is not None


def test_rule_15_a_key_that_was_pushed_anew_is_not_forgotten_with_its_older_message() -> None:
    """A first try that comes back from a peer, and is then removed, takes no key away from the second."""
    memory = KeyMemory(600, 7)
    older, newer = (MessageId("a", old, n) for n in (1, 2))
    memory.put(newer, Message(b"once", key="k"))
    memory.put(older, Message(b"once", key="k"))
    memory.withdraw(older, Message(b"once", key="k"))
    assert memory.find("k", b"once") == newer


def test_rule_15_the_youngest_record_of_a_key_counts() -> None:
    """An older copy of the memory does not shorten it, in whatever order they come in."""
    for ages in ((0.0, 500.0), (500.0, 0.0)):
        memory = KeyMemory(600, 7)
        for age_s in ages:
            memory.learn(0.0, KeyRecord("k", MessageId("a", old, 1), body_digest(b""), age_s))
        memory.expire(599.0)
        assert "k" in memory
        memory.expire(600.0)
        assert "k" not in memory


def test_rule_15_keys_are_counted_in_the_stats() -> None:
    """An operator sees how many are remembered."""
    world = cluster("a", "b")
    for number in range(3):
        push = world.push("a", b"once", key=key_at("a", world, number))
        world.settle()
    world.ack("a", push.id)
    world.settle()
    assert world["a"].stats(world.processes["a"].latest)["keys"] == 3


@pytest.mark.parametrize("removed", [False, True])
def test_rule_15_through_any_node_a_key_names_one_message(removed: bool) -> None:
    """The home is the same on every node."""
    world = cluster("a", "b", "c")
    for home in world.members:
        key = key_at(home, world)
        first = world.push("a", b"once", key=key)
        world.settle()
        if removed:
            world.ack("c", first.id)
            world.settle()
        again = [world.push(at, b"once", key=key) for at in world.members]
        world.settle()
        assert [each.id for each in again] == [first.id] * 3
        assert first.id.node == home


def test_rule_15_the_record_of_a_key_goes_with_the_removal() -> None:
    """However many removals one request tells: an owner that dies right after it leaves no key without its memory."""
    session = Session(Copy("a"), "token")
    ids = [MessageId("a", "0" * 26, n) for n in range(1, keys_per_request_max + 3)]
    for id in ids:
        session.note_gone(id, KeyRecord(f"k{id.n}", id, b"", 0.0))
    first, second = session.take_chunk(0.0), session.take_chunk(0.0)
    for chunk in (first, second):
        assert {record.id for record in chunk.keys} == set(chunk.gone)
    assert set(first.gone) | set(second.gone) == set(ids)


def test_rule_15_what_one_peer_remembers_of_a_key_all_others_come_to_know() -> None:
    """It came back with a peer that was away; a node that dies later must not take it along."""
    world = cluster("a", "b", "c")
    held = world["c"].holder.held["a"]
    record = KeyRecord("k", MessageId("a", old, 1), body_digest(b"once"), 1.0)
    held.copy.gone(IdSet.of("a", [record.id]))
    held.keys.learn(world.processes["c"].latest, record)
    held.changed_elsewhere()
    world.settle(2.5)
    assert all(world[at].holder.held["a"].keys.was_removed("k", record.id) for at in ("b", "c"))
    assert world["a"].owner.keys.was_removed("k", record.id)


def test_rule_15_a_leaving_peer_brings_the_keys_that_it_remembers_of_others_queues() -> None:
    """Its owner tells all the others."""
    world = cluster("a", "b", "c")
    held = world["c"].holder.held["a"]
    record = KeyRecord("k", MessageId("a", old, 1), body_digest(b"once"), 1.0)
    held.copy.gone(IdSet.of("a", [record.id]))
    held.keys.learn(world.processes["c"].latest, record)
    world.hold(Open, by="a", at="c")
    held.changed_elsewhere()
    world.drain("c")
    world.settle(6)
    assert "c" in world.departed
    assert world["a"].owner.keys.was_removed("k", record.id)
    assert world["b"].holder.held["a"].keys.was_removed("k", record.id)


def test_rule_15_an_ack_of_a_message_that_is_on_its_way_here_remembers_its_key() -> None:
    """It is fetched first, before all others, and removed when it is here: a retry is not a new message."""
    world = Cluster("a", "b", "c", copies=1, start_wait_s=4, max_message=2**20)
    world.start("a")
    world.settle(5)
    ids = [MessageId("a", old, n) for n in range(1, 5)]
    key = key_at("a", world)
    world.start("b")
    for id in ids:
        world.copy("b", "a").put(id, Message(b"x" * 2**20, key=key if id is ids[-1] else None))
    gate = world.hold(Fetched, by="a", at="b")
    world.settle(1.5)
    ack = world.ack("a", ids[-1])
    world.settle(0.1)
    assert ack.code == ""
    gate.open()
    world.settle(3)
    assert ack.code == "Done"
    retry = world.push("a", b"x" * 2**20, key=key)
    world.settle()
    assert "duplicate=True" in str(retry.outcome)
    assert len(world.copy("a", "a").live) == 3


def vouched_for(world: Cluster, key: str) -> MessageId:
    """`a` tells a retry that a recovered message is there; the old process of `c`, paused, knows more of it."""
    push = world.push("a", b"once", key=key)
    world.settle()
    world.pause("c")
    world.kill("a")
    world.settle(4)
    world.start("a")
    world.start("c", at="c2")
    world.settle(5)
    retry = world.push("a", b"once", key=key)
    world.settle()
    assert (retry.code, retry.id) == ("Pushed", push.id)
    return push.id


def meets_the_old_c(world: Cluster) -> None:
    """It is fenced, brings its copies to the others, and leaves."""
    world.kill("c2")
    world.resume("c")
    world.settle(2)
    assert "c" in world.departed
    world.start("c")
    world.settle(4)


def test_rule_15_a_message_that_a_retry_was_told_of_stays_though_a_process_returns_that_took_it_back() -> None:
    """An earlier owner gave the push up, and a peer that was away all the time knows: an answered push wins."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    id = vouched_for(world, key)
    world.copy("c", "a").gone(IdSet.of("a", [id]))
    meets_the_old_c(world)
    for at in ("a", "b", "c"):
        assert world.bodies(at, "a") == [b"once"]
    [again] = world.copy("a", "a").live
    assert again.incarnation == world["a"].incarnation
    retry = world.push("b", b"once", key=key)
    get = world.get("c")
    world.settle()
    assert (retry.id, get.bodies) == (again, [b"once"])
    assert again != id
    ack = world.ack("b", again)
    world.settle()
    assert ack.code == "Done"
    assert world.bodies("a", "a") == []


def test_rule_15_a_message_that_a_retry_was_told_of_is_gone_when_a_process_returns_that_removed_it() -> None:
    """The record of its key came with the removal: it was acknowledged, not taken back."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    id = vouched_for(world, key)
    held = world["c"].holder.held["a"]
    held.copy.gone(IdSet.of("a", [id]))
    held.keys.learn(world.processes["c"].latest, KeyRecord(key, id, body_digest(b"once"), 0.0))
    meets_the_old_c(world)
    assert world.bodies("a", "a") == []


def test_rule_15_records_that_were_told_are_not_kept_for_the_opener() -> None:
    """An admission lives as long as its session; the list of all records at its beginning does not."""
    world = cluster("a", "b")
    now, held = world.processes["b"].latest, world["b"].holder.held["a"]
    for n in range(2500):
        held.keys.learn(now, KeyRecord(f"k{n}", MessageId("a", "0" * 26, n + 1), b"d" * 16, 0.0))
    held.changed_elsewhere()
    world.settle(5)
    assert world.in_session("a") == ["b"]
    assert len(world["a"].owner.keys) == 2500
    assert not any(admission.records for admission in held._admissions.values())


def test_rule_15_a_message_taken_in_again_is_told_no_later_than_the_removal_of_its_old_id() -> None:
    """Else the old one goes first, and with its owner's death the message that a retry was told of is lost."""
    world = cluster("a", "b", "c")
    id = vouched_for(world, key_at("a", world))  # a, b and the new process of c hold it
    world.copy("c", "a").gone(IdSet.of("a", [id]))  # the old process of c, paused, knows it as taken back
    slow = world.hold(Delta, by="a", when=lambda delta: delta.queue == "a")
    world.push("a", b"first")
    world.settle(0.01)
    for _ in range(3):
        world.push("a", b"x" * 400_000)
    world.cut("b", "c")
    world.resume("c")
    for _ in range(40):
        world.settle(0.1)
        if id not in world.copy("a", "a").live:
            break
    slow.let(2)  # the first push
    slow.let(2)  # the removal, and as much as goes into one request
    world.kill("a")
    world.kill("c")
    world.settle(0.1)
    assert any(b"once" in world.bodies(at, "a") for at in ("b", "c2"))


def test_rule_15_a_page_of_records_that_a_proxy_asks_for_twice_is_the_same_page() -> None:
    """It swallows the first answer, and the opener takes the second for the whole truth."""
    world = cluster("a", "b")
    now, held = world.processes["b"].latest, world["b"].holder.held["a"]
    for n in range(keys_per_request_max + 1):
        held.keys.learn(now, KeyRecord(f"k{n}", MessageId("a", "0" * 26, n + 1), b"d" * 16, 0.0))
    pages = world.hold(Page, by="a", at="b")
    held.changed_elsewhere()
    world.settle(1.5)
    [page] = pages.items
    answers = world.hold(Paged, by="a", at="b")
    world.deliver(page)
    answers.items.clear()
    pages.open()
    answers.open()
    assert world.in_session("a") == ["b"]
    assert len(world["a"].owner.keys) == keys_per_request_max + 1


def test_rule_15_no_chunk_tells_a_removal_before_the_record_of_its_key() -> None:
    """Also when own removals fill a request with their records: the owner may die before the next."""
    copy = Copy("a")
    session = Session(copy, "t")
    ids = [MessageId("a", "0" * 26, n) for n in range(1, 1501)]
    records = [KeyRecord(f"k{id.n}", id, b"d" * 16, 0.0) for id in ids]
    for record in records[:900]:
        session.note_gone(record.id, record)
    for record in records[900:]:
        session.note_record(record)
    session.note_all_gone(IdSet.of("a", ids[900:]))
    told: set[MessageId] = set()
    while session.gones or session.keys:
        chunk = session.take_chunk(0.0)
        told |= {record.id for record in chunk.keys}
        assert not [id for id in chunk.gone if id not in told]
    assert told == set(ids)


def acknowledged_while_c_reads(world: Cluster, what: type[Page | Fetch]) -> None:
    """`c`, cut off from `a`, has asked `b` for the copy of `a`'s queue; that changes before the request arrives."""
    key = key_at("a", world)
    once = world.push("a", b"once", key=key)
    world.settle(0.5)
    assert once.code == "Pushed"
    reads = world.hold(what, by="c", at="b", when=lambda each: each.queue == "a")
    world.settle(6)
    assert reads.items
    ack = world.ack("a", once.id)
    world.settle(0.3)
    assert ack.code == "Done"
    reads.open()
    world.settle(0.2)
    mine = world["c"].holder.held["a"]
    assert not mine.copy.knows_removed(once.id)
    world.settle(6)
    assert mine.copy.knows_removed(once.id)
    assert mine.keys.was_removed(key, once.id)


def test_rule_15_who_reads_a_copy_that_changes_meanwhile_gets_no_removal_without_its_record() -> None:
    """Its pages are of later than its first records."""
    world = cluster("a", "b", "c", copies=2, size=5000)
    world.cut("a", "c")
    world.settle(6)
    held = world["b"].holder.held["a"]
    for n in range(1200):
        id = MessageId("a", "0" * 26, n + 1)
        held.keys.learn(world.processes["b"].latest, KeyRecord(f"k{n}", id, b"d" * 16, 0.0))
    acknowledged_while_c_reads(world, Page)


def test_rule_15_a_fetch_brings_no_removal_without_its_record() -> None:
    """`c` comes for the copy of `a`'s queue to `b`; what it was to fetch is acknowledged meanwhile."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.settle(6)
    acknowledged_while_c_reads(world, Fetch)


def test_rule_15_what_was_acknowledged_elsewhere_is_not_taken_in_again() -> None:
    """`a2` has told a retry that it is there; `a`, cut off, has it acknowledged; `c` learns that of `b` alone."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    first = world.push("a", b"once", key=key)
    world.settle()
    world.cut("a", "b")
    world.cut("a", "c")
    world.settle(9)
    world.start("a", at="a2")
    world.settle(4)
    retry = world.push("a2", b"once", key=key)
    world.settle()
    assert retry.id == first.id
    ack = world.ack("a", first.id)
    world.settle(0.1)
    assert ack.code == "Done"
    fetches = world.hold(Fetch, by="c", at="b", when=lambda fetch: fetch.queue == "a")
    late = world.hold(Open, by="a2", at="c", when=lambda each: each.queue == "a")
    world.kill("c")
    world.start("c")
    world.settle(1.5)
    assert fetches.items
    later = world.hold(Open, by="a2", at="b", when=lambda each: each.queue == "a")
    world.heal()
    world.cut("a", "c")
    world.settle(2.5)
    assert world["b"].holder.held["a"].keys.was_removed(key, first.id)
    fetches.open()
    late.open()
    world.settle(1.5)
    later.open()
    world.settle(3)
    assert world.bodies("a2", "a") == []


def test_rule_15_an_exchange_tells_no_removal_without_its_record() -> None:
    """What `b` has listed for its next request to `c` is acknowledged meanwhile, and `b` leaves."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "c")
    world.hold(Open, by="c", at="b", when=lambda each: each.queue == "a")  # c does not come for it itself
    world.settle(6)
    key = key_at("a", world)
    large, once = world.push("a", b"x" * 2**20), world.push("a", b"once", key=key)
    world.settle(0.5)
    assert (large.code, once.code) == ("Pushed", "Pushed")
    deltas = world.hold(Delta, by="b", at="c", when=lambda delta: delta.queue == "a")
    world.drain("a")
    world.drain("b")
    world.settle(1)
    assert [len(each.what.put) for each in deltas.items] == [1]
    ack = world.ack("a", once.id)
    world.settle(0.3)
    assert ack.code == "Done"
    mine = world["c"].holder.held["a"]
    deltas.let()
    deltas.let()
    assert not mine.copy.knows_removed(once.id)
    deltas.open()
    world.settle(6)
    assert mine.copy.knows_removed(once.id)
    assert mine.keys.was_removed(key, once.id)


def test_rule_15_who_reads_an_owners_own_copy_gets_no_removal_without_its_record() -> None:
    """As with any copy; who leaves reads its peers' own queues, too."""
    world = cluster("a", "b", "c", size=5000)
    for n in range(1200):
        id = MessageId("a", "0" * 26, n + 1)
        world["a"].owner.keys.learn(world.processes["a"].latest, KeyRecord(f"k{n}", id, b"d" * 16, 0.0))
    key = key_at("a", world)
    once = world.push("a", b"once", key=key)
    world.settle(0.5)
    assert once.code == "Pushed"
    pages = world.hold(Page, by="b", at="a", when=lambda page: page.queue == "a")
    for name in "acb":
        world.drain(name)
    world.settle(0.5)
    assert pages.items
    world.hold(Delta, by="a", when=lambda delta: bool(delta.gone))
    world.hold(Open, by="a", at="b", when=lambda each: each.queue == "a")
    world.ack("a", once.id)
    world.settle(0.1)
    assert world["a"].owner.keys.was_removed(key, once.id)
    mine = world["b"].holder.held["a"]
    pages.open()
    assert not mine.copy.knows_removed(once.id)


@pytest.mark.parametrize("count", [1000, 1100])
def test_rule_15_who_reads_a_copy_comes_to_its_end_though_removals_come_as_fast_as_it_asks(count: int) -> None:
    """More of them in each round trip than a request has records, or a page leaves single ids out."""
    world = cluster("a", "b", "c", copies=2, size=5000)
    world.cut("a", "c")
    world.settle(6)
    held = world["b"].holder.held["a"]

    def remove_many() -> None:
        for n in range(held.keys.learned + 1, held.keys.learned + count + 1):
            id = MessageId("a", "0" * 26, n)
            held.remove(IdSet.of("a", [id]))
            held.learn(world.processes["b"].latest, KeyRecord(f"k{n}", id, b"d" * 16, 0.0))

    kept = world.push("a", b"kept")
    world.settle(0.5)
    assert kept.code == "Pushed"
    remove_many()
    remove_many()
    pages = world.hold(Page, by="c", at="b", when=lambda page: page.queue == "a")
    world.settle(6)
    assert pages.items
    for _ in range(5):
        remove_many()
        pages.let()
    assert world.bodies("c", "a") == [b"kept"]
    assert [len(each.records) for each in held._admissions.values()] == [0, 0]


def test_rule_15_late_removals_that_follow_each_other_cost_no_pages() -> None:
    """Else a page would come forward by less than the copy grows meanwhile."""
    held = HeldCopy("a", NodeSettings(node="b", peers={"a": "a", "c": "c"}, copies=2))
    ids = [MessageId("a", "0" * 26, n + 1) for n in range(6000)]
    held.remove(IdSet.of("a", ids))
    admission = held.admit(0.0, Open("a", Role.COPY, "dqtw", "c", "boot", "", "n", 1, ("a", "b", "c"), {}), "token")
    for id in ids:
        held.learn(0.0, KeyRecord(f"k{id.n}", id, b"d" * 16, 0.0))
    page = held.page(admission, None)
    assert (page.upto, bool(page.seen)) == (None, False)


def test_rule_15_a_page_has_only_so_many_holes_where_it_leaves_late_removals_out() -> None:
    """They may be many, and far from each other; the page that a peer reads is bounded."""
    held = HeldCopy("a", NodeSettings(node="b", peers={"a": "a", "c": "c"}, copies=2))
    ids = [MessageId("a", "0" * 26, n + 1) for n in range(6000)]
    held.remove(IdSet.of("a", ids))
    admission = held.admit(0.0, Open("a", Role.COPY, "dqtw", "c", "boot", "", "n", 1, ("a", "b", "c"), {}), "token")
    late = [KeyRecord(f"k{id.n}", id, b"d" * 16, 0.0) for id in ids if id.n % 2 == 0]
    for record in late:
        held.learn(0.0, record)
    told, after, pages = IdSet("a"), None, 0
    while pages == 0 or after is not None:
        page = held.page(admission, after)
        assert page.seen.bounds_count <= late_ints_max + 2
        told, after, pages = told | page.seen, page.upto, pages + 1
    assert pages == 3
    assert told == IdSet.of("a", ids) - IdSet.of("a", (record.id for record in late))


def test_rule_15_a_message_that_a_replaced_process_takes_in_again_is_handed_over_too() -> None:
    """It told a retry that the message is there, and hears only then, from its heir, that the push was taken back."""
    world = cluster("a", "b")
    key = key_at("a", world)
    first = world.push("a", b"once", key=key)
    world.settle()
    restarted(world)
    retry = world.push("a", b"once", key=key)
    world.settle()
    assert retry.id == first.id
    world.pause("a")
    world.settle(4)
    world.start("a", at="a2")
    world.settle(4)
    assert world["a2"].life.is_serving
    held = world["b"].holder.held["a"]
    assert held.remove(IdSet.of("a", [first.id]))
    held.changed_elsewhere()
    world.settle(3)
    assert world.bodies("a2", "a") == []
    world.resume("a")
    world.settle(10)
    assert "a" in world.departed
    assert world.bodies("a2", "a") == [b"once"]
