"""The garbage collector is told to look seldom; garbage must not pile up for that."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from dqtw.process.garbage import collect_seldom, thresholds


class Cycle:
    """Garbage, as soon as nobody else knows it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def seldom() -> Iterator[None]:
    before = gc.get_threshold()
    collect_seldom()
    yield
    gc.set_threshold(*before)


def test_what_was_there_at_the_start_is_not_looked_at_again() -> None:
    assert gc.get_freeze_count() > 1000
    assert len(gc.get_objects()) < gc.get_freeze_count()


def test_garbage_in_cycles_goes_while_the_process_runs() -> None:
    alive = weakref.WeakSet[Cycle]()
    most = 0
    for _ in range(10 * thresholds[0]):
        alive.add(Cycle())
        most = max(most, len(alive))
    assert most < 2 * thresholds[0]


def test_a_look_at_all_there_is_still_comes() -> None:
    """Garbage that was no longer young when it became garbage is found by no other."""
    looks: list[int] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        looks.append(info["generation"])

    gc.set_threshold(10, *thresholds[1:])
    gc.callbacks.append(watch)
    kept: list[list[int]] = [[] for _ in range(2 * 10 * thresholds[1] * thresholds[2])]
    gc.callbacks.remove(watch)
    assert kept
    assert 2 in looks
