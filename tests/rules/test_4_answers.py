"""Chapter 4: what clients are answered, and when."""

from functools import partialmethod

import pytest

from dqtw.core.links.frames import Applied, Contents, Delta, Fetched, PageRead
from dqtw.core.model.commands import Ack, Get, Inspect, Inspected, Nack, Push, State
from dqtw.core.model.message import MessageId
from dqtw.core.model.replica import Replica
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.replicator import Replicator
from dqtw.core.replication.sessions import Sessions

from .lan import Lan, pushed, ready
from .stubs import message

# 4.1 Commit.


def test_4_1_a_push_is_answered_when_k_nodes_hold_it() -> None:
    lan = ready("a", "b", "c")
    hold = lan.hold(Applied, by="c", to="a")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.5)
    assert lan.held("b", "a") == lan.held("c", "a") == [b"m"]
    assert lan.result(ticket) == ""
    lan.release(hold)
    lan.run(0.01)
    assert pushed(lan.answers[ticket]).copies == 3


def test_4_1_with_fewer_copies_than_members_the_fastest_peers_count() -> None:
    lan = ready("a", "b", "c", "d", copies=3)
    lan.hold(Applied, by="b", to="a")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.01)
    assert pushed(lan.answers[ticket]).copies == 3


def test_4_1_with_one_copy_a_push_is_answered_at_once_and_sent_all_the_same() -> None:
    lan = ready("a", "b", "c", copies=1)
    ticket = lan.ask("a", Push(b"m"))
    assert pushed(lan.answers[ticket]).copies == 1
    lan.run(0.01)
    assert lan.held("b", "a") == lan.held("c", "a") == [b"m"]


def test_4_1_a_message_is_ready_when_its_push_is_answered_and_not_before() -> None:
    lan = ready("a", "b")
    hold = lan.hold(Applied, by="b", to="a")
    ticket = lan.ask("a", Push(b"m"))
    poll = lan.ask("a", Get(wait_s=5.0))
    lan.run(0.5)
    id = MessageId("a", *next(iter(lan.holding("a", "a").replica.live_dots)))
    inspected = lan.do("a", Inspect(id))
    assert isinstance(inspected, Inspected)
    assert inspected.state is State.WAITING
    assert (lan.result(ticket), lan.result(poll)) == ("", "")
    lan.release(hold)
    lan.run(0.01)
    assert (lan.result(ticket), lan.result(poll)) == ("Pushed", "Delivered")


def test_4_1_pushes_are_answered_in_the_order_of_their_indices() -> None:
    lan = ready("a", "b")
    hold = lan.hold(Applied, by="b", to="a")
    first = lan.ask("a", *[Push(b"%d" % n) for n in range(5)])
    lan.run(0.1)
    lan.release(hold)
    lan.run(0.1)
    tickets = [ticket for ticket in lan.answers if first <= ticket < first + 5]
    assert tickets == list(range(first, first + 5))


def test_4_1_a_push_that_was_uncertain_is_not_committed_by_a_new_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the new session's `match` begins with is what was committed or answered, and `uncertain` is neither."""
    lan = ready("a", "b", push_timeout_s=0.5)
    hold = lan.hold(Delta, by="a", to="b")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.6)
    assert lan.result(ticket) == "uncertain"
    lan.sever("a", "b")
    lan.drop(hold)
    hold = lan.hold(Delta, by="a", to="b")
    lan.until(lambda: hold.held and "b" in lan.in_session("a"))
    lan.run(0.5)
    assert not lan["a"].owner.queue.ready
    lan.release(hold)
    lan.run(0.1)
    assert lan.bodies("a") == [b"m"]


def test_4_1_what_the_digest_of_a_peer_shows_counts() -> None:
    """The peer had applied the push; its confirmation was lost with the link."""
    lan = ready("a", "b", "c", copies=2, push_timeout_s=20.0)
    lan.kill("c")
    hold = lan.hold(Applied, by="b", to="a")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.1)
    lan.sever("a", "b")
    lan.drop(hold)
    lan.until(lambda: "b" in lan.in_session("a"))
    lan.run(0.1)
    assert lan.held("b", "a") == [b"m"]
    assert lan.result(ticket) == "Pushed"
    assert lan["a"].owner.queue.ready


