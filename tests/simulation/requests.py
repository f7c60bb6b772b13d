"""Every request that a process is carrying out, for a client of its own or for a peer's."""

from collections.abc import Iterator

from attrs import define

from dqtw.core.links.peer_messages import Forward
from dqtw.core.model.commands import Ack, Batch, Command, Complete, Forwardable, Get
from dqtw.core.model.message import MessageId
from tests.simulation.process import Process


@define(eq=False)
class Request:
    """One command at one process.

    Attributes:
        source: the process that has forwarded it; None: a client's own.
        was_waiting: it names a message that waited for its copies then.
    """

    command: Forwardable
    process: Process
    ticket: int
    begun_at: float
    source: Process | None = None
    was_waiting: bool = False


class Requests:
    """Those that have no answer yet."""

    def __init__(self) -> None:
        self._open: dict[Process, dict[int, Request]] = {}
        self._just_ended: list[Request] = []

    def begin(self, request: Request) -> None:
        """A request has come to a process."""
        self._open.setdefault(request.process, {})[request.ticket] = request
        if isinstance(request.command, Ack):
            request.was_waiting = request.process.node.owner.queue.is_waiting(request.command.id)

    def end(self, process: Process, ticket: int) -> Request | None:
        """It is answered, or forgotten."""
        request = self._open.get(process, {}).pop(ticket, None)
        if request is not None:
            self._just_ended.append(request)
        return request

    def find(self, process: Process, ticket: int) -> Request | None:
        """The request of this ticket."""
        return self._open.get(process, {}).get(ticket)

    def begin_turn(self) -> None:
        """What was answered before this turn is over for good."""
        self._just_ended.clear()

    def die(self, process: Process) -> None:
        """Nothing will be answered there."""
        self._open.pop(process, None)

    def of_clients(self, process: Process) -> Iterator[Request]:
        """What clients wait for there."""
        return (request for request in self._open.get(process, {}).values() if request.source is None)

    def takes_out(self, process: Process) -> Request | None:
        """A client's get there that is to remove what it is given."""
        return next((each for each in self.of_clients(process) if _is_taking(each.command)), None)

    def asks_for(self, process: Process, command: Command) -> bool:
        """Whether a client there has asked for just this."""
        ended = [each for each in self._just_ended if each.process is process and each.source is None]
        mine = [*self.of_clients(process), *ended]
        if isinstance(command, Get):
            return any(isinstance(each.command, Get) for each in mine)
        if isinstance(command, Complete):
            return self.takes_out(process) is not None
        return any(each.command == command for each in mine)


def commands_of(forward: Forward) -> tuple[Command, ...]:
    """What a forward asks for: one thing, or several."""
    return forward.command.commands if isinstance(forward.command, Batch) else (forward.command,)


def removed_by(command: Command) -> MessageId | None:
    """The message that a command is to remove."""
    if isinstance(command, Complete):
        return command.receipt.id
    return command.id if isinstance(command, Ack) else None


def _is_taking(command: Forwardable) -> bool:
    return isinstance(command, Get) and command.ack_now
