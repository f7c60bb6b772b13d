"""Why a request to a peer failed, in words for the log and for `/stats`."""

import json
from http import HTTPStatus
from typing import Final

from OpenSSL import SSL
from twisted.internet import defer
from twisted.internet import error as errors
from twisted.web._newclient import ParseError

from dqtw.core.links.peer_messages import Declined, Failed, Forward, PeerAnswer, PeerRequest
from dqtw.net.peer.certificate import BadPeerCertificate
from dqtw.wire.peer import protocol as peer
from dqtw.wire.peer.kinds import bare
from dqtw.wire.rest.problem import problem_type

# The statuses of a node that answers and refuses to speak with this one; any other refusal is a failure.
_declining: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
)
_clients_words: Final = ("token", "Bearer")
_clients_port: Final = "the URL seems to lead to a port for clients, not to --peer-listen"
_another_server: Final = "that is no node, or a proxy answers for one"
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


def refusal(request: PeerRequest, status: int, content_type: str, body: bytes) -> PeerAnswer:
    """Return what an answer that is no answer of the peer protocol stands for.

    A forward is declined by the node alone: of what its listener refuses, the network may have brought another copy.
    """
    detail = _detail(body) if content_type == problem_type else ""
    if status == HTTPStatus.MISDIRECTED_REQUEST and (node := peer.node_of_misdirected(detail)):
        return Failed(bare(detail), node=node)
    if _is_for_clients(status, detail):
        detail = f"{detail}; {_clients_port}"
    if detail and status in _declining and not isinstance(request, Forward):
        return Declined(bare(detail))
    answered = f"answered {status} {content_type}".rstrip()
    return Failed(bare(f"{answered}: {detail}" if detail else f"{answered}; {_another_server}"))


def _tls_reason(error: SSL.Error) -> str:
    """Return what OpenSSL says: the last part of the first of its errors."""
    errors = error.args[0] if error.args else ()
    said = str(errors[0][-1]) if isinstance(errors, list) and errors else "the connection was closed"
    hint = "; what listens there does not seem to use TLS" if any(each in said for each in _not_tls) else ""
    return f"TLS failed: {said}{hint}"


def _is_for_clients(status: int, detail: str) -> bool:
    """Return True if a refusal shows that a listener for clients was asked.

    A peers' listener has nothing to say of tokens, and with 404 it names the version of the protocol that it speaks.
    """
    by_token = status == HTTPStatus.UNAUTHORIZED and any(word in detail for word in _clients_words)
    return bool(detail) and (by_token or (status == HTTPStatus.NOT_FOUND and peer.protocol not in detail))


def _detail(body: bytes) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    detail = document.get("detail") if isinstance(document, dict) else None
    return detail if isinstance(detail, str) else ""