def test_4_1_only_members_that_are_counted_now_count() -> None:
    """A peer that confirmed and went holds the message no more, as far as is known."""
    lan = ready("a", "b", "c")
    hold = lan.hold(Applied, by="c", to="a")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.1)
    lan.kill("b")
    lan.run(0.1)
    lan.release(hold)
    lan.run(0.1)
    assert lan.result(ticket) == ""
    assert not lan["a"].owner.queue.ready


def test_4_1_what_was_recovered_from_a_peer_is_not_confirmed_by_that_peers_successor() -> None:
    """An entry is skipped for the session that it came from, not for the node."""
    lan = ready("a", "b", "c", copies=2, start_wait_s=4.0)
    key = lan.key_of("a")
    lan.isolate("c")
    lan.run(4)
    lan.push("a", b"m", key=key)
    lan.kill("c")
    lan.kill("a")
    lan.heal()
    lan.start("a")
    lan.until(lambda: lan.phase("a") == "serving")
    lan.kill("b")
    lan.run(0.2)
    lan.start("b")
    hold = lan.hold(Delta, by="a", to="b")
    lan.until(lambda: "b" in lan["a"].replicator.progress and lan["a"].replicator.progress["b"].is_counted)
    ticket = lan.ask("a", Push(b"m", key=key))
    lan.run(1)
    assert lan.result(ticket) == ""
    lan.release(hold)
    lan.until(lambda: lan.result(ticket))
    assert lan.result(ticket) == "Pushed"
    assert lan.held("b", "a") == [b"m"]


# 4.2 Removals.


def acked(lan: Lan) -> tuple[MessageId, int]:
    """Let a client acknowledge a message of a while c does not confirm."""
    id = lan.push("a", b"m")
    lan.hold(Applied, by="c", to="a")
    ticket = lan.ask("a", Ack(id))
    lan.run(0.1)
    assert lan.result(ticket) == ""
    return id, ticket


def test_4_2_a_removal_is_answered_when_all_counted_members_know_it() -> None:
    lan = ready("a", "b", "c", copies=2)
    id = lan.push("a", b"m")
    lan.run(0.1)
    hold = lan.hold(Applied, by="c", to="a")
    ticket = lan.ask("a", Ack(id))
    lan.run(0.5)
    assert lan.result(ticket) == ""
    lan.release(hold)
    lan.run(0.01)
    assert lan.result(ticket) == "Done"


def test_4_2_with_no_member_to_wait_for_a_removal_is_answered_at_once() -> None:
    lan = ready("a", "b", copies=1)
    id = lan.push("a", b"m")
    lan.kill("b")
    lan.run(4)
    assert lan.result(lan.ask("a", Ack(id))) == "Done"


def test_4_2_a_member_whose_session_ended_is_waited_for_until_it_is_unreachable() -> None:
    lan = ready("a", "b", "c")
    _, ticket = acked(lan)
    lan.kill("c")
    lan.run(2.5)
    assert lan.result(ticket) == ""
    lan.run(0.6)
    assert lan.result(ticket) == "Done"


def test_4_2_the_only_link_that_is_reset_while_an_ack_is_pending_does_not_answer_it() -> None:
    lan = ready("a", "b")
    id = lan.push("a", b"m")
    hold = lan.hold(Delta, by="a", to="b")
    ticket = lan.ask("a", Ack(id))
    lan.run(0.1)
    lan.sever("a", "b")
    lan.run(0.01)
    assert lan["a"].replicator.progress == {}
    assert lan.result(ticket) == ""
    lan.release(hold)
    lan.until(lambda: lan.result(ticket), within_s=2.0)
    assert lan.result(ticket) == "Done"
    assert lan.held("b", "a") == []


