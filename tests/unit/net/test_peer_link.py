"""Nodes that talk over HTTP: real treq against the real peers' door, connections that are memory."""

import json
from random import Random
from typing import Any, cast

import msgpack
import pytest
from attrs import evolve
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from dqtw.core.lifecycle.life import Phase
from dqtw.core.links.peer_messages import (
    Applied,
    Ask,
    Asked,
    Asking,
    Declined,
    Delta,
    Failed,
    FencedOff,
    Fetch,
    Fetched,
    Forward,
    Forwarded,
    PeerAnswer,
    Put,
)
from dqtw.core.model.commands import Ack, Delivered, Done, Get, Push, Pushed
from dqtw.core.model.errors import Refusal, Uncertain
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import MessageId
from dqtw.core.node import Node
from dqtw.driver import Driver
from dqtw.net.peer.auth import PeerSecret, Signer, Verifier
from dqtw.net.peer.client import grace_s
from dqtw.net.peer.limits import PeerLimits
from dqtw.net.peer.pool import PeerPool
from dqtw.net.peer.server import PeerDoor
from dqtw.wire.peer import protocol as peer
from tests.unit.net.peer_network import (
    Member,
    MemoryLink,
    Net,
    RawSite,
    Scripted,
    ask,
    client_on,
    cluster_of,
    settings_of,
    url_of,
)

secret, other_secret = b"s" * 16, b"t" * 16
incarnation = "01JD0000000000000000000000"
asked = Asked("b", "boot", "", "", 0.0, False, False, False, False, {})
applied = Applied("b", "boot", "t", 1, False, "", False)
delta = Delta("a", "t", 1, incarnation, IdSet("a"))
ack = Forward("a", "dqtw", incarnation, "boot", 1, Ack(MessageId("b", incarnation, 1)))


@pytest.fixture
def net() -> Net:
    return Net()


def door_on(
    net: Net, answer: PeerAnswer | None = None, key: bytes | None = None, limits: PeerLimits | None = None
) -> Scripted:
    """A peer b that answers whatever is asked with this."""
    scripted = Scripted()
    scripted.answer = answer
    door = PeerDoor("b", scripted, Verifier(PeerSecret(key), net.wall) if key else None, limits)
    net.listening[b"b.test"] = door.site(net.clock)
    return scripted


def why(answers: list[PeerAnswer], kind: type[Declined | Failed]) -> str:
    """The one answer's reason."""
    (answer,) = answers
    assert isinstance(answer, kind), answer
    return answer.why


def was_sent(answers: list[PeerAnswer]) -> bool:
    """Whether the peer may have had the request, as far as the asker knows."""
    (answer,) = answers
    assert isinstance(answer, Failed)
    return answer.was_sent


