"""The peers' codec, rule by rule: what is on the wire, and what is refused there."""

import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import attrs
import msgpack
import pytest

from dqtw.core.links.peer_messages import (
    Applied,
    Ask,
    Declined,
    Delta,
    Failed,
    FencedOff,
    Fetch,
    Forward,
    Forwarded,
    NoSession,
    Page,
    Put,
)
from dqtw.core.model import errors
from dqtw.core.model.commands import (
    Ack,
    Batch,
    Delivered,
    Delivery,
    Done,
    Forwardable,
    Get,
    GiveBack,
    Outcomes,
    Push,
    batch_count_max,
)
from dqtw.core.model.errors import PeerFault, Refusal, Uncertain
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.keys import KeyRecord
from dqtw.core.model.message import Message, MessageId, Receipt
from dqtw.core.model.ranges import Ranges
from dqtw.core.replication.session import chunk_ints_max, chunk_messages_max, keys_per_request_max
from dqtw.wire.peer import commands as peer_commands
from dqtw.wire.peer import protocol as peer
from dqtw.wire.peer.kinds import Cases

incarnation = "01JD0000000000000000000000"
message_id = MessageId("a", incarnation, 7)
record = KeyRecord("k", message_id, b"d" * 16, 2.0)
put = Put(message_id, b"body", "text/plain", "k", 1.5)


def delta(**changed: Any) -> dict[str, Any]:
    """A delta's fields as they are on the wire, some of them changed."""
    fields: dict[str, Any] = {
        "queue": "a",
        "token": "t",
        "request": 3,
        "incarnation": incarnation,
        "gone": {incarnation: [1, 5]},
        "put": [[incarnation, 7, b"body", "text/plain", "k", 1.5]],
        "keys": [["k", incarnation, 7, b"d" * 16, 2.0]],
        "synced": True,
        "ready": 1,
    }
    return fields | changed


def forward(command: Forwardable) -> Forward:
    """A command on its way to the node that must do it."""
    return Forward("b", "dqtw", incarnation, "boot", 9, command)


def refused(verb: str, told: Any) -> str:
    """Why that is no such request."""
    with pytest.raises(PeerFault) as caught:
        peer.decode_request(verb, told if isinstance(told, bytes) else msgpack.packb(told))
    return str(caught.value)


# What is on the wire


def test_a_delta_is_a_map_in_the_order_of_its_fields() -> None:
    """A node of another release, or a program of somebody else, can rely on the form."""
    ids = IdSet("a", {incarnation: Ranges([1, 6])})
    written = peer.encode_request(Delta("a", "t", 3, incarnation, ids, (put,), (record,), True, 1))
    assert written == msgpack.packb(delta())
    assert list(msgpack.unpackb(written)) == list(delta())


def test_an_answer_names_what_it_is() -> None:
    """The asker knows a refusal from an answer by its name."""
    assert msgpack.unpackb(peer.encode_answer(Applied("b", "boot", "t", 3, False, "why", True))) == [
        "applied",
        {
            "node": "b",
            "boot": "boot",
            "token": "t",
            "request": 3,
            "shared": False,
            "cannot_reach": "why",
            "leaving": True,
        },
    ]


def test_a_forwarded_command_names_what_it_is() -> None:
    """A client's request looks the same to its owner whichever node took it."""
    assert msgpack.unpackb(peer.encode_request(forward(Ack(message_id)))) == {
        "node": "b",
        "cluster": "dqtw",
        "incarnation": incarnation,
        "to": "boot",
        "number": 9,
        "command": ["ack", {"id": str(message_id)}],
    }


def test_a_batch_of_commands_has_outcomes_in_its_order() -> None:
    """One request for a thousand removals, and each is answered for itself."""
    batch = Batch((Ack(message_id), GiveBack(Receipt(message_id, "t"))))
    assert msgpack.unpackb(peer.encode_request(forward(batch)))["command"] == [
        "batch",
        {"commands": [["ack", {"id": str(message_id)}], ["give_back", {"receipt": f"{message_id}.t"}]]},
    ]
    answer = Forwarded(Outcomes((Done(), Uncertain("lost"))))
    assert msgpack.unpackb(peer.encode_answer(answer))[1]["outcome"] == [
        "outcomes",
        {"outcomes": [["done", {}], ["refused", {"code": "uncertain", "detail": "lost"}]]},
    ]


