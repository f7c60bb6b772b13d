"""How the REST API asks the node: for many things at once, and for a client that may go away.

A refusal of the node is returned as an outcome. So a refusal that is raised comes from the listener itself.
"""

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred

from dqtw.core.model.commands import Command, Delivered, Get, Outcome
from dqtw.core.model.errors import Refusal
from dqtw.driver import Driver, Ticket
from dqtw.net.http.request import BoundedRequest


async def ask(driver: Driver, command: Command) -> Outcome:
    """Ask for one thing. Cancelling withdraws it."""
    try:
        return await driver.ask(command)
    except Refusal as refusal:
        return refusal


def ask_all(driver: Driver, commands: Sequence[Command | Refusal]) -> Deferred[list[Outcome]]:
    """Ask for all in this turn; fires with one outcome for each, in their order. A refusal is its own outcome.

    Cancelling withdraws all of them.
    """
    return _Batch(driver, commands).outcomes


async def ask_while_watched(driver: Driver, request: BoundedRequest, get: Get) -> Outcome:
    """Wait for messages only as long as this server would notice that the client went away.

    After that, what is ready is delivered, but nothing is waited for: nothing is leased to a client that may be gone.
    """
    if request.is_unwatched:
        get = replace(get, wait_s=0.0)
    asked = driver.ask(get)
    if get.wait_s > 0:
        request.when_unwatched(asked.cancel)
    try:
        return await asked
    except CancelledError:
        return Delivered()
    except Refusal as refusal:
        return refusal


class _Batch:
    """Commands of one request, and those of their outcomes that are there."""

    def __init__(self, driver: Driver, commands: Sequence[Command | Refusal]) -> None:
        self.outcomes: Deferred[list[Outcome]] = Deferred(self._withdraw)
        self._driver = driver
        self._outcomes: list[Outcome | None] = [None] * len(commands)
        self._missing_count = len(commands)
        self._tickets: list[Ticket] = []
        for place, command in enumerate(commands):
            self._start(place, command)
        if not commands:
            self.outcomes.callback([])

    def _start(self, place: int, command: Command | Refusal) -> None:
        if isinstance(command, Refusal):
            self._take(place, command)
        else:
            self._tickets.append(self._driver.submit(command, lambda outcome: self._take(place, outcome)))

    def _take(self, place: int, outcome: Outcome) -> None:
        self._outcomes[place] = outcome
        self._missing_count -= 1
        if not self._missing_count:
            self.outcomes.callback(cast(list[Outcome], self._outcomes))

    def _withdraw(self, _: Deferred[list[Outcome]]) -> None:
        for ticket in self._tickets:
            self._driver.withdraw(ticket)
