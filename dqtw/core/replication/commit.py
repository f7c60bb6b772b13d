"""Answers that wait until enough peers know what happened.

A push is answered when enough nodes hold its message; a removal when every peer in session knows of it. Both learn
here what the peers come to know, and when a peer is no longer in session.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from attrs import define, field

from dqtw.core.model.commands import Outcome
from dqtw.core.model.deadlines import Deadlines
from dqtw.core.model.errors import Refusal, Uncertain, Unreplicated
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import MessageId

answer_late_s: Final = 1.0  # past its time a push is answered by then, whatever is known of it

AnswerTo = Callable[[int, Outcome], None]

_in_doubt: Final = "taken back here, but a peer may hold it still"


@define
class PendingPush:
    """A message that waits for its copies.

    Attributes:
        requests: tickets of those who wait for the outcome: the first push, then retries with the same key.
        until: how long it may wait for its copies, if its peers are there.
        holders: the peers in session that have confirmed it.
        sent_to: every peer it was sent to.
        tainted: a peer may hold it, or have given it away, in a way that taking it back can't undo for sure.
        due_at: when its time was up, if it is, and it could not be taken back then.
        adopted: an earlier process of this owner took it in. Whether that answered it, or took it back, is not known:
            so it is not to be taken back here, and a retry is told of it only when every member holds it.
    """

    requests: list[int]
    until: float
    holders: set[str] = field(factory=set)
    sent_to: set[str] = field(factory=set)
    tainted: bool = False
    due_at: float | None = None
    adopted: bool = False


@define
class Withdrawal:
    """A push that was taken back; ``unaware`` are the peers that may hold it and have yet to confirm the removal."""

    requests: list[int]
    unaware: set[str]


class Pushes:
    """The pushes of one owner that have no answer yet.

    begin ──▶ pending ──enough nodes hold it──▶ `Pushed`
                 └──its time is up──▶ withdrawn ──all it was sent to know the removal──▶ `Unreplicated`
                                          └──one of these left its session, or gave its copy away, or has not
                                             confirmed the removal within `answer_late_s`──▶ `Uncertain`

    A pending push is *tainted* when the latter happens before its time is up: it may get its copies still, but if it is
    taken back, that is `Uncertain` at once. *Unsure* are withdrawals of which some member may not know. A successor may
    have recovered the message and answered it with success; so who is replaced undoes these removals.

    A message that an earlier process took in is *adopted* when a retry asks for it. It is never taken back here, and
    the retry is told of it when every member holds it; or that it is `Uncertain`, when its time is up before, or at
    once if not all members are in session.
    """

    def __init__(self, queue: str, copies: int, members: int, timeout_s: float, answer: AnswerTo) -> None:
        self._queue = queue
        self._copies = copies
        self._members = members
        self._timeout_s = timeout_s
        self._answer = answer
        self._pending: dict[MessageId, PendingPush] = {}
        self._withdrawn: dict[MessageId, Withdrawal] = {}
        self._deadlines: Deadlines[MessageId] = Deadlines()
        self._unsure = IdSet(queue)

    def __len__(self) -> int:
        return len(self._pending) + len(self._withdrawn)

    def begin(self, now: float, id: MessageId, ticket: int) -> None:
        """Wait for the copies of a new message."""
        self._wait_for(id, PendingPush([ticket], now + self._timeout_s))

    def adopt(self, now: float, id: MessageId, ticket: int, holders: Iterable[str]) -> None:
        """Wait until every member holds a message that was recovered, before a retry is told of it.

        A member that does not may know that an earlier process took it back, and would have it removed everywhere.
        """
        self._wait_for(id, PendingPush([ticket], now + self._timeout_s, set(holders), adopted=True))

    def _wait_for(self, id: MessageId, pending: PendingPush) -> None:
        self._pending[id] = pending
        self._deadlines.set(id, pending.until)

    def is_adopted(self, id: MessageId) -> bool:
        """Whether this is a recovered message of which a retry waits to be told."""
        return id in self._pending and self._pending[id].adopted

    def share(self, id: MessageId, ticket: int) -> bool:
        """Let another request share the outcome of a push that has none yet; False when it has one."""
        pending = self._pending.get(id)
        if pending is not None:
            pending.requests.append(ticket)
        return pending is not None

    def finish(self, id: MessageId) -> list[int]:
        """Take a push out that has succeeded; who waits for its outcome, the first push first."""
        self._deadlines.cancel(id)
        pending = self._pending.pop(id, None)
        return [] if pending is None else pending.requests

    def sent(self, peer: str, ids: Iterable[MessageId]) -> None:
        """These are on their way to the peer; from now on it may hold them."""
        for id in ids:
            if id in self._pending:
                self._pending[id].sent_to.add(peer)

    def not_sent(self, peer: str, ids: Iterable[MessageId]) -> None:
        """These did not go to the peer after all; what it was sent in a session before is tainted already."""
        for id in ids:
            if id in self._pending:
                self._pending[id].sent_to.discard(peer)
            elif id in self._withdrawn:
                self._withdrawn[id].unaware.discard(peer)
                self._resolve_if_undone(id)

    def held(self, peer: str, ids: Iterable[MessageId]) -> None:
        """The peer has confirmed that it holds these."""
        for id in ids:
            if id in self._pending:
                self._pending[id].holders.add(peer)
                self._pending[id].sent_to.add(peer)

    def joined(self, peer: str, is_known: Callable[[MessageId], bool]) -> None:
        """The peer has come into session; it holds of these pushes what its digest showed."""
        self.held(peer, [id for id in self._pending if is_known(id)])

    def ids(self) -> list[MessageId]:
        """Every push that waits for its copies."""
        return list(self._pending)

    def committed(self, ids: Iterable[MessageId]) -> list[MessageId]:
        """Those of the ids that enough nodes hold now."""
        return [id for id in ids if id in self._pending and self._is_committed(self._pending[id])]

    def _is_committed(self, pending: PendingPush) -> bool:
        return 1 + len(pending.holders) >= (self._members if pending.adopted else self._copies)

    def hurry(self, when: float) -> None:
        """Let no push wait past that moment."""
        for id, pending in self._pending.items():
            self._deadlines.set(id, min(when, pending.until))

    def calm(self) -> None:
        """Let each push wait for as long as it may."""
        for id, pending in self._pending.items():
            self._deadlines.set(id, pending.until)
            pending.due_at = None

    def begin_again(self) -> None:
        """This process itself was not running: that it is the owner still must be confirmed anew for each push."""
        for pending in self._pending.values():
            pending.due_at = None

    def pop_due(self, now: float) -> list[MessageId]:
        """Return the pushes whose time is up; each is to be withdrawn, or finished.

        Of a withdrawal that not all peers have confirmed in time, nothing more is waited for.
        """
        due = self._deadlines.pop_due(now)
        for id in due:
            if id in self._withdrawn:
                self._resolve(id, Uncertain(_in_doubt))
        return [id for id in due if id in self._pending]

    def due_at(self, now: float, id: MessageId) -> float:
        """When the time of a push was up."""
        pending = self._pending[id]
        pending.due_at = now if pending.due_at is None else pending.due_at
        return pending.due_at

    def put_off(self, id: MessageId, when: float) -> None:
        """Let a push wait longer: this may not be the owner any more, and have no right to take it back."""
        self._deadlines.set(id, when)

    def answer_uncertain(self, id: MessageId) -> None:
        """Answer those who wait for a push that goes on: its time is up, and it may not be taken back yet."""
        requests, self._pending[id].requests = self._pending[id].requests, []
        self._answer_all(requests, Uncertain("its copies did not come in time; they may still come"))

    def disown(self, id: MessageId) -> None:
        """Answer the retries of a recovered message that nothing more can be learned of: it may be on the queue."""
        self._deadlines.cancel(id)
        self._answer_all(self._pending.pop(id).requests, Uncertain("recovered here, but not every member holds it"))

    def withdraw(self, now: float, id: MessageId) -> None:
        """The push was taken back: answer as soon as it is known what that came to, or when that takes too long.

        Only when no peer can have it is it surely not on the queue.
        """
        pending = self._pending.pop(id)
        self._withdrawn[id] = Withdrawal(pending.requests, set(pending.sent_to))
        self._deadlines.set(id, now + answer_late_s)
        if pending.sent_to or pending.tainted:
            self._unsure.add(id)
        if pending.tainted:
            self._resolve(id, Uncertain(_in_doubt))
        else:
            self._resolve_if_undone(id)

    def undone(self, peer: str, is_known: Callable[[MessageId], bool]) -> None:
        """The peer has confirmed removals; see which withdrawals that completes."""
        for id in [id for id, each in self._withdrawn.items() if peer in each.unaware and is_known(id)]:
            self._withdrawn[id].unaware.discard(peer)
            self._resolve_if_undone(id)

    def peer_left(self, peer: str) -> None:
        """The peer is no longer in session: what it was sent it may hold, and nobody can tell."""
        for pending in self._pending.values():
            pending.holders.discard(peer)
        self.taint(peer)

    def taint(self, peer: str) -> None:
        """What this peer was sent may have gone further, or may stay there."""
        for pending in self._pending.values():
            pending.tainted = pending.tainted or peer in pending.sent_to
        for id in [id for id, each in self._withdrawn.items() if peer in each.unaware]:
            self._resolve(id, Uncertain(_in_doubt))

    def given_away(self, ids: Iterable[MessageId]) -> None:
        """A peer has these that nobody keeps account of."""
        for id in ids:
            if id in self._pending:
                self._pending[id].tainted = True

    def settled(self) -> None:
        """Every member knows everything: no withdrawal is in doubt any more."""
        self._unsure = IdSet(self._queue)

    def unsure(self) -> IdSet:
        """The withdrawals that some member may not know, and that a successor may have answered with success."""
        return self._unsure

    def abandon(self) -> None:
        """Nothing more will be learned of any push."""
        requests = [each.requests for each in self._pending.values()]
        requests += [each.requests for each in self._withdrawn.values()]
        self._pending.clear()
        self._withdrawn.clear()
        self._deadlines = Deadlines()
        for tickets in requests:
            self._answer_all(tickets, Uncertain("this node was replaced before all peers had it"))

    def next_deadline(self) -> float | None:
        """When `pop_due` is next needed."""
        return self._deadlines.next()

    def _resolve_if_undone(self, id: MessageId) -> None:
        if not self._withdrawn[id].unaware:
            self._unsure.discard(id)
            self._resolve(id, Unreplicated("too few peers took it in time; it is not on the queue"))

    def _resolve(self, id: MessageId, refusal: Refusal) -> None:
        self._deadlines.cancel(id)
        self._answer_all(self._withdrawn.pop(id).requests, refusal)

    def _answer_all(self, tickets: list[int], refusal: Refusal) -> None:
        for ticket in tickets:
            self._answer(ticket, refusal)


@define
class Awaiting:
    """One request whose answer waits until ``ids_left`` removals are known."""

    ticket: int
    outcome: Outcome
    ids_left: int


class Removals:
    """Removals that not every peer in session knows yet, and who is answered once all do."""

    def __init__(self, answer: AnswerTo) -> None:
        self._answer = answer
        self._unaware: dict[MessageId, set[str]] = {}
        self._awaiting: dict[MessageId, list[Awaiting]] = {}

    def __len__(self) -> int:
        return len(self._unaware)

    def __contains__(self, id: MessageId) -> bool:
        return id in self._unaware

    def begin(self, ids: Collection[MessageId], peers: Collection[str], ticket: int, outcome: Outcome) -> None:
        """Answer once all these peers know all these removals; at once when there is nothing to wait for."""
        if not ids or not peers:
            self._answer(ticket, outcome)
            return
        awaiting = Awaiting(ticket, outcome, len(ids))
        for id in ids:
            self._unaware[id] = set(peers)
            self._awaiting[id] = [awaiting]

    def peer_joined(self, peer: str, is_known: Callable[[MessageId], bool]) -> None:
        """The peer has come into session: it must know, too."""
        for id, unaware in self._unaware.items():
            if not is_known(id):
                unaware.add(peer)

    def share(self, id: MessageId, ticket: int, outcome: Outcome) -> None:
        """Answer another request, too, when a removal is known."""
        self._awaiting[id].append(Awaiting(ticket, outcome, 1))

    def known(self, peer: str, ids: Iterable[MessageId]) -> None:
        """The peer knows these removals now."""
        for id in ids:
            unaware = self._unaware.get(id)
            if unaware is not None:
                unaware.discard(peer)
                if not unaware:
                    self._settle(id)

    def peer_left(self, peer: str) -> None:
        """The peer is no longer in session: nobody waits for it."""
        self.known(peer, [id for id, unaware in self._unaware.items() if peer in unaware])

    def abandon(self, refusal: Refusal) -> None:
        """Nothing more will be learned of any removal."""
        tickets = {each.ticket: None for awaiting in self._awaiting.values() for each in awaiting}
        self._unaware.clear()
        self._awaiting.clear()
        for ticket in tickets:
            self._answer(ticket, refusal)

    def pending_among(self, ids: IdSet) -> list[MessageId]:
        """The pending removals that are among these ids, which may be billions, in few ranges."""
        return [id for id in self._unaware if id in ids]

    def _settle(self, id: MessageId) -> None:
        del self._unaware[id]
        for each in self._awaiting.pop(id):
            each.ids_left -= 1
            if each.ids_left == 0:
                self._answer(each.ticket, each.outcome)
