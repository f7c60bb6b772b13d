"""Planted faults: copies, sessions, commit, time-outs and the bound (rules 1 to 8)."""

from typing import Any

from attrs import evolve

from dqtw.core.links.peer_messages import Failed, Role
from dqtw.core.links.peers import Peer
from dqtw.core.model.copy import Copy, Digest, Owed
from dqtw.core.model.errors import Full, Unreplicated
from dqtw.core.model.id_set import IdSet
from dqtw.core.queue.intake import Intake
from dqtw.core.queue.owner import Owner
from dqtw.core.queue.queue import Queue
from dqtw.core.replication.commit import Pushes, Removals
from dqtw.core.replication.held_copy import Admission, HeldCopy
from dqtw.core.replication.links import Links
from dqtw.core.replication.opener import Opener, Stage
from dqtw.core.replication.session import Session
from tests.simulation.planting import Patch, nothing, planted, yes

# Rule 1: a waiting push is live.


@planted("1", "the removal of a push that was taken back is sent to nobody")
def forget_the_withdrawn() -> list[Patch]:
    def withdraw(self: Any, now: float, id: Any) -> None:
        message = self._queue.remove(id)
        if message is not None:
            self._keys.withdraw(id, message)
        self.pushes.withdraw(now, id)

    return [(Intake, "_withdraw", withdraw)]


@planted("1", "the number of a push that was taken back is given again")
def reuse_ids() -> list[Patch]:
    original = Intake._withdraw

    def withdraw(self: Any, now: float, id: Any) -> None:
        original(self, now, id)
        self._n = min(self._n, id.n - 1)

    return [(Intake, "_withdraw", withdraw)]


@planted("1", "a push is shown to workers before it has its copies")
def show_early() -> list[Patch]:
    original = Queue.admit

    def admit(self: Any, id: Any, message: Any) -> None:
        original(self, id, message)
        self.release(id)

    return [(Queue, "admit", admit)]


# Rule 2: sessions.


@planted("2", "a delta whose token is unknown is taken in, as if its session had survived the restart")
def deltas_without_session() -> list[Patch]:
    original = HeldCopy.find

    def find(self: Any, token: str) -> Any:
        return original(self, token) or Admission(token, Role.OWNER, self.greatest, IdSet(self.copy.queue))

    return [(HeldCopy, "find", find), (Opener, "_is_expected", yes)]


@planted("2", "an answer counts, whichever node has given it")
def trust_any_answer() -> list[Patch]:
    return [(Peer, "_fault", lambda self, answer: "")]


# Rule 3: what a session owes.


@planted("3", "a session does not note that its peer lacks a removal")
def forget_removals() -> list[Patch]:
    def note_gone(self: Any, id: Any, _: Any = None) -> None:
        self.fresh.pop(id, None)
        self.backlog.discard(id)

    return [(Session, "note_gone", note_gone)]


@planted("3", "a request that has no answer in time does not end its session")
def sessions_survive_loss() -> list[Patch]:
    original = Opener._judge

    def judge(self: Any, now: float, answer: Any) -> None:
        if isinstance(answer, Failed) and self.stage is Stage.IN_SESSION:
            self._flight = None
        else:
            original(self, now, answer)

    return [(Opener, "_judge", judge)]


# Rule 4: commit.


@planted("4", "a push is answered before its copies are held")
def answer_early() -> list[Patch]:
    original = Intake.admit

    def admit(self: Any, now: float, ticket: int, push: Any) -> None:
        original(self, now, ticket, push)
        for id in self.pushes.ids():
            self._queue.release(id)
            self.succeed(id)

    return [(Intake, "admit", admit)]


@planted("4", "one copy fewer than asked for is enough")
def one_copy_fewer() -> list[Patch]:
    def is_committed(self: Any, pending: Any) -> bool:
        return bool(len(pending.holders) + 2 >= self._copies)

    return [(Pushes, "_is_committed", is_committed)]


