"""Those who wait, in the order in which they came."""

from time import perf_counter

from dqtw.core.queue.waiting import Waiter, WaitingLine


def line(*tickets: int, until: float = 10.0) -> WaitingLine[str]:
    made: WaitingLine[str] = WaitingLine()
    for ticket in tickets:
        made.join(Waiter(ticket, f"command {ticket}", until))
    return made


def tickets(waiters: WaitingLine[str] | list[Waiter[str]]) -> list[int]:
    return [waiter.ticket for waiter in waiters]


def test_first_come_first_served() -> None:
    waiting = line(3, 1, 2)
    assert tickets(waiting) == [3, 1, 2]
    first = waiting.first()
    assert first is not None
    assert (first.ticket, first.command, len(waiting)) == (3, "command 3", 3)


def test_nobody_is_first_in_an_empty_line() -> None:
    assert line().first() is None
    assert not line()


def test_who_leaves_is_forgotten_and_the_others_keep_their_places() -> None:
    waiting = line(1, 2, 3)
    assert waiting.leave(2)
    assert not waiting.leave(2)
    assert tickets(waiting) == [1, 3]


def test_who_has_left_does_not_run_out_of_time() -> None:
    waiting = line(1)
    waiting.leave(1)
    assert waiting.next_deadline() is None
    assert waiting.pop_expired(99.0) == []


def test_those_who_have_waited_long_enough_are_taken_out() -> None:
    waiting = line()
    for ticket, until in [(1, 9.0), (2, 3.0), (3, 5.0)]:
        waiting.join(Waiter(ticket, "", until))
    assert waiting.next_deadline() == 3.0
    assert tickets(waiting.pop_expired(5.0)) == [2, 3]
    assert tickets(waiting) == [1]


def test_everybody_taken_out_leaves_no_deadline_behind() -> None:
    waiting = line(2, 1)
    assert tickets(waiting.pop_all()) == [2, 1]
    assert (len(waiting), waiting.next_deadline(), waiting.pop_expired(99.0)) == (0, None, [])


def test_a_line_of_a_hundred_thousand_is_served_from_its_front_at_once() -> None:
    """A dict would look past every one who left before it finds the first: minutes instead of moments."""
    waiting = line(*range(100_000))
    began = perf_counter()
    while (first := waiting.first()) is not None:
        waiting.leave(first.ticket)
    assert perf_counter() - began < 5.0
