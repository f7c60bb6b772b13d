"""A capture of all that passes on the loopback interface."""

import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from attrs import define, field

_all_protocols = 3  # ETH_P_ALL
_ethernet_bytes = 14
_look_again_s = 0.1


def why_not() -> str:
    """Return why this machine does not allow a capture; empty when it does."""
    try:
        _open().close()
    except (OSError, AttributeError) as error:
        return f"can't capture packets: {error}"
    return ""


def _open() -> socket.socket:
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_all_protocols))
    capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**24)
    capture.bind(("lo", 0))
    capture.settimeout(_look_again_s)
    return capture


@define
class Capture:
    """The bytes of TCP connections over IPv4, by the port at the server's end, both directions."""

    ports: frozenset[int]
    bytes_of: dict[int, bytearray] = field(factory=lambda: defaultdict(bytearray))
    _stop: threading.Event = field(factory=threading.Event)

    def run(self, packets: socket.socket) -> None:
        while not self._stop.is_set():
            try:
                self._take(packets.recv(2**17)[_ethernet_bytes:])
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stop.set()

    def _take(self, packet: bytes) -> None:
        if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            return
        segment = packet[(packet[0] & 15) * 4 : struct.unpack_from("!H", packet, 2)[0]]
        for port in self.ports & set(struct.unpack_from("!HH", segment)):
            self.bytes_of[port] += segment[(segment[12] >> 4) * 4 :]


@contextmanager
def captured(ports: Iterable[int]) -> Iterator[Capture]:
    """Capture what passes to and from these ports on 127.0.0.0/8."""
    capture = Capture(frozenset(ports))
    with _open() as packets:
        thread = threading.Thread(target=capture.run, args=(packets,))
        thread.start()
        try:
            yield capture
        finally:
            capture.stop()
            thread.join()
