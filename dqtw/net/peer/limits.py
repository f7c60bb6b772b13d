"""What nodes may cost each other at most."""

from typing import Final

from attrs import frozen

from dqtw.net.http.limits import HttpLimits

_mib: Final = 1024 * 1024
_message_bytes_max: Final = 1024 * _mib  # the largest that any node can be told to take


@frozen
class PeerLimits:
    """The bounds of the peers' network.

    What carries messages takes the largest that any node may have taken in, whatever this node's own limit is: what is
    on a queue must get through, or one message would end every session. Only who knows the cluster's secret gets as far
    as sending it.

    Attributes:
        request_bytes_max: a request that carries no message.
        message_request_bytes_max: a request that carries messages: a chunk of many, or one of any size.
        answer_bytes_max: an answer that carries no message.
        message_answer_bytes_max: an answer that carries messages.
        refusal_bytes_max: an answer that only says why there is none.
        head_bytes_max: the head of an answer.
        forwards_max: forwarded commands under way to one peer at once; the others wait for their turn.
        forwards_waiting_max: so many may wait, or one more fails at once.
        idle_seconds_max: how long a connection without a request is kept by the asker; less than by the answerer, so
            that no request meets a connection that is being closed.
    """

    request_bytes_max: int = _mib
    message_request_bytes_max: int = _message_bytes_max + 16 * _mib
    answer_bytes_max: int = 4 * _mib
    message_answer_bytes_max: int = _message_bytes_max + 32 * _mib
    refusal_bytes_max: int = 64 * 1024
    head_bytes_max: int = 128 * 1024
    forwards_max: int = 32
    forwards_waiting_max: int = 10_000
    idle_seconds_max: float = 30.0


peer_http_limits: Final = HttpLimits(
    received_bytes_max=2 * PeerLimits().message_request_bytes_max,
    unread_bytes_max=2 * PeerLimits().message_answer_bytes_max,
)
"""The bounds of the peers' door itself; its connections may idle for longer than the askers let them."""
