"""The REST door's codec under any input: what is written can be read, and nothing but a refusal is ever raised."""

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.model.commands import Ack, Delivered, Delivery, Get, Push
from dqtw.core.model.errors import Refusal
from dqtw.core.model.message import Message, MessageId, Receipt
from dqtw.net.http.head import check_framing, check_header_line, check_host, origin_form, path_segments
from dqtw.net.rest.cross_site import is_loopback_host, is_origin_of
from dqtw.wire.rest import batch as rest_batch
from dqtw.wire.rest import single as rest
from dqtw.wire.rest.head import check_headers
from dqtw.wire.rest.problem import problem
from dqtw.wire.values import parse_get

message_ids = st.builds(
    MessageId,
    st.from_regex(r"[A-Za-z0-9_-]{1,63}", fullmatch=True),
    st.from_regex(r"0[0-9A-HJKMNP-TV-Z]{25}", fullmatch=True),
    st.integers(1, 10**15),
)
receipts = st.builds(Receipt, message_ids, st.from_regex(r"[0-9a-z]{1,32}", fullmatch=True))
content_types = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)
keys = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=255)
bodies = st.binary(max_size=200) | st.text().map(lambda text: text.encode(errors="ignore"))
names = ("wait", "lease", "ack", "max", "delay")
queries = st.dictionaries(st.sampled_from(names), st.text(max_size=40))
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["text", "base64", "type", "key", "x"]), inner),
)


def in_quotes(key: str) -> str:
    """The key as a quoted string."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def only_refuses(call: Callable[[], object]) -> None:
    """Whatever is raised is a refusal that can be answered."""
    try:
        call()
    except Refusal as refusal:
        json.loads(problem(refusal).body)


@given(
    st.lists(st.tuples(bodies, content_types, st.none() | keys, st.booleans()), max_size=10),
)
def test_a_batch_of_pushes_arrives_as_it_was(pushes: list[tuple[bytes, str, str | None, bool]]) -> None:
    """However a client writes its bodies, they arrive byte for byte."""
    items = []
    for body, content_type, key, as_text in pushes:
        item: dict[str, Any] = {"type": content_type} | ({"key": key} if key else {})
        try:
            text = body.decode() if as_text else None
        except UnicodeDecodeError:
            text = None
        items.append(item | ({"text": text} if text is not None else {"base64": base64.b64encode(body).decode()}))
    read = rest_batch.parse_push_batch(json.dumps(items).encode(), 10_000)
    assert read == [Push(body, content_type, key) for body, content_type, key, _ in pushes]


@given(keys)
def test_a_key_is_the_same_quoted(key: str) -> None:
    """Whatever quotes and backslashes it holds."""
    assert rest.unquote_key(in_quotes(key)) == key
    assert key.startswith('"') or rest.unquote_key(key) == key


@given(st.lists(message_ids | receipts, max_size=5))
def test_a_batch_of_removals_arrives_as_it_was(targets: list[MessageId | Receipt]) -> None:
    """A receipt and an id both name their message."""
    read = rest_batch.parse_ack_batch(json.dumps([str(target) for target in targets]).encode())
    assert read == [Ack(target.id if isinstance(target, Receipt) else target) for target in targets]


@given(st.lists(st.builds(Message, bodies, content_types)), receipts, st.floats(0, 1e9))
def test_a_delivered_batch_can_be_read(messages: list[Message], receipt: Receipt, lease_s: float) -> None:
    """A worker gets every body back, as text or as base64."""
    deliveries = tuple(Delivery(receipt, 1, lease_s, message) for message in messages)
    answer = rest_batch.get_batch_answer(Get(), Delivered(deliveries))
    told = json.loads(answer.body)
    read = [item["text"].encode() if "text" in item else base64.b64decode(item["base64"]) for item in told]
    assert read == [message.body for message in messages]
    assert all(item["lease"] == lease_s for item in told)


@given(bodies, content_types, st.none() | keys, st.decimals(0, 30, places=3))
def test_a_push_arrives_as_it_was(body: bytes, content_type: str, key: str | None, wait: Any) -> None:
    """Headers and query carry what the client said."""
    query = rest.parse_query(f"wait={wait}".encode(), rest.push_names)
    push = rest.parse_push(query, [content_type.encode()], [in_quotes(key).encode()] if key else [], body)
    assert push == Push(body, content_type, key, float(wait))


@given(queries)
def test_seconds_are_never_negative_nor_without_end(query: dict[str, str]) -> None:
    """Whatever a query says, the node is asked for a sane time."""
    for parse in (parse_get, rest.parse_get_batch):
        try:
            get = parse(query)
        except Refusal:
            continue
        assert get.wait_s >= 0 and math.isfinite(get.wait_s)
        assert get.lease_s is None or (get.lease_s > 0 and math.isfinite(get.lease_s))
        assert 1 <= get.count_max <= 1000


@given(st.binary(), st.lists(st.binary(), max_size=3), st.lists(st.binary(), max_size=3), st.text(), queries)
def test_no_request_raises_anything_but_a_refusal(
    raw: bytes, some: list[bytes], more: list[bytes], text: str, query: dict[str, str]
) -> None:
    """Nothing that a client sends can raise an unhandled error."""
    only_refuses(lambda: rest.parse_query(raw, names))
    only_refuses(lambda: rest.parse_push(query, some, more, raw))
    only_refuses(lambda: rest.parse_nack(text, query))
    only_refuses(lambda: rest.parse_touch(text, query))
    only_refuses(lambda: rest.parse_bearer(some))
    only_refuses(lambda: rest_batch.check_batch_type(some))
    only_refuses(lambda: check_headers(raw, [(b"Content-Encoding", some)]))
    only_refuses(lambda: check_headers(raw, [(b"Expect", some)]))
    only_refuses(lambda: check_headers(raw, [(b"Idempotency-Key", some)]))


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_batch_raises_anything_but_a_refusal(body: bytes) -> None:
    """Nor anything that a client sends as JSON; and what is refused within can be answered."""
    only_refuses(lambda: rest_batch.parse_ack_batch(body))
    only_refuses(lambda: rest_batch.parse_push_batch(body, 5))
    try:
        items = rest_batch.parse_push_batch(body, 5)
    except Refusal:
        return
    refused = [item for item in items if isinstance(item, Refusal)]
    json.loads(rest_batch.push_batch_answer(refused, refused).body)


@given(st.binary(), st.lists(st.binary(), max_size=3), st.lists(st.binary(), max_size=3))
def test_no_head_raises_anything_but_a_refusal(raw: bytes, some: list[bytes], more: list[bytes]) -> None:
    """Nor any request line or header."""
    only_refuses(lambda: check_header_line(raw))
    only_refuses(lambda: check_framing(b"HTTP/1.1", some, more))
    only_refuses(lambda: check_host(b"HTTP/1.1", some))
    only_refuses(lambda: is_origin_of(b"http://" + raw, raw))
    only_refuses(lambda: is_loopback_host(raw))
    assert not is_origin_of(raw, b"localhost") or raw.lower().startswith((b"http://", b"https://"))
    only_refuses(lambda: origin_form(raw))
    only_refuses(lambda: path_segments(b"/" + raw))


@pytest.mark.parametrize("depth", [10, 1_000, 200_000])
def test_a_deeply_nested_body_is_read_or_refused(depth: int) -> None:
    """A bomb of brackets goes off nowhere."""
    for body in (b"[" * depth, b"[" * depth + b"]" * depth, b'{"text":' * depth):
        only_refuses(lambda body=body: rest_batch.parse_push_batch(body, 5))  # type: ignore[misc]
