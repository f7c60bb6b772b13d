"""Dials: what they find, how long they take, and what is said of those that bring no stream."""

from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.x509 import DNSName
from twisted.internet import error
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, fail
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.client import BrowserLikePolicyForHTTPS

from dqtw.core.links.frames import Applied
from dqtw.core.links.streams import Close
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.driver import Driver
from dqtw.net.http.limits import HttpLimits
from dqtw.net.http.site import BoundedSite
from dqtw.net.line.factory import LineFactory, LineLimits
from dqtw.net.peer.certificate import CheckedConnections
from dqtw.net.peer.refusals import NoStream, no_stream
from dqtw.net.rest.api import RestDoor
from dqtw.net.tls import CertificateFiles, PeerAuthorities, ServerCertificate
from tests.authority import Authority
from tests.unit.net.stream_network import Net, Process, RawSite, open_stream, pair_on, url_of
from tests.unit.net.test_peer_streams import delta

another_server = "that is no node, or a proxy answers for one"


@pytest.fixture
def net() -> Net:
    return Net()


def failed(net: Net, url: str = "", within_s: float = 0.0, **more: Any) -> tuple[str, bool]:
    """Dial the node a from b; return how that failed."""
    b = Process(net, "b", **more)
    number = b.dial("a", url)
    net.pass_time(within_s)
    return b.port.failed[number]


