"""Lines in, answers out: the codec of the line protocol, without a connection."""

import pytest

from dqtw.core.model.commands import Ack, Delivered, Delivery, Done, Get, Nack, Push, Pushed, Touch
from dqtw.core.model.errors import BadRequest, Framing, Refusal, TooLarge, Unauthorized
from dqtw.core.model.message import Message, MessageId, Receipt
from dqtw.wire.line.answers import render, render_hello, render_stats
from dqtw.wire.line.parser import LineParser, locked_body_bytes_max
from dqtw.wire.line.requests import Auth, Request, Simple, UnknownVerb

id = MessageId("node-1", "01HF7YAT00YPRPA8JAB2VS3WER", 7)
receipt = Receipt(id, "2a")


def parse(parser: LineParser, *chunks: bytes) -> list[Request | Refusal]:
    found: list[Request | Refusal] = []
    for chunk in chunks:
        parser.feed(chunk)
        while (request := parser.next_request()) is not None:
            found.append(request)
    return found


@pytest.mark.parametrize(
    ("sent", "request_"),
    [
        (b"PUSH 2\r\nhi\r\n", Push(b"hi")),
        (b"push 0 wait=1.5 type=a/b key=k%25\n\n", Push(b"", "a/b", "k%", 1.5)),
        (b"PUSH 02\r\n\r\n\r\n", Push(b"\r\n")),
        (b"GET\r\n", Get()),
        (b"get ack=now wait=0\n", Get(1, ack_now=True)),
        (b"GET lease=5 wait=1\n", Get(1, 1.0, 5.0)),
        (f"ACK {id}\r\n".encode(), Ack(id)),
        (f"ACK {receipt}\r\n".encode(), Ack(id)),
        (f"NACK {receipt}\r\n".encode(), Nack(receipt)),
        (f"NACK {receipt} delay=5\r\n".encode(), Nack(receipt, 5.0)),
        (f"TOUCH {receipt}\r\n".encode(), Touch(receipt)),
        (f"TOUCH {receipt} lease=5\r\n".encode(), Touch(receipt, 5.0)),
        (b"AUTH a%20b\r\n", Auth("a b")),
        *((f"{simple.value}\r\n".encode(), simple) for simple in Simple),
    ],
)
def test_every_request_is_read(sent: bytes, request_: Request) -> None:
    assert parse(LineParser(), sent) == [request_]


def test_a_token_is_never_shown() -> None:
    assert "secret" not in repr(Auth("secret"))


def test_a_request_is_given_as_soon_as_it_is_complete() -> None:
    parser = LineParser()
    assert parse(parser, b"PING\nPUSH 1\r\nx\r") == [Simple.PING]
    assert parser.mid_request
    assert parse(parser, b"\n") == [Push(b"x")]
    assert not parser.mid_request


def test_after_lost_framing_nothing_is_read() -> None:
    parser = LineParser()
    (refusal,) = parse(parser, b"PUSH x\r\nPING\r\n", b"PING\r\n")
    assert isinstance(refusal, Framing)
    assert not parser.mid_request


def test_a_line_too_long_is_seen_before_it_ends() -> None:
    parser = LineParser()
    assert parse(parser, b"x" * 8192) == []
    assert [type(found) for found in parse(parser, b"x")] == [Framing]


def test_a_long_body_is_not_searched_for_a_line() -> None:
    parser = LineParser(body_bytes_max=20_000)
    assert parse(parser, b"PUSH 20000\n", *[b"x" * 100] * 200, b"\nPING\n") == [Push(b"x" * 20_000), Simple.PING]


def test_the_limits_of_a_body() -> None:
    parser = LineParser(body_bytes_max=3)
    found = parse(parser, b"PUSH 3\nabc\nPUSH 4\nabcd\nPUSH 4 x\nabcd\nPUSH 1073741824\n")
    assert [type(each) for each in found] == [Push, TooLarge, BadRequest]
    assert parser.mid_request


def test_a_skipped_body_is_not_held() -> None:
    parser = LineParser(body_bytes_max=3)
    parse(parser, b"PUSH 1073741824\n")
    chunk = b"x" * 2**20
    for _ in range(1024):
        parser.feed(chunk)
        assert parser.next_request() is None
        assert parser.buffered == 0
    (refusal,) = parse(parser, b"\r\n")
    assert isinstance(refusal, TooLarge)


