"""Behind a proxy, clients see one queue; a node that is killed behind it costs them no message."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest

from dqtw.check.asking import Address
from dqtw.check.doors import open_door
from tests.cluster import proxies
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.loaded import check, load
from tests.cluster.nemesis import wait_for_load
from tests.cluster.proxies import Proxy, proxy_protocol_port
from tests.process.node import free_ports

every = pytest.mark.parametrize("kind", ["haproxy", "nginx"])


def _line(port: int) -> str:
    return f"--line=haproxy:tcp:{port}:interface=127.0.0.1"


@contextmanager
def behind(kind: str, cluster: Cluster) -> Iterator[tuple[Proxy, dict[str, int]]]:
    """The cluster started, with a proxy in front, and the ports that take the PROXY protocol."""
    ports = dict(zip(cluster.ids, free_ports(len(cluster.ids)), strict=True))
    for id in cluster.ids:
        cluster.launch(id, _line(ports[id]))
    cluster.wait_whole()
    proxy: Proxy = getattr(proxies, kind)(cluster, ports)
    try:
        yield proxy, ports
    finally:
        proxy.end()


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
        cluster.launch("b", _line(ports["b"]))
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


@every
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_poll_whose_node_dies_goes_on_elsewhere_if_it_was_a_get(
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
        if method == "GET":
            wait_for(lambda: bool(polling()), "the poll did not go on elsewhere")
            cluster.push(next(iter(cluster.running)), "x")
        thread.join()
        status, said, _ = polled[0]
        assert (status, said) == (200, b"x") if method == "GET" else status == 502


def test_the_proxy_protocol_is_needed_where_it_is_expected(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of()
    with behind("haproxy", cluster) as (proxy, ports):
        through = open_door(proxy.doors[proxy_protocol_port], 5.0)
        assert through.push(["x"])[0].result == "ok"
        through.close()
        direct = open_door(Address("line", "127.0.0.1", ports["a"]), 5.0)
        assert direct.push(["x"])[0].code == "lost"
        direct.close()