class TestNoProcess:
    """Nothing that answers."""

    def test_nothing_listens(self, net: Net) -> None:
        assert failed(net) == ("connection refused", False)

    def test_the_name_is_unknown(self, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
        def unresolved(self: Net, host: bytes, factory: Any) -> Deferred[Any]:
            return fail(error.DNSLookupError("no results"))

        monkeypatch.setattr(Net, "connect", unresolved)
        assert failed(net) == ("the host name cannot be resolved", False)

    def test_no_connection_comes_within_three_seconds(self, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
        def hanging(self: Net, host: bytes, factory: Any) -> Deferred[Any]:
            return Deferred(lambda connecting: connecting.errback(error.ConnectingCancelledError(cast(Any, None))))

        monkeypatch.setattr(Net, "connect", hanging)
        b = Process(net, "b")
        number = b.dial("a")
        net.pass_time(2.8)
        assert b.port.failed == {}
        net.pass_time(0.2)
        assert b.port.failed == {number: ("no connection in time", False)}

    def test_no_answer_comes_within_three_seconds(self, net: Net) -> None:
        net.listening[b"a.test"] = RawSite(b"HTTP/1.1 200 OK\r\n")
        b = Process(net, "b")
        number = b.dial("a")
        net.pass_time(2.8)
        assert b.port.failed == {}
        net.pass_time(0.2)
        assert b.port.failed == {number: ("no answer in time", False)}
        assert not net.cables[0].is_open

    @pytest.mark.parametrize("url", ["http://[", "http://b.test:x", "http://a..ü", "ftp://a", "", "http://u@a.test"])
    def test_the_url_cannot_be_used(self, net: Net, url: str) -> None:
        b = Process(net, "b")
        b.dial("a", url or "http://")
        ((why, is_lasting),) = b.port.failed.values()
        assert why.startswith("the URL ")
        assert "cannot be used" in why
        assert not is_lasting


class TestAnotherServer:
    """Something answers that is no peer."""

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", f"answered 200; {another_server}"),
            (
                b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n",
                f"answered 502 text/html; {another_server}",
            ),
            (
                b"HTTP/1.1 301 Moved\r\nLocation: http://c.test/\r\nContent-Length: 0\r\n\r\n",
                f"answered 301; {another_server}",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.dqtw.frames\r\nContent-Encoding: gzip\r\n\r\n",
                "Dqtw-Node is missing",
            ),
            (b"ERR framing\r\n", "the answer is not HTTP: the URL may lead to a port for the line protocol"),
        ],
    )
    def test_its_answer_is_reported(self, net: Net, answer: bytes, why: str) -> None:
        net.listening[b"a.test"] = RawSite(answer)
        assert failed(net) == (why, False)
        assert not net.cables[0].is_open

    def test_it_hangs_up(self, net: Net) -> None:
        net.listening[b"a.test"] = RawSite(b"", hangs_up=True)
        assert failed(net) == ("the connection was closed without an answer", False)

    @pytest.mark.parametrize("line", [b"X: " + b"x" * 1000 + b"\r\n", b"x" * 1000])
    def test_its_head_never_ends(self, net: Net, line: bytes) -> None:
        net.listening[b"a.test"] = RawSite(b"HTTP/1.1 200 OK\r\n" + line * 100)
        why, is_lasting = failed(net)
        assert (why, is_lasting) == ("the connection was closed without an answer", False)

    def test_the_body_of_its_refusal_never_ends(self, net: Net) -> None:
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\n\r\n"
        net.listening[b"a.test"] = RawSite(head + b" " * 1_000_000)
        assert failed(net) == (f"answered 403 application/problem+json; {another_server}", False)

    def test_the_body_of_its_refusal_is_slow(self, net: Net) -> None:
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nContent-Length: 99\r\n\r\n"
        net.listening[b"a.test"] = RawSite(head + b" ")
        assert failed(net, within_s=3.1) == ("no answer in time", False)

    @pytest.mark.parametrize("admit", [None, lambda _: False])
    def test_it_is_a_listener_for_clients(self, net: Net, admit: Any) -> None:
        """With tokens and without."""
        driver = Driver(Node(net.clock.seconds(), NodeSettings(), bytes, 0), net.clock)
        rest = RestDoor(driver, 1000, admit)
        net.listening[b"a.test"] = BoundedSite(rest.resource(), rest, net.clock, HttpLimits())
        why, is_lasting = failed(net)
        assert why.endswith("; the URL seems to lead to a port for clients, not to --peer-listen")
        assert is_lasting

    def test_it_is_a_line_listener(self, net: Net) -> None:
        driver = Driver(Node(net.clock.seconds(), NodeSettings(), bytes, 0), net.clock)
        net.listening[b"a.test"] = LineFactory(driver, cast(ReactorBase, net.clock), LineLimits(), None)
        words = "the answer is not HTTP: the URL may lead to a port for the line protocol"
        assert failed(net, within_s=6) == (words, False)

    @pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 9999, b'{"detail": 5}', b'"detail"'])
    def test_a_problem_document_without_words_is_another_servers(self, body: bytes) -> None:
        assert no_stream(503, "application/problem+json", body) == NoStream(
            f"answered 503 application/problem+json; {another_server}"
        )

    def test_compression_is_neither_asked_for_nor_undone(self, net: Net) -> None:
        pair = pair_on(net)
        pair.writer.send(pair.written, Applied(1, 1, 0))
        assert b"Accept-Encoding: identity\r\n" in pair.cable.asked
        assert b"gzip" not in pair.cable.asked
        answered = pair.cable.answered.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)
        net.listening[b"a.test"] = RawSite(answered)
        number = pair.reader.dial("a")
        assert pair.reader.port.frames[number] == [Applied(1, 1, 0)]

    def test_words_of_another_server_become_printable(self) -> None:
        assert no_stream(503, "application/problem+json", b'{"detail": "a\\nb"}') == NoStream("answered 503: a?b")


