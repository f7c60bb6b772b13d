"""The secret that all nodes of a cluster share, and its file."""

from pathlib import Path
from typing import Final

secret_bytes_min: Final = 16


class BadSecret(Exception):
    """The file has no usable secret; the message says why."""


class PeerSecret:
    """The secret of a cluster; two while it is changed: the first signs, both are accepted.

    Attributes:
        secrets: one or two.
    """

    def __init__(self, path: Path) -> None:
        """Read the file: one secret a line; white space around it does not count.

        Raises:
            BadSecret: it can't be read, or a line is too short to be a secret, or there are more than two.
        """
        self.secrets: tuple[bytes, ...] = ()
        self._path = path
        self.reread()

    def reread(self) -> None:
        """Read the file again; a failure leaves the secrets as they were.

        Raises:
            BadSecret: as above.
        """
        path = str(self._path)
        try:
            secrets = [line.strip() for line in self._path.read_bytes().splitlines() if line.strip()]
        except OSError as error:
            raise BadSecret(f"can't read {path!r}: {error.strerror}") from None
        if len(secrets) not in (1, 2):
            raise BadSecret(f"{path!r} has {len(secrets)} lines; it must have one secret, or two while it is changed")
        if min(map(len, secrets)) < secret_bytes_min:
            raise BadSecret(f"{path!r} has a secret of fewer than {secret_bytes_min} bytes")
        self.secrets = tuple(secrets)

    def __len__(self) -> int:
        return len(self.secrets)
