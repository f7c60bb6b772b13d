"""Which planted faults are caught, and after how many seeds."""

from functools import partial
from multiprocessing import Pool

from attrs import frozen

from tests.simulation.planted import Planted, catalogue
from tests.simulation.run import run


@frozen
class Catch:
    """What it took to catch one planted fault; no seeds: it was not caught."""

    planted: Planted
    seeds: int
    seed: int
    wrong: str


def catch(planted: Planted, seeds_max: int, first: int = 1) -> Catch:
    """Run seeds until one shows the fault."""
    for seeds, seed in enumerate(range(first, first + seeds_max), 1):
        result = run(seed, planted=planted.name)
        if "TypeError" in result.wrong or "AttributeError" in result.wrong:
            raise RuntimeError(f"{planted.name} does not fit the core any more: {result.wrong}")
        if result.wrong and not run(seed).wrong:
            return Catch(planted, seeds, seed, result.wrong)
    return Catch(planted, 0, 0, "")


def print_table(seeds_max: int, jobs: int) -> int:
    """Print the table, as Markdown; an exit status."""
    print("| rule | planted fault | name | caught after |\n| --- | --- | --- | --- |")
    missed = 0
    with Pool(jobs) as pool:
        for name, seeds in pool.imap(partial(_seeds_until_caught, seeds_max), catalogue):
            missed += not seeds
            after = f"{seeds} seed{'s' * (seeds > 1)}" if seeds else f"not in {seeds_max} seeds"
            print(f"| {catalogue[name].rule} | {catalogue[name].what} | `{name}` | {after} |", flush=True)
    return bool(missed)


def _seeds_until_caught(seeds_max: int, name: str) -> tuple[str, int]:
    return name, catch(catalogue[name], seeds_max).seeds
