"""Rule 17: a node of another cluster is refused, whatever it is called and wherever it answers; nothing crosses."""

from .cluster import Cluster, key_at

foreign = {"a": "ya", "b": "yb", "c": "yc"}


def start_foreign(world: Cluster) -> None:
    """Another cluster on the same network has the same node ids."""
    for name in foreign:
        peers = {other: address for other, address in foreign.items() if other != name}
        world.start(name, at=foreign[name], cluster="other", peers=peers)
    world.settle(1)


def start_ours(world: Cluster) -> None:
    for name in foreign:
        world.start(name, at=name)
    world.settle(1)


def two_clusters() -> Cluster:
    world = Cluster("a", "b", "c")
    start_ours(world)
    start_foreign(world)
    assert all(process.node.life.is_serving for process in world.processes.values())
    return world


def test_rule_17_one_wrong_url_fences_nobody() -> None:
    """A node that is told a foreign address does not take over, or hand on, what it hears there."""
    world = two_clusters()
    world.kill("a")
    world.settle(1)
    world.start("a", at="a", peers={"b": "yb", "c": "c"})
    world.settle(10)
    assert world["b"].life.is_serving
    assert world["c"].peers.addresses["b"][1] == "b"


def test_rule_17_a_foreign_node_at_a_dead_peers_address_fences_nobody() -> None:
    """It knows a greater incarnation, and of another queue: it never let this owner in."""
    world = two_clusters()
    world.kill("b")
    world.processes["b"] = world.processes["yb"]
    world.settle(12)
    assert world["a"].life.is_serving
    assert not world.departed


def test_rule_17_what_is_forwarded_does_not_cross() -> None:
    """Neither is a message put on a foreign queue, nor one taken from there."""
    world = Cluster("a", "b", "c")
    start_foreign(world)
    start_ours(world)
    world.push("b", b"kept")
    world.push("yb", b"foreign")
    world.settle()
    world.kill("b")
    world.processes["b"] = world.processes["yb"]
    world.settle(6)
    push, get = world.push("a", b"mine", key=key_at("b", world)), world.get("a")
    world.settle(5)
    assert world.bodies("yb", "b") == [b"foreign"]
    assert push.code == "owner_down"
    assert get.bodies == []
    assert not world.departed
