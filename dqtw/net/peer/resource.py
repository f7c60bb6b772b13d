# mypy: disable-error-code="no-untyped-call"
# (of Twisted's own methods, which have no types)
"""The listener for peers: one path, whose response never ends."""

from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as OtherMethod
from werkzeug.exceptions import NotFound as NoPath

from dqtw.core.links.streams import StreamRefused, protocol_version
from dqtw.core.model.errors import MethodNotAllowed, NotFound
from dqtw.driver import Clock
from dqtw.net.http.limits import HttpLimits
from dqtw.net.http.request import BoundedRequest
from dqtw.net.http.site import BoundedSite
from dqtw.net.peer.bounds import stream_http_limits
from dqtw.net.peer.streams import PeerStreams
from dqtw.wire.peer import handshake
from dqtw.wire.rest.problem import Answer, problem

_nothing_here = f"nodes of a cluster use this port, with version {protocol_version} of the peer protocol"


class StreamResource:
    """Where peers open streams. To be served by a `dqtw.net.http.site.BoundedSite`, whose gate this is."""

    app = Klein()

    def __init__(self, streams: PeerStreams) -> None:
        self._streams = streams

    def site(self, clock: Clock, limits: HttpLimits = stream_http_limits) -> BoundedSite:
        """Return what listens on the peer endpoint."""
        resource: IResource = self.app.resource()
        return BoundedSite(resource, self, clock, limits)

    def is_served_at_the_limit(self, request: BoundedRequest) -> bool:  # noqa: ARG002
        """Return False: peers are few, and none is more important than another."""
        return False

    def count_refused(self, code: str) -> None:
        """Count a request that was refused by its head."""
        self._streams.count_refused(code)

    def body_bytes_max(self, request: BoundedRequest) -> int:  # noqa: ARG002
        """Return 0: no request has a body."""
        return 0

    @app.route(handshake.path, methods=["GET"])
    def stream(self, request: BoundedRequest) -> bytes | Deferred[Any]:
        """Open a stream."""
        if request.method != b"GET":  # the router takes HEAD for GET
            return self._refuse(request, "method_not_allowed", problem(MethodNotAllowed("streams are opened with GET")))
        request.setHeader(b"Content-Type", handshake.content_type)
        request.setHeader(b"Cache-Control", b"no-store, no-transform")
        request.setHeader(b"X-Accel-Buffering", b"no")  # for nginx in between
        refused = self._streams.ask(request)
        if refused is not None:
            return self._refuse(request, refused.code, handshake.refusal(refused))
        return Deferred()  # which Klein cancels when the connection is gone

    @app.route("/peer/v<string(maxlength=3):version>/stream", methods=["GET"])
    def other_version(self, request: BoundedRequest, version: str) -> bytes:
        """Refuse a peer of another release."""
        if not (version.isascii() and version.isdigit()):
            raise NoPath
        refused = StreamRefused("version", f"this node speaks version {protocol_version}, not {version}")
        return self._refuse(request, refused.code, handshake.refusal(refused))

    @app.handle_errors(HTTPException)
    def unrouted(self, request: Any, failure: Failure) -> bytes:
        """Answer a path that does not exist, or not for this method."""
        if isinstance(failure.value, OtherMethod):
            return self._refuse(request, "method_not_allowed", problem(MethodNotAllowed("streams are opened with GET")))
        return self._refuse(request, "not_found", problem(NotFound(f"{_nothing_here}; there is nothing else here")))

    def _refuse(self, request: BoundedRequest, code: str, answer: Answer) -> bytes:
        self.count_refused(code)
        return request.answer(answer)
