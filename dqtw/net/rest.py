"""The REST door: HTTP requests on a node's queue."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as OtherMethod

from dqtw.core.commands import Ack, Inspect, Inspected, Pushed
from dqtw.core.errors import MethodNotAllowed, NotFound, Refusal, Unauthorized
from dqtw.core.health import Check
from dqtw.core.message import MessageId, body_bytes_default_max, parse_id_or_receipt
from dqtw.driver import Driver
from dqtw.net.asking import ask_all, ask_while_watched
from dqtw.net.cross_site import CrossSiteGuard
from dqtw.net.http_request import BoundedRequest
from dqtw.net.openapi import openapi_document
from dqtw.wire import rest, rest_batch
from dqtw.wire.problem import Answer, Header, json_answer, problem

small_body_bytes_max: Final = 8192  # where a body means nothing, one of this size is read and ignored
push_batch_extra_bytes: Final = 1024 * 1024  # what a batch may have beyond one message in base64

_all_methods = ("DELETE", "GET", "HEAD", "POST")
# What is asked by those who have no token.
_open_paths = frozenset({b"/health/live", b"/health/ready", b"/health/push", b"/openapi.json"})


class RestDoor:
    """What each path does. To be served by a `dqtw.net.http.BoundedSite`, whose gate this is.

    Args:
        driver: the node.
        max_message: the largest message that is taken, in bytes.
        authenticate: returns True if a bearer token is good; None when none is asked for.
        guard: where no token is asked for, refuses what pages of other sites make browsers send.
    """

    app = Klein()

    def __init__(
        self,
        driver: Driver,
        max_message: int = body_bytes_default_max,
        authenticate: Callable[[bytes], bool] | None = None,
        guard: CrossSiteGuard | None = None,
    ) -> None:
        self._driver = driver
        self._max_message = max_message
        self._authenticate = authenticate
        self._guard = guard or CrossSiteGuard()
        batch_bytes_max = max_message * 4 // 3 + push_batch_extra_bytes
        self._body_bytes_max = {
            b"/push": max_message,
            b"/push/batch": batch_bytes_max,
            b"/ack/batch": batch_bytes_max,
        }

    def resource(self) -> IResource:
        """The door as a resource; its requests must be `BoundedRequest`."""
        return cast(IResource, self.app.resource())

    def is_served_at_the_limit(self, request: BoundedRequest) -> bool:
        """Return True for a health check: a crowd of clients must not look like a dead process."""
        return _is_health(request)

    def count_refused(self, code: str) -> None:
        """Count what is refused before the node sees it."""
        self._driver.count_refused("http", code)

    def body_bytes_max(self, request: BoundedRequest) -> int:
        """Return how large a request's body may be.

        Raises:
            Refusal: the request is refused already, by its head.
        """
        path = unquote_to_bytes(request.path)
        self._check_sender(request, path)
        return self._body_bytes_max.get(path, small_body_bytes_max)

    def _check_sender(self, request: BoundedRequest, path: bytes) -> None:
        if self._authenticate is None:
            if not _is_health(request):
                self._guard.check(request)
        elif path not in _open_paths and not self._authenticate(rest.parse_bearer(request.headers(b"Authorization"))):
            raise Unauthorized("this token is not one of the server's")

    @app.route("/push", methods=["POST"])
    async def push(self, request: BoundedRequest) -> bytes:
        """Put a message on the queue."""
        query = rest.parse_query(request.query, rest.push_names)
        types, keys = request.headers(b"Content-Type"), request.headers(b"Idempotency-Key")
        pushed = await self._driver.ask(rest.parse_push(query, types, keys, request.take_body()))
        return request.answer(rest.pushed_answer(cast(Pushed, pushed)))

    @app.route("/push/batch", methods=["POST"])
    async def push_batch(self, request: BoundedRequest) -> bytes:
        """Put many messages on the queue, each for itself."""
        rest.parse_query(request.query)
        pushes = rest_batch.parse_push_batch(request.take_body(), self._max_message)
        return request.answer(rest_batch.push_batch_answer(await ask_all(self._driver, pushes)))

    @app.route("/get", methods=["GET", "POST"])
    async def get(self, request: BoundedRequest) -> bytes:
        """Lease one message; a HEAD leases none."""
        get = rest.parse_get(rest.parse_query(request.query, rest.get_names))
        if request.method == b"HEAD":
            return request.answer(rest.done_answer())
        delivered = await ask_while_watched(self._driver, request, get)
        return request.answer(rest.delivered_answer(delivered.deliveries))

    @app.route("/get/batch", methods=["POST"])
    async def get_batch(self, request: BoundedRequest) -> bytes:
        """Lease many messages, as many as one answer may hold."""
        get = rest.parse_get_batch(rest.parse_query(request.query, rest.get_batch_names))
        delivered = await ask_while_watched(self._driver, request, get)
        return request.answer(rest_batch.get_batch_answer(delivered.deliveries))

    @app.route("/ack/<receipt>", methods=["POST"])
    async def ack(self, request: BoundedRequest, receipt: str) -> bytes:
        """Remove a message: the work is done."""
        return await self._remove(request, parse_id_or_receipt(receipt))

    @app.route("/ack/batch", methods=["POST"])
    async def ack_batch(self, request: BoundedRequest) -> bytes:
        """Remove many messages, each for itself."""
        rest.parse_query(request.query)
        acks = rest_batch.parse_ack_batch(request.take_body())
        return request.answer(rest_batch.ack_batch_answer(await ask_all(self._driver, acks)))

    @app.route("/messages/<message_id>", methods=["DELETE"])
    async def remove(self, request: BoundedRequest, message_id: str) -> bytes:
        """Remove a message, by its id."""
        return await self._remove(request, MessageId.parse(message_id))

    @app.route("/messages/<message_id>", methods=["GET"])
    async def inspect(self, request: BoundedRequest, message_id: str) -> bytes:
        """Tell about one message."""
        rest.parse_query(request.query)
        parsed = MessageId.parse(message_id)
        inspected = await self._driver.ask(Inspect(parsed))
        return request.answer(rest.inspected_answer(parsed, cast(Inspected, inspected)))

    @app.route("/nack/<receipt>", methods=["POST"])
    async def nack(self, request: BoundedRequest, receipt: str) -> bytes:
        """Give a lease up."""
        query = rest.parse_query(request.query, rest.nack_names)
        await self._driver.ask(rest.parse_nack(receipt, query))
        return request.answer(rest.done_answer())

    @app.route("/touch/<receipt>", methods=["POST"])
    async def touch(self, request: BoundedRequest, receipt: str) -> bytes:
        """Start a lease anew."""
        query = rest.parse_query(request.query, rest.touch_names)
        await self._driver.ask(rest.parse_touch(receipt, query))
        return request.answer(rest.done_answer())

    @app.route("/stats", methods=["GET"])
    def stats(self, request: BoundedRequest) -> bytes:
        """What operators see."""
        rest.parse_query(request.query)
        return request.answer(json_answer(self._driver.stats()))

    @app.route("/health/live", methods=["GET"])
    def live(self, request: BoundedRequest) -> bytes:
        """Whether the process answers."""
        return self._health(request, Check.LIVE)

    @app.route("/health/ready", methods=["GET"])
    def ready(self, request: BoundedRequest) -> bytes:
        """Whether it serves gets."""
        return self._health(request, Check.READY)

    @app.route("/health/push", methods=["GET"])
    def would_push(self, request: BoundedRequest) -> bytes:
        """Whether it would take a push now."""
        return self._health(request, Check.PUSH)

    @app.route("/openapi.json", methods=["GET"])
    def openapi(self, request: BoundedRequest) -> bytes:
        """What this door speaks, for programs."""
        rest.parse_query(request.query)
        return request.answer(json_answer(openapi_document()))

    @app.handle_errors(Refusal)
    def refused(self, request: Any, failure: Failure) -> Any:
        """A refusal, as a problem document."""
        return request.answer(problem(cast(Refusal, failure.value)))

    @app.handle_errors(HTTPException)
    def unrouted(self, request: Any, failure: Failure) -> Any:
        """No such path, or not for this method; OPTIONS is told which are."""
        if request.path == b"*" and request.method == b"OPTIONS":
            return request.answer(_other_method(request.method, _all_methods))
        if not isinstance(failure.value, OtherMethod):
            return request.answer(problem(NotFound("there is nothing at this path")))
        return request.answer(_other_method(request.method, failure.value.valid_methods))

    async def _remove(self, request: BoundedRequest, message_id: MessageId) -> bytes:
        rest.parse_query(request.query)
        await self._driver.ask(Ack(message_id))
        return request.answer(rest.done_answer())

    def _health(self, request: BoundedRequest, check: Check) -> bytes:
        rest.parse_query(request.query)
        return request.answer(rest.health_answer(self._driver.health(check)))


def _is_health(request: BoundedRequest) -> bool:
    return request.path == b"/health" or request.path.startswith(b"/health/")


def _other_method(method: bytes, methods: Any) -> Answer:
    allow: Header = ("Allow", ", ".join(sorted({*methods, "OPTIONS"})))
    if method == b"OPTIONS":
        return Answer(HTTPStatus.NO_CONTENT, headers=(allow,))
    refusal = problem(MethodNotAllowed(f"this path takes {allow[1]}"))
    return Answer(refusal.status, refusal.body, refusal.content_type, (*refusal.headers, allow))
