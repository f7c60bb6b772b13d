"""What the tests of the documents share."""

from pathlib import Path

import pytest

from tests.process.docs.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A fresh directory with free ports, and the files that the documents name."""
    place = Place(tmp_path)
    place.add_files()
    return place
