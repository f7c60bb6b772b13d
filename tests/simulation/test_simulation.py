"""Whole clusters under faults: seeds that have failed before, and as many new ones as a test run has time for.

For longer runs: ``python -m tests.simulation --seeds 10000 --jobs 2``.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

import pytest

from tests.simulation.run import Result, run

root = Path(__file__).parents[2]
fresh_seeds = 100
failed_before = (5,)
jobs = min(os.cpu_count() or 1, 4)


def pool() -> Pool:
    """As many processes as there are processors, each with a core of its own."""
    return get_context("spawn").Pool(jobs)


def run_all(seeds: Iterable[int]) -> list[Result]:
    """Run seeds in as many processes as there are processors."""
    with pool() as processes:
        return processes.map(run, seeds, chunksize=5)


def wrong(results: list[Result]) -> str:
    """What a person needs to know of the failures."""
    return "\n".join(result.report for result in results if result.wrong)


def test_seeds_that_failed_before_are_well() -> None:
    """What was wrong once is not wrong again."""
    failures = wrong(run_all(failed_before))
    assert not failures, failures


def test_fresh_seeds_are_well() -> None:
    """No promise is broken, and every cluster becomes well again, in histories that nobody has looked at."""
    results = run_all(range(10_000, 10_000 + fresh_seeds))
    failures = wrong(results)
    assert not failures, failures
    assert sum(result.counts["delivered"] for result in results) > 10 * fresh_seeds
    assert sum(result.counts["streams cut"] for result in results) > fresh_seeds


@pytest.mark.parametrize("seed", [2, 5, 31])
def test_one_seed_gives_one_history(seed: int) -> None:
    """A failure can be replayed: byte for byte the same story, whatever the hashes of a process are."""
    stories = {story_of(seed, hash_seed) for hash_seed in ("1", "2", "77")}
    assert len(stories) == 1


def story_of(seed: int, hash_seed: str) -> str:
    """Run one seed in a process of its own; the fingerprint of what it told."""
    code = f"from tests.simulation.run import run; print(run({seed}, is_hashed=True).fingerprint)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    return finished.stdout