@pytest.mark.parametrize(
    ("commands", "says"),
    [
        ([["ack", {"id": str(message_id)}]] * (batch_count_max + 1), "more than 1000"),
        ([["batch", {"commands": []}]], "not one of ack, give_back"),
        ([["inspect", {"id": str(message_id)}]], "not one of ack, give_back"),
        ("ack", "not an array"),
    ],
)
def test_a_batch_is_bounded_and_holds_no_other_commands(commands: Any, says: str) -> None:
    """A peer can't make one request into millions of commands, however it nests them."""
    told = {"node": "b", "cluster": "dqtw", "incarnation": incarnation, "to": "boot", "number": 1}
    assert says in refused("forward", told | {"command": ["batch", {"commands": commands}]})


def test_outcomes_are_bounded_and_hold_no_messages() -> None:
    """An answer to a batch says of each command only whether it was done."""
    for outcomes in ([["done", {}]] * (batch_count_max + 1), [["delivered", {"deliveries": []}]]):
        written = msgpack.packb(["forwarded", {"outcome": ["outcomes", {"outcomes": outcomes}]}])
        with pytest.raises(PeerFault, match="outcomes"):
            peer.decode_answer(forward(Get()), written)


def test_an_id_on_the_wire_belongs_to_the_queue_that_is_spoken_of() -> None:
    """No peer can put a message of one owner into the copy of another's queue."""
    read = peer.decode_request("delta", msgpack.packb(delta(queue="z")))
    assert isinstance(read, Delta)
    assert read.put[0].id.node == read.keys[0].id.node == read.gone.queue == "z"


def test_a_body_is_bytes_and_not_text() -> None:
    """A message arrives byte for byte, whatever its bytes are."""
    assert "bytes" in refused("delta", delta(put=[[incarnation, 7, "body", "text/plain", None, 1.5]]))


@pytest.mark.parametrize("code", sorted(each.code for each in errors.NotNow.__subclasses__()))
def test_a_refusal_of_a_command_keeps_its_code(code: str) -> None:
    """A client is refused in the same way through any node."""
    made = next(each for each in errors.NotNow.__subclasses__() if each.code == code)
    read = peer.decode_answer(forward(Get()), peer.encode_answer(Forwarded(made("why not"))))
    assert isinstance(read, Forwarded)
    assert type(read.outcome) is made
    assert isinstance(read.outcome, Refusal)
    assert read.outcome.detail == "why not"


def test_what_only_a_door_says_is_no_outcome() -> None:
    """A peer can't make this node tell a client that its framing is broken, and hang up on it."""
    written = msgpack.packb(["forwarded", {"outcome": ["refused", {"code": "framing", "detail": ""}]}])
    with pytest.raises(PeerFault, match="code"):
        peer.decode_answer(forward(Get()), written)


def test_a_delivery_carries_the_message() -> None:
    """What was pushed at one node is got at another as it was."""
    message = Message(b"\x00\xff", "image/png", "k", 5.0)
    answer = Forwarded(Delivered((Delivery(Receipt(message_id, "t"), 2, 30.0, message),)))
    read = peer.decode_answer(forward(Get()), peer.encode_answer(answer))
    assert isinstance(read, Forwarded)
    assert isinstance(read.outcome, Delivered)
    (delivery,) = read.outcome.deliveries
    assert (delivery.receipt, delivery.attempt, delivery.lease_s) == (Receipt(message_id, "t"), 2, 30.0)
    assert (delivery.message.body, delivery.message.content_type, delivery.message.key) == (
        b"\x00\xff",
        "image/png",
        "k",
    )


def test_failed_is_never_sent() -> None:
    """That no answer came is the asker's own finding."""
    with pytest.raises(KeyError):
        peer.encode_answer(Failed("no"))


def test_words_for_people_are_brought_onto_one_short_line() -> None:
    """A reason that holds another's words can't break a log, nor fail to be told."""
    read = peer.decode_answer(Ask("a", "dqtw"), peer.encode_answer(Declined("a\nb" + "x" * 5000)))
    assert isinstance(read, Declined)
    assert read.why.startswith("a?b")
    assert len(read.why) == 1000


