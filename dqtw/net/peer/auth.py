"""Whether a request comes from a node of the cluster, and an answer from the node that was asked.

With a secret, a request tells its time, a nonce, its body's digest, and an HMAC over these and over where it goes. As
the head alone can be judged, nobody without the secret gets as far as sending a body. An answer tells its body's digest
and an HMAC over that and over the request's own, so that it can't serve another request.

The wall clock is looked at only for requests outside of a session. Inside one its token is the nonce, and all that is
said may be said twice.
"""

import hmac
import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

from attrs import frozen

from dqtw.core.model.errors import PeerFault, Unauthorized
from dqtw.wire.peer.kinds import Data

auth_header: Final = "Dqtw-Auth"
window_ms: Final = 60_000
remembered_max: Final = 2**18
nonce_bytes: Final = 16
secret_bytes_min: Final = 16

_credentials_pattern = re.compile(rb"([0-9]{1,15}) ([0-9a-f]{32}) ([0-9a-f]{64}) ([0-9a-f]{64})")
_answer_pattern = re.compile(rb"([0-9a-f]{64}) ([0-9a-f]{64})")


class BadSecret(Exception):
    """The file has no usable secret; why, in words."""


class PeerSecret:
    """What all nodes of a cluster know and nobody else does.

    While it is changed there are two: this node signs with the first, and accepts what is signed with either.
    """

    def __init__(self, *secrets: bytes) -> None:
        self._keyed = _keyed(secrets)
        self._path: Path | None = None

    @classmethod
    def read(cls, path: Path) -> "PeerSecret":
        """Read the file: one secret a line; white space around it does not count.

        Raises:
            BadSecret: it can't be read, or a line is too short to be a secret, or there are more than two.
        """
        secret = cls()
        secret._path = path
        secret.reread()
        return secret

    def reread(self) -> None:
        """Read the file again; a failure leaves the secrets as they were.

        Raises:
            BadSecret: as above.
        """
        if self._path is not None:
            self._keyed = _keyed(_read_secrets(self._path))

    def __len__(self) -> int:
        return len(self._keyed)

    def mac(self, *parts: str) -> str:
        """Return the HMAC-SHA256 over parts that have no newline in them."""
        return _mac(self._keyed[0], parts)

    def made(self, mac: str, *parts: str) -> bool:
        """Return True if the HMAC over these parts was made with one of the secrets."""
        return sum(hmac.compare_digest(mac, _mac(keyed, parts)) for keyed in self._keyed) > 0  # no early end


def _keyed(secrets: Sequence[bytes]) -> "tuple[hmac.HMAC, ...]":
    return tuple(hmac.new(secret, digestmod=sha256) for secret in secrets)


def _mac(keyed: "hmac.HMAC", parts: Sequence[str]) -> str:
    keyed = keyed.copy()
    keyed.update("\n".join(parts).encode())
    return keyed.hexdigest()