def test_4_2_a_member_that_refuses_is_not_waited_for() -> None:
    lan = ready("a", "b", "c")
    _, ticket = acked(lan)
    lan.refuses = lambda asker, asked: "another secret" if "c" in (asker, asked) else ""
    lan.sever("a", "c")
    lan.run(1.5)
    assert lan.result(ticket) == "Done"


def test_4_2_a_member_that_leaves_is_not_waited_for() -> None:
    lan = ready("a", "b", "c")
    _, ticket = acked(lan)
    lan.push("b", b"so that c must hand over")
    lan.mute("c", "b")
    lan.drain("c")
    lan.run(1.0)
    assert lan.result(ticket) == "Done"


def test_4_2_a_member_that_is_not_counted_yet_is_not_waited_for() -> None:
    lan = ready("a", "b", "c", copies=1)
    id = lan.push("a", b"m")
    lan.kill("c")
    lan.run(4)
    lan.hold(PageRead, by="c", to="a")
    lan.start("c")
    lan.until(lambda: "c" in lan["a"].replicator.progress)
    lan.run(0.1)
    ticket = lan.ask("a", Ack(id))
    lan.run(0.01)
    assert lan.result(ticket) == "Done"


def test_4_2_a_member_that_is_counted_while_an_ack_waits_must_know_the_removal_too() -> None:
    lan = ready("a", "b", "c", copies=1)
    id = lan.push("a", b"m")
    lan.kill("c")
    lan.run(4)
    slow = lan.hold(Applied, by="b", to="a")
    ticket = lan.ask("a", Ack(id))
    lan.start("c")
    hold = lan.hold(Applied, by="c", to="a")
    lan.until(lambda: "c" in lan.in_session("a"))
    lan.release(slow)
    lan.run(0.1)
    assert lan.result(ticket) == ""
    lan.release(hold)
    lan.run(0.1)
    assert lan.result(ticket) == "Done"


def test_4_2_an_ack_waits_at_most_10_s() -> None:
    lan = ready("a", "b", "c")
    _, ticket = acked(lan)
    for _ in range(9):  # c goes on to confirm other things, or its link would be closed
        lan.run(1)
        assert lan.result(ticket) == ""
    lan.run(1)
    assert lan.result(ticket) == "uncertain"


def test_4_2_another_removal_of_an_id_whose_removal_is_pending_shares_its_outcome() -> None:
    lan = ready("a", "b", "c")
    id, ticket = acked(lan)
    again = lan.ask("a", Ack(id))
    through_b = lan.ask("b", Ack(id))
    lan.run(0.5)
    assert [lan.result(each) for each in (ticket, again, through_b)] == ["", "", ""]
    lan.kill("c")
    lan.run(4)
    assert [lan.result(each) for each in (ticket, again, through_b)] == ["Done", "Done", "Done"]
    assert lan.ack("a", id) == "unknown"


def test_4_2_a_get_that_removes_at_delivery_waits_like_an_ack() -> None:
    lan = ready("a", "b", "c")
    lan.push("a", b"m")
    hold = lan.hold(Applied, by="c", to="a")
    ticket = lan.ask("a", Get(ack_now=True))
    lan.run(0.5)
    assert lan.result(ticket) == ""
    lan.release(hold)
    lan.run(0.01)
    assert lan.result(ticket) == "Delivered"
    assert lan.held("b", "a") == []


def test_4_2_a_removal_that_was_uncertain_is_made_known_all_the_same() -> None:
    lan = ready("a", "b")
    id = lan.push("a", b"m")
    lan.mute("a", "b")
    ticket = lan.ask("a", Ack(id))
    lan.run(10.5)
    assert lan.result(ticket) == "Done"  # b is unreachable, so no member was left to wait for
    lan.heal()
    lan.until(lambda: "b" in lan.in_session("a"))
    lan.run(0.1)
    assert lan.held("b", "a") == []


# 4.3 Refusals.


def test_4_3_with_too_few_members_a_push_is_refused_at_once_and_gets_no_id() -> None:
    lan = ready("a", "b", "c")
    lan.kill("c")
    lan.run(0.1)
    assert lan.result(lan.ask("a", Push(b"m"))) == "unreplicated"
    assert lan["a"].replicator.last == 0
    assert lan["a"].replicator.log.end == 0


