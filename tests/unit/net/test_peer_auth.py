"""Who is a node of the cluster: what a request shows, and for how long it may be shown."""

import re
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from dqtw.core.model.errors import PeerFault, Unauthorized
from dqtw.net.peer.auth import BadSecret, Credentials, PeerSecret, Seen, Signer, Verifier, window_ms

path, body = "/peer/v1/forward", b"body"


class Wall:
    """A wall clock to be set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Pair:
    """An asker and an answerer."""

    def __init__(self, asker: bytes = b"s" * 16, answerer: bytes = b"s" * 16) -> None:
        self.asker_wall, self.answerer_wall = Wall(), Wall()
        self.signer = Signer(PeerSecret(asker), self.asker_wall, Random(1).randbytes)
        self.verifier = Verifier(PeerSecret(answerer), self.answerer_wall)

    def shown(self) -> Credentials:
        """What the asker shows for a request to the node b."""
        return self.signer.sign(path, "b", body)

    def judge(
        self,
        shown: Credentials,
        at: str = path,
        to: str = "b",
        received: bytes = body,
        *,
        must_be_fresh: bool = True,
    ) -> None:
        """Judge a request as the door does."""
        values = [shown.header().encode()]
        head = self.verifier.check_head(at, to, values, must_be_fresh=must_be_fresh)
        self.verifier.check_body(head, received, must_be_fresh=must_be_fresh)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_a_request_of_a_node_that_knows_the_secret_is_taken(pair: Pair) -> None:
    """Nodes with the same secret form a cluster."""
    pair.judge(pair.shown())


def test_a_request_with_another_secret_is_refused() -> None:
    """An operator who mistyped a secret is told so."""
    pair = Pair(asker=b"t" * 16)
    with pytest.raises(Unauthorized, match="secrets the same"):
        pair.judge(pair.shown())


def test_a_request_serves_the_path_and_the_node_that_it_was_made_for(pair: Pair) -> None:
    """What was recorded on its way to one node is of no use with another."""
    with pytest.raises(Unauthorized):
        pair.judge(pair.shown(), at="/peer/v1/open")
    with pytest.raises(Unauthorized):
        pair.judge(pair.shown(), to="c")


def test_a_changed_body_is_refused(pair: Pair) -> None:
    """Nobody on the way can change a message."""
    with pytest.raises(Unauthorized, match="changed on its way"):
        pair.judge(pair.shown(), received=b"Body")


@pytest.mark.parametrize("off_s", [-60.5, 60.5, 1e6])
def test_a_request_whose_time_is_off_is_refused_outside_of_a_session(pair: Pair, off_s: float) -> None:
    """A recorded request is of no use later, and an operator whose clocks differ is told by how much."""
    pair.asker_wall.now += off_s
    with pytest.raises(Unauthorized, match=re.escape(f"{off_s:+.1f} s")):
        pair.judge(pair.shown())


@pytest.mark.parametrize("off_s", [-59.5, 59.5])
def test_clocks_may_differ_by_a_minute(pair: Pair, off_s: float) -> None:
    """A cluster does not need well-set clocks."""
    pair.asker_wall.now += off_s
    pair.judge(pair.shown())


def test_inside_a_session_no_clock_is_looked_at(pair: Pair) -> None:
    """A clock that jumps ends no session: its token is the nonce, and what is said there may be said twice."""
    pair.asker_wall.now += 1e6
    shown = pair.shown()
    pair.judge(shown, must_be_fresh=False)
    pair.judge(shown, must_be_fresh=False)


def test_the_same_request_is_refused_the_second_time(pair: Pair) -> None:
    """Who records a forwarded push can't push it again."""
    shown = pair.shown()
    pair.judge(shown)
    with pytest.raises(Unauthorized, match="came before"):
        pair.judge(shown)


def test_two_requests_that_ask_the_same_are_two(pair: Pair) -> None:
    """Two clients may want the same at the same moment."""
    pair.judge(pair.shown())
    pair.judge(pair.shown())


@pytest.mark.parametrize("header", [b"", b"1 2 3 4", b"-1 " + b"0" * 32, b"\xff", b"1" * 16 + b" x"])
def test_a_header_of_another_form_is_refused(pair: Pair, header: bytes) -> None:
    """Nobody gets further with what is no proof."""
    with pytest.raises(Unauthorized):
        pair.verifier.check_head(path, "b", [header], must_be_fresh=True)


def test_a_request_without_proof_or_with_two_is_refused(pair: Pair) -> None:
    """An operator who forgot the secret on one node is told so."""
    with pytest.raises(Unauthorized, match="--peer-secret-file"):
        pair.verifier.check_head(path, "b", [], must_be_fresh=True)
    with pytest.raises(Unauthorized):
        pair.verifier.check_head(path, "b", [pair.shown().header().encode()] * 2, must_be_fresh=True)


