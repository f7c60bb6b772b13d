"""The network of one process, with peers that are played by hand."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from attrs import evolve

from dqtw.core.links.frames import AnyFrame, BootId, Heard, NodeId, NodeReport, Pair, Status
from dqtw.core.links.link import Link, LinkEvent, LinkUp
from dqtw.core.links.members import Member
from dqtw.core.links.network import Network
from dqtw.core.links.streams import Accepted, Close, Dial, LinkEffect, Send, StreamAnswer, StreamRefused, StreamRequest
from dqtw.core.model.settings import NodeSettings

own_boot = BootId("a1")


def incarnation(start: str) -> str:
    return start.ljust(26, "0")


def request(node: str = "b", boot: str = "b1", number: int = 1, **changes: Any) -> StreamRequest:
    asked = StreamRequest(
        cluster="dqtw",
        node=node,
        boot=boot,
        url=f"http://{boot}",
        versions=(2,),
        nonce=f"ask-{boot}-{number}",
        number=number,
        to_node="a",
        to_boot=None,
    )
    return evolve(asked, **changes)


def status(node: str = "b", start: str | None = "01B", **changes: Any) -> Status:
    given: dict[str, Any] = {
        "node": node,
        "incarnation": None if start is None else incarnation(start),
        "running_s": 10.0,
        "is_going": False,
        "express_read": 0,
        "bulk_read": 0,
        "nodes": {},
        "members": ["a", "b", "c"],
        "settings": {},
    }
    return Status(**{**given, **changes})


def report(*processes: Heard, greatest: str | None = None, address: str = "") -> NodeReport:
    return NodeReport(greatest and incarnation(greatest), address, list(processes), False, False, None)


class OneNetwork:
    """Node a's network, and what it has asked the transport to do."""

    def __init__(self, **settings: Any) -> None:
        peers = {"b": "http://b", "c": "http://c"}
        order = count()
        entropy: Callable[[int], bytes] = lambda n: next(order).to_bytes(n, "big")  # noqa: E731
        self.now = 100.0
        self.settings = evolve(NodeSettings(node="a", peers=peers, advertise="http://a"), **settings)
        self.network = Network(self.now, self.settings, own_boot, entropy)
        self.effects: list[LinkEffect] = []
        self.requests = count(1)

    @property
    def b(self) -> Member:
        return self.member("b")

    def member(self, node: str) -> Member:
        return self.network.cluster.members[NodeId(node)]

    def turn(self, seconds: float = 0.0) -> list[LinkEvent]:
        """Let time pass, and the timer go off as often as it is asked to; return the events."""
        end = self.now + seconds
        events: list[LinkEvent] = []
        for _ in range(10_000):
            deadline = self.network.next_deadline(self.now)
            if deadline is None or deadline > end:
                self.now = end
                self.effects += self.network.take_effects(self.now)
                return events
            self.now = max(self.now, deadline)
            events += self.network.tick(self.now)
            self.effects += self.network.take_effects(self.now)
        raise AssertionError("the timer goes off for ever")

    def dials(self, node: str = "b") -> list[Dial]:
        """Return the dials of a node since the last call, and take all effects."""
        self.turn()
        dials = [each for each in self.effects if isinstance(each, Dial) and each.request.to_node == node]
        self.effects.clear()
        return dials

    def closes(self) -> list[int]:
        return [each.stream for each in self.effects if isinstance(each, Close)]

    def sent(self, link: Link) -> list[AnyFrame]:
        self.turn()
        return [each.frame for each in self.effects if isinstance(each, Send) and each.stream == link.written.number]

    def status_sent(self, link: Link) -> Status:
        """Return the last status that was sent on a link."""
        return [frame for frame in self.sent(link) if isinstance(frame, Status)][-1]

    def ask(self, asked: StreamRequest) -> Accepted:
        answer, _ = self.network.asked(self.now, asked)
        assert isinstance(answer, Accepted)
        return answer

    def refused(self, asked: StreamRequest) -> str | None:
        """Return the code with which a request is refused."""
        answer, events = self.network.asked(self.now, asked)
        assert not events or isinstance(answer, Accepted)
        return answer.code if isinstance(answer, StreamRefused) else None

    def answer(self, dial: Dial, boot: str, node: str | None = None) -> list[LinkEvent]:
        answered = StreamAnswer(node or dial.request.to_node, boot, f"answer-{boot}-{dial.stream}")
        return self.network.dialled(self.now, dial.stream, answered)

    def fail(self, dial: Dial, why: str = "connection refused", is_lasting: bool = False) -> None:
        self.network.dial_failed(self.now, dial.stream, why, is_lasting=is_lasting)

    def fail_dials(self, node: str = "b") -> list[str]:
        """Fail all dials under way; return where they went."""
        dials = self.dials(node)
        for dial in dials:
            self.fail(dial)
        return [dial.url for dial in dials]

    def pairs(self) -> list[Link]:
        """Return all links that are made, up or not."""
        pairings = [each for member in self.network.cluster.members.values() for each in member.pairings.values()]
        return [pairing.link for pairing in pairings if pairing.link is not None]

    def half_link(self, boot: str = "b1", **changes: Any) -> Link:
        """Let a process ask for a stream and be dialled back; return the link that is not up yet."""
        node = boot[0]
        self.ask(request(node, boot, next(self.requests), **changes))
        dial = [each for each in self.dials(node) if each.request.to_boot in (None, boot)][-1]
        self.answer(dial, boot)
        link = self.member(node).pairings[BootId(boot)].link
        assert link is not None
        return link

    def link(self, boot: str = "b1", says: Status | None = None, **changes: Any) -> Link:
        """Bring up a link to a process, with its first status if it sends one."""
        link = self.half_link(boot, **changes)
        (up,) = self.read(link, [Pair(link.read.name, link.written.name)])
        assert up == LinkUp(link)
        if says is not None:
            self.read(link, [says])
        return link

    def read(self, link: Link, frames: Sequence[AnyFrame] = (), express: int = 0, bulk: int = 0) -> list[LinkEvent]:
        return self.network.received(self.now, link.read.number, frames, express, bulk)

    def keep_alive(self, *links: Link, seconds: float) -> list[LinkEvent]:
        """Let time pass, with a byte on each link each half second."""
        events: list[LinkEvent] = []
        for _ in range(round(2 * seconds)):
            events += self.turn(0.5)
            for link in links:
                events += self.read(link)
        return events
