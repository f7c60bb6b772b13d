"""Who may come in: bearer tokens from a file."""

import hmac
from hashlib import sha256
from pathlib import Path
from typing import Final

token_chars_max: Final = 1024


class BadTokens(Exception):
    """The file has no usable tokens; why, in words."""


class Tokens:
    """The tokens of a file, one a line; blank lines and lines that start with # are none.

    Only their digests are kept, and a token is compared with all of them, in the same time whichever it is.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            BadTokens: it can't be read, or has no token.
        """
        self._path = path
        self._digests = _read(path)

    def __len__(self) -> int:
        return len(self._digests)

    def reread(self) -> None:
        """Read the file again; what fails leaves the tokens as they were.

        Raises:
            BadTokens: it can't be read, or has no token.
        """
        self._digests = _read(self._path)

    def admit(self, token: bytes | str) -> bool:
        """Whether this is one of the tokens; each door has them in its own form."""
        digest = sha256(token if isinstance(token, bytes) else token.encode(errors="replace")).digest()
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0  # no early end


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadTokens(f"can't read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadTokens(f"{str(path)!r} is not UTF-8") from None
    tokens = [token for line in lines if (token := line.strip()) and not token.startswith("#")]
    if not tokens:
        raise BadTokens(f"{str(path)!r} has no token")
    for token in tokens:
        _check(path, token)
    return tuple(sha256(token.encode()).digest() for token in tokens)


def _check(path: Path, token: str) -> None:
    if len(token) > token_chars_max or not token.isascii() or not token.isprintable() or " " in token:
        raise BadTokens(f"{str(path)!r} has a token that is no single word of printable ASCII, or is too long")
