"""What a client of a cluster of one notices of the queue: order, bound, leases, receipts, keys, and who waits."""

import pytest

from dqtw.core.model import key_memory
from dqtw.core.model.commands import (
    Ack,
    Delivered,
    Done,
    Get,
    GiveBack,
    Inspect,
    Nack,
    Push,
    Pushed,
    State,
    Touch,
    get_bytes_max,
    get_count_max,
    wait_max_s,
)
from dqtw.core.model.message import MessageId, Receipt
from dqtw.core.model.settings import NodeSettings
from tests.unit.core.world import World, code, expect, stale

HALF_A_GIB = 2**29


def bounded(size: int, *, max_bytes: int = HALF_A_GIB) -> World:
    return World(NodeSettings(size=size, max_bytes=max_bytes))


def one_leased(lease_s: float | None = None) -> tuple[World, Receipt]:
    world = World()
    world.push(b"work")
    return world, world.get_one(lease_s=lease_s).receipt


# Pushes and gets.


def test_messages_come_out_in_the_order_they_went_in() -> None:
    world = World()
    for n in range(20):
        world.push(b"%d" % n)
    assert world.bodies(7) + world.bodies(7) + world.bodies() == [b"%d" % n for n in range(20)]


def test_a_message_comes_out_as_it_went_in() -> None:
    world = World()
    world.tell(Push(b"\x00\xff", "image/x-nothing", key="k"))
    message = world.get_one().message
    assert (message.body, message.content_type, message.key) == (b"\x00\xff", "image/x-nothing", "k")


def test_a_push_says_what_it_is_called_and_how_many_nodes_hold_it() -> None:
    world = World(NodeSettings(node="n1"))
    pushed = expect(Pushed, world.tell(Push(b"")))
    assert (pushed.copies, pushed.members, pushed.duplicate) == (1, 1, False)
    assert (pushed.id.node, pushed.id.n) == ("n1", 1)
    assert world.push().n == 2


def test_an_id_is_never_given_twice_also_when_its_message_is_gone() -> None:
    world = bounded(1)
    ids = []
    for _ in range(5):
        ids.append(world.push())
        world.ack(ids[-1])
        assert world.refused(Ack(ids[-1])) == "unknown"
    assert len(set(ids)) == 5


def test_a_get_of_an_empty_queue_brings_nothing() -> None:
    assert World().get() == []


def test_a_get_brings_as_many_as_it_may_and_there_are() -> None:
    world = World()
    for _ in range(5):
        world.push()
    assert [len(world.get(3)), len(world.get(3)), len(world.get(3))] == [3, 2, 0]


def test_one_get_brings_no_more_than_the_limit() -> None:
    world = World(NodeSettings(size=get_count_max + 1))
    for _ in range(get_count_max + 1):
        world.push()
    assert len(world.get(10 * get_count_max)) == get_count_max


def test_a_get_for_no_messages_is_answered_all_the_same() -> None:
    """Every request has an answer; with ``ack=now`` too."""
    world = World()
    world.push()
    assert world.get(0) == []
    assert world.get(0, ack_now=True) == []
    assert world.stat("ready") == 1


def test_a_get_stops_once_it_has_a_lot_of_bytes() -> None:
    """A worker that asks for many large messages does not bring the server down, and always gets one."""
    large = get_bytes_max // 2 + 1
    world = World(NodeSettings(max_message=2 * get_bytes_max))
    for _ in range(3):
        world.push(bytes(large))
    world.push(bytes(get_bytes_max + 1))
    assert [len(world.get(4)), len(world.get(4)), len(world.get(4))] == [2, 2, 0]


def test_a_message_leased_to_one_worker_is_hidden_from_the_others() -> None:
    world, _ = one_leased()
    assert world.get() == []


def test_a_delivery_names_its_attempt_and_its_lease() -> None:
    world = World(NodeSettings(lease_s=7.0))
    world.push()
    first = world.get_one()
    world.tell(Nack(first.receipt))
    second = world.get_one(lease_s=3.0)
    assert (first.attempt, first.lease_s, second.attempt, second.lease_s) == (1, 7.0, 2, 3.0)


def test_each_delivery_has_a_receipt_of_its_own() -> None:
    world, first = one_leased()
    world.tell(Nack(first))
    second = world.get_one().receipt
    assert second.id == first.id
    assert second.token != first.token