def post(net: Net, target: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    """A request of a stranger: status, and the problem document."""
    lines = [f"POST {target} HTTP/1.1", "Host: b", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    received = net.stranger(b"b.test", "\r\n".join([*lines, "", ""]).encode() + body)
    head, _, document = received.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(document) if b"problem+json" in head else {}


# Clusters


@pytest.mark.parametrize("key", [None, secret])
@pytest.mark.parametrize("members", ["ab", "abc"])
def test_a_push_on_one_node_is_got_through_another(net: Net, members: str, key: bytes | None) -> None:
    """Any node will do, and every node holds a copy before a push is answered."""
    cluster = cluster_of(net, members, key)
    pushed = cluster["a"].tell(Push(b"\x00body", "image/png"))
    assert isinstance(pushed, Pushed)
    assert (pushed.copies, pushed.members) == (len(members), len(members))
    delivered = cluster["b"].tell(Get(wait_s=1.0))
    assert isinstance(delivered, Delivered)
    (delivery,) = delivered.deliveries
    assert (delivery.receipt.id, delivery.message.body, delivery.message.content_type) == (
        pushed.id,
        b"\x00body",
        "image/png",
    )
    assert cluster["b"].tell(Ack(pushed.id)) == Done()
    assert isinstance(cluster["a"].tell(Ack(pushed.id)), Refusal)


def test_nodes_need_nothing_of_a_network_but_requests_and_answers() -> None:
    """The same nodes form the same cluster over any other transport."""
    clock = Clock()
    drivers: dict[str, Driver] = {}
    for node in "ab":
        machine = Node(0.0, settings_of(node, "ab"), Random(node).randbytes, 0)
        drivers[node] = Driver(machine, clock, MemoryLink(drivers))
    for driver in drivers.values():
        driver.start()
    clock.pump([0.05] * 100)
    outcomes: list[Any] = []
    drivers["a"].submit(Push(b"x"), outcomes.append)
    clock.pump([0.05] * 10)
    assert [outcome.copies for outcome in outcomes] == [2]


def test_a_node_that_starts_anew_recovers_its_queue(net: Net) -> None:
    """A crashed node's messages come back from its peers over the same connections as everything else."""
    cluster = cluster_of(net, "abc", secret)
    pushed = [cluster["a"].tell(Push(b"%d" % n), 0.2) for n in range(20)]
    cluster["a"].crash()
    net.pass_time(1)
    assert cluster["b"].tell(Get()) == Delivered()
    cluster["a"] = Member(net, settings_of("a", "abc"), secret, seed=1)
    net.pass_time(5)
    assert cluster["a"].serves
    delivered = cluster["b"].tell(Get(100, wait_s=1.0))
    assert isinstance(delivered, Delivered)
    assert len(delivered.deliveries) == len(pushed)


def test_a_message_larger_than_a_nodes_own_limit_gets_its_copies(net: Net) -> None:
    """A node with a smaller --max-message holds what its peers take: the owner's limit counts."""
    large = Member(net, settings_of("a", "ab", max_message=3_000_000))
    Member(net, settings_of("b", "ab", max_message=10))
    net.pass_time(3)
    pushed = large.tell(Push(b"x" * 3_000_000))
    assert isinstance(pushed, Pushed)
    assert pushed.copies == 2


def test_a_request_costs_no_connection_of_its_own(net: Net) -> None:
    """Peers keep their connections: pushes by the thousand open no sockets."""
    cluster = cluster_of(net, "ab")
    before = len(net.cables)
    for n in range(20):
        cluster["a"].tell(Push(b"%d" % n), 0.1)
    assert len(net.cables) == before


def test_nothing_is_logged_per_request(net: Net) -> None:
    """A node's log tells of its life, not of its traffic."""
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    cluster = cluster_of(net, "ab")
    globalLogPublisher.addObserver(observer)
    cluster["a"].tell(Push(b"x"))
    to = cluster["b"].node.boot
    ask(net, cluster["a"].client, Forward("a", "dqtw", cluster["a"].node.incarnation, to, 1, Get()))
    globalLogPublisher.removeObserver(observer)
    assert not events


# Who does not belong together: a peer that answers but refuses is not unreachable, and says why


def refusing(net: Net, one: bytes | None, other: bytes | None, **more: Any) -> str:
    """Why the node a can't start with its peer b."""
    a = Member(net, settings_of("a", "ab", start_wait_s=5.0), one)
    Member(net, settings_of("b", "ab", start_wait_s=5.0, **more), other)
    net.pass_time(8)
    assert a.node.phase is Phase.STARTING
    return a.node.peers["b"].declined


def test_a_node_with_another_secret_is_told_so(net: Net) -> None:
    """A mistyped secret does not make two half clusters that both serve."""
    assert "secrets the same" in refusing(net, secret, other_secret)


def test_a_node_without_the_secret_is_told_so(net: Net) -> None:
    """A forgotten --peer-secret-file is named, whichever node it was forgotten on."""
    assert "the asker has none" in refusing(net, None, secret)
    assert "this node has none" in refusing(Net(), secret, None)


def test_a_node_of_another_cluster_is_told_so(net: Net) -> None:
    """Two clusters that were given each other's addresses do not mix."""
    assert "cluster other" in refusing(net, secret, secret, cluster="other")


@pytest.mark.parametrize("key", [None, secret])
def test_another_version_is_declined_in_words(net: Net, key: bytes | None) -> None:
    """After an update an operator reads which versions do not match."""
    door_on(net, asked, key)
    status, document = post(net, "/peer/v2/ask", b"", Dqtw_To="b")
    assert (status, document["detail"]) == (404, "this node speaks version 1 of the peer protocol, not 2")


def test_what_the_refusing_side_says_arrives_as_declined(net: Net) -> None:
    """The reason is in the log of the node that was refused."""
    body = json.dumps({"detail": "this node speaks version 2\nof the peer protocol", "code": "not_found"}).encode()
    head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n"
    net.listening[b"b.test"] = RawSite(head % len(body) + body)
    assert (
        why(ask(net, client_on(net), Ask("a", "dqtw")), Declined) == "this node speaks version 2?of the peer protocol"
    )


def test_another_node_at_the_address_is_a_failure_and_does_nothing(net: Net) -> None:
    """An address that now belongs to another node is not the peer: what was meant for one is not done by the other.

    What is in between may have brought it to the right one first, and lost the answer.
    """
    scripted = door_on(net, asked)
    answers: list[PeerAnswer] = []
    client_on(net).send(Asking(1, "c", url_of("b"), ack, 5.0), answers.append)
    net.settle()
    assert "this is the node b, not c" in why(answers, Failed)
    assert was_sent(answers) is True
    assert not scripted.asked


def test_a_peer_that_claims_an_incarnation_past_all_others_harms_only_its_own_session(net: Net) -> None:
    """It counts as one that does not answer; the others start, and serve, in an incarnation of today."""
    scripted = Scripted()
    scripted.answer = evolve(asked, node="c", greatest="7" + "Z" * 25)
    net.listening[b"c.test"] = PeerDoor("c", scripted).site(net.clock)
    a, b = (Member(net, settings_of(node, "abc", copies=2, start_wait_s=5.0)) for node in "ab")
    net.pass_time(8)
    assert a.serves
    assert b.serves
    assert a.node.incarnation.startswith("01")
    assert "not an incarnation" in a.node.peers["c"].error
    assert isinstance(a.tell(Push(b"x")), Pushed)


# What is not as it was sent


def test_a_changed_body_does_nothing(net: Net) -> None:
    """Who can change what is on its way can't put a message on a queue."""
    scripted = door_on(net, applied, secret)
    body = peer.encode_request(delta)
    shown = Signer(PeerSecret(secret), net.wall, lambda n: b"n" * n).sign("/peer/v1/delta", "b", body)
    changed = body.replace(incarnation.encode(), b"01JD0000000000000000000001")
    status, document = post(net, "/peer/v1/delta", changed, Dqtw_To="b", Dqtw_Auth=shown.header())
    assert (status, document["code"]) == (401, "unauthorized")
    assert not scripted.asked


def test_a_forward_that_was_recorded_does_nothing_the_second_time(net: Net) -> None:
    """A push that somebody listened to can't be pushed again."""
    scripted = door_on(net, Forwarded(Done()), secret)
    assert ask(net, client_on(net, secret), ack) == [Forwarded(Done())]
    recorded = net.cables[-1].asked
    received = net.stranger(b"b.test", recorded)
    assert b"401 " in received
    assert b"came before" in received
    assert len(scripted.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 405])
def test_a_forward_that_its_peers_door_refuses_may_have_been_done(net: Net, status: int) -> None:
    """The network brought it twice: that its second copy is refused says nothing of the first one."""
    body = json.dumps({"detail": "this very request came before", "code": "unauthorized"}).encode()
    head = b"HTTP/1.1 %d No\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n"
    net.listening[b"b.test"] = RawSite(head % (status, len(body)) + body)
    assert was_sent(ask(net, client_on(net), ack)) is True
    assert "this very request came before" in why(ask(net, client_on(net), Ask("a", "dqtw")), Declined)


def test_who_does_not_know_the_secret_gets_no_body_in(net: Net) -> None:
    """A stranger at the peers' port costs no memory: it is refused by the head of its request."""
    door_on(net, applied, secret)
    head = b"POST /peer/v1/delta HTTP/1.1\r\nHost: b\r\nDqtw-To: b\r\nContent-Length: 1000000\r\n\r\n"
    assert net.stranger(b"b.test", head).startswith(b"HTTP/1.1 401 ")


def test_an_answer_without_proof_is_a_failure(net: Net) -> None:
    """Nobody who took over a peer's address can say that a push is held."""
    body = peer.encode_answer(applied)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.msgpack\r\nContent-Length: %d\r\n\r\n"
    net.listening[b"b.test"] = RawSite(head % len(body) + body)
    assert ask(net, client_on(net), delta) == [applied]
    assert "no knowledge of this cluster's secret" in why(ask(net, client_on(net, secret), delta), Failed)


def test_an_answer_that_was_recorded_is_a_failure(net: Net) -> None:
    """A recorded answer can't be shown for another request."""
    door_on(net, applied, secret)
    client = client_on(net, secret)
    ask(net, client, delta)
    recorded = net.stranger(b"b.test", net.cables[0].asked)
    assert recorded.startswith(b"HTTP/1.1 200 ")
    net.listening[b"b.test"] = RawSite(recorded)
    assert "HMAC" in why(ask(net, client_on(net, secret, seed=2), delta), Failed)


# What is too much


def test_a_request_that_is_too_large_is_refused(net: Net) -> None:
    """Nobody can fill a node's memory through the peers' port."""
    scripted = door_on(net, asked, limits=PeerLimits(request_bytes_max=100))
    assert post(net, "/peer/v1/ask", b"x" * 101, Dqtw_To="b")[0] == 413
    large = Fetch("a", "t", 1, IdSet.of("a", [MessageId("a", incarnation, n) for n in range(1, 200, 2)]))
    assert "413" in why(ask(net, client_on(net), large), Failed)
    assert not scripted.asked


def test_a_large_message_passes_where_messages_pass(net: Net) -> None:
    """A bound on small requests does not stop a queue."""
    scripted = door_on(net, applied, limits=PeerLimits(request_bytes_max=100))
    put = Put(MessageId("a", incarnation, 1), b"x" * 2_000_000, "text/plain", None, 0.0)
    large = Delta("a", "t", 1, incarnation, IdSet("a"), (put,))
    assert ask(net, client_on(net), large) == [applied]
    assert scripted.asked == [large]


def test_an_answer_that_is_too_large_is_a_failure_and_its_connection_ends(net: Net) -> None:
    """A peer that goes mad can't fill the memory of the others."""
    put = Put(MessageId("a", incarnation, 1), b"x" * 200_000, "t", None, 0.0)
    answer = Fetched("b", "boot", "t", 1, (put,), IdSet("a"), leaving=False)
    door_on(net, answer)
    limits = PeerLimits(message_answer_bytes_max=100_000)
    failed = why(ask(net, client_on(net, limits=limits), Fetch("a", "t", 1, IdSet("a"))), Failed)
    assert failed == "the answer is longer than 100000 bytes"
    assert net.cables[-1].ended


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 200 OK\r\n" + b"X-Header: x\r\n" * 20_000, "closed without"),
        (b"HTTP/1.1 200 OK\r\nX-Header: " + b"x" * 200_000, "closed without"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.msgpack\r\n\r\n" + b"x" * 5_000_000, "longer than"),
    ],
)
def test_an_answer_without_end_is_a_failure(net: Net, answer: bytes, says: str) -> None:
    """Headers by the million and bodies without a length are not gathered in memory."""
    net.listening[b"b.test"] = RawSite(answer)
    assert says in why(ask(net, client_on(net), Ask("a", "dqtw")), Failed)
    assert net.cables[-1].ended


