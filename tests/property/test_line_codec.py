"""The line codec under everything: all requests, all chunk boundaries, all bytes."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dqtw.core.model.commands import Ack, Get, Nack, Push, Touch
from dqtw.core.model.errors import Framing, Refusal
from dqtw.core.model.message import MessageId, Receipt
from dqtw.wire.line.parser import LineParser
from dqtw.wire.line.requests import Auth, Request, Simple
from dqtw.wire.line.words import decode_value, encode_value, split_words
from dqtw.wire.values import format_seconds, parse_content_type, parse_key, parse_seconds

body_bytes_max = 50

seconds = st.floats(min_value=1e-9, max_value=1e9) | st.just(0.0)
seconds = seconds.filter(lambda number: len(format_seconds(number)) <= 32)
leases = seconds.filter(bool)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
keys = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)
types = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
ids = st.builds(
    MessageId,
    st.from_regex(r"[A-Za-z0-9_-]{1,63}", fullmatch=True),
    st.from_regex(r"0[0-9A-HJKMNP-TV-Z]{25}", fullmatch=True),
    st.integers(1, 10**15),
)
receipts = st.builds(Receipt, ids, st.from_regex(r"[0-9a-z]{1,32}", fullmatch=True))
requests = st.one_of(
    st.builds(Push, st.binary(max_size=body_bytes_max), types, keys | st.none(), seconds),
    st.builds(Get, st.just(1), seconds, leases | st.none()),
    st.builds(Get, st.just(1), seconds, ack_now=st.booleans()),
    st.builds(Ack, ids),
    st.builds(Nack, receipts, seconds),
    st.builds(Touch, receipts, leases | st.none()),
    st.builds(Auth, texts),
    st.sampled_from(Simple),
)


def write(request: Request) -> bytes:
    """A request as a client writes it, with every word that it may have."""
    match request:
        case Push(body, kind, key, wait_s):
            words = ["PUSH", str(len(body)), option("type", kind), option("wait", format_seconds(wait_s))]
            words += [option("key", key)] if key is not None else []
            return " ".join(words).encode() + b"\r\n" + body + b"\r\n"
        case Get(_, wait_s, lease_s, ack_now):
            words = ["GET", option("wait", format_seconds(wait_s))]
            words += [option("lease", format_seconds(lease_s))] if lease_s is not None else []
            words += ["ack=now"] if ack_now else []
        case Ack(id):
            words = ["ACK", str(id)]
        case Nack(receipt, delay_s):
            words = ["NACK", str(receipt), option("delay", format_seconds(delay_s))]
        case Touch(receipt, lease_s):
            words = ["TOUCH", str(receipt)]
            words += [option("lease", format_seconds(lease_s))] if lease_s is not None else []
        case Auth(token):
            words = ["AUTH", encode_value(token)]
        case Simple():
            words = [request.value]
    return " ".join(words).encode() + b"\r\n"


def option(name: str, value: str) -> str:
    return f"{name}={encode_value(value)}"


noise = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"put 0 0 3\r\n",
            b"NOPE\n",
            b"\x16",
            b"PUSH ",
            b"push 3\r\n",
            b"PUSH 60\r\n",
            b"abc\r\n",
            b"\r",
            b"\n",
            b"GET wait=",
            b" ",
            b"%",
            b"=",
            b"9" * 12,
        ]
    ),
    requests.map(write),
)


def parse(chunks: Iterator[bytes] | list[bytes], *, locked: bool = False) -> list[Request | Refusal]:
    parser = LineParser(body_bytes_max=body_bytes_max, locked=locked)
    found: list[Request | Refusal] = []
    for chunk in chunks:
        parser.feed(chunk)
        while (request := parser.next_request()) is not None:
            found.append(request)
        assert parser.buffered <= 8192 + body_bytes_max
    return found


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    """The data in pieces, cut at these places."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return (data[start:end] for start, end in pairwise(edges))


def comparable(found: list[Request | Refusal]) -> list[object]:
    return [(type(each), each.detail) if isinstance(each, Refusal) else each for each in found]


cuts = st.lists(st.integers(0, 10_000), max_size=30)


@given(st.lists(requests, max_size=8), cuts)
def test_requests_are_read_as_they_were_written_in_any_chunks(sent: list[Request], places: list[int]) -> None:
    data = b"".join(map(write, sent))
    assert parse(cut(data, places)) == sent


@given(st.lists(noise, max_size=12).map(b"".join), cuts, st.booleans())
def test_any_bytes_in_any_chunks_give_the_same_requests_and_coded_refusals(
    data: bytes, places: list[int], locked: bool
) -> None:
    whole = comparable(parse([data], locked=locked))
    assert comparable(parse(cut(data, places), locked=locked)) == whole
    assert comparable(parse([bytes([byte]) for byte in data], locked=locked)) == whole


@given(st.lists(noise, max_size=12).map(b"".join))
def test_lost_framing_is_the_last_that_is_said(data: bytes) -> None:
    found = parse([data])
    assert all(each.code for each in found if isinstance(each, Refusal))
    assert not [each for each in found[:-1] if isinstance(each, Framing)]


@given(texts)
def test_an_encoded_value_is_one_word_and_comes_out_as_it_was(text: str) -> None:
    (word,) = split_words(encode_value(text).encode())
    assert decode_value(word) == text


@given(st.floats(min_value=0, allow_infinity=False))
def test_seconds_come_out_as_they_were(number: float) -> None:
    text = format_seconds(number)
    assert float(text) == number
    if len(text) <= 32:
        assert parse_seconds("wait", text) == number


@given(keys, types)
def test_keys_and_types_come_out_as_they_were(key: str, kind: str) -> None:
    assert (parse_key(key), parse_content_type(kind)) == (key, kind)
