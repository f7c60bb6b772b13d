"""Idempotency keys: what a retry finds."""

import pytest

from dqtw.core.model import key_memory
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import KeyReused
from dqtw.core.model.key_memory import KeyMemory, KeyRecord, body_digest
from dqtw.core.model.message import Message

OLD, INCARNATION = "01HF0000000000000000000000", "01HF0000000000000000000001"


def dot(n: int, incarnation: str = INCARNATION) -> Dot:
    return incarnation, n


def keyed(key: str | None, body: bytes = b"body") -> Message:
    return Message(body, key=key)


def record(
    key: str, n: int, removed_s: float = 0.0, body: bytes = b"body", incarnation: str = INCARNATION
) -> KeyRecord:
    return KeyRecord(key, dot(n, incarnation), body_digest(body), removed_s)


def memory(memory_s: float = 600.0, size: int = 1) -> KeyMemory:
    return KeyMemory(memory_s, size)


def everything(known: KeyMemory, *incarnations: str) -> list[KeyRecord]:
    """All records of removed messages."""
    dots = DotSet()
    for incarnation in incarnations or (INCARNATION,):
        dots.add_run(incarnation, 1, 1000)
    covered, records = known.records_of(dots, 1000)
    assert covered == dots
    return records


def test_a_retry_finds_the_message_of_the_first_push() -> None:
    known = memory()
    known.put(dot(1), keyed("k"))
    assert known.find("k", b"body") == dot(1)
    assert known.find("other", b"body") is None
    assert ("k" in known, "other" in known, None in known) == (True, False, False)


def test_the_same_key_with_another_body_is_refused() -> None:
    """A client that uses a key twice by mistake learns of it, instead of losing the second message."""
    known = memory()
    known.put(dot(1), keyed("k"))
    with pytest.raises(KeyReused):
        known.find("k", b"another")
    known.remove(0.0, dot(1), keyed("k"))
    with pytest.raises(KeyReused):
        known.find("k", b"another")


def test_messages_without_a_key_are_not_remembered() -> None:
    known = memory()
    known.put(dot(1), keyed(None))
    assert known.remove(0.0, dot(1), keyed(None)) is None
    known.learn(0.0, [(dot(2), keyed(None))], [])
    assert (len(known), known.next_deadline()) == (0, None)


def test_the_empty_key_is_a_key() -> None:
    known = memory()
    known.put(dot(1), keyed(""))
    assert known.find("", b"body") == dot(1)
    known.remove(0.0, dot(1), keyed(""))
    assert known.find("", b"body") == dot(1)


def test_a_key_is_remembered_for_a_while_after_its_message_was_removed() -> None:
    known = memory(600.0)
    known.put(dot(1), keyed("k"))
    known.remove(100.0, dot(1), keyed("k"))
    known.expire(699.0)
    assert known.find("k", b"body") == dot(1)
    assert known.next_deadline() == 700.0
    known.expire(700.0)
    assert known.find("k", b"body") is None
    assert (len(known), known.next_deadline()) == (0, None)


def test_without_a_memory_a_key_ends_with_its_message() -> None:
    known = memory(0.0)
    known.put(dot(1), keyed("k"))
    known.remove(100.0, dot(1), keyed("k"))
    assert known.find("k", b"body") is None
    assert (len(known), everything(known)) == (0, [])


def test_the_removal_of_one_message_leaves_the_key_to_the_other_that_has_it() -> None:
    """Two messages of one key may meet after a recovery; the removed one does not hide the one that stays."""
    for first, second in ((1, 2), (2, 1)):
        known = memory()
        known.put(dot(1), keyed("k"))
        known.put(dot(2), keyed("k"))
        assert known.find("k", b"body") == dot(1)
        known.remove(0.0, dot(first), keyed("k"))
        assert known.find("k", b"body") == dot(second)
        known.remove(1.0, dot(second), keyed("k"))
        assert everything(known) == [record("k", second, removed_s=1.0)]


def test_a_live_message_answers_for_its_key_before_a_removed_one() -> None:
    known = memory()
    known.learn(0.0, [], [record("k", 1)])
    known.put(dot(2), keyed("k"))
    assert known.find("k", b"body") == dot(2)


def test_a_removal_reports_to_the_other_replicas_what_to_remember() -> None:
    known = memory()
    known.put(dot(1), keyed("k"))
    assert known.remove(50.0, dot(1), keyed("k")) == record("k", 1, removed_s=50.0)
    assert everything(known) == [record("k", 1, removed_s=50.0)]


# What peers report.


def test_a_removal_that_a_peer_reports_comes_with_its_record() -> None:
    """The time is the peer's removal, on the clock of this process."""
    known = memory(600.0)
    known.put(dot(1), keyed("k"))
    known.learn(1000.0, [(dot(1), keyed("k"))], [record("k", 1, removed_s=600.0)])
    assert known.find("k", b"body") == dot(1)
    assert known.next_deadline() == 1200.0
    known.expire(1200.0)
    assert known.find("k", b"body") is None


