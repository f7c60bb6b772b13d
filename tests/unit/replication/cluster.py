"""A small world for scenarios: nodes, a clock and a network that the test moves by hand; one run is like the next.

Nothing arrives by itself: `Network.settle` delivers what is on its way, `Network.hold` keeps some of it back. A process
is known by its address, so that two of one node id can live side by side. No two share a clock's zero.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from dqtw.core.forwarding.home import home_of
from dqtw.core.model.commands import Ack, Command, Get, Nack, Push
from dqtw.core.model.copy import Copy
from dqtw.core.model.message import MessageId, Receipt
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node

from .network import Gate, Network
from .parts import Process, Ticket

__all__ = ["Cluster", "Gate", "cluster", "keeping", "key_at", "wall_ms_at_start"]

wall_ms_at_start = 1_700_000_000_000


class Cluster(Network):
    """Nodes by address, and tickets for their clients."""

    def __init__(self, *members: str, copies: int = 0, **settings: Any) -> None:
        super().__init__()
        self.members = members
        self.settings = {"copies": copies or len(members), **settings}
        self.random = Random(1)
        self._zero = 0.0

    # Nodes.

    def start(self, name: str, at: str = "", *, wall_ms: int = 0, **changes: Any) -> Node:
        """Start a process, empty; at another address than its node's name, it tells that to its peers."""
        peers = {other: other for other in self.members if other != name}
        settings = NodeSettings(**{"node": name, "peers": peers, "advertise": at, **self.settings, **changes})
        self._zero += 4096.0
        now = self.now + self._zero
        node = Node(now, settings, self.random.randbytes, wall_ms or wall_ms_at_start + int(self.now * 1000))
        self.processes[at or name] = Process(at or name, node, self._zero, now)
        self._carry_out(self.processes[at or name])
        return node

    def __getitem__(self, address: str) -> Node:
        return self.processes[address].node

    def kill(self, address: str) -> None:
        """End a process at once, with all it had in memory; its port refuses connections."""
        del self.processes[address]

    def pause(self, address: str) -> None:
        """Stop a process; what is sent to it waits in its sockets."""
        self.processes[address].is_paused = True

    def resume(self, address: str, *, timers_first: bool = True) -> None:
        """Let a process go on; its reactor runs what is due first, or reads its sockets first."""
        process = self.processes[address]
        process.is_paused = False
        inbox, process.inbox = process.inbox, []
        if timers_first:
            self._run(process, process.node.tick)
        for item in inbox:
            self.deliver(item)

    def drain(self, address: str) -> None:
        """Tell a process to leave."""
        process = self.processes[address]
        self._run(process, process.node.drain)

    def depart(self, address: str) -> None:
        """Tell a process to leave, and keep it, as it lives on while its doors are being shut."""
        process = self.processes[address]
        self.drain(address)
        while address not in self.departed:
            self.settle(0.01)
        self.processes[address] = process

    # Clients.

    def ask(self, address: str, command: Command) -> Ticket:
        """Let a client ask a node for something; the answer comes as things are delivered."""
        process = self.processes[address]
        ticket = Ticket(len(self._tickets))
        self._tickets.append(ticket)
        self._run(process, lambda now: process.node.command(now, ticket.number, command))
        return ticket

    def ask_all(self, address: str, commands: Sequence[Command]) -> list[Ticket]:
        """Let clients ask a node for several things in one turn."""
        process = self.processes[address]
        tickets = [Ticket(len(self._tickets) + place) for place in range(len(commands))]
        self._tickets.extend(tickets)

        def ask(now: float) -> None:
            for ticket, command in zip(tickets, commands, strict=True):
                process.node.command(now, ticket.number, command)

        self._run(process, ask)
        return tickets

    def withdraw(self, address: str, ticket: Ticket) -> bool:
        """The client of a request has gone; whether its request is forgotten, and never answered."""
        process = self.processes[address]
        forgotten: list[bool] = []
        self._run(process, lambda now: forgotten.append(process.node.withdraw(now, ticket.number)))
        return forgotten == [True]

    def push(self, address: str, body: bytes = b"x", **options: Any) -> Ticket:
        return self.ask(address, Push(body, **options))

    def get(self, address: str, **options: Any) -> Ticket:
        return self.ask(address, Get(**options))

    def ack(self, address: str, id: MessageId) -> Ticket:
        return self.ask(address, Ack(id))

    def nack(self, address: str, receipt: Receipt, delay_s: float = 0.0) -> Ticket:
        return self.ask(address, Nack(receipt, delay_s))

    def copy(self, address: str, queue: str) -> Copy:
        """What a node knows of a queue, its own or a peer's."""
        node = self[address]
        return node.owner.copy if queue == node.settings.node else node.holder.held[queue].copy

    def bodies(self, address: str, queue: str) -> list[bytes]:
        """The messages that a node holds of a queue, oldest first."""
        return [message.body for _, message in sorted(self.copy(address, queue).live.items())]

    def in_session(self, address: str) -> list[str]:
        """With which peers a node is in session."""
        return self[address].owner.links.in_session()


def key_at(home: str, world: Cluster, number: int = 0) -> str:
    """A key whose home is that node; another one for each number."""
    return [key for key in map(str, range(999)) if home_of(key, world.members) == home][number]


def cluster(*names: str, copies: int = 0, **settings: Any) -> Cluster:
    """A cluster that has started, and in which every node is ready."""
    made = Cluster(*names, copies=copies, **settings)
    for name in names:
        made.start(name)
    made.settle(1.0)
    assert all(process.node.life.was_ready for process in made.processes.values())
    return made


def keeping(*names: str, **settings: Any) -> Cluster:
    """A cluster as above; its first node's queue has one message, of which that push was answered."""
    made = cluster(*names, **settings)
    push = made.push(names[0], b"kept")
    made.settle()
    assert push.code == "Pushed"
    return made
