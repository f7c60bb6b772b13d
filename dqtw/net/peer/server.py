"""The peers' door: what other nodes ask of this one."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol, cast

from attrs import frozen
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as OtherMethod

from dqtw.core.links.peer_messages import PeerAnswer, PeerRequest
from dqtw.core.model.errors import BadRequest, MethodNotAllowed, NotFound, PeerFault, Refusal, Unauthorized
from dqtw.driver import Clock
from dqtw.net.http.limits import HttpLimits
from dqtw.net.http.request import BoundedRequest
from dqtw.net.http.site import BoundedSite
from dqtw.net.peer.auth import Credentials, Verifier, auth_header
from dqtw.net.peer.limits import PeerLimits, peer_http_limits
from dqtw.wire.peer import protocol as peer
from dqtw.wire.rest.problem import Answer, problem

_path_pattern = re.compile(rb"/peer/v([0-9]{1,3})/([a-z_]{1,32})")
_message_verbs = frozenset({"delta", "forward"})
_lone_verbs = frozenset({"ask", "open", "forward"})  # outside of any session, whose token would be the nonce


class Answering(Protocol):
    """What does what peers ask."""

    def peer_asks(self, request: PeerRequest, replied: Callable[[PeerAnswer], None]) -> None:
        """Do it; ``replied`` is called once, in a later reactor turn."""
        ...

    def count_refused(self, listener: str, code: str) -> None:
        """Count a request that a listener refused, by the refusal's code."""
        ...


@frozen
class _Head:
    """What a request's head says, and that it may be believed.

    Attributes:
        shown: what proves it; None in a cluster without a secret.
    """

    verb: str
    to: str
    shown: Credentials | None

    @property
    def must_be_fresh(self) -> bool:
        """Whether the request would do something if it came twice."""
        return self.verb in _lone_verbs


class PeerDoor:
    """What each verb does. To be served by a `dqtw.net.http.site.BoundedSite`, whose gate this is.

    Args:
        node: this node's id.
        driver: the node.
        verifier: what tells whether a request shows the cluster's secret; None when it has none.
        limits: the bounds.
    """

    app = Klein()

    def __init__(
        self, node: str, driver: Answering, verifier: Verifier | None = None, limits: PeerLimits | None = None
    ) -> None:
        self._node = node
        self._driver = driver
        self._verifier = verifier
        self._limits = limits or PeerLimits()

    def site(self, clock: Clock, limits: HttpLimits = peer_http_limits) -> BoundedSite:
        """Make what listens on the peer endpoint."""
        return BoundedSite(cast(IResource, self.app.resource()), self, clock, limits)

    def is_served_at_the_limit(self, request: BoundedRequest) -> bool:  # noqa: ARG002
        """Return False: peers are few, and none is more important than another."""
        return False

    def count_refused(self, code: str) -> None:
        """Count a request that this node did not see."""
        self._driver.count_refused("peers", code)

    def body_bytes_max(self, request: BoundedRequest) -> int:
        """Return how large a request's body may be.

        Raises:
            Refusal: the request is refused already, by its head.
        """
        if request.method != b"POST":
            return 0
        large = self._head(request).verb in _message_verbs
        return self._limits.message_request_bytes_max if large else self._limits.request_bytes_max

    @app.route("/peer/<version>/<verb>", methods=["POST"])
    async def ask(self, request: BoundedRequest, version: str, verb: str) -> bytes:  # noqa: ARG002
        """Do what a peer asks; the head has been judged, and says all that the path says."""
        head = self._head(request)
        if head.to != self._node:
            misdirected = NotFound(peer.misdirected(self._node, head.to))
            return self._refuse(request, misdirected, HTTPStatus.MISDIRECTED_REQUEST)
        if self._verifier is not None and head.shown is not None:
            self._verifier.check_body(head.shown, request.received, must_be_fresh=head.must_be_fresh)
        answer = await self._answer(peer.decode_request(head.verb, request.received))
        return request.answer(self._signed(head, peer.encode_answer(answer)))

    @app.handle_errors(PeerFault)
    def faulty(self, request: Any, failure: Failure) -> Any:
        """Answer a request that can't be understood."""
        return self._refuse(request, BadRequest(str(failure.value)))

    @app.handle_errors(Refusal)
    def refused(self, request: Any, failure: Failure) -> Any:
        """Answer a request that is refused before the node sees it."""
        return self._refuse(request, cast(Refusal, failure.value))

    @app.handle_errors(HTTPException)
    def unrouted(self, request: Any, failure: Failure) -> Any:
        """Answer a path that does not exist, or not for this method."""
        if isinstance(failure.value, OtherMethod):
            return self._refuse(request, MethodNotAllowed("peers are asked with POST"))
        return self._refuse(request, _nothing_here())

    def _refuse(self, request: BoundedRequest, refusal: Refusal, status: HTTPStatus | None = None) -> bytes:
        self.count_refused(refusal.code)
        return request.answer(problem(refusal, status))

    def _head(self, request: BoundedRequest) -> _Head:
        verb = _verb(request.path)
        to = _single(request, peer.to_header)
        values = request.headers(auth_header.encode())
        if self._verifier is None:
            if values:
                raise Unauthorized("the asker has a peer secret, and this node has none (--peer-secret-file)")
            return _Head(verb, to, None)
        fresh = verb in _lone_verbs
        return _Head(verb, to, self._verifier.check_head(peer.path_prefix + verb, to, values, must_be_fresh=fresh))

    def _answer(self, asked: PeerRequest) -> Deferred[PeerAnswer]:
        """Ask the node. If the peer hangs up meanwhile, what it asked is done all the same, and the answer dropped."""
        answer: Deferred[PeerAnswer] = Deferred()

        def replied(value: PeerAnswer) -> None:
            if not answer.called:
                answer.callback(value)

        self._driver.peer_asks(asked, replied)
        return answer

    def _signed(self, head: _Head, body: bytes) -> Answer:
        if self._verifier is None or head.shown is None:
            return Answer(HTTPStatus.OK, body, peer.content_type)
        signature = self._verifier.sign(head.shown, HTTPStatus.OK, body)
        return Answer(HTTPStatus.OK, body, peer.content_type, ((auth_header, signature),))


def _verb(path: bytes) -> str:
    found = _path_pattern.fullmatch(path)
    if found is None:
        raise _nothing_here()
    version, verb = int(found[1]), found[2].decode()
    if version != peer.version:
        raise NotFound(f"this node speaks version {peer.version} of the {peer.protocol}, not {version}")
    if verb not in peer.requests:
        raise NotFound(f"version {version} of the {peer.protocol} has no {verb}")
    return verb


def _nothing_here() -> NotFound:
    return NotFound(f"nodes of a cluster use this port, with the {peer.protocol}; there is nothing else here")


def _single(request: BoundedRequest, name: str) -> str:
    values = request.headers(name.encode())
    if len(values) != 1:
        raise BadRequest(f"{name} must be given once")
    return values[0].decode("latin-1")
