"""Endpoint strings: where a listener listens, as an operator writes it.

They are Twisted's, read here first: a mistake gets a message that says what to write instead, an IPv6 address needs no
backslashes, and TLS sends the whole chain of a certificate that can be read again.
"""

import errno
import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from dqtw.config.options import BadOption
from dqtw.config.values import shown
from dqtw.net.proxied import ProxiedEndpoint
from dqtw.net.tls import BadCertificate, CertificateFiles, ServerCertificate
from dqtw.net.unix_socket import UnixEndpoint

_parameters: Final = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "ssl": ("port", "privateKey", "certKey", "extraCertChain", "interface", "backlog"),
    "unix": ("address", "mode", "backlog", "lockfile"),
}
_kinds: Final = (*_parameters, "haproxy", "systemd")
_number: Final = re.compile("[0-9]{1,5}")
_forms: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    "port": (lambda text: _number.fullmatch(text) and int(text) <= 65535, "a number from 0 to 65535"),
    "backlog": (_number.fullmatch, "a number of at most 5 digits"),
    "mode": (re.compile("[0-7]{1,4}").fullmatch, "an octal number, such as 660"),
    "lockfile": (("0", "1").__contains__, "0 or 1"),
}
_tls_example: Final = "ssl:8443:privateKey=privkey.pem:certKey=fullchain.pem"

_words = re.compile(r"(?:^|:)((?:[^\\:]|\\.)*)")
_named = re.compile(r"([A-Za-z]\w*)=(.*)", re.DOTALL)
_several = re.compile(r",\s*\w+:")
_ipv6 = re.compile(r"(?<=:interface=)\[?((?:[0-9A-Fa-f]*:){2}[0-9A-Fa-f:.]*(?:%[\w.~-]+)?)\]?(?=$|:[A-Za-z]+=)")

_mends: Final = {
    errno.EADDRINUSE: "another process listens there; end that one, or write another port",
    errno.EADDRNOTAVAIL: "interface= must be an address of this machine, or be left out for all of them",
    socket.EAI_NONAME: "interface= must be an address of this machine, not the name of an interface",
    errno.EACCES: "ports below 1024 and other users' directories need more rights than this process has",
}


@implementer(IStreamServerEndpoint)
@frozen
class TlsEndpoint:
    """An endpoint that speaks TLS on top of another.

    Attributes:
        carrier: the endpoint below.
        certificate: the certificate that clients are shown.
    """

    carrier: IStreamServerEndpoint
    certificate: ServerCertificate

    def listen(self, factory: IProtocolFactory) -> Deferred[Any]:
        """Listen below, with TLS between there and the factory's protocols."""
        return self.carrier.listen(TLSMemoryBIOFactory(self.certificate, isClient=False, wrappedFactory=factory))


def endpoint_of(
    option: str, text: str, reactor: ReactorBase, count_refused: Callable[[str], object]
) -> IStreamServerEndpoint:
    """Return the endpoint that a text describes.

    Args:
        option: the option's name.
        text: the endpoint string.
        reactor: the reactor.
        count_refused: called with the code of each refusal of the endpoint itself.

    Raises:
        BadOption: it describes none, or a key or certificate file can't be used.
    """
    try:
        return _endpoint(_ipv6.sub(lambda found: found[1].replace(":", r"\:"), text), reactor, count_refused)
    except BadCertificate as error:
        raise BadOption(f"--{option}", f"{shown(text)}: {error}") from None
    except Exception as error:  # each kind of endpoint, plugins too, has errors of its own
        raise BadOption(f"--{option}", f"{shown(text)} is not an endpoint: {why(error)}") from None


def why(error: BaseException | None) -> str:
    """Return what went wrong, on one line; some errors say nothing but their name."""
    cause = getattr(error, "socketError", error)  # of Twisted's CannotListenError
    words = " ".join(str(getattr(cause, "strerror", None) or cause).split()) or type(error).__name__
    mend = _mends.get(getattr(cause, "errno", None) or 0)
    return f"{words}: {mend}" if mend else words


