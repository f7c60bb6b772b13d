"""What the tests of real processes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.node import Nodes


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Starts nodes in a fresh directory; none outlives the test, and none may have raised an unhandled error."""
    nodes = Nodes(tmp_path)
    yield nodes
    nodes.end()
    for log in tmp_path.glob("node-*.log"):
        assert "Traceback" not in log.read_text()
        assert "Unhandled" not in log.read_text()
