"""What a client asks of a node, and what it is told."""

import ssl
from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from attrs import frozen

from dqtw.check.history import Delivery, Result

in_doubt: Final = frozenset({"uncertain", "internal", "lost", "proxy"})  # codes that do not say what happened
schemes: Final = ("http", "https", "line", "tls")


class NoStats(Exception):
    """A node did not report its stats; the text says why."""


@frozen
class Address:
    """Where a listener is: ``http`` or ``https``, ``line`` or ``tls`` (lines over TLS), then ``://host:port``."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_http(self) -> bool:
        """Return True for the REST API, False for the line protocol."""
        return self.scheme in ("http", "https")

    @property
    def is_encrypted(self) -> bool:
        """Return True if the connection is over TLS."""
        return self.scheme in ("https", "tls")

    @classmethod
    def parse(cls, text: str, scheme: str) -> "Address":
        """Read a URL, or a host and a port.

        Raises:
            ValueError: it is neither.
        """
        parts = urlsplit(text if "://" in text else f"{scheme}://{text}")
        if parts.scheme not in schemes or not parts.hostname or not parts.port:
            raise ValueError(f"{text!r} is not an address such as {scheme}://127.0.0.1:8080")
        return cls(parts.scheme, parts.hostname, parts.port)


@frozen
class Access:
    """What the listeners ask of a client.

    Attributes:
        token: shown with every request; empty for none.
        tls: checks the server's certificate where the address says TLS; None: against the system's authorities.
    """

    token: str = ""
    tls: ssl.SSLContext | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """What a TLS connection is made with."""
        return self.tls or ssl.create_default_context()


@frozen
class Answer:
    """What came of one request.

    Attributes:
        code: why it was refused; ``refused`` when nobody listens, ``lost`` when the answer never came, ``proxy``
            when something else than a node answered.
    """

    code: str = ""
    id: str = ""
    deliveries: tuple[Delivery, ...] = ()

    @property
    def result(self) -> Result:
        """Whether it happened, did not, or nobody knows."""
        if not self.code:
            return "ok"
        return "unknown" if self.code in in_doubt else "fail"


@frozen
class Get:
    """What is asked of a get."""

    count_max: int = 1
    wait_s: float = 0.0
    lease_s: float = 1.0
    ack_now: bool = False


class ClientDoor(Protocol):
    """What clients ask; whatever goes wrong is in the answer."""

    def push(self, bodies: Sequence[str], key: str = "") -> list[Answer]:
        """Push several messages; a key goes with a single one."""

    def get(self, get: Get) -> Answer:
        """Get messages."""

    def remove(self, receipts: Sequence[str]) -> list[Answer]:
        """Acknowledge several."""

    def nack(self, receipt: str, delay_s: float) -> Answer:
        """Give one back."""

    def touch(self, receipt: str, lease_s: float) -> Answer:
        """Start its lease anew."""

    def stats(self) -> dict[str, Any]:
        """Return what the node reports of itself.

        Raises:
            NoStats: it reported nothing, or something that is not of a dqtw node.
        """

    def close(self) -> None:
        """Hang up."""
