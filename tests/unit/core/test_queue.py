"""The queue itself: which messages are ready, which are leased, and what still fits. No request waits in here."""

import pytest

from dqtw.core.model.commands import Delivery, State
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import Full, LeaseLost, TooLarge, Unknown
from dqtw.core.model.message import Message, MessageId, Receipt
from dqtw.core.model.replica import Replica
from dqtw.core.queue.queue import Queue

OLD, NEW = "01HF0000000000000000000000", "01HF0000000000000000000001"


class Shelf:
    """A queue, and the replica that it is a view of; changes go to both, as the owner makes them."""

    def __init__(self, *numbers: int, size: int = 100, bytes_max: int = 1000) -> None:
        self.replica = Replica()
        self.queue = Queue("q", self.replica, size, bytes_max)
        for n in numbers:
            self.push(n, b"%d" % n)
            self.queue.release([(NEW, n)])

    def push(self, n: int, body: bytes = b"", incarnation: str = NEW) -> Dot:
        """Add a message that waits for its copies."""
        self.replica.put(incarnation, [(n, Message(body, born_s=float(n)))])
        self.queue.admit((incarnation, n))
        return incarnation, n

    def recover(self, n: int, body: bytes = b"", incarnation: str = NEW) -> None:
        """Add a message that a peer has sent."""
        self.queue.release((incarnation, n) for n, _ in self.replica.put(incarnation, [(n, Message(body))]))

    def remove(self, n: int) -> None:
        """Remove a message."""
        assert self.replica.remove_one((NEW, n)) is not None
        self.queue.forget((NEW, n))

    def lease(self, now: float = 0.0, lease_s: float = 10.0, token: str = "t") -> Delivery:
        """Lease the message that must be ready."""
        delivery = self.queue.lease(now, lease_s, token)
        assert delivery is not None
        return delivery

    def is_empty(self) -> bool:
        """True if no message can be leased."""
        return self.queue.lease(0.0, 10.0, "t") is None


def named(n: int, incarnation: str = NEW) -> MessageId:
    return MessageId("q", incarnation, n)


def test_first_in_first_out() -> None:
    shelf = Shelf(1, 2, 3)
    assert [shelf.lease().receipt.id.n for _ in range(3)] == [1, 2, 3]
    assert shelf.is_empty()


def test_a_message_that_waits_for_its_copies_is_hidden() -> None:
    """No worker gets a message whose push was not answered with success, and that may be lost with this node."""
    shelf = Shelf()
    dot = shelf.push(1)
    assert (shelf.queue.count(State.WAITING), shelf.queue.count(State.READY)) == (1, 0)
    assert shelf.queue.inspect(0.0, named(1)).state is State.WAITING
    assert shelf.is_empty()
    shelf.queue.release([dot])
    assert (shelf.queue.count(State.WAITING), shelf.queue.count(State.READY)) == (0, 1)
    assert shelf.lease().receipt.id == named(1)


def test_copies_that_come_late_let_the_older_message_go_first() -> None:
    shelf = Shelf()
    one, two = shelf.push(1), shelf.push(2)
    shelf.queue.release([two])
    shelf.queue.release([one])
    assert shelf.lease().receipt.id == named(1)


def test_what_waits_for_its_copies_counts_as_well() -> None:
    shelf = Shelf(1, size=2)
    shelf.push(2)
    with pytest.raises(Full):
        shelf.queue.check_room(0)


def test_the_bound_in_messages_is_exact() -> None:
    shelf = Shelf(1, size=2)
    shelf.queue.check_room(0)
    shelf.push(2)
    with pytest.raises(Full):
        shelf.queue.check_room(0)


def test_messages_that_are_known_to_come_have_their_slots() -> None:
    shelf = Shelf(1, size=3)
    shelf.queue.check_room(0, expected=1)
    with pytest.raises(Full):
        shelf.queue.check_room(0, expected=2)


def test_the_bound_in_bytes_is_exact() -> None:
    shelf = Shelf(100, 200, bytes_max=10)
    shelf.queue.check_room(4)
    with pytest.raises(Full):
        shelf.queue.check_room(5)


def test_what_could_never_fit_is_too_large_and_not_just_full() -> None:
    """A client does not retry for ever what will never be taken."""
    shelf = Shelf(1, size=1, bytes_max=10)
    with pytest.raises(TooLarge):
        shelf.queue.check_room(11)
    with pytest.raises(Full):
        shelf.queue.check_room(10)


