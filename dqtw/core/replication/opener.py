"""Opening a session with a peer, and keeping it going: one request in flight, carrying all that came up meanwhile."""

from collections.abc import Callable
from enum import Enum
from typing import Final

from dqtw.core.links.peer_messages import (
    Applied,
    Declined,
    Delta,
    Failed,
    FencedOff,
    Fetch,
    Fetched,
    NoSession,
    Opened,
    Page,
    Paged,
    PeerAnswer,
    PeerRequest,
    Role,
)
from dqtw.core.links.peers import Peer
from dqtw.core.model.copy import Digest
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.keys import KeyRecord
from dqtw.core.model.message import MessageId
from dqtw.core.replication.ports import Flight, OpenerHome
from dqtw.core.replication.session import Session

heartbeat_s: Final = 1.0
backoff_first_s: Final = 0.1
backoff_max_s: Final = 1.0
doubtful_after_s: Final = 3.0


class Stage(Enum):
    """How far a link has come.

    DOWN ──time to try──▶ OPENING ──opened──▶ READING ──digest and key records are read to the end──▶ IN_SESSION

    Back to DOWN lead, from anywhere: no answer, a refusal, or an answer that fits nothing (it is tried again after a
    while, a little longer each time); a token that the peer has forgotten (once in session, it is opened anew at once);
    and its home, by `Opener.end`.
    """

    DOWN = "down"
    OPENING = "opening"
    READING = "reading"  # the peer's digest
    IN_SESSION = "in_session"


