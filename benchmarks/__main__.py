"""Measure pushes, gets with their acknowledgements, and whole cycles; then how long a replacement takes.

Everything is measured from outside, over loopback, with the load in a process of its own. Figures of different runs can
be compared only when nothing else went on; the ratios below the tables are of one run.
"""

import argparse
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import Load, Seen, operations
from benchmarks.nodes import Cluster, cpu_seconds, running
from benchmarks.recovery import recovery

node_counts = (1, 3)


class Shape(NamedTuple):
    """So many connections, with so many operations under way on each."""

    clients: int
    depth: int
    name: str


shapes = (Shape(1, 1, "1 client"), Shape(50, 1, "50 clients"), Shape(1, 1000, "pipelined"))


class Case(NamedTuple):
    """What is measured at once."""

    door: str
    operation: str
    shape: Shape


class Figure(NamedTuple):
    """What came of a case: what the load saw, and the processor time of all nodes for one operation."""

    seen: Seen
    cpu_us: float


class Sizes(NamedTuple):
    """How much of everything.

    Attributes:
        seconds: for one case at most.
        counts: operations of one case at most, by the operations under way: few, and many.
        messages: on the queue of the node that is replaced.
        body_bytes: of a message there.
    """

    seconds: float
    counts: tuple[int, int]
    messages: int
    body_bytes: int


full = Sizes(5.0, (10_000, 60_000), 100_000, 1024)
quick = Sizes(1.0, (1_000, 5_000), 5_000, 1024)
tiny = Sizes(0.3, (20, 200), 200, 100)


def cases() -> Iterator[Case]:
    """Each case; nobody pipelines over HTTP."""
    for door, operation, shape in product(("line", "http"), operations, shapes):
        if door == "line" or shape.depth == 1:
            yield Case(door, operation, shape)


def measure(cluster: Cluster, case: Case, sizes: Sizes, body_bytes: int) -> Figure:
    """Put one load on the cluster; what is to be got is pushed before."""
    count = sizes.counts[case.shape.clients * case.shape.depth > 1]
    line, door = cluster.first.ports["line"], cluster.first.ports[case.door]
    if case.operation == "get+ack":
        cluster.load(Load("line", [line], "push", 1, 1000, count, 10 * sizes.seconds + 60, body_bytes))
    before = cpu_seconds(cluster)
    seen = cluster.load(
        Load(case.door, [door], case.operation, case.shape.clients, case.shape.depth, count, sizes.seconds, body_bytes)
    )
    if seen.refused:
        raise SystemExit(f"{case.door} {case.operation} {case.shape.name}: refused {seen.refused}")
    return Figure(seen, 1e6 * (cpu_seconds(cluster) - before) / seen.done)


def table(count: int, sizes: Sizes, body_bytes: int) -> dict[Case, Figure]:
    """Measure every case on so many nodes, and print the table."""
    print(f"\n{count} node{'s' * (count > 1)}, messages of {body_bytes} bytes:\n")
    print("| door | operation | load | per second | p50 ms | p99 ms | CPU of all nodes, µs |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    figures = {}
    with tempfile.TemporaryDirectory() as folder, running(count, Path(folder), "--size=10000000") as cluster:
        for case in cases():
            figures[case] = figure = measure(cluster, case, sizes, body_bytes)
            seen = figure.seen
            what = f"| {case.door} | {case.operation} | {case.shape.name} "
            print(
                f"{what}| {seen.rate:,.0f} | {seen.p50_ms:.2f} | {seen.p99_ms:.2f} | {figure.cpu_us:,.0f} |", flush=True
            )
    return figures


def print_ratios(by_count: dict[int, dict[Case, Figure]]) -> None:
    """Print what can be compared within this run."""
    single, pipelined = shapes[0], shapes[2]

    def rate(count: int, door: str, operation: str, shape: Shape) -> float:
        return by_count[count][Case(door, operation, shape)].seen.rate

    print("\nRatios of rates:\n")
    print("| what | " + " | ".join(operations) + " |\n| --- |" + " ---: |" * len(operations))
    for what, over, under in (
        ("pipelined / 1 client, 3 nodes, line", (3, "line", pipelined), (3, "line", single)),
        ("pipelined / 1 client, 1 node, line", (1, "line", pipelined), (1, "line", single)),
        ("3 nodes / 1 node, 1 client, line", (3, "line", single), (1, "line", single)),
        ("3 nodes / 1 node, 50 clients, line", (3, "line", shapes[1]), (1, "line", shapes[1])),
        ("3 nodes / 1 node, pipelined, line", (3, "line", pipelined), (1, "line", pipelined)),
        ("line / http, 1 client, 1 node", (1, "line", single), (1, "http", single)),
        ("line / http, 50 clients, 1 node", (1, "line", shapes[1]), (1, "http", shapes[1])),
    ):
        cells = [rate(*over[:2], name, over[2]) / rate(*under[:2], name, under[2]) for name in operations]
        print(f"| {what} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")


def print_recovery(sizes: Sizes) -> None:
    """Kill the owner of a full queue, start its replacement, and tell how long it took."""
    with tempfile.TemporaryDirectory() as folder, running(3, Path(folder), "--size=10000000") as cluster:
        seen = recovery(cluster, sizes.messages, sizes.body_bytes)
    print(f"\nReplacement of a killed node, 3 nodes, {sizes.messages:,} messages of {sizes.body_bytes} bytes:")
    print(
        f"its door answered after {seen.answers_s:.2f} s; it served after {seen.serves_s:.2f} s with {seen.messages:,}"
    )
    if seen.messages != sizes.messages:
        raise SystemExit("messages are missing")


def main() -> None:
    """Measure it all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="sizes", const=quick, help="under a minute; rough")
    size.add_argument("--tiny", action="store_const", dest="sizes", const=tiny, help="only to see that it works")
    parser.add_argument("--bytes", type=int, default=100, help="of a message, but for the replacement")
    parser.set_defaults(sizes=full)
    arguments = parser.parse_args()
    print_ratios({count: table(count, arguments.sizes, arguments.bytes) for count in node_counts})
    print_recovery(arguments.sizes)


if __name__ == "__main__":
    main()
