"""What carries requests to peers: HTTP, one request on a connection at a time, connections that stay."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias, cast

from attrs import frozen
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool
from twisted.web.http_headers import Headers
from typing_extensions import override

from dqtw.core.links.peer_messages import Asking, Failed, Fetch, Forward, PeerAnswer, PeerRequest
from dqtw.core.model.errors import PeerFault
from dqtw.net.peer.auth import Credentials, Signer, auth_header
from dqtw.net.peer.failures import reason, refusal
from dqtw.net.peer.limits import PeerLimits
from dqtw.net.peer.pool import PeerPool, PlainAgent, WholeBody, read_body, refuse_body
from dqtw.net.peer.url import ready_url
from dqtw.wire.peer import protocol as peer
from dqtw.wire.peer.kinds import bare

_log = Logger()

grace_s: Final = 0.5  # past the core's own time-out, so that the core judges the silence first

_stopping: Final = "this node is stopping"

AgentOf: TypeAlias = Callable[[HTTPConnectionPool], Any]


class _NotSent(PeerFault):
    """The request never left this node."""


class _NoCookies(IndexableCookieJar):
    """Sends none and keeps none, without looking for any."""

    @override
    def add_cookie_header(self, request: Any) -> None:
        pass

    @override
    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


@frozen
class _Route:
    """One peer: its connections, and whose turn it is to use one."""

    pool: PeerPool
    client: HTTPClient
    forwards: DeferredSemaphore


class PeerClient:
    """A `dqtw.driver.PeerLink` over HTTP. Whatever goes wrong with a peer becomes a `Failed` for that request alone.

    Args:
        clock: the reactor, or what stands in for its time.
        agent_of: makes the agent that opens the connections of a pool.
        signer: what shows the cluster's secret; None when it has none.
        limits: the bounds.
    """

    def __init__(
        self,
        clock: IReactorTime,
        agent_of: AgentOf,
        signer: Signer | None = None,
        limits: PeerLimits | None = None,
    ) -> None:
        self._clock = clock
        self._agent_of = agent_of
        self._signer = signer
        self._limits = limits or PeerLimits()
        self._routes: dict[str, _Route] = {}
        self._under_way: set[Deferred[PeerAnswer]] = set()
        self._stopped = False

    def send(self, asking: Asking, answered: Callable[[PeerAnswer], None]) -> None:
        """Send a request; ``answered`` is called once, with the peer's answer or with `Failed`."""
        if self._stopped:
            answered(Failed(_stopping, was_sent=False))
            return
        asked = Deferred.fromCoroutine(self._ask(self._route(asking.peer), asking))
        asked.addTimeout(asking.timeout_s + grace_s, self._clock)
        asked.addErrback(lambda failure: self._failed(asking.peer, failure))
        self._under_way.add(asked)
        asked.addCallback(lambda answer: self._over(asked, answer, answered))
        asked.addErrback(lambda failure: _log.failure("an answer of {peer} was not taken", failure, peer=asking.peer))

    def stop(self) -> None:
        """Give up whatever is under way, close all connections, and send nothing more."""
        self._stopped = True
        for asked in tuple(self._under_way):
            asked.cancel()
        for route in self._routes.values():
            route.pool.drop_idle()

    def _route(self, peer_id: str) -> _Route:
        route = self._routes.get(peer_id)
        if route is None:
            pool = PeerPool(self._clock, self._limits)
            route = _Route(pool, self._client(pool), DeferredSemaphore(self._limits.forwards_max))
            self._routes[peer_id] = route
        return route

    def _client(self, pool: PeerPool) -> HTTPClient:
        return HTTPClient(PlainAgent(self._agent_of(pool)), _NoCookies(), WholeBody)

    async def _ask(self, route: _Route, asking: Asking) -> PeerAnswer:
        """Ask, when it is this request's turn: a session never waits, but of forwards not all go at once."""
        if not isinstance(asking.request, Forward):
            return await self._exchange(route, asking)
        if len(route.forwards.waiting) >= self._limits.forwards_waiting_max:
            raise _NotSent("too many requests wait for this peer")
        await route.forwards.acquire()
        try:
            return await self._exchange(route, asking)
        finally:
            route.forwards.release()

    async def _exchange(self, route: _Route, asking: Asking) -> PeerAnswer:
        request = asking.request
        body = peer.encode_request(request)
        path = peer.path_prefix + peer.verb_of(request)
        shown = self._signer.sign(path, asking.peer, body) if self._signer is not None else None
        try:
            response = await self._post(route, asking.url.rstrip("/") + path, _headers(asking.peer, shown), body)
            return await self._read(request, shown, response)
        finally:
            route.pool.cut_closing()

    def _post(self, route: _Route, url: str, headers: Headers, body: bytes) -> Deferred[Any]:
        try:
            posted: Deferred[Any] = route.client.post(
                ready_url(url),
                headers=headers,
                data=body,
                allow_redirects=False,
                unbuffered=True,
                reactor=cast(Any, self._clock),
            )
        except ValueError as error:  # at once, so before anything was sent; a later one proves nothing
            raise _NotSent(f"the URL cannot be used: {error}") from None
        return posted

    async def _read(self, request: PeerRequest, shown: Credentials | None, response: Any) -> PeerAnswer:
        kind = b",".join(_values(response, "Content-Type")).decode("latin-1")
        if response.code != HTTPStatus.OK or kind != peer.content_type:
            return refusal(request, response.code, kind, await read_body(response, self._limits.refusal_bytes_max))
        if self._signer is None or shown is None:
            return peer.decode_answer(request, await read_body(response, self._answer_bytes_max(request)))
        try:
            digest = self._signer.check_head(shown, response.code, _values(response, auth_header))
        except PeerFault:
            refuse_body(response)
            raise
        body = await read_body(response, self._answer_bytes_max(request))
        self._signer.check_body(digest, body)
        return peer.decode_answer(request, body)

    def _answer_bytes_max(self, request: PeerRequest) -> int:
        if isinstance(request, Fetch | Forward):
            return self._limits.message_answer_bytes_max
        return self._limits.answer_bytes_max

    def _failed(self, peer_id: str, failure: Failure) -> PeerAnswer:
        self._routes[peer_id].pool.drop_idle()
        # Without a connection nothing was sent.
        was_sent = not isinstance(failure.value, ConnectError | ConnectingCancelledError | DNSLookupError | _NotSent)
        return Failed(_stopping if self._stopped else bare(reason(failure.value)), was_sent)

    def _over(
        self, asked: Deferred[PeerAnswer], answer: PeerAnswer, answered: Callable[[PeerAnswer], None]
    ) -> PeerAnswer:
        """Hand an answer on; what goes wrong with that is a defect of this node, and the peer's no more."""
        self._under_way.discard(asked)
        answered(answer)
        return answer


def _headers(to: str, shown: Credentials | None) -> Headers:
    headers = Headers({"Content-Type": [peer.content_type], peer.to_header: [to]})
    if shown is not None:
        headers.setRawHeaders(auth_header, [shown.header()])
    return headers


def _values(response: Any, name: str) -> list[bytes]:
    return cast(list[bytes], response.headers.getRawHeaders(name.encode(), []))
