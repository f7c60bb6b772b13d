"""The streams and links between this process and the processes of the other members (2)."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

from dqtw.core.links.cluster import Cluster
from dqtw.core.links.dialling import Dialling
from dqtw.core.links.frames import AnyFrame, BootId, NodeId
from dqtw.core.links.link import FrameReceived, Link, LinkDown, LinkEvent, LinkUp, OpenStream, Process, StatusReceived
from dqtw.core.links.members import Member, Refusal, processes_max
from dqtw.core.links.pairing import Pairing
from dqtw.core.links.streams import (
    Accepted,
    Close,
    Dial,
    LinkEffect,
    StreamAnswer,
    StreamRefused,
    StreamRequest,
    protocol_version,
)
from dqtw.core.model.settings import NodeSettings

nonce_bytes: Final = 16


class Network:
    """All streams of this process.

    Each input returns what happened. What the transport is asked to do is collected until `take_effects`, which is
    called at the end of each turn. `tick` is called when `next_deadline` has come; only it begins dials.

    Attributes:
        cluster: the members, with their processes and links, and what this process announces.
        url: where peers reach this process; empty: they use what they were configured with.
    """

    def __init__(self, now: float, settings: NodeSettings, boot: BootId, entropy: Callable[[int], bytes]) -> None:
        self.cluster = Cluster(now, settings, boot)
        self.url = settings.advertise
        self._settings = settings
        self._entropy = entropy
        self._effects: list[LinkEffect] = []
        self._streams: dict[int, Pairing] = {}  # those that are open, by number
        self._dials: dict[int, Dialling] = {}  # those under way, by the number of the stream that each opens
        self._last_stream = 0
        self._last_request = 0
        self._deadline: float | None = None  # at or before the next one; None: it must be computed

    def asked(self, now: float, request: StreamRequest) -> tuple[Accepted | StreamRefused, list[LinkEvent]]:
        """Answer a process that asks for a stream. A link to it ends, because that process has begun anew."""
        refused = self._refusal_of(request)
        if refused is not None:
            self.request_refused(now, request.node, refused)
            return refused, []
        pairing = self._pairing(now, self.cluster.members[NodeId(request.node)], BootId(request.boot))
        if pairing is None:
            return StreamRefused("too_many", f"{processes_max} processes of {request.node} are linked already"), []
        process = pairing.process
        process.url, process.request = request.url or None, request.number
        here = self.cluster
        answer = StreamAnswer(here.node, here.boot, self._nonce(), here.greatest(request.node))
        stream = self._next_stream()
        events = pairing.accept(now, OpenStream(stream, f"{request.nonce}.{answer.nonce}", now))
        return Accepted(stream, answer), self._noted(now, events)

    def request_refused(self, now: float, node: str, refused: StreamRefused) -> None:
        """Note that a request of a node was refused, here or before it came so far (``unauthorized``)."""
        member = self.cluster.members.get(NodeId(node))
        if member is not None and refused.is_lasting:
            self._deadline = None
            member.refuse(Refusal(now, self.cluster.node, refused.why))

    def dialled(self, now: float, stream: int, answer: StreamAnswer) -> list[LinkEvent]:
        """Begin to read a stream that a process has accepted."""
        dialling = self._dials.pop(stream, None)
        if dialling is None or dialling.request is None:
            return []
        member = self.cluster.members[NodeId(dialling.node)]
        why = self._fault_of(answer, dialling)
        pairing = None if why else self._pairing(now, member, BootId(answer.boot))
        if pairing is None:
            why = why or f"{processes_max} other processes of {answer.node} are linked"
            self._effects.append(Close(stream, why))
            dialling.failed()
            member.dial_failed(dialling.url, why)
            return self._noted(now, [])
        dialling.end()
        self.cluster.learn(self.cluster.node, answer.greatest)
        member.dial_answered(dialling.url)
        self._give_up(pairing.dialling, "another dial was answered")
        name = f"{dialling.request.nonce}.{answer.nonce}"
        return self._noted(now, pairing.answered(now, OpenStream(stream, name, now)))

    def dial_failed(self, now: float, stream: int, why: str, *, is_lasting: bool) -> None:
        """Note that a dial has failed, or was refused; ``is_lasting``: the two nodes refuse each other."""
        dialling = self._dials.pop(stream, None)
        if dialling is None:
            return
        self._deadline = None
        dialling.failed()
        member = self.cluster.members[NodeId(dialling.node)]
        member.dial_failed(dialling.url, why)
        if is_lasting:
            member.refuse(Refusal(now, member.id, f"{why} ({dialling.url})"))

    def received(
        self, now: float, stream: int, frames: Sequence[AnyFrame], express_bytes: int, bulk_bytes: int
    ) -> list[LinkEvent]:
        """Process what was read from a stream at once, complete frames or not."""
        pairing = self._streams.get(stream)
        if pairing is None:
            return []
        events = pairing.received(now, stream, frames, express_bytes, bulk_bytes)
        if not all(type(event) is FrameReceived for event in events):  # else no deadline can have come nearer
            events = self._noted(now, events)
        if pairing.process.is_present:
            self.cluster.members[pairing.process.node].present_at = now
        return events

    def closed(self, now: float, stream: int, why: str) -> list[LinkEvent]:
        """Note that a stream has ended at the transport, for whatever reason."""
        pairing = self._streams.get(stream)
        if pairing is None:
            self.dial_failed(now, stream, why, is_lasting=False)
            return []
        return self._noted(now, pairing.closed(stream, why))

    def close(self, now: float, link: Link, why: str) -> list[LinkEvent]:
        """Close a link: a frame on it breaks the protocol."""
        return self._noted(now, self._streams[link.written.number].end(why)) if link.is_up else []

    def tick(self, now: float) -> list[LinkEvent]:
        """Close what was silent for too long, give up dials, and begin those that are due."""
        for dialling in list(self._dials.values()):
            if now >= dialling.give_up_at:
                self._give_up(dialling, "no answer in time")
                dialling.failed()
                self.cluster.members[NodeId(dialling.node)].dial_failed(dialling.url, "no answer in time")
        events = [event for pairing in self._pairings() for event in pairing.tick(now)]
        for member in self.cluster.members.values():
            for dialling, url in sorted(self._wanted(member), key=lambda each: each[0].began_at):
                if now >= dialling.next_at and not self._is_crossed(member, dialling, url):
                    self._dial(now, member, dialling, url)
        return self._noted(now, events)

    def resumed(self, now: float) -> list[LinkEvent]:
        """Close all links after a pause, before any other input is processed, and count all times from now."""
        events = self._close_all("this process was paused")
        self.cluster.running_since = now
        for member in self.cluster.members.values():
            member.present_at = now
            member.refuse(None)
            member.dialling.hurry(now)
        return self._noted(now, events)

    def anew(self, now: float, boot: BootId) -> tuple["Network", list[LinkEvent]]:
        """Return the network of a new process that starts anew with all that this one knows; this one has ended (5.3).

        The numbers of streams run on, and what the transport has yet to do goes over to the new one.
        """
        events = self._noted(now, self._close_all("this process starts anew"))
        new = Network(now, self._settings, boot, self._entropy)
        new._effects.extend(self._effects)
        new._last_stream = self._last_stream
        new.url = self.url
        for node in (self.cluster.node, *self.cluster.members):
            greatest = self.cluster.greatest(node)
            if greatest is not None:
                new.cluster.learn(node, greatest)
        for id, member in self.cluster.members.items():
            new.cluster.members[id].announced = member.announced
        return new, events

    def next_deadline(self, now: float) -> float | None:
        """Return when `tick` is needed next, or a word for a member changes; None: never."""
        if self._deadline is not None and now < self._deadline:
            return self._deadline
        deadlines = [dialling.give_up_at for dialling in self._dials.values()]
        deadlines += [each for pairing in self._pairings() if (each := pairing.next_deadline()) is not None]
        for member in self.cluster.members.values():
            deadlines += [dialling.next_at for dialling, _ in self._wanted(member)]
            words = (member.unreachable_from, member.refused_until)
            deadlines += [each for each in words if each is not None and each > now]
        self._deadline = min(deadlines, default=None)
        return self._deadline

    def take_effects(self, now: float) -> list[LinkEffect]:
        """Return what the transport must do since the last call, in order, with the statuses that are due now."""
        for member in self.cluster.members.values():
            for pairing in member.pairings.values():
                link = pairing.process.link
                if link is not None and link.owes_status(now, self.cluster.version):
                    self.cluster.send_status(now, link)
        effects = self._effects.copy()
        self._effects.clear()  # links and pairings share the list
        return effects

    def _refusal_of(self, request: StreamRequest) -> StreamRefused | None:
        """Return why a request must be refused; None if it need not."""
        here = self.cluster
        if request.node == here.node:
            which = "itself" if request.boot == here.boot else "too, but not the same process"
            return StreamRefused("wrong_node", f"that is the node {here.node} {which}")
        if request.cluster != self._settings.cluster:
            return StreamRefused(
                "wrong_cluster", f"that is the cluster {self._settings.cluster}, not {request.cluster}"
            )
        if request.to_node != here.node:
            return StreamRefused("wrong_node", f"that is the node {here.node}, not {request.to_node}")
        if protocol_version not in request.versions:
            theirs = ", ".join(map(str, request.versions))
            return StreamRefused("version", f"that node speaks version {protocol_version}, not {theirs or 'any other'}")
        member = here.members.get(NodeId(request.node))
        if member is None:
            return StreamRefused("unknown_member", f"{request.node} is not a member for {here.node}")
        if request.to_boot not in (None, here.boot):
            return StreamRefused("wrong_boot", f"that is another process of {here.node}")
        known = member.pairings.get(BootId(request.boot))
        if request.number <= (known.process.request if known is not None else 0):
            return StreamRefused("replayed", "the same process has sent this request before, or a later one")
        return None

    def _fault_of(self, answer: StreamAnswer, dialling: Dialling) -> str | None:
        """Return why a process that has answered a dial cannot be the one that was meant; None if it can."""
        if answer.node == self.cluster.node:
            is_itself = answer.boot == self.cluster.boot
            return "that is this node itself" if is_itself else "that is another process of this node"
        if answer.node != dialling.node:
            return f"that is the node {answer.node}, not {dialling.node}"
        if dialling.boot not in (None, answer.boot):
            return f"that is another process of {dialling.node}"
        return None

    def _pairing(self, now: float, member: Member, boot: BootId) -> Pairing | None:
        """Return the streams with a process of a member; None if it is new, and too many others are linked."""
        if boot in member.pairings:
            return member.pairings[boot]
        if len(member.pairings) >= processes_max:
            oldest = member.oldest_unlinked()
            if oldest is None:
                return None
            self._give_up(oldest.dialling, "another process of that node takes its place")
            oldest.end("another process of that node takes its place")
            del member.pairings[oldest.process.boot]
        member.pairings[boot] = Pairing(now, Process(member.id, boot), self._streams, self._effects)
        return member.pairings[boot]

    def _pairings(self) -> Iterator[Pairing]:
        return chain.from_iterable(member.pairings.values() for member in self.cluster.members.values())

    def _wanted(self, member: Member) -> list[tuple[Dialling, str]]:
        """Return the dials that are wanted as soon as their time has come, and where they go.

        A process that has its stream is dialled back. A member is dialled while none of its processes is linked, or
        about to be: a second one asks for its own stream. But if the standby of a process is linked to this one, and
        the standby of this one to it, neither lacks a link to the other's node; so a process that ought to be the
        current one is dialled beside others.
        """
        wanted: list[tuple[Dialling, str]] = []
        for pairing in member.pairings.values():
            if pairing.must_dial_back or (pairing.is_idle and member.misses(pairing.process)):
                url = pairing.dialling.address(pairing.process.url, member.configured_url)
                wanted.append((pairing.dialling, url))
        if member.dialling.stream is None and not any(pairing.is_promising for pairing in member.pairings.values()):
            wanted.append((member.dialling, member.url))
        return [each for each in wanted if not self._is_crossed(member, *each)]

    def _is_crossed(self, member: Member, dialling: Dialling, url: str) -> bool:
        """Return True if a dial would be answered by a process that is being dialled there anyway.

        That process would take the second request for a new beginning.
        """
        others = (
            [member.dialling] if dialling.boot is not None else [each.dialling for each in member.pairings.values()]
        )
        return any(each.stream is not None and each.url == url for each in others)

    def _dial(self, now: float, member: Member, dialling: Dialling, url: str) -> None:
        if not dialling.has_failed:  # else it may be gone, and each attempt would end one to find another process
            self._give_up(member.dialling, "a process of that node is dialled back")
        stream = self._next_stream()
        self._last_request += 1
        request = StreamRequest(
            cluster=self._settings.cluster,
            node=self.cluster.node,
            boot=self.cluster.boot,
            url=self.url,
            versions=(protocol_version,),
            nonce=self._nonce(),
            number=self._last_request,
            to_node=member.id,
            to_boot=dialling.boot,
        )
        dialling.begin(now, stream, url, request)
        self._dials[stream] = dialling
        self._effects.append(Dial(stream, url, request))

    def _give_up(self, dialling: Dialling, why: str) -> None:
        if dialling.stream is not None:
            del self._dials[dialling.stream]
            self._effects.append(Close(dialling.stream, why))
            dialling.end()

    def _close_all(self, why: str) -> list[LinkEvent]:
        for dialling in list(self._dials.values()):
            self._give_up(dialling, why)
        return [event for pairing in self._pairings() for event in pairing.end(why)]

    def _noted(self, now: float, events: list[LinkEvent]) -> list[LinkEvent]:
        """Take over what events say of the members; return them, and what was learned. Any deadline may be another."""
        self._deadline = None
        noted: list[LinkEvent] = []
        for event in events:
            noted.append(event)
            if isinstance(event, LinkUp):
                self.cluster.members[event.link.node].linked()
                self.cluster.send_status(now, event.link)
            elif isinstance(event, LinkDown):
                self.cluster.members[event.link.node].unlinked(event.why)
            elif isinstance(event, StatusReceived):
                noted += self.cluster.take_status(event.link.process, event.status)
        return noted

    def _next_stream(self) -> int:
        self._last_stream += 1
        return self._last_stream

    def _nonce(self) -> str:
        return self._entropy(nonce_bytes).hex()
