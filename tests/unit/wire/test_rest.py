"""REST requests and answers as values, without any server."""

import json
from inspect import isclass

import pytest

from dqtw.core.model import errors
from dqtw.core.model.commands import Delivered, Delivery, Done, Get, Inspected, Nack, Push, Pushed, State, Touch
from dqtw.core.model.errors import (
    BadRequest,
    Full,
    OwnerDown,
    Refusal,
    TooLarge,
    Unauthorized,
    Uncertain,
    Unknown,
    UnsupportedEncoding,
    quote,
)
from dqtw.core.model.health import Health
from dqtw.core.model.message import Message, MessageId, Receipt
from dqtw.wire.rest import batch as rest_batch
from dqtw.wire.rest import single as rest
from dqtw.wire.rest.problem import Answer, internal_problem, phrase, problem, retry_seconds, statuses
from dqtw.wire.values import parse_get

message_id = MessageId("n", "01ARZ3NDEKTSV4RRFFQ69G5FAV", 7)
receipt = Receipt(message_id, "t0")


def headers(answer: Answer) -> dict[str, str]:
    return dict(answer.headers)


def all_codes() -> set[str]:
    known = [value for value in vars(errors).values() if isclass(value) and issubclass(value, Refusal)]
    return {refusal.code for refusal in known if hasattr(refusal, "code")}


def test_every_refusal_has_a_status() -> None:
    """No refusal can leave the door without a status."""
    assert set(statuses) == all_codes() | {"internal"}


def test_a_problem_says_all_that_rfc_9457_asks_for() -> None:
    """A generic client can read what is wrong."""
    answer = problem(Unknown("gone"))
    assert (answer.status, answer.content_type) == (404, "application/problem+json")
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "gone",
        "code": "unknown",
    }


@pytest.mark.parametrize("refusal", [Full(""), OwnerDown("")])
def test_what_may_be_asked_again_says_when(refusal: Refusal) -> None:
    """429 and 503 say after how many seconds."""
    assert int(headers(problem(refusal))["Retry-After"]) >= 1


def test_each_code_that_may_be_repeated_has_its_own_time() -> None:
    """A client does not hammer at a node that has to be started again."""
    assert set(retry_seconds) == {code for code, status in statuses.items() if status in (429, 503)}
    assert retry_seconds["owner_down"] > retry_seconds["full"]


@pytest.mark.parametrize(
    ("status", "words"),
    [(413, "Content Too Large"), (414, "URI Too Long"), (422, "Unprocessable Content"), (404, "Not Found")],
)
def test_phrases_are_those_of_rfc_9110(status: int, words: str) -> None:
    """Not those of the RFCs before it."""
    assert phrase(status) == words


def test_a_push_with_a_key_may_be_repeated_when_it_is_uncertain() -> None:
    """It can't become two messages."""
    answer = rest.pushed_answer(Push(b"", key="k"), Uncertain("who knows"))
    assert (answer.status, "Retry-After" in headers(answer)) == (503, True)
    assert "same key" in json.loads(answer.body)["detail"]


def test_a_push_without_a_key_must_not_be_repeated_blindly_when_it_is_uncertain() -> None:
    """A client library that obeys Retry-After does not make two messages of one."""
    answer = rest.pushed_answer(Push(b""), Uncertain("who knows"))
    assert (answer.status, headers(answer)) == (503, {})
    assert "who knows; it has no key, so a repetition may be a second message" in json.loads(answer.body)["detail"]


@pytest.mark.parametrize(("keys", "may_repeat"), [(("k", "l"), True), (("k", None), False)])
def test_a_batch_that_is_uncertain_may_be_repeated_if_all_have_keys(keys: list[str | None], may_repeat: bool) -> None:
    """One message without a key is enough to make the repetition a risk."""
    answer = rest_batch.push_batch_answer([Push(b"", key=key) for key in keys], [Uncertain("who knows")] * 2)
    assert (answer.status, "Retry-After" in headers(answer)) == (503, may_repeat)
    assert ["same key" in item["detail"] for item in json.loads(answer.body)] == [key is not None for key in keys]


def test_an_uncertain_ack_may_be_repeated() -> None:
    """A message can't be removed twice."""
    assert "Retry-After" in headers(rest.done_answer(Uncertain("who knows")))
    assert "Retry-After" in headers(rest_batch.ack_batch_answer([Uncertain("who knows")]))


