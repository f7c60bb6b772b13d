"""A real node, from outside: push, get and acknowledge through both doors, and its end."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.process.node import Nodes, RunningNode, free_ports, run_twistd


def push(node: RunningNode, body: bytes) -> str:
    """Push through the REST door; the message's id."""
    answer = node.request("POST", "/push", body)
    assert answer.status == 201, answer
    return str(answer.json["id"])


def test_a_message_is_pushed_got_and_acknowledged_over_http(nodes: Nodes) -> None:
    node = nodes.start("--size=3")
    id = push(node, b"resize \x00\xff")
    got = node.request("GET", "/get")
    assert (got.status, got.body, got.headers["Dqtw-Id"]) == (200, b"resize \x00\xff", id)
    assert node.request("GET", "/get").status == 204
    assert node.request("POST", f"/ack/{got.headers['Dqtw-Receipt']}").status == 204
    assert node.request("GET", f"/messages/{id}").status == 404
    assert node.stop() == 0


def test_a_message_is_pushed_got_and_acknowledged_over_lines(nodes: Nodes) -> None:
    node = nodes.start()
    with node.line() as client:
        ok, id, copies = client.ask("PUSH 4", b"\r\n\x00\xff").split(" ")
        assert (ok, copies) == ("OK", "1/1")
        delivered = client.get()
        assert delivered is not None
        receipt, body = delivered
        assert receipt.startswith(id)
        assert body == b"\r\n\x00\xff"
        assert client.ask(f"ACK {receipt}") == "OK"
        assert client.get() is None
    assert node.stop() == 0


def test_both_doors_lead_to_the_same_queue(nodes: Nodes) -> None:
    node = nodes.start("--size=1")
    push(node, b"by http")
    assert node.request("POST", "/push", b"one too many").status == 429
    with node.line() as client:
        assert client.ask("PUSH 1", b"x").startswith("ERR full ")
        delivered = client.get()
        assert delivered is not None
        assert delivered[1] == b"by http"
    assert node.request("POST", f"/ack/{delivered[0]}").status == 204
    push(node, b"there is room again")


def test_a_lease_that_ends_brings_the_message_back(nodes: Nodes) -> None:
    node = nodes.start("--lease=0.3")
    push(node, b"x")
    assert node.request("GET", "/get").headers["Dqtw-Attempt"] == "1"
    again = node.request("GET", "/get?wait=10")
    assert again.headers["Dqtw-Attempt"] == "2"


def test_a_push_ends_a_long_poll(nodes: Nodes) -> None:
    node = nodes.start()
    with node.line() as client:
        poll = threading.Thread(target=lambda: delivered.append(client.get("GET wait=20")))
        delivered: list[tuple[str, bytes] | None] = []
        poll.start()
        time.sleep(0.1)
        push(node, b"at last")
        poll.join(10)
        assert delivered[0] is not None
        assert delivered[0][1] == b"at last"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_asked_to_leave_says_what_is_lost_and_leaves_with_status_0(nodes: Nodes, number: int) -> None:
    node = nodes.start()
    push(node, b"1")
    push(node, b"2")
    assert node.stop(number) == 0
    assert "draining" in node.log
    assert "stopped; messages that end with this node: 2" in node.log
    assert node.log.index("draining") < node.log.index("stopped;")


def test_leaving_answers_those_who_wait(nodes: Nodes) -> None:
    node = nodes.start()
    with node.line() as client:
        client._socket.sendall(b"GET wait=30\r\n")
        time.sleep(0.2)
        started = time.monotonic()
        node.send_signal(signal.SIGTERM)
        assert client.line() == "EMPTY"
        assert client.line() == ""  # closed
    assert node.wait() == 0
    assert time.monotonic() - started < 4


def test_leaving_does_not_wait_for_idle_connections(nodes: Nodes) -> None:
    node = nodes.start()
    idle = [socket.create_connection(("127.0.0.1", port)) for port in (node.http_port, node.line_port) * 5]
    started = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - started < 6
    for each in idle:
        each.close()


def test_a_second_signal_changes_nothing(nodes: Nodes) -> None:
    node = nodes.start()
    idle = socket.create_connection(("127.0.0.1", node.line_port))
    time.sleep(0.1)
    node.send_signal(signal.SIGTERM)
    node.send_signal(signal.SIGTERM)
    assert node.wait() == 0
    idle.close()


def test_a_hangup_does_not_end_a_node(nodes: Nodes) -> None:
    node = nodes.start()
    node.send_signal(signal.SIGHUP)
    node.wait_logged("SIGHUP")
    push(node, b"x")
    assert node.stop() == 0


