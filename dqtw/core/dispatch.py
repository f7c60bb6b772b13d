"""Where a command is carried out: here, at another node, or here once the peers have confirmed this process."""

from typing import Final

from dqtw.core.effects import Answer
from dqtw.core.forwarding.outbound import Outbound
from dqtw.core.forwarding.placement import home_of
from dqtw.core.lifecycle.lifecycle import Lifecycle, Phase
from dqtw.core.lifecycle.ownership import Ownership
from dqtw.core.links.cluster import Cluster
from dqtw.core.model.commands import Ack, ById, Command, Get, Inspect, Push
from dqtw.core.model.errors import OwnerDown, Refusal, Starting, Unknown
from dqtw.core.model.message import MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.queue.owner import Owner
from dqtw.core.replication.holder import Holder

get_patience_s: Final = 10.0  # how long a get that does not wait may take to ask every peer


class Dispatch:
    """The way of a command. A ticket below 0 is a peer's: its command goes no further."""

    def __init__(
        self,
        settings: NodeSettings,
        owner: Owner,
        holder: Holder,
        outbound: Outbound,
        ownership: Ownership,
        life: Lifecycle,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._holder = holder
        self._outbound = outbound
        self._ownership = ownership
        self._life = life

    def carry_out(self, now: float, ticket: int, command: Command, cluster: Cluster) -> list[Answer]:
        """Carry out a command, or begin to; return the answers that are known at once, of this and of others."""
        try:
            match command:
                case Push():
                    return self._push(now, ticket, command, cluster)
                case Get():
                    return self._get(now, ticket, command, cluster)
                case Ack() | Inspect():
                    return self._by_id(now, ticket, command, command.id, cluster)
                case _:
                    return self._by_id(now, ticket, command, command.receipt.id, cluster)
        except Refusal as refusal:
            return [Answer(ticket, refusal)]

    def _push(self, now: float, ticket: int, push: Push, cluster: Cluster) -> list[Answer]:
        self._check_serving()
        if push.key is not None:
            home = home_of(push.key, self._settings.members)
            if home != self._settings.node and ticket > 0:
                self._outbound.forward(now, ticket, cluster.current(home), push)
                return []
        if self._ownership.must_wait(push, cluster, self._owner.replicator):
            self._ownership.park(now, ticket, push)
            return []
        return self._owner.push(now, ticket, push)

    def _get(self, now: float, ticket: int, get: Get, cluster: Cluster) -> list[Answer]:
        self._check_serving()
        if self._ownership.must_wait(get, cluster, self._owner.replicator):
            self._ownership.park(now, ticket, get)
            return []
        if self._owner.queue.ready or ticket < 0 or not self._settings.peers:
            return self._owner.get(now, ticket, get)
        self._owner.poll(now, ticket, get, get.wait_s or get_patience_s)
        nodes = [each.owner for each in self._holder.others if each.replica.count]
        self._outbound.seek(self._owner.polls.get(ticket), nodes)
        return []

    def _by_id(self, now: float, ticket: int, command: ById, id: MessageId, cluster: Cluster) -> list[Answer]:
        if self._life.phase is Phase.FENCED:
            raise self._life.refusal()
        if id.node != self._settings.node:
            if id.node not in self._settings.peers:
                raise OwnerDown(f"{id.node} is not a member of this cluster, as far as this node knows")
            self._outbound.forward(now, ticket, cluster.current(id.node), command)
            return []
        if self._life.phase is Phase.STARTING:
            raise self._life.refusal()
        if self._ownership.must_wait(command, cluster, self._owner.replicator):
            self._ownership.park(now, ticket, command)
            return []
        try:
            return self._owner.by_id(now, ticket, command)
        except Unknown:
            self._check_elsewhere(id, cluster)
            raise

    def _check_elsewhere(self, id: MessageId, cluster: Cluster) -> None:
        """See that a message that is not here cannot be with a peer.

        Raises:
            Starting: a peer that is present is still being recovered.
            OwnerDown: a peer that may have it is away.
        """
        replicator = self._owner.replicator
        if id.incarnation == replicator.incarnation or id[1:] in replicator.holding.replica.seen:
            return
        progress = replicator.progress
        missing = [
            each for each in cluster.members.values() if each.id not in progress or not progress[each.id].is_recovered
        ]
        if any(member.is_present for member in missing):
            raise Starting("a peer may have this message, and is still being recovered")
        if missing:
            raise OwnerDown(f"this message may be with a node that is away: {missing[0].id}")

    def _check_serving(self) -> None:
        if not self._life.is_serving:
            raise self._life.refusal()
