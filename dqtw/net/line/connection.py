"""One client on the line protocol: bytes in, answers out in order, and everything it can hold bounded."""

from collections.abc import Callable
from functools import partial
from typing import Final, cast
from typing import Protocol as Interface

from msgspec.structs import replace
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from dqtw import __version__
from dqtw.core.model.commands import Command, Delivered, Get, Outcome, Push
from dqtw.core.model.errors import Framing, Refusal, RequestTimeout, Unauthorized
from dqtw.driver import Clock, Driver
from dqtw.net.line.limits import LineLimits, listener_name
from dqtw.net.line.order import Due, DueAnswers, Kind, kind_of
from dqtw.net.line.stream import Stream, can_half_close
from dqtw.net.tcp import keep_prompt
from dqtw.net.time_limit import TimeLimit
from dqtw.wire.line.answers import help_text, ok, pong, render_hello, render_refusal, render_stats
from dqtw.wire.line.parser import LineParser
from dqtw.wire.line.requests import Auth, Request, Simple

unparsed_bytes_max: Final = 64 * 1024  # how much is read ahead of a request that must wait; then one read more


class Door(Interface):
    """What a connection shares with the others of its door."""

    driver: Driver
    limits: LineLimits
    authenticate: Callable[[str], bool] | None
    clock: Clock
    looks: TimeLimit["LineConnection"]
    lingers: TimeLimit["LineConnection"]

    def soon(self, connection: "LineConnection") -> None:
        """Call the connection's `advance` once, in the next turn."""
        ...

    def disconnected(self, connection: "LineConnection") -> None:
        """The connection is gone."""
        ...


