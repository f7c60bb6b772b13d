"""A shell into which commands are typed one by one, and answers compared with those that a document shows."""

import os
import re
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from attrs import define, field

seconds_max = 60.0

# What differs from one time to the next: incarnations and the tokens of receipts, and what is left open.
_different = re.compile(
    r"(?P<name>0[0-9A-HJKMNP-TV-Z]{25}|(?<=\.)[0-9a-f]{13,16}\b)"
    r"|(?P<any>…|(?<=Date: ).+|(?<=\"age\":)[0-9.]+|(?<=dqtw )\d+\.\d+\.\d+\S*)"
)


class Shell:
    """A bash whose jobs are run as a person's."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        script, self._typed = os.pipe()
        self._process = subprocess.Popen(
            ["bash", f"/dev/fd/{script}"],
            cwd=directory,
            env=environment,
            pass_fds=[script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where the shell tells of jobs that end
        )
        os.close(script)
        self.type_in("set -m")

    def type_in(self, command: str) -> str:
        """Run a command, and return what it writes."""
        os.write(self._typed, f"{command}\nprintf '\\0'\n".encode())
        assert self._process.stdout is not None
        written, deadline = b"", time.monotonic() + seconds_max
        while not written.endswith(b"\0"):
            is_readable = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
            read = os.read(self._process.stdout.fileno(), 65536) if is_readable else b""
            assert read, f"{command!r} does not end; it wrote {written!r}"
            written += read
        return written[:-1].decode().replace("\r", "")

    def close(self) -> None:
        """End the shell and its jobs."""
        os.write(self._typed, b"kill $(jobs -p) 2> /dev/null\n")
        os.close(self._typed)
        assert self._process.stdout is not None
        self._process.wait(seconds_max)
        self._process.stdout.close()


@define
class Transcript:
    """Compares answers with documented ones, and remembers which name stands for which documented one."""

    _names: dict[str, str] = field(factory=dict)

    def command(self, documented: str) -> str:
        """Return the command with the names that were answered in place of those that the document shows."""
        found = _different.sub(lambda found: self._names.get(found[0], found[0]), documented)
        # Without -N, nc waits for the server to close; a person would interrupt it.
        return re.sub(r"\| nc (?!-[Nq])", "| timeout 1 nc ", found)

    def compare(self, documented: str, answer: str, *, may_have_more: bool = False) -> None:
        """Compare line by line; where there may be more, such as headers, lines between those shown are skipped."""
        lines = answer.splitlines()
        at = 0
        for wanted in documented.splitlines():
            while may_have_more and at < len(lines) and not self._is(wanted, lines[at]):
                at += 1
            assert at < len(lines), f"{wanted!r} is not in\n{answer}"
            assert self._is(wanted, lines[at]), f"{lines[at]!r} is answered, not {wanted!r}"
            at += 1
        assert may_have_more or at == len(lines), f"there is more in\n{answer}"

    def _is(self, documented: str, line: str) -> bool:
        names, pattern, end = list[str](), "", 0
        for found in _different.finditer(documented):
            pattern += re.escape(documented[end : found.start()])
            if found["name"]:
                names.append(found[0])
                pattern += "(" + self._names.get(found[0], r"\w+") + ")"
            else:
                pattern += ".*"
            end = found.end()
        matched = re.fullmatch(pattern + re.escape(documented[end:]), line)
        if matched is not None:
            self._names.update(zip(names, matched.groups(), strict=True))
        return matched is not None


def steps(text: str) -> list[tuple[str, str]]:
    """Return each command of a console block, which may have many lines, and what stands below it."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
            continue
        command, answer = found[-1]
        if line.startswith("> "):
            found[-1] = (f"{command}\n{line[2:]}", answer)
        else:
            found[-1] = (command, f"{answer}{line}\n")
    return found
