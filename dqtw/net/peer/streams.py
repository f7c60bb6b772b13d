# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""All streams between this process and its peers: the effects of links carried out, and what comes of them reported."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dqtw.core.links.streams import Accepted, Dial, LinkEffect, Reported, Send, StreamRefused, StreamRequest
from dqtw.net.http.request import BoundedRequest
from dqtw.net.peer.bounds import StreamLimits
from dqtw.net.peer.dialled import AgentOf, DialledStream
from dqtw.net.peer.port import PeerPort
from dqtw.net.peer.secret import PeerSecret
from dqtw.net.peer.written import WrittenStream
from dqtw.net.time_limit import TimeLimit
from dqtw.wire.peer import handshake
from dqtw.wire.peer.codec import Encoder
from dqtw.wire.peer.lanes import Outbox

listener: Final = "peers"  # under which what is refused here is counted
stopping_code: Final = "stopping"


class PeerStreams:
    """The streams of one process.

    Args:
        reactor: the reactor, or what stands in for its time.
        agent_of: makes the agent that opens the connection of a pool.
        secret: of the cluster; None if it has none.
        must_encrypt: returns True if no plain connection to that node may be opened, whatever URL the core names.
        limits: the bounds.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        agent_of: AgentOf,
        secret: PeerSecret | None = None,
        must_encrypt: Callable[[str], bool] = lambda node: False,  # noqa: ARG005
        limits: StreamLimits | None = None,
    ) -> None:
        self._reactor = reactor
        self._agent_of = agent_of
        self._secret = secret
        self._must_encrypt = must_encrypt
        self._limits = limits or StreamLimits()
        self._port: PeerPort | None = None  # before `start` and after `stop`
        self._encoder = Encoder()  # keeps nothing between two calls of `carry_out`
        self._written: dict[int, WrittenStream] = {}
        self._dialled: dict[int, DialledStream] = {}
        self._full: dict[int, IDelayedCall] = {}  # written streams that were closed, and the report of each
        self._blocked: TimeLimit[WrittenStream] = TimeLimit(reactor, self._limits.blocked_s_max, self._took_nothing)

    def start(self, port: PeerPort) -> None:
        """Serve that port from now on."""
        self._port = port

    def stop(self) -> None:
        """Close all streams, report nothing more, and do nothing more."""
        self._port = None
        for number in (*self._written, *self._dialled, *self._full):
            self._close(number)
        self._blocked.stop()

    def carry_out(self, effects: Iterable[LinkEffect]) -> None:
        """Carry out the effects of one reactor turn: the frames to one peer leave together."""
        if self._port is None:
            return
        changed: dict[int, WrittenStream] = {}
        for effect in effects:
            number = effect.stream
            if isinstance(effect, Send):
                if (stream := self._written.get(number)) is not None:
                    changed[number] = stream
                    if not stream.put(effect.frame):
                        self._give_up(number)
            elif isinstance(effect, Reported):
                if (stream := self._written.get(number)) is not None:
                    changed[number] = stream
                    stream.reported(effect.express_read, effect.bulk_read)
            elif isinstance(effect, Dial):
                self._dial(self._port, effect)
            else:
                self._close(number)
        self._encoder.forget()
        for stream in changed.values():
            stream.write_on()

    def ask(self, request: BoundedRequest) -> StreamRefused | None:
        """Judge a request for a stream; None if it is accepted: the response has begun and never ends."""
        port = self._port
        if port is None:
            return StreamRefused(stopping_code, "this node is stopping")
        secrets = () if self._secret is None else self._secret.secrets
        asked = handshake.read_request(lambda name: request.headers(name.encode()), secrets)
        if isinstance(asked, StreamRefused):
            if asked.node is not None:
                port.request_refused(asked.node, asked)
            return asked
        outcome = self._too_many(asked.request) or self._own(asked.request) or port.stream_asked(asked.request)
        if isinstance(outcome, StreamRefused):
            return outcome
        for name, value in handshake.answer_headers(asked, outcome.answer):
            request.setHeader(name, value)
        self._begin(asked, outcome, request)
        return None

    def _begin(self, asked: handshake.Asked, accepted: Accepted, request: BoundedRequest) -> None:
        number = accepted.stream
        outbox = Outbox(handshake.piece_key(asked.secret, asked.request, accepted.answer), self._encoder.encode)
        stream = WrittenStream(number, asked.request, request, outbox, self._reactor, self._limits, self._blocked)
        self._written[number] = stream
        stream.begin(partial(self._end_written, stream, "the peer closed the stream"))

    def _too_many(self, request: StreamRequest) -> StreamRefused | None:
        """Refuse a stream if there are too many, in all or of one node."""
        limits = self._limits
        if len(self._written) >= limits.streams_max:
            return StreamRefused("too_many", "this node has as many streams as it may")
        same = [each.asked for each in self._written.values() if each.asked.node == request.node]
        if len(same) >= limits.streams_per_node_max:
            return StreamRefused("too_many", f"the node {request.node} has as many streams here as it may")
        if len({each.boot for each in same} | {request.boot}) > limits.processes_per_node_max:
            return StreamRefused("too_many", f"too many processes of the node {request.node} have streams here")
        return None

    def _own(self, request: StreamRequest) -> StreamRefused | None:
        """Refuse a request that this process has sent itself: the URL of a peer leads to it."""
        for each in self._dialled.values():
            if each.dial.request.nonce == request.nonce and each.dial.request.boot == request.boot:
                return StreamRefused("wrong_node", "that is this node itself")
        return None

    def _dial(self, port: PeerPort, dial: Dial) -> None:
        secret = None if self._secret is None else self._secret.secrets[0]
        stream = DialledStream(
            *(self._reactor, self._agent_of, dial, secret, port, self._limits, self._end_dialled),
            must_encrypt=self._must_encrypt(dial.request.to_node),
        )
        self._dialled[dial.stream] = stream
        self._reactor.callLater(0, stream.start)

    def _close(self, number: int) -> None:
        if (written := self._written.pop(number, None)) is not None:
            written.close()
        if (dialled := self._dialled.pop(number, None)) is not None:
            dialled.close()
        if (report := self._full.pop(number, None)) is not None:
            report.cancel()

    def _end_dialled(self, stream: DialledStream) -> None:
        del self._dialled[stream.dial.stream]

    def _end_written(self, stream: WrittenStream, why: str) -> None:
        if self._port is not None and self._written.pop(stream.number, None) is not None:
            stream.close()
            self._port.stream_closed(stream.number, why)

    def _took_nothing(self, stream: WrittenStream) -> None:
        self._end_written(stream, f"nothing could be written for {self._limits.blocked_s_max:.15g} s")

    def _give_up(self, number: int) -> None:
        """Close a stream whose peer reads too slowly; report it later, as effects are being carried out."""
        stream = self._written.pop(number)
        why = f"{stream.outbox.waiting_bytes} bytes wait, more than may"
        stream.close()
        self._full[number] = self._reactor.callLater(0, self._report_full, number, why)

    def _report_full(self, number: int, why: str) -> None:
        del self._full[number]
        if self._port is not None:
            self._port.stream_closed(number, why)

    def count_refused(self, code: str) -> None:
        """Count a request that was refused with this code."""
        if self._port is not None:
            self._port.count_refused(listener, code)
