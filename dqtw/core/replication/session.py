"""One session, as its initiator sees it: two replicas are compared page by page, and both get what they lack.

The owner of the messages opens sessions with its peers (`dqtw.core.replication.progress` adds the log); peers open
them with each other, about a third node's messages, while that node cannot do it.
"""

from collections import deque
from typing import Final

from dqtw.core.links.frames import Backfill, Contents, Fetch, Fetched, PageRead, ReadPage, to_records
from dqtw.core.links.link import Link
from dqtw.core.model.dots import Dot, DotSet
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.key_memory import KeyMemory
from dqtw.core.model.message import Message
from dqtw.core.model.replica import Replica
from dqtw.core.replication.log import SessionId, message_overhead_bytes

contents_bytes_max: Final = 1024 * 1024
contents_count_max: Final = 4096
fetch_messages_max: Final = 16_384
fetch_records_max: Final = 65_536
backfills_under_way_max: Final = 4


class Session:
    """A comparison of a replica here with a peer's.

    OPENING ── the last page is compared ──▶ IN SESSION

    Attributes:
        id: names the session on the link, and in this process.
        is_one_way: the peer is about to stop: only this side gets what it lacks.
        is_opened: the peer has accepted the session.
        is_counted: the first page is compared.
        is_whole: the last page is compared: from now on it is known what each side lacks.
        was_complete: the peer's replica was complete once, as its process said when it accepted the session.
        changes_received: the number of the last change that the peer reported.
        need: messages that only the peer has.
        records: messages that only the peer knows as removed. They are removed here when the peer has sent the records
            of their keys; until then they are not delivered.
    """

    def __init__(self, id: SessionId, link: Link, *, is_one_way: bool = False) -> None:
        self.id = id
        self.link = link
        self.is_one_way = is_one_way
        self.is_opened = False
        self.is_counted = False
        self.is_whole = False
        self.was_complete = False
        self.changes_received = 0
        self.need = DotSet()
        self.records = DotSet()
        self._after: Dot | None = None  # the end of the last page that was compared
        self._unsent = DotSet()  # what the peer lacks, besides what the log says
        self._unconfirmed: deque[tuple[int, DotSet]] = deque()  # what was sent of it, by the number of its frame
        self._is_fetching = False

    @property
    def is_recovered(self) -> bool:
        """True if this side lacks nothing that the peer has."""
        return self.is_whole and not self.need and not self.records and not self._is_fetching

    @property
    def is_synced(self) -> bool:
        """True if neither side lacks anything, besides what the log says."""
        return self.is_recovered and not self._unsent and not self._unconfirmed

    def opened(self, now: float, *, was_complete: bool, changes: int) -> None:
        """Begin to read the digest; the first page follows by itself."""
        self.is_opened = True
        self.was_complete = was_complete
        self.changes_received = changes
        self.link.met(("opened", self.id))
        self.link.due(now, ("page", self.id))

    def compare(self, now: float, page: PageRead, replica: Replica) -> None:
        """Compare a page of the peer's digest with the replica here, and ask for the next page.

        Raises:
            PeerFault: this is not the next page.
        """
        if (
            self.is_whole
            or page.after != self._after
            or (page.upto is not None and page.upto <= (page.after or ("", 0)))
        ):
            raise PeerFault("this is not the next page of the digest")
        seen, live = page.seen.between(page.after, page.upto), page.live.between(page.after, page.upto)
        if live - seen:
            raise PeerFault("a page shows live messages that were not seen")
        mine = replica.between(page.after, page.upto)
        removed, removed_here = seen - live, mine.removed
        self.records |= replica.news(removed)
        self.need |= live - mine.seen
        if not self.is_one_way:
            self._unsent |= (mine.live - seen) | (removed_here - removed)
        self._after, self.is_counted, self.is_whole = page.upto, True, page.upto is None
        self.link.met(("page", self.id))
        if page.upto is not None:
            self.link.send(ReadPage(self.id, page.upto))
            self.link.due(now, ("page", self.id))

    def changed(self, number: int, live: DotSet, replica: Replica) -> None:
        """Take a report of messages that are new at the peer."""
        self.changes_received = max(self.changes_received, number)
        self.need |= live - replica.seen

    def fetched(self, frame: Fetched) -> None:
        """Note that an answer to a `Fetch` has come, and what the peer does not have any more."""
        self._is_fetching = False
        self.link.met(("fetched", self.id))
        gone = frame.absent | frame.contents.removed  # pruned incarnations are not learned anew, so these must go here
        self.need -= gone
        self.records -= gone

    def known(self, put: DotSet, removed: DotSet) -> None:
        """Note what was put and removed here, whatever brought it."""
        if self.need:
            self.need -= put
            self.need -= removed
        if self.records:
            self.records -= removed

    def lacks(self, dot: Dot) -> bool:
        """Return True if the peer may lack this message, as far as its digest is known."""
        return not self.is_whole or dot in self._unsent or any(dot in dots for _, dots in self._unconfirmed)

    def add_unsent(self, dots: DotSet) -> None:
        """Note what changed here and must be sent besides the log."""
        if not self.is_one_way:
            self._unsent |= dots

    def confirmed(self, number: int) -> None:
        """Note that the peer has applied all backfill up to this number."""
        while self._unconfirmed and self._unconfirmed[0][0] <= number:
            self._unconfirmed.popleft()
        if not self._unconfirmed:
            self.link.met(("backfill", self.id))

    def end(self) -> None:
        """Leave the session: nothing is due on the link for it any more."""
        for what in ("opened", "page", "fetched", "backfill", "applied"):
            self.link.met((what, self.id))

    def pump(self, now: float, replica: Replica, keys: KeyMemory) -> None:
        """Ask for what this side lacks, and send what the peer lacks, as much as may be under way."""
        if not self._is_fetching and (self.need or self.records):
            self._is_fetching = True
            self.link.send(Fetch(self.id, self.need.first(fetch_messages_max), self.records.first(fetch_records_max)))
            self.link.due(now, ("fetched", self.id))
        while self._unsent and len(self._unconfirmed) < backfills_under_way_max:
            dots, contents = contents_of(self._unsent.first(contents_count_max), replica, keys)
            number = self.link.next_call()
            self._unsent -= dots
            self._unconfirmed.append((number, dots))
            self.link.send(Backfill(self.id, number, now, contents))
            self.link.due(now, ("backfill", self.id))


def contents_of(dots: DotSet, replica: Replica, keys: KeyMemory) -> tuple[DotSet, Contents]:
    """Return what is known here of the first of these dots, about 1 MiB of it, and at least one message.

    Returns:
        The dots that the contents cover, those included of which nothing is known here; and the contents.
    """
    covered, removed = DotSet(), DotSet()
    puts: dict[str, list[tuple[int, Message]]] = {}
    left = contents_bytes_max
    for incarnation, n in dots:
        message = replica.get((incarnation, n))
        if message is not None:
            puts.setdefault(incarnation, []).append((n, message))
            left -= len(message.body) + message_overhead_bytes
        covered.add(incarnation, n)
        if left <= 0:
            break
    removed, records = keys.records_of((covered & replica.seen) - replica.live_dots, contents_count_max)
    if len(records) == contents_count_max:  # the other removals go later, with their records
        covered -= (covered & replica.seen) - replica.live_dots - removed
    return covered, Contents(puts, removed, to_records(records))
