"""What the tests of whole clusters share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster


@pytest.fixture
def cluster_of(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters; no process outlives the test, and none may have raised an unhandled error."""
    made: list[Cluster] = []

    def make(*ids: str, options: tuple[str, ...] = (), **more: Any) -> Cluster:
        directory = tmp_path / f"cluster-{len(made)}"
        directory.mkdir()
        made.append(Cluster(directory, ids or ("a", "b", "c"), options, **more))
        return made[-1]

    yield make
    for cluster in made:
        cluster.end()
    for log in tmp_path.glob("cluster-*/node-*.log"):
        assert "Traceback" not in log.read_text(), log.read_text()
        assert "Unhandled" not in log.read_text(), log.read_text()


@pytest.fixture
def three(cluster_of: Callable[..., Cluster]) -> Cluster:
    """Three nodes that are ready, each in session with the others."""
    return cluster_of().start().wait_whole()
