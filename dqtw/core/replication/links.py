"""What each peer is known to hold of this node's own queue."""

from collections.abc import Callable, Iterable, Iterator

from dqtw.core.links.peer_messages import Open, Put, Role
from dqtw.core.links.peers import Peers
from dqtw.core.model.errors import Fenced, PeerFault, Starting, Unreplicated
from dqtw.core.model.health import Wait
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.keys import KeyRecord
from dqtw.core.model.message import MessageId
from dqtw.core.replication.needed import Needed
from dqtw.core.replication.opener import Opener
from dqtw.core.replication.ports import Flight, LinksOwner
from dqtw.core.replication.session import Session


class Links:
    """The owner's sessions with all its peers; with no peers there is nobody to wait for."""

    def __init__(
        self,
        copies: int,
        peers: Peers,
        owner: LinksOwner,
        entropy: Callable[[int], bytes],
        open_request: Callable[[str], Open],
    ) -> None:
        self.copy = owner.copy
        self.keys = owner.keys
        self.open_request = open_request
        self._copies = copies
        self._owner = owner
        self._openers = {peer.id: Opener(peer, Role.OWNER, self, entropy) for peer in peers}
        self._in_session: list[str] = []
        self._wanted: set[str] = set()
        self._needed = Needed(owner.copy.queue)

    # What the owner asks.

    def __iter__(self) -> Iterator[Opener]:
        return iter(self._openers.values())

    def __getitem__(self, peer: str) -> Opener:
        return self._openers[peer]

    def in_session(self) -> list[str]:
        """The peers in session now; not to be changed."""
        return self._in_session

    def all_joined(self) -> bool:
        """Whether every peer is in session, and has nothing that is not here."""
        return all(opener.is_joined for opener in self._openers.values())

    def all_settled(self) -> bool:
        """Whether every peer is in session and has all that is here, and nothing else."""
        return all(opener.is_settled for opener in self._openers.values())

    def rescue_is_done(self) -> bool:
        """Whether no peer in session has anything that is not here."""
        return all(opener.is_joined for opener in self._openers.values() if opener.in_session)

    @property
    def needed(self) -> int:
        """How many messages of this queue are known to be held by a peer only, and are on their way here."""
        return self._needed.count(self._sessions(), self.copy.seen)

    def is_needed(self, id: MessageId) -> bool:
        """Whether this message is held by a peer only, and is on its way here."""
        return id not in self.copy.seen and any(id in session.need for session in self._sessions())

    def fetch_first(self, id: MessageId) -> None:
        """Somebody asks for this message, which is on its way here: let it come before the others."""
        for session in self._sessions():
            if id in session.need:
                session.urgent.add(id)

    def may_know(self, id: MessageId) -> bool:
        """Whether a peer may know of an id that is news here: it is older than this start, and was never met.

        Raises:
            Fenced: it is of a process that has replaced this one.
            Starting: not every peer has given what it holds, so that nobody can tell.
        """
        if not self._openers:
            return False
        if not self._owner.incarnation:
            raise Starting("this node has yet to learn what its peers know of it")
        if id.incarnation > self._owner.incarnation:
            raise Fenced("this message is of a newer process of this node's id")
        if id.incarnation == self._owner.incarnation or id in self.copy.seen or self.is_needed(id):
            return False
        if not self.all_joined():
            raise Starting("a peer that can't be reached may know of this message")
        return True

    def _sessions(self) -> Iterator[Session]:
        """Those in session, and those of which the digest is read."""
        return (opener.session for opener in self._openers.values() if opener.session is not None)

    def check_enough(self) -> None:
        """See whether a push could get its copies.

        Raises:
            Unreplicated: too few peers are in session.
        """
        if self.is_short:
            raise Unreplicated(self._shortage)

    @property
    def is_short(self) -> bool:
        """Whether too few peers are in session for a push to get its copies."""
        return 1 + len(self._in_session) < self._copies

    @property
    def _shortage(self) -> str:
        return f"a push needs {self._copies} copies, {1 + len(self._in_session)} can be had now"

    def waits(self, now: float) -> Iterator[Wait]:
        """What pushes wait for, if too few peers are in session."""
        if self.is_short:
            yield Wait(self._shortage)
            for opener in self._openers.values():
                if not opener.in_session:
                    yield opener.peer.trouble(now) or Wait(f"{opener.peer.id} is not in session yet")

    def known_by(self, id: MessageId) -> int:
        """How many nodes, this one included, know this id as it is here."""
        return 1 + sum(opener.knows(id) for opener in self._openers.values())

    # What the owner tells.

    def put(self, id: MessageId, *, is_first: bool = False) -> None:
        """The queue has a new message, of which the peers do not know; it may be one to be told before the others."""
        for opener in self._openers.values():
            if opener.session is not None:
                opener.session.note_fresh(id, is_first=is_first)

    def gone(self, id: MessageId, record: KeyRecord | None = None) -> None:
        """A message left the queue, and the peers do not know."""
        self._needed.meet_one(id)
        for opener in self._openers.values():
            if opener.session is not None:
                opener.session.note_gone(id, record)

    def want(self, peer: str) -> None:
        """Keep a session with that peer from now on."""
        self._wanted.add(peer)

    def end_all(self, now: float, why: str) -> None:
        """End every session, and open none until they are wanted again."""
        self._wanted.clear()
        for opener in self._openers.values():
            opener.end(now, why)

    def pump(self, now: float) -> None:
        """Send what is to be sent."""
        for peer, opener in self._openers.items():
            if peer in self._wanted:
                opener.pump(now)

    def deadlines(self) -> Iterator[float | None]:
        """When `pump` is next needed."""
        for peer, opener in self._openers.items():
            if peer in self._wanted:
                yield opener.deadline()

    # Whether this is still the owner.

    def in_doubt(self, now: float) -> bool:
        """Whether some peer may have learned of a greater incarnation since it last confirmed this one."""
        return any(opener.is_doubtful(now) for opener in self._openers.values())

    def copies_in_doubt(self, now: float) -> bool:
        """Whether a push could get its copies only with the help of peers that may know a greater incarnation."""
        have = 1 + len(self.in_session())
        sure = 1 + sum(opener.in_session and not opener.is_doubtful(now) for opener in self._openers.values())
        return sure < self._copies <= have

    def begin_again(self) -> None:
        """This process itself was not running: what was known of any peer must be confirmed."""
        for opener in self._openers.values():
            opener.begin_again()
        self.freshen()

    def freshen(self) -> None:
        """Ask every peer in session for a fresh answer."""
        for opener in self._openers.values():
            opener.freshen()

    def is_fresh(self, now: float, since: float) -> bool:
        """Whether each peer has answered something asked since, or is out of session for good reason."""
        return all(
            opener.is_confirmed(now, since) if opener.in_session else not opener.is_doubtful(now)
            for opener in self._openers.values()
        )

    # What the openers tell; see `dqtw.core.replication.ports.OpenerHome`.

    def incarnation(self) -> str:
        """In which incarnation the owner speaks."""
        return self._owner.incarnation

    def is_complete(self) -> bool:
        """Whether the owner's start is over, and it was not replaced."""
        return self._owner.is_complete()

    def ready_count(self) -> int:
        """How many messages could be delivered now."""
        return self._owner.ready_count()

    def check(self, ids: IdSet) -> None:
        """See whether a peer may know of these ids.

        Raises:
            PeerFault: they were never given.
        """
        last = ids.last(self._owner.incarnation)
        if last > self._owner.last_number():
            raise PeerFault(f"a peer knows number {last} of this incarnation, which was never given")

    def session_begun(self, opener: Opener) -> None:
        """The peer is in session."""
        self._see_who_is_in_session()
        self._owner.peer_joined(opener.peer.id)

    def session_ended(self, opener: Opener) -> None:
        """The peer is no longer in session."""
        self._see_who_is_in_session()
        self._owner.peer_left(opener.peer.id)

    def _see_who_is_in_session(self) -> None:
        """Every push and removal asks; so it is not looked at anew each time."""
        self._in_session = [peer for peer, opener in self._openers.items() if opener.in_session]

    def fenced(self, now: float, opener: Opener, greatest: str) -> None:  # noqa: ARG002
        """The peer knows a greater incarnation."""
        self._owner.fenced(now, greatest)

    def shared(self, opener: Opener) -> None:
        """The peer has given its copy to another peer."""
        self._owner.peer_shared(opener.peer.id)

    def sent(self, opener: Opener, flight: Flight) -> None:
        """This is on its way to the peer."""
        self._owner.peer_sent(opener.peer.id, flight.put)

    def unsent(self, opener: Opener, flight: Flight) -> None:
        """This did not go to the peer after all."""
        self._owner.peer_not_sent(opener.peer.id, flight.put)

    def known(self, opener: Opener, flight: Flight) -> None:
        """The peer knows all this now."""
        self._owner.peer_knows(opener.peer.id, flight.put, flight.gone)

    def needs(self, opener: Opener, ids: IdSet) -> None:
        """The peer has these, and the copy here has not."""
        assert opener.session is not None
        self._needed.add(opener.session, ids)

    def learned(self, now: float, opener: Opener | None, record: KeyRecord) -> bool:
        """The peer remembers the key of a message that was removed; the others get what was news here."""
        is_new = self.keys.learn(now, record)
        for other in self._openers.values():
            if is_new and other is not opener and other.session is not None and other.in_session:
                other.session.note_record(record)
        return is_new

    def removed(self, opener: Opener | None, ids: IdSet) -> None:
        """The peer knows these as removed; so do all the others, soon."""
        self._needed.meet(ids)
        for other in self._openers.values():
            if other is not opener and other.session is not None:
                other.session.note_all_gone(ids)
        self._owner.removed_elsewhere(ids)

    def rescued(self, now: float, opener: Opener | None, put: tuple[Put, ...]) -> None:
        """The peer had these messages; the others get what was news here."""
        self._needed.meet(IdSet.of(self.copy.queue, (each.id for each in put)))
        news = IdSet.of(self.copy.queue, self._owner.recovered(now, put))
        for other in self._openers.values():
            if other is not opener and other.session is not None:
                other.session.note_recovered(news)

    # What a peer brings that is not in session: one that holds more of this queue than its owner, and is leaving.

    def remove(self, ids: IdSet) -> bool:
        """Know these ids as removed; whether that was news.

        Raises:
            PeerFault: they were never given.
        """
        self.check(ids)
        new = (ids - self.copy.seen) | (ids & self.copy.live_ids)
        if new:
            self.removed(None, new)
        return bool(new)

    def hold(self, now: float, puts: tuple[Put, ...]) -> bool:
        """Take these messages in, but for those that were seen before; whether there was news.

        Raises:
            PeerFault: they were never given.
        """
        self.check(IdSet.of(self.copy.queue, (put.id for put in puts)))
        new = tuple(put for put in puts if put.id not in self.copy.seen)
        self.rescued(now, None, new)
        return bool(new)

    def given_away(self, ids: Iterable[MessageId]) -> None:
        """It has fetched these."""
        self._owner.given_away(ids)
