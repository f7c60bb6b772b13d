"""The peers' codec under any input: what is written can be read, and nothing but a peer's fault is ever raised."""

from collections.abc import Callable
from typing import Any

import attrs
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.links import peer_messages as m
from dqtw.core.model import commands as c
from dqtw.core.model.copy import Digest
from dqtw.core.model.errors import PeerFault, Refusal
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.keys import KeyRecord
from dqtw.core.model.message import Message, MessageId, Receipt, number_max
from dqtw.core.model.settings import SharedSettings
from dqtw.wire.peer import protocol as peer
from dqtw.wire.peer.commands import _refusal_types
from dqtw.wire.peer.kinds import prose_chars_max

queue = "queue-1"
names = st.from_regex(r"[A-Za-z0-9_-]{1,63}", fullmatch=True)
words = st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True)
incarnations = st.from_regex(r"0[0-9A-HJKMNP-TV-Z]{25}", fullmatch=True)
incarnations_or_none = incarnations | st.just("")
numbers = st.integers(1, 2**40)
counts = st.integers(0, number_max)
seconds = st.floats(0, 1e32)
content_types = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)
keys = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=255)
prose = st.text(st.characters(categories=["L", "N", "P", "S"]) | st.just(" "), max_size=prose_chars_max)
bodies = st.binary(max_size=200)
flags = st.booleans()
addresses = st.dictionaries(
    names, st.tuples(incarnations_or_none, st.from_regex(r"https?://[!-~]{1,50}", fullmatch=True)), max_size=3
)
members = st.lists(names, max_size=4).map(tuple)
shared_settings = st.builds(SharedSettings, counts, counts, seconds)

own_ids = st.builds(MessageId, st.just(queue), incarnations, numbers)
id_sets = st.lists(own_ids, max_size=12).map(lambda ids: IdSet.of(queue, ids))
dots = st.none() | st.tuples(incarnations, counts)
digests = st.builds(Digest, id_sets, id_sets, dots, dots)
puts = st.lists(st.builds(m.Put, own_ids, bodies, content_types, st.none() | keys, seconds), max_size=4).map(tuple)
records = st.lists(st.builds(KeyRecord, keys, own_ids, st.binary(min_size=16, max_size=16), seconds), max_size=4)
records_told = records.map(tuple)

ids = st.builds(MessageId, names, incarnations, st.integers(1, 10**15))
receipts = st.builds(Receipt, ids, st.from_regex(r"[0-9a-z]{1,32}", fullmatch=True))
commands = st.one_of(
    st.builds(c.Push, bodies, content_types, st.none() | keys, seconds),
    st.builds(c.Get, st.integers(1, c.get_count_max), seconds, st.none() | seconds, flags),
    st.builds(c.Ack, ids),
    st.builds(c.Nack, receipts, seconds),
    st.builds(c.Touch, receipts, st.none() | seconds),
    st.builds(c.GiveBack, receipts),
    st.builds(c.Complete, receipts),
    st.builds(c.Inspect, ids),
)
parts = st.builds(c.Ack, ids) | st.builds(c.GiveBack, receipts) | st.builds(c.Complete, receipts)
deliveries = st.builds(
    c.Delivery, receipts, numbers, seconds, st.builds(Message, bodies, content_types, st.none() | keys)
)
refusals = st.builds(lambda made, detail: made(detail), st.sampled_from(_refusal_types), prose)
outcomes = st.one_of(
    st.builds(c.Pushed, ids, counts, counts, flags),
    st.builds(c.Delivered, st.lists(deliveries, max_size=4).map(tuple)),
    st.builds(c.Done),
    st.builds(c.Inspected, st.sampled_from(c.State), counts, counts, content_types, seconds),
    refusals,
)
clusters = st.from_regex(r"[A-Za-z0-9._-]{1,63}", fullmatch=True)
batches = st.builds(c.Batch, st.lists(parts, max_size=4).map(tuple))
outcomes_of_batches = st.builds(c.Outcomes, st.lists(st.builds(c.Done) | refusals, max_size=4).map(tuple))
requests: st.SearchStrategy[Any] = st.one_of(
    st.builds(m.Ask, st.just(queue), clusters),
    st.builds(
        m.Open,
        *(st.just(queue), st.sampled_from(m.Role), clusters, names),
        *(words, incarnations_or_none, words, counts, members, addresses),
    ),
    st.builds(m.Page, st.just(queue), words, counts, dots, counts),
    st.builds(
        m.Delta,
        *(st.just(queue), words, counts, incarnations_or_none, id_sets, puts, records_told, flags, counts),
    ),
    st.builds(m.Fetch, st.just(queue), words, counts, id_sets),
    st.builds(m.Forward, names, clusters, incarnations, words, st.integers(1, number_max), commands | batches),
)
asked: st.SearchStrategy[Any] = st.builds(
    m.Asked, names, words, incarnations_or_none, words | st.just(""), seconds, flags, flags, flags, flags, addresses
)
opened = st.builds(
    m.Opened, names, words, words, words, digests, records_told, flags, members, shared_settings, addresses
)
paged = st.builds(m.Paged, names, words, words, counts, st.none() | digests, records_told, flags)
applied = st.builds(m.Applied, names, words, words, counts, flags, prose, flags)
fetched = st.builds(m.Fetched, names, words, words, counts, puts, id_sets)
declined = st.builds(m.Declined, prose)
ending = st.builds(m.FencedOff, names, words, incarnations_or_none) | st.builds(m.NoSession, names, words) | declined

