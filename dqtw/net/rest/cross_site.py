"""Protection from requests that a browser makes without its user's will.

Where no token is asked for, any page that a user visits could push and take messages: with an image, a form or a
script, with a host name of its own that it rebinds to this machine's address, or by a link that the browser prefetches.
Browsers say in the request's head where it comes from; see `CrossSiteGuard.check`.
"""

from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from attrs import frozen
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from dqtw.core.model.errors import CrossSite, quote
from dqtw.net.http.request import BoundedRequest

_own_sites: Final = frozenset({b"same-origin", b"none"})  # "none": the user typed the address
_prefetch_headers: Final = (b"Sec-Purpose", b"Purpose", b"X-Purpose", b"X-Moz")
_default_ports: Final = {b"http": b":80", b"https": b":443"}


@frozen
class CrossSiteGuard:
    """The rule for requests to listeners that ask for no token.

    Attributes:
        hosts: names, besides those of the loopback interface, by which a loopback listener may be called; ``*`` for
            any.
        listeners: returns the addresses to which the listeners are bound.
    """

    hosts: frozenset[str] = frozenset()
    listeners: Callable[[], Collection[IAddress]] = tuple

    def check(self, request: BoundedRequest) -> None:
        """Judge a request by its head.

        A request over a UNIX socket passes: no browser makes one.

        Raises:
            CrossSite: the request comes from a page of another site, is a prefetch, or reached a loopback listener by
                a name that is not one of this machine's.
        """
        if isinstance(request.local_address, UNIXAddress):
            return
        if any(value.lower() not in _own_sites for value in request.headers(b"Sec-Fetch-Site")):
            raise CrossSite("a page of another site made this request (Sec-Fetch-Site)")
        for origin in request.headers(b"Origin"):
            if not is_origin_of(origin, request.host):
                raise CrossSite(f"a page of {_shown(origin)} made this request; this host is {_shown(request.host)}")
        for name in _prefetch_headers:
            if any(value.lower().startswith((b"prefetch", b"preview")) for value in request.headers(name)):
                raise CrossSite("a browser prefetches this; it is not answered before the user asks for it")
        if not self._is_own_host(request):
            raise CrossSite(
                f"{_shown(request.host)} is not a name of the loopback interface; --host allows further names"
            )

    def _is_own_host(self, request: BoundedRequest) -> bool:
        if not request.host and not request.headers(b"Host"):  # of HTTP/1.0, which browsers do not speak
            return True
        return (
            is_loopback_host(request.host)
            or not self._is_loopback_listener(request.local_address)
            or not self.hosts.isdisjoint({"*", name_of(request.host), _lower(request.host)})
        )

    def _is_loopback_listener(self, address: IAddress) -> bool:
        """Return True if the listener of a connection is bound to a loopback address, not to all of the machine's."""
        return _is_loopback_address(getattr(address, "host", "")) and address in self.listeners()


@lru_cache(maxsize=1024)
def is_loopback_host(host: bytes) -> bool:
    """Return True if a Host, with a port or without, is ``localhost`` or a loopback address."""
    name = name_of(host)
    return name == "localhost" or _is_loopback_address(name)


def name_of(host: bytes) -> str:
    """Return the name or address of a Host in lower case, without port and brackets."""
    text = _lower(host)
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text if text.count(":") > 1 else text.partition(":")[0]


def is_origin_of(origin: bytes, host: bytes) -> bool:
    """Return True if the pages of an origin come from this very host and port; ``null`` is the origin of none."""
    scheme, separator, origin_host = origin.lower().partition(b"://")
    port = _default_ports.get(scheme)
    if not separator or port is None or not host:
        return False
    return origin_host.removesuffix(port) == host.lower().removesuffix(port)


def _is_loopback_address(text: str) -> bool:
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False


def _lower(host: bytes) -> str:
    return host.decode("latin-1").lower()


def _shown(value: bytes) -> str:
    return quote(value.decode("latin-1")) if value else "nothing"
