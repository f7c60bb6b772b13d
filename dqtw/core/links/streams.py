"""Streams between two processes: how one is asked for, what is answered, and what the core asks of the transport.

A stream carries frames from the process that was asked to the process that asked. The transport knows streams by
numbers; it neither pairs them nor judges a peer.
"""

from typing import Final, TypeAlias

from attrs import frozen

from dqtw.core.links.frames import AnyFrame

protocol_version: Final = 2


@frozen
class StreamRequest:
    """What a process says when it opens a stream at a peer.

    Attributes:
        node, boot: the asking process.
        url: where the asking node's peer listener is reached; empty if it does not announce one.
        versions: the protocol versions that it speaks.
        nonce: random; with the nonce of the answer it names the stream.
        number: greater than in any earlier request of this process, so that a replayed request is recognised.
        to_node: the node that it means to ask.
        to_boot: the process that it means to ask; None: any process of that node.
    """

    cluster: str
    node: str
    boot: str
    url: str
    versions: tuple[int, ...]
    nonce: str
    number: int
    to_node: str
    to_boot: str | None


@frozen
class StreamAnswer:
    """Accept a stream request.

    Attributes:
        node, boot: the process that was asked.
        nonce: random.
        greatest: the greatest incarnation that is known of the asking node, or None. A process that was replaced, and
            cannot be dialled back at its address, learns of it in this way.
    """

    node: str
    boot: str
    nonce: str
    greatest: str | None = None


@frozen
class StreamRefused:
    """Refuse a stream request.

    Attributes:
        code: ``wrong_cluster``, ``version``, ``unauthorized`` and ``unknown_member`` keep two nodes apart until an
            operator changes something. After ``wrong_node``, ``wrong_boot``, ``too_many`` and ``replayed`` the asker
            just dials again.
        why: the reason, in words.
        node: the node that asked, as it names itself; None if that is not known.
    """

    code: str
    why: str
    node: str | None = None

    @property
    def is_lasting(self) -> bool:
        """Return True if the two nodes refuse each other, in the sense of the protocol."""
        return self.code in ("wrong_cluster", "version", "unauthorized", "unknown_member")


@frozen
class Accepted:
    """A stream request is accepted: frames for that peer can be written to ``stream``."""

    stream: int
    answer: StreamAnswer


# What the core asks of the transport, as effects.


@frozen
class Dial:
    """Open a stream at ``url``; frames that arrive on it, and its end, are reported under the number ``stream``."""

    stream: int
    url: str
    request: StreamRequest


@frozen
class Send:
    """Write a frame to a stream that a peer has opened here."""

    stream: int
    frame: AnyFrame


@frozen
class Close:
    """Close a stream, or give up a dial. Its end is not reported any more."""

    stream: int
    why: str


@frozen
class Reported:
    """Pass on what the peer reports of a stream that it opened here: how many bytes of two lanes it has read.

    Without such reports the transport stops to write bulk frames.
    """

    stream: int
    express_read: int
    bulk_read: int


LinkEffect: TypeAlias = Dial | Send | Close | Reported
