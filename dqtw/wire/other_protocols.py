"""Connections that speak another protocol than their listener's: how they begin, and what to do about it."""

from typing import Final

from dqtw.core.model.errors import Framing
from dqtw.wire.proxy_header import v1_start

tls_handshake: Final = b"\x16"  # the first byte of a TLS client
start_bytes: Final = len(v1_start)  # how much of a connection is enough to tell


def check_start(start: bytes, protocol: str) -> None:
    """Check how a request of this protocol begins; `start_bytes` of it are enough.

    Raises:
        Framing: it is the beginning of a TLS connection, or a header of the PROXY protocol.
    """
    if start.startswith(tls_handshake):
        raise Framing(f"this is {protocol} without TLS")
    if start.startswith(v1_start):
        raise Framing("this listener expects no PROXY header; it does with haproxy: before its endpoint")
