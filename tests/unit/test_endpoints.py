"""Endpoint strings: which are understood, and what an operator is told instead."""

import errno
import os
from pathlib import Path
from typing import cast

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.protocols.tls import TLSMemoryBIOFactory

from dqtw.config.endpoints import TlsEndpoint, endpoint_of, why
from dqtw.config.options import BadOption
from dqtw.net.unix_socket import UnixEndpoint
from tests.authority import Authority


def listen(text: str) -> MemoryReactor:
    """Listen on an endpoint; the reactor that was asked to."""
    reactor = MemoryReactor()
    endpoint_of("http", text, cast(ReactorBase, reactor), list[str]().append).listen(cast(IProtocolFactory, Factory()))
    return reactor


def refused(text: str) -> str:
    """Why an endpoint is refused; always one line that names the option and repeats the value."""
    with pytest.raises(BadOption) as caught:
        listen(text)
    start, line = f"--http: {text!r}", str(caught.value)
    assert line.startswith(start)
    assert "\n" not in line
    return line.removeprefix(start).removeprefix(" is not an endpoint: ").removeprefix(": ")


@pytest.mark.parametrize(
    ("text", "port", "backlog", "interface"),
    [
        ("tcp:8080", 8080, 50, ""),
        ("tcp:port=8080", 8080, 50, ""),
        ("tcp:0:127.0.0.1:7", 0, 7, "127.0.0.1"),
        ("tcp:8080:interface=127.0.0.1:backlog=1024", 8080, 1024, "127.0.0.1"),
        (r"tcp6:8080:interface=\:\:1", 8080, 50, "::1"),
        ("tcp6:8080:interface=::1", 8080, 50, "::1"),
        ("tcp6:8080:interface=[::1]", 8080, 50, "::1"),
        ("tcp6:8080:interface=::", 8080, 50, "::"),
        ("tcp6:8080:interface=2001:db8::ba:backlog=9", 8080, 9, "2001:db8::ba"),
        ("tcp6:8080:interface=fe80::1%eth0:backlog=9", 8080, 9, "fe80::1%eth0"),
        ("tcp6:8080:interface=fe80::1%br-lan.100", 8080, 50, "fe80::1%br-lan.100"),
        ("tcp:8080:interface=::ffff:127.0.0.1", 8080, 50, "::ffff:127.0.0.1"),
        ("haproxy:tcp6:8080:interface=::1", 8080, 50, "::1"),
    ],
)
def test_tcp_endpoints(text: str, port: int, backlog: int, interface: str) -> None:
    ((asked_port, _, asked_backlog, asked_interface),) = listen(text).tcpServers
    assert (asked_port, asked_backlog, asked_interface) == (port, backlog, interface)


