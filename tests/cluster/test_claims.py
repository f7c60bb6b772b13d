"""What the documents claim of a cluster, claim by claim."""

import threading
import time
from collections.abc import Callable
from statistics import median

import pytest

from tests.cluster.cluster import Cluster, receipt_of, wait_for


def wake(cluster: Cluster) -> float:
    """How long after a push on one node was answered a poll that waits on another has the message."""
    woken: list[float] = []

    def poll() -> None:
        receipt_of(cluster["b"], "wait=30&ack=now")
        woken.append(time.monotonic())

    thread = threading.Thread(target=poll)
    thread.start()
    wait_for(lambda: cluster.stats("b")["waiting_polls"] == 1, "nobody waits")
    cluster.push("a", "x")
    pushed = time.monotonic()
    thread.join()
    return woken[0] - pushed


def test_a_waiting_poll_is_woken_by_a_push_on_another_node(shared: Cluster) -> None:
    assert median(wake(shared) for _ in range(9)) < 0.4


def test_a_get_on_an_empty_node_brings_a_peers_message_at_once(shared: Cluster) -> None:
    for _ in range(5):
        shared.push("a", "x")
    took = []
    for _ in range(5):
        begun = time.monotonic()
        receipt_of(shared["c"], "wait=0&ack=now")
        took.append(time.monotonic() - begun)
    assert median(took) < 0.4


def test_any_node_acknowledges_gives_back_and_touches(shared: Cluster) -> None:
    shared.push("a", "x")
    receipt, _ = receipt_of(shared["b"], "lease=30")
    assert shared["c"].request("POST", f"/touch/{receipt}?lease=20").status == 204
    assert shared["b"].request("POST", f"/nack/{receipt}").status == 204
    with shared["c"].line() as line:
        got = line.get("GET wait=30")
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
    pushed = {f"{number}" for number in range(100)}
    for body in pushed:
        three.push("a", body)
    for _ in range(10):  # these leases are forgotten
        receipt_of(three["a"], "lease=600")
    three.kill("a")
    if moves:
        three.move("a")
    three.start("a").wait_whole()
    bodies = [receipt_of(three["c"], "wait=30&ack=now")[1].decode() for _ in pushed]
    assert sorted(bodies) == sorted(pushed)
    assert three["a"].request("POST", "/get").status == 204


def test_stats_and_health_tell_what_is_missing(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of()
    cluster.launch("a")
    wait_for(lambda: "REST on" in cluster["a"].log, "a does not answer")
    answer = cluster["a"].request("GET", "/health/ready")
    assert (answer.status, answer.json["reasons"]) == (503, ["starting"])
    assert cluster["a"].request("GET", "/health/live").status == 200
    missing = cluster.stats("a")["waiting_for"]
    assert {reason.split(" ")[0] for reason in missing} == {"b", "c"}
    cluster.launch("b")
    cluster.launch("c")
    cluster.wait_whole()
    health = cluster.health("a", "push")
    assert health == {"ok": True, "reasons": [], "waiting_for": [], "in_session": 2, "copies": 3, "members": 3}
    cluster.push("b", "12345")
    stats = cluster.stats("a")
    assert (stats["copies"]["b"]["messages"], stats["copies"]["b"]["bytes"]) == (1, 5)
    cluster.kill("c")
    wait_for(lambda: cluster.stats("a")["peers"]["c"]["state"] != "in_session", "a does not notice")
    wait_for(lambda: cluster.stats("a")["peers"]["c"]["error"], "a does not say why")
    assert cluster.health("a", "ready")["ok"]
