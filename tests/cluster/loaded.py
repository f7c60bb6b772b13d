"""A cluster under load, and the judge of what its clients saw."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dqtw.check.asking import Address
from dqtw.check.history import History, Recorder
from dqtw.check.judge import Verdict, judge
from dqtw.check.load import Habits
from dqtw.check.run import Run
from tests.cluster.cluster import Cluster

test_habits = Habits(timeout_s=6.0, wait_s=0.5)


def judged(cluster: Cluster) -> Verdict:
    """The verdict on the history in the cluster's directory."""
    with (cluster.directory / "history.jsonl").open() as lines:
        return judge(History.read(lines))


@contextmanager
def load(
    cluster: Cluster,
    clients: int = 10,
    habits: Habits = test_habits,
    *,
    seed: str = "",
    quiet: bool = False,
    through: Sequence[Address] = (),
) -> Iterator[Run]:
    """Clients on every node of a cluster, or through a proxy; then a drain. The history is in the cluster's directory.

    A load whose faults failed is ended without a drain.
    """
    with (cluster.directory / "history.jsonl").open("w") as file:
        nodes = list(cluster.addresses)
        run = Run(list(through) or nodes, Recorder(file, quiet=quiet), secrets.token_hex(4), nodes)
        run.start(clients, habits, seed)
        try:
            yield run
        except BaseException:
            run.stop()
            raise
        run.finish()


def check(cluster: Cluster) -> Verdict:
    """Judge the run, and fail with its table when a promise was broken, or nothing was tested."""
    verdict = judged(cluster)
    assert verdict.status == 0, verdict.table()
    return verdict
