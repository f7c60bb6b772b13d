"""Planting a fault in the core, for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from attrs import frozen

Patch: TypeAlias = tuple[Any, str, Any]


@frozen
class Planted:
    """One fault: what it does, and what it puts in the place of what."""

    name: str
    rule: str
    what: str
    patches: Callable[[], list[Patch]]


catalogue: dict[str, Planted] = {}


def planted(rule: str, what: str) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    """List a fault under its function's name."""

    def listed(patches: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        catalogue[patches.__name__] = Planted(patches.__name__, rule, what, patches)
        return patches

    return listed


@contextmanager
def planting(name: str) -> Iterator[None]:
    """Let the core have this fault for a while; the empty name stands for none."""
    patches = catalogue[name].patches() if name else []
    before = [(target, attribute, getattr(target, attribute)) for target, attribute, _ in patches]
    try:
        for target, attribute, replacement in patches:
            setattr(target, attribute, replacement)
        yield
    finally:
        for target, attribute, original in reversed(before):
            setattr(target, attribute, original)


def nothing(*_: Any, **__: Any) -> None:
    """Do nothing instead."""


def no(*_: Any, **__: Any) -> bool:
    return False


def yes(*_: Any, **__: Any) -> bool:
    return True