def test_an_age_that_rounding_made_negative_is_none() -> None:
    """Two clocks read in the wrong order must not cost a session."""
    written = peer.encode_request(Delta("a", "t", 1, "", IdSet("a"), (put._replace(age_s=-1e-13),)))
    read = peer.decode_request("delta", written)
    assert isinstance(read, Delta)
    assert read.put[0].age_s == 0.0


# What is refused


@pytest.mark.parametrize(
    "changed",
    [
        {"request": True},
        {"request": -1},
        {"request": 1.0},
        {"request": 2**53 + 1},
        {"ready": "1"},
        {"synced": 1},
        {"token": b"t"},
        {"token": ""},
        {"token": "t" * 65},
        {"token": "a b"},
        {"queue": "a.b"},
        {"queue": ""},
        {"queue": None},
        {"incarnation": "x"},
        {"gone": [1]},
        {"gone": {incarnation: [0, 1]}},
        {"gone": {incarnation: [1, -1]}},
        {"gone": {incarnation: [1]}},
        {"gone": {incarnation: [True, 1]}},
        {"gone": {incarnation: [2**53, 2**53]}},
        {"gone": {"x": [1, 1]}},
        {"gone": {1: [1, 1]}},
        {"put": None},
        {"put": [[]]},
        {"put": [[incarnation, 0, b"", "text/plain", None, 0.0]]},
        {"put": [[incarnation, True, b"", "text/plain", None, 0.0]]},
        {"put": [[incarnation, 1, b"", "", None, 0.0]]},
        {"put": [[incarnation, 1, b"", "a\r\nb", None, 0.0]]},
        {"put": [[incarnation, 1, b"", "a" * 256, None, 0.0]]},
        {"put": [[incarnation, 1, b"", "text/plain", "", 0.0]]},
        {"put": [[incarnation, 1, b"", "text/plain", "a\x00", 0.0]]},
        {"put": [[incarnation, 1, b"", "text/plain", "a" * 256, 0.0]]},
        {"put": [[incarnation, 1, b"", "text/plain", None, float("nan")]]},
        {"put": [[incarnation, 1, b"", "text/plain", None, float("inf")]]},
        {"put": [[incarnation, 1, b"", "text/plain", None, -1.0]]},
        {"put": [[incarnation, 1, b"", "text/plain", None, 1]]},
        {"keys": [["k", incarnation, 7, b"d" * 15, 2.0]]},
        {"keys": [[None, incarnation, 7, b"d" * 16, 2.0]]},
    ],
)
def test_a_value_of_another_kind_is_refused(changed: dict[str, Any]) -> None:
    """Nothing reaches a queue that no door would have let in; the fault names the field."""
    assert refused("delta", delta(**changed)).startswith(next(iter(changed)))


@pytest.mark.parametrize("fields", [{}, delta() | {"more": 1}, dict(reversed(delta().items()))])
def test_a_field_that_is_missing_unknown_or_out_of_place_is_refused(fields: dict[str, Any]) -> None:
    """Nodes that speak differently find out at once, and not by what is lost."""
    refused("delta", fields)


def test_a_name_given_twice_is_refused() -> None:
    """There are no two readings of one request."""
    twice = b"\x82" + 2 * (msgpack.packb(incarnation) + msgpack.packb([1, 1]))
    written = msgpack.packb(delta(gone=0)).replace(b"\xa4gone\x00", b"\xa4gone" + twice)
    assert "twice" in refused("delta", written)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\xc0", b"\x81\xa5queue", b"\xd9\xff", b"\xa2\xff\xfe"])
def test_what_is_no_request_at_all_is_refused(data: bytes) -> None:
    """Bytes of any origin are judged, and nothing else happens."""
    refused("ask", data)


def test_what_follows_a_request_is_refused() -> None:
    """Nothing can be smuggled behind a request."""
    assert "follows" in refused("ask", msgpack.packb({"queue": "a", "cluster": "dqtw"}) + b"\xc0")


