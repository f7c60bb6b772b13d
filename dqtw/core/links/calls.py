"""Requests to peers that have no answer yet, each with its deadline."""

from collections.abc import Callable
from typing import Final, TypeAlias

from dqtw.core.links.peer_messages import Asking, Failed, PeerAnswer, PeerRequest
from dqtw.core.model.deadlines import Deadlines

call_timeout_s: Final = 5.0

Then: TypeAlias = Callable[[float, PeerAnswer], None]


class Calls:
    """Numbers each request and takes one answer for it: a second one, or a late one, finds nobody."""

    def __init__(self, send: Callable[[Asking], None]) -> None:
        self._send = send
        self._then: dict[int, Then] = {}
        self._deadlines: Deadlines[int] = Deadlines()
        self._last = 0

    def start(
        self, now: float, peer: str, url: str, request: PeerRequest, then: Then, timeout_s: float = call_timeout_s
    ) -> int:
        """Send a request; ``then`` gets its answer, or `Failed` when none came in time."""
        self._last += 1
        self._then[self._last] = then
        self._deadlines.set(self._last, now + timeout_s)
        self._send(Asking(self._last, peer, url, request, timeout_s))
        return self._last

    def answered(self, now: float, call: int, answer: PeerAnswer) -> None:
        """Hand an answer to whoever asked; one that nobody expects any more is dropped."""
        then = self._then.pop(call, None)
        self._deadlines.cancel(call)
        if then is not None:
            then(now, answer)

    def tick(self, now: float) -> None:
        """Give up what had no answer in time."""
        for call in self._deadlines.pop_due(now):
            self._then.pop(call)(now, Failed("no answer in time"))

    def next_deadline(self) -> float | None:
        """When `tick` is next needed."""
        return self._deadlines.next()
