"""Chapter 6: idempotency keys."""

import pytest

from dqtw.core.links.frames import Changed, Contents, Delta, Fetched, Open, PageRead
from dqtw.core.model.commands import Ack, Push
from dqtw.core.model.errors import KeyReused
from dqtw.core.model.key_memory import KeyMemory, KeyRecord, body_digest, records_min

from .lan import Lan, pushed, ready
from .stubs import incarnation, message, older


def known(lan: Lan, name: str, owner: str, key: str, body: bytes = b"m") -> object:
    return lan.holding(name, owner).keys.find(key, body)


# A retry.


def test_6_a_retry_through_any_node_is_one_message() -> None:
    lan = ready("a", "b", "c")
    key = lan.key_of("b")
    ids = {pushed(lan.do(name, Push(b"m", key=key))).id for name in "abc"}
    assert {id.node for id in ids} == {"b"}
    assert len(ids) == 1
    assert lan.held("b", "b") == [b"m"]


def test_6_a_retry_of_a_pending_push_shares_its_outcome() -> None:
    lan = ready("a", "b")
    key = lan.key_of("a")
    hold = lan.hold(Delta, by="a", to="b")
    tickets = [lan.ask("a", Push(b"m", key=key)) for _ in range(3)]
    lan.run(0.5)
    assert [lan.result(ticket) for ticket in tickets] == ["", "", ""]
    lan.release(hold)
    lan.run(0.1)
    answers = [pushed(lan.answers[ticket]) for ticket in tickets]
    assert [each.duplicate for each in answers] == [False, True, True]
    assert len({each.id for each in answers}) == 1
    assert lan["a"].owner.totals["pushed"] == 1


def test_6_a_retry_of_a_pending_push_that_times_out_is_uncertain_too() -> None:
    lan = ready("a", "b", push_timeout_s=2.0)
    lan.hold(Delta, by="a", to="b")
    key = lan.key_of("a")
    first = lan.ask("a", Push(b"m", key=key))
    lan.run(1)
    second = lan.ask("a", Push(b"m", key=key))
    lan.run(4)
    assert (lan.result(first), lan.result(second)) == ("uncertain", "uncertain")
    assert lan.held("a", "a") == [b"m"]


def test_6_a_retry_of_a_recovered_message_is_answered_when_k_nodes_hold_it() -> None:
    """The giver restarted since: only this process has the message."""
    lan = ready("a", "b", "c", copies=2, start_wait_s=4.0)
    key = lan.key_of("a")
    lan.isolate("c")
    lan.run(4)
    id = lan.push("a", b"m", key=key)
    lan.kill("a")
    lan.kill("c")
    lan.heal()
    lan.start("a")
    lan.until(lambda: lan.phase("a") == "serving")
    lan.kill("b")
    lan.run(4)
    ticket = lan.ask("a", Push(b"m", key=key))
    lan.run(0.5)
    assert lan.result(ticket) == "uncertain"
    lan.start("b")
    lan.run(6)
    again = pushed(lan.do("a", Push(b"m", key=key)))
    assert (again.id, again.duplicate, again.copies) == (id, True, 2)


def test_6_the_log_gets_the_entry_of_a_recovered_message_once_more_for_all_sessions() -> None:
    lan = ready("a", "b", "c")
    key = lan.key_of("a")
    lan.push("a", b"m", key=key)
    lan.kill("a")
    lan.start("a")
    lan.until(lambda: lan["a"].life.was_ready)
    end, begin = lan["a"].replicator.log.end, lan.now
    again = pushed(lan.do("a", Push(b"m", key=key)))
    assert again.copies == 3
    assert lan["a"].replicator.log.end == end + 1
    assert [bool(each.contents.puts) for each in lan.sent(Delta, by="a", since=begin)] == [True, True]


def test_6_a_retry_after_the_removal_is_a_duplicate_and_no_new_message() -> None:
    lan = ready("a", "b")
    key = lan.key_of("a")
    id = lan.push("a", b"m", key=key)
    lan.ack("a", id)
    again = pushed(lan.do("a", Push(b"m", key=key)))
    assert (again.id, again.duplicate) == (id, True)
    assert lan.held("a", "a") == []


def test_6_a_retry_must_match_the_body() -> None:
    lan = ready("a", "b")
    key = lan.key_of("a")
    id = lan.push("a", b"m", key=key)
    assert lan.result(lan.ask("a", Push(b"other", key=key))) == "key_reused"
    lan.ack("a", id)
    assert lan.result(lan.ask("a", Push(b"other", key=key))) == "key_reused"
    lan.kill("a")
    lan.start("a")
    lan.until(lambda: lan["a"].life.was_ready)
    assert lan.result(lan.ask("a", Push(b"other", key=key))) == "key_reused"


