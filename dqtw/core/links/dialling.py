"""When a node, or one process of it, is dialled, and at which address."""

from typing import Final

from dqtw.core.links.streams import StreamRequest

dial_interval_s: Final = 1.0
dial_s_max: Final = 3.0  # then a dial is given up


def is_encrypted(url: str) -> bool:
    """Return True if what is sent to this URL is encrypted."""
    return url.lower().startswith("https://")


class Dialling:
    """The attempts to open a stream at one place, without back-off: at any process of a node, or at one process.

    Attributes:
        boot: the process that is dialled; None: whichever answers for the node.
        stream: the number of the stream that is being opened; None: no dial is under way.
        url, request: of the latest dial.
        began_at: when that began, or when this object was made.
        next_at: when the next may begin.
    """

    def __init__(self, now: float, node: str, boot: str | None) -> None:
        self.node = node
        self.boot = boot
        self.stream: int | None = None
        self.url = ""
        self.request: StreamRequest | None = None
        self.next_at = now
        self.began_at = now
        self._failures = 0  # since a link came up, or the address changed

    @property
    def give_up_at(self) -> float:
        """Return when the dial that is under way must have been answered."""
        return self.began_at + dial_s_max

    @property
    def has_failed(self) -> bool:
        """Return True if a dial has failed since a link came up, or the address changed."""
        return self._failures > 0

    def address(self, announced: str | None, configured: str) -> str:
        """Return the URL for the next dial: every second one after a failure goes to the configured one.

        An announced address never weakens a link, whichever peer passed it on: where https is configured, plain http
        is not used.
        """
        is_weaker = announced is not None and is_encrypted(configured) and not is_encrypted(announced)
        return configured if announced is None or is_weaker or self._failures % 2 else announced

    def begin(self, now: float, stream: int, url: str, request: StreamRequest) -> None:
        """Note a dial that begins."""
        self.stream, self.url, self.request = stream, url, request
        self.began_at = now
        self.next_at = now + dial_interval_s

    def end(self) -> None:
        """Note that the dial under way was answered, or is not wanted any more."""
        self.stream = None

    def failed(self) -> None:
        """Note that the dial under way has failed."""
        self.stream = None
        self._failures += 1

    def hurry(self, now: float) -> None:
        """Let the next dial begin at once, or a second after the last one began.

        Each dial that is accepted ends a link. Two processes that dialled each other back at once, without a limit,
        could end each other's links for ever.
        """
        soonest = now if self.request is None else max(now, self.began_at + dial_interval_s)
        self.next_at = min(self.next_at, soonest)

    def forget_failures(self) -> None:
        """Let the next dial go to the announced address: it has changed, or a link came up."""
        self._failures = 0
