"""How long a request may take, by the clock of its process."""

from dqtw.core.model.commands import Ack, Command, Complete, Get, Push
from tests.simulation.clock import Clock
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.requests import Requests
from tests.simulation.scenario import Scenario
from tests.simulation.violation import require

late_s = 1.0
park_s = 10.0
removal_s = 10.0
loss_s = 5.0  # 4 s, and a fifth more or less by clocks that run off
steady_s = 10.0


class Patience:
    """Looks at the requests that have no answer."""

    def __init__(
        self, scenario: Scenario, clock: Clock, requests: Requests, network: Network, processes: list[Process]
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self._requests = requests
        self._network = network
        self._processes = processes

    def check(self, process: Process) -> None:
        """Look at what a process has not answered.

        Raises:
            Violation: a request has waited for too long.
        """
        for request in self._requests.of(process):
            waits_s = process.now - process.at(max(request.begun_at, process.paused_at))
            may_s = self._may_s(request.command) + late_s
            require(waits_s <= may_s, f"{process} has not answered {request.command} for {waits_s:.1f} s")
            if isinstance(request.command, Ack) and request.command.id.node == process.id and waits_s > loss_s:
                self._check_removal(process, request.command)

    def _may_s(self, command: Command) -> float:
        match command:
            case Push():
                home_s = park_s if command.key is not None else 0.0
                return command.wait_s + home_s + self._scenario.push_timeout_s + 1.0
            case Get():
                return command.wait_s + 2 * park_s + removal_s
            case Ack() | Complete():
                return park_s + removal_s
        return park_s

    def _check_removal(self, owner: Process, ack: Ack) -> None:
        """See that a removal waits no longer than 4 s for peers that are lost, or well."""
        now, node = self._clock.now, owner.node
        if ack.id[1:] not in node.replicator.removals:
            return
        for peer in self._processes:
            if peer.id == owner.id:
                if peer is not owner and peer.is_alive:
                    return
                continue
            died_s = now - peer.died_at if peer.died_at is not None else 0.0
            is_lost = died_s > loss_s
            is_well = self._network.is_clean(owner, peer, now - steady_s) and peer.node.life.is_serving
            if not is_lost and not is_well:
                return
        require(False, f"{owner} has not answered {ack}, and each peer is well, or was lost long ago")