class Opener:
    """The opener's side of one link: at most one request is in flight, and its answer may lead to the next.

    Attributes:
        stage: how far it has come.
        session: what is known of the peer's copy; None when the link is down, and only then.
        session_since: when the latest session began; 0: there was none yet. It stays when that session ends.
        ended: why the latest session ended, in words.
        confirmed_at: when the latest delta was sent that the peer has answered, or the last request of the opening. The
            peer knew no greater incarnation then.
    """

    def __init__(self, peer: Peer, role: Role, home: OpenerHome, entropy: Callable[[int], bytes]) -> None:
        self.peer = peer
        self.role = role
        self.stage = Stage.DOWN
        self.session: Session | None = None
        self.session_since = 0.0
        self.ended = ""
        self.confirmed_at = 0.0
        self._answered_at = 0.0  # when the answer to that came
        self._confirmed_request = 0  # the latest delta that was answered
        self._request = 0  # the latest request of this session; they are numbered
        self._home = home
        self._entropy = entropy
        self._serial = 0  # of the request whose answer is expected; an answer to any other is too late
        self._waiting = False  # a request is in flight
        self._sent_at = 0.0
        self._told_at = 0.0  # when the latest delta was sent, or what began the session
        self._nonce = ""
        self._flight: Flight | None = None  # what the delta in flight tells: the session lists it no longer
        self._keys_read: set[tuple[str, MessageId]] = set()  # what the peer has told, and need not be told
        self._keys_left = False  # it has more of them
        self._fetched_last = False  # fetches and deltas take turns: a long rescue must not hold up pushes
        self._fresh_wanted = 0  # a delta of this number or later must be answered; what is in flight was sent too soon
        self._ended_in_doubt = False  # the session that was last; see `is_doubtful`
        self._told_synced = False  # what the latest delta said of being in sync, and of what is ready
        self._told_ready = 0
        self._retry_at = 0.0
        self._backoff_s = backoff_first_s

    @property
    def in_session(self) -> bool:
        """Whether it is known what the peer lacks."""
        return self.stage is Stage.IN_SESSION

    @property
    def is_joined(self) -> bool:
        """Whether this copy has all that the peer's has."""
        return self.session is not None and self.in_session and not self.session.need

    @property
    def is_settled(self) -> bool:
        """Whether both copies are equal, as far as is known here."""
        return self.is_joined and self.session is not None and self.session.owes_nothing and self._flight is None

    @property
    def is_current(self) -> bool:
        """Whether the session is with the process that has answered last, and not with one that this has replaced."""
        return self.session is not None and self.session.boot == self.peer.boot

    @property
    def unacknowledged(self) -> int:
        """How many ids' states the peer has not confirmed."""
        session, flight = self.session, self._flight
        in_flight = 0 if flight is None else len(flight.put) + len(flight.gone)
        return in_flight + (0 if session is None else session.owed_count)

    def knows(self, id: MessageId) -> bool:
        """Whether the peer knows the state of this id as it is here."""
        if self.session is None or not self.in_session or self.session.lacks(id):
            return False
        return self._flight is None or (id not in self._flight.put and id not in self._flight.gone)

    def begin_again(self) -> None:
        """This process itself was not running: whoever was ever in session may have let a successor in meanwhile."""
        self._ended_in_doubt = self.session_since > 0

    def freshen(self) -> None:
        """See to it that a delta is sent that has not been sent yet, even an empty one."""
        self._fresh_wanted = self._request + 1

    def is_confirmed(self, now: float, since: float) -> bool:
        """Whether the peer has answered a delta that was sent at ``since`` or later, and not long ago."""
        return self.confirmed_at >= since and now - self._answered_at <= doubtful_after_s

    def is_doubtful(self, now: float) -> bool:
        """Whether the peer may have learned of a greater incarnation since it last confirmed this one.

        In session: when it has confirmed nothing for 3 s. Out of session: when that was so as the session ended, as it
        is when no answer came in 5 s; until there is a new session. But who declines or can't be reached is not waited
        for: gets and acks go on while a node is away.
        """
        if self.in_session:
            return now - self.confirmed_at > doubtful_after_s
        return self._ended_in_doubt and not (self.peer.declined or self.peer.unreachable(now))

    def pump(self, now: float) -> None:
        """Send what is to be sent, if nothing is in flight."""
        if self._home.ready_count() == 0:
            self._told_ready = 0  # what the peer was told is over; it is told anew when there is something again
        if self._waiting:
            return
        if self.stage is Stage.DOWN:
            if now >= self._retry_at:
                self._open(now)
            return
        request = self._next_request(now)
        if request is not None:
            self._ask(now, request)

    def end(self, now: float, why: str, *, retry_in_s: float = 0.0) -> None:
        """End the session, if there is one; the next `pump` past the given time opens anew."""
        was_in_session = self.in_session
        if was_in_session:
            self.ended = why
            self._ended_in_doubt = self.is_doubtful(now)
        self.stage = Stage.DOWN
        self.session = None
        self._flight = None
        self._waiting = False
        self._serial += 1
        self._retry_at = now + retry_in_s
        if was_in_session:
            self._home.session_ended(self)

    def deadline(self) -> float | None:
        """When `pump` is next needed, if nothing else happens."""
        if self._waiting:
            return None
        return self._retry_at if self.stage is Stage.DOWN else self._told_at + heartbeat_s

    # What is sent.

    def _open(self, now: float) -> None:
        self.stage = Stage.OPENING
        self.session = Session(self._home.copy, "")
        self._request = self._confirmed_request = self._fresh_wanted = 0
        self._keys_read = set()
        self._told_synced, self._told_ready = False, 0
        self._nonce = self._entropy(16).hex()
        self._ask(now, self._home.open_request(self._nonce))

    def _ask(self, now: float, request: PeerRequest) -> None:
        self._serial += 1
        self._waiting = True
        self._sent_at = now
        serial = self._serial
        self.peer.ask(now, request, lambda at, answer: self._take(at, serial, answer))

    def _next_request(self, now: float) -> PeerRequest | None:
        session = self.session
        assert session is not None
        self._request += 1
        if not session.whole or self._keys_left:
            return Page(session.copy.queue, session.token, self._request, session.after, len(self._keys_read))
        if session.need and not (self._fetched_last and self._is_delta_due(now)):
            needed = session.take_needed()
            if needed:
                self._fetched_last = True
                return Fetch(session.copy.queue, session.token, self._request, needed)
        self._fetched_last = False
        if self._is_delta_due(now):
            return self._delta(now, session)
        self._request -= 1
        return None

    def _is_delta_due(self, now: float) -> bool:
        assert self.session is not None
        if not self.session.owes_nothing:
            return True
        if self.role is Role.COPY:
            return False
        return (
            self._fresh_wanted > self._confirmed_request
            or (self._is_synced() and not self._told_synced)
            or (self._told_ready == 0 and self._home.ready_count() > 0)
            or now >= self._told_at + heartbeat_s
        )

    def _is_synced(self) -> bool:
        session = self.session
        return session is not None and session.owes_nothing and not session.need and self._home.is_complete()

    def _delta(self, now: float, session: Session) -> Delta:
        chunk = session.take_chunk(now)
        self._flight = Flight(chunk.gone, IdSet.of(session.copy.queue, (put.id for put in chunk.put)))
        self._told_synced, self._told_ready = self._is_synced(), self._home.ready_count()
        self._told_at = now
        self._home.sent(self, self._flight)
        return Delta(
            session.copy.queue,
            session.token,
            self._request,
            self._home.incarnation(),
            chunk.gone,
            chunk.put,
            chunk.keys,
            self._told_synced,
            self._told_ready,
        )

    # What is answered.

    def _take(self, now: float, serial: int, answer: PeerAnswer) -> None:
        if serial != self._serial or not self._waiting:
            return
        self._waiting = False
        try:
            self._judge(now, answer)
        except PeerFault as fault:
            self.peer.fault = str(fault)
            self._give_up(now, str(fault))

    def _judge(self, now: float, answer: PeerAnswer) -> None:
        match answer:
            case Opened() if self.stage is Stage.OPENING and answer.nonce == self._nonce:
                assert self.session is not None
                self.session.token, self.session.boot = answer.token, answer.boot
                self.stage = Stage.READING
                self._read(now, answer.digest, answer.keys, keys_left=answer.keys_left)
            case Paged() if self._is_expected(answer) and self.stage is Stage.READING:
                self._read(now, answer.digest, answer.keys, keys_left=answer.keys_left)
            case Applied() if self._is_expected(answer) and self._flight is not None:
                self._applied(now, answer, self._flight)
            case Fetched() if self._is_expected(answer) and self.in_session:
                self._fetched(now, answer)
            case FencedOff() if self.session is not None and self.session.boot not in ("", answer.boot):
                # Said by another process than the session's; if it is so, an open is told it, too.
                self.end(now, "another process of it answers")
            case FencedOff():
                self._home.fenced(now, self, answer.greatest)  # first: what is under way has not succeeded
                self._give_up(now, "this node was replaced")
            case NoSession() if self.in_session:  # the peer's copy has changed, or is another: open anew, at once
                self.end(now, "it is about to stop" if self.peer.leaving else "it has ended the session")
            case NoSession() | Failed() | Declined():
                if isinstance(answer, Failed) and not answer.was_sent and self._flight is not None:
                    self._home.unsent(self, self._flight)
                self._give_up(now, self.peer.error)
            case _:
                raise PeerFault(f"an answer that fits nothing: {type(answer).__name__}")

    def _is_expected(self, answer: Paged | Applied | Fetched) -> bool:
        session = self.session
        if session is None or answer.request != self._request:
            return False
        return answer.token == session.token and answer.boot == session.boot

    def _read(self, now: float, page: Digest | None, keys: tuple[KeyRecord, ...], *, keys_left: bool) -> None:
        session = self.session
        assert session is not None
        for record in keys:
            self._keys_read.add((record.key, record.id))
            self._home.learned(now, self, record)
        if page is not None and not session.whole and not keys_left:  # a removal without its record says too little
            if page.after != session.after:
                raise PeerFault("a page of another part of the digest than was asked for")
            self._home.check(page.seen)
            ahead = session.read(page)
            self._home.needs(self, ahead.put)
            if ahead.gone:
                self._home.removed(self, ahead.gone)
        self._keys_left = keys_left
        if session.whole and not keys_left:
            self._begin(now, session)

    def _begin(self, now: float, session: Session) -> None:
        records = self._home.keys.records(now)
        session.keys.extend(record for record in records if (record.key, record.id) not in self._keys_read)
        self._keys_read = set()
        self._backoff_s = backoff_first_s
        self.stage = Stage.IN_SESSION
        self._ended_in_doubt = False
        self.peer.fault = ""
        self.session_since = now
        self._told_at = self.confirmed_at = self._sent_at
        self._answered_at = now
        self._home.session_begun(self)

    def _applied(self, now: float, answer: Applied, flight: Flight) -> None:
        self._flight = None
        self.confirmed_at, self._answered_at = self._sent_at, now
        self._confirmed_request = answer.request
        self.peer.cannot_reach = answer.cannot_reach
        if answer.shared:
            self._home.shared(self)
        self._home.known(self, flight)

    def _fetched(self, now: float, answer: Fetched) -> None:
        session = self.session
        assert session is not None
        came = IdSet.of(session.copy.queue, (put.id for put in answer.put)) | answer.gone
        if not came & session.fetching:
            raise PeerFault("a fetch that brought nothing of what was asked for")
        self._home.check(came)
        session.need -= came
        if answer.gone and self.role is Role.OWNER:  # what peers compare is told with its record, or by another session
            self._home.removed(self, answer.gone)
        self._home.rescued(now, self, answer.put)

    def _give_up(self, now: float, why: str) -> None:
        """End, and wait before trying again: a little longer each time, and not all nodes alike."""
        jitter = 0.5 + self._entropy(1)[0] / 512
        self.end(now, why, retry_in_s=self._backoff_s * jitter)
        self._backoff_s = min(self._backoff_s * 2, backoff_max_s)
