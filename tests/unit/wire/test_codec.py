"""Frames as bytes, one by one."""

from typing import Any, get_args

import msgspec
import pytest

from dqtw.core.links import frames
from dqtw.core.links.frames import AnyFrame, Applied, Declined, Delta, Forward, Forwarded, Interest, Refused
from dqtw.core.model.commands import ById, Command, Success
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.message import Message
from dqtw.wire.peer.codec import Encoder, decode, encode, shared_max, unscanned_bytes_max
from dqtw.wire.peer.items import check_items
from tests.unit.wire.frames import all_frames, boot, contents_of, delta_of, incarnation


def plain(value: Any) -> Any:
    """A value without the types whose instances are compared by identity."""
    if isinstance(value, Message):
        return (value.body, value.content_type, value.key, value.born_s)
    if isinstance(value, msgspec.Struct):
        return type(value), [plain(getattr(value, name)) for name in value.__struct_fields__]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [plain(each) for each in value]
    return value


def test_the_examples_have_every_kind_of_frame() -> None:
    assert {type(frame) for frame in all_frames} == set(get_args(AnyFrame))


def test_the_examples_have_every_kind_of_command_and_outcome() -> None:
    (forward,) = (frame for frame in all_frames if isinstance(frame, Forward))
    assert {type(command) for command in forward.commands} == set(get_args(Command)) | set(get_args(ById)) - {ById}
    (forwarded,) = (frame for frame in all_frames if isinstance(frame, Forwarded))
    assert {type(outcome) for _, outcome in forwarded.outcomes} == {*get_args(Success), Refused}


@pytest.mark.parametrize("frame", all_frames, ids=lambda frame: type(frame).__name__)
def test_a_frame_is_read_as_it_was_written(frame: AnyFrame) -> None:
    assert plain(decode(encode(frame))) == plain(frame)
    assert Encoder().encode(frame) == encode(frame)


@pytest.mark.parametrize("frame", all_frames, ids=lambda frame: type(frame).__name__)
def test_a_frame_that_is_cut_short_or_followed_by_more_is_a_fault(frame: AnyFrame) -> None:
    data = encode(frame)
    for end in range(len(data)):
        with pytest.raises(PeerFault):
            decode(data[:end])
    with pytest.raises(PeerFault):
        decode(data + b"\xc0")


nan, inf = float("nan"), float("inf")
no_contents: list[Any] = [{}, {}, []]


def delta(**changed: Any) -> list[Any]:
    fields = {
        "session": 1,
        "upto": 9,
        "clock_s": 1.5,
        "contents": no_contents,
        "is_synced": True,
        "is_whole": True,
        "changes_received": 0,
        "ready": {},
    }
    return ["delta", *(fields | changed).values()]


def with_message(n: Any = 1, message: Any = (b"", "text/plain", None, 1.5), named: Any = incarnation) -> list[Any]:
    return delta(contents=[{named: [[n, message]]}, {}, []])


def with_record(*record: Any) -> list[Any]:
    return delta(contents=[{}, {}, [record]])


id_of_1 = ["a", incarnation, 1]


