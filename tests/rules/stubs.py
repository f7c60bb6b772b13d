"""Parts of the core without a cluster: a link that keeps what is sent, and replicas to compare."""

from collections.abc import Hashable, Iterable
from typing import Any, TypeVar

from dqtw.core.links.frames import AnyFrame, PageRead
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.message import Message
from dqtw.core.model.replica import Replica

incarnation = "01HF0000000000000000000000"
older, newer = "01HE0000000000000000000000", "01HG0000000000000000000000"

T = TypeVar("T")


class StubLink:
    """One end of a link: frames that are sent on it are kept."""

    def __init__(self, node: str = "b") -> None:
        self.node = node
        self.frames: list[AnyFrame] = []
        self.awaited: set[Hashable] = set()
        self._calls = 0

    def send(self, frame: AnyFrame) -> None:
        self.frames.append(frame)

    def next_call(self) -> int:
        self._calls += 1
        return self._calls

    def due(self, now: float, what: Hashable) -> None:
        self.awaited.add(what)

    def met(self, what: Hashable) -> None:
        self.awaited.discard(what)

    def take(self, kind: type[T]) -> list[T]:
        """Return the frames of a kind that were sent, and forget all."""
        frames, self.frames = self.frames, []
        return [frame for frame in frames if isinstance(frame, kind)]


def stub_link(node: str = "b") -> Any:
    """Return a stub in the place of a link."""
    return StubLink(node)


def dots(*numbers: int, of: str = incarnation) -> DotSet:
    return DotSet.of((of, n) for n in numbers)


def message(dot: Dot, key: str | None = None, size: int = 0) -> Message:
    """Return the message of a dot: a dot never names two bodies."""
    return Message(f"{dot[0][:4]}.{dot[1]}".encode().ljust(size, b"."), key=key)


def replica_of(live: Iterable[int] = (), removed: Iterable[int] = ()) -> Replica:
    replica = Replica()
    replica.put(incarnation, [(n, message((incarnation, n))) for n in live])
    replica.remove(dots(*removed))
    return replica


def page_of(replica: Replica, session: int = 1, after: Dot | None = None, upto: Dot | None = None) -> PageRead:
    page = replica.between(after, upto)
    return PageRead(session, page.seen, page.live, after, upto)
