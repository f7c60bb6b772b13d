"""What a node reports of peers that were configured wrongly: real sockets, names and TLS."""

import time
from typing import Any

from tests.process.node import Nodes, RunningNode, free_ports

patience_s = 30.0


def errors(node: RunningNode) -> dict[str, str]:
    """What is wrong with each peer, by the node's stats; waits until something is said of all."""
    until = time.monotonic() + patience_s
    while True:
        peers: dict[str, Any] = node.request("GET", "/stats").json["peers"]
        found = {id: known["error"] for id, known in peers.items()}
        if all(found.values()):
            return found
        assert time.monotonic() < until, found
        time.sleep(0.1)


def test_the_reason_why_a_peer_cannot_be_used_is_in_stats_health_and_log(nodes: Nodes) -> None:
    http, line, own, nobody = free_ports(4)
    urls = {
        "name": "http://no-such-host.invalid:8081",
        "refused": f"http://127.0.0.1:{nobody}",
        "itself": f"http://0.0.0.0:{own}",  # what is plainly its own is refused at the start
        "line": f"http://127.0.0.1:{line}",
        "tls": f"https://127.0.0.1:{http}",
    }
    node = nodes.launch_on(
        http,
        line,
        "--node=a",
        *(f"--peer={id}={url}" for id, url in urls.items()),
        f"--peer-listen=tcp:{own}:interface=127.0.0.1",
        "--start-wait=2",
        "--copies=2",
    )
    node.wait_ready()
    reasons = {
        "name": "the host name cannot be resolved",
        "refused": "connection refused",
        "itself": "that is this node itself",
        "line": "the answer is not HTTP: the URL may lead to a port for the line protocol",
    }
    found = errors(node)
    assert found.pop("tls").endswith(f" ({urls['tls']})")
    assert found == {id: f"{reason} ({urls[id]})" for id, reason in reasons.items()}
    node.wait_logged("pushes are refused: a push needs 2 copies, 1 can be had now; ")
    for id, reason in reasons.items():
        node.wait_logged(f"{id} cannot be reached: {reason} ({urls[id]})")
    push = node.request("GET", "/health/push")
    assert (push.status, push.json["reasons"]) == (503, ["unreplicated"])
    assert sorted(push.json["waiting_for"])[1:] == sorted(f"{id} cannot be reached" for id in urls)


def test_a_port_for_clients_at_a_peers_url_is_reported(nodes: Nodes) -> None:
    http, line, own = free_ports(3)
    node = nodes.launch_on(
        http,
        line,
        "--node=a",
        f"--peer=b=http://127.0.0.1:{http}",
        f"--peer-listen=tcp:{own}:interface=127.0.0.1",
    )
    node.wait_logged("b refuses a: ")
    waits = node.request("GET", "/health/ready").json["waiting_for"]
    assert waits == ["b refuses a"]
    (error,) = errors(node).values()
    assert error.endswith(
        f"the URL seems to lead to a port for clients, not to --peer-listen (http://127.0.0.1:{http})"
    )