@pytest.mark.parametrize("types", [[], [b"application/json"], [b"text/plain; charset=UTF-8"], [b'a/b;charset="utf-8"']])
def test_a_batch_is_json_whatever_its_type_is_called(types: list[bytes]) -> None:
    """`curl --data-binary` names the type of a form."""
    rest_batch.check_batch_type(types)


@pytest.mark.parametrize("kind", [b"application/json; charset=latin-1", b"a/b; Charset = utf-16", b"a/b;charset="])
def test_a_batch_in_another_character_encoding_is_refused(kind: bytes) -> None:
    """Its bytes might be read as other characters."""
    with pytest.raises(UnsupportedEncoding):
        rest_batch.check_batch_type([kind])


def test_a_401_says_how_to_authenticate() -> None:
    """As HTTP wants it."""
    assert headers(problem(Unauthorized("")))["WWW-Authenticate"] == 'Bearer realm="dqtw"'


def test_a_defect_tells_nothing() -> None:
    """Whatever failed stays within."""
    assert json.loads(internal_problem().body)["code"] == "internal"


def test_a_query_is_read() -> None:
    """Percent and plus are decoded; empty pieces mean nothing."""
    assert rest.parse_query(b"&wait=%31+2&&ack", ("wait", "ack")) == {"wait": "1 2", "ack": ""}


@pytest.mark.parametrize("raw", [b"a=1", b"wait=1&wait=1", b"wait=%ff", b"\xff", b"=1"])
def test_a_query_that_says_anything_else_is_refused(raw: bytes) -> None:
    """Typing errors do not pass silently."""
    with pytest.raises(BadRequest):
        rest.parse_query(raw, ("wait",))


def test_a_clients_word_is_quoted_short() -> None:
    """An answer does not grow with the nonsense it is about."""
    assert len(quote("\x1b\u2028" * 5000)) < 1000
    assert quote("\x1b").isprintable()


def test_a_push_is_read() -> None:
    """Type and key come from headers, the wait from the query."""
    push = rest.parse_push({"wait": "1.5"}, [b"a/b"], ["ä".encode()], b"x")
    assert push == Push(b"x", "a/b", "ä", 1.5)
    assert rest.parse_push({}, [], [], b"") == Push(b"")


def test_a_get_is_read() -> None:
    """A wait beyond 30 seconds counts as 30."""
    assert parse_get({}) == Get()
    assert parse_get({"wait": "29", "lease": "0.25"}) == Get(1, 29.0, 0.25)
    assert parse_get({"ack": "now"}) == Get(ack_now=True)
    assert rest.parse_get_batch({"max": "1000"}) == Get(1000)


def test_a_nack_and_a_touch_are_read() -> None:
    """A touch without a lease takes the delivery's own."""
    assert rest.parse_nack(str(receipt), {}) == Nack(receipt)
    assert rest.parse_nack(str(receipt), {"delay": "2"}) == Nack(receipt, 2.0)
    assert rest.parse_touch(str(receipt), {}) == Touch(receipt)
    assert rest.parse_touch(str(receipt), {"lease": "2"}) == Touch(receipt, 2.0)


@pytest.mark.parametrize("values", [[], [b"Bearer a", b"Bearer a"], [b"Basic a"], [b"Bearer "], [b"Bearer a b"]])
def test_an_authorization_that_is_no_bearer_is_refused(values: list[bytes]) -> None:
    """Exactly one token is looked at."""
    with pytest.raises(Unauthorized):
        rest.parse_bearer(values)


def test_an_authorization_holds_the_token() -> None:
    """Any printable token is one."""
    assert rest.parse_bearer([b"bearer  a!~/=b"]) == b"a!~/=b"


def test_a_push_is_answered_with_its_place() -> None:
    """201 for a new one, 200 for one seen before."""
    answer = rest.pushed_answer(Push(b""), Pushed(message_id, 2, 3))
    assert (answer.status, headers(answer)) == (201, {"Location": f"messages/{message_id}"})
    assert json.loads(answer.body) == {"id": str(message_id), "copies": 2, "members": 3}
    again = rest.pushed_answer(Push(b""), Pushed(message_id, 2, 3, duplicate=True))
    assert (again.status, json.loads(again.body)["duplicate"]) == (200, True)
    assert headers(again) == headers(answer)