class TestGivingUp:
    """The core closes a dial before there is an answer."""

    def test_before_it_began(self, net: Net) -> None:
        Process(net, "a")
        b = Process(net, "b")
        number = b.start_dial("a")
        b.carry_out(Close(number, "the test says so"))
        net.pass_time(5)
        assert (b.port.failed, b.port.answered, net.cables) == ({}, {}, [])

    def test_while_it_waits(self, net: Net) -> None:
        net.listening[b"a.test"] = RawSite(b"")
        b = Process(net, "b")
        number = b.dial("a")
        b.close(number)
        net.pass_time(5)
        assert (b.port.failed, b.port.answered) == ({}, {})
        assert not net.cables[0].is_open

    def test_while_it_connects(self, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
        cancelled: list[bool] = []
        monkeypatch.setattr(Net, "connect", lambda *_: Deferred(lambda _: cancelled.append(True)))
        b = Process(net, "b")
        number = b.dial("a")
        b.close(number)
        assert cancelled == [True]
        net.pass_time(5)
        assert b.port.failed == {}

    def test_in_the_moment_of_the_answer(self, net: Net) -> None:
        a, b = Process(net, "a"), Process(net, "b")
        b.port.on_answered = lambda stream: b.carry_out(Close(stream, "the test says so"))
        b.dial("a")
        assert (len(b.port.answered), b.port.failed, b.port.closed) == (1, {}, {})
        assert a.port.closed == {a.port.accepted[0]: "the peer closed the stream"}


class TestTheListener:
    """What else may come to the port."""

    def answer(self, net: Net, request: bytes) -> bytes:
        a = Process(net, "a")
        sink = net.stranger(b"a.test", request)
        assert a.port.asked == []
        assert a.port.refused or sink.received.startswith(b"HTTP/1.1 4")
        return sink.received

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"404 Not Found"),
            (b"GET /peer/v2/stream/ HTTP/1.1\r\nHost: a\r\n\r\n", b"404 Not Found"),
            (b"GET /peer/v2/stream HTTP/1.1\r\nHost: a\r\n\r\n", b"400 Bad Request"),
            (b"HEAD /peer/v2/stream HTTP/1.1\r\nHost: a\r\n\r\n", b"405 Method Not Allowed"),
            (b"POST /peer/v2/stream HTTP/1.1\r\nHost: a\r\n\r\n", b"405 Method Not Allowed"),
            (b"GET /peer/v2/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", b"413 Content Too Large"),
            (b"GET /peer/v3/stream HTTP/1.1\r\nHost: a\r\n\r\n", b"400 Bad Request"),
            (b"POST /peer/v1/open HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b"404 Not Found"),
            (b"GET /peer/v" + b"3" * 5000 + b"/stream HTTP/1.1\r\nHost: a\r\n\r\n", b"404 Not Found"),
            (b"GET /peer/v%D9%A3/stream HTTP/1.1\r\nHost: a\r\n\r\n", b"404 Not Found"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50, b"400 Bad Request"),
            (b"PUSH 5\r\nhello", b"400 Bad Request"),
        ],
    )
    def test_anything_but_a_stream_request_is_refused(self, net: Net, request_: bytes, status: bytes) -> None:
        assert self.answer(net, request_).startswith(b"HTTP/1.1 " + status)

    def test_a_peer_of_another_version_is_refused_as_such(self, net: Net) -> None:
        answer = self.answer(net, b"GET /peer/v3/stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert no_stream(400, "application/problem+json", answer.partition(b"\r\n\r\n")[2]) == NoStream(
            "this node speaks version 2, not 3", is_lasting=True
        )

    def test_a_request_that_does_not_end_is_given_up(self, net: Net) -> None:
        Process(net, "a")
        sink = net.stranger(b"a.test", b"GET /peer/v2/stream HTTP/1.1\r\nHost: a\r\n")
        net.pass_time(20, step=0.5)
        assert sink.is_lost

    def test_a_proxy_may_speak_http_1_0(self, net: Net) -> None:
        pair = pair_on(net)
        asked = pair.cable.asked.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\n").replace(b"nonce1", b"nonce9")
        sink = net.stranger(b"a.test", asked)
        pair.writer.send(pair.writer.port.accepted[-1], Applied(1, 1, 0))
        assert sink.received.endswith(b"\r\n\r\n\x03\x00\x00\x0c\x94\xa7applied\x01\x01\x00")

    def test_a_client_that_sends_ahead_without_end_harms_nothing(self, net: Net) -> None:
        pair = pair_on(net)
        for _ in range(50):
            pair.cable.client_end.write(b"x" * 10_000)
            net.settle()
        assert pair.writer.site.connection_count <= 1


