"""The command ``python -m dqtw.check``."""

import argparse
import os
import secrets
import ssl
import sys
import time
from contextlib import suppress
from math import inf, nan
from pathlib import Path

from dqtw.check.asking import Access, Address
from dqtw.check.history import History, Recorder
from dqtw.check.judge import judge
from dqtw.check.load import Habits, quiet_habits
from dqtw.check.run import CannotStart, Run


def main(arguments: list[str] | None = None) -> int:
    """Run or judge, and return the exit status: 0 when every promise was kept, 1 when one was broken, 2 otherwise."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "run":
            _run(given)
        return _judge(given.history)
    except (OSError, ValueError, CannotStart) as error:
        print(f"dqtw.check: cannot tell: {error}", file=sys.stderr)  # noqa: T201
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dqtw.check", description="Check that a cluster loses no work.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="load a cluster, drain it, and judge what its clients saw")
    run.add_argument("--http", nargs="+", action="extend", default=[], metavar="URL", help="REST listeners")
    run.add_argument("--line", nargs="+", action="extend", default=[], metavar="HOST:PORT", help="line listeners")
    run.add_argument(
        "--node",
        nargs="+",
        action="extend",
        default=[],
        metavar="URL",
        help="the nodes themselves, where those are proxies",
    )
    run.add_argument("--token-file", metavar="FILE", help="its first line is the token to show ($DQTW_TOKEN)")
    run.add_argument("--ca", metavar="FILE", help="authorities for https://… and tls://… (the system's)")
    run.add_argument("--seconds", type=_seconds, default=60.0, help="how long the load lasts (60)")
    run.add_argument("--clients", type=_count, default=20, help="how many at once (20)")
    run.add_argument("--seed", default=None, help="what the clients' choices are drawn from")
    run.add_argument("--quiet", action="store_true", help="nothing will fail: give nothing back, check the order, too")
    run.add_argument("--history", default="history.jsonl", metavar="FILE", help="where it goes (history.jsonl)")
    judging = commands.add_parser("judge", help="judge the history of a run")
    judging.add_argument("history", metavar="FILE")
    return parser


def _run(given: argparse.Namespace) -> None:
    addresses = [Address.parse(each, "http") for each in given.http]
    addresses += [Address.parse(each, "line") for each in given.line]
    nodes = [Address.parse(each, "http") for each in given.node] or addresses
    if not addresses:
        raise ValueError("say where the cluster is: --http or --line")
    access = Access(_token(given.token_file), ssl.create_default_context(cafile=given.ca))
    seed = given.seed or secrets.token_hex(4)
    with Path(given.history).open("w") as file:
        run = Run(addresses, Recorder(file, quiet=given.quiet), secrets.token_hex(4), nodes, access)
        run.start(given.clients, quiet_habits if given.quiet else Habits(), seed)
        print(f"seed {seed}", flush=True)  # noqa: T201
        with suppress(KeyboardInterrupt):  # ends the load, not the check
            time.sleep(given.seconds)
        print("draining, once every node serves", flush=True)  # noqa: T201
        run.finish()


def _judge(history: str) -> int:
    with Path(history).open() as lines:
        verdict = judge(History.read(lines))
    print(verdict.table())  # noqa: T201
    return verdict.status


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = nan
    if not 0 < seconds < inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds greater than 0")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _token(file: str | None) -> str:
    """Return the token to show: the file's first word, or else from the environment; empty for none.

    Raises:
        OSError: the file can't be read.
        ValueError: it has no token.
    """
    if file is None:
        return os.environ.get("DQTW_TOKEN", "")
    words = Path(file).read_text().split()
    if not words:
        raise ValueError(f"{file} has no token")
    return words[0]


if __name__ == "__main__":
    sys.exit(main())