def test_4_3_a_push_with_an_id_is_uncertain_after_its_time_and_never_unreplicated() -> None:
    lan = ready("a", "b", push_timeout_s=2.0)
    lan.hold(Delta, by="a", to="b")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(1.9)
    assert lan.result(ticket) == ""
    lan.run(0.2)
    assert lan.result(ticket) == "uncertain"


def test_4_3_an_uncertain_push_stays_and_is_ready_when_its_copies_come() -> None:
    lan = ready("a", "b", push_timeout_s=1.0)
    lan.kill("b")
    hold = lan.ask("a", Push(b"m"))
    lan.run(2)
    assert lan.result(hold) == "uncertain"
    assert lan.bodies("a") == []
    assert lan.held("a", "a") == [b"m"]
    assert lan["a"].stats(lan.now)["waiting"] == 1
    lan.start("b")
    lan.until(lambda: "b" in lan.in_session("a"))
    lan.run(0.1)
    assert lan.bodies("a") == [b"m"]


def test_4_3_a_push_is_uncertain_a_second_after_too_few_members_are_counted() -> None:
    lan = ready("a", "b")
    lan.hold(Applied, by="b", to="a")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.1)
    lan.kill("b")
    lan.run(0.9)
    assert lan.result(ticket) == ""
    lan.run(0.5)
    assert lan.result(ticket) == "uncertain"


def test_4_3_members_that_are_back_within_that_second_leave_a_push_its_time() -> None:
    lan = ready("a", "b", "c", copies=2)
    lan.kill("c")
    lan.run(4)
    hold = lan.hold(Delta, by="a", to="b")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.9)  # the next dial may begin soon
    lan.sever("a", "b")
    lan.drop(hold)
    lan.run(0.9)
    assert lan.result(ticket) in ("", "Pushed")
    lan.run(2)
    assert lan.result(ticket) == "Pushed"


def test_4_3_a_push_that_a_client_acknowledges_while_it_waits_is_answered_with_success() -> None:
    lan = ready("a", "b", push_timeout_s=5.0)
    hold = lan.hold(Delta, by="a", to="b")
    push = lan.ask("a", Push(b"m"))
    lan.run(0.1)
    id = MessageId("a", *next(iter(lan.holding("a", "a").replica.live_dots)))
    ack = lan.ask("a", Ack(id))
    lan.run(0.1)
    assert (lan.result(push), lan.result(ack)) == ("Pushed", "")
    lan.release(hold)
    lan.run(0.1)
    assert lan.result(ack) == "Done"
    assert lan.held("b", "a") == []


def test_4_3_a_push_whose_message_a_comparison_removes_is_answered_with_success() -> None:
    """It was delivered and removed under another incarnation."""
    lan = ready("a", "b", "c", push_timeout_s=30.0)
    lan.hold(Delta, by="a", to="b")
    ticket = lan.ask("a", Push(b"m"))
    lan.run(0.1)
    holding = lan.holding("c", "a")
    assert lan.held("c", "a") == [b"m"]
    holding.learn(lan.now, Contents(removed=holding.replica.live_dots.copy()), [], None)
    lan._turn("c")
    lan.run(0.1)
    assert lan.result(ticket) == "Pushed"
    assert lan.held("a", "a") == []


def test_4_3_a_known_key_comes_before_full_and_unreplicated() -> None:
    lan = ready("a", "b", size=1)
    key = lan.key_of("a")
    id = lan.push("a", b"m", key=key)
    assert lan.result(lan.ask("a", Push(b"other"))) == "full"
    again = pushed(lan.do("a", Push(b"m", key=key)))
    assert (again.id, again.duplicate) == (id, True)
    lan.kill("b")
    lan.run(4)
    assert lan.result(lan.ask("a", Push(b"other"))) == "unreplicated"
    again = pushed(lan.do("a", Push(b"m", key=key)))
    assert (again.id, again.duplicate, again.copies) == (id, True, 1)