@pytest.mark.parametrize(
    "data",
    [
        None,
        "delta",
        {},
        [],
        ["delta"],
        ["unknown", 1],
        [1, 2, 3],
        ["applied", -1, 0, 0],
        ["applied", 1, 2**53 + 1, 0],
        ["applied", 1, 2**64 - 1, 0],
        ["applied", 1.5, 2, 0],
        ["applied", True, 2, 0],
        ["applied", "1", 2, 0],
        delta(session=-1),
        delta(upto=2**60),
        delta(clock_s=nan),
        delta(clock_s=inf),
        delta(clock_s=-inf),
        delta(is_synced=1),
        delta(ready={"": 1}),
        delta(ready={"mails": -1}),
        delta(ready={".hidden": 1}),
        with_message(n=0),
        with_message(n=2**53 + 1),
        with_message(named="b"),
        with_message(named="81ARZ3NDEKTSV4RRFFQ69G5FAV"),
        with_message(message=("text", "text/plain", None, 1.5)),
        with_message(message=(b"", "", None, 1.5)),
        with_message(message=(b"", "a\r\nb", None, 1.5)),
        with_message(message=(b"", "text/plain", "", 1.5)),
        with_message(message=(b"", "text/plain", "a\nb", 1.5)),
        with_message(message=(b"", "text/plain", None, nan)),
        with_record("key", incarnation, 0, b"d" * 16, 1.5),
        with_record("key", incarnation, 1, b"d" * 15, 1.5),
        with_record("key", "b", 1, b"d" * 16, 1.5),
        with_record("", incarnation, 1, b"d" * 16, 1.5),
        with_record("key", incarnation, 1, b"d" * 16, inf),
        ["fetch", 1, [], {}],
        ["fetch", 1, {"b": [1, 1]}, {}],
        ["fetch", 1, {1: [1, 1]}, {}],
        ["fetch", 1, {incarnation: [1]}, {}],
        ["fetch", 1, {incarnation: [1, 0]}, {}],
        ["fetch", 1, {incarnation: [1, -1]}, {}],
        ["fetch", 1, {incarnation: [2**53, 2]}, {}],
        ["fetch", 1, {incarnation: ["1", 1]}, {}],
        ["fetch", 1, {incarnation: {}}, {}],
        ["read_page", 1, [incarnation, -1]],
        ["read_page", 1, ["", 1]],
        ["read_page", 1, [incarnation]],
        ["open", 1, "a b", "owner", incarnation, 1],
        ["open", 1, "a", "other", incarnation, 1],
        ["open", 1, "a", "owner", "", 1],
        ["fenced", "a", ""],
        ["pair", "", "b"],
        ["pair", "a", "b" * 257],
        ["pair", "a\n", "b"],
        ["interest", [""]],
        ["interest", ["a" * 65]],
        ["forward", 1, [["push", b"", "text/plain", "", 0.0]]],
        ["forward", 1, [["push", b"", "text/plain", None, -1.0]]],
        ["forward", 1, [["get", 0]]],
        ["forward", 1, [["get", 1001]]],
        ["forward", 1, [["get", 1, 0.0, nan]]],
        ["forward", 1, [["ack", ["a", incarnation, 0]]]],
        ["forward", 1, [["ack", ["", incarnation, 1]]]],
        ["forward", 1, [["nack", [id_of_1, ""], 0.0]]],
        ["forward", 1, [["nack", [id_of_1, "K"], 0.0]]],
        ["forward", 1, [["nack", [id_of_1, "k"], -0.5]]],
        ["forward", 1, [["batch", []]]],
        ["forwarded", [[-1, ["done"]]]],
        ["forwarded", [[1, ["pushed", id_of_1, -1, 1]]]],
        ["forwarded", [[1, ["refused", "Unknown!", ""]]]],
        ["forwarded", [[1, ["inspected", "ready", 0, 0, "", 1.0]]]],
        ["status", "a", None, -1.0, False, 0, 0, {}, [], {}],
        ["status", "", None, 1.0, False, 0, 0, {}, [], {}],
        ["status", "a", None, 1.0, False, 0, 0, {}, ["a"] * 1001, {}],
        ["status", "a", None, 1.0, False, 0, 0, {}, [], {"--copies": nan}],
        ["status", "a", None, 1.0, False, 0, 0, {"b": [None, "ftp://b", [], False, False, None]}, [], {}],
        ["status", "a", None, 1.0, False, 0, 0, {"b": [None, "", [["", None, False, 1]], False, False, None]}, [], {}],
        [
            "status",
            *("a", None, 1.0, False, 0, 0),
            {"b": [None, "", [[boot, None, False, 1.0]] * 65, False, False, None]},
            *([], {}),
        ],
    ],
)  # fmt: skip
def test_a_frame_with_a_value_that_cannot_be_is_a_fault(data: Any) -> None:
    with pytest.raises(PeerFault):
        decode(msgspec.msgpack.encode(data))


def test_the_builders_of_bad_frames_make_good_ones_too() -> None:
    for data in (delta(), with_message(), with_record("key", incarnation, 1, b"d" * 16, 1.5)):
        assert isinstance(decode(msgspec.msgpack.encode(data)), Delta)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 1_000_000,
        b"\x93\xa5fetch\x01\x81\xba" + incarnation.encode() + b"\x91" * 1_000_000,
        b"\x94\xa5fetch\x01\x81\xba" + incarnation.encode() + b"\x91" * 1_000_000,
        b"\x94\xa5fetch\x01" + b"\x81\xa1a" * 300_000,
        b"\x94\xa5fetch\x01\x81\xd6\xff\xff\xff\xff\xff",
        b"\x92\xa8interest\xdd\xff\xff\xff\xff",
        b"\x92\xa8interest\x91\xa2\xff\xff",
    ],
)
def test_a_bomb_is_a_fault(data: bytes) -> None:
    with pytest.raises(PeerFault):
        decode(data)


