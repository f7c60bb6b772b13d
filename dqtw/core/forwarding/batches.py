"""Commands that share one forward: put together by the node that asks, and taken apart by the one that does them.

Each keeps an outcome of its own, as if it had been forwarded alone.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from attrs import define

from dqtw.core.links.peer_messages import Failed, Forwarded, PeerAnswer
from dqtw.core.links.peers import Peer, Then
from dqtw.core.model.commands import Batch, Batchable, Forwardable, Outcome, Outcomes, batch_count_max

Ask: TypeAlias = Callable[[float, Peer, Forwardable, Then], None]


@define
class Pile:
    """Commands of one kind for one owner, and who takes what became of each."""

    peer: Peer
    commands: list[Batchable]
    takers: list[Then]


class Piles:
    """What came up for other nodes since the last forwards were made up.

    Commands of one kind share a forward: they are answered at about the same time, so that none waits for another.

    Args:
        ask: forwards to a peer.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._piles: dict[tuple[str, type[Batchable]], Pile] = {}

    def __len__(self) -> int:
        return len(self._piles)

    def add(self, peer: Peer, command: Batchable, then: Then) -> None:
        """Let a peer do it; ``then`` gets its own answer, or what is known when there is none."""
        pile = self._piles.get((peer.id, type(command)))
        if pile is None:
            pile = self._piles[peer.id, type(command)] = Pile(peer, [], [])
        pile.commands.append(command)
        pile.takers.append(then)

    def send(self, now: float) -> None:
        """Make up the forwards."""
        piles, self._piles = self._piles, {}
        for pile in piles.values():
            for at in range(0, len(pile.commands), batch_count_max):
                until = at + batch_count_max
                self._send(now, pile.peer, pile.commands[at:until], pile.takers[at:until])

    def _send(self, now: float, peer: Peer, commands: list[Batchable], takers: list[Then]) -> None:
        if len(commands) == 1:
            self._ask(now, peer, commands[0], takers[0])
        else:
            self._ask(now, peer, Batch(tuple(commands)), partial(_deal_out, takers))


def _deal_out(takers: list[Then], now: float, answer: PeerAnswer) -> None:
    for taker, each in zip(takers, _answers(answer, len(takers)), strict=True):
        taker(now, each)


def _answers(answer: PeerAnswer, count: int) -> list[PeerAnswer]:
    """What each of a batch's commands was answered; what is said of the batch is said of each."""
    if not isinstance(answer, Forwarded) or not isinstance(answer.outcome, Outcomes):
        return [answer] * count
    outcomes = answer.outcome.outcomes
    if len(outcomes) != count:
        return [Failed(f"{len(outcomes)} outcomes of {count} commands")] * count
    return [Forwarded(outcome) for outcome in outcomes]


@define
class Gathering:
    """A batch that is being carried out, and what its commands came to so far."""

    ticket: int
    outcomes: list[Outcome | None]
    missing_count: int


class Batches:
    """The batches that this node carries out for others.

    Args:
        reply: answers a batch when all its commands have their outcomes.
    """

    def __init__(self, reply: Callable[[int, Outcomes], None]) -> None:
        self._reply = reply
        self._parts: dict[int, tuple[Gathering, int]] = {}
        self._last = 0

    def begin(self, ticket: int, batch: Batch) -> list[tuple[int, Batchable]]:
        """Take a batch apart: its commands, each with a ticket of its own, below 0, as no other ticket is."""
        count = len(batch.commands)
        gathering = Gathering(ticket, [None] * count, count)
        if not count:
            self._reply(ticket, Outcomes(()))
        first = self._last - 1
        self._last -= count
        tickets = [first - place for place in range(count)]
        self._parts.update((part, (gathering, place)) for place, part in enumerate(tickets))
        return list(zip(tickets, batch.commands, strict=True))

    def take(self, ticket: int, outcome: Outcome) -> bool:
        """Take what a command came to; False when this is no ticket of a batch's."""
        part = self._parts.pop(ticket, None)
        if part is None:
            return False
        gathering, place = part
        gathering.outcomes[place] = outcome
        gathering.missing_count -= 1
        if not gathering.missing_count:
            self._reply(gathering.ticket, Outcomes(tuple(each for each in gathering.outcomes if each is not None)))
        return True