def test_receipts_of_another_process_fit_no_lease_of_this_one() -> None:
    """After a restart a worker of before can't nack or touch what was delivered anew."""
    one, other = World(seed=1), World(seed=2)
    for world in (one, other):
        world.push()
    assert one.get_one().receipt.token != other.get_one().receipt.token


def test_a_receipt_reads_back_as_what_it_was() -> None:
    _, receipt = one_leased()
    assert Receipt.parse(str(receipt)) == receipt


def test_ack_now_removes_at_delivery() -> None:
    world = World()
    id = world.push(b"once")
    (delivery,) = world.get(ack_now=True)
    assert delivery.message.body == b"once"
    assert world.refused(Inspect(id)) == "unknown"
    world.sleep(1000.0)
    assert world.get() == []


def test_ack_now_of_several_brings_them_in_one_answer() -> None:
    world = World()
    for n in range(3):
        world.push(b"%d" % n)
    assert [each.message.body for each in world.get(3, ack_now=True)] == [b"0", b"1", b"2"]
    assert world.stat("queueSize") == 0


def test_ack_now_of_nothing_is_answered() -> None:
    assert World().get(ack_now=True) == []


# The bound.


def test_a_full_queue_refuses_and_never_evicts() -> None:
    world = bounded(2)
    world.push(b"a")
    world.push(b"b")
    assert world.refused(Push(b"c")) == "full"
    assert world.bodies() == [b"a", b"b"]


def test_leased_and_delayed_messages_keep_their_slots() -> None:
    """Else a nack, or the end of a lease, would find its place taken."""
    world = bounded(3)
    for _ in range(3):
        world.push()
    world.tell(Nack(world.get_one().receipt, delay_s=5.0))
    world.get_one()
    assert [world.stat(name) for name in ("ready", "leased", "delayed")] == [1, 1, 1]
    assert world.refused(Push(b"")) == "full"


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_bound_is_exactly_the_size(size: int) -> None:
    world = bounded(size)
    for _ in range(size):
        world.push()
    assert world.refused(Push(b"")) == "full"
    world.ack(world.get_one().receipt.id)
    world.push()
    assert world.refused(Push(b"")) == "full"
    assert world.stat("queueSize") == size


def test_reaching_max_bytes_is_full_too() -> None:
    world = bounded(100, max_bytes=10)
    id = world.push(b"123456")
    world.push(b"7890")
    assert world.refused(Push(b"x")) == "full"
    world.ack(id)
    world.push(b"123456")


def test_a_message_past_max_message_is_too_large() -> None:
    world = World(NodeSettings(max_message=4))
    world.push(b"1234")
    assert world.refused(Push(b"12345")) == "too_large"


def test_a_message_that_max_bytes_never_has_room_for_is_too_large() -> None:
    """Even when it would wait: it would wait in vain, and everybody behind it."""
    world = bounded(1, max_bytes=4)
    world.push(b"1")
    assert world.refused(Push(b"12345", wait_s=30.0)) == "too_large"


# Pushes that wait for a slot.


def test_a_push_waits_for_its_slot() -> None:
    world = bounded(1)
    id = world.push(b"a")
    waiting = world.ask(Push(b"b", wait_s=10.0))
    assert not world.is_answered(waiting)
    world.sleep(5.0)
    world.ack(id)
    expect(Pushed, world.answers[waiting])
    assert world.bodies() == [b"b"]


def test_slots_go_to_those_who_waited_in_the_order_in_which_they_came() -> None:
    world = bounded(2)
    ids = [world.push(), world.push()]
    first, second, third = (world.ask(Push(body, wait_s=10.0)) for body in (b"1", b"2", b"3"))
    world.ack(ids[1])
    assert (world.is_answered(first), world.is_answered(second)) == (True, False)
    world.ack(ids[0])
    assert (world.is_answered(second), world.is_answered(third)) == (True, False)
    assert world.bodies() == [b"1", b"2"]


def test_a_push_that_waits_in_vain_is_full_and_not_on_the_queue() -> None:
    world = bounded(1)
    world.push(b"a")
    waiting = world.ask(Push(b"b", wait_s=10.0))
    world.sleep(9.9)
    assert not world.is_answered(waiting)
    world.sleep(0.1)
    assert code(world.answers[waiting]) == "full"
    assert world.get(ack_now=True)
    assert world.get() == []