@planted("4", "a peer that has left its session counts as one that holds a push")
def count_who_left() -> list[Patch]:
    return [(Pushes, "peer_left", Pushes.taint)]


@planted("4", "an acknowledgement is answered before the peers know of it")
def acknowledge_early() -> list[Patch]:
    def begin(self: Any, ids: Any, peers: Any, ticket: int, outcome: Any) -> None:
        self._answer(ticket, outcome)

    return [(Removals, "begin", begin)]


# Rule 5: time-out.


@planted("5", "`unreplicated` is answered without waiting for the peers to confirm the removal")
def refuse_early() -> list[Patch]:
    def resolve(self: Any, id: Any) -> None:
        self._resolve(id, Unreplicated("it is not on the queue"))

    return [(Pushes, "_resolve_if_undone", resolve)]


@planted("5", "nobody minds that a peer has given a waiting push to another peer")
def ignore_shared() -> list[Patch]:
    return [(Owner, "peer_shared", nothing), (Pushes, "given_away", nothing)]


# Rule 6, and the idea: what a copy is.


@planted("6", "a digest tells what is seen now, and what was live when the digest before was told")
def seen_before_messages() -> list[Patch]:
    def digest(self: Any, after: Any = None, upto: Any = None) -> Digest:
        stale = getattr(self, "stale", self.live_ids)
        self.stale = self.live_ids.copy()
        return Digest(
            self.seen.between(after, upto), stale.between(after, upto) - (self.seen - self.live_ids), after, upto
        )

    return [(Copy, "digest", digest)]


@planted("6", "an empty copy wins: what the peer does not hold counts as removed")
def empty_wins() -> list[Patch]:
    original = Session.read

    def read(self: Any, page: Digest) -> Owed:
        ahead = original(self, page)
        return evolve(ahead, gone=ahead.gone | (self.copy.live_ids - page.live))

    return [(Session, "read", read)]


@planted("6", "stale wins over removed: a put is taken in though its id was removed")
def stale_wins() -> list[Patch]:
    def put(self: Any, id: Any, message: Any) -> bool:
        if id in self.live:
            return False
        self.live[id] = message
        self.live_ids.add(id)
        self.seen.add(id)
        self.body_bytes += len(message.body)
        return True

    def put_all(self: Any, messages: Any) -> list[Any]:
        return [id for id, message in messages if put(self, id, message)]

    return [(Copy, "put", put), (Copy, "put_all", put_all)]


@planted("6", "what the peer knows as removed is not removed here")
def keep_the_removed() -> list[Patch]:
    return [(Links, "removed", nothing)]


# Rule 7: the bound.


@planted("7", "messages that only a peer holds do not count")
def ignore_need() -> list[Patch]:
    return [(Links, "needed", property(lambda self: 0))]


@planted("7", "one message more than the size is taken in")
def one_too_many() -> list[Patch]:
    original = Queue.check_room

    def check_room(self: Any, body_bytes: int, expected: int = 0) -> None:
        original(self, body_bytes, expected - 1)

    return [(Queue, "check_room", check_room)]


@planted("promise", "a queue is called full while it has room for one more")
def full_too_early() -> list[Patch]:
    original = Queue.check_room

    def check_room(self: Any, body_bytes: int, expected: int = 0) -> None:
        original(self, body_bytes, expected + (len(self) > 1))

    return [(Queue, "check_room", check_room)]


@planted("promise", "a full queue drops its oldest message")
def evict_when_full() -> list[Patch]:
    original = Queue.check_room

    def check_room(self: Any, body_bytes: int, expected: int = 0) -> None:
        try:
            original(self, body_bytes, expected)
        except Full:
            if not self.copy.live:
                raise
            self.remove(min(self.copy.live))

    return [(Queue, "check_room", check_room)]


# Rule 8: copies that change behind a session's back.


@planted("8", "an exchange between peers does not end the owner's session")
def sessions_survive_exchange() -> list[Patch]:
    return [(HeldCopy, "changed_elsewhere", nothing)]
