"""What this node does for clients of other nodes: each command once, answered to the peer that has forwarded it."""

from collections.abc import Callable

from dqtw.core.effects import Reply
from dqtw.core.forwarding.batches import Batches
from dqtw.core.forwarding.replays import Replays
from dqtw.core.links.peer_messages import Forward, Forwarded
from dqtw.core.model.commands import Batch, Command, Outcome, Outcomes


class Favours:
    """The commands that peers have forwarded and that have no answer yet, by their tickets.

    Args:
        replays: tells which forwards came before.
        send: takes the replies.
    """

    def __init__(self, replays: Replays, send: Callable[[Reply], None]) -> None:
        self._replays = replays
        self._send = send
        self._tickets: set[int] = set()
        self._batches = Batches(self._reply)

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._tickets

    def begin(self, ticket: int, forward: Forward) -> list[tuple[int, Command]]:
        """Take a forward in: the commands that are to be carried out now, each with its ticket; none if refused."""
        refusal = self._replays.refusal(forward)
        if refusal is not None:
            self._send(Reply(ticket, refusal))
            return []
        commands = self._commands(ticket, forward)
        self._tickets.update(each for each, _ in commands)
        return commands

    def _commands(self, ticket: int, forward: Forward) -> list[tuple[int, Command]]:
        if isinstance(forward.command, Batch):
            return [*self._batches.begin(ticket, forward.command)]
        return [(ticket, forward.command)]

    def answer(self, ticket: int, outcome: Outcome) -> bool:
        """Answer one of these; False when the ticket is none of theirs."""
        if ticket not in self._tickets:
            return False
        self._tickets.discard(ticket)
        if not self._batches.take(ticket, outcome):
            self._reply(ticket, outcome)
        return True

    def _reply(self, ticket: int, outcome: Outcome | Outcomes) -> None:
        self._send(Reply(ticket, Forwarded(outcome)))
