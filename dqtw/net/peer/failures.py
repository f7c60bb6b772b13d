"""Why a request to a peer failed, in words for the log and for `/stats`."""

from typing import Final

from OpenSSL import SSL
from twisted.internet import defer
from twisted.internet import error as errors
from twisted.web._newclient import ParseError

from dqtw.net.peer.certificate import BadPeerCertificate

_not_tls: Final = ("wrong version number", "packet length too long", "http request", "unknown protocol", "record layer")


def reason(error: BaseException | None) -> str:
    """Return why no answer came."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        return reason(reasons[0].value)
    match error:
        case defer.TimeoutError() | defer.CancelledError():
            return "no answer in time"
        case errors.DNSLookupError():
            return "the host name cannot be resolved"
        case errors.ConnectionRefusedError():
            return "connection refused"
        case errors.TimeoutError() | errors.TCPTimedOutError() | errors.ConnectingCancelledError():
            return "no connection in time"
        case errors.ConnectError():
            return f"cannot connect: {error.args[0] or type(error).__name__}"
        case BadPeerCertificate():
            return f"TLS failed: {error}"
        case SSL.Error():
            return _tls_reason(error)
        case errors.ConnectionClosed():
            return "the connection was closed without an answer"
        case ParseError():
            return "the answer is not HTTP: the URL may lead to a port for the line protocol"
    return str(error) or type(error).__name__


def _tls_reason(error: SSL.Error) -> str:
    """Return what OpenSSL says: the last part of the first of its errors."""
    errors = error.args[0] if error.args else ()
    said = str(errors[0][-1]) if isinstance(errors, list) and errors else "the connection was closed"
    hint = "; what listens there does not seem to use TLS" if any(each in said for each in _not_tls) else ""
    return f"TLS failed: {said}{hint}"