# When a keyed push may be taken.


def test_6_a_keyed_push_waits_until_every_present_member_is_recovered_from() -> None:
    lan = ready("a", "b", "c", copies=1)
    key = lan.key_of("a")
    lan.partition("b", "c")
    lan.partition("a", "c")
    lan.run(4)
    id = lan.push("a", b"m", key=key)
    lan.run(0.1)
    lan.kill("a")
    lan.kill("b")  # held by b alone, and gone with it; c knows it from nobody
    lan.heal()
    lan.start("a", start_wait_s=2.0)
    lan.until(lambda: lan.phase("a") == "serving", within_s=15.0)
    hold = lan.hold(Open, by="a", to="b")
    lan.start("b")
    lan.until(lambda: lan["a"].cluster.members["b"].is_present)
    put = message(id[1:], key=key)
    lan.holding("b", "a").learn(lan.now, Contents({id.incarnation: [(id.n, put)]}), [], None)
    ticket = lan.ask("a", Push(put.body, key=key))
    lan.run(1)
    assert lan.result(ticket) == ""
    lan.release(hold)
    lan.until(lambda: lan.result(ticket))
    answer = pushed(lan.answers[ticket])
    assert (answer.id, answer.duplicate) == (id, True)


def test_6_a_keyed_push_waits_at_most_10_s() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.kill("b")
    lan.run(4)
    lan.start("b")
    lan.hold(Fetched, by="b", to="a")
    lan.hold(PageRead, by="b", to="a", when=lambda page: True)
    lan.until(lambda: lan["a"].cluster.members["b"].is_present)
    ticket = lan.ask("a", Push(b"m", key=lan.key_of("a")))
    lan.run(9)
    assert lan.result(ticket) == ""
    lan.run(1.5)
    assert lan.result(ticket) in ("starting", "Pushed")


def test_6_an_absent_member_does_not_hold_up_keyed_pushes() -> None:
    """One of the two exceptions: the only holder cannot be reached when the successor takes the retry."""
    lan = ready("a", "b", "c", copies=1)
    lan.kill("b")
    lan.run(0.5)
    assert lan.result(lan.ask("a", Push(b"m", key=lan.key_of("a")))) == "Pushed"


def test_6_a_push_without_a_key_does_not_wait() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.kill("b")
    lan.run(4)
    hold = lan.hold(PageRead, by="b", to="a")
    lan.start("b")
    lan.until(lambda: lan["a"].cluster.members["b"].is_present)
    assert lan.result(lan.ask("a", Push(b"m"))) == "Pushed"
    lan.release(hold)


# The memory, and how it travels.


def test_6_a_key_is_known_to_the_successor() -> None:
    lan = ready("a", "b", "c")
    live, removed = lan.key_of("a", 0), lan.key_of("a", 1)
    id = lan.push("a", b"m", key=live)
    gone = lan.push("a", b"m", key=removed)
    lan.ack("a", gone)
    lan.kill("a")
    lan.start("a")
    lan.until(lambda: lan["a"].life.was_ready)
    assert pushed(lan.do("a", Push(b"m", key=live))).id == id
    assert pushed(lan.do("a", Push(b"m", key=removed))).id == gone


def test_6_the_record_travels_with_the_removal() -> None:
    lan = ready("a", "b", "c")
    key = lan.key_of("a")
    id = lan.push("a", b"m", key=key)
    begin = lan.now
    lan.ack("a", id)
    for delta in lan.sent(Delta, by="a", since=begin):
        assert {(each.incarnation, each.n) for each in delta.contents.records} == set(delta.contents.removed)
    assert known(lan, "b", "a", key) == known(lan, "c", "a", key) == id[1:]


def test_6_an_exchange_between_peers_brings_the_records() -> None:
    lan = ready("a", "b", "c", copies=1)
    key = lan.key_of("a")
    id = lan.push("a", b"m", key=key)
    lan.run(0.1)
    lan.isolate("c")
    lan.run(4)
    lan.ack("a", id)
    lan.run(0.1)
    lan.kill("a")
    lan.heal()
    lan.run(9)
    assert lan.held("c", "a") == []
    assert known(lan, "c", "a", key) == id[1:]


def test_6_a_change_behind_the_owners_back_brings_the_records() -> None:
    lan = ready("a", "b", "c", copies=1)
    key = lan.key_of("a")
    id = lan.push("a", b"m", key=key)
    lan.run(0.1)
    holding = lan.holding("b", "a")
    record = KeyRecord(key, id[1:], body_digest(b"m"), lan.clock("b"))
    removed = holding.replica.live_dots.copy()
    holding.learn(lan.clock("b"), Contents(removed=removed), [record], None)
    lan._turn("b")
    lan.run(0.1)
    assert lan.sent(Changed, by="b", to="a")
    assert lan.held("a", "a") == lan.held("c", "a") == []
    assert known(lan, "a", "a", key) == known(lan, "c", "a", key) == id[1:]