def test_a_push_whose_client_left_while_it_waited_is_not_on_the_queue() -> None:
    world = bounded(1)
    id = world.push(b"a")
    left, stayed = world.ask(Push(b"left", wait_s=10.0)), world.ask(Push(b"stayed", wait_s=10.0))
    assert world.leave(left)
    world.ack(id)
    assert world.is_answered(stayed)
    assert world.bodies() == [b"stayed"]


def test_a_push_that_has_its_slot_stays_when_its_client_leaves() -> None:
    world = World()
    ticket = world.ask(Push(b"a"))
    assert not world.leave(ticket)
    assert world.bodies() == [b"a"]


def test_nobody_overtakes_those_who_wait_for_a_slot() -> None:
    """A large message is not starved by small ones."""
    world = bounded(100, max_bytes=10)
    world.push(b"123456")
    large = world.ask(Push(b"1234567890", wait_s=10.0))
    assert world.refused(Push(b"x")) == "full"
    small = world.ask(Push(b"y", wait_s=20.0))
    assert not world.is_answered(small)
    world.sleep(10.0)
    assert code(world.answers[large]) == "full"
    expect(Pushed, world.answers[small])


def test_who_stood_behind_one_that_left_is_served_at_once() -> None:
    world = bounded(100, max_bytes=10)
    world.push(b"123456")
    large, small = world.ask(Push(b"1234567890", wait_s=10.0)), world.ask(Push(b"y", wait_s=10.0))
    world.leave(large)
    expect(Pushed, world.answers[small])


def test_one_removal_may_make_room_for_many() -> None:
    world = bounded(100, max_bytes=10)
    id = world.push(b"1234567890")
    waiting = [world.ask(Push(b"12", wait_s=10.0)) for _ in range(6)]
    world.ack(id)
    assert [world.is_answered(ticket) for ticket in waiting] == [True] * 5 + [False]


def test_a_waiting_push_takes_the_slot_that_ack_now_frees() -> None:
    world = bounded(1)
    world.push(b"a")
    waiting = world.ask(Push(b"b", wait_s=10.0))
    assert [each.message.body for each in world.get(ack_now=True)] == [b"a"]
    assert world.is_answered(waiting)


def test_the_age_of_a_message_counts_from_when_it_was_taken() -> None:
    world = bounded(1)
    id = world.push()
    waiting = world.ask(Push(b"b", wait_s=10.0))
    world.sleep(5.0)
    world.ack(id)
    world.sleep(2.0)
    assert world.inspect(expect(Pushed, world.answers[waiting]).id).age_s == 2.0


# Gets that wait for a message.


def test_a_long_poll_brings_a_message_as_soon_as_it_is_pushed() -> None:
    world = World()
    poll = world.ask(Get(wait_s=10.0))
    assert not world.is_answered(poll)
    world.push(b"a")
    assert world.brought(poll) == [b"a"]


def test_a_long_poll_in_vain_is_answered_empty_when_its_time_is_over() -> None:
    world = World()
    poll = world.ask(Get(wait_s=10.0))
    world.sleep(9.9)
    assert not world.is_answered(poll)
    world.sleep(0.1)
    assert world.answers[poll] == Delivered()


def test_polls_are_served_in_the_order_in_which_they_came() -> None:
    world = World()
    polls = [world.ask(Get(wait_s=10.0)) for _ in range(3)]
    for n in range(3):
        world.push(b"%d" % n)
    assert [world.brought(poll) for poll in polls] == [[b"0"], [b"1"], [b"2"]]


def test_one_message_wakes_one_poll() -> None:
    world = World()
    first, second = world.ask(Get(wait_s=10.0)), world.ask(Get(wait_s=10.0))
    world.push()
    assert (world.is_answered(first), world.is_answered(second)) == (True, False)


def test_a_poll_whose_client_left_gets_no_message_leased() -> None:
    world = World()
    left, stayed = world.ask(Get(wait_s=10.0)), world.ask(Get(wait_s=10.0))
    assert world.leave(left)
    id = world.push(b"a")
    assert world.brought(stayed) == [b"a"]
    assert world.inspect(id).attempts == 1


def test_a_poll_that_has_its_message_can_no_longer_be_withdrawn() -> None:
    world = World()
    poll = world.ask(Get(wait_s=10.0))
    world.push()
    assert not world.leave(poll)


def test_who_was_never_there_can_leave() -> None:
    assert not World().leave(7)


