"""What a node is told when it starts."""

from collections.abc import Mapping

from attrs import field, frozen

from dqtw.core.model.message import body_bytes_default_max


@frozen
class SharedSettings:
    """The settings that should be the same on all nodes of a cluster; attributes as in `NodeSettings`."""

    copies: int
    max_message: int
    key_memory_s: float

    @property
    def by_option(self) -> dict[str, float]:
        """Return the values by the names of the options, as peers send them."""
        return {"--copies": self.copies, "--max-message": self.max_message, "--key-memory": self.key_memory_s}

    def differences(self, theirs: "SharedSettings") -> tuple[str, ...]:
        """Return one text for each setting that is another one at a peer."""
        return self.differences_by_option(theirs.by_option)

    def differences_by_option(self, theirs: Mapping[str, float]) -> tuple[str, ...]:
        """Return one text for each setting that is another one at a peer; options that only it knows do not count."""
        return tuple(
            f"{option} is {theirs[option]:.15g} there and {here:.15g} here"
            for option, here in self.by_option.items()
            if option in theirs and theirs[option] != here
        )


@frozen
class NodeSettings:
    """One node's settings; the same names as the command line's options.

    Attributes:
        node: this node's id, unique in the cluster.
        cluster: the cluster's name; peers of another name are refused.
        peers: the other members, id to URL.
        copies: how many nodes, this one included, must hold a message before its push is answered.
        size: the bound, in messages.
        max_message: largest body, in bytes.
        max_bytes: largest total of the bodies on this node's queue, in bytes.
        max_waiting: how many requests may wait for a message or for a slot at once.
        lease_s: how long a delivery is somebody's, if its get does not say.
        max_lease_s: the longest lease, touch, or delay of a nack.
        push_timeout_s: how long a push may wait for its copies.
        key_memory_s: how long a removed message's key is remembered.
        start_wait_s: after so long a start serves with what it has, if nobody it lacks can be reached.
        drain_timeout_s: after so long who is leaving goes, whatever nobody else holds.
        advertise: the URL at which peers reach this node; empty: they use what they were configured with.
    """

    node: str = "node"
    cluster: str = "dqtw"
    peers: dict[str, str] = field(factory=dict)
    copies: int = 1
    size: int = 4096
    max_message: int = body_bytes_default_max
    max_bytes: int = 2**30
    max_waiting: int = 10_000
    lease_s: float = 60.0
    max_lease_s: float = 43200.0
    push_timeout_s: float = 10.0
    key_memory_s: float = 600.0
    start_wait_s: float = 30.0
    drain_timeout_s: float = 60.0
    advertise: str = ""

    @property
    def members(self) -> tuple[str, ...]:
        """All node ids of the cluster, this one included, in order."""
        return tuple(sorted((self.node, *self.peers)))

    @property
    def shared(self) -> SharedSettings:
        """The settings that peers compare with their own."""
        return SharedSettings(self.copies, self.max_message, self.key_memory_s)
