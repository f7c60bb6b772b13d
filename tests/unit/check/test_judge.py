"""Every kind of broken promise is found in a history, and nothing that is allowed is held against a cluster."""

from typing import Any

import pytest
from attrs import evolve

from tests.unit.check.story import Story, id_of, second

m1, m2 = id_of(1), id_of(2)
again = "acknowledged, again after a change of owner"
doubled = "one push, two messages"
in_order = "first deliveries out of order (quiet run)"
two_leases = "two leases at the same time"


def calm() -> Story:
    """A node that served all the time."""
    return Story().seen(-10, 60)


def test_a_message_that_was_pushed_delivered_and_removed_is_fine() -> None:
    story = calm().push(1, "x", m1).get(2, m1, "x").ack(3, m1)
    assert story.violations() == {}
    assert "VIOLATION" not in story.verdict().table()


# Lost.


def test_a_message_that_nobody_removed_and_nobody_gets_is_lost() -> None:
    story = calm().push(1, "x", m1)
    assert story.violations() == {"lost": 1}
    assert f"lost: {m1} (x)" in story.verdict().table()
    assert story.get(2, m1, "x").violations() == {"lost": 1}


def test_a_removal_that_was_refused_removes_nothing() -> None:
    assert calm().push(1, "x", m1).get(2, m1, "x").ack(3, m1, "owner_down").violations() == {"lost": 1}


@pytest.mark.parametrize("code", ["", "uncertain", "lost"])
def test_a_removal_that_may_have_happened_explains_an_absence(code: str) -> None:
    assert calm().push(1, "x", m1).ack(3, m1, code).violations() == {}


def test_a_message_that_was_removed_at_delivery_is_not_lost() -> None:
    assert calm().push(1, "x", m1).get(2, m1, "x", ack_now=True).violations() == {}


def test_a_lost_answer_to_a_removing_get_explains_as_many_messages_as_it_asked_for() -> None:
    story = calm()
    for n in (1, 2, 3):
        story.push(n, f"x{n}", id_of(n))
    assert story.lost_get(10, 2).violations() == {"lost": 1}
    assert story.informed() == {"gone with a lost answer to ack=now": 2}


def test_a_lost_answer_explains_no_message_that_came_later() -> None:
    assert calm().lost_get(1, 5).push(2, "x", m1).violations() == {"lost": 1}


@pytest.mark.parametrize("code", ["uncertain", "lost", "full", "unreplicated"])
def test_a_push_without_success_need_not_be_there(code: str) -> None:
    assert calm().refused(1, "x", code).violations() == {}


# Unexpected.


def test_a_message_that_nobody_pushed_is_unexpected() -> None:
    assert calm().get(1, m1, "y").ack(2, m1).violations() == {"unexpected": 1}


def test_an_id_with_two_bodies_is_unexpected() -> None:
    story = calm().push(1, "x", m1).push(1, "y", m1).get(2, m1, "x").ack(3, m1)
    assert story.violations() == {"unexpected": 1}


def test_a_delivery_before_the_push_is_unexpected() -> None:
    assert calm().get(1, m1, "x").push(2, "x", m1).ack(3, m1).violations() == {"unexpected": 1}


# Refused, and yet there.


@pytest.mark.parametrize("code", ["full", "unreplicated", "draining", "owner_down"])
def test_a_refused_message_must_not_be_delivered(code: str) -> None:
    assert calm().refused(1, "x", code).get(2, m1, "x").ack(3, m1).violations() == {"failed, but delivered": 1}


@pytest.mark.parametrize("code", ["uncertain", "lost"])
def test_a_message_in_doubt_may_be_delivered(code: str) -> None:
    assert calm().refused(1, "x", code).get(2, m1, "x").ack(3, m1).violations() == {}


def test_a_refusal_does_not_speak_of_an_earlier_try() -> None:
    story = calm().refused(1, "x", "lost", key="k").refused(2, "x", "full", key="k").get(3, m1, "x").ack(4, m1)
    assert story.violations() == {}


def test_a_message_that_a_node_denied_must_not_be_delivered_later() -> None:
    story = calm().push(1, "x", m1).ack(2, m1, "unknown").get(3, m1, "x").ack(4, m1)
    assert story.violations() == {"said to be unknown, but delivered": 1}


