"""What may start behind what on one connection, and which answer is due next."""

import pytest

from dqtw.core.model.commands import Ack, Delivered, Delivery, Done, Get, Nack, Push, Touch
from dqtw.core.model.message import Message, MessageId, Receipt
from dqtw.net.line.order import DueAnswers, Kind, gets_together_max, kind_of
from dqtw.wire.line.requests import Auth, Request, Simple

id = MessageId("node", "0" * 26, 1)
receipt = Receipt(id, "a")
delivered = Delivered((Delivery(receipt, 1, 60.0, Message(b"body")),))


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (Push(b""), Kind.CHANGE),
        (Ack(id), Kind.CHANGE),
        (Nack(receipt), Kind.CHANGE),
        (Touch(receipt), Kind.CHANGE),
        (Push(b"", wait_s=0.1), Kind.WAITING_PUSH),
        (Get(), Kind.GET),
        (Get(wait_s=0.1), Kind.WAITING_GET),
        (Simple.STATS, Kind.ALONE),
        (Simple.QUIT, Kind.ALONE),
        (Simple.PING, Kind.AT_ONCE),
        (Simple.HELP, Kind.AT_ONCE),
        (Auth("token"), Kind.AT_ONCE),
    ],
)
def test_every_request_has_its_kind(request_: Request, kind: Kind) -> None:
    assert kind_of(request_) is kind


together = {
    (Kind.CHANGE, Kind.CHANGE),
    (Kind.CHANGE, Kind.WAITING_PUSH),
    (Kind.WAITING_PUSH, Kind.WAITING_PUSH),
    (Kind.GET, Kind.GET),
}


@pytest.mark.parametrize("first", [Kind.CHANGE, Kind.WAITING_PUSH, Kind.GET, Kind.WAITING_GET])
@pytest.mark.parametrize("second", list(Kind))
def test_only_changes_and_plain_gets_are_carried_out_together(first: Kind, second: Kind) -> None:
    due = DueAnswers()
    assert due.may_start(second)
    place = due.start(first, 0)
    assert due.may_start(second) == ((first, second) in together or second is Kind.AT_ONCE)
    due.answer(place, Done())
    assert due.may_start(second)


def test_only_so_many_gets_are_carried_out_together() -> None:
    due = DueAnswers()
    for _ in range(gets_together_max):
        assert due.may_start(Kind.GET)
        due.start(Kind.GET, 0)
    assert not due.may_start(Kind.GET)


def test_answers_are_taken_in_order_whichever_comes_first() -> None:
    due = DueAnswers()
    first, second = due.start(Kind.GET, 0), due.start(Kind.GET, 0)
    due.say(b"PONG\r\n")
    due.answer(second, delivered)
    assert not due.take()
    due.answer(first, Delivered())
    assert b"".join(due.take()) == b"EMPTY\r\nMSG %b 1 4\r\nbody\r\nPONG\r\n" % str(receipt).encode()
    assert len(due) == 0


def test_what_is_held_is_counted_until_it_is_taken() -> None:
    due = DueAnswers()
    first, second = due.start(Kind.CHANGE, 100), due.start(Kind.GET, 0)
    due.say(b"PONG\r\n")
    assert due.held_bytes == 106
    due.answer(second, delivered)
    assert due.held_bytes == 110
    due.answer(first, Done())
    assert due.held_bytes == 10
    due.take()
    assert due.held_bytes == 0


def test_what_a_client_that_is_gone_never_got_is_told_once() -> None:
    due = DueAnswers()
    first, second, third = (due.start(Kind.GET, 0) for _ in range(3))
    due.answer(second, delivered)
    due.answer(third, Delivered())
    assert due.unanswered() == [first]
    assert due.abandon() == [delivered]
    assert due.abandon() == []
