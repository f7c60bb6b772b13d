"""The bounds of what peers may use of this process."""

from typing import Final

from attrs import frozen

from dqtw.net.http.limits import HttpLimits
from dqtw.wire.peer.lanes import piece_bytes_max

_mib: Final = 1024 * 1024
_message_bytes_max: Final = 1024 * _mib  # the largest that any node can be configured to take


@frozen
class StreamLimits:
    """The bounds of the streams between nodes.

    A frame may have the largest message that any node can take, whatever the limit of this node is: what is on a queue
    must get through, or one message would end every link.

    Attributes:
        frame_bytes_max: the longest frame that is read.
        waiting_bytes_max: a stream with more bytes of frames that wait, before the last of them, is closed.
        write_bytes: how much is written at once; so much has to leave in ``blocked_s_max``.
        blocked_s_max: a stream of which the transport took nothing for so long is closed.
        dial_s_max: a dial without an answer is given up after so long: before the core does, after 3 s, because the
            transport knows what the dial waited for.
        streams_max: streams that peers have opened here.
        streams_per_node_max: those of one node id.
        processes_per_node_max: processes of one node id that have opened streams here.
        head_bytes_max: of the answer to a dial.
    """

    frame_bytes_max: int = _message_bytes_max + 32 * _mib
    waiting_bytes_max: int = 256 * _mib
    write_bytes: int = piece_bytes_max
    blocked_s_max: float = 3.0
    dial_s_max: float = 2.9
    streams_max: int = 512
    streams_per_node_max: int = 16
    processes_per_node_max: int = 4
    head_bytes_max: int = 64 * 1024


stream_http_limits: Final = HttpLimits(idle_seconds_max=10.0)
"""The bounds of the listener: a peer asks at once, and a connection carries one request only."""
