"""The benchmarks run; what they measure is not judged here."""

import re
import subprocess
import sys
from pathlib import Path

from tests.process.node import clean_environment

root = Path(__file__).resolve().parents[2]
seconds_max = 120


def run(*arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_every_case_is_measured_on_one_node_and_on_three() -> None:
    output = run("benchmarks", "--tiny")
    assert len(re.findall(r"^\| (?:line|http) \|", output, re.MULTILINE)) == 2 * (9 + 6)
    assert "Ratios of rates:" in output
    assert re.search(r"it served after [\d.]+ s with 200$", output, re.MULTILINE)


def test_an_exchange_with_an_empty_peer_is_measured() -> None:
    output = run("benchmarks.exchange", "--messages=500")
    assert output.count("exchange done") == 2
