"""A node whose machine's clock is set while a lease runs."""

import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.process.node import Nodes, RunningNode

libraries = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), *Path("/usr/lib/faketime").glob("libfaketime.so.1")]

pytestmark = pytest.mark.skipif(not libraries, reason="needs the Debian package faketime")


def hours_of(node: RunningNode) -> float:
    """What time the node thinks it is."""
    date = node.request("GET", "/health/live").headers["Date"]
    return parsedate_to_datetime(date).timestamp() / 3600


@pytest.mark.parametrize("step_hours", [-10, 10])
def test_setting_the_clock_neither_lengthens_nor_ends_a_lease(nodes: Nodes, step_hours: int) -> None:
    offset = nodes.directory / "offset"
    offset.write_text("+0")
    node = nodes.start(
        "--lease=2",
        LD_PRELOAD=str(libraries[0]),
        FAKETIME_TIMESTAMP_FILE=str(offset),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        DONT_FAKE_MONOTONIC="1",
    )
    before = hours_of(node)
    node.request("POST", "/push", b"x")
    leased = time.monotonic()
    assert node.request("GET", "/get").status == 200
    offset.write_text(f"{step_hours:+d}h")
    assert hours_of(node) - before == pytest.approx(step_hours, abs=0.1)
    assert node.request("GET", "/get").status == 204
    assert node.request("GET", "/get?wait=10").headers["Dqtw-Attempt"] == "2"
    assert time.monotonic() - leased == pytest.approx(2, abs=0.8)