@pytest.mark.parametrize("extension", [b"\xd4\x01x", b"\xc7\x00\xff", b"\xc7\x00\x05", b"\xd6\xff\x00\x00\x00\x00"])
def test_extension_types_are_refused(extension: bytes) -> None:
    """Only what the protocol names is ever made of a peer's bytes."""
    refused("ask", b"\x81\xa5queue" + extension)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (Ask("a", "dqtw"), FencedOff("b", "boot", "")),
        (Fetch("a", "t", 1, IdSet("a")), Applied("b", "boot", "t", 1, False, "", False)),
        (forward(Get()), Applied("b", "boot", "t", 1, False, "", False)),
        (Page("a", "t", 1, None, 0), Forwarded(Done())),
    ],
)
def test_an_answer_to_another_question_is_refused(request_: Any, answer: Any) -> None:
    """A peer that answers something else is at fault, and that is said."""
    with pytest.raises(PeerFault, match="is no answer to"):
        peer.decode_answer(request_, peer.encode_answer(answer))


@pytest.mark.parametrize("far", ["1" + "0" * 25, "7" + "Z" * 25])
def test_an_incarnation_past_all_that_a_node_takes_is_refused_wherever_it_stands(far: str) -> None:
    """A peer gone wrong can't bring in what no start could ever be greater than."""
    opened: dict[str, Any] = {
        "queue": "a",
        "role": "owner",
        "cluster": "c",
        "node": "a",
        "boot": "b",
        "incarnation": far,
    }
    opened |= {"nonce": "n", "body_bytes_max": 1, "members": [], "addresses": {}}
    addresses = {"addresses": {"a": [far, "http://a"]}}
    for told in (opened, opened | {"incarnation": ""} | addresses):
        assert "not an incarnation" in refused("open", told)
    for changed in ({"incarnation": far}, {"gone": {far: [1, 1]}}, {"put": [[far, 1, b"", "t", None, 0.0]]}):
        assert "not an incarnation" in refused("delta", delta(**changed))
    forwarded = {"node": "b", "cluster": "dqtw", "incarnation": far, "to": "boot", "number": 1}
    forwarded |= {"command": ["ack", {"id": "x"}]}
    assert "not an incarnation" in refused("forward", forwarded)
    fields = {"node": "b", "boot": "boot", "greatest": far}
    asked = {
        "owner_boot": "",
        "heard_s_ago": 0.0,
        "synced_once": False,
        "in_sync": False,
        "leaving": False,
        "fenced": False,
    }
    for told_answer in (["fenced", fields], ["asked", {**fields, **asked, "addresses": {}}]):
        with pytest.raises(PeerFault, match="not an incarnation"):
            peer.decode_answer(Ask("a", "dqtw"), msgpack.packb(told_answer))


# Bombs


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


def claiming(depth: int) -> bytes:
    return b"\xdc\xff\xff" * depth