def test_a_message_that_somebody_else_may_have_removed_may_be_denied() -> None:
    assert calm().push(1, "x", m1).ack(1.5, m1, "lost").ack(2, m1, "unknown").violations() == {}


# Resurrected.


def test_a_removed_message_must_not_come_back_from_the_same_process() -> None:
    assert calm().push(1, "x", m1).ack(2, m1).get(3, m1, "x").violations() == {"resurrected": 1}
    assert calm().push(1, "x", m1).get(2, m1, "x", ack_now=True).get(3, m1, "x", 2).violations() == {"resurrected": 1}


def test_a_delivery_that_was_asked_for_before_the_removal_was_answered_is_fine() -> None:
    assert calm().push(1, "x", m1).get(2.05, m1, "x").ack(2, m1).violations() == {}


def replaced(*, peer_lives: bool, met: bool) -> Story:
    """A removal that peer b confirmed; then the owner was replaced, and the message came back."""
    story = Story().seen(0, 10, peers=("b",)).seen(12, 40, incarnation=second, peers=("b",) if met else ())
    story.seen(0, 40, "b") if peer_lives else story.seen(0, 9, "b").seen(13, 40, "b", second)
    return story.push(1, "x", m1).ack(5, m1).get(20, m1, "x", lease_s=1).ack(25, m1)


def test_a_removal_that_a_living_peer_knew_holds_under_the_next_owner_that_met_it() -> None:
    assert replaced(peer_lives=True, met=True).violations() == {"resurrected": 1}


@pytest.mark.parametrize(("peer_lives", "met"), [(False, True), (True, False)])
def test_a_removal_that_nobody_could_tell_of_may_be_undone(peer_lives: bool, met: bool) -> None:
    story = replaced(peer_lives=peer_lives, met=met)
    assert story.violations() == {}
    assert story.informed() == {again: 1}


# Leases.


def test_two_leases_at_the_same_time() -> None:
    assert calm().push(1, "x", m1).get(2, m1, "x").get(5, m1, "x", 2).ack(9, m1).violations() == {two_leases: 1}


def test_a_lease_that_is_over_is_over() -> None:
    assert calm().push(1, "x", m1).get(2, m1, "x").get(12, m1, "x", 2).ack(13, m1).violations() == {}


def test_an_answer_that_took_long_says_little_about_when_the_lease_began() -> None:
    story = calm().push(1, "x", m1).get(2, m1, "x", 1, 3.0, ended=9.0).get(6, m1, "x", 2).ack(13, m1)
    assert story.violations() == {}


@pytest.mark.parametrize(("result", "code"), [("ok", ""), ("unknown", "lost")])
def test_a_message_that_was_given_back_may_go_to_the_next(result: str, code: str) -> None:
    story = calm().push(1, "x", m1).get(2, m1, "x").nack(3, m1, result=result, code=code)
    assert story.get(4, m1, "x", 2).ack(9, m1).violations() == {}


def test_a_refused_nack_gives_nothing_back() -> None:
    story = calm().push(1, "x", m1).get(2, m1, "x").nack(3, m1, result="fail", code="owner_down")
    assert story.get(4, m1, "x", 2).ack(9, m1).violations() == {two_leases: 1}


def test_a_touch_makes_a_lease_longer_or_shorter() -> None:
    longer = calm().push(1, "x", m1).get(2, m1, "x", 1, 2.0).touch(3, m1, 20.0).get(8, m1, "x", 2).ack(9, m1)
    assert longer.violations() == {two_leases: 1}
    shorter = calm().push(1, "x", m1).get(2, m1, "x", 1, 20.0).touch(3, m1, 1.0).get(8, m1, "x", 2).ack(9, m1)
    assert shorter.violations() == {}


def test_a_touch_in_doubt_is_not_held_against_anybody() -> None:
    story = calm().push(1, "x", m1).get(2, m1, "x", 1, 2.0).touch(3, m1, 20.0, result="unknown", code="lost")
    assert story.get(8, m1, "x", 2).ack(9, m1).violations() == {}


def test_a_new_owner_forgets_leases() -> None:
    story = Story().seen(0, 3).seen(4, 20, incarnation=second)
    assert story.push(1, "x", m1).get(2, m1, "x").get(6, m1, "x").ack(9, m1).violations() == {}


# Order.