@implementer(IHalfCloseableProtocol, IPushProducer)
class LineConnection(Protocol):
    """One client's connection, from its first byte to its last answer.

    Whatever happens only notes what it means; `advance` then does all that follows from it, in one place.
    """

    _stream: Stream

    def __init__(self, door: Door) -> None:
        self._door = door
        self._driver = door.driver
        self._parser = LineParser(body_bytes_max=door.limits.max_message, locked=door.authenticate is not None)
        self._due = DueAnswers()
        self._held: Request | None = None  # was read, but must wait for those before it
        self._owes_since_s: float | None = None  # the client owes the rest of a request, or a close
        self._took = False  # a request was complete since the time limit was last looked at
        self._reading = True
        self._blocked = False  # the client does not read: the transport holds enough
        self._half_closed = False  # the client will send no more
        self._ending = False  # no request is taken any more; what is due is still answered
        self._closed = False

    # What the transport tells.

    @override
    def connectionMade(self) -> None:
        self._stream = cast(Stream, self.transport)
        keep_prompt(self.transport)
        self._stream.registerProducer(self, streaming=True)

    @override
    def dataReceived(self, data: bytes) -> None:
        if not self._ending:
            self._parser.feed(data)
            self.advance()

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's hook
        """The client sends no more: answer what is complete, wait for nothing."""
        self._half_closed = True
        if self._closed:
            self._stream.loseConnection()
            return
        for due in self._due.unanswered():
            if due.kind is Kind.WAITING_GET:
                self._driver.withdraw(due.ticket)  # gives back what comes all the same
                self._due.answer(due, Delivered())
        self.advance()

    def writeConnectionLost(self) -> None:  # noqa: N802 - Twisted's hook
        """The client has all that it will get; now it should hang up."""
        self._owes_nothing()
        self._door.lingers.begin(self)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ending = self._closed = True
        for due in self._due.unanswered():
            self._driver.withdraw(due.ticket)
        for delivered in self._due.abandon():
            self._driver.give_back(delivered)
        self._owes_nothing()
        self._door.lingers.end(self)
        self._door.disconnected(self)

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's hook
        """The transport holds enough answers: take no more requests."""
        self._blocked = True
        self._read_on(wanted=False)

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's hook
        """The client has read its answers: go on."""
        self._blocked = False
        self._door.soon(self)

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's hook
        """The connection is lost, as `connectionLost` will tell."""

    # What the door tells.

    def end(self) -> None:
        """Take no more requests, and close once what is due is written."""
        self._ending = True
        self.advance()

    def look(self) -> None:
        """End the connection if its client takes too long to complete a request, or to take its last answers."""
        assert self._owes_since_s is not None
        waited_s = self._door.clock.seconds() - self._owes_since_s
        if waited_s < self._patience_s():
            self._door.looks.begin(self)
        elif self._closed:
            self._stream.abortConnection()
        else:
            self._refuse(RequestTimeout(f"{self._parser.missing} did not come within {waited_s:.0f} seconds"))
            self.end()

    def hang_up(self) -> None:
        """The client was given time to hang up first."""
        self._stream.loseConnection()

    def advance(self) -> None:
        """Start what may start, write what is due, and see how to go on."""
        if self._closed:
            return
        self._write_due()  # first, as this tells whether the client reads
        starved = self._start_requests()
        if starved and self._half_closed and self._parser.mid_request:
            self._refuse(Framing(f"the input ended: {self._parser.missing} did not come"))
        self._write_due()
        if not self._due and (self._ending or (starved and self._half_closed)):
            self._close()
        elif self._ending:
            self._owes_nothing()  # nothing more is expected of the client
        else:
            self._go_on(starved=starved)

    def _write_due(self) -> None:
        pieces = self._due.take()
        if pieces:
            self._stream.writeSequence(pieces)

    # Requests.

    def _start_requests(self) -> bool:
        """Start requests until one must wait; whether it is for the client to go on, as none is complete."""
        for _ in range(self._door.limits.due_max):
            if self._blocked or self._ending or not self._has_room():
                return False
            request = self._next_request()
            if request is None:
                return True
            if isinstance(request, Refusal):
                self._refuse(request)
                continue
            kind = kind_of(request)
            if not self._due.may_start(kind):
                self._held = request
                return False
            self._start(request, kind)
            if request is Simple.STATS:
                return False  # they cost more than all else: one a turn
        return False

    def _has_room(self) -> bool:
        limits = self._door.limits
        return len(self._due) < limits.due_max and self._due.held_bytes < limits.due_bytes_max

    def _next_request(self) -> Request | Refusal | None:
        if self._held is not None:
            request, self._held = self._held, None
            return request
        found = self._parser.next_request()
        self._took = self._took or found is not None
        return found

    def _start(self, request: Request, kind: Kind) -> None:
        match request:
            case Simple.PING:
                self._due.say(pong)
            case Simple.HELP:
                self._due.say(help_text)
            case Simple.HELLO:
                self._due.say(self._hello())
            case Simple.STATS:
                self._due.say(render_stats(self._driver.stats()))
            case Simple.QUIT:
                self._ending = True
            case Auth():
                self._authenticate(request)
            case _:
                self._submit(request, kind)

    def _hello(self) -> bytes:
        needs_auth = self._door.authenticate is not None
        return render_hello(__version__, self._door.limits.max_message, needs_auth=needs_auth)

    def _authenticate(self, request: Auth) -> None:
        authenticate = self._door.authenticate
        if authenticate is None or authenticate(request.token):
            self._parser.locked = False
            self._due.say(ok)
        else:
            self._refuse(Unauthorized("the token is not one of this server's"))

    def _refuse(self, refusal: Refusal) -> None:
        self._driver.count_refused(listener_name, refusal.code)
        self._due.say(render_refusal(refusal))
        if isinstance(refusal, Framing):
            self._ending = True

    def _submit(self, command: Command, kind: Kind) -> None:
        if self._half_closed and isinstance(command, Get):
            command = replace(command, wait_s=0.0)
        body_bytes = len(command.body) if isinstance(command, Push) else 0
        due = self._due.start(kind, body_bytes, ack_now=isinstance(command, Get) and command.ack_now)
        due.ticket = self._driver.submit(command, partial(self._answered, due))

    def _answered(self, due: Due, outcome: Outcome) -> None:
        self._due.answer(due, outcome)
        if self._due.in_flight:
            self._door.soon(self)  # more may be answered in this turn: one write for all of them
        else:
            self.advance()

    # The connection.

    def _go_on(self, *, starved: bool) -> None:
        self._watch_the_time(client_owes=starved and self._parser.mid_request)
        # Reading goes on for a while although nothing can be started: only a reader notices that its client left.
        may_wait = starved or self._parser.buffered < unparsed_bytes_max
        self._read_on(wanted=may_wait and not self._blocked)
        if not (starved or self._blocked or self._due.in_flight):
            self._door.soon(self)

    def _watch_the_time(self, *, client_owes: bool) -> None:
        if self._took or not client_owes:
            self._took = False
            self._owes_nothing()
        if client_owes:
            self._owes()

    def _owes(self) -> None:
        if self._owes_since_s is None:
            self._owes_since_s = self._door.clock.seconds()
            self._door.looks.begin(self)

    def _owes_nothing(self) -> None:
        self._owes_since_s = None
        self._door.looks.end(self)

    def _patience_s(self) -> float:
        """Return how long the client may owe what it owes: a transfer is judged by whether it stalls."""
        limits, arrived = self._door.limits, 0 if self._closed else self._parser.body_bytes_arrived
        return limits.request_s + arrived / limits.body_bytes_per_second_min

    def _read_on(self, *, wanted: bool) -> None:
        if wanted == self._reading or self._half_closed:
            return
        self._reading = wanted
        if wanted:
            self._stream.resumeProducing()
        else:
            self._stream.pauseProducing()

    def _close(self) -> None:
        """Close so that the last answers arrive: input that nobody reads would make a close destroy them."""
        self._closed = True
        self._owes_nothing()
        self._owes()
        self._stream.unregisterProducer()
        if self._half_closed or not can_half_close(self.transport):
            self._stream.loseConnection()
        else:
            self._read_on(wanted=True)
            self._stream.loseWriteConnection()