def test_a_compressed_answer_is_not_blown_up(net: Net) -> None:
    """A few bytes that become gigabytes stay a few bytes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.msgpack\r\nContent-Encoding: gzip\r\n"
    net.listening[b"b.test"] = RawSite(head + b"Content-Length: 4\r\n\r\n\x1f\x8b\x08\x00")
    assert ask(net, client_on(net), Ask("a", "dqtw")) == [Failed("not an array")]
    assert b"Accept-Encoding: identity\r\n" in net.cables[-1].asked
    assert b"gzip" not in net.cables[-1].asked


# What does not come


@pytest.mark.parametrize(("request_", "timeout_s"), [(delta, 5.0), (ack, 5.0), (ack, 41.0)])
def test_a_peer_that_hangs_is_given_up_and_its_connection_cut(net: Net, request_: Any, timeout_s: float) -> None:
    """A peer that takes requests and answers none costs one connection for a few seconds."""
    scripted = door_on(net)
    answers: list[PeerAnswer] = []
    client_on(net).send(Asking(1, "b", url_of("b"), request_, timeout_s), answers.append)
    net.pass_time(timeout_s + grace_s - 0.1)
    assert not answers
    assert len(scripted.asked) == 1
    net.pass_time(0.2)
    assert why(answers, Failed) == "no answer in time"
    assert was_sent(answers) is True
    assert net.cables[-1].ended


def test_an_answer_that_comes_after_its_asker_gave_up_is_dropped(net: Net) -> None:
    """A slow node is not brought down by what nobody waits for any more."""
    scripted = door_on(net)
    ask(net, client_on(net), delta, within_s=6.0)
    scripted.replied[0](applied)
    net.settle()


def test_a_machine_that_vanished_is_given_up(net: Net) -> None:
    """A cut cable is not waited for longer than a dead process."""
    door_on(net, applied)
    client = client_on(net)
    assert ask(net, client, delta) == [applied]
    net.cables[-1].moving = False
    assert why(ask(net, client, delta, within_s=6.0), Failed) == "no answer in time"


def test_nobody_listening_is_a_failure_at_once(net: Net) -> None:
    """A peer that is down is known to be down without a wait."""
    answers = ask(net, client_on(net), Ask("a", "dqtw"))
    assert "refused" in why(answers, Failed)
    assert was_sent(answers) is False


@pytest.mark.parametrize("url", ["", "b", "http://", "ftp://b.test", "http://[", "http://b.test:x", "http://b\x00"])
def test_an_address_that_is_none_is_a_failure(net: Net, url: str) -> None:
    """A peer that tells a wrong address of itself harms only itself."""
    answers: list[PeerAnswer] = []
    client_on(net).send(Asking(1, "b", url, Ask("a", "dqtw"), 5.0), answers.append)
    net.settle()
    assert why(answers, Failed)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 xyz\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.msgpack\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.msgpack\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.msgpack\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.msgpack\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.msgpack\r\nTransfer-Encoding: x\r\n\r\nx\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://c.test/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 401 No\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 401 No\r\nContent-Type: application/problem+json\r\nContent-Length: 60000\r\n\r\n" + b"[" * 60_000,
    ],
)
def test_an_answer_that_is_none_is_a_failure(net: Net, answer: bytes) -> None:
    """Whatever listens at a peer's address: it harms nothing, and what it sent is said."""
    net.listening[b"b.test"] = RawSite(answer, hang_up=True)
    assert why(ask(net, client_on(net), Ask("a", "dqtw")), Failed)


