"""Ids and receipts as clients hand them back, possibly damaged."""

import pytest

from dqtw.core.model.errors import BadRequest
from dqtw.core.model.message import (
    Message,
    MessageId,
    Receipt,
    content_type_default,
    is_incarnation,
    is_node_id,
    parse_id_or_receipt,
)

INCARNATION = "01HF0000000000000000000000"
ID = MessageId("node-1", INCARNATION, 7)
TEXT = f"node-1.{INCARNATION}.7"


def test_an_id_survives_its_way_through_a_client() -> None:
    assert str(ID) == TEXT
    assert MessageId.parse(TEXT) == ID


def test_a_receipt_survives_its_way_through_a_client() -> None:
    receipt = Receipt(ID, "a1b2")
    assert str(receipt) == f"{TEXT}.a1b2"
    assert Receipt.parse(str(receipt)) == receipt


def test_to_acknowledge_a_receipt_or_an_id_will_do() -> None:
    assert parse_id_or_receipt(TEXT) == ID
    assert parse_id_or_receipt(f"{TEXT}.a1b2") == ID


def test_ids_of_one_owner_sort_in_the_order_of_the_pushes() -> None:
    """Messages come out in the order they went in, also past number 9 and across a restart."""
    later = "01HF0000000000000000000001"
    ids = [MessageId("n", INCARNATION, 2), MessageId("n", INCARNATION, 10), MessageId("n", later, 1)]
    assert sorted({*ids}) == ids


damaged_ids = [
    "",
    "7",
    f"node-1.{INCARNATION}",
    f"node-1.{INCARNATION}.0",
    f"node-1.{INCARNATION}.07",
    f"node-1.{INCARNATION}.-7",
    f"node-1.{INCARNATION}.+7",
    f"node-1.{INCARNATION}.7\n",
    f" node-1.{INCARNATION}.7",
    f"node-1.{INCARNATION}.\u0667",  # a digit, but not one of ours
    f"node-1.{INCARNATION}.12345678901234567",
    f"node-1.{INCARNATION}.{'9' * 5000}",
    f"node-1.{INCARNATION.lower()}.7",
    f"node-1.8{INCARNATION[1:]}.7",  # no ULID is that great
    f"node-1.{INCARNATION[:-1]}U.7",  # not in the alphabet
    f"node-1.{INCARNATION}0.7",
    f"node 1.{INCARNATION}.7",
    f"nöde.{INCARNATION}.7",
    f".{INCARNATION}.7",
    f"{'n' * 64}.{INCARNATION}.7",
]


@pytest.mark.parametrize("text", damaged_ids)
def test_a_damaged_id_is_a_bad_request(text: str) -> None:
    """Not "unknown": the client learns that it garbled the id, and the server never fails over one."""
    with pytest.raises(BadRequest):
        MessageId.parse(text)
    with pytest.raises(BadRequest):
        parse_id_or_receipt(text)


@pytest.mark.parametrize("token", ["", "A", "a.b", "ä", "a\n", "a" * 33])
def test_a_damaged_receipt_is_a_bad_request(token: str) -> None:
    with pytest.raises(BadRequest):
        Receipt.parse(f"{TEXT}.{token}")
    with pytest.raises(BadRequest):
        parse_id_or_receipt(f"{TEXT}.{token}")


def test_an_id_is_no_receipt() -> None:
    """A nack or touch needs to show which delivery it speaks of."""
    with pytest.raises(BadRequest):
        Receipt.parse(TEXT)


def test_a_receipt_is_no_id() -> None:
    with pytest.raises(BadRequest):
        MessageId.parse(f"{TEXT}.a1b2")


@pytest.mark.parametrize("text", ["a", "A-z_9", "n" * 63])
def test_a_node_id_is_taken(text: str) -> None:
    assert is_node_id(text)


@pytest.mark.parametrize("text", ["", "n" * 64, "a.b", "a b", "ä", "a\n"])
def test_what_could_not_stand_in_an_id_names_no_node(text: str) -> None:
    assert not is_node_id(text)


@pytest.mark.parametrize(
    "value", [None, 7, b"01HF0000000000000000000000", INCARNATION + "\n", INCARNATION[:-1], "~" * 26]
)
def test_whatever_a_peer_sends_is_judged_before_it_is_taken_for_an_incarnation(value: object) -> None:
    assert not is_incarnation(value)
    assert is_incarnation(INCARNATION)


def test_a_message_without_a_content_type_is_an_octet_stream() -> None:
    assert Message(b"x").content_type == content_type_default == "application/octet-stream"


def test_a_message_in_a_log_does_not_show_its_body() -> None:
    """Clients' data stays out of logs and failing tests' output."""
    assert "secret" not in repr(Message(b"secret"))
