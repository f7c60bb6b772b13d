"""What may be written for an option: each kind of value, read from text.

Every reader takes the text of one value and raises `ValueError` with what is wrong, in words that finish the
sentence "--option: …".
"""

import math
import re
from collections.abc import Callable
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from attrs import frozen

from dqtw.core.model.message import is_node_id
from dqtw.net.peer.url import check_peer_url

Reader: TypeAlias = Callable[[str], object]

_shown_chars_max: Final = 60
_count = re.compile(r"[0-9]{1,18}")
_bytes = re.compile(r"([0-9]{1,18}) ?(B|KiB|MiB|GiB|TiB)?")
_seconds = re.compile(r"[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?|\.[0-9]+", re.IGNORECASE)
_host = re.compile(r"[a-z0-9_.-]{1,253}|[0-9a-f:.]{2,45}")
_cluster = re.compile(r"[A-Za-z0-9._-]{1,63}")
_unit_bytes: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@frozen
class Kind:
    """One kind of value.

    Attributes:
        read: text to value.
        written: the types that a TOML file may write it in.
    """

    read: Reader
    written: tuple[type, ...]


def shown(text: str) -> str:
    """The text for an error message: quoted, on one line, of bounded length."""
    cut = text if len(text) <= _shown_chars_max else text[:_shown_chars_max] + "…"
    return repr(cut)


def read_count(text: str) -> int:
    """A whole number of at least 1."""
    if not _count.fullmatch(text) or int(text) < 1:
        raise ValueError(f"{shown(text)} is not a whole number of at least 1")
    return int(text)


def read_bytes(text: str) -> int:
    """A number of bytes, at least 1: ``1048576``, ``64MiB``, ``1GiB``."""
    found = _bytes.fullmatch(text)
    if found is None or int(found[1]) < 1:
        raise ValueError(f"{shown(text)} is not a size of at least 1 byte, such as 1048576, 64MiB or 1GiB")
    return int(found[1]) * _unit_bytes[found[2] or "B"]


def read_seconds(text: str) -> float:
    """A finite number of seconds, more than 0."""
    seconds = float(text) if _seconds.fullmatch(text) else math.nan
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"{shown(text)} is not a number of seconds greater than 0")
    return seconds


def read_seconds_or_zero(text: str) -> float:
    """Read a finite number of seconds, 0 or more.

    Raises:
        ValueError: the text is not such a number.
    """
    seconds = float(text) if _seconds.fullmatch(text) else math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"{shown(text)} is not a number of seconds, 0 or more")
    return seconds


def read_node(text: str) -> str:
    """Read a node's id.

    Raises:
        ValueError: the text is not such an id.
    """
    if not is_node_id(text):
        instead = f"; write {shown(text.replace('.', '-'))}" if is_node_id(text.replace(".", "-")) else ""
        raise ValueError(f"{shown(text)} is not 1 to 63 of A-Z a-z 0-9 _ -{instead}")
    return text


def read_cluster(text: str) -> str:
    """A cluster's name."""
    if not _cluster.fullmatch(text):
        raise ValueError(f"{shown(text)} is not 1 to 63 of A-Z a-z 0-9 . _ -")
    return text


def read_copies(text: str) -> int | Literal["all"]:
    """``all``, or a number of nodes."""
    if text == "all":
        return "all"
    if not _count.fullmatch(text) or int(text) < 1:
        raise ValueError(f"{shown(text)} is neither 'all' nor a number of nodes")
    return int(text)


def read_url(text: str) -> str:
    """Read the URL of a peer's listener.

    Raises:
        ValueError: this node can't connect to such a URL.
    """
    try:
        check_peer_url(text)
    except ValueError as error:
        why = f": {error}" if str(error) else ""
        raise ValueError(f"{shown(text)} is not a URL such as http://10.0.0.2:8081{why}") from None
    return text


def url_key(url: str) -> tuple[str, int]:
    """Return what a peer's URL leads to: URLs that are alike there name the same listener."""
    parts = urlsplit(url)
    return (parts.hostname or "").rstrip("."), parts.port or (443 if parts.scheme == "https" else 80)


def read_peer(text: str) -> tuple[str, str]:
    """Read ``ID=URL``: a member and the URL of its peer listener.

    Raises:
        ValueError: the text is not of that form.
    """
    node, equals, url = text.partition("=")
    if not equals:
        raise ValueError(f"{shown(text)} is not ID=URL, such as b=http://10.0.0.2:8081")
    if "," in url:
        raise ValueError(f"{shown(text)} has a comma; give the option once for each peer, or spaces in a variable")
    return read_node(node), read_url(url)


def read_text(text: str) -> str:
    """Anything but nothing."""
    if not text or not text.isprintable():
        raise ValueError(f"{shown(text)} is empty or not printable")
    return text


def read_host(text: str) -> str:
    """Read a name or address as a `Host` header has it, without its port; ``*`` for any.

    Raises:
        ValueError: the text is neither.
    """
    name = text.lower()
    if name != "*" and _host.fullmatch(name) is None:
        raise ValueError(f"{shown(text)} is not a host name or address, such as queue.example.com, nor * for any")
    return name


def read_flag(text: str) -> bool:
    """Yes or no."""
    if text.lower() not in ("yes", "no", "true", "false"):
        raise ValueError(f"{shown(text)} is neither yes nor no")
    return text.lower() in ("yes", "true")


def one_of(*words: str) -> Reader:
    """A reader that takes one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{shown(text)} is not one of {', '.join(words)}")
        return text

    return read


count: Final = Kind(read_count, (int,))
byte_size: Final = Kind(read_bytes, (int, str))
seconds: Final = Kind(read_seconds, (int, float))
seconds_or_zero: Final = Kind(read_seconds_or_zero, (int, float))
node_id: Final = Kind(read_node, (str,))
cluster_name: Final = Kind(read_cluster, (str,))
copies: Final = Kind(read_copies, (int, str))
peer: Final = Kind(read_peer, (str,))
url: Final = Kind(read_url, (str,))
endpoint: Final = Kind(read_text, (str,))
path: Final = Kind(read_text, (str,))
host: Final = Kind(read_host, (str,))
flag: Final = Kind(read_flag, (bool, str))
log_format: Final = Kind(one_of("text", "json"), (str,))