def test_a_removal_without_its_record_is_older_than_the_memory() -> None:
    known = memory()
    known.put(dot(1), keyed("k"))
    known.learn(1000.0, [(dot(1), keyed("k"))], [])
    assert known.find("k", b"body") is None
    assert len(known) == 0


def test_what_is_too_old_is_not_learned() -> None:
    known = memory(600.0)
    known.learn(1000.0, [], [record("k", 1, removed_s=400.0)])
    assert len(known) == 0
    known.learn(1000.0, [], [record("k", 1, removed_s=400.1)])
    assert len(known) == 1


def test_the_younger_memory_of_a_key_wins_in_either_order() -> None:
    older, younger = record("k", 1, removed_s=-400.0), record("k", 2, removed_s=-100.0)
    for first, second in [(older, younger), (younger, older)]:
        known = memory(600.0)
        known.learn(0.0, [], [first])
        known.learn(0.0, [], [second])
        assert everything(known) == [younger]


def test_records_are_found_by_their_messages_part_by_part() -> None:
    """An answer to a peer is bounded; it covers all messages that it answers for, those without a key included."""
    known = memory()
    for n in (2, 4, 6):
        known.learn(0.0, [], [record(f"k{n}", n, incarnation=OLD)])
    known.learn(0.0, [], [record("new", 1)])
    asked = DotSet.of([*(dot(n, OLD) for n in range(1, 8)), dot(1), dot(2)])
    covered, records = known.records_of(asked, 2)
    assert (covered, [each.key for each in records]) == (DotSet.of(dot(n, OLD) for n in range(1, 6)), ["k2", "k4"])
    covered, records = known.records_of(asked - covered, 2)
    assert (covered, [each.key for each in records]) == (
        DotSet.of([dot(6, OLD), dot(7, OLD), dot(1), dot(2)]),
        ["k6", "new"],
    )


def test_every_answer_covers_something_so_that_asking_on_comes_to_an_end() -> None:
    known = memory()
    for n in range(1, 20):
        known.learn(0.0, [], [record(f"k{n}", n)])
    left, keys, rounds = DotSet.of(dot(n) for n in range(1, 30)), list[str](), 0
    while left:
        covered, records = known.records_of(left, 1)
        assert covered
        left -= covered
        keys += [each.key for each in records]
        rounds += 1
    assert keys == [f"k{n}" for n in range(1, 20)]
    assert rounds == 19


def test_only_the_messages_that_are_asked_for_are_looked_at() -> None:
    """Whether few of many are asked for, or many of which few have a key."""
    known = memory()
    for n in range(1, 101):
        known.learn(0.0, [], [record(f"k{n}", n)])
    assert [each.key for each in known.records_of(DotSet.of([dot(5), dot(50)]), 10)[1]] == ["k5", "k50"]
    some = DotSet()
    some.add_run(INCARNATION, 98, 10_000)
    assert [each.key for each in known.records_of(some, 10)[1]] == ["k98", "k99", "k100"]
    assert known.records_of(DotSet.of([dot(5, OLD)]), 10) == (DotSet.of([dot(5, OLD)]), [])
    assert known.records_of(DotSet(), 10) == (DotSet(), [])


# Bounds.


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that use a new key for each message do not fill the memory."""
    monkeypatch.setattr(key_memory, "records_min", 3)
    known = memory(600.0, size=0)
    for n, removed_s in enumerate([-100.0, -300.0, -200.0, 0.0], 1):
        known.learn(0.0, [], [record(f"k{n}", n, removed_s)])
    assert len(known) == 3
    assert known.find("k2", b"body") is None
    assert [known.find(f"k{n}", b"body") for n in (1, 3, 4)] == [dot(1), dot(3), dot(4)]


def test_a_long_queue_remembers_ten_keys_for_each_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_memory, "records_min", 3)
    known = memory(600.0, size=2)
    for n in range(1, 30):
        known.learn(float(n), [], [record(f"k{n}", n)])
    assert len(known) == 20
    assert key_memory.records_per_slot == 10


def test_a_short_queue_remembers_a_hundred_thousand_keys() -> None:
    assert key_memory.records_min == 100_000


def test_keys_that_are_forgotten_leave_nothing_behind() -> None:
    known = memory(600.0)
    for n in range(1, 100):
        known.put(dot(n), keyed(f"k{n}"))
        known.remove(float(n), dot(n), keyed(f"k{n}"))
    known.expire(1000.0)
    assert (len(known), known.next_deadline(), everything(known)) == (0, None, [])
    assert not (known._live or known._removed or known._by_dot)
