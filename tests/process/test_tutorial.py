"""The tutorial's commands, typed; what it says is answered, answered."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.node import clean_environment, free_ports

document = Path(__file__).resolve().parents[2] / "docs/tutorial.md"
seconds_max = 60

pytestmark = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("bash", "curl", "nc")), reason="needs bash, curl and nc"
)


def steps() -> list[tuple[str, str]]:
    """Each command, which may have many lines, and what stands below it."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            command, answer = found[-1] if found else ("", "")
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif line.startswith("> "):
                found[-1] = (f"{command}\n{line[2:]}", answer)
            else:
                found[-1] = (command, f"{answer}{line}\n")
    return found


def type_in(commands: list[str], directory: Path) -> list[str]:
    """Run the commands in one shell, its jobs as a person's, and a server on ports of its own; what each writes."""
    http_port, line_port = free_ports(2)
    script = "set -m\n" + "".join(f"{command}\nprintf '\\0'\n" for command in commands)
    ran = subprocess.run(
        ["bash", "-c", script.replace(":8080", f":{http_port}").replace("1 7711", f"1 {line_port}")],
        cwd=directory,
        env=clean_environment(
            {
                "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
                "NO_PROXY": "*",
                "no_proxy": "*",
                "DQTW_HTTP": f"tcp:{http_port}:interface=127.0.0.1",
                "DQTW_LINE": f"tcp:{line_port}:interface=127.0.0.1",
            }
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # where the shell tells of jobs that end
        text=True,
        timeout=seconds_max,
        check=False,
    )
    return ran.stdout.replace("\r", "").split("\0")[:-1]


def alike(answer: str) -> str:
    """The answer without what differs from one time to the next."""
    answer = re.sub(r"0[0-9A-HJKMNP-TV-Z]{25}", "(incarnation)", answer)
    answer = re.sub(r"(\(incarnation\)\.[0-9]+)\.[0-9a-z]+", r"\1.(token)", answer)
    answer = re.sub(r'"age":[0-9.]+', '"age":(seconds)', answer)
    return re.sub(r"^Date: .*$", "Date: (now)", answer, flags=re.MULTILINE)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory to type in; a server that was left running there is stopped."""
    yield tmp_path
    pid_file = tmp_path / "twistd.pid"
    if pid_file.exists():
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_every_command_of_the_tutorial_is_answered_as_it_says(directory: Path) -> None:
    commands, expected = zip(*steps(), strict=True)
    answers = type_in(list(commands), directory)
    assert len(answers) == len(commands)
    for command, answer, wanted in zip(commands, answers, expected, strict=True):
        assert alike(answer) == alike(wanted), command