@pytest.mark.parametrize(
    "data",
    [
        nested(1000),
        nested(1_000_000),
        claiming(1000),
        claiming(100_000),
        b"\xdd\xff\xff\xff\xff" * 1000,
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa5queue" + nested(100_000),
        b"\x81\xa5queue\xdb\xff\xff\xff\xff",
        b"\x81\xa5queue\xc6\xff\xff\xff\xff",
        msgpack.packb(delta(gone=[[]] * 100_000)),
        msgpack.packb(delta(put=[[]] * 16_000)),
        msgpack.packb(delta(gone={incarnation: [1] * 1_000_000})),
        msgpack.packb(delta(put=[[incarnation, 1, b"", "t", None, 0.0]] * 16_385)),
        b"\x80" * 1_000_000,
    ],
    ids=lambda data: f"{len(data)} bytes {data[:4].hex()}",
)
@pytest.mark.parametrize("verb", ["ask", "delta"])
def test_a_bomb_costs_no_more_than_its_own_bytes(verb: str, data: bytes) -> None:
    """However deep it nests and whatever lengths it claims: memory stays flat, and the node goes on."""
    tracemalloc.start()
    refused(verb, data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(data) + 8 * 1024 * 1024


def test_a_text_longer_than_any_is_refused() -> None:
    """No name is long enough to matter."""
    refused("ask", {"queue": "a" * 10_000})


def test_a_sum_that_ran_over_is_refused() -> None:
    """Ranges end where numbers end."""
    assert "too great" in refused("delta", delta(gone={incarnation: [2**63, 2**63]}))


# Speed: a request or an answer is one piece of work between two turns of the reactor


def quickest(call: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        began = perf_counter()
        call()
        times.append(perf_counter() - began)
    return min(times)


def test_the_fullest_chunk_does_not_hold_up_the_reactor() -> None:
    """Other clients do not notice that two nodes exchange a great backlog."""
    puts = tuple(
        Put(MessageId("a", incarnation, n), b"x" * 256, "text/plain", None, 1.0)
        for n in range(1, chunk_messages_max + 1)
    )
    records = tuple(KeyRecord(f"k{n}", message_id, b"d" * 16, 1.0) for n in range(keys_per_request_max))
    gone = IdSet("a", {incarnation: Ranges(range(1, chunk_ints_max + 1))})
    full = Delta("a", "t", 1, incarnation, gone, puts, records)
    written = peer.encode_request(full)
    assert quickest(lambda: peer.encode_request(full)) < 0.2
    assert quickest(lambda: peer.decode_request("delta", written)) < 0.2


def test_a_large_body_is_handed_on_and_not_looked_at() -> None:
    """The size of a message costs no more than its copying."""
    large = Delta("a", "t", 1, incarnation, IdSet("a"), (put._replace(body=b"x" * 2**24),))
    written = peer.encode_request(large)
    assert quickest(lambda: peer.decode_request("delta", written)) < 0.2


def test_a_double_is_told_exactly() -> None:
    """Seconds keep their fractions."""
    assert struct.pack(">d", 1.5) in peer.encode_request(Delta("a", "t", 1, "", IdSet("a"), (put,)))


def test_a_command_that_is_none_is_refused() -> None:
    """What a peer wants done is one of the things that clients can want."""
    assert "command" in refused("forward", {"node": "b", "command": ["exec", {}]})
    assert "command" in refused("forward", {"node": "b", "command": ["ack", {"id": "no id"}]})
    assert "command" in refused("forward", {"node": "b", "command": ["get", {"count_max": 1001}]})


def test_an_uncertain_outcome_is_told_in_words() -> None:
    """What a person reads is what the owner said."""
    written = peer.encode_answer(Forwarded(Uncertain("retry with the same key")))
    read = peer.decode_answer(forward(Push(b"")), written)
    assert isinstance(read, Forwarded)
    assert isinstance(read.outcome, Uncertain)
    assert read.outcome.detail == "retry with the same key"


# The reference


def documented(heading: str) -> dict[str, list[str]]:
    """The table under a heading of the reference: names in the first column, names in the second."""
    text = (Path(__file__).parents[3] / "docs/reference/peer-protocol.md").read_text()
    section = text.split(f"\n{heading}\n")[1].split("\n\n")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {re.findall(r"`(\w+)`", row[0])[0]: re.findall(r"`(\w+)`", row[1].split(":")[0]) for row in rows}


def attributes(made: type[Any]) -> list[str]:
    """A value's attributes, in their order."""
    return ["code", "detail"] if issubclass(made, Refusal) else [each.name for each in attrs.fields(made)]


def test_the_reference_names_every_request_as_it_is() -> None:
    """Who reads the reference reads what is on the wire."""
    table = documented("| verb | fields | answered with |")
    assert table == {verb: attributes(made) for verb, (made, _) in peer.requests.items()}


@pytest.mark.parametrize(
    ("heading", "cases"),
    [
        ("| answer | fields |", peer.answers),
        ("| command | fields |", peer_commands.commands),
        ("| outcome | fields |", peer_commands.outcomes),
    ],
)
def test_the_reference_names_every_answer_command_and_outcome_as_it_is(heading: str, cases: Cases) -> None:
    """Who reads the reference reads what is on the wire."""
    assert documented(heading) == {name: attributes(types[0]) for name, (types, _) in cases.items()}


@pytest.mark.parametrize("request_", [Ask("a", "dqtw"), Fetch("a", "t", 1, IdSet("a")), forward(Get())])
def test_who_is_about_to_end_may_answer_any_request_with_no_session(request_: Any) -> None:
    """It confirms nothing, and denies nothing."""
    answer = NoSession("b", "boot")
    assert peer.decode_answer(request_, peer.encode_answer(answer)) == answer
