"""The judge is judged: an owner that answers a push before its peers have it is caught, and an honest one is not."""

from collections.abc import Callable
from pathlib import Path

from dqtw.check.judge import Finding
from dqtw.check.load import Habits
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.loaded import judged, load
from tests.cluster.patched import patched_twistd
from tests.process.node import twistd

answers_at_once = """
from dqtw.core.replication.replicator import Replicator

assert callable(Replicator.committed)
Replicator.committed = lambda replicator: replicator.pushes.reach(replicator.log.end)
assert callable(Replicator.check_enough)
Replicator.check_enough = lambda replicator: None
"""
clients = 6
only_pushes = Habits(timeout_s=3.0, pushes=1.0, keyed=0.0)


def lost_with_an_owner_that_was_cut_off(cluster: Cluster) -> Finding:
    """What is lost when an owner goes on for a while with no way to its peers, and is killed."""
    assert cluster.relays is not None
    with load(cluster, clients, only_pushes, seed="cheat") as run:
        run.addresses[:] = cluster.places["a"].addresses
        pushed = pushes(cluster) + 50
        wait_for(lambda: pushes(cluster) > pushed, "nobody pushes through a", story=cluster.story)
        cluster.relays.cut(["a"], ["b", "c"])
        since = pushes(cluster)
        wait_for(lambda: pushes(cluster) > since + 100 or all_wait(cluster), "the cut has no effect")
        wait_for(lambda: not any(cluster.stats(id)["peers"]["a"]["up"] for id in "bc"), "the links do not end")
        run.recorder.fault("kill a")
        cluster.kill("a")
        cluster.relays.heal()
        cluster.launch("a")
        cluster.wait_whole()
        run.addresses[:] = cluster.addresses
    (lost,) = [finding for finding in judged(cluster).findings if finding.name == "lost"]
    return lost


def pushes(cluster: Cluster) -> int:
    """How many pushes a has answered with success."""
    return int(cluster.stats("a")["pushed"])


def all_wait(cluster: Cluster) -> bool:
    """Whether every client has a push at a that has no answer yet."""
    return bool(cluster.stats("a")["waiting"] >= clients)


def with_relays(cluster_of: Callable[..., Cluster], program: str) -> Cluster:
    return cluster_of(options=("--push-timeout=5",), twistd=program, with_relays=True).start().wait_whole()


def test_an_owner_that_answers_before_its_peers_have_it_is_caught(
    cluster_of: Callable[..., Cluster], tmp_path: Path
) -> None:
    cheat = patched_twistd(tmp_path / "cheat", answers_at_once)
    lost = lost_with_an_owner_that_was_cut_off(with_relays(cluster_of, cheat))
    assert lost.count > 0
    assert lost.is_violation


def test_an_owner_that_waits_for_its_peers_loses_nothing_that_way(cluster_of: Callable[..., Cluster]) -> None:
    assert lost_with_an_owner_that_was_cut_off(with_relays(cluster_of, twistd)).count == 0
