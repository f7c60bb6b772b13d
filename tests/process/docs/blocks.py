"""The fenced blocks of all documents, and which kind of test each belongs to."""

import re
import textwrap
from pathlib import Path
from typing import Final

from attrs import frozen

root: Final = Path(__file__).resolve().parents[3]
_fence: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)

# Blocks that show what something writes, or a picture; each with what keeps it true.
shown: Final = {
    "README.md": "the dialogue is sent line by line",
    "docs/explanation/architecture.md": "a picture",
    "docs/explanation/replication.md": "pictures",
    "docs/explanation/simulation.md": "the report of a failure that was mended",
    "docs/how-to/test-a-cluster.md": "compared with what the check prints",
    "docs/reference/options.md": "each line is provoked",
    "docs/reference/peer-protocol.md": "computed anew by the tests of the peer protocol",
    "examples/README.md": "compared with what the examples print",
}


@frozen
class Block:
    """One fenced block.

    Attributes:
        page: the document's path in the project.
        language: the word behind the fence; empty for none.
        text: what is between the fences.
        number: of the block on its page.
    """

    page: str
    language: str
    text: str
    number: int

    @property
    def name(self) -> str:
        """Return a name for a test's id."""
        return f"{Path(self.page).stem}-{self.language or 'plain'}-{self.number}"

    @property
    def kind(self) -> str:
        """Return what sort of test the block belongs to; empty if nothing tests it."""
        if self.language in ("console", "toml", "ini", "dockerfile", "yaml", "json"):
            return self.language
        if self.language == "python":
            return "python" if self.page == "docs/how-to/clients.md" else ""
        if self.language == "sh":
            return _kind_of_commands(self)
        if self.language in ("", "text"):
            return "dialogue" if self.is_dialogue else "shown" if shown.get(self.page) else ""
        return ""

    @property
    def is_dialogue(self) -> bool:
        """Return True if each line is marked as sent or received."""
        return all(line.startswith(("> ", "< ")) for line in self.text.splitlines())

    @property
    def commands(self) -> list[str]:
        """Return the block's command lines, each joined with those that continue it."""
        return re.sub(r" *\\\n *", " ", self.text).splitlines()


def _kind_of_commands(block: Block) -> str:
    words = {command.split(" ")[0] for command in block.commands}
    if block.page == "README.md":
        return "readme"  # tests/packaging
    if block.page == "examples/README.md":
        return "example"
    if block.page == "docs/how-to/cluster.md" or "dqtw.check run" in block.text:
        return "cluster"
    if "-m tests." in block.text:
        return "module"
    if "pip install" in block.text:
        return "installation"
    if words & {"apt", "apt-get", "docker", "kubectl", "sudo", "systemctl"}:
        return "elsewhere"  # needs another machine, or harms this one
    return "server" if "twistd -n" in block.text else "commands"


def pages() -> list[str]:
    """Return every document, as its path in the project."""
    found = [root / "README.md", root / "examples/README.md", *sorted((root / "docs").rglob("*.md"))]
    return [str(path.relative_to(root)) for path in found]


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page, in their order."""
    text = (root / page).read_text()
    return [
        Block(page, found["language"], textwrap.dedent(found["text"]), number)
        for number, found in enumerate(_fence.finditer(text))
    ]


def blocks(*kinds: str) -> list[Block]:
    """Return every block of these kinds, or of any."""
    return [block for page in pages() for block in blocks_of(page) if not kinds or block.kind in kinds]
