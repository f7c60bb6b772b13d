"""Commands of this node's clients that other nodes carry out.

A command for another node is a call on the link to it, made once. The calls of one turn on one link share a frame; each
has an outcome of its own, and waits for no other. Without an outcome, at its deadline or by the end of the link, a call
that was sent is `Uncertain`, and of one that was not sent nothing was done.

A get that finds nothing here waits among the owner's polls as any other; meanwhile other nodes are asked for it:

    seek ─▶ next ──pump──▶ asked at one node ──messages──▶ answered, or removed first (`Completion`), or given back
             ▲                     │
             └──────nothing────────┘      no node is left: empty, or idle until a node reports messages, if it may wait
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from msgspec.structs import replace

from dqtw.core.forwarding.calls import Link, Peers, calls_max
from dqtw.core.forwarding.link_calls import Call, LinkCalls, queue_default
from dqtw.core.forwarding.remote_gets import Answered, Completion, Poll, Polls, RemoteGet, Result
from dqtw.core.links.frames import Forwarded, Interest, from_outcome
from dqtw.core.model.commands import Command, Complete, Delivered, GiveBack, Inspect, Outcome, Push, wait_max_s
from dqtw.core.model.deadlines import Deadlines
from dqtw.core.model.errors import Busy, Draining, Fenced, OwnerDown, Uncertain
from dqtw.core.model.message import Receipt
from dqtw.core.model.settings import NodeSettings

call_timeout_s: Final = 5.0
push_margin_s: Final = 1.0  # beyond what a push may take at its owner
ack_now_lease_s: Final = 30.0  # of a delivery that is removed before its client gets it
interest_kept_s: Final = 5.0  # after its last poll a queue is of interest for so long, or busy workers flood the links
give_backs_max: Final = 100_000  # unsent calls on one link; past that, deliveries are undone by the end of their leases


class Outbound:
    """What this node asks of other nodes for its clients."""

    def __init__(self, settings: NodeSettings, peers: Peers) -> None:
        self._push_timeout_s = settings.push_timeout_s
        self._queues_max = settings.max_waiting
        self._peers = peers
        self._links: dict[Link, LinkCalls] = {}  # the links that are up
        self._open: Deadlines[Call] = Deadlines()  # the calls that have no outcome, and when they are given up
        self._gets: dict[int, RemoteGet] = {}  # by ticket: those in `_next`, and those with a call that has no outcome
        self._next: list[RemoteGet] = []  # they go to another node with the next pump
        self._completions: dict[int, Completion] = {}  # by ticket: those with a client
        self._seeks = 0  # counted, so that each get starts with another node
        self._interest: dict[str, float] = {}  # the queues that polls wait for: when they were last said to do so
        self._interest_version = 0  # greater after each change of the keys

    def renewed(self, peers: Peers) -> None:
        """Go on in a new process of this node."""
        self._peers = peers

    @property
    def is_quiet(self) -> bool:
        """Return True if each call has its outcome."""
        return not len(self._open)

    @property
    def is_idle(self) -> bool:
        """Return True if no poll is of concern to other nodes, and nothing is to be sent."""
        return not (self._interest or self._next or len(self._open))

    def next_deadline(self) -> float | None:
        """Return when `tick` is next needed."""
        return self._open.next()

    # Requests of clients.

    def forward(self, now: float, ticket: int, link: Link | None, command: Command) -> None:
        """Let another node carry out a command; its client gets the outcome.

        Raises:
            OwnerDown: there is no link to that node.
            Busy: too much is under way there.
        """
        calls = None if link is None else self._links.get(link)
        if calls is None:
            raise OwnerDown("the node that must answer this can't be reached; nothing was changed")
        if calls.room <= 0:
            raise Busy(f"{calls_max} requests are under way at the node that must answer this")
        self._call(now, calls, command, ticket)

    def seek(self, poll: Poll, nodes: Iterable[str]) -> None:
        """Ask other nodes for a poll that has found nothing here: these nodes, and those with messages ready."""
        reported = (link.node for link, calls in self._links.items() if calls.ready.get(queue_default))
        left = sorted({*nodes, *reported})
        self._seeks += 1
        at = self._seeks % len(left) if left else 0
        get = RemoteGet(poll, left[at:] + left[:at])
        self._gets[poll.ticket] = get
        self._next.append(get)

    def withdraw(self, ticket: int) -> bool:
        """Forget a request whose client is gone; return False if it is not answered from here, or all the same."""
        completion = self._completions.pop(ticket, None)
        if completion is None:
            return False
        completion.is_wanted = False
        return True

    def abandon(self) -> list[Answered]:
        """Return an answer for each client at once, since this node was replaced and may end at any moment."""
        why = Uncertain("this node was replaced before it was known whether the message was removed")
        answered = [Answered(ticket, why) for ticket in self._completions]
        for each in answered:
            self.withdraw(each.ticket)
        for calls in self._links.values():
            for call in (*calls.under_way.values(), *calls.unsent):
                if isinstance(call.purpose, int) and call in self._open:
                    answered.append(Answered(call.purpose, _for_client(call.command, call.lost())))
                    call.purpose = None
                    if call.number is None:
                        self._open.cancel(call)
        return answered

    def interest(self, now: float, queues: Iterable[str]) -> None:
        """Note for which queues polls wait; other nodes are to report what they have ready of these."""
        before = self._interest
        wanted = dict.fromkeys(islice(queues, self._queues_max), now)
        kept = {queue: when for queue, when in before.items() if queue not in wanted and now - when <= interest_kept_s}
        self._interest = wanted | dict(islice(kept.items(), self._queues_max - len(wanted)))
        if self._interest.keys() != before.keys():
            self._interest_version += 1

    # What happens on the links.

    def link_up(self, link: Link) -> None:
        """Begin with a link."""
        self._links[link] = LinkCalls(link)

    def link_down(self, now: float, link: Link) -> list[Result]:
        """End the calls on a link: they have no outcome any more."""
        calls = self._links.pop(link, None)
        if calls is None:
            return []
        lost = [call for call in (*calls.under_way.values(), *calls.unsent) if call in self._open]
        for call in lost:
            self._open.cancel(call)
        return self._lose(now, lost)

    def reported(self, link: Link, ready: dict[str, int]) -> None:
        """Note how many messages a node could deliver now, of some queues."""
        calls = self._links.get(link)
        if calls is not None and ready:
            calls.reports += 1
            known = calls.ready | ready
            calls.ready = {queue: count for queue, count in known.items() if queue in self._interest}

    def forwarded(self, now: float, link: Link, frame: Forwarded, polls: Polls) -> list[Result]:
        """Take outcomes of commands.

        Raises:
            PeerFault: one of them can't be; then none was taken.
        """
        calls = self._links.get(link)
        if calls is None:
            return []
        outcomes = [(number, from_outcome(outcome)) for number, outcome in frame.outcomes]
        for number, outcome in outcomes:
            calls.check(number, outcome)
        results = [self._take(now, calls, number, outcome, polls) for number, outcome in outcomes]
        return [result for result in results if result is not None]

    # As time goes on.

    def tick(self, now: float) -> list[Result]:
        """Give up the calls that are due."""
        due = self._open.pop_due(now)
        for call in due:
            if call.number is not None:
                del call.calls.under_way[call.number]
        return self._lose(now, due)

    def pump(self, now: float, polls: Polls) -> list[Answered]:
        """Send what this turn has brought, when its other results were acted on; return the gets that end empty.

        The interest goes first: what becomes ready after a get has found nothing must be reported.
        """
        answered = self._go_on(now, polls)
        self._send_polls(now, polls)
        for calls in self._links.values():
            if calls.interest != self._interest_version:
                calls.interest = self._interest_version
                calls.link.send(Interest(sorted(self._interest)))
            calls.send(self._open)
        return answered

    def _go_on(self, now: float, polls: Polls) -> list[Answered]:
        """Send each get that has to go on to its next node."""
        answered: list[Answered] = []
        gets, self._next = self._next, []
        for get in gets:
            ticket, calls = get.poll.ticket, None
            while ticket in polls and get.left and calls is None:
                calls = self._calls_to(get.left.pop())
            if calls is not None:
                self._ask(now, calls, get)
                continue
            del self._gets[ticket]
            if get.poll.command.wait_s <= 0 and polls.leave(ticket):
                answered.append(Answered(ticket, Delivered()))
        return answered

    def _send_polls(self, now: float, polls: Polls) -> None:
        """Send idle polls to the nodes with messages ready: as many as there are, less those sent before."""
        nodes = sorted({link.node for link in self._links})
        at = self._seeks % len(nodes) if nodes else 0
        idle = (poll for poll in polls if poll.ticket not in self._gets)  # one look at each poll
        for node in nodes[at:] + nodes[:at]:
            calls = self._calls_to(node)
            spare = 0 if calls is None else min(calls.ready.get(queue_default, 0) - calls.gets, calls.room)
            if calls is not None and spare > 0:
                for poll in islice(idle, spare):
                    get = self._gets[poll.ticket] = RemoteGet(poll, [])
                    self._ask(now, calls, get)

    def _calls_to(self, node: str) -> LinkCalls | None:
        """Return the calls on the current link to a node, if there is room for one more."""
        link = self._peers.current(node)
        calls = None if link is None else self._links.get(link)
        return None if calls is None or calls.room <= 0 else calls

    # Calls, and what becomes of them.

    def _ask(self, now: float, calls: LinkCalls, get: RemoteGet) -> None:
        get.reports = calls.reports
        calls.gets += 1
        command = get.poll.command
        lease_s = ack_now_lease_s if command.ack_now else command.lease_s
        self._call(now, calls, replace(command, wait_s=0.0, lease_s=lease_s, ack_now=False), get)

    def _call(
        self, now: float, calls: LinkCalls, command: Command, purpose: int | RemoteGet | Completion | None
    ) -> None:
        timeout_s = call_timeout_s
        if isinstance(command, Push):  # it may first wait for a slot, and then for its copies
            timeout_s = min(command.wait_s, wait_max_s) + self._push_timeout_s + push_margin_s
        call = Call(calls, command, purpose)
        calls.unsent.append(call)
        self._open.set(call, now + timeout_s)

    def _take(self, now: float, calls: LinkCalls, number: int, outcome: Outcome, polls: Polls) -> Result | None:
        """Take one outcome: for a call that was given up, for a poll that gets messages, or for another call."""
        call = calls.under_way.pop(number, None)
        deliveries = outcome.deliveries if isinstance(outcome, Delivered) else ()
        if call is None:
            self._give_back(now, calls, [each.receipt for each in deliveries])
            return None
        self._open.cancel(call)
        if not deliveries or not isinstance(call.purpose, RemoteGet):
            return self._end(now, call, outcome)
        poll = call.purpose.poll
        calls.got(call.purpose.reports, outcome)
        del self._gets[poll.ticket]
        if not polls.leave(poll.ticket):  # its client is gone, or was served here
            self._give_back(now, calls, [each.receipt for each in deliveries])
            return None
        if not poll.command.ack_now:
            return Answered(poll.ticket, outcome)
        leased = {each.receipt: each for each in deliveries}
        completion = self._completions[poll.ticket] = Completion(poll, leased, len(leased))
        for receipt in leased:
            self._call(now, calls, Complete(receipt), completion)
        return None

    def _lose(self, now: float, calls: Iterable[Call]) -> list[Result]:
        results = [self._end(now, call, call.lost()) for call in calls]
        return [result for result in results if result is not None]

    def _end(self, now: float, call: Call, outcome: Outcome) -> Result | None:
        """End a call with an outcome that brings no messages."""
        match call:
            case Call(purpose=RemoteGet() as get):
                call.calls.got(get.reports, outcome)
                self._next.append(get)
            case Call(purpose=Completion() as completion, command=Complete(receipt=receipt)):
                if completion.take(receipt, outcome):
                    self._give_back(now, call.calls, [receipt])
                if not completion.undecided and completion.is_wanted:
                    del self._completions[completion.poll.ticket]
                    return completion.result(now)
            case Call(purpose=int(ticket)):
                return Answered(ticket, _for_client(call.command, outcome))
        return None

    def _give_back(self, now: float, calls: LinkCalls, receipts: list[Receipt]) -> None:
        """Undo deliveries; on a link that is down, or too many, they are undone by the end of their leases."""
        if calls.link in self._links:
            for receipt in receipts[: max(give_backs_max - len(calls.unsent), 0)]:
                self._call(now, calls, GiveBack(receipt), None)


def _for_client(command: Command, outcome: Outcome) -> Outcome:
    """Return an outcome in the words of this node: it is not this node that is about to stop, or was replaced."""
    if isinstance(outcome, Fenced | Draining):
        return OwnerDown("the node that must answer this is about to stop; nothing was changed")
    if isinstance(outcome, Uncertain) and isinstance(command, Inspect):
        return OwnerDown("the node that must answer this did not; nothing was changed")
    return outcome