def test_a_recovered_message_is_ready_at_its_old_place_even_past_the_bound() -> None:
    shelf = Shelf(1, size=1)
    shelf.recover(9, b"old", OLD)
    assert shelf.queue.count(State.READY) == 2
    assert shelf.lease().receipt.id == named(9, OLD)
    with pytest.raises(Full):
        shelf.queue.check_room(0)


def test_a_message_is_recovered_once_and_not_after_its_removal() -> None:
    shelf = Shelf(1)
    shelf.recover(1)
    assert shelf.queue.count(State.READY) == 1
    shelf.remove(1)
    shelf.recover(1)
    assert shelf.is_empty()


def test_messages_that_a_peer_knows_as_removed_leave_the_queue() -> None:
    """In whatever state they are."""
    shelf = Shelf(1, 2, 3)
    shelf.push(4)
    shelf.lease()
    shelf.queue.nack(0.0, shelf.lease(token="u").receipt, 5.0)
    for dot, _ in shelf.replica.remove(shelf.replica.live_dots.copy()):
        shelf.queue.forget(dot)
    assert [shelf.queue.count(state) for state in State] == [0, 0, 0, 0]
    assert shelf.queue.next_deadline() is None
    assert shelf.is_empty()


def test_a_removed_message_is_delivered_to_nobody() -> None:
    shelf = Shelf(1, 2)
    shelf.remove(1)
    assert shelf.lease().receipt.id == named(2)
    assert shelf.is_empty()


def test_the_message_that_would_be_next() -> None:
    shelf = Shelf(3, 4)
    shelf.remove(3)
    oldest = shelf.queue.oldest_ready()
    assert oldest is not None
    assert oldest.born_s == 4.0
    shelf.lease()
    assert shelf.queue.oldest_ready() is None


# Messages that a peer knows as removed, and whose records have not come.


def test_a_message_that_is_withheld_is_not_delivered_until_it_is_not_withheld_any_more() -> None:
    """Otherwise a worker would get what another one has finished."""
    shelf = Shelf(1, 2)
    shelf.queue.withhold(DotSet.of([(NEW, 1)]))
    assert shelf.queue.inspect(0.0, named(1)).state is State.WAITING
    assert [shelf.queue.count(state) for state in (State.READY, State.WAITING)] == [1, 1]
    assert shelf.lease().receipt.id == named(2)
    assert shelf.is_empty()
    shelf.queue.withhold(DotSet())
    assert shelf.lease().receipt.id == named(1)


@pytest.mark.parametrize("end", ["nack", "delay", "lease", "copies", "recovery"])
def test_a_message_that_becomes_ready_while_it_is_withheld_stays_hidden(end: str) -> None:
    shelf = Shelf()
    if end == "recovery":
        shelf.queue.withhold(DotSet.of([(NEW, 1)]))
        shelf.recover(1)
    else:
        dot = shelf.push(1)
        if end == "copies":
            shelf.queue.withhold(DotSet.of([dot]))
        shelf.queue.release([dot])
        if end != "copies":
            receipt = shelf.lease().receipt
            shelf.queue.withhold(DotSet.of([dot]))
            if end != "lease":
                shelf.queue.nack(0.0, receipt, 5.0 if end == "delay" else 0.0)
        shelf.queue.expire(20.0)
    assert shelf.is_empty()
    assert [shelf.queue.count(state) for state in (State.READY, State.WAITING, State.LEASED)] == [0, 1, 0]
    shelf.queue.withhold(DotSet())
    assert shelf.lease().receipt.id == named(1)


def test_a_message_that_waits_for_its_copies_is_not_shown_when_it_is_not_withheld_any_more() -> None:
    shelf = Shelf()
    dot = shelf.push(1)
    shelf.queue.withhold(DotSet.of([dot]))
    shelf.queue.withhold(DotSet())
    assert shelf.is_empty()
    assert shelf.queue.count(State.WAITING) == 1


def test_a_withheld_message_that_is_removed_is_gone() -> None:
    shelf = Shelf(1)
    shelf.queue.withhold(DotSet.of([(NEW, 1)]))
    shelf.remove(1)
    shelf.queue.withhold(DotSet())
    assert shelf.is_empty()
    assert shelf.queue.count(State.WAITING) == 0


# Leases.