def test_4_3_a_retry_that_is_not_committed_here_is_uncertain_and_never_unreplicated() -> None:
    lan = ready("a", "b", push_timeout_s=2.0)
    key = lan.key_of("a")
    lan.kill("b")
    first = lan.ask("a", Push(b"m", key=key))
    lan.run(2.5)
    again = lan.ask("a", Push(b"m", key=key))
    lan.run(2.5)
    assert (lan.result(first), lan.result(again)) == ("uncertain", "uncertain")
    assert lan.held("a", "a") == [b"m"]


def test_4_3_a_push_that_waits_for_a_slot_is_looked_at_again_when_it_has_one() -> None:
    lan = ready("a", "b", size=1)
    id = lan.push("a", b"m")
    ticket = lan.ask("a", Push(b"later", wait_s=20.0))
    lan.kill("b")
    lan.run(4)
    assert lan.result(ticket) == ""
    assert lan.ack("a", id) == "Done"
    lan.run(0.5)
    assert lan.result(ticket) == "unreplicated"


# 4.4 The bound.


def recovering(*names: str, count: int = 3, **options: float) -> Lan:
    """Return a cluster in which a restarts while its messages do not come; the digests are read."""
    lan = ready(*names, **options)
    for n in range(count):
        lan.push("a", b"%d" % n)
    lan.run(0.1)
    lan.kill("a")
    lan.hold(Fetched, to="a")
    lan.start("a")
    lan.until(lambda: lan["a"].replicator.needed == count and lan.in_session("a") == set(names) - {"a"})
    return lan


def test_4_4_messages_that_are_on_their_way_count_and_count_once() -> None:
    lan = recovering("a", "b", "c", size=4)
    assert lan["a"].replicator.needed == 3
    lan["a"].owner.queue.check_room(1, lan["a"].replicator.needed)
    with pytest.raises(Exception, match="holds 4 messages"):
        lan["a"].owner.queue.check_room(1, lan["a"].replicator.needed + 1)


def test_4_4_only_recovered_messages_exceed_the_size_and_then_pushes_are_refused() -> None:
    lan = ready("a", "b", "c", size=2, copies=1)
    lan.isolate("a", "b", "c")
    lan.push("a", b"1")
    lan.push("a", b"2")
    lan.start("a2", node="a", start_wait_s=4.0)
    lan.until(lambda: lan.phase("a2") == "serving" and lan["a2"].life.was_ready)
    lan.push("a2", b"3")
    lan.heal()
    lan.until(lambda: "a" in lan.departures)
    lan.run(1)
    assert len(lan.held("a2", "a")) == 3
    assert lan.result(lan.ask("a2", Push(b"4"))) == "full"
    for delivery in lan.get("a2")[:2]:
        lan.ack("a2", delivery.receipt.id)
    assert lan.result(lan.ask("a2", Push(b"4"))) == "Pushed"


def test_4_4_a_full_queue_takes_no_push_while_messages_wait_for_their_copies() -> None:
    lan = ready("a", "b", size=1)
    lan.hold(Delta, by="a", to="b")
    lan.ask("a", Push(b"m"))
    assert lan.result(lan.ask("a", Push(b"n"))) == "full"


# 4.5 Unknown ids.


def test_4_5_an_id_of_this_incarnation_that_is_not_live_is_unknown_at_once() -> None:
    lan = ready("a", "b")
    own = lan["a"].replicator.incarnation
    assert own is not None
    lan.partition("a", "b")
    assert lan.result(lan.ask("a", Ack(MessageId("a", own, 7)))) == "unknown"


def test_4_5_an_older_id_is_unknown_when_it_was_removed_or_all_members_are_recovered() -> None:
    lan = ready("a", "b")
    id = lan.push("a", b"m")
    lan.ack("a", id)
    old = MessageId("a", id.incarnation, 99)
    lan.kill("a")
    lan.run(0.1)
    lan.start("a")
    lan.until(lambda: lan.phase("a") == "serving")
    assert lan.ack("a", id) == "unknown"
    assert lan.ack("a", old) == "unknown"
    lan.kill("b")
    lan.run(4)
    assert lan.ack("a", id) == "unknown"
    assert lan.ack("a", old) == "owner_down"


