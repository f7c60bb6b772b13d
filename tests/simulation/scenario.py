"""What one seed draws before anything happens: the cluster, its limits, its clients, and which faults there will be."""

from random import Random

from attrs import frozen

from dqtw.core.model import replica
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication import holding, log, progress, session
from dqtw.wire.peer import lanes

letters = "abcde"


@frozen
class Limits:
    """How much one frame carries, and how large a piece is; small ones make a short queue go in many parts."""

    contents_bytes: int = session.contents_bytes_max
    contents_count: int = session.contents_count_max
    fetch_messages: int = session.fetch_messages_max
    fetch_records: int = session.fetch_records_max
    backfills_under_way: int = session.backfills_under_way_max
    deltas_under_way: int = progress.deltas_under_way_max
    read_bytes: int = log.read_bytes_max
    read_entries: int = log.read_entries_max
    changed_records: int = holding.changed_records_max
    digest_ints: int = replica.digest_ints_max
    payload_bytes: int = lanes.payload_bytes_max


@frozen
class Weather:
    """What happens to streams and to clients, and the time that it takes.

    Attributes:
        tail: how often a delay is far longer, by ``tail_s`` at most.
        capacity: how many bytes a stream takes before they are read.
        held: how often a lane is held up, for ``held_s`` at most, so that the others overtake it.
        silent: how often a side is never notified of the end of a stream.
        dial_fail, dial_hang: how often a dial fails, or has no answer.
        client_loss: how often an answer to a client is lost.
        client_repeat: how often a proxy repeats a client's request.
        vanish: how often a client does not wait for its answer.
    """

    delay_s: float = 0.001
    tail: float = 0.0
    tail_s: float = 0.0
    capacity: int = 1024 * 1024
    held: float = 0.0
    held_s: float = 0.0
    silent: float = 0.0
    dial_fail: float = 0.0
    dial_hang: float = 0.0
    client_loss: float = 0.0
    client_repeat: float = 0.0
    vanish: float = 0.0


@frozen
class Scenario:
    """One seed's world.

    Attributes:
        fault_every_s: mean time between two faults; 0: none.
        kinds: which faults there are, each with its weight.
        is_gated: whether a node only loses its memory while all others are ready.
        clock_drift: how far clocks may run off, as a part of their speed.
        is_advertised: whether processes tell their address, so that they may move.
        is_named: whether a node that has moved is found under its old address, too.
        is_clock_set: whether the wall clocks of starting processes agree.
        borrows_keys: whether clients use a key again for another message.
        guesses: whether clients acknowledge messages of which nobody has told them.
    """

    seed: int
    quiet: bool
    nodes: tuple[str, ...]
    copies: int
    size: int
    max_bytes: int
    max_message: int
    lease_s: float
    key_memory_s: float
    push_timeout_s: float
    start_wait_s: float
    drain_timeout_s: float
    duration_s: float
    clients: int
    think_s: float
    key_share: float
    is_advertised: bool
    is_named: bool
    limits: Limits
    weather: Weather
    fault_every_s: float
    kinds: tuple[tuple[str, int], ...]
    is_gated: bool
    clock_drift: float
    is_clock_set: bool
    borrows_keys: bool
    guesses: bool

    def settings(self, node: str, urls: dict[str, str], advertise: str) -> NodeSettings:
        """What a process of this node is told when it starts."""
        return NodeSettings(
            node=node,
            peers={peer: urls[peer] for peer in self.nodes if peer != node},
            copies=self.copies,
            size=self.size,
            max_bytes=self.max_bytes,
            max_message=self.max_message,
            lease_s=self.lease_s,
            push_timeout_s=self.push_timeout_s,
            key_memory_s=self.key_memory_s,
            start_wait_s=self.start_wait_s,
            drain_timeout_s=self.drain_timeout_s,
            advertise=advertise if self.is_advertised else "",
        )


fault_kinds = {
    "cut_one": 4,
    "cut_halves": 3,
    "cut_one_way": 4,
    "cut_ring": 2,
    "break_streams": 8,
    "stall": 4,
    "crash": 8,
    "move": 3,
    "pause": 6,
    "zombie": 5,
    "standby": 2,
    "terminate": 4,
    "terminate_all": 1,
    "rolling": 2,
    "rolling_crash": 2,
    "all_crash": 1,
    "late_holder": 8,
    "all_pause": 1,
    "slow": 3,
}
detour_weight = 6
detour_share = 0.1  # of the seeds; the others draw as if there were no such fault
decline_weight = 6
decline_share = 0.1
borrowed_keys_share = 0.1
guess_share = 0.15


