"""The header of the PROXY protocol, with which a proxy begins a connection (haproxy.org, `proxy-protocol.txt`).

Both versions are read. Nothing in this server depends on a client's address, so a header is checked and passed over.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from dqtw.core.model.errors import Framing

v1_bytes_max: Final = 107  # its CRLF included
v1_start: Final = b"PROXY "
v2_signature: Final = b"\r\n\r\n\x00\r\nQUIT\n"
v2_start_bytes: Final = 16

_v2_local: Final = 0x20
_v2_proxied: Final = 0x21
_v2_transports: Final = (0, 1, 2)  # unspecified, stream, datagram
_v2_address_bytes: Final = {0: 0, 1: 12, 2: 36, 3: 216}  # by family: unspecified, IPv4, IPv6, UNIX
_v1_port = re.compile(rb"0|[1-9][0-9]{0,4}")
_v1_address: Final = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}


class ProxyHeader:
    """Reads the header at the beginning of a connection; every chunk boundary gives the same.

    At most `v1_bytes_max` bytes are held: addresses and what a proxy adds to them (up to 64 KiB) are passed over.
    """

    def __init__(self) -> None:
        self._held = b""
        self._skip: int | None = (
            None  # how much of a header of version 2 is yet to come; None as long as it is not known
        )

    def feed(self, data: bytes) -> bytes | None:
        """Take more of the connection; return what follows the header, or None when more is needed.

        Raises:
            Framing: the connection does not begin with a header.
        """
        self._held += data
        if self._skip is None and self._held.startswith(v1_start):
            return self._after_v1()
        if self._skip is None and len(self._held) >= v2_start_bytes and self._held.startswith(v2_signature):
            self._skip = _v2_rest_bytes(self._held[:v2_start_bytes])
            self._held = self._held[v2_start_bytes:]
        if self._skip is None:
            if not any(_may_become(self._held, start) for start in (v1_start, v2_signature)):
                raise Framing("the connection does not begin with a PROXY header")
            return None
        passed = min(self._skip, len(self._held))
        self._skip -= passed
        self._held = self._held[passed:]
        return None if self._skip else self._held

    def _after_v1(self) -> bytes | None:
        line, end, rest = self._held.partition(b"\r\n")
        if end and len(line) <= v1_bytes_max - len(end):
            _check_v1(line)
            return rest
        if len(self._held) >= v1_bytes_max:
            raise Framing(f"a PROXY line has at most {v1_bytes_max} bytes")
        return None


def _may_become(held: bytes, start: bytes) -> bool:
    return held.startswith(start) or start.startswith(held)


def _check_v1(line: bytes) -> None:
    """Check a line of version 1, its end already taken off. What follows UNKNOWN may be anything."""
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return
    addresses, ports = words[2:4], words[4:]
    try:
        for address in addresses:
            _v1_address[words[1]](address.decode("ascii"))
        is_good = len(ports) == 2 and all(_v1_port.fullmatch(port) and int(port) < 2**16 for port in ports)
    except (ValueError, KeyError):
        is_good = False
    if not is_good:
        raise Framing("the PROXY line is not UNKNOWN, nor TCP4 or TCP6 with two addresses and two ports")


def _v2_rest_bytes(start: bytes) -> int:
    """Return the length of what follows the first 16 bytes of a header of version 2."""
    command, (family, transport) = start[12], divmod(start[13], 16)
    length = int.from_bytes(start[14:16], "big")
    if command == _v2_local:  # of the proxy itself: the rest means nothing, whatever it is
        return length
    if command != _v2_proxied or family not in _v2_address_bytes or transport not in _v2_transports:
        raise Framing("the PROXY header has an unknown version, command or family")
    if transport != 0 and length < _v2_address_bytes[family]:
        raise Framing("the PROXY header is too short for its addresses")
    return length