def test_a_connection_lost_in_the_middle_of_an_answer_is_a_failure(net: Net) -> None:
    """Half an answer is none."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.msgpack\r\nContent-Length: 100\r\n\r\nhalf"
    net.listening[b"b.test"] = RawSite(head, hang_up=True)
    answers = ask(net, client_on(net), Ask("a", "dqtw"))
    assert "middle of the answer" in why(answers, Failed)
    assert was_sent(answers) is True


def test_a_peer_that_hung_up_while_it_was_answered_has_been_served(net: Net) -> None:
    """What a peer asked is done, whether it waits for the answer or not."""
    scripted = door_on(net)
    client = client_on(net)
    ask(net, client, delta)
    net.cables[-1].cut()
    net.settle()
    scripted.replied[0](applied)
    net.settle()
    assert scripted.asked == [delta]


# Connections that stay


def test_a_peer_that_restarted_costs_one_failure_at_most(net: Net) -> None:
    """Stale connections are dropped together: one failure, and then the new process answers."""
    door_on(net, applied)
    client = client_on(net)
    answers: list[PeerAnswer] = []
    for _ in range(5):
        client.send(Asking(1, "b", url_of("b"), delta, 5.0), answers.append)
    net.settle()
    assert answers == [applied] * 5
    for cable in net.cables:
        cable.moving = False
    assert why(ask(net, client, delta, within_s=6.0), Failed)
    assert ask(net, client, delta) == [applied]


def test_a_connection_that_idles_is_closed_by_the_asker_first(net: Net) -> None:
    """No request meets a connection that the other side is just closing."""
    door_on(net, applied)
    client = client_on(net)
    ask(net, client, delta)
    net.pass_time(29)
    assert not net.cables[-1].ended
    net.pass_time(2)
    assert net.cables[-1].ended
    assert ask(net, client, delta) == [applied]


def test_a_connection_that_would_not_close_is_cut(net: Net) -> None:
    """A peer that answers at once and never reads leaves no connections behind, each with a message in its buffer."""
    pool = PeerPool(net.clock, PeerLimits())
    connection = pool._factory(lambda _: None, "").buildProtocol(None)
    transport = StringTransport()
    connection.makeConnection(transport)
    pool.cut_closing()
    assert not transport.disconnected
    transport.loseConnection()
    assert not transport.disconnected
    pool.cut_closing()
    assert transport.disconnected


def test_what_fails_with_one_peer_does_not_touch_another(net: Net) -> None:
    """A broken peer does not end the sessions with the good ones."""
    door_on(net, applied)
    net.listening[b"c.test"] = RawSite(b"\x00", hang_up=True)
    client = client_on(net)
    ask(net, client, delta)
    assert why(ask(net, client, delta, to="c"), Failed)
    before = len(net.cables)
    assert ask(net, client, delta) == [applied]
    assert len(net.cables) == before


def test_of_forwards_not_all_go_at_once_and_a_session_waits_for_none(net: Net) -> None:
    """A thousand clients at the wrong node cost their owner some connections, and hold up no push."""
    scripted = door_on(net)
    client = client_on(net, limits=PeerLimits(forwards_max=2, forwards_waiting_max=3))
    answers: list[PeerAnswer] = []
    for _ in range(6):
        client.send(Asking(1, "b", url_of("b"), ack, 5.0), answers.append)
    client.send(Asking(1, "b", url_of("b"), delta, 5.0), answers.append)
    net.settle()
    assert scripted.asked == [ack, ack, delta]
    assert why(answers, Failed) == "too many requests wait for this peer"
    assert was_sent(answers) is False
    scripted.answer = Forwarded(Done())
    for replied in scripted.replied[:2]:
        replied(Forwarded(Done()))
    net.settle()
    assert scripted.asked.count(ack) == 5
    assert answers.count(Forwarded(Done())) == 5


def test_a_forward_whose_turn_does_not_come_in_time_is_a_failure(net: Net) -> None:
    """No client waits for its owner longer than for its own node."""
    door_on(net)
    client = client_on(net, limits=PeerLimits(forwards_max=1))
    answers: list[PeerAnswer] = []
    for _ in range(2):
        client.send(Asking(1, "b", url_of("b"), ack, 5.0), answers.append)
    net.pass_time(6)
    assert answers == [Failed("no answer in time")] * 2


def test_a_client_that_stops_leaves_nothing_behind(net: Net) -> None:
    """A node that leaves does not wait for its peers' connections."""
    door_on(net, applied)
    client = client_on(net)
    ask(net, client, delta)
    scripted = door_on(net)
    answers: list[PeerAnswer] = []
    for _ in range(2):
        client.send(Asking(1, "b", url_of("b"), delta, 5.0), answers.append)
    net.settle()
    assert scripted.asked == [delta]
    client.stop()
    net.pass_time(2)
    assert len(answers) == 2
    assert all(isinstance(answer, Failed) for answer in answers[1:])
    assert all(cable.ended for cable in net.cables)
    net.listening.clear()
    net.pass_time(2)
    assert not net.clock.getDelayedCalls()