def test_a_delivery_is_its_bytes() -> None:
    """The body is the very object that is on the queue: nothing is copied."""
    body = b"\x00\xff"
    answer = rest.delivered_answer(Get(), Delivered((Delivery(receipt, 3, 0.1, Message(body, "a/b")),)))
    assert answer.body is body
    assert (answer.status, answer.content_type) == (200, "a/b")
    told = headers(answer)
    assert told["Dqtw-Receipt"] == str(receipt)
    assert (told["Dqtw-Id"], told["Dqtw-Attempt"], told["Dqtw-Lease"]) == (str(message_id), "3", "0.1")


def test_no_delivery_is_204() -> None:
    """Nothing is no error."""
    assert rest.delivered_answer(Get(), Delivered()) == Answer(204)
    assert rest.done_answer(Done()) == Answer(204)


def test_what_is_known_of_a_message_is_told() -> None:
    """In the words of the contract."""
    answer = rest.inspected_answer(message_id, Inspected(State.LEASED, 2, 5, "a/b", 1.5))
    assert json.loads(answer.body) == {
        "id": str(message_id),
        "state": "leased",
        "attempts": 2,
        "bytes": 5,
        "type": "a/b",
        "age": 1.5,
    }


def test_health_is_503_with_reasons_or_200() -> None:
    """For a balancer the status, for a person the reasons."""
    well, ill = (
        Health(ok=True, reasons=(), in_session=1, copies=2, members=3),
        Health(
            ok=False,
            reasons=("full", "draining"),
            in_session=0,
            copies=1,
            members=3,
            waiting_for=("requests are under way",),
        ),
    )
    assert rest.health_answer(well).status == 200
    answer = rest.health_answer(ill)
    assert answer.status == 503
    assert json.loads(answer.body) == {
        "ok": False,
        "reasons": ["full", "draining"],
        "waiting_for": ["requests are under way"],
        "in_session": 0,
        "copies": 1,
        "members": 3,
    }


def test_a_batch_of_pushes_is_read_item_by_item() -> None:
    """Each item is a push or its own refusal."""
    items = [{"text": "ä", "type": "a/b", "key": "k"}, {"base64": "/w=="}, {"text": "12345"}, 7]
    first, second, third, fourth = rest_batch.parse_push_batch(json.dumps(items).encode(), 4)
    assert (first, second) == (Push("ä".encode(), "a/b", "k"), Push(b"\xff"))
    assert isinstance(third, TooLarge)
    assert isinstance(fourth, BadRequest)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is not JSON: Expecting value at character 1"),
        (b'[{"text": "a"} {}]', "the body is not JSON: Expecting ',' delimiter at character 16"),
        (b'[{"text": "a"}] x', "the body is not JSON: Extra data at character 17"),
        (b'["\xff"]', "the body is not UTF-8 from byte 3 on"),
        (b"[NaN]", "the body is not JSON: NaN is no value of it"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b"[" + b"1" * 5000 + b"]", "the body is not JSON that"),
    ],
)
def test_a_batch_that_is_not_json_is_told_where(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        rest_batch.parse_ack_batch(body)
    assert refused.value.detail.startswith(said)


def test_batches_are_answered_item_by_item() -> None:
    """In their order."""
    answer = rest_batch.push_batch_answer([Push(b"")] * 2, [Pushed(message_id, 1, 1), Full("no room")])
    assert answer.status == 200
    assert json.loads(answer.body) == [
        {"ok": True, "id": str(message_id), "copies": 1, "members": 1},
        {"ok": False, "code": "full", "detail": "no room"},
    ]


def test_a_delivered_batch_has_text_where_it_is_utf_8() -> None:
    """And base64 where it is not."""
    deliveries = tuple(Delivery(receipt, 1, 60.0, Message(body)) for body in (b"", "ä\u2028".encode(), b"\xff"))
    told = json.loads(rest_batch.get_batch_answer(Get(), Delivered(deliveries)).body)
    assert [(item.get("text"), item.get("base64")) for item in told] == [
        ("", None),
        ("ä\u2028", None),
        (None, "/w=="),
    ]