def test_a_lease_ends_at_its_deadline_and_not_before() -> None:
    shelf = Shelf(1)
    shelf.lease(now=5.0, lease_s=10.0)
    assert shelf.queue.next_deadline() == 15.0
    assert shelf.queue.expire(14.9) == 0
    assert shelf.queue.count(State.READY) == 0
    assert shelf.queue.expire(15.0) == 1
    assert (shelf.queue.count(State.READY), shelf.queue.next_deadline()) == (1, None)


def test_the_end_of_a_delay_is_not_a_lease_that_ended() -> None:
    shelf = Shelf(1)
    shelf.queue.nack(0.0, shelf.lease().receipt, 5.0)
    assert shelf.queue.expire(5.0) == 0
    assert shelf.queue.count(State.READY) == 1


def test_the_end_of_a_removed_message_s_lease_never_comes() -> None:
    shelf = Shelf(1)
    shelf.lease()
    shelf.remove(1)
    assert shelf.queue.next_deadline() is None
    assert shelf.queue.expire(99.0) == 0
    assert shelf.queue.count(State.READY) == 0


def test_a_lease_that_has_ended_is_lost_even_when_the_timer_is_late() -> None:
    """A worker whose time is over learns of it, whether the server has woken up or not."""
    shelf = Shelf(1)
    queue, receipt = shelf.queue, shelf.lease(now=0.0, lease_s=10.0).receipt
    for late in (10.0, 11.0):
        with pytest.raises(LeaseLost):
            queue.touch(late, receipt, None)
        with pytest.raises(LeaseLost):
            queue.nack(late, receipt, 0.0)
        with pytest.raises(LeaseLost):
            queue.leased(late, receipt)
    queue.touch(9.9, receipt, None)


def test_a_receipt_of_a_message_that_is_gone_is_unknown() -> None:
    shelf = Shelf(1)
    queue, receipt = shelf.queue, shelf.lease().receipt
    shelf.remove(1)
    with pytest.raises(Unknown):
        queue.nack(0.0, receipt, 0.0)
    with pytest.raises(Unknown):
        queue.touch(0.0, receipt, None)
    with pytest.raises(Unknown):
        queue.give_back(0.0, receipt)
    with pytest.raises(Unknown):
        queue.leased(0.0, receipt)
    with pytest.raises(Unknown):
        queue.inspect(0.0, named(1))


def test_a_nack_leaves_no_lease_that_could_end() -> None:
    shelf = Shelf(1)
    shelf.queue.nack(0.0, shelf.lease().receipt, 0.0)
    assert shelf.queue.next_deadline() is None


def test_a_delivery_that_was_given_back_has_not_been_an_attempt() -> None:
    shelf = Shelf(1)
    shelf.queue.give_back(0.0, shelf.lease().receipt)
    assert shelf.queue.inspect(0.0, named(1)).attempts == 0
    assert shelf.lease(token="u").attempt == 1


def test_an_outdated_receipt_ends_no_lease() -> None:
    shelf = Shelf(1)
    first = shelf.lease(token="t").receipt
    shelf.queue.nack(0.0, first, 0.0)
    assert shelf.lease(token="u").receipt == Receipt(named(1), "u")
    with pytest.raises(LeaseLost):
        shelf.queue.nack(0.0, first, 0.0)
    with pytest.raises(LeaseLost):
        shelf.queue.give_back(0.0, first)
    assert shelf.queue.count(State.LEASED) == 1


# Many.


def test_removed_messages_do_not_pile_up_behind_one_that_nobody_takes() -> None:
    """Clients that remove by id, without a get, do not fill the server's memory."""
    shelf = Shelf(1)
    for n in range(2, 10_000):
        shelf.queue.release([shelf.push(n)])
        shelf.remove(n)
    assert shelf.queue.ready.bounds_count == 2
    assert (shelf.queue.waiting.bounds_count, shelf.queue.hidden.bounds_count) == (0, 0)
    assert not shelf.queue._entries
    assert shelf.lease().receipt.id == named(1)


def test_messages_stay_in_order_when_many_were_removed_from_among_them() -> None:
    shelf = Shelf(size=400, bytes_max=2000)
    dots = {n: shelf.push(n) for n in range(1, 401)}
    for n in range(1, 401):
        shelf.queue.release([dots[n * 163 % 401]])  # their copies came in any order
    for n in range(1, 401):
        if n % 5:
            shelf.remove(n)
    assert [shelf.lease().receipt.id.n for _ in range(80)] == list(range(5, 401, 5))
    assert shelf.is_empty()