def test_locked_it_lets_five_verbs_through() -> None:
    parser = LineParser(locked=True)
    found = parse(parser, b"GET\nPING\nHELLO\nHELP\nAUTH x\nSTATS\nQUIT\nPUSH 5\nPING\n\nPUSH 5 x\nPING\n\n")
    refused = [each if not isinstance(each, Refusal) else type(each) for each in found]
    assert refused == [
        *(Unauthorized, Simple.PING, Simple.HELLO, Simple.HELP, Auth("x"), Unauthorized, Simple.QUIT),
        *(Unauthorized, Unauthorized),
    ]
    parser.locked = False
    assert parse(parser, b"GET\n") == [Get()]


def test_locked_it_skips_no_long_body() -> None:
    parser = LineParser(locked=True)
    assert parse(parser, b"PUSH %d\n" % locked_body_bytes_max) == []
    (refusal,) = parse(LineParser(locked=True), b"PUSH %d\n" % (locked_body_bytes_max + 1))
    assert isinstance(refusal, Framing)


def delivery(content_type: str) -> Delivered:
    return Delivered((Delivery(receipt, 2, 60.0, Message(b"a\r\n", content_type)),))


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (render(Pushed(id, 2, 3)), f"OK {id} 2/3\r\n"),
        (render(Pushed(id, 2, 3, duplicate=True)), f"OK {id} 2/3 duplicate\r\n"),
        (render(Done()), "OK\r\n"),
        (render(Delivered()), "EMPTY\r\n"),
        (render(delivery("application/octet-stream")), f"MSG {receipt} 2 3\r\na\r\n\r\n"),
        (render(delivery("a/b; c=%")), f"MSG {receipt} 2 3 type=a/b;%20c=%25\r\na\r\n\r\n"),
        (render(delivery("a\r\n\x85\u2028é")), f"MSG {receipt} 2 3 type=a%0D%0A%C2%85%E2%80%A8é\r\na\r\n\r\n"),
        (render(BadRequest("no")), "ERR bad_request no\r\n"),
        ((render_stats({"a": 1.5, "b": "é\n"}),), 'STATS 24\r\n{"a":1.5,"b":"\\u00e9\\n"}\r\n'),
        (render(delivery("application/octet-stream"), ack_now=True), f"MSG {id} 2 3\r\na\r\n\r\n"),
        ((render_hello("1.2", 5, needs_auth=True),), "HELLO dqtw 1.2 max=5 auth=yes\r\n"),
        ((render_hello("1.2", 5, needs_auth=False),), "HELLO dqtw 1.2 max=5 auth=no\r\n"),
    ],
)
def test_every_answer_is_written(answer: tuple[bytes, ...], line: str) -> None:
    assert b"".join(answer).decode() == line


def test_a_body_is_written_as_it_is() -> None:
    """Not copied: a large message costs its memory once."""
    outcome = delivery("a/b")
    assert render(outcome)[1] is outcome.deliveries[0].message.body


def test_the_words_of_a_refusal_stay_on_one_line() -> None:
    (line,) = render(BadRequest("a\r\nOK\x00\x85\u2028\ud800" + "x" * 1000))
    assert line.count(b"\n") == 1
    assert len(line) < 250
    assert line.startswith(b"ERR bad_request a  OK    xxx")


