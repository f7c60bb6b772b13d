"""The file of the cluster's secret."""

from pathlib import Path

import pytest

from dqtw.net.peer.secret import BadSecret, PeerSecret

one, two = b"a secret of the cluster", b"another one, which is new"


def test_a_file_has_one_secret_or_two(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"  " + one + b"\t\r\n\n")
    secret = PeerSecret(path)
    assert list(secret.secrets) == [one]
    assert len(secret) == 1
    path.write_bytes(two + b"\n" + one)
    secret.reread()
    assert list(secret.secrets) == [two, one]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has 0 lines"),
        (b"\n \n", "has 0 lines"),
        (b"\n".join([one, two, one]), "has 3 lines"),
        (one + b"\n" + b"x" * 15, "fewer than 16 bytes"),
    ],
)
def test_a_bad_file_is_refused_and_leaves_the_secret_that_is_in_use(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(one)
    secret = PeerSecret(path)
    path.write_bytes(content)
    with pytest.raises(BadSecret, match=why):
        secret.reread()
    assert secret.secrets == (one,)
    with pytest.raises(BadSecret, match=why):
        PeerSecret(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSecret, match=r"can't read '[^']*secret': No such file"):
        PeerSecret(tmp_path / "secret")