class TestTls:
    """Encrypted links: what is learned never weakens them."""

    authority = Authority.make()

    def listen(self, net: Net, directory: Path, process: Process) -> None:
        files = CertificateFiles(directory / "privkey.pem", directory / "fullchain.pem")
        host = f"{process.port.node}.test".encode()
        site: Any = process.site
        net.listening[host] = TLSMemoryBIOFactory(ServerCertificate(files), False, site, clock=cast(Any, net.clock))

    def creator(self, policy: Any) -> Any:
        return lambda host: CheckedConnections(policy.creatorForNetloc(host.encode(), 8081), host)

    def processes(self, net: Net, tmp_path: Path, policy: Any = None) -> tuple[Process, Process]:
        names = (DNSName("a.test"),)
        directory = self.authority.write(tmp_path / "a", self.authority.server(names=names))
        a = Process(net, "a")
        self.listen(net, directory, a)
        policy = policy or PeerAuthorities(directory / "root.pem")
        return a, Process(net, "b", creator=self.creator(policy), must_encrypt=lambda node: True)

    def test_a_stream_goes_over_tls(self, net: Net, tmp_path: Path) -> None:
        a, b = self.processes(net, tmp_path)
        number = b.dial("a", "https://a.test:8081")
        assert number in b.port.answered, b.port.failed
        a.send(a.port.accepted[0], *(Applied(1, upto, 0) for upto in range(1000)))
        assert len(b.port.frames[number]) == 1000
        assert b"applied" not in net.cables[0].answered
        b.close(number)
        assert list(a.port.closed) == [a.port.accepted[0]]
        assert not net.cables[0].is_open

    def test_a_blocked_tls_stream_holds_little_and_is_closed(self, net: Net, tmp_path: Path) -> None:
        a, b = self.processes(net, tmp_path)
        b.dial("a", "https://a.test:8081")
        net.cables[0].is_moving = False
        a.send(a.port.accepted[0], delta(1, 3_000_000))
        assert sum(map(len, net.cables[0].server_end.pending)) < 300_000
        net.pass_time(3.1)
        assert a.port.closed == {a.port.accepted[0]: "nothing could be written for 3 s"}

    def test_an_authority_that_is_not_known_is_reported(self, net: Net, tmp_path: Path) -> None:
        _, b = self.processes(net, tmp_path, BrowserLikePolicyForHTTPS())
        number = b.dial("a", "https://a.test:8081")
        why, is_lasting = b.port.failed[number]
        assert why.startswith("TLS failed: no known authority signed the certificate")
        assert not is_lasting

    def test_a_plain_url_is_not_dialled_where_links_must_be_encrypted(self, net: Net, tmp_path: Path) -> None:
        _, b = self.processes(net, tmp_path)
        for url in ("http://a.test:8081", "HTTP://a.test"):
            number = b.dial("a", url)
            why = f"the URL {url!r} is not https, and links to this peer must be encrypted"
            assert b.port.failed[number] == (why, False)
        assert net.cables == []

    def test_which_links_must_be_encrypted_depends_on_the_node(self, net: Net) -> None:
        Process(net, "a")
        c = Process(net, "c")
        b = Process(net, "b", must_encrypt=lambda node: node == "a")
        open_stream(c, b)
        assert b.dial("a", url_of("a")) in b.port.failed


def test_the_words_for_clients_ports_need_a_client_status() -> None:
    assert no_stream(503, "application/problem+json", b'{"detail": "busy"}') == NoStream("answered 503: busy")
