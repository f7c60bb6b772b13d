"""Where the blocks of a document are run: a directory and free ports, in place of the files and ports that it shows."""

import os
import re
import sys
from pathlib import Path

from attrs import define, field

from tests.authority import Authority
from tests.process.node import clean_environment, free_ports

_ports = r"(?:80[89]|77|84|90)\d{1,2}"
_address = re.compile(rf"(?:\b10\.0\.0\.(\d+)|\b127\.0\.0\.1|\blocalhost|\*)([: ])({_ports})\b")
_listener = re.compile(rf"\b(tcp|ssl|tls):({_ports})\b(?!\S*interface)")
_endpoint = re.compile(rf"\b(tcp|ssl|tls):({_ports})\b")
_file = re.compile(r"/etc/(?:letsencrypt/live/[\w.-]+|dqtw)(?=[/\s]|$)|/run/dqtw")


@define
class Place:
    """A directory and the ports that stand for those of the documents.

    Attributes:
        directory: where commands are run; it stands for `/etc/dqtw`, too.
        ports: a documented host and port to a free one.
    """

    directory: Path
    ports: dict[tuple[str, str], int] = field(factory=dict)

    def port(self, host: str, port: str | int) -> int:
        """Return the port that stands for a documented one."""
        key = (host, str(port))
        if key not in self.ports:
            (self.ports[key],) = free_ports(1)
        return self.ports[key]

    def here(self, text: str, host: str = "") -> str:
        """Return the text with what stands for its addresses, ports and files.

        Args:
            text: of a block.
            host: the documented address of the machine that the text is for; empty for this one.
        """
        text = _listener.sub(r"\1:\2:interface=127.0.0.1", text)
        text = _endpoint.sub(lambda found: f"{found[1]}:{self.port(host, found[2])}", text)
        text = _address.sub(lambda found: self._address(found, host), text)
        return _file.sub(str(self.directory), text).replace("/opt/dqtw/bin/", "")

    def _address(self, found: re.Match[str], host: str) -> str:
        named = f"10.0.0.{found[1]}" if found[1] else host
        return f"127.0.0.1{found[2]}{self.port(named, found[3])}"

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of commands: this project's programs first, and no proxy."""
        programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        return clean_environment({"PATH": programs, "NO_PROXY": "*", "no_proxy": "*", **more})

    def default_listeners(self) -> dict[str, str]:
        """Return the variables that move a server's default listeners."""
        return {
            "DQTW_HTTP": f"tcp:{self.port('', 8080)}:interface=127.0.0.1",
            "DQTW_LINE": f"tcp:{self.port('', 7711)}:interface=127.0.0.1",
        }

    def add_files(self) -> None:
        """Write the certificates, tokens and secrets that the documents name."""
        authority = Authority.make()
        server = authority.server()
        authority.write(self.directory, server)
        for name, content in (
            ("key.pem", server.key_pem),
            ("ca.pem", authority.root.pem),
            ("tokens", b"a-token-that-is-long-enough\n"),
            ("secret", b"a-secret-that-is-long-enough\n"),
        ):
            (self.directory / name).write_bytes(content)
            (self.directory / name).chmod(0o600)
