"""What pages of other sites can make a browser send, and whether it is served."""

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from dqtw.net.rest.cross_site import CrossSiteGuard, is_origin_of, name_of
from tests.unit.net.http_client import Response, Server

loopback = IPv4Address("TCP", "127.0.0.1", 8080)


def server_on(address: IAddress, *hosts: str, bound: IAddress | None = None) -> Server:
    """A server whose connections come in at an address, to which its listener is bound if nothing else is said."""
    server = Server(guard=CrossSiteGuard(frozenset(hosts), lambda: [bound or address]), address=address)
    assert server.ask("POST", "/push", b"work", {"Host": "localhost"}).status == 201
    return server


def is_refused(server: Server, response: Response) -> bool:
    """Return True if the request is refused; then its message must still be there."""
    if response.status == 200:
        assert response.body == b"work"
        return False
    assert (response.status, response.code) == (403, "cross_site")
    assert server.node.messages_count == 1
    assert server.refused["http"]["refused"]["cross_site"] >= 1
    return True


def get(server: Server, **headers: str) -> Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.ask("GET", "/get?ack=now", headers={"Host": "localhost:8080"} | given)


@pytest.mark.parametrize("value", ["cross-site", "same-site", "Cross-Site", "", "anything", "none, cross-site"])
def test_an_image_on_another_sites_page_takes_nothing(value: str) -> None:
    """`<img src="http://localhost:8080/get?ack=now">` does not remove a message."""
    server = server_on(loopback)
    assert is_refused(server, get(server, Sec_Fetch_Site=value))


@pytest.mark.parametrize("value", ["same-origin", "none", "None"])
def test_a_person_with_a_browser_is_served(value: str) -> None:
    """Who types the address means it."""
    server = server_on(loopback)
    assert not is_refused(server, get(server, Sec_Fetch_Site=value))


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://localhost",
        "http://localhost:3000",
        "file://",
        "http://localhost:8080.evil",
    ],
)
def test_a_form_or_script_of_another_origin_pushes_nothing(origin: str) -> None:
    """Neither from another host nor from another port of this one, nor from a file."""
    server = server_on(loopback)
    response = server.ask("POST", "/push", b"spam", {"Host": "localhost:8080", "Origin": origin})
    assert is_refused(server, response)


def test_a_page_of_this_very_host_is_served() -> None:
    """Also behind a proxy that speaks TLS."""
    server = server_on(loopback, "queue.example")
    for host, origin in (
        ("localhost:8080", "http://localhost:8080"),
        ("LOCALHOST", "HTTP://localhost"),
        ("queue.example", "https://queue.example"),
    ):
        assert server.ask("GET", "/stats", headers={"Host": host, "Origin": origin}).status == 200


def test_a_preflight_is_refused_too() -> None:
    """A script is not told that it might."""
    server = server_on(loopback)
    headers = {"Host": "localhost:8080", "Origin": "http://evil.example", "Access-Control-Request-Method": "DELETE"}
    assert server.ask("OPTIONS", "/push", headers=headers).code == "cross_site"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Purpose", "preview"),
        ("X-Moz", "Prefetch"),
    ],
)
def test_a_prefetch_takes_nothing(name: str, value: str) -> None:
    """A browser that guesses what its user will ask for does not take a message."""
    server = server_on(loopback)
    headers = {"Host": "localhost:8080", "Sec-Fetch-Site": "none", name: value}
    assert is_refused(server, server.ask("GET", "/get?ack=now", headers=headers))


@pytest.mark.parametrize("address", [loopback, IPv4Address("TCP", "127.8.0.1", 80), IPv6Address("TCP", "::1", 80)])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "1.127.0.0", "192.0.2.1", ""]
)
def test_a_rebound_name_reaches_nothing(address: IAddress, host: str) -> None:
    """A page whose host name its owner lets point to this machine is not this host."""
    server = server_on(address)
    assert is_refused(server, get(server, Host=host))


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:1", "127.0.0.1:8080", "127.1.2.3", "[::1]", "[::1]:80", "::1"]
)
def test_loopback_has_many_names(host: str) -> None:
    """Whatever a local client calls it."""
    server = server_on(loopback)
    assert not is_refused(server, get(server, Host=host))


@pytest.mark.parametrize(
    ("given", "host"), [("queue.example", "Queue.Example:80"), ("*", "any.example"), ("a:1", "a:1")]
)
def test_a_host_may_be_allowed(given: str, host: str) -> None:
    """For a proxy on this machine that passes on the name that the client used."""
    server = server_on(loopback, given)
    assert not is_refused(server, get(server, Host=host))


