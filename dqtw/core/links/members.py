"""The other members of the cluster, and the words for how each can be reached (2 Words)."""

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from dqtw.core.links.dialling import Dialling
from dqtw.core.links.frames import BootId, NodeId, Status
from dqtw.core.links.link import Link, Process, silence_s_max
from dqtw.core.links.pairing import Pairing
from dqtw.core.model.health import Wait
from dqtw.core.model.settings import NodeSettings

processes_max: Final = 4  # of one node
refused_s: Final = 3.0  # for so long after the last attempt that was refused two nodes refuse each other
dialled_back_s: Final = 1.0  # a stream without its pair is not worth a word before
_failures_max: Final = 3  # addresses whose failures are remembered


@frozen
class Refusal:
    """An attempt of this node or of the other one to open a stream was refused.

    Attributes:
        by: the node that refused.
        why: the reason, and at which address if this node asked.
    """

    at: float
    by: str
    why: str


class Member:
    """Another member: its address, its processes, and how they can be reached.

    Attributes:
        configured_url: where it was reached as far as this node's configuration says.
        announced: the greatest incarnation whose address is known, and that address; None: no address was announced.
        dialling: the attempts to open a stream at any process of it.
        pairings: the streams with each of its processes, by boot id; at most `processes_max`.
        present_at: when the last byte of a present process came, at the start or the end of a pause at the earliest.
    """

    def __init__(self, now: float, id: NodeId, settings: NodeSettings) -> None:
        self.id = id
        self.configured_url = settings.peers[id]
        self.announced: tuple[str, str] | None = None
        self.dialling = Dialling(now, id, None)
        self.pairings: dict[BootId, Pairing] = {}
        self.present_at = now
        self._settings = settings
        self._refusal: Refusal | None = None  # the last one since a link came up, or since a pause
        self._failures: dict[str, str] = {}  # since a link came up: why the last dial failed, by URL
        self._ended = ""  # why the last link went down

    @property
    def url(self) -> str:
        """Return where it is dialled next."""
        return self.dialling.address(self.announced[1] if self.announced else None, self.configured_url)

    @property
    def processes(self) -> list[Process]:
        """Return its processes that are known, of this run of them and of others."""
        return [pairing.process for pairing in self.pairings.values()]

    @property
    def links(self) -> list[Link]:
        """Return the links to its processes that are up."""
        return [link for pairing in self.pairings.values() if (link := pairing.process.link) is not None]

    @property
    def current(self) -> Link | None:
        """Return the link to the process of the greatest incarnation that is linked and not leaving.

        One without an incarnation counts as less than any; one that has sent no status yet does not count.
        """
        linked = [link for link in self.links if link.process.status is not None and not link.process.is_going]
        return max(linked, key=lambda link: (link.process.incarnation or "", link.up_at), default=None)

    def misses(self, process: Process) -> bool:
        """Return True if other processes are linked, but all have lesser incarnations than this one that is not."""
        current = self.current
        incarnation, least = process.incarnation, current.process.incarnation if current is not None else None
        return self.is_linked and not process.is_going and incarnation is not None and incarnation > (least or "")

    @property
    def is_present(self) -> bool:
        """Return True while a process of it is linked that has an incarnation and is not leaving."""
        return any(pairing.process.is_present for pairing in self.pairings.values())

    @property
    def is_leaving(self) -> bool:
        """Return True if no linked process of it stays, as its processes say."""
        return self.current is None and any(link.process.is_going for link in self.links)

    @property
    def is_linked(self) -> bool:
        """Return True while a process of it is linked."""
        return any(pairing.process.link is not None for pairing in self.pairings.values())

    @property
    def refused_until(self) -> float | None:
        """Return until when this node and that one refuse each other; None if they do not."""
        return None if self._refusal is None or self.is_linked else self._refusal.at + refused_s

    def is_refused(self, now: float) -> bool:
        """Return True until 3 s after the last attempt that either node refused, or a link."""
        return self.refused_until is not None and now < self.refused_until

    @property
    def unreachable_from(self) -> float:
        """Return from when on it is unreachable, unless it is refused, or a byte of a present process comes before."""
        return self.present_at + silence_s_max

    def is_unreachable(self, now: float) -> bool:
        """Return True if no byte of a present process has come for 3 s, and it is not refused."""
        return now >= self.unreachable_from and not self.is_refused(now)

    @property
    def status(self) -> Status | None:
        """Return the latest status that any process of it has sent."""
        processes = [process for process in self.processes if process.status is not None]
        return max(processes, key=lambda each: each.status_at).status if processes else None

    @property
    def members_differ(self) -> tuple[str, ...] | None:
        """Return the members that it was configured with, if they are others than here; None otherwise."""
        theirs = None if self.status is None else tuple(sorted(self.status.members))
        return None if theirs == self._settings.members else theirs

    @property
    def settings_differ(self) -> tuple[str, ...]:
        """Return one text for each setting that should be the same as here and is not."""
        return () if self.status is None else self._settings.shared.differences_by_option(self.status.settings)

    def trouble(self, now: float) -> Wait | None:
        """Return why it is of no use to this node; None if nothing is known to be wrong."""
        if self.is_present:
            return None
        if self._refusal is not None and self.is_refused(now):
            whom = self._settings.node if self._refusal.by == self.id else self.id
            return Wait(f"{self._refusal.by} refuses {whom}", self._refusal.why)
        if self.is_linked:
            is_going = all(link.process.is_going for link in self.links)
            return Wait(f"{self.id} is leaving" if is_going else f"{self.id} is starting")
        if not self.is_unreachable(now):
            return None
        return Wait(f"{self.id} cannot be reached", "; ".join(self._reasons(now)))

    def _reasons(self, now: float) -> Iterator[str]:
        yield from (f"{why} ({url})" for url, why in self._failures.items())
        reads = [pairing.read for pairing in self.pairings.values() if pairing.read is not None]
        if any(now >= read.at + dialled_back_s for read in reads):
            yield f"it answers, but opens no stream at {self._settings.node}"
        if self._ended:
            yield f"the last link ended: {self._ended}"

    def oldest_unlinked(self) -> Pairing | None:
        """Return the streams with a process that a new one may replace; None if all are linked.

        That is one without a stream, or else one without a link, and of these the one that was silent for longest.
        """
        unlinked = [each for each in self.pairings.values() if each.process.link is None]
        return min(unlinked, key=lambda each: (not each.is_idle, each.active_at), default=None)

    def announce(self, incarnation: str, url: str) -> None:
        """Take over the address of one incarnation, if none is known of that or of a greater one."""
        if url and (self.announced is None or incarnation > self.announced[0]):
            self.announced = (incarnation, url)
            self.dialling.forget_failures()

    def refuse(self, refusal: Refusal | None) -> None:
        """Note an attempt that was refused; None: what was refused before says nothing of now."""
        self._refusal = refusal

    def dial_answered(self, url: str) -> None:
        """Note that a process of it has answered at an address."""
        self._failures.pop(url, None)

    def dial_failed(self, url: str, why: str) -> None:
        """Note why it could not be dialled."""
        self._failures.pop(url, None)
        self._failures[url] = why
        if len(self._failures) > _failures_max:
            del self._failures[next(iter(self._failures))]

    def linked(self) -> None:
        """Note that a link to a process of it is up."""
        self._refusal = None
        self._failures.clear()
        self._ended = ""
        self.dialling.forget_failures()

    def unlinked(self, why: str) -> None:
        """Note that such a link has ended."""
        self._ended = why
