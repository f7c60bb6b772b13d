"""What the core asks of the world around it."""

from typing import TypeAlias

from attrs import frozen

from dqtw.core.commands import Outcome


@frozen
class Answer:
    """Tell the client that holds this ticket."""

    ticket: int
    outcome: Outcome


Effect: TypeAlias = Answer
