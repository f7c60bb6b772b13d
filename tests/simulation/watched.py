"""A node whose commands and answers can be seen, those that peers have forwarded included."""

from collections.abc import Callable, Iterable

from dqtw.core.effects import Answer
from dqtw.core.links.link import Link
from dqtw.core.model.commands import Command, GiveBack
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node


class Watched(Node):
    """The core as it is; the checker reads and empties the lists at the end of each turn.

    Attributes:
        begun: commands that were begun, by ticket; a ticket below 0 is a peer's.
        reached: the answers, and the deliveries that were undone because they reached no client, in order.
        ended: why links have ended, with the node at the other end of each.
    """

    def __init__(self, now: float, settings: NodeSettings, entropy: Callable[[int], bytes], wall_ms: int) -> None:
        self.begun: list[tuple[int, Command]] = []
        self.reached: list[Answer | GiveBack] = []
        self.ended: list[tuple[str, str]] = []
        super().__init__(now, settings, entropy, wall_ms)

    def _carry_out(self, now: float, ticket: int, command: Command) -> None:
        self.begun.append((ticket, command))
        super()._carry_out(now, ticket, command)

    def _answer(self, answers: Iterable[Answer]) -> None:
        for each in answers:
            self.reached.append(each)
            super()._answer([each])

    def _undo(self, now: float, give_backs: Iterable[GiveBack]) -> None:
        listed = list(give_backs)
        self.reached += listed
        super()._undo(now, listed)

    def _link_down(self, now: float, link: Link, why: str) -> None:
        self.ended.append((link.node, why))
        super()._link_down(now, link, why)
