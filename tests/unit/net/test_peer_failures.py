"""Why a dial failed: the words for what Twisted raises."""

import pytest
from OpenSSL import SSL
from twisted.internet import defer, error
from twisted.internet.address import HostnameAddress
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError, ResponseNeverReceived

from dqtw.net.peer.certificate import BadPeerCertificate
from dqtw.net.peer.failures import reason


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