def test_an_allowed_host_is_no_licence_for_other_sites() -> None:
    """The two rules are independent."""
    server = server_on(loopback, "*")
    assert is_refused(server, get(server, Host="any.example", Origin="http://other.example"))


@pytest.mark.parametrize("address", [IPv4Address("TCP", "192.0.2.1", 80), loopback])
def test_a_listener_beyond_loopback_may_have_any_name(address: IAddress) -> None:
    """Its names are not known here; also where it is reached through loopback."""
    server = server_on(address, bound=IPv4Address("TCP", "0.0.0.0", 8080))
    assert is_refused(server, get(server, Host="any.example", Sec_Fetch_Site="cross-site"))
    assert not is_refused(server, get(server, Host="any.example"))


def test_the_host_of_an_absolute_target_counts() -> None:
    """As HTTP has it, and not the header beside it."""
    server = server_on(loopback)
    client = server.connect().send(b"GET http://evil.example/get HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert is_refused(server, client.response())
    client = server.connect().send(b"GET http://localhost/get HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client.response().body == b"work"


def test_http_1_0_without_a_host_is_no_browser() -> None:
    """But what says that it comes from elsewhere is refused."""
    server = server_on(loopback)
    client = server.connect().send(b"GET /get?ack=now HTTP/1.0\r\nOrigin: http://\r\n\r\n")
    assert is_refused(server, client.response())
    assert server.connect().send(b"GET /get?ack=now HTTP/1.0\r\n\r\n").response().body == b"work"


@pytest.mark.parametrize("target", ["/health", "/health/live", "/health/ready", "/health/push"])
def test_health_is_told_to_all(target: str) -> None:
    """A probe may use any name, and learns nothing of value."""
    server = server_on(loopback)
    headers = {"Host": "pod.example", "Sec-Fetch-Site": "cross-site", "Origin": "null"}
    assert server.ask("GET", target, headers=headers).status == 200


@pytest.mark.parametrize("target", ["/", "/stats", "/openapi.json", "/nope", "/healthy", "/health%2Flive"])
def test_everything_else_is_not(target: str) -> None:
    """Not even which paths there are."""
    server = server_on(loopback)
    assert server.ask("GET", target, headers={"Host": "localhost", "Origin": "null"}).code == "cross_site"


def test_a_unix_socket_is_no_place_for_a_browser() -> None:
    """Whoever reaches it may use any name."""
    server = server_on(UNIXAddress(b"/run/dqtw/http"))
    assert not is_refused(server, get(server, Host="any", Sec_Fetch_Site="cross-site", Origin="null"))


def test_where_a_token_is_asked_for_the_token_protects() -> None:
    """Another site's page has none."""
    server = Server(authenticate=lambda token: token == b"t", guard=CrossSiteGuard(), address=loopback)
    headers = {"Host": "any", "Origin": "http://other", "Authorization": "Bearer t"}
    assert server.ask("POST", "/push", b"", headers).status == 201
    del headers["Authorization"]
    assert server.ask("POST", "/push", b"", headers).code == "unauthorized"


def test_a_refused_body_is_not_read() -> None:
    """The head is enough."""
    server = server_on(loopback)
    client = server.connect()
    client.send(b"POST /push HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\nContent-Length: 1000000\r\n\r\n")
    assert client.response().code == "cross_site"


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        (b"http://a", b"a", True),
        (b"http://a:80", b"a", True),
        (b"http://a", b"a:80", True),
        (b"https://a", b"a:443", True),
        (b"https://a:443", b"A", True),
        (b"http://[::1]:8080", b"[::1]:8080", True),
        (b"http://a", b"b", False),
        (b"http://a:81", b"a:82", False),
        (b"http://a:443", b"a", False),
        (b"http://", b"", False),
        (b"ftp://a", b"a", False),
        (b"a", b"a", False),
    ],
)
def test_an_origin_is_compared_with_host_and_port(origin: bytes, host: bytes, same: bool) -> None:
    """A port that goes without saying may be said."""
    assert is_origin_of(origin, host) == same


@pytest.mark.parametrize(
    ("host", "name"),
    [(b"A.b:80", "a.b"), (b"[::1]:80", "::1"), (b"[::1]", "::1"), (b"::1", "::1"), (b"", ""), (b"[", ""), (b":80", "")],
)
def test_a_name_is_what_stands_before_the_port(host: bytes, name: str) -> None:
    """Whatever it looks like."""
    assert name_of(host) == name
