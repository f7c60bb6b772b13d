"""The REST API: HTTP requests on a node's queue."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

from attrs import evolve
from klein import Klein
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as OtherMethod

from dqtw import __version__
from dqtw.core.model.commands import Ack, Command, Inspect, Outcome
from dqtw.core.model.errors import BadRequest, MethodNotAllowed, Refusal, Unauthorized, quote
from dqtw.core.model.health import Check
from dqtw.core.model.message import MessageId, body_bytes_default_max, parse_id_or_receipt
from dqtw.driver import Driver
from dqtw.net.http.request import BoundedRequest
from dqtw.net.rest.asking import ask, ask_all, ask_while_watched
from dqtw.net.rest.cross_site import CrossSiteGuard
from dqtw.net.rest.openapi import openapi_document
from dqtw.wire.rest import batch as rest_batch
from dqtw.wire.rest import single as rest
from dqtw.wire.rest.head import check_headers
from dqtw.wire.rest.problem import Answer, Header, json_answer, problem
from dqtw.wire.values import parse_get

small_body_bytes_max: Final = 8192  # where a body means nothing, one of this size is read, to refuse it with a reason
push_batch_extra_bytes: Final = 1024 * 1024  # what a batch may have beyond one message in base64

_all_methods = ("DELETE", "GET", "HEAD", "POST")
# What is answered to a client without a token.
_open_paths = frozenset({b"/", b"/health", b"/health/live", b"/health/ready", b"/health/push", b"/openapi.json"})


class RestDoor:
    """What each path does. To be served by a `dqtw.net.http.site.BoundedSite`, whose gate this is.

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
        """Return the API as a resource; its requests must be `BoundedRequest`."""
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
        check_headers(path, request.requestHeaders.getAllRawHeaders())
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
        push = rest.parse_push(query, types, keys, request.take_body())
        return request.answer(rest.pushed_answer(push, await ask(self._driver, push)))

    @app.route("/push/batch", methods=["POST"])
    async def push_batch(self, request: BoundedRequest) -> bytes:
        """Put many messages on the queue, each for itself."""
        pushes = rest_batch.parse_push_batch(_batch(request), self._max_message)
        return request.answer(rest_batch.push_batch_answer(pushes, await self._ask_all(pushes)))

    @app.route("/get", methods=["GET", "POST"])
    async def get(self, request: BoundedRequest) -> bytes:
        """Lease one message; a HEAD leases none."""
        get = parse_get(_query(request, rest.get_names))
        if request.method == b"HEAD":
            return request.answer(rest.nothing)
        return request.answer(rest.delivered_answer(get, await ask_while_watched(self._driver, request, get)))

    @app.route("/get/batch", methods=["POST"])
    async def get_batch(self, request: BoundedRequest) -> bytes:
        """Lease many messages, as many as one answer may hold."""
        get = rest.parse_get_batch(_query(request, rest.get_batch_names))
        return request.answer(rest_batch.get_batch_answer(get, await ask_while_watched(self._driver, request, get)))

    @app.route("/ack/<receipt>", methods=["POST"])
    async def ack(self, request: BoundedRequest, receipt: str) -> bytes:
        """Remove a message: the work is done."""
        _query(request)
        return request.answer(rest.done_answer(await ask(self._driver, Ack(parse_id_or_receipt(receipt)))))

    @app.route("/ack/batch", methods=["POST"])
    async def ack_batch(self, request: BoundedRequest) -> bytes:
        """Remove many messages, each for itself."""
        acks = rest_batch.parse_ack_batch(_batch(request))
        return request.answer(rest_batch.ack_batch_answer(await self._ask_all(acks)))

    @app.route("/messages/<message_id>", methods=["DELETE"])
    async def remove(self, request: BoundedRequest, message_id: str) -> bytes:
        """Remove a message, by its id."""
        _query(request)
        return request.answer(rest.done_answer(await ask(self._driver, Ack(MessageId.parse(message_id)))))

    @app.route("/messages/<message_id>", methods=["GET"])
    async def inspect(self, request: BoundedRequest, message_id: str) -> bytes:
        """Describe one message."""
        _query(request)
        parsed = MessageId.parse(message_id)
        return request.answer(rest.inspected_answer(parsed, await ask(self._driver, Inspect(parsed))))

    @app.route("/nack/<receipt>", methods=["POST"])
    async def nack(self, request: BoundedRequest, receipt: str) -> bytes:
        """Give a lease up."""
        nack = rest.parse_nack(receipt, _query(request, rest.nack_names))
        return request.answer(rest.done_answer(await ask(self._driver, nack)))

    @app.route("/touch/<receipt>", methods=["POST"])
    async def touch(self, request: BoundedRequest, receipt: str) -> bytes:
        """Start a lease anew."""
        touch = rest.parse_touch(receipt, _query(request, rest.touch_names))
        return request.answer(rest.done_answer(await ask(self._driver, touch)))

    @app.route("/stats", methods=["GET"])
    def stats(self, request: BoundedRequest) -> bytes:
        """Report what operators see."""
        _query(request)
        return request.answer(json_answer(self._driver.stats()))

    @app.route("/health", methods=["GET"])
    def health(self, request: BoundedRequest) -> bytes:
        """Report all health checks; the status is 200, for the process answers."""
        _query(request)
        return request.answer(
            json_answer({check.value: rest.health_document(self._driver.health(check)) for check in Check})
        )

    @app.route("/health/live", methods=["GET"])
    def live(self, request: BoundedRequest) -> bytes:
        """Report that the process answers."""
        return self._health(request, Check.LIVE)

    @app.route("/health/ready", methods=["GET"])
    def ready(self, request: BoundedRequest) -> bytes:
        """Report if the node serves gets."""
        return self._health(request, Check.READY)

    @app.route("/health/push", methods=["GET"])
    def would_push(self, request: BoundedRequest) -> bytes:
        """Report if the node would accept a push now."""
        return self._health(request, Check.PUSH)

    @app.route("/openapi.json", methods=["GET"])
    def openapi(self, request: BoundedRequest) -> bytes:
        """Describe this API, for programs."""
        _query(request)
        return request.answer(json_answer(openapi_document()))

    @app.route("/", methods=["GET"])
    def overview(self, request: BoundedRequest) -> bytes:
        """Say what this server is."""
        _query(request)
        return request.answer(rest.overview_answer(__version__))

    @app.handle_errors(Refusal)
    def refused(self, request: Any, failure: Failure) -> Any:
        """Answer what is refused before the node sees it."""
        return self._refuse(request, cast(Refusal, failure.value))

    @app.handle_errors(HTTPException)
    def unrouted(self, request: Any, failure: Failure) -> Any:
        """Answer a path that does not exist, or not for this method, and OPTIONS."""
        if request.path == b"*":
            methods = sorted(_all_methods)
        elif isinstance(failure.value, OtherMethod):
            methods = sorted(failure.value.valid_methods or ())
        else:
            return self._refuse(request, rest.nothing_at(unquote_to_bytes(request.path)))
        allow: Header = ("Allow", ", ".join(sorted({*methods, "OPTIONS"})))
        if request.method == b"OPTIONS":
            return request.answer(Answer(HTTPStatus.NO_CONTENT, headers=(allow,)))
        usual = " or ".join(method for method in methods if method != "HEAD")
        refusal = MethodNotAllowed(f"use {usual} here, not {quote(request.method.decode())}")
        return self._refuse(request, refusal, allow)

    def _refuse(self, request: BoundedRequest, refusal: Refusal, *headers: Header) -> bytes:
        self.count_refused(refusal.code)
        answer = problem(refusal)
        return request.answer(evolve(answer, headers=(*answer.headers, *headers)))

    async def _ask_all(self, commands: Sequence[Command | Refusal]) -> list[Outcome]:
        for command in commands:
            if isinstance(command, Refusal):
                self.count_refused(command.code)
        return await ask_all(self._driver, commands)

    def _health(self, request: BoundedRequest, check: Check) -> bytes:
        _query(request)
        return request.answer(rest.health_answer(self._driver.health(check)))


def _query(request: BoundedRequest, names: Sequence[str] = ()) -> rest.Query:
    """Return the query of a request that takes no body.

    Raises:
        BadRequest: the request has a body, or its query is wrong.
    """
    if request.received:
        where = f"its parameters ({', '.join(names)}) belong in the query" if names else "nor any parameter"
        raise BadRequest(f"this request takes no body; {where}")
    return rest.parse_query(request.query, names)


def _batch(request: BoundedRequest) -> bytes:
    """Return the body of a batch, which takes no parameters."""
    rest.parse_query(request.query)
    rest_batch.check_batch_type(request.headers(b"Content-Type"))
    return request.take_body()


def _is_health(request: BoundedRequest) -> bool:
    return request.path == b"/health" or request.path.startswith(b"/health/")