def _read_secrets(path: Path) -> list[bytes]:
    try:
        secrets = [line.strip() for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise BadSecret(f"can't read {str(path)!r}: {error.strerror}") from None
    if len(secrets) not in (1, 2):
        raise BadSecret(f"{str(path)!r} has {len(secrets)} lines; it must have one secret, or two while it is changed")
    if min(map(len, secrets)) < secret_bytes_min:
        raise BadSecret(f"{str(path)!r} has a secret of fewer than {secret_bytes_min} bytes")
    return secrets


@frozen
class Credentials:
    """What a request shows.

    Attributes:
        time_ms: the asker's wall clock, milliseconds since 1970.
        nonce: random, so that no two requests are alike.
        digest: SHA-256 of the body.
        mac: over all of these, the path, and the node that is asked.
    """

    time_ms: int
    nonce: str
    digest: str
    mac: str

    @classmethod
    def parse(cls, values: Sequence[bytes]) -> "Credentials":
        """Read the header's values.

        Raises:
            Unauthorized: there is not exactly one, or it is of another form.
        """
        if not values:
            raise Unauthorized("this node has a peer secret (--peer-secret-file), and the asker has none")
        found = _credentials_pattern.fullmatch(values[0]) if len(values) == 1 else None
        if found is None:
            raise Unauthorized(f"{auth_header} has another form than is expected")
        return cls(int(found[1]), *(found[each].decode() for each in (2, 3, 4)))

    def header(self) -> str:
        """Write the header's value."""
        return f"{self.time_ms} {self.nonce} {self.digest} {self.mac}"


class Signer:
    """The asker's side.

    Args:
        secret: the cluster's.
        wall_s: the wall clock, in seconds since 1970.
        entropy: gives as many random bytes as asked for.
    """

    def __init__(self, secret: PeerSecret, wall_s: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._secret = secret
        self._wall_s = wall_s
        self._entropy = entropy

    def sign(self, path: str, to: str, body: Data) -> Credentials:
        """Show knowledge of the secret to the node ``to``, for a request of this path and body."""
        time_ms, nonce, digest = int(self._wall_s() * 1000), self._entropy(nonce_bytes).hex(), _digest(body)
        mac = self._secret.mac(*_request_parts(path, to, time_ms, nonce, digest))
        return Credentials(time_ms, nonce, digest, mac)

    def check_head(self, asked: Credentials, status: int, values: Sequence[bytes]) -> str:
        """Judge an answer by its head; the digest that its body must have.

        Raises:
            PeerFault: whoever answered does not know the secret, or did not answer this request.
        """
        found = _answer_pattern.fullmatch(values[0]) if len(values) == 1 else None
        if found is None:
            raise PeerFault("the answer shows no knowledge of this cluster's secret")
        digest, mac = found[1].decode(), found[2].decode()
        if not self._secret.made(mac, *_answer_parts(asked, status, digest)):
            raise PeerFault("the answer's HMAC is wrong")
        return digest

    def check_body(self, digest: str, body: Data) -> None:
        """Judge an answer by its body.

        Raises:
            PeerFault: it is not what was signed.
        """
        if not hmac.compare_digest(digest, _digest(body)):
            raise PeerFault("the answer's body was changed on its way")


class Verifier:
    """The answerer's side: every request is judged by its head, and then by its body."""

    def __init__(self, secret: PeerSecret, wall_s: Callable[[], float]) -> None:
        self._secret = secret
        self._wall_s = wall_s
        self._seen = Seen()

    def check_head(self, path: str, to: str, values: Sequence[bytes], *, must_be_fresh: bool) -> Credentials:
        """Judge a request by its head.

        Raises:
            Unauthorized: the asker does not know the secret, or the request is too old.
        """
        shown = Credentials.parse(values)
        if not self._secret.made(shown.mac, *_request_parts(path, to, shown.time_ms, shown.nonce, shown.digest)):
            raise Unauthorized("the request's HMAC is wrong: are the nodes' secrets the same?")
        if must_be_fresh:
            self._check_time(shown)
        return shown

    def check_body(self, shown: Credentials, body: Data, *, must_be_fresh: bool) -> None:
        """Judge a request, whose head was good, by its body.

        Raises:
            Unauthorized: it is not what was signed, or the very same request came before.
        """
        if not hmac.compare_digest(shown.digest, _digest(body)):
            raise Unauthorized("the request's body was changed on its way")
        if must_be_fresh and not self._seen.add(self._now_ms(), shown.time_ms, shown.mac):
            raise Unauthorized("this very request came before")

    def sign(self, asked: Credentials, status: int, body: Data) -> str:
        """Show knowledge of the secret to the asker: the header's value."""
        digest = _digest(body)
        return f"{digest} {self._secret.mac(*_answer_parts(asked, status, digest))}"

    def _check_time(self, shown: Credentials) -> None:
        off_ms = shown.time_ms - self._now_ms()
        if abs(off_ms) > window_ms:
            raise Unauthorized(
                f"the request's time is {off_ms / 1000:+.1f} s off this node's clock; "
                f"nodes' clocks may differ by {window_ms // 1000} s"
            )

    def _now_ms(self) -> int:
        return int(self._wall_s() * 1000)


class Seen:
    """The requests that came within the window, so that none counts twice.

    When there are too many (thousands in each second), those with the oldest times are forgotten, and nothing as old as
    they were is taken any more: the window becomes shorter, never open.
    """

    def __init__(self, remembered_max: int = remembered_max) -> None:
        self._remembered_max = remembered_max
        self._macs: set[str] = set()
        self._by_time: list[tuple[int, str]] = []
        self._forgotten_ms = 0

    def __len__(self) -> int:
        return len(self._macs)

    def add(self, now_ms: int, time_ms: int, mac: str) -> bool:
        """Remember a request; False when it came before, or may have come before."""
        self._forget(now_ms - window_ms)
        if time_ms <= self._forgotten_ms or mac in self._macs:
            return False
        self._macs.add(mac)
        heappush(self._by_time, (time_ms, mac))
        if len(self._macs) > self._remembered_max:
            self._forget_oldest()
        return True

    def _forget(self, before_ms: int) -> None:
        while self._by_time and self._by_time[0][0] < before_ms:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._forgotten_ms, mac = heappop(self._by_time)
        self._macs.discard(mac)


def _digest(body: Data) -> str:
    return sha256(body).hexdigest()


def _request_parts(path: str, to: str, time_ms: int, nonce: str, digest: str) -> tuple[str, ...]:
    return "dqtw peer request", "POST", path, to, str(time_ms), nonce, digest


def _answer_parts(asked: Credentials, status: int, digest: str) -> tuple[str, ...]:
    return "dqtw peer answer", asked.mac, str(status), digest
