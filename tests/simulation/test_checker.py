"""The checker is checked: each fault planted in the core must be caught, on a seed that is known to show it."""

from functools import partial

import pytest

from tests.simulation.planted import catalogue, planting
from tests.simulation.run import Result, run
from tests.simulation.test_simulation import pool

chapters = {"1", "2", "3", "4", "5", "6", "7", "8"}
known_seeds = {
    "silence_is_fine": 171,
    "half_a_pair": 119,
    "no_dialling_back": 371,
    "configured_addresses_only": 371,
    "pause_keeps_links": 333,
    "absence_during_pause": 333,
    "slow_is_unreachable": 56,
    "reuse_incarnations": 2,
    "ignore_the_greatest": 59,
    "leave_at_once": 237,
    "count_nothing": 237,
    "ready_at_once": 289,
    "no_exchange": 173,
    "keys_without_peers": 239,
    "keys_of_live_only": 19,
    "hand_out_early": 13,
    "no_reports": 20,
    "prune_too_much": 301,
    "lease_twice": 5,
    "eternal_leases": 5,
    "newest_first": 15,
    "empty_wins": 24,
    "match_when_sent": 358,
    "cut_past_match": 266,
    "backfill_when_sent": 301,
    "any_backfill_confirms": 4,
    "one_sided": 2,
    "one_page_is_enough": 216,
    "learned_not_logged": 24,
    "known_by_all": 24,
    "synced_too_early": 3,
    "keep_the_removed": 3,
    "one_copy_fewer": 1,
    "count_who_left": 2,
    "show_early": 1,
    "ack_at_once": 1,
    "ack_without_the_lost": 2,
    "second_ack_at_once": 1,
    "unreplicated_late": 2,
    "taken_back": 2,
    "wait_for_ever": 2,
    "ignore_need": 13,
    "one_too_many": 1,
    "full_too_early": 2,
    "evict_when_full": 1,
}


def caught_by(name: str) -> Result:
    """Run a planted fault on the seed that is known to show it."""
    return run(known_seeds[name], planted=name)


def test_every_chapter_has_planted_faults() -> None:
    """No chapter of the protocol goes unwatched."""
    assert {catalogue[name].rule.partition(".")[0] for name in known_seeds} >= chapters


def test_every_planted_fault_is_caught() -> None:
    """Each breaks a promise that the checker watches, and the report says which and how to see it again."""
    with pool() as processes:
        results = dict(zip(known_seeds, processes.map(caught_by, known_seeds, chunksize=1), strict=True))
    missed = [name for name, result in results.items() if not result.wrong]
    assert not missed
    unfit = [
        name for name, result in results.items() if "TypeError" in result.wrong or "AttributeError" in result.wrong
    ]
    assert not unfit
    assert all(f"--seed {known_seeds[name]} --trace" in result.report for name, result in results.items())


def test_the_seeds_are_well_without_them() -> None:
    """It is the planted fault that is caught, nothing else."""
    with pool() as processes:
        results = processes.map(partial(run), sorted(set(known_seeds.values())), chunksize=2)
    assert not [result.report for result in results if result.wrong]


def test_a_planted_fault_is_gone_afterwards() -> None:
    """The core is as it was, also when the story ends badly."""
    before = [
        (target, name, getattr(target, name)) for fault in catalogue.values() for target, name, _ in fault.patches()
    ]
    for name in catalogue:
        with pytest.raises(KeyError), planting(name):
            raise KeyError
    assert all(getattr(target, name) is original for target, name, original in before)
