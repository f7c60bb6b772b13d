"""Which files hold usable tokens, and which tokens are let in."""

from pathlib import Path

import pytest

from dqtw.net.tokens import BadTokens, Tokens


def tokens(directory: Path, content: bytes) -> Tokens:
    path = directory / "tokens"
    path.write_bytes(content)
    return Tokens(path)


def test_each_line_is_a_token(tmp_path: Path) -> None:
    known = tokens(tmp_path, b"# comment\n one \r\n\ntwo")
    assert len(known) == 2
    assert known.admit(b"one")
    assert known.admit(b"two")
    assert not any(map(known.admit, (b"", b"on", b"ones", b"# comment", b" one ", b"\xff", b"one\ntwo")))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has no token"),
        (b"#\n \n", "has no token"),
        (b"two words", "no single word"),
        (b"\xff\xfe", "is not UTF-8"),
        ("ä".encode(), "no single word"),
        (b"x" * 2000, "too long"),
    ],
)
def test_a_file_without_usable_tokens_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(BadTokens, match=why):
        tokens(tmp_path, content)


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTokens, match="Is a directory"):
        Tokens(tmp_path)


def test_rereading_takes_what_is_there_now_or_nothing(tmp_path: Path) -> None:
    known = tokens(tmp_path, b"old")
    (tmp_path / "tokens").write_text("")
    with pytest.raises(BadTokens):
        known.reread()
    assert known.admit(b"old")
    (tmp_path / "tokens").write_text("new")
    known.reread()
    assert known.admit(b"new")
    assert not known.admit(b"old")
