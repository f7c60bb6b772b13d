"""One node that forwards, owners that carry out, and links between them: the world of the tests of chapter 7.

Nothing moves by itself: a test lets the nodes take their turns (`World.pump`, `Owner.pump`) and the links deliver.
"""

from collections.abc import Iterable
from itertools import count
from typing import Any

from attrs import define

from dqtw.core.forwarding.outbound import Outbound
from dqtw.core.forwarding.remote_gets import Again, Result
from dqtw.core.links.frames import AnyFrame, Delta, Forward, Forwarded
from dqtw.core.model.commands import Command, Delivered, Delivery, Get, Outcome
from dqtw.core.model.errors import Refusal
from dqtw.core.model.message import Message, Receipt
from dqtw.core.model.settings import NodeSettings
from dqtw.core.queue.waiting import Waiter, WaitingLine

from .naive_owner import End, Owner, id_of


@define(eq=False)
class Link:
    """A link to an owner; each of its processes notices the end of it at its own time."""

    node: str
    here: End
    there: End
    is_up_here: bool = True
    is_up_there: bool = True


class World:
    """The node ``a`` and its clients, with a link to each owner.

    Attributes:
        answers: by ticket, what clients got; each gets one answer.
        here: bodies of messages of this node's own queue that are ready.
        may_have: the nodes that may have messages; None: those that have any, ready or not.
        frames: all frames that this node has sent and that were received, with the node that they went to.
    """

    def __init__(self, *owners: str, push_timeout_s: float = 10.0, max_waiting: int = 10_000) -> None:
        peers = dict.fromkeys(owners, "")
        self.now = 0.0
        self.owners = {node: Owner(node) for node in owners}
        self.links: dict[str, Link] = {}
        self.polls: WaitingLine[Get] = WaitingLine()
        settings = NodeSettings(node="a", peers=peers, push_timeout_s=push_timeout_s, max_waiting=max_waiting)
        self.outbound = Outbound(settings, self)
        self.answers: dict[int, Outcome] = {}
        self.here: list[bytes] = []
        self.frames: list[tuple[str, AnyFrame]] = []
        self.may_have: list[str] | None = None
        self._tickets = count(1)
        for node in owners:
            self.link(node)

    def current(self, node: str) -> End | None:
        link = self.links.get(node)
        return link.here if link is not None and link.is_up_here else None

    # Links.

    def link(self, node: str) -> Link:
        link = self.links[node] = Link(node, End(node), End("a"))
        self.outbound.link_up(link.here)
        self.owners[node].interest[link.there] = set()
        return link

    def cut_here(self, link: Link) -> None:
        """Let this node notice that a link is down."""
        if link.is_up_here:
            link.is_up_here = False
            self.act(self.outbound.link_down(self.now, link.here))

    def cut_there(self, link: Link) -> None:
        """Let the owner notice that a link is down."""
        if link.is_up_there:
            link.is_up_there = False
            self.owners[link.node].link_down(self.now, link.there)

    def cut(self, node: str) -> None:
        link = self.links.pop(node)
        self.cut_here(link)
        self.cut_there(link)

    def to_owner(self, link: Link) -> bool:
        """Let an owner receive one frame; return False if there is none."""
        if not link.is_up_there or not link.here.sent:
            return False
        frame = link.here.sent.popleft()
        self.frames.append((link.node, frame))
        self.owners[link.node].receive(self.now, link.there, frame)
        return True

    def from_owner(self, link: Link) -> bool:
        """Let this node receive one frame of an owner; return False if there is none."""
        if not link.is_up_here or not link.there.sent:
            return False
        match link.there.sent.popleft():
            case Forwarded() as frame:
                self.act(self.outbound.forwarded(self.now, link.here, frame, self.polls))
            case Delta(ready=ready):
                self.outbound.reported(link.here, ready)
        return True

    def settle(self, *nodes: str) -> None:
        """Let all nodes take turns, and the links to these (to all, if none is named) deliver, until nothing moves."""
        for _ in range(10_000):
            self.pump()
            moved = 0
            for node in nodes or self.owners:
                link = self.links.get(node)
                while link is not None and self.to_owner(link):
                    moved += 1
                self.owners[node].pump()
                while link is not None and self.from_owner(link):
                    moved += 1
            if not moved:
                return
        raise AssertionError("the nodes do not come to rest")

    def receive(self, node: str) -> None:
        """Let one owner receive, carry out and answer all that was sent; the answers stay on their way."""
        self.pump()
        while self.to_owner(self.links[node]):
            pass
        self.owners[node].pump()

    # This node.

    def pump(self) -> None:
        self.outbound.interest(self.now, ["default"] if self.polls else [])
        self.act(self.outbound.pump(self.now, self.polls))

    def act(self, results: Iterable[Result]) -> None:
        for result in results:
            if isinstance(result, Again):
                self._get(result.ticket, result.get, result.until)
            else:
                self.answer(result.ticket, result.outcome)

    def answer(self, ticket: int, outcome: Outcome) -> None:
        assert ticket not in self.answers, "a second answer"
        assert ticket not in self.polls
        self.answers[ticket] = outcome

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.act(self.outbound.tick(self.now))
        for poll in self.polls.pop_expired(self.now):
            self.answer(poll.ticket, Delivered())
        for owner in self.owners.values():
            owner.expire(self.now)

    def get(
        self, count_max: int = 1, wait_s: float = 0.0, lease_s: float | None = None, *, ack_now: bool = False
    ) -> int:
        ticket = next(self._tickets)
        self._get(ticket, Get(count_max, wait_s, lease_s, ack_now), self.now + (wait_s or 10.0))
        return ticket

    def _get(self, ticket: int, get: Get, until: float) -> None:
        if self.here:
            self.answer(ticket, self._take_here())
            return
        poll = Waiter(ticket, get, until)
        self.polls.join(poll)
        with_messages = [node for node, owner in self.owners.items() if owner.live]
        self.outbound.seek(poll, with_messages if self.may_have is None else self.may_have)

    def push_here(self, body: bytes) -> None:
        self.here.append(body)
        poll = self.polls.first()
        if poll is not None:
            self.polls.leave(poll.ticket)
            self.answer(poll.ticket, self._take_here())

    def _take_here(self) -> Delivered:
        id = id_of("a")
        return Delivered((Delivery(Receipt(id, "1"), 1, 60.0, Message(self.here.pop(0))),))

    def forward(self, node: str, command: Command) -> int:
        ticket = next(self._tickets)
        try:
            self.outbound.forward(self.now, ticket, self.current(node), command)
        except Refusal as refusal:
            self.answer(ticket, refusal)
        return ticket

    def withdraw(self, ticket: int) -> bool:
        is_poll = self.polls.leave(ticket)
        return self.outbound.withdraw(ticket) or is_poll

    # What tests look at.

    def code(self, ticket: int) -> str:
        """Return the answer in one word; "" while there is none."""
        outcome = self.answers.get(ticket)
        if outcome is None:
            return ""
        return outcome.code if isinstance(outcome, Refusal) else type(outcome).__name__

    def bodies(self, ticket: int) -> list[bytes]:
        outcome = self.answers[ticket]
        assert isinstance(outcome, Delivered), outcome
        return [each.message.body for each in outcome.deliveries]

    def forwards(self, node: str) -> list[list[Command]]:
        """Return the commands that an owner has received, by frame."""
        return [frame.commands for to, frame in self.frames if to == node and isinstance(frame, Forward)]

    def left_at(self, node: str) -> list[tuple[bytes, int]]:
        """Return what an owner has ready: bodies, and how often each was delivered."""
        owner = self.owners[node]
        return [(owner.live[id], owner.attempts.get(id, 0)) for id in owner.ready()]

    def kinds(self, node: str) -> list[str]:
        """Return the kinds of commands that an owner has received, in order."""
        return [type(command).__name__ for commands in self.forwards(node) for command in commands]


def unreceived(world: World, node: str) -> list[Forward]:
    """Return the frames with commands that are on their way to an owner."""
    return [frame for frame in world.links[node].here.sent if isinstance(frame, Forward)]


def idle_poll(world: World, **options: Any) -> int:
    """Let a poll wait that has found nothing."""
    poll = world.get(wait_s=20.0, **options)
    world.settle()
    assert world.code(poll) == ""
    return poll