def test_a_refusal_repeats_little_of_what_the_client_sent() -> None:
    (refusal,) = parse(LineParser(), "GET é".encode() + b"x" * 8000 + b"\n")
    assert isinstance(refusal, BadRequest)
    assert refusal.detail.isascii()
    assert len(refusal.detail) < 150


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"ACK\n", "ACK must be followed by a receipt or a message id: for example ACK node.01"),
        (b"NACK\n", "NACK must be followed by a receipt: for example NACK node.01"),
        (b"TOUCH\n", "TOUCH must be followed by a receipt: for example TOUCH node.01"),
        (b"NACK x\n", "'x' is not a receipt"),
        (f"NACK {id}\n".encode(), f"'{id}' is not a receipt, but a message id; a receipt comes with a delivery"),
        (b"ACK x\n", "'x' is neither a receipt nor a message id"),
        (b"GET wait=1e400\n", "wait: '1e400' is not a number of seconds such as 30"),
        (b"GET lease=0\n", "lease: '0' is not greater than 0"),
        (b"GET lease=0.0\n", "lease: '0.0' is not greater than 0"),
        (f"TOUCH {receipt} lease=0\n".encode(), "lease: '0' is not greater than 0"),
        (f"NACK {receipt} delay=soon\n".encode(), "delay: 'soon' is not a number of seconds"),
        (b"GET ack=later\n", "ack: 'later' is not now, the only value"),
        (b"GET ack=now lease=5\n", "lease: with ack=now there is none"),
        (b"GET leese=5\n", "unknown word 'leese=5'; here wait=, lease=, ack= may stand"),
        (b"GET lease=%zz\n", "in '%zz' a % is not followed by two hexadecimal digits"),
        (b"PUSH 0 key=%00\n\n", "the key '\\x00' is not 1 to 255 characters"),
        (b"PUSH 2147483648\n", "2147483648 bytes are more than 1 GiB"),
        (b"\n", "an empty line is not a command"),
        (b" PING\n", "a line begins with a verb, not with a space"),
        (b"PNIG\n", "unknown verb 'PNIG'; HELP lists the verbs"),
        (b"\x16\x03\x01\x02\x00", "this is the line protocol without TLS"),
        (b"PROXY UNKNOWN\r\n", "this listener expects no PROXY header"),
    ],
)
def test_a_refusal_names_what_it_refuses(sent: bytes, said: str) -> None:
    (refusal,) = parse(LineParser(), sent)
    assert isinstance(refusal, Refusal)
    assert refusal.detail.startswith(said)


# The line end behind a body.


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        (b"PUSH 6\r\nhello\r\n", "bytes 7 and 8"),  # the CR was counted
        (b"PUSH 7\r\nhello\r\nPING\r\n", "bytes 8 and 9"),  # CR and LF were
        (b"PUSH 4\r\nhello\r\n", "bytes 5 and 6"),
        (b"PUSH 5\r\nhello\n", "bytes 6 and 7"),
        (b"PUSH 5\r\nhello\rPING\r\n", "bytes 6 and 7"),
        (b"PUSH 6 bad\r\nhello\r\n", "bytes 7 and 8"),
    ],
)
def test_after_crlf_a_body_is_followed_by_crlf(sent: bytes, wrong: str) -> None:
    (refusal,) = parse(LineParser(), sent)
    assert isinstance(refusal, Framing)
    how_to_count = "PUSH takes the number of the body's bytes, without its line end"
    assert refusal.detail == f"{wrong} after the line are not CRLF: {how_to_count}"


def test_after_lf_a_body_is_followed_by_either() -> None:
    assert parse(LineParser(), b"PUSH 5\nhello\nPUSH 5\nhello\r\nPING\n") == [Push(b"hello")] * 2 + [Simple.PING]
    (refusal,) = parse(LineParser(), b"PUSH 4\nhello\n")
    assert isinstance(refusal, Framing)
    assert refusal.detail.startswith("byte 5 after the line is not a line end: ")


# Other protocols.


@pytest.mark.parametrize(
    "sent",
    [
        b"put 0 0 60 11\r\nGET ack=now\r\n",
        b"set key 0 0 11 noreply\r\nGET ack=now\r\n",
        b"PUB subject 11\r\nGET ack=now\r\n",
        b"*1\r\n$3\r\nGET\r\n",
        b"\x00\x00\x00\x0b\r\nGET\r\n",
        b"\x16\x03\x01\nGET\r\n",
        b"reserve-with-timeout 5\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET\r\n",
        b"PROXY UNKNOWN\r\nGET\r\n",
    ],
)
def test_a_line_of_another_protocol_ends_the_connection_at_once(sent: bytes) -> None:
    assert [type(found) for found in parse(LineParser(), sent)] == [Framing]


def test_a_few_unknown_verbs_end_the_connection() -> None:
    parser = LineParser()
    found = parse(parser, b"EHLO there\r\nMAIL\r\nDATA\r\nGET ack=now\r\n")
    assert [type(each) for each in found] == [UnknownVerb, UnknownVerb, Framing]


def test_a_person_may_mistype_now_and_then() -> None:
    parser = LineParser()
    assert [type(each) for each in parse(parser, b"HELO\nPNIG\n\nPING\n" * 10)][::4] == [UnknownVerb] * 10
    assert parse(parser, b"PING\n") == [Simple.PING]
