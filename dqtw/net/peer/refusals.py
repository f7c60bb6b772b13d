"""What an HTTP answer that accepts no stream says about the server that gave it."""

import json
from http import HTTPStatus
from typing import Final

from attrs import frozen

from dqtw.wire.peer.handshake import read_refusal
from dqtw.wire.peer.text import bare
from dqtw.wire.rest.problem import problem_type

# The statuses with which a listener for clients answers a stream request.
_clients_statuses: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
)
_clients_port: Final = "the URL seems to lead to a port for clients, not to --peer-listen"
_another_server: Final = "that is no node, or a proxy answers for one"


@frozen
class NoStream:
    """Why a dial brought no stream.

    Attributes:
        why: in words.
        is_lasting: the two nodes refuse each other until an operator changes something.
    """

    why: str
    is_lasting: bool = False


def no_stream(status: int, content_type: str, body: bytes) -> NoStream:
    """Read an answer that accepts no stream."""
    if content_type == problem_type:
        refused = read_refusal(body)
        if refused is not None:
            return NoStream(refused.why, refused.is_lasting)
        detail = _detail(body)
        if detail and status in _clients_statuses:
            return NoStream(bare(f"{detail}; {_clients_port}"), is_lasting=True)
        if detail:
            return NoStream(bare(f"answered {status}: {detail}"))
    return NoStream(bare(f"answered {status} {content_type}".rstrip() + f"; {_another_server}"))


def _detail(body: bytes) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    detail = document.get("detail") if isinstance(document, dict) else None
    return detail if isinstance(detail, str) else ""