def test_a_poll_for_many_takes_what_there_is_and_does_not_wait_for_more() -> None:
    world = World()
    poll = world.ask(Get(10, wait_s=10.0))
    world.push(b"a")
    assert world.brought(poll) == [b"a"]


def test_a_poll_with_ack_now_removes_what_it_brings() -> None:
    world = World()
    poll = world.ask(Get(wait_s=10.0, ack_now=True))
    world.push(b"a")
    assert world.brought(poll) == [b"a"]
    assert world.stat("queueSize") == 0


def test_a_nack_wakes_who_has_waited_longest() -> None:
    world, receipt = one_leased()
    first, second = world.ask(Get(wait_s=10.0)), world.ask(Get(wait_s=10.0))
    world.tell(Nack(receipt))
    assert (world.is_answered(first), world.is_answered(second)) == (True, False)


def test_the_end_of_a_lease_wakes_who_has_waited_longest() -> None:
    world, _ = one_leased(lease_s=5.0)
    first, second = world.ask(Get(wait_s=10.0)), world.ask(Get(wait_s=10.0))
    world.sleep(4.9)
    assert not world.is_answered(first)
    world.sleep(0.1)
    assert (world.is_answered(first), world.is_answered(second)) == (True, False)


def test_the_end_of_a_delay_wakes_who_has_waited_longest() -> None:
    world, receipt = one_leased()
    first, second = world.ask(Get(wait_s=10.0)), world.ask(Get(wait_s=10.0))
    world.tell(Nack(receipt, delay_s=5.0))
    world.sleep(4.9)
    assert not world.is_answered(first)
    world.sleep(0.1)
    assert (world.is_answered(first), world.is_answered(second)) == (True, False)


def test_a_delivery_given_back_wakes_who_has_waited_longest() -> None:
    world, receipt = one_leased()
    poll = world.ask(Get(wait_s=10.0))
    world.tell(GiveBack(receipt))
    assert world.brought(poll) == [b"work"]


def test_nobody_overtakes_a_waiting_poll_also_when_the_timer_is_late() -> None:
    """A message whose lease ended goes to who has waited for it, not to who happens to ask first then."""
    world, _ = one_leased(lease_s=5.0)
    waited = world.ask(Get(wait_s=10.0))
    world.oversleep(6.0)
    newcomer = world.ask(Get())
    assert world.brought(waited) == [b"work"]
    assert world.brought(newcomer) == []


@pytest.mark.parametrize("wait_s", [wait_max_s + 0.5, 1e9, 1e300])
def test_nobody_waits_longer_than_the_limit(wait_s: float) -> None:
    world = bounded(1)
    poll = world.ask(Get(wait_s=wait_s))
    world.sleep(wait_max_s)
    assert world.answers[poll] == Delivered()
    world.push()
    push = world.ask(Push(b"", wait_s=wait_s))
    world.sleep(wait_max_s)
    assert code(world.answers[push]) == "full"
    assert wait_max_s == 30.0


def test_only_so_many_requests_may_wait() -> None:
    """Past the limit a client is told at once, and the memory stays flat; what need not wait is served."""
    world = World(NodeSettings(size=1, max_waiting=2))
    polls = [world.ask(Get(wait_s=10.0)) for _ in range(2)]
    assert world.refused(Get(wait_s=10.0)) == "busy"
    assert world.get() == []
    world.leave(polls[0])
    world.ask(Get(wait_s=10.0))
    assert world.refused(Get(wait_s=10.0)) == "busy"


def test_polls_and_pushes_that_wait_are_counted_together() -> None:
    world = World(NodeSettings(size=1, max_waiting=2))
    world.push()
    world.get_one()
    world.ask(Get(wait_s=10.0))
    world.ask(Push(b"", wait_s=10.0))
    assert world.refused(Push(b"", wait_s=10.0)) == "busy"
    assert world.refused(Push(b"")) == "full"


# Acknowledgements, nacks, touches.


def test_an_ack_removes_the_message_for_ever() -> None:
    world, receipt = one_leased()
    world.ack(receipt.id)
    world.sleep(1000.0)
    assert world.get() == []
    assert world.refused(Ack(receipt.id)) == "unknown"


def test_a_message_can_be_removed_that_was_never_leased() -> None:
    world = World()
    first, second = world.push(b"a"), world.push(b"b")
    world.ack(first)
    assert world.get_one().receipt.id == second


