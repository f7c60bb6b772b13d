"""Every command that a process is carrying out, for a client of its own or for a peer's."""

from collections.abc import Iterator

from attrs import define

from dqtw.core.model.commands import Ack, Command, Complete, Get
from dqtw.core.model.message import MessageId
from tests.simulation.process import Process


@define(eq=False)
class Request:
    """One command at one process; a ticket below 0: a peer has forwarded it.

    Attributes:
        begun_at: in the world's time.
    """

    command: Command
    process: Process
    ticket: int
    begun_at: float

    @property
    def is_forwarded(self) -> bool:
        """Return True if a peer has forwarded it."""
        return self.ticket < 0


class Requests:
    """Those that have no answer yet, and those that were answered in the present turn."""

    def __init__(self) -> None:
        self._open: dict[Process, dict[int, Request]] = {}
        self._just_ended: list[Request] = []

    def begin(self, request: Request) -> None:
        """Note a request that has come to a process; one that is carried out again is known already."""
        self._open.setdefault(request.process, {}).setdefault(request.ticket, request)

    def end(self, process: Process, ticket: int) -> Request | None:
        """Note that it is answered, or forgotten."""
        request = self._open.get(process, {}).pop(ticket, None)
        if request is not None:
            self._just_ended.append(request)
        return request

    def find(self, process: Process, ticket: int) -> Request | None:
        """Return the request of this ticket."""
        return self._open.get(process, {}).get(ticket)

    def begin_turn(self) -> None:
        """Forget what was answered in earlier turns."""
        self._just_ended.clear()

    def die(self, process: Process) -> None:
        """Forget a process that has died."""
        self._open.pop(process, None)

    def of(self, process: Process) -> list[Request]:
        """Return what has no answer yet there."""
        return list(self._open.get(process, {}).values())

    def now_at(self, process: Process) -> Iterator[Request]:
        """Return what a process may have worked on in the present turn."""
        yield from self._open.get(process, {}).values()
        yield from (each for each in self._just_ended if each.process is process)

    def remover(self, process: Process, id: MessageId) -> Request | None:
        """Return a request for which a process may have removed a message in the present turn."""
        for request in self.now_at(process):
            command = request.command
            if isinstance(command, Ack) and command.id == id:
                return request
            if isinstance(command, Complete) and command.receipt.id == id:
                return request
            if isinstance(command, Get) and command.ack_now and not request.is_forwarded:
                return request
        return None