def test_4_5_an_older_id_is_starting_while_a_present_member_is_still_recovered_from() -> None:
    lan = ready("a", "b", "c", copies=1)
    lan.kill("c")
    lan.run(4)
    id = lan.push("a", b"m")
    lan.kill("a")
    lan.run(0.1)
    lan.start("a", start_wait_s=4.0)
    lan.until(lambda: lan.phase("a") == "serving")
    old = MessageId("a", id.incarnation, 99)
    assert lan.ack("a", old) == "owner_down"
    hold = lan.hold(PageRead, by="c", to="a")
    lan.start("c")
    lan.until(lambda: lan["a"].cluster.members["c"].is_present)
    assert lan.ack("a", old) == "starting"
    lan.release(hold)
    lan.run(0.1)
    assert lan.ack("a", old) == "unknown"


def test_4_5_an_operation_on_a_message_that_is_being_recovered_is_starting() -> None:
    lan = ready("a", "b", "c", copies=1, start_wait_s=4.0)
    lan.isolate("a", "b", "c")
    id = lan.push("a", b"m")
    lan.start("a2", node="a")
    lan.until(lambda: lan.phase("a2") == "serving")
    hold = lan.hold(Fetched, to="a2")
    lan.heal()
    lan.until(lambda: lan["a2"].replicator.needed)
    assert lan.ack("a2", id) == "starting"
    assert lan.ack("b", id) == "starting"
    lan.release(hold)
    lan.run(1)
    assert lan.ack("b", id) == "Done"


def test_4_5_an_id_of_a_node_that_is_not_a_member_is_owner_down() -> None:
    lan = ready("a", "b")
    id = lan.push("a", b"m")
    assert lan.ack("a", id._replace(node="z")) == "owner_down"


def test_4_5_an_id_with_a_greater_incarnation_than_any_known_is_treated_like_an_older_one() -> None:
    lan = ready("a", "b")
    forged = MessageId("a", "0ZZZZZZZZZZZZZZZZZZZZZZZZZ", 1)
    assert lan.ack("a", forged) == "unknown"
    lan.kill("b")
    lan.run(4)
    lan.kill("a")
    lan.start("a", start_wait_s=1.0)
    lan.until(lambda: lan.phase("a") == "serving")
    assert lan.ack("a", forged) == "owner_down"
    assert lan.phase("a") == "serving"


def test_4_5_a_lease_that_another_incarnation_gave_is_lost() -> None:
    lan = ready("a", "b")
    lan.push("a", b"m")
    (delivery,) = lan.get("a")
    lan.kill("a")
    lan.run(0.1)
    lan.start("a")
    lan.until(lambda: lan.phase("a") == "serving")
    assert lan.result(lan.ask("a", Nack(delivery.receipt))) == "lease_lost"
    assert lan.bodies("a") == [b"m"]


def test_4_a_replicator_alone_confirms_everything_at_once() -> None:
    replicator = Replicator(NodeSettings(), Sessions())
    replicator.incarnation = "01HF0000000000000000000000"
    dot = replicator.push(0.0, message(("01HF0000000000000000000000", 1)), 1)
    assert [waiting.dots for waiting in replicator.committed()] == [(dot,)]
    replicator.pump(0.0, {}, 0, is_whole=True)
    assert replicator.log.end == replicator.log.start == 1


def test_4_1_a_long_digest_does_not_hold_up_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    lan = ready("a", "b")
    ids = [lan.push("a", b"%d" % n) for n in range(8)]
    for id in ids[::2]:
        lan.ack("a", id)
    monkeypatch.setattr(Replica, "page", partialmethod(Replica.page, ints_max=2))
    lan.sever("a", "b")
    lan.hold(PageRead, by="b", to="a", when=lambda page: page.after is not None)
    lan.run(2)
    assert not lan.in_session("a")
    lan.push("a", b"meanwhile")
