"""The URLs of peers: which are accepted, and how treq is given one.

Treq takes a URL apart for each request, and encodes its host as names of any script are: as much work as all the rest
of sending it, and no IPv6 address gets through. Instead of a text it may be given a `hyperlink.EncodedURL`, and this is
one.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, cast
from urllib.parse import urlsplit

from hyperlink import EncodedURL
from twisted.internet.ssl import optionsForClientTLS
from typing_extensions import override

kept_max: Final = 1_024  # more than members times verbs
name_chars_max: Final = 253

_name_pattern = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_number_pattern = re.compile(r"(.*\.)?[0-9]+\.?")
_zone_pattern = re.compile(r"%25[A-Za-z0-9._~-]+\]")


class ReadyUrl(EncodedURL):
    """A URL as it goes over the wire: there is nothing to be encoded any more, and its text is known."""

    __slots__ = ("text",)
    text: str

    @override
    def to_uri(self) -> "ReadyUrl":
        return self

    @override
    def to_text(self, with_password: bool = False) -> str:
        return self.text


@lru_cache(kept_max)
def ready_url(text: str) -> ReadyUrl:
    """Make a URL ready to be requested.

    Raises:
        ValueError: the text is not a URL.
    """
    uri = text if text.isascii() else EncodedURL.from_text(text).to_uri().to_text(with_password=True)
    made = cast(ReadyUrl, ReadyUrl.from_text(_zone_pattern.sub("]", uri, count=1)))  # it knows no zones
    made.text = uri
    return made


def check_peer_url(text: str) -> None:
    """Check the URL of a peer's listener: scheme, host, and perhaps a port, as this node can connect to them.

    A name may have underscores and hyphens anywhere, as names of containers have: the resolver knows what it knows. TLS
    does not check such names, so there they are refused.

    Raises:
        ValueError: the text is not such a URL; the message says why, or is empty.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or not text.isprintable() or " " in text:
        raise ValueError
    if "@" in parts.netloc:
        raise ValueError("a user name means nothing to a peer; --peer-secret-file does")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise ValueError("it must end behind host and port")
    if parts.port == 0 or parts.netloc.endswith(":"):
        raise ValueError("its port must be from 1 to 65535")
    host = parts.hostname or ""
    if parts.netloc.startswith("["):
        _check_ipv6(host)
    elif _number_pattern.fullmatch(host):
        IPv4Address(host)
    else:
        _check_name(host if host.isascii() else ready_url(f"http://{host}").host)
        if parts.scheme == "https":
            _check_tls_name(host)


def _check_ipv6(address: str) -> None:
    number, percent, zone = address.partition("%")
    if percent and _zone_pattern.fullmatch(f"%{zone}]") is None:
        raise ValueError("the zone of an address is written with %25, as in [fe80::1%25eth0]")
    IPv6Address(number)


def _check_tls_name(name: str) -> None:
    try:
        optionsForClientTLS(name.rstrip("."))
    except ValueError as error:
        raise ValueError(f"TLS can't check such a name: {error}") from None


def _check_name(name: str) -> None:
    if len(name.removesuffix(".")) > name_chars_max or _name_pattern.fullmatch(name) is None:
        raise ValueError("its host is neither an address nor a name of letters, digits, - and _")
