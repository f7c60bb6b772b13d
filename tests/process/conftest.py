"""What the tests of real processes share."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.node import Nodes


@pytest.fixture(autouse=True)
def heeded_interrupts() -> Iterator[None]:
    """Let no node ignore SIGINT, as it would when these tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Starts nodes in a fresh directory; none outlives the test, and none may have raised an unhandled error."""
    nodes = Nodes(tmp_path)
    yield nodes
    nodes.end()
    for log in tmp_path.glob("node-*.log"):
        assert "Traceback" not in log.read_text()
        assert "Unhandled" not in log.read_text()
