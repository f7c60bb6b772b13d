"""The judge is judged: an owner that answers a push before its peers have it is caught."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from dqtw.check.load import Habits
from tests.cluster.cluster import Cluster, root
from tests.cluster.loaded import judged, load

cheating = f"""#!{sys.executable}
import sys

sys.path.insert(0, {str(root)!r})
from dqtw.core.commit import Pushes
from twisted.scripts.twistd import run

Pushes._is_committed = lambda pushes, pending: True
run()
"""


def cheating_twistd(path: Path) -> Path:
    """A twistd whose nodes answer at once."""
    path.write_text(cheating)
    path.chmod(0o755)
    return path


def test_an_owner_that_answers_before_its_peers_have_it_is_caught(
    cluster_of: Callable[..., Cluster], tmp_path: Path
) -> None:
    cheat = str(cheating_twistd(tmp_path / "twistd"))
    cluster = cluster_of(options=("--push-timeout=5",), twistd=cheat, with_relays=True).start().wait_whole()
    assert cluster.relays is not None
    with load(cluster, 6, Habits(timeout_s=3.0, pushes=1.0, keyed=0.0), seed="cheat") as run:
        run.addresses[:] = cluster.places["a"].addresses
        time.sleep(1)
        cluster.relays.cut(["a"], ["b", "c"])
        time.sleep(1)
        cluster.kill("a")
        cluster.relays.heal()
        cluster.launch("a")
        cluster.wait_whole()
        run.addresses[:] = cluster.addresses
    lost = judged(cluster).findings[0]
    assert lost.name == "lost"
    assert lost.count > 0
