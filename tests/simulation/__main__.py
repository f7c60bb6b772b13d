"""The command: run seeds, or tell one."""

import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import count
from multiprocessing import Pool
from time import monotonic

from tests.simulation.planted import catalogue
from tests.simulation.run import Result, run
from tests.simulation.table import print_table

told_every = 500


def main() -> int:
    """Do what the command line asks for."""
    arguments = _arguments()
    if arguments.table:
        return print_table(arguments.seeds, arguments.jobs)
    if arguments.seed is not None:
        result = run(arguments.seed, planted=arguments.planted, is_told=arguments.trace)
        print(result.report if result.wrong else f"seed {result.seed}: all is well")
        return bool(result.wrong)
    return _run_many(arguments)


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--trace", action="store_true", help="tell what happens, line by line")
    parser.add_argument("--seeds", type=int, default=100, help="run so many")
    parser.add_argument("--first", type=int, default=1, help="from this one on")
    parser.add_argument("--jobs", type=int, default=1, help="in so many processes")
    parser.add_argument("--seconds", type=float, default=0.0, help="for so long, however many seeds that takes")
    parser.add_argument("--planted", default="", choices=catalogue, help="plant this fault in the core")
    parser.add_argument(
        "--table", action="store_true", help="plant each fault, and tell after how many seeds it is caught"
    )
    parser.add_argument("--stats", action="store_true", help="tell what an average seed contains")
    return parser.parse_args()


def _run_many(arguments: Namespace) -> int:
    total: Counter[str] = Counter()
    seeds = failed = 0
    for result in _results(arguments):
        seeds += 1
        total.update(result.counts)
        if result.wrong:
            failed += 1
            print(result.report, flush=True)
        if seeds % told_every == 0:
            print(f"{seeds} seeds, {failed} failed, so far", file=sys.stderr)
    if arguments.stats:
        for name in sorted(total):
            print(f"{name:45} {total[name] / seeds:10.2f}")
    print(f"{seeds} seeds, {failed} failed")
    return bool(failed)


def _results(arguments: Namespace) -> Iterator[Result]:
    seeds: Iterable[int] = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.seconds:
        seeds = _until(monotonic() + arguments.seconds, arguments.first)
    job = partial(run, planted=arguments.planted)
    if arguments.jobs == 1:
        yield from map(job, seeds)
        return
    with Pool(arguments.jobs) as pool:
        yield from pool.imap_unordered(job, seeds)


def _until(end: float, first: int) -> Iterator[int]:
    for seed in count(first):
        if monotonic() > end:
            return
        yield seed


if __name__ == "__main__":
    sys.exit(main())
