"""The values that clients write as text."""

import pytest

from dqtw.core.model.errors import BadRequest
from dqtw.wire.values import format_seconds, parse_content_type, parse_key, parse_lease, parse_seconds


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("30", 30), ("0.25", 0.25), ("007", 7), ("9" * 32, 1e32)])
def test_seconds_are_plain_decimals(text: str, seconds: float) -> None:
    assert parse_seconds("wait", text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "+1",
        "1e3",
        "nan",
        "inf",
        "1.",
        ".5",
        "1.5.5",
        "1,5",
        "1_0",
        " 1",
        "1 ",
        "1\n",
        "0x1",
        "٣",
        "\xb2",
        "1" * 33,
    ],
)
def test_anything_else_is_bad_request(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_seconds("wait", text)
    assert refused.value.detail.startswith(f"wait: {text!a} is not a number of seconds such as 30 or 0.25 ")


@pytest.mark.parametrize("text", ["0", "0.0", "00", "-1"])
def test_a_lease_is_longer_than_0(text: str) -> None:
    assert parse_lease("0.001") == 0.001
    with pytest.raises(BadRequest, match=f"lease: '{text}' is not "):
        parse_lease(text)


def test_a_refusal_repeats_the_value_within_bounds() -> None:
    for parse in (parse_key, parse_content_type, parse_lease):
        with pytest.raises(BadRequest) as refused:
            parse("\U0001f469" + "x" * 5000)
        assert "'\\U0001f469xxx" in refused.value.detail
        assert len(refused.value.detail) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0"), (60.0, "60"), (0.1, "0.1"), (1e-7, "0.0000001"), (1e22, "1" + "0" * 22)],
)
def test_seconds_are_written_short_and_without_exponent(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize("key", ["k", "a b", "schlüssel", "👩‍🚀", "k" * 255])
def test_a_key_is_any_printable_text(key: str) -> None:
    assert parse_key(key) == key


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", "\x00", "\x7f", "\x85", "\u2028", "\ud800"])
def test_a_key_has_no_control_characters(key: str) -> None:
    with pytest.raises(BadRequest):
        parse_key(key)


@pytest.mark.parametrize("kind", ["text/plain", "text/plain; charset=utf-8", "x" * 255])
def test_a_content_type_is_printable_ascii(kind: str) -> None:
    assert parse_content_type(kind) == kind


@pytest.mark.parametrize("kind", ["", "x" * 256, "a\r\nB: c", "a\tb", "é", "a\n", "\x7f"])
def test_a_content_type_can_not_inject_a_header(kind: str) -> None:
    with pytest.raises(BadRequest):
        parse_content_type(kind)