def draw(seed: int) -> Scenario:
    """Draw a seed's world."""
    random = Random(f"{seed}/scenario")
    quiet = seed % 5 == 0
    nodes = tuple(letters[: random.choice([1, 2, 2, 3, 3, 3, 3, 3, 4, 5])])
    kinds = tuple((kind, weight) for kind, weight in fault_kinds.items() if random.random() < 0.6)
    if len(nodes) == 1:  # nobody is there who could fence a second process
        kinds = tuple((kind, weight) for kind, weight in kinds if kind not in ("zombie", "standby"))
    if Random(f"{seed}/detours").random() < detour_share:
        kinds = (*kinds, ("detour", detour_weight))
    if Random(f"{seed}/declined").random() < decline_share:
        kinds = (*kinds, ("decline", decline_weight))
    weather = Weather(delay_s=random.choice([0.0005, 0.002, 0.02])) if quiet else _weather(random)
    return Scenario(
        seed=seed,
        quiet=quiet,
        nodes=nodes,
        copies=random.choice([len(nodes), random.randint(1, len(nodes))]),
        size=random.choice([1, 2, 3, 5, 8, 16, 64, 1000]),
        max_bytes=random.choice([2**30, 2**30, 400]),
        max_message=random.choice([1024, 1024, 100]),
        lease_s=Random(f"{seed}/lease").choice([60.0, 60.0, 60.0, 0.3]),
        key_memory_s=random.choice([600.0, 600.0, 20.0, 3.0]),
        push_timeout_s=random.choice([10.0, 10.0, 2.0, 0.3]) if not quiet else 10.0,
        start_wait_s=random.choice([30.0, 10.0, 4.0]),
        drain_timeout_s=random.choice([60.0, 20.0, 5.0, 1.0]),
        duration_s=random.choice([15.0, 25.0, 40.0]),
        clients=random.choice([2, 4, 8, 12]),
        think_s=random.choice([0.2, 0.5, 1.0]),
        key_share=random.choice([0.1, 0.5, 0.9]),
        is_advertised=random.random() < 0.7,
        is_named=random.random() < 0.5,
        limits=_limits(random),
        weather=weather,
        fault_every_s=0.0 if quiet else random.choice([1.5, 3.0, 6.0]),
        kinds=() if quiet else kinds or (("crash", 1),),
        is_gated=random.random() < 0.4,
        clock_drift=0.0 if quiet else random.choice([0.0, 0.0, 0.02, 0.2]),
        is_clock_set=random.random() < 0.6,
        borrows_keys=Random(f"{seed}/borrowed keys").random() < borrowed_keys_share,
        guesses=Random(f"{seed}/guesses").random() < guess_share,
    )


def _limits(random: Random) -> Limits:
    if random.random() < 0.4:
        return Limits()
    return Limits(
        contents_bytes=random.choice([1, 200, 1024 * 1024]),
        contents_count=random.choice([1, 2, 5]),
        fetch_messages=random.choice([1, 3, 10]),
        fetch_records=random.choice([1, 3, 10]),
        backfills_under_way=random.choice([1, 2, 4]),
        deltas_under_way=random.choice([1, 2, 16]),
        read_bytes=random.choice([1, 200, 1024 * 1024]),
        read_entries=random.choice([1, 3, 10]),
        changed_records=random.choice([1, 2, 10]),
        digest_ints=random.choice([2, 4, 10]),
        payload_bytes=random.choice([50, 300, 64 * 1024]),
    )


def _weather(random: Random) -> Weather:
    def rate(*choices: float) -> float:
        return random.choice([0.0, *choices])

    return Weather(
        delay_s=random.choice([0.0005, 0.002, 0.02, 0.1, 0.2]),
        tail=rate(0.01, 0.1),
        tail_s=random.choice([0.3, 2.0, 8.0]),
        capacity=random.choice([1024 * 1024, 64 * 1024, 2000]),
        held=rate(0.02, 0.2),
        held_s=random.choice([0.05, 0.5, 2.0]),
        silent=rate(0.1, 0.5),
        dial_fail=rate(0.05, 0.3),
        dial_hang=rate(0.05, 0.3),
        client_loss=rate(0.01, 0.1),
        client_repeat=rate(0.01, 0.1),
        vanish=rate(0.02, 0.1),
    )
