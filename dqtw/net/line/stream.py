"""The part of a transport that a line connection uses, and what kind of transport it is."""

from collections.abc import Iterable
from typing import Protocol

from twisted.internet.interfaces import IHalfCloseableDescriptor, INegotiated


class Stream(Protocol):
    """The part of a transport that a connection uses."""

    def writeSequence(self, pieces: Iterable[bytes]) -> None: ...  # noqa: D102, N802
    def registerProducer(self, producer: object, streaming: bool) -> None: ...  # noqa: D102, FBT001, N802
    def unregisterProducer(self) -> None: ...  # noqa: D102, N802
    def pauseProducing(self) -> None: ...  # noqa: D102, N802
    def resumeProducing(self) -> None: ...  # noqa: D102, N802
    def loseWriteConnection(self) -> None: ...  # noqa: D102, N802
    def loseConnection(self) -> None: ...  # noqa: D102, N802
    def abortConnection(self) -> None: ...  # noqa: D102, N802


def can_half_close(transport: object) -> bool:
    """Whether the transport can end its own side alone; TLS can't, though what it runs on could."""
    return IHalfCloseableDescriptor.providedBy(transport) and not INegotiated.providedBy(transport)