def test_a_killed_node_starts_again_on_the_same_ports(nodes: Nodes) -> None:
    node = nodes.start()
    id = push(node, b"x")
    node.kill()
    again = nodes.launch_on(node.http_port, node.line_port).wait_ready()
    assert again.request("GET", "/get").status == 204
    assert push(again, b"y") > id  # incarnations grow


def test_an_id_of_an_earlier_start_is_unknown(nodes: Nodes) -> None:
    node = nodes.start()
    id = push(node, b"x")
    node.kill()
    again = nodes.launch_on(node.http_port, node.line_port).wait_ready()
    push(again, b"y")
    assert again.request("DELETE", f"/messages/{id}").status == 404
    assert again.request("GET", "/stats").json["queueSize"] == 1


def test_a_door_can_be_closed(nodes: Nodes) -> None:
    http_port, line_port = free_ports(2)
    node = nodes.launch_on(http_port, 0).wait_ready()
    assert "REST on" in node.log
    assert "lines on" not in node.log
    assert node.stop() == 0
    node = nodes.launch_on(0, line_port)
    node.wait_logged("is ready")
    with node.line() as client:
        assert client.ask("PING") == "PONG"
    assert node.stop() == 0


def test_a_daemon_serves_and_stops(tmp_path: Path) -> None:
    http_port, line_port = free_ports(2)
    ran = run_twistd(
        tmp_path,
        "--pidfile=twistd.pid",
        "dqtw",
        "--size=3",
        DQTW_HTTP=f"tcp:{http_port}:interface=127.0.0.1",
        DQTW_LINE=f"tcp:{line_port}:interface=127.0.0.1",
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    pid_file = tmp_path / "twistd.pid"
    pid = int(pid_file.read_text())
    with socket.create_connection(("127.0.0.1", line_port)) as client, client.makefile("rb") as file:
        client.sendall(b"PUSH 1\r\nx\r\n")
        assert file.readline().startswith(b"OK ")
    signal_and_wait(pid, pid_file)
    log = (tmp_path / "twistd.log").read_text()
    assert "stopped; messages that end with this node: 1" in log
    assert "Traceback" not in log


def signal_and_wait(pid: int, pid_file: Path) -> None:
    """Stop a daemon, which takes its pid file away last."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while pid_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_is_logged_for_connections_requests_and_messages(nodes: Nodes) -> None:
    node = nodes.start()
    before = node.log
    for _ in range(3):
        push(node, b"x")
        node.request("GET", "/nowhere")
        with node.line() as client:
            client.ask("nonsense")
            client.get()
        socket.create_connection(("127.0.0.1", node.line_port)).close()
        socket.create_connection(("127.0.0.1", node.http_port)).close()
    time.sleep(0.2)
    assert node.log == before


def test_the_log_says_where_the_doors_are(nodes: Nodes) -> None:
    node = nodes.start()
    assert f"REST on 127.0.0.1:{node.http_port}" in node.log
    assert f"lines on 127.0.0.1:{node.line_port}" in node.log
    assert "is ready" in node.log


def test_every_line_of_a_json_log_is_an_object(nodes: Nodes) -> None:
    node = nodes.start("--log-format=json")
    push(node, b"x")
    assert node.stop() == 0
    lines = [json.loads(line) for line in node.log.splitlines()]
    assert all(set(line) == {"time", "level", "system", "message"} for line in lines)
    assert "dqtw" in {line["system"] for line in lines}
    assert any(line["message"].startswith("twistd ") for line in lines)
    assert any(line["message"] == "stopped; messages that end with this node: 1" for line in lines)


def test_a_json_log_goes_where_twistd_is_told(nodes: Nodes) -> None:
    node = nodes.start("--log-format=json", before=["--logfile=there.log"])
    assert node.stop() == 0
    lines = (nodes.directory / "there.log").read_text().splitlines()
    assert json.loads(lines[-1])["message"] == "Server Shut Down."
    assert node.log == ""


def test_each_door_has_room_for_so_many(nodes: Nodes) -> None:
    node = nodes.start("--max-connections=1")
    with node.line() as client:
        assert client.ask("PING") == "PONG"
        with node.line() as another:
            assert another.line().startswith("ERR busy ")
        assert node.request("GET", "/health/ready").status == 200
    time.sleep(0.2)  # until it has noticed that the connection before this one is closed
    with socket.create_connection(("127.0.0.1", node.http_port)) as first:
        first.sendall(b"G")
        time.sleep(0.2)
        assert node.request("GET", "/stats").status == 503


def test_any_reactor_will_do(nodes: Nodes) -> None:
    node = nodes.start(before=["--reactor=poll"])
    assert "PollReactor" in node.log
    assert node.stop() == 0
