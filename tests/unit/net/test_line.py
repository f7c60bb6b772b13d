"""The line protocol, rule by rule, spoken with a real node."""

import json
import tracemalloc
from typing import Any, cast

import pytest
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import INegotiated
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from dqtw import __version__
from dqtw.core.model.settings import NodeSettings
from dqtw.net.line.limits import LineLimits
from tests.unit.net.line_client import LineClient, World, push


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> LineClient:
    return world.connect()


def ready(world: World) -> object:
    return world.driver.stats()["ready"]


def leased(world: World) -> object:
    return world.driver.stats()["leased"]


# Requests and answers.


def test_push_answers_the_id_and_how_many_nodes_hold_it(client: LineClient) -> None:
    word, id, copies = client.ask(push(b"hello")).split()
    assert (word, copies) == (b"OK", b"1/1")
    assert id.startswith(b"node.")
    assert id.endswith(b".1")


def test_get_answers_the_bytes_as_they_were_pushed(client: LineClient) -> None:
    """CR, LF, NUL and bytes that are no UTF-8 come out as they went in."""
    body = b"\r\nGET\r\n\x00\xff" + bytes(range(256))
    client.push(body)
    assert client.get()[2] == body


def test_an_empty_message_is_a_message(client: LineClient) -> None:
    client.push(b"")
    assert client.get()[2] == b""


def test_get_answers_empty_when_there_is_nothing(client: LineClient) -> None:
    assert client.ask(b"GET\r\n") == b"EMPTY\r\n"


def test_get_tells_the_type_percent_encoded_and_only_when_there_is_one(client: LineClient) -> None:
    client.push(b"x", " type=text/plain;%20charset=utf-8")
    client.push(b"y")
    assert b" 1 1 type=text/plain;%20charset=utf-8\r\nx\r\n" in client.ask(b"GET\r\n")
    assert client.ask(b"GET\r\n").endswith(b" 1 1\r\ny\r\n")


def test_ack_by_receipt_and_by_id_removes_the_message(client: LineClient) -> None:
    id = client.push(b"one")
    client.push(b"two")
    client.get()
    receipt = client.get()[0]
    assert client.ask(f"ACK {id}\r\nACK {receipt}\r\n".encode()) == b"OK\r\nOK\r\n"
    assert client.ask(f"ACK {id}\r\n".encode()).startswith(b"ERR unknown ")


def test_nack_makes_the_message_ready_again_after_its_delay(world: World, client: LineClient) -> None:
    client.push(b"x")
    receipt = client.get()[0]
    assert client.ask(f"NACK {receipt} delay=1.5\r\n".encode()) == b"OK\r\n"
    assert client.ask(b"GET\r\n") == b"EMPTY\r\n"
    world.settle(1.5)
    assert client.get()[1] == 2


def test_touch_starts_the_lease_anew(world: World, client: LineClient) -> None:
    client.push(b"x")
    receipt = client.get(" lease=10")[0]
    world.settle(9)
    assert client.ask(f"TOUCH {receipt} lease=20\r\n".encode()) == b"OK\r\n"
    world.settle(19)
    assert client.ask(f"TOUCH {receipt}\r\n".encode()) == b"OK\r\n"
    world.settle(21)
    assert client.ask(f"TOUCH {receipt}\r\n".encode()).startswith(b"ERR lease_lost ")


def test_ack_now_removes_the_message_at_delivery_and_answers_its_id(world: World, client: LineClient) -> None:
    """There is no lease, so there is no receipt."""
    id = client.push(b"x")
    assert client.ask(b"GET ack=now\r\n") == f"MSG {id} 1 1\r\nx\r\n".encode()
    assert world.driver.stats()["queueSize"] == 0


