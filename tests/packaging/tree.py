"""A copy of this project's files, and fresh environments to install it into."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.process.node import clean_environment

root = Path(__file__).resolve().parents[2]
left_out = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", "dropin.cache", "build", "dist", "twistd.*"
)
install_seconds_max = 300


def copy_of_the_tree(to: Path) -> Path:
    """The project as a fresh clone would be, as installing and building may leave files behind."""
    shutil.copytree(root, to, ignore=left_out)
    return to


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command to its end; what it writes to standard output. Tells all it wrote when it fails."""
    ran = subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=install_seconds_max,
        check=False,
    )
    assert ran.returncode == 0, f"{command} ended with {ran.returncode}:\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def fresh_environment(directory: Path) -> Path:
    """A new virtual environment; where its programs are."""
    run(sys.executable, "-m", "venv", directory, cwd=directory.parent)
    return directory / "bin"


def plain_path() -> str:
    """The search path without the environment that the tests run in, as a person's shell has it."""
    own = str(Path(sys.executable).parent)
    return os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own)


def blocks_of(document: str) -> list[str]:
    """The shell commands in a document, one text for each block."""
    return re.findall(r"^```sh\n(.*?)^```", (root / document).read_text(), re.MULTILINE | re.DOTALL)
