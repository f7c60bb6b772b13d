"""Every way a request can be refused, and every way a peer can be at fault.

Three branches: the client's own fault (asking again in the same way is useless), "not now" (asking again later,
or elsewhere, may help), and a peer's fault (never shown to a client). Each refusal carries its stable ``code``;
the doors map codes to their own statuses and invent none.
"""

from collections.abc import Iterator
from typing import ClassVar, Final

quoted_chars_max: Final = 60  # of a client's own words, in a refusal


def quote(text: str) -> str:
    """Return a client's word as a refusal may repeat it: quoted, bounded, in plain ASCII."""
    return ascii(text if len(text) <= quoted_chars_max else f"{text[:quoted_chars_max]}...")


class DqtwError(Exception):
    """The root of everything dqtw raises on purpose."""


class Refusal(DqtwError):
    """A request is refused; nothing about it was done unless the code is ``uncertain``.

    Attributes:
        code: the stable word a program may compare.
        detail: what is wrong, in words for a person.
    """

    code: ClassVar[str]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ClientFault(Refusal):
    """The request itself is wrong; repeating it unchanged will be refused again."""


class BadRequest(ClientFault):
    """A value, word or body that can't be understood."""

    code = "bad_request"


class Framing(ClientFault):
    """The byte stream can't be followed any further; the connection ends."""

    code = "framing"


class Unauthorized(ClientFault):
    """The client has not shown a token that this server takes."""

    code = "unauthorized"


class CrossSite(ClientFault):
    """A page of another site, or a prefetch, made a browser send the request."""

    code = "cross_site"


class NotFound(ClientFault):
    """No such path on this server."""

    code = "not_found"


class MethodNotAllowed(ClientFault):
    """The path exists, but not for this method."""

    code = "method_not_allowed"


class RequestTimeout(ClientFault):
    """The request did not arrive whole within the time one may take."""

    code = "request_timeout"


class TooLarge(ClientFault):
    """The message exceeds what this node takes."""

    code = "too_large"


class UnsupportedEncoding(ClientFault):
    """The body is encoded (compressed, say) in a way that this server does not undo; nothing was stored."""

    code = "unsupported_encoding"


class KeyReused(ClientFault):
    """The idempotency key was used before, with another body."""

    code = "key_reused"


class Unknown(ClientFault):
    """No such message: it was removed before, or never was."""

    code = "unknown"


class LeaseLost(ClientFault):
    """The lease ended, or the message was delivered again since; it is no longer this worker's."""

    code = "lease_lost"


class NotNow(Refusal):
    """The request is fine, but can't be served now, or not here."""


class Full(NotNow):
    """The queue holds as much as it may; nothing was stored."""

    code = "full"


class Busy(NotNow):
    """A limit on connections or on waiting requests is reached."""

    code = "busy"


class Unreplicated(NotNow):
    """Too few peers can hold the message; it is not on the queue."""

    code = "unreplicated"


class Uncertain(NotNow):
    """Whether the request took effect can't be known; without a key, a repeated push may be a second message."""

    code = "uncertain"


class OwnerDown(NotNow):
    """The node that must answer can't be reached; nothing was changed."""

    code = "owner_down"


class Starting(NotNow):
    """The node has not yet recovered what its peers hold."""

    code = "starting"


class Draining(NotNow):
    """The node is about to stop."""

    code = "draining"


class Fenced(NotNow):
    """A newer process of this node's id exists; this one is leaving."""

    code = "fenced"


class PeerFault(DqtwError):
    """A peer sent what it must not send; only its own session suffers."""


def refusal_of(code: str, detail: str) -> Refusal:
    """Return the refusal with that code; `Uncertain` for a code that this release does not know."""
    return _by_code.get(code, Uncertain)(detail)


def _leaves(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for each in kind.__subclasses__():
        yield each
        yield from _leaves(each)


_by_code: Final = {kind.code: kind for kind in _leaves(Refusal) if hasattr(kind, "code")}
