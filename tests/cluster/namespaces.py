"""A network namespace for each node, in which a packet filter can part them as a real network would.

The hub is a namespace with a bridge, where clients run; each node's namespace has one cable to it. All of them are made
here and taken away again.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from attrs import frozen


@cache
def why_not() -> str:
    """Why this machine does not allow it; empty when it does."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("ip", "nft") if shutil.which(name) is None]
    if missing:
        return f"needs {' and '.join(missing)}"
    name = f"dqtw{os.getpid()}-try"
    if failed := _failed("ip", "netns", "add", name):
        return f"can't make a network namespace: {failed}"
    try:
        failed = _failed("ip", "netns", "exec", name, "nft", "add", "table", "inet", "cut")
        return f"can't filter packets: {failed}" if failed else ""
    finally:
        _ip("netns", "del", name)


def _failed(*command: str) -> str:
    """What a command says that fails; empty when it does not."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ran.stderr.strip() or f"status {ran.returncode}") if ran.returncode else ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@frozen
class Namespaces:
    """The namespaces of one cluster.

    Attributes:
        prefix: what their names begin with.
        ids: of the nodes.
    """

    prefix: str
    ids: Sequence[str]

    @property
    def hub(self) -> str:
        return f"{self.prefix}-hub"

    def of(self, id: str) -> str:
        return f"{self.prefix}-{id}"

    def address(self, id: str) -> str:
        """A node's address in this network."""
        return f"10.77.0.{1 + self.ids.index(id)}"

    def inside(self, namespace: str, *command: str) -> list[str]:
        """The command that runs another one in a namespace, as the same process."""
        return ["ip", "netns", "exec", namespace, *command]

    def make(self) -> None:
        _ip("netns", "add", self.hub)
        _ip("-n", self.hub, "link", "add", "hub", "type", "bridge")
        _ip("-n", self.hub, "addr", "add", "10.77.0.254/24", "dev", "hub")
        for link in ("lo", "hub"):
            _ip("-n", self.hub, "link", "set", link, "up")
        for id in self.ids:
            self._make(id)

    def _make(self, id: str) -> None:
        name = self.of(id)
        _ip("netns", "add", name)
        _ip("-n", name, "link", "add", "net", "type", "veth", "peer", "name", f"to-{id}", "netns", self.hub)
        _ip("-n", name, "addr", "add", f"{self.address(id)}/24", "dev", "net")
        for link in ("lo", "net"):
            _ip("-n", name, "link", "set", link, "up")
        _ip("-n", self.hub, "link", "set", f"to-{id}", "master", "hub", "up")
        self._filter(id, "add table inet cut; add chain inet cut in { type filter hook input priority 0; }")

    def _filter(self, id: str, rules: str) -> None:
        subprocess.run(self.inside(self.of(id), "nft", rules), check=True, capture_output=True)

    def cut(self, source: str, target: str) -> None:
        """Let no packet of one node arrive at another."""
        self._filter(target, f"add rule inet cut in ip saddr {self.address(source)} drop")

    def heal(self) -> None:
        for id in self.ids:
            self._filter(id, "flush chain inet cut in")

    def remove(self) -> None:
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            name = line.split(" ")[0]
            if name in (self.hub, *map(self.of, self.ids)):
                _ip("netns", "del", name)


@contextmanager
def namespaces(*ids: str) -> Iterator[Namespaces]:
    """Namespaces for these nodes, for as long as they are needed."""
    made = Namespaces(f"dqtw{os.getpid()}", ids)
    try:
        made.make()
        yield made
    finally:
        made.remove()
