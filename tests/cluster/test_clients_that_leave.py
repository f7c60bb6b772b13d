"""Clients that hang up at the worst moment cost nobody anything: not a message, and no session between nodes."""

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator

from tests.cluster.cluster import Cluster, receipt_of, wait_for
from tests.process.node import RunningNode

idle_s = 10.5  # longer than any time limit of a request
reset_at_close = struct.pack("ii", 1, 0)


def connections(node: RunningNode, over_http: bytes, over_lines: bytes) -> Iterator[socket.socket]:
    """A connection to each door, on which something was sent."""
    for port, sent in ((node.http_port, over_http), (node.line_port, over_lines)):
        client = socket.create_connection(("127.0.0.1", port), timeout=35)
        client.sendall(sent)
        yield client


def reset(client: socket.socket) -> None:
    """Hang up as a client that is killed: what still comes for it is refused."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
    client.close()


def http_push(length: int, body: bytes) -> bytes:
    return f"POST /push HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode() + body


# In the middle of a push.


def vanish_in_mid_push(node: RunningNode) -> None:
    for hang_up in (reset, socket.socket.close):
        for client in connections(node, http_push(1000, b"half of it"), b"PUSH 1000\r\nhalf of it"):
            hang_up(client)


def vanish_before_the_answer(id: str, cluster: Cluster) -> None:
    """Two clients push, and are gone when the answers come; the messages stay."""
    other = "b" if id == "a" else "a"
    cluster.pause(other)
    clients = list(connections(cluster[id], http_push(8, b"whole, 1"), b"PUSH 8\r\nwhole, 2\r\n"))
    wait_for(lambda: cluster.stats(id)["waiting"] == 2, "they do not push", story=lambda: cluster[id].log)
    for client in clients:
        reset(client)
    cluster.go_on(other)
    wait_for(lambda: cluster.stats(id)["ready"] == 2, "the pushes do not go on", story=cluster.story)


def test_clients_that_vanish_in_mid_push_cost_no_session(three: Cluster) -> None:
    for id in "abc":
        vanish_in_mid_push(three[id])
        vanish_before_the_answer(id, three)
        taken = {receipt_of(three[id], "wait=30&ack=now")[1] for _ in range(2)}
        assert taken == {b"whole, 1", b"whole, 2"}
    time.sleep(idle_s)
    for id, other in ("ab", "bc", "ca"):
        begun = time.monotonic()
        three.push(id, "x")
        receipt, body = receipt_of(three[other])
        assert three[id].request("POST", f"/ack/{receipt}").status == 204
        assert time.monotonic() - begun < 3
        assert body == b"x"
    assert min(session_ages(three)) > idle_s
    assert not [id for id in "abc" if "is not linked" in three[id].log]


def session_ages(cluster: Cluster) -> list[float]:
    return [peer["session_s"] for id in cluster.ids for peer in cluster.stats(id)["peers"].values()]


# With a message in its answer, behind another answer that is yet to come.


def test_a_delivery_that_is_stuck_behind_another_get_is_given_back_when_its_client_leaves(
    cluster_of: Callable[..., Cluster],
) -> None:
    cluster = cluster_of(options=("--lease=600",)).start().wait_whole()
    first, second = cluster.push("a", "of a"), cluster.push("c", "of c")
    client = socket.create_connection(("127.0.0.1", cluster["b"].line_port))
    cluster.pause("a")
    client.sendall(b"GET\r\nGET\r\n")  # each begins with another peer: a has the first, c answers the second
    wait_for(
        lambda: cluster.stats("c")["leased"] == 1 and cluster.stats("b")["waiting_polls"] == 1,
        "c's message is not on its way",
        story=lambda: cluster["b"].log,
    )
    assert select.select([client], [], [], 0.2)[0] == []
    reset(client)
    wait_for(lambda: cluster.stats("c")["ready"] == 1, "c's is not given back", story=lambda: cluster["c"].log)
    cluster.go_on("a")
    wait_for(lambda: cluster.stats("a")["leased"] == 0, "a's is not given back", story=cluster.story)
    taken = [cluster[id].request("POST", "/get?wait=30").headers for id in "ca"]
    assert [(each["Dqtw-Id"], each["Dqtw-Attempt"]) for each in taken] == [(second, "1"), (first, "1")]