def test_sockets_in_the_file_system() -> None:
    reactor = cast(ReactorBase, MemoryReactor())
    for text, path, mode, backlog in (
        (r"unix:/run/a\:b\=c:mode=660:backlog=7:lockfile=0", "/run/a:b=c", 0o660, 7),
        ("unix:/s", "/s", 0o666, 50),
        ("unix:s", f"{Path.cwd()}/s", 0o666, 50),  # a daemon may change its directory
    ):
        assert endpoint_of("http", text, reactor, list[str]().append) == UnixEndpoint(reactor, path, mode, backlog)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("8080", "write tcp:8080, or tcp:8080:interface=127.0.0.1 for clients on this machine alone"),
        ("127.0.0.1:8080", "write tcp:8080:interface=127.0.0.1"),
        ("localhost:8080", "write tcp:8080:interface=127.0.0.1"),
        ("0.0.0.0:8080", "write tcp:8080"),
        (":8080", "write tcp:8080"),
        ("*:8080", "write tcp:8080"),
        ("[::1]:8080", "write tcp6:8080:interface=::1"),
        ("http://127.0.0.1:8080/", "write tcp:8080:interface=127.0.0.1"),
        ("https://0.0.0.0:8443", "write ssl:8443:privateKey=privkey.pem:certKey=fullchain.pem"),
        ("/run/dqtw.sock", "write unix:/run/dqtw.sock"),
        ("tpc:8080", "did you mean tcp:…?"),
        ("TCP:8080", "did you mean tcp:…?"),
        ("nonsense", "it must begin with one of tcp:, tcp6:, ssl:, unix:, haproxy:, systemd:, as tcp:8080 does"),
        ("haproxy:8080", "write tcp:8080, or tcp:8080:interface=127.0.0.1 for clients on this machine alone"),
        ("haproxy", "an endpoint must follow haproxy:, as in haproxy:tcp:8080"),
        ("haproxy:", "an endpoint must follow haproxy:, as in haproxy:tcp:8080"),
        ("tcp:1,tcp:2", "give the option once for each endpoint; in a variable, write spaces between them"),
        ("tcp", "tcp: must be followed by its port"),
        ("tcp:", "tcp: must be followed by its port"),
        ("unix", "unix: must be followed by its address"),
        ("tcp:abc", "its port must be a number from 0 to 65535, not 'abc'"),
        ("tcp:99999", "its port must be a number from 0 to 65535, not '99999'"),
        ("tcp:-1", "its port must be a number from 0 to 65535, not '-1'"),
        ("tcp:8080:backlog=many", "its backlog must be a number of at most 5 digits, not 'many'"),
        ("unix:/s:mode=rw", "its mode must be an octal number, such as 660, not 'rw'"),
        ("unix:/s:lockfile=yes", "its lockfile must be 0 or 1, not 'yes'"),
        ("tcp:8080:iface=127.0.0.1", "tcp has no parameter 'iface'; did you mean interface=?"),
        ("tcp:8080:interface=127.0.0.1:interface=127.0.0.2", "interface is given twice"),
        ("haproxy:haproxy:tcp:80", "one haproxy: is enough: a connection begins with one PROXY header"),
        ("tcp:8080:bogus=1", "tcp has no parameter 'bogus'; it has port, interface, backlog"),
        ("tcp:8080:127.0.0.1:5:6", "tcp has no parameter '6'; it has port, interface, backlog"),
        ("systemd:domain=INET:index=0", "systemd has not opened such a socket for this process"),
        ("ssl:8443", "it needs a key and a certificate; write ssl:8443:privateKey=privkey.pem:certKey=fullchain.pem"),
        (
            "ssl:8443:privateKey=k:sslmethod=TLSv1_METHOD",
            "ssl has no parameter 'sslmethod'; it has port, privateKey, certKey, extraCertChain, interface, backlog",
        ),
        ("ssl:8443:privateKey=/absent.pem", "can't read '/absent.pem': No such file or directory"),
        ("ssl:8443:privatekey=/absent.pem", "ssl has no parameter 'privatekey'; did you mean privateKey=?"),
    ],
)
def test_a_mistake_is_told_what_to_write_instead(text: str, words: str) -> None:
    assert refused(text) == words


@pytest.mark.parametrize("prefix", ["", "haproxy:"])
def test_tls_reads_its_files_where_it_was_started(prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.make()
    authority.write(tmp_path, authority.server())
    monkeypatch.chdir(tmp_path)
    reactor = MemoryReactor()
    text = f"{prefix}ssl:8443:privateKey=privkey.pem:certKey=cert.pem:extraCertChain=chain.pem:interface=::1:backlog=9"
    endpoint = endpoint_of("http", text, cast(ReactorBase, reactor), list[str]().append)
    assert isinstance(endpoint, TlsEndpoint)
    endpoint.listen(cast(IProtocolFactory, Factory()))
    ((port, factory, backlog, interface),) = reactor.tcpServers
    assert (port, backlog, interface) == (8443, 9, "::1")
    assert isinstance(factory, TLSMemoryBIOFactory) != bool(prefix)  # the PROXY line comes before the handshake
    files = endpoint.certificate.files
    assert [files.private_key, files.certificate, files.extra_chain] == [
        tmp_path / "privkey.pem", tmp_path / "cert.pem", tmp_path / "chain.pem",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EADDRINUSE, "another process listens there"),
        (errno.EADDRNOTAVAIL, "interface= must be an address of this machine"),
        (errno.EACCES, "more rights"),
        (errno.ENOENT, "No such file or directory"),
    ],
)
def test_why_a_system_refuses_says_what_to_do(number: int, words: str) -> None:
    told = why(CannotListenError("", 80, OSError(number, os.strerror(number))))
    assert told.startswith(os.strerror(number))
    assert words in told
