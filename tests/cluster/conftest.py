"""What the tests of whole clusters share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster


@contextmanager
def clusters(directory: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters; no process outlives them, and none may have raised an unhandled error."""
    made: list[Cluster] = []

    def make(*ids: str, options: tuple[str, ...] = (), **more: Any) -> Cluster:
        place = directory / f"cluster-{len(made)}"
        place.mkdir()
        made.append(Cluster(place, ids or ("a", "b", "c"), options, **more))
        return made[-1]

    try:
        yield make
    finally:
        for cluster in made:
            cluster.end()
    for log in directory.glob("cluster-*/node-*.log"):
        assert "Traceback" not in log.read_text(), log.read_text()
        assert "Unhandled" not in log.read_text(), log.read_text()


@pytest.fixture
def cluster_of(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters for one test."""
    with clusters(tmp_path) as make:
        yield make


@pytest.fixture
def three(cluster_of: Callable[..., Cluster]) -> Cluster:
    """Three nodes that are ready, each in session with the others."""
    return cluster_of().start().wait_whole()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes for tests that harm none of them, and leave their queues empty."""
    with clusters(tmp_path_factory.mktemp("shared")) as make:
        yield make().start().wait_whole()
