"""Links between nodes that are to be encrypted: what passes on the wire."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.cluster.capture import captured, why_not
from tests.cluster.cluster import wait_for
from tests.process.node import Nodes, RunningNode, free_ports

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

body = b"not to be read by those between the nodes"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path)
    yield nodes
    nodes.end()


def launch(nodes: Nodes, id: str, peer: str, ports: dict[str, int], pem: Path) -> RunningNode:
    """Start one of two nodes whose listeners for peers use TLS, on a named address, without `--advertise`."""
    return nodes.launch(
        f"--node={id}",
        f"--peer={peer}=https://localhost:{ports[peer]}",
        f"--peer-listen=ssl:{ports[id]}:interface=127.0.0.1:privateKey={pem}/privkey.pem:certKey={pem}/fullchain.pem",
        f"--peer-ca={pem}/root.pem",
    )


def test_nothing_is_sent_in_plain_text_between_nodes_whose_links_use_tls(nodes: Nodes) -> None:
    authority = Authority.make()
    pem = authority.write(nodes.directory / "pem", authority.server())
    ports = dict(zip("ab", free_ports(2), strict=True))
    with captured(ports.values()) as between:
        a, b = (launch(nodes, id, peer, ports, pem) for id, peer in ("ab", "ba"))
        for node in (a, b):
            node.wait_ready()
        with captured([a.http_port]) as from_client:
            assert a.request("POST", "/push", body).json["copies"] == 2
            wait_for(
                lambda: body in from_client.bytes_of[a.http_port], "the capture does not see what is in plain text"
            )
        assert "is not linked" not in a.log + b.log
        b.kill()
        b = launch(nodes, "b", "a", ports, pem).wait_ready()
        assert b.request("POST", "/push", body).json["copies"] == 2
    seen = b"".join(between.bytes_of.values())
    assert set(between.bytes_of) == set(ports.values())
    assert body not in seen
    assert b"HTTP/1.1" not in seen
