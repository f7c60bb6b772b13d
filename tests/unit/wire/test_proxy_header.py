"""The PROXY protocol's header, in the bytes that proxies send."""

import socket
import struct

import pytest

from dqtw.core.model.errors import Framing
from dqtw.wire.proxy_header import ProxyHeader

signature = b"\r\n\r\n\x00\r\nQUIT\n"
tcp4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack("!HH", 56324, 443)
tcp6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "::1") + tcp4[8:]
unix = b"/run/client".ljust(108, b"\x00") + b"/run/server".ljust(108, b"\x00")
crc = b"\x03\x00\x04\x12\x34\x56\x78"
alpn_and_authority = b"\x01\x00\x02h2" + b"\x02\x00\x0bexample.com"
tls_information = b"\x20\x00\x1a\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x25\x00\x08\x22\x00\x05alice"[:29]
amazon_endpoint = b"\xea\x00\x17\x01vpce-08d2bf15fac5001c9"
azure_link = b"\xee\x00\x05\x01\x04\x03\x02\x01"
google_connection = b"\xe0\x00\x08" + bytes(range(8))
unique_id = b"\x05\x00\x04abcd"
padding = b"\x04\x00\x03\x00\x00\x00"


def v2(command: int, family: int, rest: bytes) -> bytes:
    return signature + bytes([command, family]) + struct.pack("!H", len(rest)) + rest


good = {
    "v1, TCP4": b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
    "v1, TCP6": b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n",
    "v1, mapped": b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 0 65535\r\n",
    "v1, health check of HAProxy, UNIX client of nginx": b"PROXY UNKNOWN\r\n",
    "v1, the longest": b"PROXY UNKNOWN " + b"ffff:" * 15 + b" 65535 65535" + b" " * 3 + b"\r\n",
    "v1, the longest TCP6": b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n",
    "v2, TCP4": v2(0x21, 0x11, tcp4),
    "v2, TCP6": v2(0x21, 0x21, tcp6),
    "v2, UNIX": v2(0x21, 0x31, unix),
    "v2, UDP4": v2(0x21, 0x12, tcp4),
    "v2, unspecified": v2(0x21, 0x00, b""),
    "v2, unspecified with additions": v2(0x21, 0x00, crc),
    "v2, unspecified transport": v2(0x21, 0x10, b""),
    "v2, health check": v2(0x20, 0x00, b""),
    "v2, health check with addresses": v2(0x20, 0x11, tcp4),
    "v2, health check of an unknown family": v2(0x20, 0x4F, b"abc"),
    "v2, health check with additions": v2(0x20, 0x00, crc),
    "v2, options of HAProxy": v2(0x21, 0x11, tcp4 + crc + alpn_and_authority + tls_information + unique_id + padding),
    "v2, Amazon": v2(0x21, 0x11, tcp4 + crc + amazon_endpoint),
    "v2, Azure": v2(0x21, 0x11, tcp4 + azure_link),
    "v2, Google": v2(0x21, 0x11, tcp4 + google_connection),
    "v2, the longest": v2(0x21, 0x21, tcp6 + b"\xe1\xff\xd8" + b"x" * (65535 - 36 - 3)),
}


def chunks_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(chunks: list[bytes]) -> bytes | None:
    """What follows the header; None if it is not complete."""
    header, followed = ProxyHeader(), b""
    for number, chunk in enumerate(chunks, 1):
        rest = header.feed(chunk)
        if rest is not None:
            return followed + rest + b"".join(chunks[number:])
    return None


@pytest.mark.parametrize("sent", good.values(), ids=good.keys())
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_header_is_passed_over_in_whatever_pieces_it_comes(sent: bytes, size: int) -> None:
    assert read(chunks_of(sent, size)) == b""
    assert read(chunks_of(sent + b"PUSH 1\r\nx\r\n", size)) == b"PUSH 1\r\nx\r\n"
    assert read(chunks_of(sent[:-1], size)) is None


@pytest.mark.parametrize("sent", list(good.values())[:-1], ids=list(good)[:-1])
def test_a_header_may_be_split_at_every_byte(sent: bytes) -> None:
    for at in range(1, len(sent)):
        assert read([sent[:at], sent[at:] + b"GET\r\n"]) == b"GET\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET\r\n",
        b"PUSH 5\r\n",
        b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY  UNKNOWN\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 \xff 192.0.2.2 1 2\r\n",
        b"PROXY UNKNOWN" + b"x" * 93 + b"\r\n",
        b"PROXY UNKNOWN\n" + b"x" * 93,
        b"PROXY " + b"x" * 10_000,
        b"\r\n\r\n\x00\r\nQUIX\n",
        v2(0x11, 0x11, tcp4),
        v2(0x22, 0x11, tcp4),
        v2(0x21, 0x41, tcp4),
        v2(0x21, 0x13, tcp4),
        v2(0x21, 0x11, tcp4[:-1]),
        v2(0x21, 0x21, tcp6[:-1]),
        v2(0x21, 0x31, unix[:-1]),
        b"\x16\x03\x01\x02\x00",
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_anything_else_is_refused(sent: bytes, size: int) -> None:
    with pytest.raises(Framing):
        read(chunks_of(sent, size))
        raise AssertionError("it waits for more")


def test_little_is_held_of_a_long_header() -> None:
    header = ProxyHeader()
    for chunk in chunks_of(good["v2, the longest"], 1000)[:-1]:
        assert header.feed(chunk) is None
        assert len(header._held) <= 107
