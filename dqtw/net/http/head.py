"""Checks of a request's head before anything is done for it (RFC 9112).

twisted.web takes several forms that a proxy in front may read differently; here they are refused.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from dqtw.core.model.errors import BadRequest, Framing, NotFound, TooLarge

length_digits_max: Final = 18

_target_pattern = re.compile(rb"[\x21-\x7e]+")
_absolute_pattern = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE)
_host_pattern = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]*")
_control_pattern = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def is_folded(line: bytes) -> bool:
    """Return True if a line continues the header line before it, as was once allowed."""
    return line[:1] in (b" ", b"\t")


def check_header_line(line: bytes) -> None:
    """Check one header line.

    Raises:
        Framing: it holds a control character.
        TooLarge: it is a Content-Length of so many digits that it could not be read.
    """
    if _control_pattern.search(line):
        raise Framing("a header holds a control character")
    name, _, value = line.partition(b":")
    if name.lower() == b"content-length" and len(value.strip()) > length_digits_max:
        raise TooLarge("no body may be that long")


def check_method(method: bytes) -> None:
    """Check a request's method.

    Raises:
        Framing: it is not written in capitals, so it is none of HTTP's; the router would not mind.
    """
    if not method.isupper():
        raise Framing("a method is written in capitals")


def check_framing(version: bytes, lengths: Sequence[bytes], codings: Sequence[bytes]) -> None:
    """Check the headers that say where the body ends: every Content-Length and every Transfer-Encoding.

    Raises:
        Framing: it could be read in more than one way.
    """
    if codings and lengths:
        raise Framing("Content-Length and Transfer-Encoding exclude each other")
    if len(lengths) > 1 or any(not length.isdigit() for length in lengths):
        raise Framing("Content-Length must be one decimal number")
    if codings and (version != b"HTTP/1.1" or [coding.lower() for coding in codings] != [b"chunked"]):
        raise Framing("the only Transfer-Encoding is chunked, and only in HTTP/1.1")


def check_host(version: bytes, hosts: Sequence[bytes]) -> None:
    """Check the Host headers.

    Raises:
        Framing: there is none in HTTP/1.1, more than one, or one that names no host.
    """
    if len(hosts) > 1 or (not hosts and version == b"HTTP/1.1"):
        raise Framing("a request has exactly one Host header")
    if any(_host_pattern.fullmatch(host) is None for host in hosts):
        raise Framing("the Host header does not name a host")


def authority_of(target: bytes) -> bytes | None:
    """Return the host and port that an absolute URI names as a request's target; None for any other target."""
    absolute = None if target.startswith(b"/") else _absolute_pattern.fullmatch(target)
    return None if absolute is None else absolute[1]


def origin_form(target: bytes) -> bytes:
    """Return the path and query of a request target, which may be an absolute URI (RFC 9112, 3.2.2).

    Raises:
        Framing: the target is neither a path nor an absolute URI, nor the ``*`` of OPTIONS.
    """
    absolute = _absolute_pattern.fullmatch(target)
    if absolute is not None:
        rest = absolute[2] or b""
        target = rest if rest.startswith(b"/") else b"/" + rest
    if _target_pattern.fullmatch(target) is None or b"#" in target:
        raise Framing("the request target holds what may not be there")
    if target != b"*" and not target.startswith(b"/"):
        raise Framing("the request target is not a path")
    return target


def path_segments(path: bytes) -> list[bytes]:
    """Return the decoded segments of a path that starts with a slash.

    Raises:
        BadRequest: it is not UTF-8, or an encoded slash would change what it names.
        NotFound: it starts with more than one slash; the router would not mind.
    """
    if path.startswith(b"//"):
        raise NotFound("there is nothing at this path")
    segments = [unquote_to_bytes(segment) for segment in path[1:].split(b"/")]
    if any(b"/" in segment for segment in segments):
        raise BadRequest("a path may hold no encoded slash")
    try:
        path.decode()
        b"/".join(segments).decode()
    except UnicodeDecodeError:
        raise BadRequest("the path is not UTF-8") from None
    return segments
