"""Histories made by hand: each line is what one client asked, and what it was told."""

from typing import Any

from attrs import define, field

from dqtw.check.history import Delivery, History, Operation, Sight
from dqtw.check.judge import Verdict, judge

first = "01M85ZDB75JNQDH956BXFJY0D9"
second = "01M865T2NQT1RDVS4RYFM4X8H3"


def id_of(n: int, node: str = "a", incarnation: str = first) -> str:
    return f"{node}.{incarnation}.{n}"


@define
class Story:
    """A history under construction; every request takes a tenth of a second unless it is told otherwise."""

    history: History = field(factory=lambda: History(serving_after_s=0.0, left=0, finished=True))

    def _add(self, what: Any, at: float, **more: Any) -> Operation:
        values = {"result": "ok", "code": "", "ended": at + 0.1, **more}
        operation = Operation(len(self.history.operations), "c", what, "http://node", at, **values)
        self.history.operations.append(operation)
        return operation

    def push(self, at: float, body: str, id: str = "", **more: Any) -> "Story":
        self._add("push", at, body=body, id=id, **more)
        return self

    def refused(self, at: float, body: str, code: str, **more: Any) -> "Story":
        unknown = code in ("uncertain", "lost")
        return self.push(at, body, result="unknown" if unknown else "fail", code=code, **more)

    def get(self, at: float, id: str, body: str, attempt: int = 1, lease_s: float = 10.0, **more: Any) -> "Story":
        delivery = Delivery(id, f"{id}.t{attempt}", attempt, lease_s, body)
        self._add("get", at, deliveries=[delivery], **more)
        return self

    def ack(self, at: float, id: str, code: str = "") -> "Story":
        unknown = code in ("uncertain", "lost")
        self._add("ack", at, id=id, code=code, result="unknown" if unknown else "fail" if code else "ok")
        return self

    def nack(self, at: float, id: str, attempt: int = 1, **more: Any) -> "Story":
        self._add("nack", at, id=f"{id}.t{attempt}", **more)
        return self

    def touch(self, at: float, id: str, lease_s: float, attempt: int = 1, **more: Any) -> "Story":
        self._add("touch", at, id=f"{id}.t{attempt}", lease_s=lease_s, **more)
        return self

    def lost_get(self, at: float, count: int) -> "Story":
        self._add("get", at, ack_now=True, count_max=count, result="unknown", code="lost")
        return self

    def seen(
        self, since: float, until: float, node: str = "a", incarnation: str = first, peers: tuple[str, ...] = ()
    ) -> "Story":
        """A node served for that time, in session with these peers, and was looked at every second."""
        for age_s in range(int(until - since)):
            begun, sessions = since + age_s, dict.fromkeys(peers, float(age_s))
            sight = Sight(begun, begun + 0.01, node, incarnation, "serving", float(age_s), sessions)
            self.history.sights.append(sight)
        return self

    def verdict(self) -> Verdict:
        return judge(self.history)

    def violations(self) -> dict[str, int]:
        return {finding.name: finding.count for finding in self.verdict().violations}

    def informed(self) -> dict[str, int]:
        return {each.name: each.count for each in self.verdict().findings if not each.forbidden and each.count}
