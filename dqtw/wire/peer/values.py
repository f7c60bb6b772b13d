"""What nodes tell each other of queues: ids, messages, keys, digests, addresses."""

import re
from functools import lru_cache
from typing import Any, Final

from dqtw.core.links.peer_messages import Addresses, Put, Role
from dqtw.core.model.copy import Digest
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.id_set import Dot, IdSet
from dqtw.core.model.keys import KeyRecord
from dqtw.core.model.message import MessageId, is_incarnation, is_node_id
from dqtw.core.model.settings import SharedSettings
from dqtw.wire.peer.kinds import (
    Kind,
    Source,
    blob,
    maybe,
    or_nil,
    parsed,
    record,
    row,
    scalar,
    seconds,
    several,
    whole,
    word_of,
)
from dqtw.wire.values import parse_content_type, parse_key

members_max: Final = 1000
put_count_max: Final = 2**14  # more than any chunk has
key_count_max: Final = 2**13
incarnation_count_max: Final = 2**16
digest_bytes: Final = 16  # of a key record
url_chars_max: Final = 2048

_remembered: Final = 256  # of what is told again and again

_word_pattern = re.compile(r"[A-Za-z0-9_-]{1,64}")
_cluster_pattern = re.compile(r"[A-Za-z0-9._-]{1,63}")
_url_pattern = re.compile(rf"https?://[!-~]{{1,{url_chars_max}}}")

node: Final = scalar(str, "a node's id", is_node_id)
member_list: Final = several(node, members_max)
word: Final = scalar(str, "a word of letters and digits", _word_pattern.fullmatch)
word_or_none: Final = scalar(
    str, "a word of letters and digits", lambda text: not text or _word_pattern.fullmatch(text)
)
cluster: Final = scalar(str, "the name of a cluster", _cluster_pattern.fullmatch)
incarnation: Final = scalar(str, "an incarnation", lru_cache(_remembered)(is_incarnation))
incarnation_or_none: Final = scalar(str, "an incarnation", lambda text: not text or is_incarnation(text))
content_type: Final = parsed(lru_cache(_remembered)(parse_content_type))
key: Final = parsed(parse_key)
request_number: Final = whole(0)
forward_number: Final = whole(1)
count: Final = whole(0)
role: Final = word_of(Role)
shared_settings: Final = record(SharedSettings, copies=count, max_message=count, key_memory_s=seconds)

_number = whole(1)


def _read_queue(source: Source) -> str:
    source.queue = node.read(source)
    return source.queue


queue: Final = Kind(_read_queue)
"""The queue that a request speaks of; it stands before all that belongs to it."""

# Messages and keys: arrays, for there are many, and without the queue's name, for it is told once.

_put_row = row(incarnation, _number, blob, content_type, or_nil(key), seconds)
_key_row = row(key, incarnation, _number, scalar(bytes, "a digest", lambda it: len(it) == digest_bytes), seconds)


def _read_put(source: Source) -> Put:
    told_incarnation, n, *rest = _put_row(source)
    return Put(MessageId(source.queue, told_incarnation, n), *rest)


def _write_put(put: Put) -> object:
    id = put.id
    return id.incarnation, id.n, put.body, put.content_type, put.key, seconds.write(put.age_s)


def _read_key(source: Source) -> KeyRecord:
    told_key, told_incarnation, n, digest, age_s = _key_row(source)
    return KeyRecord(told_key, MessageId(source.queue, told_incarnation, n), digest, age_s)


def _write_key(told: KeyRecord) -> object:
    return told.key, told.id.incarnation, told.id.n, told.digest, seconds.write(told.age_s)


puts: Final = several(Kind(_read_put, _write_put), put_count_max)
keys: Final = several(Kind(_read_key, _write_key), key_count_max)

# Sets of ids, and what a copy holds.


def _read_pairs(source: Source, name: Kind[str], value: Kind[Any], count_max: int) -> dict[str, Any]:
    """Read a map whose names are not known beforehand."""
    pairs: dict[str, Any] = {}
    pair_count = source.map()
    if pair_count > count_max:
        raise PeerFault(f"a map of more than {count_max}")
    for _ in range(pair_count):
        told = name.read(source)
        pairs[told] = value.read(source)
    if len(pairs) != pair_count:
        raise PeerFault("a name stands twice in a map")
    return pairs


def _read_steps(source: Source) -> list[object]:
    one = source.scalar
    return [one() for _ in range(source.array())]


_steps: Kind[list[object]] = Kind(_read_steps)


def _read_ids(source: Source) -> IdSet:
    return IdSet.from_wire(source.queue, _read_pairs(source, incarnation, _steps, incarnation_count_max))


ids: Final = Kind(_read_ids, IdSet.to_wire)
_dot_row = row(incarnation, whole(0))


def _read_dot(source: Source) -> Dot:
    told_incarnation, n = _dot_row(source)
    return told_incarnation, n


dot: Final = maybe(Kind(_read_dot))
digest: Final = record(Digest, seen=ids, live=ids, after=dot, upto=dot)
digest_or_none: Final = maybe(digest)

# Where nodes are.

url: Final = scalar(str, f"a URL of at most {url_chars_max} ASCII characters", _url_pattern.fullmatch)
_address_row = row(incarnation_or_none, url)
_address: Kind[Any] = Kind(lambda source: tuple(_address_row(source)))


def _read_addresses(source: Source) -> Addresses:
    return _read_pairs(source, node, _address, members_max)


addresses: Final[Kind[Addresses]] = Kind(_read_addresses)
