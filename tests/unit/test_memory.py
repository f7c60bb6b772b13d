"""How much memory a process may use, as control groups say it."""

from pathlib import Path

import pytest

from dqtw.process.memory import memory_bytes_max


def group(root: Path, membership: str, files: dict[str, str]) -> int:
    """The limit that follows from ``/proc/self/cgroup`` and the files of the groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return memory_bytes_max(root)


def test_without_groups_there_is_what_the_machine_has(tmp_path: Path) -> None:
    assert memory_bytes_max(tmp_path) > 2**20


def test_version_2_limits_by_the_own_group(tmp_path: Path) -> None:
    assert group(tmp_path, "0::/a/b\n", {"a/b/memory.max": "1000\n", "a/memory.max": "max\n"}) == 1000


def test_a_group_above_may_be_narrower(tmp_path: Path) -> None:
    assert group(tmp_path, "0::/a/b\n", {"a/b/memory.max": "1000\n", "memory.max": "500\n"}) == 500


def test_version_1_limits_by_its_memory_controller(tmp_path: Path) -> None:
    membership = "5:cpu,cpuacct:/x\n4:memory:/a\n0::/\n"
    assert group(tmp_path, membership, {"memory/a/memory.limit_in_bytes": "700\n"}) == 700


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    assert group(tmp_path, "4:memory:/docker/1234\n", {"memory/memory.limit_in_bytes": "900\n"}) == 900


@pytest.mark.parametrize("text", ["max\n", "", "x", "9223372036854771712\n"])
def test_no_limit_is_none(tmp_path: Path, text: str) -> None:
    machine = memory_bytes_max(tmp_path / "none")
    assert group(tmp_path, "0::/a\n", {"a/memory.max": text}) == machine
