"""What the documents claim of a cluster, claim by claim."""

import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, wait_for
from tests.process.node import HttpAnswer, RunningNode, free_ports


def receipt_of(node: RunningNode, query: str = "wait=5") -> tuple[str, bytes]:
    answer = node.request("POST", f"/get?{query}")
    assert answer.status == 200, answer
    return answer.headers["Dqtw-Receipt"], answer.body


@pytest.mark.parametrize("order", ["abc", "cab"])
def test_a_first_start_needs_no_order(cluster_of: Callable[..., Cluster], order: str) -> None:
    cluster = cluster_of()
    for id in order:
        cluster.launch(id)
        if id != order[-1]:
            wait_for(lambda id=id: "starts as" in cluster[id].log, f"{id} does not start")  # type: ignore[misc]
    cluster.wait_whole()
    assert cluster.push("a", "x").startswith("a.")


def test_a_push_with_a_peer_dead_is_refused_at_once(three: Cluster) -> None:
    three.kill("c")
    killed = time.monotonic()

    def push() -> HttpAnswer:
        return three["a"].request("POST", "/push", b"x")

    while push().status == 201:
        assert time.monotonic() - killed < 1.5
    asked = time.monotonic()
    answer = push()
    assert (answer.status, answer.json["code"]) == (503, "unreplicated")
    assert time.monotonic() - asked < 0.5
    assert time.monotonic() - killed < 3
    health = three.health("a", "push")
    assert (health["ok"], health["reasons"], health["in_session"]) == (False, ["unreplicated"], 1)


def test_consuming_goes_on_while_a_peer_is_down(three: Cluster) -> None:
    for number in range(20):
        three.push("ab"[number % 2], f"{number}")
    three.kill("c")
    for _ in range(20):
        receipt, _ = receipt_of(three["b"])
        assert three["a"].request("POST", f"/ack/{receipt}").status == 204
    assert three["b"].request("POST", "/get").status == 204


def wake(cluster: Cluster) -> float:
    """How long after a push on one node was answered a poll that waits on another has the message."""
    woken: list[float] = []

    def poll() -> None:
        receipt_of(cluster["b"], "wait=10&ack=now")
        woken.append(time.monotonic())

    thread = threading.Thread(target=poll)
    thread.start()
    wait_for(lambda: cluster.stats("b")["waiting_polls"] == 1, "nobody waits")
    cluster.push("a", "x")
    pushed = time.monotonic()
    thread.join()
    return woken[0] - pushed


def test_a_waiting_poll_is_woken_by_a_push_on_another_node(shared: Cluster) -> None:
    assert min(wake(shared) for _ in range(5)) < 0.1


def test_a_get_on_an_empty_node_brings_a_peers_message_at_once(shared: Cluster) -> None:
    for _ in range(5):
        shared.push("a", "x")
    took = []
    for _ in range(5):
        begun = time.monotonic()
        receipt_of(shared["c"], "wait=0&ack=now")
        took.append(time.monotonic() - begun)
    assert min(took) < 0.1


def test_any_node_acknowledges_gives_back_and_touches(shared: Cluster) -> None:
    shared.push("a", "x")
    receipt, _ = receipt_of(shared["b"], "lease=30")
    assert shared["c"].request("POST", f"/touch/{receipt}?lease=20").status == 204
    assert shared["b"].request("POST", f"/nack/{receipt}").status == 204
    with shared["c"].line() as line:
        got = line.get("GET wait=5")
        assert got is not None
        assert line.ask(f"TOUCH {got[0]}") == "OK"
    with shared["b"].line() as line:
        assert line.ask(f"ACK {got[0]}") == "OK"
        assert line.ask(f"ACK {got[0]}").startswith("ERR unknown")


def test_a_keyed_push_repeated_anywhere_is_one_message(shared: Cluster) -> None:
    keyed = {"Idempotency-Key": "k"}
    ids = {shared.push(id, "x", **keyed) for id in "abcab"}
    assert len(ids) == 1
    receipt, _ = receipt_of(shared["b"])
    assert shared["b"].request("POST", f"/ack/{receipt}").status == 204
    assert {shared.push(id, "x", **keyed) for id in "abc"} == ids
    assert shared["c"].request("POST", "/get").status == 204


@pytest.mark.parametrize("moves", [False, True])
def test_a_replacement_has_every_message_of_the_dead(three: Cluster, moves: bool) -> None:
    pushed = {f"{number}" for number in range(300)}
    for body in pushed:
        three.push("a", body)
    for _ in range(10):  # these leases are forgotten
        receipt_of(three["a"], "lease=600")
    three.kill("a")
    if moves:
        three.move("a")
    three.start("a").wait_whole()
    bodies = [receipt_of(three["c"], "wait=5&ack=now")[1].decode() for _ in pushed]
    assert sorted(bodies) == sorted(pushed)
    assert three["a"].request("POST", "/get").status == 204


def test_stats_and_health_tell_what_is_missing(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of()
    cluster.launch("a")
    wait_for(lambda: "REST on" in cluster["a"].log, "a does not answer")
    answer = cluster["a"].request("GET", "/health/ready")
    assert (answer.status, answer.json["reasons"]) == (503, ["starting"])
    assert cluster["a"].request("GET", "/health/live").status == 200
    missing = cluster.stats("a")["starting"]
    assert {reason.split(" ")[0] for reason in missing} == {"b", "c"}
    cluster.launch("b")
    cluster.launch("c")
    cluster.wait_whole()
    health = cluster.health("a", "push")
    assert health == {"ok": True, "reasons": [], "in_session": 2, "copies": 3, "members": 3}
    cluster.push("b", "12345")
    stats = cluster.stats("a")
    assert (stats["copies"]["b"]["messages"], stats["copies"]["b"]["bytes"]) == (1, 5)
    cluster.kill("c")
    wait_for(lambda: cluster.stats("a")["peers"]["c"]["state"] != "in_session", "a does not notice")
    assert cluster.stats("a")["peers"]["c"]["error"]
    assert cluster.health("a", "ready")["ok"]


# What is refused at the start.


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


def kept_out(cluster: Cluster, *options: Sequence[str]) -> Any:
    """What a node with other options than its peers says that its start waits for; the others take no notice."""
    cluster.launch("b")
    cluster.launch("c")
    cluster.launch("a", *[str(option) for option in options])
    wait_for(lambda: "REST on" in cluster["a"].log, "a does not answer")
    wait_for(lambda: any("declines" in each for each in cluster.stats("a")["starting"]), "nobody declines")
    assert cluster["a"].request("POST", "/push", b"x").json["code"] == "starting"
    return " ".join(cluster.stats("a")["starting"])


def test_another_secret_keeps_a_node_out(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of()
    for name in ("one", "other"):
        (cluster.directory / name).write_text(name * 10)
    cluster.with_options(f"--peer-secret-file={cluster.directory / 'one'}")
    why = kept_out(cluster, f"--peer-secret-file={cluster.directory / 'other'}")
    assert "secret" in why


def test_another_cluster_keeps_a_node_out(cluster_of: Callable[..., Cluster]) -> None:
    assert re.search("cluster", kept_out(cluster_of(), "--cluster=another"))
