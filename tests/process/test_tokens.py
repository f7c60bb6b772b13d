"""A node that wants to see a token, at both doors."""

import signal

from tests.process.node import Nodes


def test_without_a_token_nothing_but_health_is_answered(nodes: Nodes) -> None:
    (nodes.directory / "tokens").write_text("# the workers' and the producers'\none\n\ntwo\n")
    node = nodes.start("--token-file=tokens")
    assert node.request("POST", "/push", b"x").status == 401
    assert node.request("GET", "/stats", headers={"Authorization": "Bearer three"}).status == 401
    for token in ("one", "two"):
        assert node.request("POST", "/push", b"x", headers={"Authorization": f"Bearer {token}"}).status == 201
    assert node.request("GET", "/health/live").status == 200
    with node.line() as client:
        assert client.ask("GET").startswith("ERR unauthorized ")
        assert client.ask("AUTH three").startswith("ERR unauthorized ")
        assert client.ask("AUTH two") == "OK"
        assert client.get() is not None


def test_tokens_are_read_again_on_a_hangup(nodes: Nodes) -> None:
    tokens = nodes.directory / "tokens"
    tokens.write_text("old")
    node = nodes.start("--token-file=tokens")
    tokens.write_text("new\nnewer")
    node.send_signal(signal.SIGHUP)
    node.wait_logged("--token-file: read again, tokens: 2")
    assert node.request("GET", "/get", headers={"Authorization": "Bearer old"}).status == 401
    assert node.request("GET", "/get", headers={"Authorization": "Bearer newer"}).status == 204


def test_a_bad_file_leaves_the_tokens_as_they_were(nodes: Nodes) -> None:
    tokens = nodes.directory / "tokens"
    tokens.write_text("good")
    node = nodes.start("--token-file=tokens")
    tokens.unlink()
    node.send_signal(signal.SIGHUP)
    node.wait_logged("the tokens stay as they were")
    assert node.request("GET", "/get", headers={"Authorization": "Bearer good"}).status == 204
