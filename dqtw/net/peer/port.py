"""What the transport of the peers reports to, and asks."""

from typing import Protocol

from dqtw.core.links.frames import AnyFrame
from dqtw.core.links.streams import Accepted, StreamAnswer, StreamRefused, StreamRequest


class PeerPort(Protocol):
    """The node behind the streams.

    No call is made while the transport carries out effects, and what a call causes is to be carried out after it.
    """

    def stream_asked(self, request: StreamRequest) -> Accepted | StreamRefused:
        """Judge a peer's request for a stream; its MAC is right, and there are not too many streams."""
        ...

    def request_refused(self, node: str, refused: StreamRefused) -> None:
        """Take note that the transport has refused a request of that node, as it names itself."""
        ...

    def dial_answered(self, stream: int, answer: StreamAnswer) -> None:
        """Take the answer to a dial; the frames of the stream follow."""
        ...

    def dial_failed(self, stream: int, why: str, *, is_lasting: bool) -> None:
        """Take the end of a dial that brought no stream; lasting: until an operator changes something."""
        ...

    def received(self, stream: int, frames: list[AnyFrame], express_bytes: int, bulk_bytes: int) -> None:
        """Take the frames that one read completed, perhaps none, and how much of two lanes it brought.

        Raises:
            PeerFault: the peer breaks the protocol; the stream is closed.
        """
        ...

    def stream_closed(self, stream: int, why: str) -> None:
        """Take the end of a stream that this node did not close itself."""
        ...

    def count_refused(self, listener: str, code: str) -> None:
        """Count a request that the listener refused, by its code."""
        ...