samples: dict[type[Any], Any] = {
    m.Ask: m.Ask(queue, "dqtw"),
    m.Open: m.Open(queue, m.Role.OWNER, "dqtw", queue, "b", "", "n", 1, (), {}),
    m.Page: m.Page(queue, "t", 1, None, 0),
    m.Delta: m.Delta(queue, "t", 1, "", IdSet(queue)),
    m.Fetch: m.Fetch(queue, "t", 1, IdSet(queue)),
    m.Forward: m.Forward("a", "dqtw", "0" * 26, "b", 1, c.Ack(MessageId("a", "0" * 26, 1))),
}
answered: dict[type[Any], st.SearchStrategy[Any]] = {
    m.Ask: asked | declined | st.builds(m.NoSession, names, words),
    m.Open: opened | ending,
    m.Page: paged | ending,
    m.Delta: applied | ending,
    m.Fetch: fetched | ending,
    m.Forward: st.builds(m.Forwarded, outcomes | outcomes_of_batches) | ending,
}
exchanges: st.SearchStrategy[Any] = st.sampled_from(list(samples)).flatmap(
    lambda made: answered[made].map(lambda answer: (samples[made], answer))
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=10,
)


def plain(value: Any) -> Any:
    """A value as what it is made of, so that two can be compared."""
    if isinstance(value, Refusal):
        return type(value), value.detail
    if isinstance(value, IdSet):
        return value.queue, value.to_wire()
    if isinstance(value, tuple):
        return type(value), [plain(each) for each in value]
    if attrs.has(type(value)):
        return type(value), [plain(getattr(value, each.name)) for each in attrs.fields(type(value))]
    return value


def only_faults(call: Callable[[], object]) -> None:
    """Whatever is raised is a peer's fault, in words that fit on a line."""
    try:
        call()
    except PeerFault as fault:
        assert str(fault).isprintable()
        assert len(str(fault)) < 500


@given(requests)
def test_a_request_arrives_as_it_was(request: Any) -> None:
    """What one node asks is what the other is asked."""
    read = peer.decode_request(peer.verb_of(request), peer.encode_request(request))
    assert plain(read) == plain(request)


@given(exchanges)
def test_an_answer_arrives_as_it_was(exchange: tuple[Any, Any]) -> None:
    """What one node answers is what the other is told."""
    request, answer = exchange
    assert plain(peer.decode_answer(request, peer.encode_answer(answer))) == plain(answer)


@given(st.sampled_from(sorted(peer.requests)), st.binary(max_size=300))
def test_arbitrary_bytes_as_a_request_are_a_fault(verb: str, data: bytes) -> None:
    """A stranger on the peers' port gets a refusal, and nothing else happens."""
    only_faults(lambda: peer.decode_request(verb, data))


@given(st.sampled_from(list(samples.values())), st.binary(max_size=300))
def test_arbitrary_bytes_as_an_answer_are_a_fault(request: Any, data: bytes) -> None:
    """A stranger at a peer's address is no peer."""
    only_faults(lambda: peer.decode_answer(request, data))


@given(requests, st.data())
def test_a_request_with_a_wrong_byte_is_a_fault_or_a_value(request: Any, data: st.DataObject) -> None:
    """What was changed on its way harms nobody but that request."""
    changed = mutated(peer.encode_request(request), data)
    only_faults(lambda: peer.decode_request(peer.verb_of(request), changed))


@given(exchanges, st.data())
def test_an_answer_with_a_wrong_byte_is_a_fault_or_a_value(exchange: tuple[Any, Any], data: st.DataObject) -> None:
    """What was changed on its way harms nobody but that answer."""
    changed = mutated(peer.encode_answer(exchange[1]), data)
    only_faults(lambda: peer.decode_answer(exchange[0], changed))


@given(requests, anything, st.data())
def test_a_request_with_something_else_in_a_place_is_a_fault_or_a_value(
    request: Any, other: Any, data: st.DataObject
) -> None:
    """Well-formed MessagePack of the wrong types is looked at in every place."""
    changed = replaced(msgpack.unpackb(peer.encode_request(request)), other, data)
    only_faults(lambda: peer.decode_request(peer.verb_of(request), msgpack.packb(changed)))


@given(exchanges, anything, st.data())
def test_an_answer_with_something_else_in_a_place_is_a_fault_or_a_value(
    exchange: tuple[Any, Any], other: Any, data: st.DataObject
) -> None:
    """Well-formed MessagePack of the wrong types is looked at in every place."""
    changed = replaced(msgpack.unpackb(peer.encode_answer(exchange[1])), other, data)
    only_faults(lambda: peer.decode_answer(exchange[0], msgpack.packb(changed)))


@given(requests, st.data())
def test_a_request_cut_short_is_a_fault(request: Any, data: st.DataObject) -> None:
    """Half a request is never taken for a whole one."""
    whole = peer.encode_request(request)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(PeerFault):
        peer.decode_request(peer.verb_of(request), cut)


def mutated(valid: bytes, data: st.DataObject) -> bytes:
    """Some bytes replaced by others."""
    start = data.draw(st.integers(0, len(valid)))
    stop = data.draw(st.integers(start, min(start + 4, len(valid))))
    return valid[:start] + data.draw(st.binary(max_size=4)) + valid[stop:]


def replaced(tree: Any, other: Any, data: st.DataObject) -> Any:
    """One place of a structure, at any depth, with something else in it."""
    places = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else []
    if not places or not data.draw(st.integers(0, 4)):
        return other
    place = data.draw(st.sampled_from(places))
    tree[place] = replaced(tree[place], other, data)
    return tree
