"""How clusters come together: in any order, of any members, and with whom they will have nothing to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.patched import patched_twistd
from tests.process.node import free_ports


@pytest.mark.parametrize("order", ["abc", "cab", "ecbda"])
def test_a_first_start_needs_no_order(cluster_of: Callable[..., Cluster], order: str) -> None:
    cluster = cluster_of(*sorted(order))
    for id in order:
        cluster.launch(id)
        wait_for(lambda id=id: "starts as" in cluster[id].log, f"{id} does not start")  # type: ignore[misc]
    cluster.wait_whole()
    assert cluster.push("a", "x").startswith("a.")
    assert cluster.health("a", "push")["copies"] == len(order)


def test_five_nodes_may_start_at_once(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of(*"abcde").start().wait_whole()
    for id in "abcde":
        cluster.push(id, id)
    wait_for(lambda: held_by("e", cluster) == {"a": 1, "b": 1, "c": 1, "d": 1}, "e lacks a copy", story=cluster.story)


def held_by(id: str, cluster: Cluster) -> dict[str, int]:
    """How many messages of each other node's queue that node holds."""
    return {owner: copy["messages"] for owner, copy in cluster.stats(id)["copies"].items()}


# Members whose lists differ.


def one_that_knows_more(cluster_of: Callable[..., Cluster]) -> Cluster:
    """Three nodes of which b alone has heard of d, who is not there yet; all serve, each in session with the others."""
    cluster = cluster_of(options=("--copies=3", "--start-wait=4"))
    (nobody,) = free_ports(1)
    cluster.launch("a")
    cluster.launch("b", f"--peer=d=http://127.0.0.1:{nobody}")
    cluster.launch("c")
    for id in "abc":
        wait_for(lambda id=id: serves(id, cluster), f"{id} does not serve", story=cluster.story)  # type: ignore[misc]
    return cluster


def test_lists_of_members_that_differ_are_accepted_and_told(cluster_of: Callable[..., Cluster]) -> None:
    cluster = one_that_knows_more(cluster_of)
    assert differing("a", cluster) == differing("c", cluster) == {"b"}
    assert differing("b", cluster) == {"a", "c"}
    said = "b has other members: a, b, c, d; here: a, b, c"
    wait_for(lambda: said in cluster["a"].log, "a does not log it", story=cluster.story)
    said_by_b = "a has other members: a, b, c; here: a, b, c, d"
    wait_for(lambda: said_by_b in cluster["b"].log, "b does not log it", story=cluster.story)
    cluster.wait_ready("a", "c")
    for id in "abc":
        cluster.push(id, "x")


def test_a_node_that_knows_more_members_than_its_peers_becomes_ready(cluster_of: Callable[..., Cluster]) -> None:
    cluster = one_that_knows_more(cluster_of)
    wait_for(lambda: cluster.is_ready("b"), "b is not ready", seconds=8, story=cluster.story)


def serves(id: str, cluster: Cluster) -> bool:
    """Whether a node serves, in session with all of its peers that there are."""
    return cluster.is_answering(id) and cluster.stats(id)["state"] == "serving" and meets(id, cluster)


def meets(id: str, cluster: Cluster) -> bool:
    """Whether a node is in session with all of its peers that there are."""
    peers = cluster.stats(id)["peers"]
    return all(peer["state"] == "in_session" for other, peer in peers.items() if other in cluster.ids)


def differing(id: str, cluster: Cluster) -> set[str]:
    """The peers that have told a node of other members than its own."""
    return {peer for peer, known in cluster.stats(id)["peers"].items() if known["members_differ"]}


# Nodes that are kept out, and say why.


def kept_out(cluster: Cluster, *options: str, twistd: str = "") -> str:
    """Why a starting node is kept out by two that take no notice of it, as its stats and its log tell."""
    cluster.launch("b")
    cluster.launch("c")
    node = cluster.launch("a", *options, twistd=twistd)
    wait_for(lambda: "REST on" in node.log, "a does not answer", story=cluster.story)
    wait_for(lambda: refused_by(cluster) == {"b", "c"}, "not all peers refuse", story=cluster.story)
    ready = node.request("GET", "/health/ready")
    assert (ready.status, ready.json["reasons"], ready.json["in_session"]) == (503, ["starting"], 0)
    assert node.request("POST", "/push", b"x").json["code"] == "starting"
    wait_for(lambda: "starting: " in node.log and " refuses " in node.log, "a does not log why", story=cluster.story)
    assert "in_session" not in (state("b", "a", cluster), state("c", "a", cluster))
    return " ".join(cluster.stats("a")["waiting_for"])


def refused_by(cluster: Cluster) -> set[str]:
    """Return the peers that refuse a, or are refused by it."""
    said = [reason for reason in cluster.stats("a")["waiting_for"] if " refuses " in reason]
    return {word for reason in said for word in reason.split(":")[0].split(" ") if word in ("b", "c")}


def state(id: str, peer: str, cluster: Cluster) -> Any:
    """How a node stands with one of its peers."""
    return cluster.stats(id)["peers"][peer]["state"]


def test_another_secret_keeps_a_node_out(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of()
    for name in ("one", "other"):
        (cluster.directory / name).write_text(name * 10)
    cluster.with_options(f"--peer-secret-file={cluster.directory / 'one'}")
    assert "secret" in kept_out(cluster, f"--peer-secret-file={cluster.directory / 'other'}")


def test_another_cluster_keeps_a_node_out(cluster_of: Callable[..., Cluster]) -> None:
    why = kept_out(cluster_of(), "--cluster=another")
    assert "that is the cluster dqtw, not another" in why or "that is the cluster another, not dqtw" in why


speaks_another_version = """
from dqtw.core.links import network, streams

network.protocol_version = 3
"""


def test_another_version_of_the_peer_protocol_keeps_a_node_out(
    cluster_of: Callable[..., Cluster], tmp_path: Path
) -> None:
    newer = patched_twistd(tmp_path / "newer", speaks_another_version)
    why = kept_out(cluster_of(), twistd=newer)
    assert "speaks version 2, not 3" in why or "speaks version 3, not 2" in why


# Options that no node starts with.


def refused(cluster: Cluster, *options: str) -> str:
    """The one line with which a node refuses to start."""
    node = cluster.launch("a", *options)
    assert node.wait() == 1
    (line,) = [line for line in node.log.splitlines() if "--" in line]
    return line


def test_a_cluster_that_strangers_can_reach_needs_a_secret(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of()
    (port,) = free_ports(1)
    assert "--peer-secret-file" in refused(cluster, f"--peer-listen=tcp:{port}")
    assert "--peer-listen" in refused(cluster, f"--peer-listen=tcp:{port}")


def test_a_secret_that_is_none_is_refused(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of()
    (secret := cluster.directory / "secret").write_text("short")
    assert "--peer-secret-file" in refused(cluster, f"--peer-secret-file={secret}")
