"""Nodes that are not as they should be."""

import sys
from pathlib import Path

from tests.cluster.cluster import root

_program = """#!{python}
import sys

sys.path.insert(0, {root!r})
{patch}
from twisted.scripts.twistd import run

run()
"""


def patched_twistd(path: Path, patch: str) -> str:
    """Write a twistd that runs some Python before it starts; its path."""
    path.write_text(_program.format(python=sys.executable, root=str(root), patch=patch))
    path.chmod(0o755)
    return str(path)
