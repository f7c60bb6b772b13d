"""The TCP options of a client's connection."""

import socket
from contextlib import suppress
from typing import Final

from twisted.internet.interfaces import ISystemHandle
from twisted.protocols.policies import ProtocolWrapper

silence_s_max: Final = 60  # so long after its last sign of life a client's machine counts as gone

# Without these options the system asks a silent machine after two hours, and repeats unanswered data for 15 minutes.
# Not every system has all of them; macOS calls the first one TCP_KEEPALIVE.
_options: Final = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": silence_s_max // 2,
    "TCP_KEEPALIVE": silence_s_max // 2,
    "TCP_KEEPINTVL": silence_s_max // 6,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": silence_s_max * 1000,
}


def keep_prompt(transport: object) -> None:
    """Send answers without delay, and lose the connection about `silence_s_max` after the client's machine is gone.

    With TCP_USER_TIMEOUT this includes a client that takes nothing of its answers for so long. A connection that is
    not TCP has no such options and is left alone.
    """
    handle = _socket_of(transport)
    if handle is None or handle.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # some systems refuse options on a connection that the client has reset already
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _options.items():
            if hasattr(socket, name):
                handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _socket_of(transport: object) -> socket.socket | None:
    while isinstance(transport, ProtocolWrapper):  # TLS, whose own handle is not the socket
        transport = transport.transport
    handle = transport.getHandle() if ISystemHandle.providedBy(transport) else None
    return handle if isinstance(handle, socket.socket) else None
