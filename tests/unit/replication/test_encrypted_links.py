"""Rule 17: what nodes announce of their addresses never makes a link weaker than it was configured."""

import pytest

from .cluster import Cluster

secure = {"b": "https://b", "c": "https://c"}


def used_by_a(world: Cluster) -> set[str]:
    """The addresses at which the node a has sent anything."""
    return {each.address for each in world.sent if each.asker.node.settings.node == "a" and not each.is_answer}


def encrypted_cluster(announced_by_b: str) -> Cluster:
    """Three nodes that know each other by https URLs, and one that announces another address."""
    world = Cluster("a", "b", "c")
    urls = {id: f"https://{id}" for id in world.members}
    for id in world.members:
        peers = {other: url for other, url in urls.items() if other != id}
        advertise = announced_by_b if id == "b" else ""
        world.start(id, urls[id], peers=peers, advertise=advertise)
    world.settle(3.0)
    return world


@pytest.mark.parametrize("announced", ["http://b", "HTTP://b", "http://https://b", "ftp://b", "httpsx://b", "b", " "])
def test_rule_17_an_announced_address_that_is_weaker_than_the_configured_one_is_not_used(announced: str) -> None:
    """Message bodies would travel in plain text."""
    world = encrypted_cluster(announced)
    assert world["https://a"].peers.addresses["b"][1] == announced
    assert used_by_a(world) == {"https://b", "https://c"}
    assert world.in_session("https://a") == ["b", "c"]


def test_rule_17_a_weaker_address_that_a_third_node_passes_on_is_not_used() -> None:
    """What counts is where the address leads, not who said it."""
    world = encrypted_cluster("")
    incarnation = "01HZ0000000000000000000000"
    for id in ("b", "c"):
        world[f"https://{id}"].peers.learn({"b": (incarnation, "http://b"), "c": (incarnation, "http://c")})
    world.kill("https://a")
    world.settle(4.0)
    world.start("a", "https://a", peers=secure, advertise="")
    world.settle(3.0)
    assert world["https://a"].peers.addresses["c"] == (incarnation, "http://c")
    assert used_by_a(world) == {"https://b", "https://c"}


def test_rule_17_an_announced_address_that_is_encrypted_is_used() -> None:
    """A node behind TLS may move, too; and plain links may become encrypted ones."""
    for configured in ("https://b", "http://b"):
        world = Cluster("a", "b")
        node = world.start("a", peers={"b": configured})
        node.peers.learn({"b": ("01HZ0000000000000000000000", "https://moved")})
        assert node.peers["b"]._url() == "https://moved"


def test_rule_17_an_announced_address_at_which_nothing_answers_does_not_end_a_link_for_good() -> None:
    """Such as one that the peer's certificate is not made for."""
    world = encrypted_cluster("https://10.0.0.2")
    assert "https://10.0.0.2" in used_by_a(world)
    assert world.in_session("https://a") == ["b", "c"]