def test_6_ages_travel_and_a_record_is_forgotten_everywhere_at_its_time() -> None:
    lan = ready("a", "b", clocks_apart_s=10_000.0, key_memory_s=30.0)
    key = lan.key_of("a")
    id = lan.push("a", b"m", key=key)
    lan.ack("a", id)
    lan.run(20)
    lan.kill("b")
    lan.start("b")
    lan.until(lambda: lan["b"].life.was_ready)
    assert known(lan, "a", "a", key) == known(lan, "b", "a", key) == id[1:]
    lan.run(12)
    assert known(lan, "a", "a", key) is None
    lan.kill("a")
    lan.start("a")
    lan.until(lambda: lan["a"].life.was_ready)
    again = pushed(lan.do("a", Push(b"m", key=key)))
    assert again.id != id
    assert not again.duplicate


def test_6_an_ack_during_a_recovery_leaves_the_memory_of_the_key() -> None:
    lan = ready("a", "b", "c", copies=1)
    key = lan.key_of("a")
    id = lan.push("a", b"m", key=key)
    lan.run(0.1)
    lan.kill("c")
    lan.run(0.1)
    lan.kill("a")
    lan.start("a", start_wait_s=4.0)
    lan.until(lambda: lan.phase("a") == "serving", within_s=15.0)
    ack = lan.ask("a", Ack(id))
    lan.start("c")
    lan.run(8)
    assert lan.result(ack) == "Done"
    assert [known(lan, name, "a", key) for name in "abc"] == [id[1:]] * 3


def test_6_keys_are_counted_in_the_stats() -> None:
    lan = ready("a", "b")
    key = lan.key_of("a")
    id = lan.push("a", b"m", key=key)
    assert lan["a"].stats(lan.now)["keys"] == 1
    lan.ack("a", id)
    assert lan["a"].stats(lan.now)["keys"] == 1


# The memory alone.


def test_6_live_messages_come_before_remembered_removals() -> None:
    keys = KeyMemory(600.0, 10)
    old, new = message((incarnation, 1), key="k"), message((incarnation, 1), key="k")
    keys.put((older, 1), old)
    keys.remove(0.0, (older, 1), old)
    keys.put((incarnation, 2), new)
    assert keys.find("k", old.body) == (incarnation, 2)
    keys.remove(1.0, (incarnation, 2), new)
    assert keys.find("k", old.body) == (incarnation, 2)


def test_6_of_two_messages_of_one_key_each_keeps_it_alive() -> None:
    keys = KeyMemory(10.0, 10)
    one = message((incarnation, 1), key="k")
    keys.put((incarnation, 1), one)
    keys.put((incarnation, 2), one)
    keys.remove(0.0, (incarnation, 1), one)
    keys.expire(11.0)
    assert keys.find("k", one.body) == (incarnation, 2)


def test_6_the_youngest_record_of_a_key_counts() -> None:
    keys = KeyMemory(10.0, 10)
    digest = body_digest(b"m")
    keys.learn(5.0, [], [KeyRecord("k", (incarnation, 2), digest, 4.0)])
    keys.learn(5.0, [], [KeyRecord("k", (incarnation, 1), digest, 1.0)])
    assert keys.find("k", b"m") == (incarnation, 2)
    keys.expire(12.0)
    assert keys.find("k", b"m") == (incarnation, 2)
    keys.expire(14.5)
    assert keys.find("k", b"m") is None


def test_6_a_record_that_is_too_old_is_not_taken() -> None:
    keys = KeyMemory(10.0, 10)
    keys.learn(50.0, [], [KeyRecord("k", (incarnation, 1), body_digest(b"m"), 39.0)])
    assert "k" not in keys


def test_6_the_memory_is_bounded_and_the_oldest_record_goes_first() -> None:
    keys = KeyMemory(600.0, 10)
    for n in range(records_min + 5):
        keys.learn(1.0, [], [KeyRecord(f"k{n}", (incarnation, n + 1), b"", n * 1e-6)])
    assert len(keys) == records_min
    assert "k4" not in keys
    assert "k5" in keys


def test_6_another_body_under_a_key_is_refused_whether_live_or_removed() -> None:
    keys = KeyMemory(600.0, 10)
    one = message((incarnation, 1), key="k")
    keys.put((incarnation, 1), one)
    with pytest.raises(KeyReused):
        keys.find("k", b"other")
    keys.remove(0.0, (incarnation, 1), one)
    with pytest.raises(KeyReused):
        keys.find("k", b"other")