def test_an_ack_works_also_when_the_lease_has_ended() -> None:
    """The work was done; nobody should do it again."""
    world, receipt = one_leased(lease_s=5.0)
    world.sleep(6.0)
    assert world.state(receipt.id) is State.READY
    world.ack(receipt.id)
    assert world.get() == []


def test_an_ack_works_also_when_another_worker_has_the_message() -> None:
    world, first = one_leased(lease_s=5.0)
    world.sleep(6.0)
    second = world.get_one().receipt
    world.ack(first.id)
    assert world.refused(Touch(second)) == "unknown"
    assert world.refused(Nack(second)) == "unknown"


def test_a_delayed_message_can_be_acknowledged() -> None:
    world, receipt = one_leased()
    world.tell(Nack(receipt, delay_s=5.0))
    world.ack(receipt.id)
    world.sleep(10.0)
    assert world.get() == []


def test_what_never_was_is_unknown_and_what_another_node_owns_is_with_that() -> None:
    """The id of a node that is not a member may be of a member that was taken out of the configuration here."""
    world = World()
    id = world.push()
    never = MessageId(id.node, id.incarnation, 99)
    elsewhere = MessageId("other", id.incarnation, id.n)
    before = MessageId(id.node, "0" * 26, id.n)
    for absent, expected in ((never, "unknown"), (elsewhere, "owner_down"), (before, "unknown")):
        receipt = Receipt(absent, "t")
        for command in (Ack(absent), Inspect(absent), Nack(receipt), Touch(receipt), GiveBack(receipt)):
            assert world.refused(command) == expected
    assert world.stat("ready") == 1


def test_a_nacked_message_is_ready_at_its_old_place() -> None:
    world = World()
    for body in (b"a", b"b", b"c"):
        world.push(body)
    first = world.get_one()
    world.get_one()
    assert world.tell(Nack(first.receipt)) == Done()
    assert world.bodies() == [b"a", b"c"]


def test_a_message_whose_lease_ended_is_ready_at_its_old_place() -> None:
    world = World()
    for body in (b"a", b"b", b"c"):
        world.push(body)
    world.get_one(lease_s=9.0)
    world.get_one(lease_s=5.0)
    world.sleep(10.0)
    assert world.bodies() == [b"a", b"b", b"c"]


def test_a_message_whose_delay_ended_is_ready_at_its_old_place() -> None:
    world = World()
    for body in (b"a", b"b"):
        world.push(body)
    world.tell(Nack(world.get_one().receipt, delay_s=5.0))
    world.sleep(4.9)
    assert world.state(MessageId("node", world.push().incarnation, 1)) is State.DELAYED
    world.sleep(0.1)
    assert world.bodies(1) == [b"a"]


def test_nothing_is_dropped_after_ever_so_many_deliveries() -> None:
    world, _ = one_leased(lease_s=1.0)
    for attempt in range(2, 200):
        world.sleep(1.0)
        assert world.get_one(lease_s=1.0).attempt == attempt


def test_a_lease_that_has_ended_can_be_neither_touched_nor_given_up() -> None:
    world, receipt = one_leased(lease_s=5.0)
    world.sleep(5.0)
    assert world.refused(Touch(receipt)) == "lease_lost"
    assert world.refused(Nack(receipt)) == "lease_lost"
    assert world.refused(GiveBack(receipt)) == "lease_lost"


def test_the_receipt_of_an_earlier_delivery_is_out_of_date() -> None:
    """A slow worker can't take the lease away from the one that has the message now."""
    world, first = one_leased(lease_s=5.0)
    world.sleep(6.0)
    second = world.get_one(lease_s=5.0).receipt
    for command in (Touch(first), Nack(first), GiveBack(first)):
        assert world.refused(command) == "lease_lost"
    assert world.tell(Touch(second)) == Done()


def test_a_forged_token_moves_nothing() -> None:
    world, receipt = one_leased()
    for command in (Touch(stale(receipt)), Nack(stale(receipt)), GiveBack(stale(receipt))):
        assert world.refused(command) == "lease_lost"
    assert world.state(receipt.id) is State.LEASED


def test_a_lease_is_given_up_once() -> None:
    world, receipt = one_leased()
    world.tell(Nack(receipt))
    assert world.refused(Nack(receipt)) == "lease_lost"
    assert world.refused(Touch(receipt)) == "lease_lost"


