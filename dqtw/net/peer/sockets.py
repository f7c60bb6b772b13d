"""The socket under a stream: as little as possible is held in buffers, where no other frame can pass it."""

import socket
from contextlib import suppress
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ISystemHandle
from twisted.protocols.policies import ProtocolWrapper

unsent_bytes_max: Final = 32 * 1024
buffer_bytes: Final = 8 * 1024


def keep_little(transport: Any) -> None:
    """Let the transport, and the system where it can, take the next bytes only when nearly all before are sent.

    Linux reports a connection as writable when a third of its buffer is free, which takes many seconds on a slow
    line with a large buffer: with TCP_NOTSENT_LOWAT it counts what was not sent yet. Other systems have no such option.
    """
    while isinstance(transport, ProtocolWrapper):  # TLS
        transport = transport.transport
    if isinstance(transport, FileDescriptor):
        transport.bufferSize = buffer_bytes
    handle = transport.getHandle() if ISystemHandle.providedBy(transport) else None
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            handle.setsockopt(socket.IPPROTO_TCP, option, unsent_bytes_max)
