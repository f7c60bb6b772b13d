"""What a client asks of a node, and what it is told."""

from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from attrs import frozen

from dqtw.check.history import Delivery, Result

in_doubt: Final = frozenset({"uncertain", "internal", "lost", "proxy"})  # codes that do not say what happened


@frozen
class Address:
    """Where a door is: ``http://host:port`` or ``line://host:port``."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, scheme: str) -> "Address":
        """Read a URL, or a host and a port.

        Raises:
            ValueError: it is neither.
        """
        parts = urlsplit(text if "://" in text else f"{scheme}://{text}")
        if parts.scheme not in ("http", "line") or not parts.hostname or not parts.port:
            raise ValueError(f"{text!r} is no address such as {scheme}://127.0.0.1:8080")
        return cls(parts.scheme, parts.hostname, parts.port)


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

    def stats(self) -> dict[str, Any] | None:
        """What the node says of itself; None when it can't be had."""

    def close(self) -> None:
        """Hang up."""
