"""The queue itself: who is ready, who is leased, and what still fits. Nobody waits in here."""

import pytest

from dqtw.core.model.commands import Delivery, State
from dqtw.core.model.copy import Copy
from dqtw.core.model.errors import Full, LeaseLost, TooLarge, Unknown
from dqtw.core.model.message import Message, MessageId
from dqtw.core.queue.queue import Queue

OLD, NEW = "01HF0000000000000000000000", "01HF0000000000000000000001"


def named(n: int, incarnation: str = NEW) -> MessageId:
    return MessageId("q", incarnation, n)


def queue_of(*numbers: int, size: int = 100, bytes_max: int = 1000) -> Queue:
    queue = Queue(Copy("q"), size, bytes_max)
    for n in numbers:
        queue.admit(named(n), Message(b"%d" % n, born_s=float(n)))
        queue.release(named(n))
    return queue


def lease(queue: Queue, now: float = 0.0, lease_s: float = 10.0, token: str = "t") -> Delivery:
    delivery = queue.lease(now, lease_s, token)
    assert delivery is not None
    return delivery


def test_first_in_first_out() -> None:
    queue = queue_of(1, 2, 3)
    assert [lease(queue).receipt.id.n for _ in range(3)] == [1, 2, 3]
    assert queue.lease(0.0, 10.0, "t") is None


def test_a_message_that_waits_for_its_copies_is_hidden() -> None:
    """No worker gets a message whose push may yet be taken back."""
    queue = queue_of()
    queue.admit(named(1), Message(b""))
    assert queue.is_waiting(named(1))
    assert queue.lease(0.0, 10.0, "t") is None
    queue.release(named(1))
    assert not queue.is_waiting(named(1))
    assert lease(queue).receipt.id == named(1)


def test_a_message_that_is_not_there_waits_for_nothing() -> None:
    assert not queue_of().is_waiting(named(1))


def test_copies_that_come_late_let_the_older_message_go_first() -> None:
    queue = queue_of()
    for n in (1, 2):
        queue.admit(named(n), Message(b""))
    queue.release(named(2))
    queue.release(named(1))
    assert lease(queue).receipt.id == named(1)


def test_what_waits_for_its_copies_counts_as_well() -> None:
    queue = queue_of(1, size=2)
    queue.admit(named(2), Message(b""))
    with pytest.raises(Full):
        queue.check_room(0)


def test_the_bound_in_messages_is_exact() -> None:
    queue = queue_of(1, size=2)
    queue.check_room(0)
    queue.admit(named(2), Message(b""))
    with pytest.raises(Full):
        queue.check_room(0)


def test_messages_that_are_known_to_come_have_their_slots() -> None:
    queue = queue_of(1, size=3)
    queue.check_room(0, expected=1)
    with pytest.raises(Full):
        queue.check_room(0, expected=2)


def test_the_bound_in_bytes_is_exact() -> None:
    queue = queue_of(100, 200, bytes_max=10)
    queue.check_room(4)
    with pytest.raises(Full):
        queue.check_room(5)


def test_what_could_never_fit_is_too_large_and_not_just_full() -> None:
    """A client does not retry for ever what will never be taken."""
    queue = queue_of(1, size=1, bytes_max=10)
    with pytest.raises(TooLarge):
        queue.check_room(11)
    with pytest.raises(Full):
        queue.check_room(10)


def test_a_recovered_message_is_ready_at_its_old_place_even_past_the_bound() -> None:
    queue = queue_of(1, size=1)
    assert queue.recover([(named(9, OLD), Message(b"old"))])
    assert len(queue) == 2
    assert lease(queue).receipt.id == named(9, OLD)
    with pytest.raises(Full):
        queue.check_room(0)


def test_a_message_is_recovered_once_and_not_after_its_removal() -> None:
    queue = queue_of(1)
    assert not queue.recover([(named(1), Message(b"1"))])
    queue.remove(named(1))
    assert not queue.recover([(named(1), Message(b"1"))])
    assert len(queue) == 0


