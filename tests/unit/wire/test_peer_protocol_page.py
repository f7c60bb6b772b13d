"""The example on the page of the peer protocol is what the code computes, and the tables name what it has."""

import re
from pathlib import Path
from typing import get_args

import msgspec
from msgspec.structs import fields

from dqtw.core.links import frames
from dqtw.core.links.frames import AnyFrame, Lane, Pair
from dqtw.core.links.streams import StreamAnswer, StreamRequest
from dqtw.core.model import commands
from dqtw.wire.peer import handshake
from dqtw.wire.peer.lanes import Inbox, Outbox

page = (Path(__file__).resolve().parents[3] / "docs/reference/peer-protocol.md").read_text()
secret = b"0123456789abcdef"
request = StreamRequest(
    cluster="dqtw",
    node="a",
    boot="5b1f0c7d9e2a4f60",
    url="http://10.0.0.1:8081",
    versions=(2,),
    nonce="c4d1e8",
    number=1,
    to_node="b",
    to_boot=None,
)
answer = StreamAnswer("b", "90ab12cd34ef5678", "7f03aa", "01M860GJ51TF8ST0EQA6DE8ABX")
pair = Pair("c4d1e8.7f03aa", "19e2b0.55d7c1")


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the tables below a heading, by the names in their first cell."""
    text = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {name: cells for cells in lines for name in re.findall(r"`([^`]+)`", cells[0])}


def test_the_headers_of_the_example_are_what_a_node_sends() -> None:
    asked, answered = page.partition("```text\n")[2].partition("```")[0].split("\n\n")
    shown = [tuple(line.split(": ", 1)) for line in asked.splitlines()[1:]]
    assert asked.splitlines()[0] == f"GET {handshake.path} HTTP/1.1"
    assert shown == handshake.request_headers(request, secret)
    shown = [tuple(line.split(": ", 1)) for line in answered.splitlines()[1:]]
    assert shown == [
        ("Content-Type", handshake.content_type),
        *handshake.answer_headers(handshake.Asked(request, secret), answer),
    ]


def test_the_piece_of_the_example_is_what_a_node_sends() -> None:
    (shown,) = re.findall(r"^([0-9a-f]{8} [0-9a-f]+ [0-9a-f]{32})$", page, re.MULTILINE)
    key = handshake.piece_key(secret, request, answer)
    outbox = Outbox(key)
    outbox.put(pair)
    assert outbox.take(0.0, 1000) == bytes.fromhex(shown)
    assert Inbox(1000, key).feed(bytes.fromhex(shown)).frames == [pair]


def test_every_header_and_code_is_in_the_tables() -> None:
    assert {*handshake._forms, *handshake._answer_names} <= set(rows("Streams"))
    for code, status in handshake._statuses.items():
        assert rows("Refusals")[code][1] == str(status.value), code


def test_every_frame_is_in_the_table_with_its_fields_and_its_lane() -> None:
    shown, (_, bulk, *_) = rows("Frames"), re.findall(r"^\| [012], (?:status|bulk) \| ([^|]+) \|", page, re.MULTILINE)
    documented = {name: cells for name, cells in shown.items() if len(cells) == 3}
    kinds = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyFrame)}
    assert documented.keys() == kinds.keys()
    for name, kind in kinds.items():
        assert documented[name][1].count(",") == len(fields(kind)) - 1, name
        assert (f"`{name}`" in bulk) == (kind.lane is Lane.BULK), name


def test_every_command_and_outcome_is_in_the_tables() -> None:
    shown = rows("Commands and outcomes")
    outcomes = [commands.Pushed, commands.Delivered, commands.Done, commands.Inspected, frames.Refused]
    for kind in (*get_args(commands.Command), *outcomes):
        assert str(kind.__struct_config__.tag) in shown, kind
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(commands.Done())) == ["done"]
