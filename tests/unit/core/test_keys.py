"""Idempotency keys: what a retry finds."""

import pytest

from dqtw.core.model import keys
from dqtw.core.model.errors import KeyReused
from dqtw.core.model.keys import KeyMemory, KeyRecord, body_digest
from dqtw.core.model.message import Message, MessageId

INCARNATION = "01HF0000000000000000000000"


def named(n: int) -> MessageId:
    return MessageId("q", INCARNATION, n)


def keyed(key: str | None, body: bytes = b"body") -> Message:
    return Message(body, key=key)


def record(key: str, n: int, age_s: float = 0.0, body: bytes = b"body") -> KeyRecord:
    return KeyRecord(key, named(n), body_digest(body), age_s)


def memory(memory_s: float = 600.0, size: int = 1) -> KeyMemory:
    return KeyMemory(memory_s, size)


def test_a_retry_finds_the_message_of_the_first_push() -> None:
    known = memory()
    known.put(named(1), keyed("k"))
    assert known.find("k", b"body") == named(1)
    assert known.find("other", b"body") is None


def test_the_same_key_with_another_body_is_refused() -> None:
    """A client that uses a key twice by mistake learns of it, instead of losing the second message."""
    known = memory()
    known.put(named(1), keyed("k"))
    with pytest.raises(KeyReused):
        known.find("k", b"another")
    known.remove(0.0, named(1), keyed("k"))
    with pytest.raises(KeyReused):
        known.find("k", b"another")


def test_messages_without_a_key_are_not_remembered() -> None:
    known = memory()
    known.put(named(1), keyed(None))
    assert known.remove(0.0, named(1), keyed(None)) is None
    known.withdraw(named(1), keyed(None))
    assert (len(known), known.next_deadline()) == (0, None)


def test_the_empty_key_is_a_key() -> None:
    known = memory()
    known.put(named(1), keyed(""))
    assert known.find("", b"body") == named(1)
    known.withdraw(named(1), keyed(""))
    assert known.find("", b"body") is None


def test_a_key_is_remembered_for_a_while_after_its_message_was_removed() -> None:
    known = memory(600.0)
    known.put(named(1), keyed("k"))
    known.remove(100.0, named(1), keyed("k"))
    known.expire(699.0)
    assert known.find("k", b"body") == named(1)
    assert known.next_deadline() == 700.0
    known.expire(700.0)
    assert known.find("k", b"body") is None
    assert (len(known), known.next_deadline()) == (0, None)


def test_without_a_memory_a_key_ends_with_its_message() -> None:
    known = memory(0.0)
    known.put(named(1), keyed("k"))
    known.remove(100.0, named(1), keyed("k"))
    assert known.find("k", b"body") is None


def test_the_key_of_a_withdrawn_push_may_be_pushed_again() -> None:
    known = memory()
    known.put(named(1), keyed("k"))
    known.withdraw(named(1), keyed("k"))
    assert known.find("k", b"body") is None
    assert len(known) == 0


def test_a_withdrawal_takes_only_its_own_key() -> None:
    """Two messages of one key may meet after a recovery; the one that goes does not hide the one that stays."""
    known = memory()
    known.put(named(1), keyed("k"))
    known.put(named(2), keyed("k"))
    assert known.find("k", b"body") == named(1)
    known.withdraw(named(2), keyed("k"))
    assert known.find("k", b"body") == named(1)


def test_a_live_message_answers_for_its_key_before_a_removed_one() -> None:
    known = memory()
    known.learn(0.0, record("k", 1))
    known.put(named(2), keyed("k"))
    assert known.find("k", b"body") == named(2)


def test_a_removal_tells_the_other_copies_what_to_remember() -> None:
    known = memory()
    known.put(named(1), keyed("k"))
    assert known.remove(50.0, named(1), keyed("k")) == record("k", 1)


def test_what_another_copy_remembers_is_forgotten_at_the_same_time() -> None:
    """Nodes tell each other ages: their clocks need not agree."""
    known = memory(600.0)
    known.learn(1000.0, record("k", 1, age_s=400.0))
    assert known.next_deadline() == 1200.0
    assert known.records(1050.0) == [record("k", 1, age_s=450.0)]


def test_what_is_too_old_is_not_learned() -> None:
    known = memory(600.0)
    known.learn(1000.0, record("k", 1, age_s=600.0))
    assert len(known) == 0


def test_the_younger_memory_of_a_key_wins_in_either_order() -> None:
    older, younger = record("k", 1, age_s=400.0), record("k", 2, age_s=100.0)
    for first, second in [(older, younger), (younger, older)]:
        known = memory(600.0)
        known.learn(0.0, first)
        known.learn(0.0, second)
        assert known.records(0.0) == [younger]


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that use a new key for each message do not fill the memory."""
    monkeypatch.setattr(keys, "records_min", 3)
    known = memory(600.0, size=0)
    for n, age_s in enumerate([100.0, 300.0, 200.0, 0.0], 1):
        known.learn(0.0, record(f"k{n}", n, age_s))
    assert len(known) == 3
    assert known.find("k2", b"body") is None
    assert [known.find(f"k{n}", b"body") for n in (1, 3, 4)] == [named(1), named(3), named(4)]


def test_a_long_queue_remembers_ten_keys_for_each_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "records_min", 3)
    known = memory(600.0, size=2)
    for n in range(1, 30):
        known.learn(float(n), record(f"k{n}", n))
    assert len(known) == 20
    assert keys.records_per_slot == 10


def test_a_short_queue_remembers_a_hundred_thousand_keys() -> None:
    assert keys.records_min == 100_000