def quiet() -> Story:
    story = calm()
    story.history.quiet = True
    return story.push(1, "x", m1).push(1.2, "y", m2)


def test_first_deliveries_are_in_order() -> None:
    assert quiet().get(2, m2, "y").get(3, m1, "x").ack(4, m1).ack(4, m2).violations() == {in_order: 1}
    assert quiet().get(2, m1, "x").get(3, m2, "y").ack(4, m1).ack(4, m2).violations() == {}


def test_gets_at_the_same_time_have_no_order() -> None:
    assert quiet().get(2.05, m2, "y").get(2, m1, "x").ack(4, m1).ack(4, m2).violations() == {}


def test_a_message_that_came_later_overtakes_nobody() -> None:
    story = calm().push(3, "x", m1).push(1, "y", m2)
    story.history.quiet = True
    assert story.get(2, m2, "y").get(4, m1, "x").ack(5, m1).ack(5, m2).violations() == {}


def test_order_is_not_judged_where_things_fail_or_several_owners_gave_messages() -> None:
    story = quiet().get(2, m2, "y").get(3, m1, "x").ack(4, m1).ack(4, m2)
    story.push(5, "z", id_of(1, "b")).ack(6, id_of(1, "b"))
    assert story.violations() == {}
    assert story.informed() == {in_order: 1}
    story.history.quiet = False
    assert story.informed() == {}


# Keys.


def test_one_push_is_one_message() -> None:
    story = calm().push(1, "x", m1, key="k").push(2, "x", m2, key="k").ack(3, m1).ack(3, m2)
    assert story.violations() == {doubled: 1}


def test_a_repeated_push_with_a_key_that_answers_the_same_id_is_fine() -> None:
    assert calm().push(1, "x", m1, key="k").push(2, "x", m1, key="k").ack(3, m1).violations() == {}


@pytest.mark.parametrize(
    ("code", "changes", "key", "found"),
    [
        ("uncertain", True, "k", {}),
        ("unreplicated", True, "k", {doubled: 1}),
        ("uncertain", False, "k", {doubled: 1}),
        ("uncertain", True, "", {doubled: 1}),
    ],
)
def test_the_one_exception_needs_a_key_doubt_and_a_change_of_owner(
    code: str, changes: bool, key: str, found: dict[str, int]
) -> None:
    story = Story().seen(0, 3).seen(4, 20, incarnation=second) if changes else calm()
    story.refused(1, "x", code, key=key).push(2, "x", m2, key=key).get(10, m2, "x").get(10, m1, "x")
    assert story.ack(11, m1).ack(11, m2).violations() == found


# What a history does not tell.


def done() -> Story:
    """A history in which everything was tried, and all is well."""
    return calm().push(1, "x", m1).get(2, m1, "x").ack(3, m1)


def test_a_history_in_which_all_is_well() -> None:
    assert (done().verdict().status, done().verdict().untold) == (0, ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"finished": False}, "the history has no end"),
        ({"serving_after_s": None}, "not every node served within a minute after the load"),
        ({"left": None}, "not every node answered after the drain"),
    ],
)
def test_a_run_that_was_not_finished_does_not_tell_what_was_lost(change: dict[str, Any], reason: str) -> None:
    story = done().push(1, "y", m2)
    story.history = evolve(story.history, **change)
    verdict = story.verdict()
    assert (verdict.status, verdict.untold) == (2, (reason,))
    assert f"CANNOT TELL: {reason}" in verdict.table()
    story.get(4, m2, "z")
    assert story.verdict().status == 1


def test_messages_that_no_client_gets_are_left() -> None:
    story = done()
    story.history.left = 3
    assert story.violations() == {"left after the drain": 1}


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story(), "no push was accepted: none was made"),
        (calm().refused(1, "x", "full").refused(1, "y", "refused").refused(1, "z", "full"), "full 2, refused 1"),
        (calm().push(1, "x", m1).ack(2, m1, "lost"), "no message was delivered"),
        (calm().push(1, "x", m1).get(2, m1, "x").ack(3, m1, "lost"), "no message was acknowledged"),
    ],
)
def test_a_run_in_which_something_never_worked_is_not_ok(story: Story, reason: str) -> None:
    verdict = story.verdict()
    assert (verdict.status, len(verdict.untold)) == (2, 1)
    assert verdict.untold[0].endswith(reason)
