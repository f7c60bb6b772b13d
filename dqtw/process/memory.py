"""How much memory this process may use.

A container or a service manager limits a control group, and every group above it limits it too; without any
limit there is what the machine has.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def memory_bytes_max(root: Path = Path("/")) -> int:
    """The least of what the machine has and what the control groups allow, in bytes.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    return min([_machine_bytes(), *_group_limits(root)])


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _group_limits(root: Path) -> Iterator[int]:
    for file in _limit_files(root):
        try:
            text = file.read_text().strip()
        except OSError:
            continue  # this group has no such limit, or hides it
        if text.isdecimal() and int(text) > 0:  # version 2 writes "max" for none, version 1 a huge number
            yield int(text)


def _limit_files(root: Path) -> Iterator[Path]:
    """The files that may limit this process: of its own group, and of each above."""
    groups = root / "sys/fs/cgroup"
    for controllers, path in _memberships(root):
        if not controllers:
            yield from (group / "memory.max" for group in _upwards(groups, path))
        elif "memory" in controllers.split(","):
            yield from (group / "memory.limit_in_bytes" for group in _upwards(groups / "memory", path))


def _memberships(root: Path) -> Iterator[tuple[str, str]]:
    """What ``/proc/self/cgroup`` says: controllers (none in version 2) and the group's path."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        yield controllers, path


def _upwards(groups: Path, path: str) -> Iterator[Path]:
    group = PurePosixPath(path.lstrip("/"))
    yield groups / group
    yield from (groups / above for above in group.parents)
