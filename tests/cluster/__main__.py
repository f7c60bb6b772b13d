"""The command ``python -m tests.cluster``: clusters under load and at random faults, for as long as you like."""

import argparse
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path

from dqtw.check.judge import Verdict
from dqtw.check.load import Habits
from tests.cluster.cluster import Cluster
from tests.cluster.loaded import judged, load
from tests.cluster.nemesis import Nemesis
from tests.cluster.recovery import recover

round_seconds = 120.0  # of faults; then a drain, a judgement, and a fresh cluster


def main() -> int:
    given = _parser().parse_args()
    seed = given.seed if given.seed is not None else secrets.randbelow(10**6)
    directory = Path(given.directory or tempfile.mkdtemp(prefix="dqtw-cluster-"))
    if given.recover:
        recover(directory, given.recover)
        return 0
    print(f"seed {seed}, histories and logs in {directory}", flush=True)
    deadline = time.monotonic() + 60 * given.minutes
    number = bad = 0
    while time.monotonic() < deadline:
        number += 1
        verdict = _round(f"{seed} {number}", directory / f"round-{number}", deadline)
        bad += bool(verdict.status)
        print(f"round {number}:\n{verdict.table()}\n", flush=True)
    print(f"seed {seed}: {number} rounds, {bad} of them with violations, or not finished")
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--seed", type=int, default=None, help="what faults and requests are drawn from")
    parser.add_argument("--directory", default=None, help="where histories and logs go (a fresh one)")
    parser.add_argument("--recover", type=int, default=0, help="only measure how long so many messages take to recover")
    return parser


def _round(seed: str, directory: Path, deadline: float) -> Verdict:
    """One cluster's life."""
    chance = random.Random(seed)
    cluster = _cluster(chance, directory)
    print(f"round {directory.name}: {' '.join(cluster.ids)} {' '.join(cluster.options)}", flush=True)
    try:
        cluster.start().wait_whole()
        habits = Habits(timeout_s=6.0, ack_now=chance.choice((0.0, 0.0, 0.05)), think_s=chance.choice((0.0, 0.05)))
        with load(cluster, chance.choice((5, 10, 20)), habits, seed=seed) as run:
            nemesis = Nemesis(cluster, run, chance)
            until = min(time.monotonic() + round_seconds, deadline)
            while time.monotonic() < until:
                begun = time.monotonic()
                print(f"  {nemesis.step()}", end="", flush=True)
                print(f" {time.monotonic() - begun:.1f} s", flush=True)
                time.sleep(chance.uniform(0, 4))  # a while in which all is well
        _check_logs(directory)
        return judged(cluster)
    finally:
        cluster.end()


def _cluster(chance: random.Random, directory: Path) -> Cluster:
    directory.mkdir(parents=True)
    ids = "abcde"[: chance.choice((2, 3, 3, 3, 5))]
    copies = chance.choice(("all", "all", str(max(2, len(ids) - 1))))
    options = (
        f"--size={chance.choice((20, 500, 5000))}",
        f"--copies={copies}",
        f"--push-timeout={chance.choice((1, 3, 10))}",
        "--start-wait=10",
    )
    return Cluster(directory, ids, options, with_relays=chance.random() < 0.7)


def _check_logs(directory: Path) -> None:
    for log in directory.glob("node-*.log"):
        text = log.read_text()
        assert "Traceback" not in text and "Unhandled" not in text, f"{log}:\n{text}"


if __name__ == "__main__":
    sys.exit(main())
