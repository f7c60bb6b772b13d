"""Who can read a file."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dqtw.process.files import can_others_read


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that everybody can enter, which pytest's own are not."""
    with TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("mode", "can"), [(0o600, False), (0o640, False), (0o602, False), (0o604, True), (0o644, True)]
)
def test_the_rights_of_others_count(mode: int, can: bool, folder: Path) -> None:
    file = folder / "file"
    file.touch()
    file.chmod(mode)
    assert can_others_read(file) == can
    folder.chmod(0o700)
    assert not can_others_read(file)


def test_a_link_counts_as_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    (folder / "file").touch(0o644)
    (tmp_path / "link").symlink_to(folder / "file")
    assert can_others_read(tmp_path / "link")
    (tmp_path / "file").touch(0o644)
    (folder / "link").symlink_to(tmp_path / "file")
    assert not can_others_read(folder / "link")


def test_an_absent_file_is_not_readable(tmp_path: Path) -> None:
    assert not can_others_read(tmp_path / "absent")
