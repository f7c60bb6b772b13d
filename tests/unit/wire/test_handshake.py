"""How a stream is asked for, accepted and refused."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import evolve

from dqtw.core.links.streams import StreamAnswer, StreamRefused, StreamRequest
from dqtw.core.model.errors import PeerFault
from dqtw.wire.peer.handshake import (
    Asked,
    answer_headers,
    piece_key,
    read_answer,
    read_refusal,
    read_request,
    refusal,
    refusal_bytes_max,
    request_headers,
)

secret, other = b"a secret of the cluster", b"another secret, which is new"
request = StreamRequest("dqtw", "a", "b0" * 16, "https://a.test:8081", (2, 3), "n" * 32, 7, "b", "b1" * 16)
answer = StreamAnswer("b", "b1" * 16, "m" * 32)

Headers = Sequence[tuple[str, str]]


def values_of(headers: Headers) -> Callable[[str], list[bytes]]:
    return lambda name: [value.encode() for each, value in headers if each == name]


def asked(headers: Headers, *secrets: bytes) -> Asked | StreamRefused:
    return read_request(values_of(headers), secrets)


@pytest.mark.parametrize("secrets", [(), (secret,)])
@pytest.mark.parametrize("request_", [request, evolve(request, url="", to_boot=None, versions=(2,))])
def test_a_request_is_read_as_it_was_written(request_: StreamRequest, secrets: tuple[bytes, ...]) -> None:
    first = secrets[0] if secrets else None
    assert asked(request_headers(request_, first), *secrets) == Asked(request_, first)


@pytest.mark.parametrize("first", [None, secret])
def test_an_answer_is_read_as_it_was_written(first: bytes | None) -> None:
    headers = answer_headers(Asked(request, first), answer)
    assert read_answer(values_of(headers), request, first) == answer


def test_both_secrets_are_accepted_and_the_answer_uses_that_of_the_request() -> None:
    read = asked(request_headers(request, secret), other, secret)
    assert read == Asked(request, secret)
    assert isinstance(read, Asked)
    assert read_answer(values_of(answer_headers(read, answer)), request, secret) == answer
    with pytest.raises(PeerFault):
        read_answer(values_of(answer_headers(read, answer)), request, other)


@pytest.mark.parametrize(
    ("signed_with", "secrets", "why"),
    [
        (None, (secret,), "the asker has none"),
        (secret, (), "this node has none"),
        (other, (secret,), "the peer secrets of the nodes differ"),
    ],
)
def test_who_does_not_know_the_secret_is_unauthorized(
    signed_with: bytes | None, secrets: tuple[bytes, ...], why: str
) -> None:
    refused = asked(request_headers(request, signed_with), *secrets)
    assert isinstance(refused, StreamRefused)
    assert refused.code == "unauthorized"
    assert refused.is_lasting
    assert why in refused.why


@pytest.mark.parametrize(
    "changed",
    [
        {"cluster": "other"},
        {"node": "c"},
        {"boot": "b2" * 16},
        {"url": "https://a.test:8082"},
        {"url": ""},
        {"versions": (2,)},
        {"nonce": "N" * 32},
        {"number": 8},
        {"to_node": "c"},
        {"to_boot": None},
    ],
)
def test_the_mac_of_a_request_covers_every_field(changed: Any) -> None:
    mac = [each for each in request_headers(request, secret) if each[0] == "Dqtw-Mac"]
    forged = asked([*request_headers(evolve(request, **changed), None), *mac], secret)
    assert isinstance(forged, StreamRefused)
    assert forged.code == "unauthorized"


@pytest.mark.parametrize("changed", [{"node": "c"}, {"boot": "b2" * 16}, {"nonce": "M" * 32}])
def test_the_mac_of_an_answer_covers_every_field(changed: Any) -> None:
    mac = [each for each in answer_headers(Asked(request, secret), answer) if each[0] == "Dqtw-Mac"]
    headers = [*answer_headers(Asked(request, None), evolve(answer, **changed)), *mac]
    with pytest.raises(PeerFault, match="secret"):
        read_answer(values_of(headers), request, secret)


def test_an_answer_serves_one_request_only() -> None:
    headers = answer_headers(Asked(request, secret), answer)
    with pytest.raises(PeerFault):
        read_answer(values_of(headers), evolve(request, nonce="N" * 32), secret)


def test_an_answer_without_a_mac_is_a_fault_when_there_is_a_secret() -> None:
    with pytest.raises(PeerFault):
        read_answer(values_of(answer_headers(Asked(request, None), answer)), request, secret)


def test_the_mac_of_a_request_is_no_mac_of_an_answer() -> None:
    mac = [each for each in request_headers(request, secret) if each[0] == "Dqtw-Mac"]
    with pytest.raises(PeerFault):
        read_answer(values_of([*answer_headers(Asked(request, None), answer), *mac]), request, secret)


good = request_headers(request, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Dqtw-Cluster", ""),
        ("Dqtw-Cluster", "a b"),
        ("Dqtw-Cluster", "x" * 64),
        ("Dqtw-Node", "a.b"),
        ("Dqtw-Node", "\u00e9"),
        ("Dqtw-Boot", ""),
        ("Dqtw-Boot", "x" * 65),
        ("Dqtw-Url", "ftp://a"),
        ("Dqtw-Url", "http://a b"),
        ("Dqtw-Url", "http://" + "x" * 2049),
        ("Dqtw-Versions", ""),
        ("Dqtw-Versions", "2,"),
        ("Dqtw-Versions", "2," * 8 + "2"),
        ("Dqtw-Versions", "9999"),
        ("Dqtw-Versions", "\u0662"),
        ("Dqtw-Nonce", ""),
        ("Dqtw-Nonce", "a\nb"),
        ("Dqtw-Nonce", "n" * 32 + "\n"),
        ("Dqtw-Number", "-1"),
        ("Dqtw-Number", "1.5"),
        ("Dqtw-Number", str(2**53 + 1)),
        ("Dqtw-Number", "1" * 5000),
        ("Dqtw-To-Node", ""),
        ("Dqtw-To-Boot", "a b"),
        ("Dqtw-Mac", "0" * 63),
        ("Dqtw-Mac", "0" * 63 + "G"),
    ],
)
def test_a_malformed_header_is_refused(name: str, value: str) -> None:
    headers = [each for each in good if each[0] != name]
    for secrets in ((), (secret,)):
        assert asked([*headers, (name, value)], *secrets) == StreamRefused("bad_request", f"{name} is malformed") or (
            value == str(2**53 + 1)
        )


@pytest.mark.parametrize("name", [name for name, _ in good])
def test_a_repeated_header_is_refused_and_a_missing_one_unless_it_may_be_absent(name: str) -> None:
    assert isinstance(asked([*good, *good]), StreamRefused)
    read = asked([each for each in good if each[0] != name])
    if name in ("Dqtw-Url", "Dqtw-To-Boot"):
        assert isinstance(read, Asked)
    else:
        assert read == StreamRefused("bad_request", f"{name} is missing")


def test_a_number_that_is_too_great_is_refused() -> None:
    refused = asked(request_headers(evolve(request, number=2**53 + 1), None))
    assert refused == StreamRefused("bad_request", "Dqtw-Number is too great")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("wrong_cluster", 403),
        ("version", 400),
        ("unauthorized", 401),
        ("unknown_member", 403),
        ("wrong_node", 421),
        ("wrong_boot", 421),
        ("too_many", 429),
        ("replayed", 409),
        ("another", 503),
    ],
)
def test_a_refusal_is_a_problem_document(code: str, status: int) -> None:
    refused = StreamRefused(code, "because \u2026")
    made = refusal(refused)
    document = json.loads(made.body)
    assert (made.status, made.content_type) == (status, "application/problem+json")
    assert (document["status"], document["code"], document["detail"]) == (status, code, "because \u2026")
    assert read_refusal(made.body) == refused


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"<html>",
        b"[" * 100_000,
        b'{"code": "unauthorized", "detail": "a token is needed"}',
        b'{"code": 1, "detail": "", "versions": [2]}',
        b'{"code": "a b", "detail": "", "versions": [2]}',
        b'{"code": "full", "detail": null, "versions": [2]}',
        b'{"code": "full", "detail": "", "versions": [2]}' + b" " * refusal_bytes_max + b"x",
        b"1" * 10_000,
    ],
)
def test_any_other_document_is_no_refusal(body: bytes) -> None:
    assert read_refusal(body) is None or len(body) > refusal_bytes_max


def test_words_of_a_refusal_become_printable() -> None:
    read = read_refusal(b'{"code": "full", "detail": "a\\nb\\u001b[2J", "versions": [2]}')
    assert read == StreamRefused("full", "a?b?[2J")


def test_the_key_of_the_pieces_depends_on_secret_and_both_nonces() -> None:
    keys = {
        piece_key(secret, request, answer),
        piece_key(other, request, answer),
        piece_key(secret, evolve(request, nonce="N" * 32), answer),
        piece_key(secret, request, evolve(answer, nonce="M" * 32)),
    }
    assert len(keys) == 4
    assert all(key is not None and len(key) == 32 for key in keys)
    assert piece_key(None, request, answer) is None
