"""What clients saw of a cluster: every request with its outcome, what nodes said of themselves, what was done to them.

A history is a file of JSON lines. A request is two of them: ``invoke`` when it was made, ``outcome`` when it was
answered; one without an outcome was never answered. Times are seconds since the history began, on one clock.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from math import inf
from typing import IO, Any, Literal, TypeAlias

from attrs import asdict, define, field, frozen

What: TypeAlias = Literal["push", "get", "ack", "nack", "touch"]
Result: TypeAlias = Literal["ok", "fail", "unknown"]


@frozen
class Delivery:
    """One message as a client got it."""

    id: str
    receipt: str
    attempt: int
    lease_s: float
    body: str


@define
class Operation:
    """One request of one client.

    Attributes:
        number: its number in the history.
        client: who made it; a client makes one request at a time.
        what: what was asked.
        address: where.
        begun: when.
        body: of a push: what names its body.
        key: of a push: its idempotency key; empty for none.
        id: the message: of an ack, nack or touch as asked, of a push as answered.
        lease_s: of a get or touch: the lease that was asked for.
        ack_now: of a get: the messages are removed at delivery.
        count_max: of a get: so many messages at most.
        ended: when it was answered; infinite: never.
        result: ``ok``, ``fail`` (it had no effect), or ``unknown``.
        code: why it was not ``ok``.
        deliveries: of a get.
    """

    number: int
    client: str
    what: What
    address: str
    begun: float
    body: str = ""
    key: str = ""
    id: str = ""
    lease_s: float = 0.0
    ack_now: bool = False
    count_max: int = 1
    ended: float = inf
    result: Result = "unknown"
    code: str = "unanswered"
    deliveries: list[Delivery] = field(factory=list)

    @property
    def may_have_happened(self) -> bool:
        """Whether it had its effect, or nobody knows."""
        return self.result != "fail"


@frozen
class Sight:
    """What a node said of itself, asked at ``begun`` and answered at ``ended``.

    Attributes:
        sessions: each peer in session, and the session's age in seconds.
    """

    begun: float
    ended: float
    node: str
    incarnation: str
    state: str
    uptime_s: float
    sessions: dict[str, float] = field(factory=dict)

    @classmethod
    def read(cls, begun: float, ended: float, stats: dict[str, Any]) -> "Sight":
        """What of a node's stats tells which process it is."""
        peers = stats["peers"].items()
        sessions = {id: peer["session_s"] for id, peer in peers if peer["session_s"] is not None}
        return cls(begun, ended, stats["node"], stats["incarnation"], stats["state"], stats["uptime_s"], sessions)


@define
class History:
    """One run.

    Attributes:
        operations: in the order in which they began.
        sights: what nodes said of themselves.
        faults: what was done to the cluster, and when.
        quiet: nothing was done to it, and no client gave anything back.
        serving_after_s: how long it took until every node served, after the last fault; None: it never came to that.
        left: how many messages were left after the drain; None: nobody could tell.
        finished: whether the run came to its end.
    """

    operations: list[Operation] = field(factory=list)
    sights: list[Sight] = field(factory=list)
    faults: list[tuple[float, str]] = field(factory=list)
    quiet: bool = False
    serving_after_s: float | None = None
    left: int | None = None
    finished: bool = False

    @classmethod
    def read(cls, lines: Iterable[str]) -> "History":
        """Read the lines of a history.

        Raises:
            ValueError: a line is not of a history.
        """
        history, operations = cls(), dict[int, Operation]()
        for number, line in enumerate(lines, 1):
            try:
                history._take(json.loads(line), operations)
            except (KeyError, TypeError, ValueError, AttributeError):
                raise ValueError(f"line {number} is not of a history") from None
        history.operations = list(operations.values())
        return history

    def _take(self, entry: dict[str, Any], operations: dict[int, Operation]) -> None:
        if "invoke" in entry:
            number, begun = entry.pop("invoke"), entry.pop("at")
            operations[number] = Operation(number, begun=begun, **entry)
        elif "outcome" in entry:
            operation = operations[entry["outcome"]]
            operation.ended, operation.result, operation.code = entry["at"], entry["result"], entry.get("code", "")
            operation.id = entry.get("id", operation.id)
            operation.deliveries = [Delivery(**each) for each in entry.get("deliveries", [])]
        elif "sight" in entry:
            self.sights.append(Sight(**entry["sight"]))
        elif "fault" in entry:
            self.faults.append((entry["at"], entry["fault"]))
        elif "run" in entry:
            self.quiet = entry["run"]["quiet"]
        else:
            self.finished, end = True, entry["end"]
            self.serving_after_s, self.left = end["serving_after_s"], end["left"]


class Recorder:
    """Writes a history; any thread may.

    Args:
        file: where the lines go.
        quiet: nothing will be done to the cluster, and no client will give anything back.
        clock: seconds, of a clock that is never set.
    """

    def __init__(self, file: IO[str], *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._since = clock()
        self._lock = threading.Lock()
        self._number = 0
        self._write({"at": 0.0, "run": {"quiet": quiet}})

    def now(self) -> float:
        """Seconds since the history began."""
        return round(self._clock() - self._since, 6)

    def invoke(self, client: str, what: What, address: str, **asked: object) -> int:
        """Note a request that is about to be made; its number."""
        with self._lock:
            self._number += 1
            entry = {"invoke": self._number, "client": client, "what": what, "address": address, **asked}
            self._write({"at": self.now(), **entry})
            return self._number

    def outcome(self, number: int, result: Result, code: str, **answer: object) -> None:
        """Note what came of it."""
        with self._lock:
            said = {"code": code} if code else {}
            self._write({"at": self.now(), "outcome": number, "result": result, **said, **answer})

    def sight(self, sight: Sight) -> None:
        """Note what a node said of itself."""
        with self._lock:
            self._write({"at": self.now(), "sight": asdict(sight)})

    def fault(self, what: str) -> None:
        """Note what is about to be done to the cluster."""
        with self._lock:
            self._write({"at": self.now(), "fault": what})

    def end(self, serving_after_s: float | None, left: int | None) -> None:
        """Note how the run ended."""
        with self._lock:
            self._write({"at": self.now(), "end": {"serving_after_s": serving_after_s, "left": left}})
            self._file.flush()

    def _write(self, entry: dict[str, object]) -> None:
        self._file.write(json.dumps(entry, separators=(",", ":")) + "\n")