def _endpoint(text: str, reactor: ReactorBase, count_refused: Callable[[str], object]) -> IStreamServerEndpoint:
    is_proxied = text.startswith("haproxy:")
    text = text.removeprefix("haproxy:")
    if text.startswith("haproxy:"):
        raise ValueError("one haproxy: is enough: a connection begins with one PROXY header")
    if _several.search(text):
        raise ValueError("give the option once for each endpoint; in a variable, write spaces between them")
    kind = text.partition(":")[0]
    given = _read(kind, text) if kind in _parameters else {}
    carrier = _unix(given, reactor) if kind == "unix" else _of_twisted(_tcp(given) if kind == "ssl" else text, reactor)
    if is_proxied:
        carrier = ProxiedEndpoint(carrier, reactor, count_refused)
    return TlsEndpoint(carrier, _certificate(given)) if kind == "ssl" else carrier


def _of_twisted(text: str, reactor: ReactorBase) -> IStreamServerEndpoint:
    try:
        return serverFromString(reactor, text)  # type: ignore[no-any-return]
    except ValueError as error:
        if str(error).startswith("Unknown endpoint type"):
            raise ValueError(_instead(text)) from None
        raise
    except (IndexError, KeyError):
        raise ValueError("systemd has not opened such a socket for this process") from None


def _read(kind: str, text: str) -> dict[str, str]:
    """Return the parameters of an endpoint by name.

    Raises:
        ValueError: one is missing, unknown, or of another form.
    """
    names, given = _parameters[kind], dict[str, str]()
    for at, word in enumerate(_words.findall(text)[1:]):
        named = _named.fullmatch(word)
        name, value = (named[1], named[2]) if named else (names[at] if at < len(names) else "", word)
        if name not in names:
            raise ValueError(_unknown(kind, name or word, names))
        if name in given:
            raise ValueError(f"{name} is given twice")
        given[name] = re.sub(r"\\(.)", r"\1", value)
    if not given.get(names[0]):
        raise ValueError(f"{kind}: must be followed by its {names[0]}")
    for name, (fits, form) in _forms.items():
        if name in given and not fits(given[name]):
            raise ValueError(f"its {name} must be {form}, not {shown(given[name])}")
    return given


def _unknown(kind: str, name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, names, 1)
    instead = f"did you mean {near[0]}=?" if near else f"it has {', '.join(names)}"
    return f"{kind} has no parameter {shown(name)}; {instead}"


def _tcp(given: Mapping[str, str]) -> str:
    """Return the endpoint below TLS."""
    others = [f"{name}={quoteStringArgument(given[name])}" for name in ("interface", "backlog") if name in given]
    return ":".join(["tcp", given["port"], *others])


def _unix(given: Mapping[str, str], reactor: ReactorBase) -> IStreamServerEndpoint:
    path = os.path.abspath(given["address"])  # a daemon may change its directory
    return UnixEndpoint(reactor, path, int(given.get("mode", "666"), 8), int(given.get("backlog", "50")))


def _certificate(given: Mapping[str, str]) -> ServerCertificate:
    if "privateKey" not in given:
        raise ValueError(f"it needs a key and a certificate; write {_tls_example}")
    key, chain = given["privateKey"], given.get("extraCertChain")
    return ServerCertificate(
        CertificateFiles(
            private_key=Path(key).absolute(),  # a daemon may change its directory
            certificate=Path(given.get("certKey", key)).absolute(),
            extra_chain=None if chain is None else Path(chain).absolute(),
        )
    )


def _instead(text: str) -> str:
    """Return what to write instead of a text that names no kind of endpoint."""
    if not text or text == "haproxy":
        return "an endpoint must follow haproxy:, as in haproxy:tcp:8080"
    if text.startswith("/"):
        return f"write unix:{text}"
    if text.isdecimal():
        return f"write tcp:{text}, or tcp:{text}:interface=127.0.0.1 for clients on this machine alone"
    return _instead_of_address(text) or _instead_of_kind(text.partition(":")[0])


def _instead_of_address(text: str) -> str:
    """Return what to write instead of ``host:port`` or a URL; empty if the text is neither."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if port is None:
        return ""
    if parts.scheme == "https":
        return f"write {_tls_example}"
    if host in ("", "*", "0.0.0.0"):  # noqa: S104  # that is what was written, not what is done
        return f"write tcp:{port}"
    if host == "localhost":
        return f"write tcp:{port}:interface=127.0.0.1"
    try:
        return f"write {'tcp6' if ip_address(host).version == 6 else 'tcp'}:{port}:interface={host}"
    except ValueError:
        return ""


def _instead_of_kind(kind: str) -> str:
    near = get_close_matches(kind.lower(), _kinds, 1)
    if near:
        return f"did you mean {near[0]}:…?"
    return f"it must begin with one of {', '.join(f'{each}:' for each in _kinds)}, as tcp:8080 does"