def test_a_long_frame_of_many_small_values_is_refused_before_any_of_them_is_made() -> None:
    start = b"\x94\xa5fetch\x01\x81\xba" + incarnation.encode()
    with pytest.raises(PeerFault, match="too many values"):
        decode(start + b"\xdd\x00\x40\x00\x00" + b"\x90" * 2**22)


def test_a_long_frame_with_large_bodies_is_read() -> None:
    body = b"b" * unscanned_bytes_max
    (((_, message), *_),) = read_delta(delta_of(contents_of(body, b"", body))).contents.puts.values()
    assert message.body == body


def read_delta(frame: Delta) -> Delta:
    read = decode(encode(frame))
    assert isinstance(read, Delta)
    return read


@pytest.mark.parametrize("frame", all_frames, ids=lambda frame: type(frame).__name__)
def test_the_values_of_a_frame_are_counted_exactly(frame: AnyFrame) -> None:
    def count(value: Any) -> int:
        if isinstance(value, list):
            return 1 + sum(map(count, value))
        if isinstance(value, dict):
            return 1 + sum(count(name) + count(each) for name, each in value.items())
        return 1

    data = encode(frame)
    values = count(msgspec.msgpack.decode(data))
    check_items(data, values)
    with pytest.raises(PeerFault):
        check_items(data, values - 1)
    with pytest.raises(PeerFault):
        check_items(data[:-1], values)


@pytest.mark.parametrize(
    "value",
    [
        *(2**40, -(2**40), 300, -300, 70_000, -70_000, 1.5, None, True),
        *(b"x" * 300, b"x" * 70_000, "x" * 40, "x" * 300, "x" * 70_000),
        *([1] * 20, [1] * 70_000, {str(n): n for n in range(20)}, {str(n): n for n in range(70_000)}),
        *(msgspec.msgpack.Ext(5, b"x" * count) for count in (1, 2, 4, 8, 16, 3, 300, 70_000)),
    ],
)
def test_every_form_of_a_value_is_counted(value: Any) -> None:
    check_items(msgspec.msgpack.encode([value, 1]), 200_000)
    with pytest.raises(PeerFault):
        check_items(msgspec.msgpack.encode([value, 1])[:-1], 200_000)


@pytest.mark.parametrize("why", ["a\nb\x1b[2J", "x" * 5000])
def test_words_of_a_peer_become_printable_and_end_nothing(why: str) -> None:
    declined, forwarded = decode(encode(Declined(1, why))), decode(encode(Forwarded([(1, Refused("full", why))])))
    assert isinstance(declined, Declined)
    assert isinstance(forwarded, Forwarded)
    refused = forwarded.outcomes[0][1]
    assert isinstance(refused, Refused)
    for text in (declined.why, refused.detail):
        assert text.isprintable()
        assert len(text) <= 1000


def test_contents_that_deltas_share_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[type] = []
    original = msgspec.msgpack.Encoder.encode

    class Counting:
        def __call__(self, value: Any) -> bytes:
            encoded.append(type(value))
            return original(msgspec.msgpack.Encoder(enc_hook=lambda dots: dots.to_wire()), value)

    monkeypatch.setattr("dqtw.wire.peer.codec._encode", Counting())
    encoder, shared = Encoder(), contents_of(b"one", b"two")
    data = [encoder.encode(delta_of(shared, upto)) for upto in (7, 8, 9)]
    assert encoded.count(frames.Contents) == 1
    assert [read.upto for read in map(decode, data) if isinstance(read, Delta)] == [7, 8, 9]
    encoder.forget()
    encoder.encode(delta_of(shared))
    assert encoded.count(frames.Contents) == 2


def test_contents_are_told_apart_by_identity_as_long_as_they_are_kept() -> None:
    encoder = Encoder()
    for n in range(10 * shared_max):
        read = decode(encoder.encode(delta_of(contents_of(b"%d" % n))))
        assert isinstance(read, Delta)
        assert read.contents.puts[incarnation][0][1].body == b"%d" % n
    assert len(encoder._shared) == shared_max


def test_small_frames_are_small() -> None:
    assert len(encode(Applied(1, 100_000, 0))) < 20
    assert len(encode(Interest(["default"]))) < 20