# The door


@pytest.mark.parametrize(
    ("target", "body", "headers", "status"),
    [
        ("/", b"", {}, 404),
        ("/push", b"", {}, 404),
        ("/peer/v1/nothing", b"", {"Dqtw_To": "b"}, 404),
        ("/peer/v1/ask/", b"", {"Dqtw_To": "b"}, 404),
        ("/peer/v99999999/ask", b"", {"Dqtw_To": "b"}, 404),
        ("/peer/v1/%61sk", b"", {"Dqtw_To": "b"}, 404),
        ("/peer/v1/ask", b"", {}, 400),
        ("/peer/v1/ask", b"", {"Dqtw_To": "b"}, 400),
        ("/peer/v1/ask", b"\xc1", {"Dqtw_To": "b"}, 400),
        ("/peer/v1/ask", msgpack.packb({"queue": "a"}), {"Dqtw_To": "c"}, 421),
        ("/peer/v1/ask", msgpack.packb({"queue": "a"}), {"Dqtw_To": "b", "Dqtw_Auth": "x"}, 401),
    ],
)
def test_what_is_no_request_of_a_peer_is_refused_with_a_problem_document(
    net: Net, target: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    """A client that found the peers' port reads that it is the wrong one."""
    scripted = door_on(net, asked)
    got, document = post(net, target, body, **headers)
    assert (got, document["status"]) == (status, status)
    assert document["detail"]
    assert not scripted.asked
    assert scripted.refused == [("peers", document["code"])]


def test_a_node_that_fails_at_a_request_answers_and_goes_on(net: Net, logged_failures: list[LogEvent]) -> None:
    """A defect costs one request, is logged, and harms nobody else."""
    scripted = door_on(net, Failed("never sent"))
    assert "500" in why(ask(net, client_on(net), Ask("a", "dqtw")), Failed)
    assert len(logged_failures) == 1
    logged_failures.clear()
    scripted.answer = asked
    assert ask(net, client_on(net), Ask("a", "dqtw")) == [asked]


def test_a_defect_in_taking_an_answer_is_logged_and_harms_no_other(net: Net, logged_failures: list[LogEvent]) -> None:
    """A defect of one's own is seen in the log, and the connections go on."""
    door_on(net, applied)
    client = client_on(net)

    def broken(_: PeerAnswer) -> None:
        raise ZeroDivisionError

    client.send(Asking(1, "b", url_of("b"), delta, 5.0), broken)
    net.settle()
    assert len(logged_failures) == 1
    logged_failures.clear()
    assert ask(net, client, delta) == [applied]


def test_every_answer_of_the_core_arrives(net: Net) -> None:
    """What a node has to say to another gets there."""
    for answer in (FencedOff("b", "boot", incarnation), Declined("no")):
        door_on(net, answer, secret)
        assert ask(net, client_on(net, secret), delta) == [answer]


def test_a_forward_whose_answer_is_lost_is_uncertain(net: Net) -> None:
    """A client is never told that something failed which may have happened."""
    cluster = cluster_of(net, "ab")
    pushed = cluster["b"].tell(Push(b"x"))
    assert isinstance(pushed, Pushed)
    outcomes: list[Any] = []
    cluster["a"].driver.submit(Ack(pushed.id), outcomes.append)
    net.clock.advance(0)
    for cable in net.cables:
        cable.moving = False
    net.pass_time(6)
    assert [type(outcome) for outcome in outcomes] == [Uncertain]
