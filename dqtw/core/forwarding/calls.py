"""What both directions of forwarding need: a link as they see it, and the bounds of calls and frames."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol, TypeVar

from dqtw.core.links.frames import AnyFrame
from dqtw.core.model.commands import Command, Delivered, Outcome, Push

calls_max: Final = 10_000  # commands under way on one link, in each direction
frame_body_bytes: Final = 2**20  # a frame takes nothing more once the bodies in it have so many bytes
frame_items_max: Final = 4096

T = TypeVar("T")


class Link(Protocol):
    """One link to one process; its identity is its key."""

    @property
    def node(self) -> str:
        """Return the node of the process at the other end."""

    def send(self, frame: AnyFrame) -> None:
        """Send a frame, in the order of these calls."""

    def next_call(self) -> int:
        """Return the number for the next call on this link, greater by one than the last."""


class Peers(Protocol):
    """The links to the other nodes."""

    def current(self, node: str) -> Link | None:
        """Return the link to the process to which commands for this node go."""


def split(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Split commands or outcomes into parts, one for each frame, so that no frame is longer than one item makes it.

    Args:
        items: what is to be sent, in order.
        size: returns the bytes of the bodies in one item.
    """
    part: list[T] = []
    part_bytes = 0
    for item in items:
        part.append(item)
        part_bytes += size(item)
        if part_bytes >= frame_body_bytes or len(part) == frame_items_max:
            yield part
            part, part_bytes = [], 0
    if part:
        yield part


def body_bytes(item: Command | Outcome) -> int:
    """Return the bytes of the bodies in one command or outcome."""
    if isinstance(item, Push):
        return len(item.body)
    if isinstance(item, Delivered):
        return sum(len(each.message.body) for each in item.deliveries)
    return 0