def test_ack_now_behind_a_poll_answers_the_id(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=30 ack=now\r\n")
    id = world.connect().push(b"x")
    assert client.read() == f"MSG {id} 1 1\r\nx\r\n".encode()


def test_hello_tells_version_and_bounds(client: LineClient) -> None:
    assert client.ask(b"HELLO\r\n") == f"HELLO dqtw {__version__} max=1048576 auth=no\r\n".encode()


def test_a_key_seen_before_answers_the_same_id_and_says_duplicate(client: LineClient) -> None:
    id = client.push(b"x", " key=a%20b")
    assert client.ask(push(b"x", " key=a%20b")) == f"OK {id} 1/1 duplicate\r\n".encode()
    assert client.ask(push(b"y", " key=a%20b")).startswith(b"ERR key_reused ")


def test_stats_answers_json_with_its_length(client: LineClient) -> None:
    client.push(b"x")
    head, body, rest = client.ask(b"STATS\r\n").split(b"\r\n")
    assert (head, rest) == (b"STATS %d" % len(body), b"")
    assert json.loads(body)["ready"] == 1


def test_ping_auth_and_help_are_answered_without_any_token_configured(client: LineClient) -> None:
    assert client.ask(b"PING\r\nAUTH anything\r\n") == b"PONG\r\nOK\r\n"
    lines = client.ask(b"HELP\r\n").decode().splitlines()
    assert lines[-1] == "END"
    assert {line.split()[0].rstrip(":") for line in lines[:-1]} == {
        *("PUSH", "GET", "ACK", "NACK", "TOUCH", "HELLO", "STATS", "PING", "AUTH", "HELP", "QUIT")
    }


def test_verbs_in_any_case_and_a_bare_lf_are_taken(client: LineClient) -> None:
    assert client.ask(b"ping\nPing\r\npush 1\nx\n").startswith(b"PONG\r\nPONG\r\nOK ")


def test_a_full_queue_refuses_and_the_connection_lives_on() -> None:
    client = World(NodeSettings(size=1)).connect()
    client.push(b"x")
    assert client.ask(push(b"y")).startswith(b"ERR full ")
    assert client.get()[2] == b"x"


def test_a_push_that_waits_is_answered_when_a_slot_is_free() -> None:
    world = World(NodeSettings(size=1))
    producer, worker = world.connect(), world.connect()
    id = producer.push(b"x")
    assert producer.ask(push(b"y", " wait=5")) == b""
    worker.ask(f"ACK {id}\r\n".encode())
    assert producer.read().startswith(b"OK ")


def test_a_receipt_works_from_any_connection(world: World, client: LineClient) -> None:
    client.push(b"x")
    receipt = client.get()[0]
    assert world.connect().ask(f"ACK {receipt}\r\n".encode()) == b"OK\r\n"


def test_a_poll_is_answered_when_a_message_comes(world: World, client: LineClient) -> None:
    assert client.ask(b"GET wait=30\r\n") == b""
    world.connect().push(b"x")
    assert client.read().endswith(b"\r\nx\r\n")


def test_a_poll_is_answered_empty_when_its_time_is_over(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=2.5\r\n")
    world.settle(2.5)
    assert client.read() == b"EMPTY\r\n"


def test_a_drain_answers_polls_and_refuses_pushes(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=30\r\n")
    world.driver.drain()
    assert client.ask(push(b"x")).startswith(b"EMPTY\r\nERR draining ")


# Refusals with the framing intact.


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"NOPE",
        b" PING",
        b"PING ",
        b"PING now",
        b"GET  wait=1",
        b"GET now",
        b"GET wait",
        b"GET wait=",
        b"GET wait=-1",
        b"GET wait=+1",
        b"GET wait=nan",
        b"GET wait=inf",
        b"GET wait=1e3",
        b"GET wait=1,5",
        b"GET wait=%D9%A3",
        b"GET wait=" + b"1" * 33,
        b"GET wait=" + b"1" * 5000,
        b"GET wait=1 wait=1",
        b"GET wait=1 wait=2",
        b"GET ack=later",
        b"GET delay=1",
        b"GET WAIT=1",
        b"GET lease=%",
        b"GET lease=%4",
        b"GET lease=%zz",
        b"GET lease=%ff",
        b"ACK",
        b"ACK one two",
        b"ACK ../../etc/passwd",
        b"ACK " + b"a" * 8000,
        b"NACK",
        b"NACK delay=1",
        b"TOUCH node.1.1",
        b"AUTH",
        b"AUTH a b",
        b"GET wait=1\x00",
    ],
)
def test_a_line_that_is_no_request_is_bad_request_and_the_connection_lives_on(client: LineClient, line: bytes) -> None:
    refusal, pong, rest = client.ask(line + b"\r\nPING\r\n").split(b"\r\n")
    assert refusal.startswith(b"ERR bad_request ")
    assert refusal.isascii()
    assert len(refusal) < 300
    assert (pong, rest) == (b"PONG", b"")


@pytest.mark.parametrize(
    "words",
    [
        b" kye=1",
        b" key=",
        b" key=" + b"k" * 256,
        b" key=%0d%0a",
        b" key=a key=b",
        b" type=",
        b" type=%C3%A9",
        b" type=a%0D%0AX:y",
        b" wait=never",
        b"  wait=1",
        b" ",
        b" key=\xff",
        b" key=\x00",
        b" key=%",
        b" a b c d",
    ],
)
def test_a_refused_push_has_its_body_skipped(client: LineClient, words: bytes) -> None:
    """A body that looks like a command is never taken for one."""
    refusal, pong, rest = client.ask(b"PUSH 6" + words + b"\r\nQUIT\r\n\r\nPING\r\n").split(b"\r\n")
    assert refusal.startswith(b"ERR bad_request ")
    assert (pong, rest) == (b"PONG", b"")


def test_a_message_that_is_too_large_is_refused_and_skipped() -> None:
    client = World(limits=LineLimits(max_message=10)).connect()
    client.push(b"x" * 10)
    refusal, pong, rest = client.ask(push(b"x" * 11) + b"PING\r\n").split(b"\r\n")
    assert refusal.startswith(b"ERR too_large ")
    assert (pong, rest) == (b"PONG", b"")


def test_a_huge_body_is_skipped_without_being_held(client: LineClient) -> None:
    """Memory stays flat while 64 MiB that nobody will keep go by."""
    chunk = b"x" * 65536
    client.ask(b"PUSH %d\r\n" % (1024 * len(chunk)))
    tracemalloc.start()
    for _ in range(1024):
        assert client.ask(chunk) == b""
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 512 * 1024
    assert client.ask(b"\r\n").startswith(b"ERR too_large ")


# Framing lost.


@pytest.mark.parametrize(
    "sent",
    [
        b"PUSH\r\n",
        b"PUSH \r\n",
        b"PUSH x\r\n",
        b"PUSH -1\r\n",
        b"PUSH 1.0\r\n",
        b"PUSH +1\r\n",
        b"PUSH 0x10\r\n",
        b"PUSH \xd9\xa1\r\n",
        b"PUSH key=a\r\n",
        b"PUSH  1\r\n",
        b"PUSH 1073741825\r\n",
        b"PUSH " + b"9" * 5000 + b"\r\n",
        b"PUSH 1\r\nxx\r\n",
        b"PUSH 2\r\nx\r\n",
        b"PUSH 3\r\nx\r\n",
        b"\xff\xfe\r\n",
        b"PING\x00\r\n",
        b"PI\rNG\r\n",
        b"put 0 0 60 5\r\nhello\r\n",
        b"PUSH 1\r\nx\rx",
        b"PUSH 1 bad\r\nxx\r\n",
        b"x" * 8193,
        b"GET wait=" + b"1" * 8193 + b"\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nPING\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
def test_lost_framing_is_said_and_the_connection_closed(client: LineClient, sent: bytes) -> None:
    answer = client.ask(sent + b"PING\r\n")
    assert answer.startswith(b"ERR framing ")
    assert answer.count(b"\r\n") == 1
    assert client.closed


def test_the_longest_line_is_taken(client: LineClient) -> None:
    assert client.ask(b"x" * 8192 + b"\n").startswith(b"ERR bad_request ")
    assert not client.closed


def test_after_the_last_answer_the_client_may_take_its_time_to_hang_up(world: World, client: LineClient) -> None:
    """A close with unread input would make the network throw the answer away."""
    client.ask(b"PUSH x\r\n", b"y" * 65536, b"y" * 65536)
    assert client.closed
    assert not client.stream.unread
    assert not client.stream.gone
    world.settle(2)
    assert client.stream.gone


def test_a_client_that_hangs_up_after_the_last_answer_is_let_go_at_once(world: World, client: LineClient) -> None:
    client.ask(b"QUIT\r\n")
    client.half_close()
    world.settle()
    assert client.stream.gone


def test_what_was_not_read_before_the_last_answer_is_read_after_it(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=5\r\nGET\r\nPUSH x\r\n", *[b"y" * 65536] * 5)
    assert client.stream.unread
    world.settle(5)
    assert client.read().startswith(b"EMPTY\r\nEMPTY\r\nERR framing ")
    assert not client.stream.unread


def test_tls_is_closed_as_a_whole(client: LineClient) -> None:
    """It can't end one side alone; what it runs on could, but that would cut the encrypted stream short."""
    alsoProvides(client.stream, INegotiated)
    client.ask(b"QUIT\r\n")
    assert client.stream.gone


# Order and pipelining.


def test_answers_come_in_the_order_of_the_commands(client: LineClient) -> None:
    sent = [push(b"a"), b"PING\r\n", b"NOPE\r\n", push(b"b", " x"), b"GET\r\n", b"GET\r\n", b"STATS\r\n", b"PING\r\n"]
    words = [line.split()[0] for line in client.ask(b"".join(sent)).split(b"\r\n") if line[:1].isupper()]
    assert words == [b"OK", b"PONG", b"ERR", b"ERR", b"MSG", b"EMPTY", b"STATS", b"PONG"]


def test_a_get_sees_the_push_before_it(client: LineClient) -> None:
    answer = client.ask(push(b"a") + b"GET\r\n" + push(b"b") + b"GET wait=5\r\n")
    assert [line[:3] for line in answer.split(b"\r\n")] == [b"OK ", b"MSG", b"a", b"OK ", b"MSG", b"b", b""]


def test_nothing_is_started_behind_a_poll(world: World, client: LineClient) -> None:
    """A worker that pipelines polls never has a lease run out behind another poll."""
    client.ask(b"GET wait=5\r\nGET wait=5\r\n" + push(b"late"))
    assert world.driver.stats()["waiting_polls"] == 1
    assert world.driver.stats()["queueSize"] == 0
    world.settle(5)
    assert client.read() == b"EMPTY\r\n"
    assert world.driver.stats()["queueSize"] == 0
    world.settle(5)
    assert client.read().startswith(b"EMPTY\r\nOK ")


def test_nothing_but_pushes_that_wait_is_started_behind_a_push_that_waits() -> None:
    world = World(NodeSettings(size=1))
    client = world.connect()
    id = client.push(b"x")
    client.ask(push(b"y", " wait=5") + push(b"z", " wait=6") + f"ACK {id}\r\n".encode())
    assert world.driver.stats()["waiting_pushes"] == 2
    assert world.driver.stats()["ready"] == 1
    world.settle(5)
    assert client.read().startswith(b"ERR full ")
    world.settle(1)
    assert client.read().split(b"\r\n")[1:] == [b"OK", b""]


def test_a_ping_behind_a_poll_is_answered_after_it(world: World, client: LineClient) -> None:
    assert client.ask(b"GET wait=5\r\nPING\r\n") == b""
    world.settle(5)
    assert client.read() == b"EMPTY\r\nPONG\r\n"


def test_what_is_due_in_one_turn_is_one_write(client: LineClient) -> None:
    client.ask(push(b"x") * 500)
    assert client.stream.writes == 1
    client.ask(b"PING\r\n" * 500)
    assert client.stream.writes == 2


def test_ten_thousand_commands_in_one_read_are_all_answered() -> None:
    client = World(NodeSettings(size=10_000)).connect()
    answer = client.ask(push(b"x") * 10_000)
    assert answer.count(b"OK ") == 10_000
    assert client.ask(b"GET ack=now\r\n" * 10_001).count(b"\r\nx\r\n") == 10_000


def test_every_chunk_boundary_gives_the_same(world: World, client: LineClient) -> None:
    sent = push(b"a\r\n") + b"GET\r\n" + push(b"b", " bad") + b"ping\n"
    whole = client.ask(sent)
    other = World().connect()
    assert other.ask(*(bytes([byte]) for byte in sent)) == whole


def test_quit_closes_after_the_answers_before_it(client: LineClient) -> None:
    assert client.ask(push(b"x") + b"GET\r\nQUIT\r\nPING\r\n").endswith(b"\r\nx\r\n")
    assert client.closed


def test_quit_waits_for_a_poll_before_it(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=5\r\nQUIT\r\n")
    assert not client.closed
    world.settle(5)
    assert client.read() == b"EMPTY\r\n"
    assert client.closed


# Bounds.


def test_a_client_that_never_reads_is_not_read_from(world: World, client: LineClient) -> None:
    """It neither fills the server's memory nor takes messages that it will not look at."""
    for _ in range(100):
        client.push(b"x" * 10_000)
    client.stream.client_reads = False
    client.send(*[b"GET\r\n" * 10_000] * 50)
    world.settle()
    assert not client.stream.reading
    assert len(client.stream.unread) > 45
    assert len(client.stream.buffer) < 64 * 1024 + 20 * 10_000
    assert world.driver.stats()["leased"] < 30  # type: ignore[operator]


def test_a_client_that_reads_again_gets_all_answers(world: World, client: LineClient) -> None:
    client.stream.client_reads = False
    client.send(*[b"HELP\r\n" * 1000] * 10)
    world.settle()
    assert not client.stream.reading
    client.stream.client_reads = True
    world.settle()
    assert client.read().count(b"END\r\n") == 10_000


def test_pings_without_end_are_answered_in_parts(client: LineClient) -> None:
    assert client.ask(b"PING\r\n" * 30_000).count(b"PONG") == 30_000


def test_stats_without_end_let_others_have_their_turn(client: LineClient) -> None:
    client.send(b"STATS\r\n" * 100)
    client.stream.turn()
    assert client.stream.buffer.count(b"STATS ") == 1
    client.world.settle()
    assert client.read().count(b"STATS ") == 100


def test_due_answers_are_bounded_by_count(world: World) -> None:
    """Behind a poll only so many answers are noted; the rest stays in the network."""
    client = World(limits=LineLimits(due_max=10)).connect()
    client.ask(b"GET wait=5\r\n", *[b"PING\r\n" * 10_000] * 15)
    assert len(client.stream.unread) >= 13
    client.world.settle(5)
    assert client.read() == b"EMPTY\r\n" + b"PONG\r\n" * 150_000


def test_bodies_on_their_way_are_bounded_by_bytes() -> None:
    world = World(NodeSettings(size=1), LineLimits(due_bytes_max=1000))
    client = world.connect()
    client.push(b"")
    client.ask(push(b"x" * 400, " wait=5") * 20)
    assert world.driver.stats()["waiting_pushes"] == 3
    for _ in range(10):
        world.settle(5)
    assert client.read().count(b"ERR full ") == 20


def test_unparsed_input_is_bounded_while_a_poll_waits(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=30\r\nGET\r\n", *[b"GET\r\n" * 1000] * 100)
    assert len(client.stream.unread) >= 86
    world.settle(30)
    assert client.read().count(b"EMPTY") == 100_002


def test_the_server_reads_on_behind_a_poll_to_see_its_client_leave(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=30\r\nGET wait=30\r\n")
    assert client.stream.reading


def test_a_request_that_is_not_complete_in_time_is_request_timeout(world: World, client: LineClient) -> None:
    """A sender that trickles bytes holds its place for a minute, not for ever. It is looked at every five seconds."""
    client.ask(b"PUSH 1000\r\n")
    for _ in range(64):
        world.settle(1)
        client.ask(b"x")
    assert not client.closed
    world.settle(1)
    assert client.read() == (
        b"ERR request_timeout the rest of a body of 1000 bytes, or its line end, did not come within 65 seconds\r\n"
    )
    assert client.closed


@pytest.mark.parametrize("options", [b"", b" wait=soon"])
def test_a_long_body_has_as_much_time_as_it_needs(options: bytes) -> None:
    """A slow line is no reason to refuse a message; its sender goes on at 20 KiB a second, for minutes."""
    world, size = World(NodeSettings(max_message=2**23), limits=LineLimits(max_message=2**23)), 2**22
    client = world.connect()
    client.ask(b"PUSH %d%b\r\n" % (size, options))
    for _ in range(size // 20480):
        world.settle(1)
        assert client.ask(b"x" * 20480) == b""
    assert client.ask(b"x" * (size % 20480) + b"\r\n").startswith(b"ERR bad_request" if options else b"OK ")


def test_a_long_body_that_stalls_is_request_timeout(world: World, client: LineClient) -> None:
    """What has come of it counts at 16 KiB a second."""
    client.ask(b"PUSH 1000000\r\n" + b"x" * 20 * 16384)
    world.settle(75)
    assert not client.closed
    world.settle(5)
    assert client.read().endswith(b" or its line end, did not come within 80 seconds\r\n")
    assert client.closed


def test_each_request_has_its_own_time(world: World, client: LineClient) -> None:
    client.ask(b"PI")
    for _ in range(5):
        world.settle(50)
        assert client.ask(b"NG\r\nPI") == b"PONG\r\n"


def test_an_idle_connection_lives_for_ever(world: World, client: LineClient) -> None:
    client.ask(b"PING\r\n")
    world.settle(1_000_000)
    assert client.ask(b"PING\r\n") == b"PONG\r\n"


def test_a_request_that_waits_for_its_turn_is_not_late(world: World, client: LineClient) -> None:
    """The time is the client's to complete a request, not the server's to start it."""
    client.ask(b"GET wait=30\r\nGET wait=30\r\nGET wait=30\r\nPI")
    for _ in range(3):
        world.settle(30)
    assert client.ask(b"NG\r\n") == b"EMPTY\r\n" * 3 + b"PONG\r\n"


def test_a_client_that_never_takes_its_last_answers_is_cut_off(world: World, client: LineClient) -> None:
    client.stream.client_reads = False
    client.ask(b"PING\r\nQUIT\r\n")
    world.settle(60)
    assert client.stream.gone


def test_the_time_to_take_the_last_answers_is_counted_from_the_close(world: World, client: LineClient) -> None:
    client.ask(b"PI")
    client.stream.client_reads = False
    world.settle(59)
    client.ask(b"x" * 9000)
    world.settle(59)
    assert not client.stream.gone
    client.stream.client_reads = True
    world.settle()
    assert client.read().startswith(b"ERR framing ")


def test_connections_over_the_limit_are_told_so(world: World) -> None:
    world = World(limits=LineLimits(max_connections=2))
    first, second = world.connect(), world.connect()
    third = world.connect()
    world.settle()
    assert third.read().startswith(b"ERR busy ")
    assert third.stream.gone
    first.vanish()
    assert world.connect().ask(b"PING\r\n") == b"PONG\r\n"
    assert second.ask(b"PING\r\n") == b"PONG\r\n"


def test_clients_over_the_limit_that_do_not_hang_up_are_cut_off() -> None:
    """As over TLS, where a client that never begins the handshake is not closed by being refused."""
    world = World(limits=LineLimits(max_connections=1, refused_connections_max=2))
    world.connect()
    crowd = [Stuck() for _ in range(3)]
    for transport in crowd:
        protocol = world.factory.buildProtocol(None)
        transport.protocol = protocol
        protocol.makeConnection(cast(Any, transport))
    assert [transport.aborted for transport in crowd] == [True, False, False]
    world.clock.advance(2.1)
    assert all(transport.aborted for transport in crowd)
    assert not [call for call in world.clock.getDelayedCalls() if call.active()]


class Stuck(StringTransport):
    """A transport that only aborts: what it has to write is never taken."""

    protocol: Protocol

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.aborted = False

    def loseConnection(self) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True
        self.protocol.connectionLost(Failure(ConnectionAborted()))


def test_the_longest_lease_is_said(client: LineClient) -> None:
    client.push(b"x")
    assert client.ask(b"GET lease=43201\r\n") == (
        b"ERR bad_request lease: 43201 seconds are more than --max-lease, which is 43200\r\n"
    )
    receipt = client.get(" lease=43200")[0]
    for words in (f"TOUCH {receipt} lease={'9' * 32}", f"NACK {receipt} delay=43200.5"):
        assert client.ask(f"{words}\r\n".encode()).endswith(b" more than --max-lease, which is 43200\r\n")
    assert client.ask(f"NACK {receipt} delay=43200\r\n".encode()) == b"OK\r\n"


# Counted.


def test_what_is_refused_before_the_node_is_asked_is_counted_by_code() -> None:
    world = World(limits=LineLimits(max_message=5, max_connections=1), authenticate=lambda token: token == "t")
    client = world.connect()
    world.connect()
    client.ask(b"GET\r\nAUTH wrong\r\nAUTH t\r\n" + push(b"x" * 6) + b"NOPE\r\nPUSH x\r\n")
    client.vanish()
    world.connect().ask(b"PI")
    world.settle(60)
    refused = {"bad_request": 1, "busy": 1, "framing": 1, "request_timeout": 1, "too_large": 1, "unauthorized": 2}
    assert world.driver.stats()["listeners"] == {"line": {"refused": refused}}


def test_what_the_node_refuses_is_not_counted_twice(world: World, client: LineClient) -> None:
    client.ask(b"ACK node.01M85ZDB75JNQDH956BXFJY0D9.1\r\n")
    assert world.driver.stats()["refused"] == {"unknown": 1}
    assert world.driver.stats()["listeners"] == {}


# Leaving.


def test_after_a_half_close_complete_commands_are_answered(world: World, client: LineClient) -> None:
    """As in `printf 'PUSH …' | nc`: the answer still comes."""
    client.send(push(b"x") + b"GET\r\nPING\r\nPI")
    client.stream.turn()
    client.half_close()
    world.settle()
    answer = client.read()
    assert answer.startswith(b"OK ")
    assert answer.endswith(b"\r\nx\r\nPONG\r\nERR framing the input ended: the end of a line did not come\r\n")
    assert client.stream.gone


@pytest.mark.parametrize(
    ("sent", "missing"),
    [
        (b"PUSH 7\r\nhello\r\n", b"the rest of a body of 7 bytes, or its line end,"),
        (b"PUSH 5\r\nhello", b"the rest of a body of 5 bytes, or its line end,"),
        (b"PUSH 5", b"the end of a line"),
    ],
)
def test_a_request_that_is_incomplete_at_a_half_close_is_refused(
    client: LineClient, sent: bytes, missing: bytes
) -> None:
    """As in `printf 'PUSH 7…' | nc -N`: silence would look like success."""
    client.ask(sent)
    client.half_close()
    client.world.settle()
    assert client.read() == b"ERR framing the input ended: " + missing + b" did not come\r\n"
    assert client.stream.gone
    assert ready(client.world) == 0


def test_the_refusal_of_an_incomplete_request_comes_behind_the_answers_before_it(world: World) -> None:
    world = World(NodeSettings(size=1))
    client, worker = world.connect(), world.connect()
    id = client.push(b"x")
    client.ask(push(b"y", " wait=30") + b"PUSH 5\r\nhel")
    client.half_close()
    worker.ask(f"ACK {id}\r\n".encode())
    assert [line.split(b" ")[0] for line in client.read().split(b"\r\n")] == [b"OK", b"ERR", b""]
    assert client.stream.gone


def test_a_half_close_withdraws_a_waiting_get(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=30\r\nGET wait=30\r\n" + push(b"x") + b"GET wait=30\r\n")
    client.half_close()
    world.settle()
    answer = client.read()
    assert answer.startswith(b"EMPTY\r\nEMPTY\r\nOK ")
    assert answer.endswith(b"\r\nx\r\n")
    assert client.stream.gone


def test_a_half_close_lets_a_waiting_push_wait() -> None:
    world = World(NodeSettings(size=1))
    client, worker = world.connect(), world.connect()
    id = client.push(b"x")
    client.ask(push(b"y", " wait=30"))
    client.half_close()
    worker.ask(f"ACK {id}\r\n".encode())
    assert client.read().startswith(b"OK ")
    assert client.stream.gone


def test_a_half_close_of_an_idle_connection_closes_it(world: World, client: LineClient) -> None:
    client.half_close()
    world.settle()
    assert client.stream.gone


def test_a_poll_of_a_client_that_is_gone_takes_no_message(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=30\r\n")
    client.vanish()
    world.connect().push(b"x")
    assert (ready(world), leased(world)) == (1, 0)


def test_a_delivery_for_a_client_that_is_gone_is_given_back(world: World, client: LineClient) -> None:
    """It is ready at once, and its attempts do not count the one that never was."""
    client.push(b"x")
    client.send(b"GET\r\n")
    client.stream.turn()
    client.vanish()
    world.settle()
    assert world.connect().get()[1] == 1


def test_a_delivery_that_meets_a_half_close_is_given_back(world: World, client: LineClient) -> None:
    client.ask(b"GET wait=30\r\n")
    other = world.connect()
    other.send(push(b"x"))
    other.stream.turn()
    client.half_close()
    world.settle()
    assert client.read() == b"EMPTY\r\n"
    assert other.read().startswith(b"OK ")
    assert other.get()[1] == 1


def test_a_push_of_a_client_that_is_gone_is_not_cancelled(world: World, client: LineClient) -> None:
    client.send(push(b"x"))
    client.stream.turn()
    client.vanish()
    world.settle()
    assert ready(world) == 1


def test_a_push_that_waits_is_taken_back_when_its_connection_breaks() -> None:
    world = World(NodeSettings(size=1))
    client, other = world.connect(), world.connect()
    id = other.push(b"x")
    client.ask(push(b"y", " wait=30"))
    client.vanish()
    other.ask(f"ACK {id}\r\n".encode())
    assert world.driver.stats()["queueSize"] == 0


def test_an_incomplete_push_of_a_client_that_is_gone_is_dropped(world: World, client: LineClient) -> None:
    client.ask(b"PUSH 5\r\nhel")
    client.vanish()
    world.settle()
    assert world.driver.stats()["queueSize"] == 0


def test_connect_and_close_leaves_no_log_line_and_no_timer(world: World) -> None:
    with capturedLogs() as events:
        world.connect().vanish()
        world.connect().half_close()
        world.settle()
    assert not events
    assert not world.clock.getDelayedCalls()
    assert world.factory.connections == 0


def test_a_connection_that_is_ending_waits_for_no_request(world: World) -> None:
    """What the client had begun when the server stopped is not held against it."""
    world = World(NodeSettings(size=1), LineLimits(request_s=5))
    client = world.connect()
    client.push(b"x")
    client.ask(push(b"y", " wait=20") + b"PI")
    world.factory.end()
    world.settle(20)
    answer = client.read()
    assert answer.startswith(b"ERR full ")
    assert answer.count(b"\r\n") == 1


def test_no_timer_outlives_the_clients(world: World, client: LineClient) -> None:
    client.ask(b"PUSH 5\r\n")
    assert world.clock.getDelayedCalls()
    client.vanish()
    assert not world.clock.getDelayedCalls()


def test_no_timer_outlives_a_client_that_hung_up(world: World, client: LineClient) -> None:
    client.ask(b"QUIT\r\n")
    client.vanish()
    assert not world.clock.getDelayedCalls()


def test_the_door_ends_each_connection_when_what_is_due_is_written() -> None:
    world = World(NodeSettings(size=1))
    idle, waiting = world.connect(), world.connect()
    id = idle.push(b"x")
    waiting.ask(push(b"y", " wait=30"))
    ended: list[None] = []
    world.factory.end().addCallback(ended.append)
    world.settle()
    assert idle.closed
    assert not waiting.closed
    idle.vanish()
    world.connect().ask(f"ACK {id}\r\n".encode())
    assert waiting.read().startswith(b"OK ")
    assert waiting.closed
    assert not ended
    for client in world.clients:
        client.vanish()
    assert ended == [None]


# Tokens.


@pytest.fixture
def locked() -> LineClient:
    return World(authenticate=lambda token: token == "let me in").connect()


def test_without_auth_everything_but_five_verbs_is_unauthorized(locked: LineClient) -> None:
    for sent in (push(b"QUIT\r\n"), b"GET\r\n", b"STATS\r\n", b"GET wait=30\r\n"):
        assert locked.ask(sent).startswith(b"ERR unauthorized "), sent
    assert locked.ask(b"PING\r\nHELP\r\n").endswith(b"END\r\n")
    assert locked.ask(b"HELLO\r\n").endswith(b" auth=yes\r\n")
    assert locked.world.driver.stats()["queueSize"] == 0
    locked.ask(b"QUIT\r\n")
    assert locked.closed


def test_auth_opens_the_connection_for_all_that_follows(locked: LineClient) -> None:
    answers = locked.ask(push(b"no") + b"AUTH wrong\r\nAUTH let%20me%20in\r\n" + push(b"yes")).split(b"\r\n")
    assert [answer.split(b" ")[0] for answer in answers] == [b"ERR", b"ERR", b"OK", b"OK", b""]
    assert b"wrong" not in answers[1]
    assert locked.get()[2] == b"yes"


def test_without_auth_no_long_body_is_read(locked: LineClient) -> None:
    assert locked.ask(b"PUSH 65537\r\n").startswith(b"ERR framing ")
    assert locked.closed


def test_another_connection_is_not_opened_by_it(locked: LineClient) -> None:
    locked.ask(b"AUTH let%20me%20in\r\n")
    assert locked.world.connect().ask(b"GET\r\n").startswith(b"ERR unauthorized ")
