"""One time limit for many, with one timer."""

from twisted.internet.task import Clock

from dqtw.net.time_limit import TimeLimit


def test_each_passes_at_its_own_time() -> None:
    clock, passed = Clock(), list[tuple[float, str]]()
    limit = TimeLimit[str](clock, 10, lambda what: passed.append((clock.seconds(), what)))
    limit.begin("a")
    clock.advance(4)
    limit.begin("b")
    limit.begin("c")
    limit.begin("a")  # it runs already
    limit.end("b")
    assert len(clock.getDelayedCalls()) == 1
    for _ in range(20):
        clock.advance(1)
    assert passed == [(10, "a"), (14, "c")]
    assert not clock.getDelayedCalls()


def test_one_that_begins_anew_when_it_passes_runs_again() -> None:
    clock, passed = Clock(), list[float]()

    def again(what: str) -> None:
        passed.append(clock.seconds())
        limit.begin(what)

    limit = TimeLimit[str](clock, 10, again)
    limit.begin("a")
    for _ in range(30):
        clock.advance(1)
    assert passed == [10, 20, 30]


def test_stopped_nothing_passes_and_it_can_begin_again() -> None:
    clock, passed = Clock(), list[str]()
    limit = TimeLimit[str](clock, 10, passed.append)
    limit.begin("a")
    limit.stop()
    limit.stop()
    assert not clock.getDelayedCalls()
    limit.begin("b")
    clock.advance(10)
    assert passed == ["b"]
