"""The checker is checked: every fault planted in the core must be caught, on a seed that is known to show it."""

from functools import partial

import pytest

from tests.simulation.planted import catalogue, planting
from tests.simulation.run import Result, run
from tests.simulation.test_simulation import pool

rules = 18
known_seeds = {
    "forget_the_withdrawn": 3,
    "reuse_ids": 3,
    "show_early": 1,
    "deltas_without_session": 1,
    "forget_removals": 1,
    "sessions_survive_loss": 6,
    "answer_early": 3,
    "one_copy_fewer": 4,
    "count_who_left": 1,
    "acknowledge_early": 1,
    "refuse_early": 8,
    "ignore_shared": 21,
    "seen_before_messages": 1,
    "empty_wins": 1,
    "stale_wins": 12,
    "keep_the_removed": 2,
    "ignore_need": 377,
    "one_too_many": 6,
    "full_too_early": 5,
    "evict_when_full": 4,
    "sessions_survive_exchange": 12,
    "serve_at_once": 2,
    "count_the_forgetful": 57,
    "reuse_incarnations": 3,
    "slow_is_unreachable": 1,
    "unknown_without_asking": 82,
    "fence_the_living": 44,
    "no_gap_check": 4,
    "ignore_the_greatest": 12,
    "admit_after_a_gap": 3,
    "leave_at_once": 2,
    "fenced_leaves_at_once": 2,
    "rely_on_the_leaving": 247,
    "count_nothing": 7,
    "ready_at_once": 13,
    "no_exchange": 4,
    "keys_stay_here": 11,
    "keys_from_removals": 3,
    "keys_without_rescue": 58,
    "homeless_keys": 2,
    "forward_twice": 2,
    "hand_out_early": 5,
    "lost_is_refused": 6,
    "take_repeats": 11,
    "no_hints": 35,
    "prune_too_much": 2,
    "configured_addresses_only": 46,
    "leases_by_the_wall_clock": 2,
    "lease_twice": 1,
    "eternal_leases": 4,
    "newest_first": 5,
    "trust_any_answer": 256,
    "one_in_sync_is_enough": 77,
}


def caught_by(name: str) -> Result:
    """Run a planted fault on the seed that is known to show it."""
    return run(known_seeds[name], planted=name)


def test_every_rule_has_a_planted_fault() -> None:
    """No rule of the protocol goes unwatched."""
    planted = {fault.rule for fault in catalogue.values()}
    assert planted >= {str(rule) for rule in range(1, rules + 1)}
    assert known_seeds.keys() == catalogue.keys()


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
