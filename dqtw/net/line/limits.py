"""What the clients of a line listener may cost."""

from typing import Final

from attrs import frozen

from dqtw.core.model.message import body_bytes_default_max

listener_name: Final = "line"  # under which refusals are counted


@frozen(kw_only=True)
class LineLimits:
    """What the clients of a line listener may cost.

    Attributes:
        max_message: the largest body that is taken, in bytes.
        max_connections: how many clients at once.
        refused_connections_max: how many further clients may be on their way out at once, told that they are refused.
        due_max: how many requests of one connection may be without an answer.
        due_bytes_max: how much those and their answers may keep in memory; one may always pass it.
        request_s: how long a request may take from its first byte to its last, if its body is small, and a close to be
            taken note of.
        body_bytes_per_second_min: each part of a body that has arrived adds time to that, at this rate.
        look_s: how often a connection on which the client owes something is looked at.
        linger_s: how long a client may take to hang up after the server did.
    """

    max_message: int = body_bytes_default_max
    max_connections: int = 10_000
    refused_connections_max: int = 100
    due_max: int = 1024
    due_bytes_max: int = 4 * 1024 * 1024
    request_s: float = 60.0
    body_bytes_per_second_min: int = 16 * 1024
    look_s: float = 5.0
    linger_s: float = 2.0
