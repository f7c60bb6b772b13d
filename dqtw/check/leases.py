"""Deliveries of a history: who had which message when, and whether anybody else may have had it then."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from math import inf

from attrs import define

from dqtw.check.history import Delivery, History, Operation
from dqtw.check.owners import Owners


@define
class Held:
    """One delivery, and until when its lease was surely not over."""

    get: Operation
    delivery: Delivery
    until: float

    def __str__(self) -> str:
        return f"{self.delivery.id} attempt {self.delivery.attempt} to client {self.get.client} at {self.get.begun:.3f}"


def owner_of(id: str) -> str:
    """The node whose queue a message is on."""
    return id.split(".", 1)[0]


class Leases:
    """All deliveries, by message."""

    def __init__(self, history: History) -> None:
        self._given_up: dict[str, list[Operation]] = defaultdict(list)
        self.of: dict[str, list[Held]] = defaultdict(list)
        for operation in history.operations:
            if operation.what in ("nack", "touch") and operation.may_have_happened:
                self._given_up[operation.id].append(operation)
        for get in history.operations:
            for delivery in get.deliveries:
                self.of[delivery.id].append(Held(get, delivery, self._until(get, delivery)))
        for deliveries in self.of.values():
            deliveries.sort(key=lambda held: (held.delivery.attempt, held.get.begun))

    def _until(self, get: Operation, delivery: Delivery) -> float:
        """The earliest moment at which the lease may have ended, as far as time and its worker are concerned."""
        if get.ack_now:
            return inf
        until = get.begun + delivery.lease_s
        for operation in self._given_up[delivery.receipt]:
            if operation.what == "nack":
                return min(until, operation.begun)
            renewed = operation.begun + (operation.lease_s or delivery.lease_s)
            until = renewed if operation.result == "ok" else min(until, renewed)
        return until

    def overlapping(self, owners: Owners) -> Iterator[str]:
        """Two leases of one message at the same time, though its owner was the same process all the time."""
        for id, deliveries in self.of.items():
            for first, second in combinations(deliveries, 2):
                if _overlap(first, second) and not owners.may_have_changed(
                    owner_of(id), min(first.get.begun, second.get.begun), max(first.get.ended, second.get.ended)
                ):
                    yield f"{second}, while client {first.get.client} had it until {first.until:.3f}"


def _overlap(first: Held, second: Held) -> bool:
    """Whether the first lease was surely not over when the second began; a process counts the attempts."""
    if first.get.ack_now or second.get.ack_now:
        return False  # it was removed; what comes after that is resurrected
    is_second_too_early = second.get.ended < first.until
    if first.delivery.attempt < second.delivery.attempt:
        return is_second_too_early
    return is_second_too_early and first.get.ended < second.until


def out_of_order(history: History, leases: Leases) -> Iterator[str]:
    """First deliveries of one owner that came before those of earlier messages that were there already."""
    pushed = {each.id: each.ended for each in history.operations if each.what == "push" and each.result == "ok"}
    for firsts in _first_deliveries(leases).values():
        firsts.sort(key=lambda held: held.get.ended)
        waiting = sorted(firsts, key=lambda held: held.get.begun)
        done: list[Held] = []
        at = 0
        for held in waiting:
            while at < len(firsts) and firsts[at].get.ended < held.get.begun:
                done.append(firsts[at])
                at += 1
            known = pushed.get(held.delivery.id, inf)
            overtaking = (each for each in reversed(done[-50:]) if _n(each) > _n(held) and known < each.get.begun)
            for each in overtaking:
                yield f"{held}, after {each}"
                break


def _first_deliveries(leases: Leases) -> dict[str, list[Held]]:
    firsts: dict[str, list[Held]] = defaultdict(list)
    for id, deliveries in leases.of.items():
        if deliveries[0].delivery.attempt == 1:
            firsts[id.rsplit(".", 1)[0]].append(deliveries[0])
    return firsts


def _n(held: Held) -> int:
    return int(held.delivery.id.rsplit(".", 1)[1])
