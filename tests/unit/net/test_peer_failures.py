"""Why a peer cannot be reached: the words, from real listeners and from what Twisted raises."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from OpenSSL import SSL
from twisted.internet import defer, error
from twisted.internet.address import HostnameAddress
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError, ResponseNeverReceived
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

from dqtw.core.links.peer_messages import Ask, Asking, Declined, Failed, Forward, PeerAnswer
from dqtw.core.model.commands import Ack
from dqtw.core.model.message import MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.driver import Driver
from dqtw.net.http.limits import HttpLimits
from dqtw.net.http.site import BoundedSite
from dqtw.net.line.factory import LineFactory, LineLimits
from dqtw.net.peer.certificate import BadPeerCertificate
from dqtw.net.peer.client import PeerClient
from dqtw.net.peer.endpoints import PeerEndpoints
from dqtw.net.peer.failures import reason, refusal
from dqtw.net.rest.api import RestDoor
from tests.unit.net.peer_network import Member, Net, ask, client_on, settings_of, url_of

ask_a = Ask("a", "dqtw")
forward = Forward("a", "dqtw", "01JD0000000000000000000000", "boot", 1, Ack(MessageId("b", "0" * 26, 1)))


@pytest.fixture
def net() -> Net:
    return Net()


def never_received(cause: Exception) -> ResponseNeverReceived:
    return ResponseNeverReceived([Failure(cause)])


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (error.DNSLookupError("no results for hostname lookup: b"), "the host name cannot be resolved"),
        (error.ConnectionRefusedError(string="Connection refused"), "connection refused"),
        (error.TimeoutError(), "no connection in time"),
        (error.TCPTimedOutError(), "no connection in time"),
        (error.ConnectingCancelledError(HostnameAddress(b"b", 8081)), "no connection in time"),
        (error.NoRouteError(string="Network is unreachable"), "cannot connect: Network is unreachable"),
        (error.ConnectError(), "cannot connect: ConnectError"),
        (never_received(error.ConnectionDone()), "the connection was closed without an answer"),
        (never_received(error.ConnectionLost()), "the connection was closed without an answer"),
        (never_received(defer.CancelledError()), "no answer in time"),
        (defer.TimeoutError(), "no answer in time"),
        (
            never_received(SSL.Error([("SSL routines", "", "certificate verify failed")])),
            "TLS failed: certificate verify failed",
        ),
        (
            never_received(SSL.Error([("SSL routines", "", "wrong version number")])),
            "TLS failed: wrong version number; what listens there does not seem to use TLS",
        ),
        (SSL.Error(), "TLS failed: the connection was closed"),
        (SSL.SysCallError(-1, "Unexpected EOF"), "TLS failed: the connection was closed"),
        (never_received(BadPeerCertificate("a certificate has expired")), "TLS failed: a certificate has expired"),
        (
            ParseError("wrong number of parts", b"ERR framing"),
            "the answer is not HTTP: the URL may lead to a port for the line protocol",
        ),
        (KeyError(), "KeyError"),
    ],
)
def test_a_failure_has_its_reason_in_words(failure: Exception, words: str) -> None:
    assert reason(failure) == words


@pytest.mark.parametrize(
    ("status", "content_type", "answered"),
    [
        (200, "text/html", "answered 200 text/html"),
        (301, "", "answered 301"),
        (502, "text/html", "answered 502 text/html"),
    ],
)
def test_what_another_server_answers_is_told_from_what_nodes_answer(
    status: int, content_type: str, answered: str
) -> None:
    answer = refusal(ask_a, status, content_type, b"<html>")
    assert answer == Failed(f"{answered}; that is no node, or a proxy answers for one")


def driver(net: Net) -> Driver:
    return Driver(Node(net.clock.seconds(), NodeSettings(), bytes, 0), net.clock)


def listen_rest(net: Net, admit: Any) -> None:
    """Let a listener for clients be where the peer b is expected."""
    rest = RestDoor(driver(net), 1000, admit)
    net.listening[b"b.test"] = BoundedSite(rest.resource(), rest, net.clock, HttpLimits())


@pytest.mark.parametrize("admit", [None, lambda _: False])
def test_a_listener_for_clients_at_a_peers_url_is_told_from_one_for_peers(net: Net, admit: Any) -> None:
    """With tokens and without."""
    listen_rest(net, admit)
    (answer,) = ask(net, client_on(net), ask_a)
    assert isinstance(answer, Declined)
    assert answer.why.endswith("; the URL seems to lead to a port for clients, not to --peer-listen")


def test_a_line_listener_at_a_peers_url_is_told(net: Net) -> None:
    net.listening[b"b.test"] = LineFactory(driver(net), cast(ReactorBase, net.clock), LineLimits(), None)
    (answer,) = ask(net, client_on(net), ask_a, within_s=6)
    assert answer == Failed("the answer is not HTTP: the URL may lead to a port for the line protocol")


def test_a_peers_listener_that_speaks_another_version_is_not_taken_for_one_of_clients(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.listening[b"b.test"] = Member(net, settings_of("b", "b")).site
    monkeypatch.setattr("dqtw.wire.peer.protocol.path_prefix", "/peer/v2/")
    assert ask(net, client_on(net), ask_a) == [Declined("this node speaks version 1 of the peer protocol, not 2")]


def test_a_url_that_leads_to_this_node_itself_or_to_another_one_is_reported(net: Net) -> None:
    peers = {"b": url_of("a"), "c": url_of("d")}
    d = Member(net, settings_of("d", "d"))
    a = Member(net, NodeSettings(node="a", peers=peers, copies=3, start_wait_s=2.0))
    net.pass_time(4)
    errors = {id: known["error"] for id, known in cast(Any, a.driver.stats()["peers"]).items()}
    assert errors == {
        "b": "that is this node itself (http://a.test:8081)",
        "c": "that is the node d, not c (http://d.test:8081)",
    }
    assert d.serves


def asked_at(net: Net, url: str, request: Any = forward) -> PeerAnswer:
    """What comes of asking at a URL."""
    answers: list[PeerAnswer] = []
    client_on(net).send(Asking(1, "b", url, request, 5.0), answers.append)
    net.settle()
    (answer,) = answers
    return answer


@pytest.mark.parametrize("url", ["http://[", "http://b.test:x", "http://a..ü", "https://" + "ü" * 90])
def test_what_cannot_be_sent_for_its_url_was_surely_not_sent(net: Net, url: str) -> None:
    """So a forward is refused as not done, and not called uncertain."""
    answer = asked_at(net, url)
    assert isinstance(answer, Failed)
    assert not answer.was_sent
    assert answer.why.startswith("the URL cannot be used: ")


def test_what_waits_for_a_connection_until_its_time_is_over_was_surely_not_sent() -> None:
    assert ended_while_connecting(lambda client, clock: clock.advance(5.5)) == [
        Failed("no connection in time", was_sent=False)
    ]


def test_what_waits_for_a_connection_while_this_node_stops_was_surely_not_sent() -> None:
    assert ended_while_connecting(lambda client, clock: client.stop()) == [
        Failed("this node is stopping", was_sent=False)
    ]


def ended_while_connecting(end: Callable[[PeerClient, Any], None]) -> list[PeerAnswer]:
    """Send a forward to a peer that does not answer the connection; return what comes of it when that is ended."""
    reactor: Any = MemoryReactorClock()
    endpoints = PeerEndpoints(reactor, BrowserLikePolicyForHTTPS(), 30.0)
    client = PeerClient(reactor, lambda pool: Agent.usingEndpointFactory(reactor, endpoints, pool))
    answers: list[PeerAnswer] = []
    client.send(Asking(1, "b", "http://192.0.2.1:8081", forward, 5.0), answers.append)
    assert not answers
    end(client, reactor)
    return answers


def test_what_cannot_be_sent_for_its_host_name_was_surely_not_sent(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def unresolved(self: Net, host: bytes, factory: Any) -> Deferred[Any]:
        return fail(error.DNSLookupError("no results"))

    monkeypatch.setattr(Net, "connect", unresolved)
    assert asked_at(net, url_of("b")) == Failed("the host name cannot be resolved", was_sent=False)
