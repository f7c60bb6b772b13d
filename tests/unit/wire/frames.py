"""One frame of each kind, for the tests of what peers send each other."""

from dqtw.core.links.frames import (
    AnyFrame,
    Applied,
    Backfill,
    Changed,
    Contents,
    Declined,
    Delta,
    End,
    Fenced,
    Fetch,
    Fetched,
    Forward,
    Forwarded,
    Heard,
    Interest,
    Leave,
    NodeReport,
    Open,
    Opened,
    PageRead,
    Pair,
    ReadPage,
    Record,
    Refused,
    Role,
    Status,
    Stays,
    Synced,
)
from dqtw.core.model.commands import (
    Ack,
    Complete,
    Delivered,
    Delivery,
    Done,
    Get,
    GiveBack,
    Inspect,
    Inspected,
    Nack,
    Push,
    Pushed,
    State,
    Touch,
)
from dqtw.core.model.dots import DotSet
from dqtw.core.model.message import Message, MessageId, Receipt

incarnation = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
boot = "0123456789abcdef" * 2
id_of_7 = MessageId("a", incarnation, 7)
receipt = Receipt(id_of_7, "k3")
dots = DotSet.of([(incarnation, 1), (incarnation, 2), (incarnation, 9)])
record = Record("order 7", incarnation, 7, b"d" * 16, -3.5)


def contents_of(*bodies: bytes) -> Contents:
    """Return contents with these messages, one removal and its record."""
    messages = [(n, Message(body, "text/plain", f"key {n}", 1.5)) for n, body in enumerate(bodies, 1)]
    return Contents({incarnation: messages}, dots, [record])


def delta_of(contents: Contents, upto: int = 9) -> Delta:
    """Return a delta with these contents."""
    return Delta(1, upto, 12.5, contents, is_synced=True, is_whole=False, changes_received=3, ready={"mails": 2})


all_frames: list[AnyFrame] = [
    Pair("n1.n2", "n3.n4"),
    Status(
        "a",
        incarnation,
        3.25,
        is_going=False,
        express_read=10,
        bulk_read=2**40,
        nodes={
            "b": NodeReport(
                incarnation,
                "https://b.test:8081",
                [Heard(boot, None, is_going=True, age_s=0.5)],
                in_session=True,
                is_current=False,
                incarnation=incarnation,
            ),
            "c": NodeReport(None, "", [], in_session=False, is_current=False, incarnation=None),
        },
        members=["a", "b", "c"],
        settings={"--copies": 3.0},
    ),
    Open(1, "a", Role.OWNER, incarnation, 2**20),
    Open(2, "a", Role.COPY, None, 0),
    Opened(1, was_complete=True, changes=4),
    Declined(1, "this node is starting"),
    Fenced("a", incarnation),
    ReadPage(1, None),
    ReadPage(1, (incarnation, 65_536)),
    PageRead(1, dots, DotSet(), None, (incarnation, 9)),
    Fetch(1, dots, DotSet()),
    Fetched(1, 2.5, contents_of(b"one", b""), dots),
    delta_of(contents_of(b"\x00\xff" * 50)),
    delta_of(Contents()),
    Applied(1, 9, 0),
    Backfill(1, 3, -1.0, contents_of(b"one")),
    Changed(1, 4, 2.5, dots, DotSet(), [record]),
    Synced(1, 4),
    End(1),
    Interest(["mails", "default"]),
    Forward(
        5,
        [
            Push(b"body", "text/plain", "key", 1.5),
            Get(10, 1.5, 60.0, ack_now=False),
            Ack(id_of_7),
            Nack(receipt, 0.5),
            Touch(receipt, None),
            GiveBack(receipt),
            Complete(receipt),
            Inspect(id_of_7),
        ],
    ),
    Forwarded(
        [
            (5, Pushed(id_of_7, 2, 3, duplicate=True)),
            (6, Delivered((Delivery(receipt, 1, 60.0, Message(b"body")),))),
            (7, Done()),
            (8, Inspected(State.LEASED, 1, 4, "text/plain", 12.5)),
            (9, Refused("unknown", "no such message")),
        ]
    ),
    Leave(6),
    Stays(6, yes=True),
]
