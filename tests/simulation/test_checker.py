"""The checker is checked: every fault planted in the core must be caught, on a seed that is known to show it."""

from functools import partial

import pytest

from tests.simulation.planted import catalogue, planting
from tests.simulation.run import Result, run
from tests.simulation.test_simulation import pool

rules = 18
known_seeds = {
    "forget_the_withdrawn": 1,
    "reuse_ids": 2,
    "show_early": 1,
    "deltas_without_session": 2,
    "forget_removals": 1,
    "sessions_survive_loss": 6,
    "answer_early": 1,
    "one_copy_fewer": 1,
    "count_who_left": 26,
    "acknowledge_early": 1,
    "refuse_early": 1,
    "ignore_shared": 3,
    "seen_before_messages": 1,
    "empty_wins": 1,
    "stale_wins": 24,
    "keep_the_removed": 1,
    "ignore_need": 178,
    "one_too_many": 1,
    "full_too_early": 5,
    "evict_when_full": 1,
    "sessions_survive_exchange": 4,
    "serve_at_once": 1,
    "count_the_forgetful": 23,
    "reuse_incarnations": 1,
    "slow_is_unreachable": 1,
    "unknown_without_asking": 26,
    "fence_the_living": 81,
    "no_gap_check": 1,
    "ignore_the_greatest": 9,
    "admit_after_a_gap": 2,
    "leave_at_once": 6,
    "fenced_leaves_at_once": 9,
    "rely_on_the_leaving": 322,
    "count_nothing": 7,
    "ready_at_once": 13,
    "no_exchange": 3,
    "keys_stay_here": 7,
    "keys_from_removals": 1,
    "keys_without_rescue": 53,
    "homeless_keys": 5,
    "forward_twice": 1,
    "hand_out_early": 3,
    "take_from_others": 57,
    "lost_is_refused": 1,
    "take_repeats": 47,
    "no_hints": 30,
    "prune_too_much": 2,
    "configured_addresses_only": 38,
    "leases_by_the_wall_clock": 1,
    "lease_twice": 1,
    "eternal_leases": 1,
    "newest_first": 5,
    "trust_any_answer": 199,
    "one_in_sync_is_enough": 97,
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
