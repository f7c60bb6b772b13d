"""Behind a proxy, clients see one queue; a node that is killed behind it costs them no message."""

import json
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection

import pytest

from dqtw.check.asking import Address
from dqtw.check.doors import open_door
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.loaded import check, load
from tests.cluster.nemesis import wait_for_load
from tests.cluster.proxies import behind, line_behind_proxy, proxy_protocol_port

every = pytest.mark.parametrize("kind", ["haproxy", "nginx"])


def ask(door: Address, method: str, path: str, body: bytes = b"") -> tuple[int, bytes, dict[str, str]]:
    """One request on a connection of its own; the headers' names in small letters."""
    connection = HTTPConnection(door.host, door.port, timeout=35)
    connection.request(method, path, body)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, said, {name.lower(): value for name, value in answer.getheaders()}


@every
def test_a_node_killed_behind_a_proxy_costs_no_message(cluster_of: Callable[..., Cluster], kind: str) -> None:
    cluster = cluster_of(options=("--push-timeout=2", "--start-wait=10"))
    with (
        behind(kind, cluster) as (proxy, ports),
        load(cluster, seed=kind, through=list(proxy.doors.values())) as run,
    ):
        wait_for_load(run, cluster)
        run.recorder.fault("kill b")
        cluster.kill("b")
        time.sleep(1.5)
        cluster.launch("b", line_behind_proxy(ports["b"]))
        cluster.wait_whole()
        time.sleep(1.5)
    check(cluster)


def push_through(door: Address, owners: list[str]) -> set[str]:
    """Push one more message, and note whose it has become; all who have any."""
    status, said, _ = ask(door, "POST", "/push", b"x")
    assert status == 201
    owners.append(json.loads(said)["id"].split(".")[0])
    return set(owners)


@every
def test_each_request_may_go_to_another_node(cluster_of: Callable[..., Cluster], kind: str) -> None:
    cluster = cluster_of()
    with behind(kind, cluster) as (proxy, _):
        door = proxy.doors[8080]
        owners: list[str] = []
        wait_for(lambda: push_through(door, owners) == set("abc"), "not every node is asked", story=cluster.story)
        for _ in owners:
            status, _, headers = ask(door, "POST", "/get?wait=30")
            assert status == 200
            assert not any("127.0.0.1" in value for value in headers.values())
            assert ask(door, "POST", f"/ack/{headers['dqtw-receipt']}")[0] == 204
        assert ask(door, "POST", "/get")[0] == 204


@pytest.mark.parametrize(
    ("kind", "method"), [("haproxy", "GET"), ("haproxy", "POST"), ("nginx", "GET"), ("nginx", "POST")]
)
def test_no_request_that_was_sent_is_sent_again_but_a_get_by_nginx(
    cluster_of: Callable[..., Cluster], kind: str, method: str
) -> None:
    cluster = cluster_of(options=("--copies=2",))
    with behind(kind, cluster) as (proxy, _):
        polled: list[tuple[int, bytes, dict[str, str]]] = []
        thread = threading.Thread(target=lambda: polled.append(ask(proxy.doors[8080], method, "/get?wait=20")))
        thread.start()

        def polling() -> list[str]:
            return [id for id in cluster.running if cluster.stats(id)["waiting_polls"]]

        wait_for(lambda: bool(polling()), "nobody polls")
        (first,) = polling()
        cluster.kill(first)
        is_repeated = (kind, method) == ("nginx", "GET")
        if is_repeated:
            wait_for(lambda: bool(polling()), "the poll did not go on elsewhere")
            cluster.push(next(iter(cluster.running)), "x")
        thread.join()
        status, said, _ = polled[0]
        assert (status, said) == (200, b"x") if is_repeated else status == 502


def test_the_proxy_protocol_is_needed_where_it_is_expected(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of()
    with behind("haproxy", cluster) as (proxy, ports):
        through = open_door(proxy.doors[proxy_protocol_port], 5.0)
        assert through.push(["x"])[0].result == "ok"
        through.close()
        direct = open_door(Address("line", "127.0.0.1", ports["a"]), 5.0)
        assert direct.push(["x"])[0].code == "lost"
        direct.close()