def test_a_delayed_message_is_nobody_s() -> None:
    world, receipt = one_leased()
    world.tell(Nack(receipt, delay_s=5.0))
    for command in (Touch(receipt, lease_s=99.0), Nack(receipt), GiveBack(receipt)):
        assert world.refused(command) == "lease_lost"
    world.sleep(5.0)
    assert world.state(receipt.id) is State.READY


def test_a_ready_message_that_was_never_leased_is_nobody_s() -> None:
    world = World()
    assert world.refused(Nack(Receipt(world.push(), ""))) == "lease_lost"


def test_a_touch_starts_the_lease_anew() -> None:
    world, receipt = one_leased(lease_s=5.0)
    world.sleep(4.0)
    world.tell(Touch(receipt, lease_s=10.0))
    world.sleep(9.9)
    assert world.state(receipt.id) is State.LEASED
    world.sleep(0.1)
    assert world.state(receipt.id) is State.READY


def test_a_touch_may_shorten_a_lease() -> None:
    world, receipt = one_leased(lease_s=60.0)
    world.tell(Touch(receipt, lease_s=1.0))
    world.sleep(1.0)
    assert world.state(receipt.id) is State.READY


def test_a_touch_without_seconds_takes_the_delivery_s_own_lease() -> None:
    """Neither the server's default, nor what an earlier touch asked for."""
    world, receipt = one_leased(lease_s=5.0)
    world.tell(Touch(receipt, lease_s=2.0))
    world.sleep(1.0)
    world.tell(Touch(receipt))
    world.sleep(4.9)
    assert world.state(receipt.id) is State.LEASED
    world.sleep(0.1)
    assert world.state(receipt.id) is State.READY


def test_without_a_lease_the_node_s_own_counts() -> None:
    world = World(NodeSettings(lease_s=7.0))
    id = world.push()
    world.get_one()
    world.sleep(6.9)
    assert world.state(id) is State.LEASED
    world.sleep(0.1)
    assert world.state(id) is State.READY


def test_a_delivery_that_never_reached_its_client_does_not_count() -> None:
    world, receipt = one_leased()
    assert world.tell(GiveBack(receipt)) == Done()
    assert world.inspect(receipt.id).attempts == 0
    assert (world.stat("delivered"), world.stat("nacked")) == (0, 0)
    assert world.get_one().attempt == 1


# Idempotency keys.


def test_a_retry_with_a_key_is_answered_as_the_first_push() -> None:
    world = World()
    id = world.push(b"a", key="k")
    retried = expect(Pushed, world.tell(Push(b"a", key="k")))
    assert (retried.id, retried.duplicate) == (id, True)
    assert world.bodies() == [b"a"]


def test_a_push_without_a_key_is_never_a_duplicate() -> None:
    world = World()
    world.push(b"a")
    world.push(b"a")
    assert world.bodies() == [b"a", b"a"]


def test_a_retry_is_answered_also_when_the_queue_is_full() -> None:
    world = bounded(1)
    id = world.push(b"a", key="k")
    assert expect(Pushed, world.tell(Push(b"a", key="k"))).id == id
    assert world.refused(Push(b"b", key="other")) == "full"


def test_a_refused_push_does_not_use_its_key_up() -> None:
    world = bounded(1)
    id = world.push(b"a")
    assert world.refused(Push(b"b", key="k")) == "full"
    world.ack(id)
    assert not expect(Pushed, world.tell(Push(b"c", key="k"))).duplicate


def test_a_key_used_with_another_body_is_refused() -> None:
    world = World()
    world.push(b"a", key="k")
    assert world.refused(Push(b"b", key="k")) == "key_reused"


def test_a_key_is_remembered_for_a_while_after_the_message_was_removed() -> None:
    """A client that retries after the work was done does not have it done twice."""
    world = World(NodeSettings(key_memory_s=600.0))
    id = world.push(b"a", key="k")
    world.sleep(10_000.0)
    world.ack(id)
    world.sleep(599.9)
    assert expect(Pushed, world.tell(Push(b"a", key="k"))).id == id
    assert world.refused(Push(b"b", key="k")) == "key_reused"
    world.sleep(0.1)
    assert world.stat("keys") == 0
    assert world.push(b"b", key="k") != id