# Answers


def test_an_answer_is_taken_for_the_request_that_it_answers(pair: Pair) -> None:
    """What a node answered is what the asker hears."""
    asked = pair.shown()
    signature = pair.verifier.sign(asked, 200, b"answer")
    pair.signer.check_body(pair.signer.check_head(asked, 200, [signature.encode()]), b"answer")


def test_an_answer_to_another_request_is_refused(pair: Pair) -> None:
    """A recorded answer can't make an owner believe that a push is held."""
    signature = pair.verifier.sign(pair.shown(), 200, b"answer").encode()
    with pytest.raises(PeerFault, match="HMAC"):
        pair.signer.check_head(pair.shown(), 200, [signature])


def test_an_answer_with_another_status_body_or_form_is_refused(pair: Pair) -> None:
    """Nobody on the way can change an answer."""
    asked = pair.shown()
    signature = pair.verifier.sign(asked, 200, b"answer").encode()
    with pytest.raises(PeerFault):
        pair.signer.check_head(asked, 400, [signature])
    with pytest.raises(PeerFault):
        pair.signer.check_body(pair.signer.check_head(asked, 200, [signature]), b"Answer")
    for values in ([], [b"x"], [signature, signature]):
        with pytest.raises(PeerFault, match="no knowledge"):
            pair.signer.check_head(asked, 200, values)


# What is remembered


def test_what_left_the_window_is_forgotten() -> None:
    """A node that runs for years remembers a minute."""
    seen = Seen()
    for n in range(1, 1000):
        assert seen.add(n * 1000, n * 1000, str(n))
    assert len(seen) <= window_ms / 1000 + 1


def test_past_its_bound_the_window_becomes_shorter_and_not_open() -> None:
    """Whoever floods a node with forwards can't make room to repeat one."""
    seen = Seen(remembered_max=10)
    assert all(seen.add(20, n, str(n)) for n in range(1, 21))
    assert len(seen) == 10
    assert not seen.add(20, 5, "5")
    assert not seen.add(20, 10, "another one as old")
    assert not seen.add(20, 20, "20")
    assert seen.add(20, 20, "another one of now")


# The file


def test_the_secret_is_read_without_the_white_space_around_it(tmp_path: Path) -> None:
    """An editor's newline at the end makes no other secret."""
    file = tmp_path / "secret"
    file.write_bytes(b" 0123456789abcdef\n")
    assert PeerSecret.read(file).mac("x") == PeerSecret(b"0123456789abcdef").mac("x")


def test_a_secret_that_is_none_is_refused(tmp_path: Path) -> None:
    """An empty or missing file does not make a cluster that anybody may join."""
    with pytest.raises(BadSecret, match="can't read"):
        PeerSecret.read(tmp_path / "none")
    (tmp_path / "short").write_bytes(b"0123456789abcde\n")
    with pytest.raises(BadSecret, match="fewer than 16"):
        PeerSecret.read(tmp_path / "short")
    for count in (0, 3):
        (tmp_path / "many").write_bytes(b"0123456789abcdef\n\n" * count)
        with pytest.raises(BadSecret, match=f"has {count} lines"):
            PeerSecret.read(tmp_path / "many")


def test_a_file_that_can_not_be_read_again_leaves_the_secrets_as_they_were(tmp_path: Path) -> None:
    """A slip while the secret is changed does not part a node from its cluster."""
    file = tmp_path / "secret"
    file.write_bytes(b"0123456789abcdef")
    secret = PeerSecret.read(file)
    mac = secret.mac("x")
    file.write_bytes(b"short")
    with pytest.raises(BadSecret):
        secret.reread()
    assert secret.mac("x") == mac
    file.write_bytes(b"fedcba9876543210\n0123456789abcdef\n")
    secret.reread()
    assert len(secret) == 2
    assert secret.mac("x") != mac
    assert secret.made(mac, "x")


steps = ("old", "old new", "new old", "new")


@pytest.mark.parametrize(("asker", "answerer"), [*pairwise(steps), *pairwise(steps[::-1])])
def test_nodes_that_are_one_step_of_a_change_apart_understand_each_other(asker: str, answerer: str) -> None:
    """The new secret comes behind the old one, then in front of it, then remains alone; no link breaks on the way."""
    known = {"old": b"o" * 16, "new": b"n" * 16}
    pair = Pair()
    pair.signer = Signer(PeerSecret(*map(known.__getitem__, asker.split())), pair.asker_wall, Random(1).randbytes)
    pair.verifier = Verifier(PeerSecret(*map(known.__getitem__, answerer.split())), pair.answerer_wall)
    asked = pair.shown()
    pair.judge(asked)
    signature = pair.verifier.sign(asked, 200, b"answer").encode()
    pair.signer.check_body(pair.signer.check_head(asked, 200, [signature]), b"answer")