def test_messages_removed_in_another_copy_leave_the_queue() -> None:
    queue = queue_of(1, 2)
    lease(queue)
    for id in queue.copy.gone(queue.copy.live_ids.copy()):
        queue.forget(id)
    assert (len(queue), queue.count(State.READY), queue.count(State.LEASED), queue.next_deadline()) == (0, 0, 0, None)
    assert queue.lease(0.0, 10.0, "t") is None


def test_a_removed_message_is_handed_to_nobody() -> None:
    queue = queue_of(1, 2)
    removed = queue.remove(named(1))
    assert removed is not None
    assert removed.body == b"1"
    assert queue.remove(named(1)) is None
    assert lease(queue).receipt.id == named(2)


def test_the_message_that_would_be_next() -> None:
    queue = queue_of(3, 4)
    queue.remove(named(3))
    oldest = queue.oldest_ready()
    assert oldest is not None
    assert oldest.born_s == 4.0
    lease(queue)
    assert queue.oldest_ready() is None


def test_a_lease_ends_at_its_deadline_and_not_before() -> None:
    queue = queue_of(1)
    lease(queue, now=5.0, lease_s=10.0)
    assert queue.next_deadline() == 15.0
    queue.expire(14.9)
    assert queue.count(State.READY) == 0
    queue.expire(15.0)
    assert (queue.count(State.READY), queue.next_deadline()) == (1, None)


def test_the_end_of_a_removed_message_s_lease_never_comes() -> None:
    queue = queue_of(1)
    lease(queue)
    queue.remove(named(1))
    assert queue.next_deadline() is None
    queue.expire(99.0)
    assert queue.count(State.READY) == 0


def test_a_lease_that_has_ended_is_lost_even_when_the_timer_is_late() -> None:
    """A worker whose time is over is told so, whether the server has woken up or not."""
    queue = queue_of(1)
    receipt = lease(queue, now=0.0, lease_s=10.0).receipt
    for late in (10.0, 11.0):
        with pytest.raises(LeaseLost):
            queue.touch(late, receipt, None)
        with pytest.raises(LeaseLost):
            queue.nack(late, receipt, 0.0)
    queue.touch(9.9, receipt, None)


def test_a_receipt_of_a_message_that_is_gone_is_unknown() -> None:
    queue = queue_of(1)
    receipt = lease(queue).receipt
    queue.remove(named(1))
    with pytest.raises(Unknown):
        queue.nack(0.0, receipt, 0.0)
    with pytest.raises(Unknown):
        queue.touch(0.0, receipt, None)
    with pytest.raises(Unknown):
        queue.give_back(0.0, receipt)
    with pytest.raises(Unknown):
        queue.inspect(0.0, named(1))


def test_a_nack_leaves_no_lease_that_could_end() -> None:
    queue = queue_of(1)
    queue.nack(0.0, lease(queue).receipt, 0.0)
    assert queue.next_deadline() is None


def test_removed_messages_do_not_pile_up_behind_one_that_nobody_takes() -> None:
    """Clients that remove by id, without a get, do not fill the server's memory."""
    queue = queue_of(1)
    for n in range(2, 10_000):
        queue.admit(named(n), Message(b""))
        queue.release(named(n))
        queue.remove(named(n))
    assert len(queue._ready) <= 64 + 2 + 1
    assert lease(queue).receipt.id == named(1)


def test_messages_stay_in_order_when_many_were_removed_from_among_them() -> None:
    queue = queue_of(size=400, bytes_max=2000)
    for n in range(1, 401):
        queue.admit(named(n), Message(b""))
    for n in range(1, 401):
        queue.release(named(n * 163 % 401))  # their copies came in any order
    for n in range(1, 401):
        if n % 5:
            queue.remove(named(n))
    assert [lease(queue).receipt.id.n for _ in range(80)] == list(range(5, 401, 5))
    assert queue.lease(0.0, 10.0, "t") is None