def test_a_key_is_forgotten_in_time_also_when_the_timer_is_late() -> None:
    world = World(NodeSettings(key_memory_s=600.0))
    world.ack(world.push(b"a", key="k"))
    world.oversleep(600.0)
    assert not expect(Pushed, world.tell(Push(b"a", key="k"))).duplicate


def test_a_key_is_remembered_after_ack_now_too() -> None:
    world = World()
    id = world.push(b"a", key="k")
    world.get(ack_now=True)
    assert expect(Pushed, world.tell(Push(b"a", key="k"))).id == id


def test_a_retry_does_not_start_the_memory_anew() -> None:
    world = World(NodeSettings(key_memory_s=600.0))
    world.ack(world.push(b"a", key="k"))
    world.sleep(500.0)
    world.tell(Push(b"a", key="k"))
    world.sleep(100.0)
    assert not expect(Pushed, world.tell(Push(b"a", key="k"))).duplicate


def test_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_memory, "records_min", 5)
    world = bounded(1)
    monkeypatch.setattr(key_memory, "records_per_slot", 0)
    for n in range(50):
        world.ack(world.push(b"", key=f"k{n}"))
    remembered = world.stat("keys")
    assert isinstance(remembered, int)
    assert remembered <= 10
    assert expect(Pushed, world.tell(Push(b"", key="k49"))).duplicate
    assert not expect(Pushed, world.tell(Push(b"", key="k0"))).duplicate


def test_a_retry_that_waits_behind_its_first_push_is_answered_with_it() -> None:
    """Both wait for a slot; the one that becomes free takes the message in, and no second one is needed to say so."""
    world = bounded(1)
    id = world.push(b"a")
    first, retry = world.ask(Push(b"b", key="k", wait_s=10.0)), world.ask(Push(b"b", key="k", wait_s=20.0))
    world.ack(id)
    pushed, again = expect(Pushed, world.answers[first]), expect(Pushed, world.answers[retry])
    assert (again.id, pushed.duplicate, again.duplicate) == (pushed.id, False, True)
    assert world.bodies() == [b"b"]


def test_a_retry_whose_message_is_on_the_queue_is_never_told_that_it_is_full() -> None:
    """It waits behind a stranger; when its time is over, the first push has long been taken in."""
    world = bounded(1)
    id = world.push(b"a")
    first = world.ask(Push(b"b", key="k", wait_s=10.0))
    world.ask(Push(b"stranger", wait_s=20.0))
    retry, reused = (world.ask(Push(body, key="k", wait_s=10.0)) for body in (b"b", b"other"))
    world.ack(id)
    world.sleep(10.0)
    assert expect(Pushed, world.answers[retry]).id == expect(Pushed, world.answers[first]).id
    assert code(world.answers[reused]) == "key_reused"


# Many.


def test_twenty_thousand_waiting_pushes_take_one_freed_slot_each() -> None:
    world = World(NodeSettings(size=1, max_waiting=20_000))
    world.push(b"first")
    waiting = [world.ask(Push(b"%d" % n, wait_s=30.0)) for n in range(20_000)]
    for n in range(100):
        world.get(ack_now=True)
        assert world.is_answered(waiting[n])
    assert not world.is_answered(waiting[100])


def test_twenty_thousand_waiting_pushes_go_through_a_queue_of_one_in_a_single_breath() -> None:
    """Each poll frees the slot of the next push, which has the message of the next poll: a loop, not a recursion."""
    world = World(NodeSettings(size=1, max_waiting=50_000))
    id = world.push(b"delayed")
    world.tell(Nack(world.get_one().receipt, delay_s=1.0))
    polls = [world.ask(Get(wait_s=30.0, ack_now=True)) for _ in range(20_001)]
    pushes = [world.ask(Push(b"%d" % n, wait_s=30.0)) for n in range(20_000)]
    world.sleep(1.0)
    assert world.brought(polls[0]) == [b"delayed"]
    assert [world.brought(poll) for poll in polls[1:]] == [[b"%d" % n] for n in range(20_000)]
    assert all(expect(Pushed, world.answers[push]).id > id for push in pushes)
    assert world.stat("queueSize") == 0


def test_twenty_thousand_polls_run_out_of_time_at_once() -> None:
    world = World(NodeSettings(max_waiting=20_000))
    polls = [world.ask(Get(wait_s=30.0)) for _ in range(20_000)]
    world.sleep(30.0)
    assert all(world.answers[poll] == Delivered() for poll in polls)
