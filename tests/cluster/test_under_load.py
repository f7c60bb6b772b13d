"""Clients use a cluster while its nodes are killed, frozen, replaced, restarted and cut off: no promise is broken."""

import random
import re
import signal
import time
from collections.abc import Callable

import pytest

from dqtw.check.load import quiet_habits
from tests.cluster.cluster import Cluster
from tests.cluster.loaded import check, load
from tests.cluster.nemesis import Nemesis, wait_for_load

options = ("--size=3000", "--push-timeout=2", "--start-wait=10")


@pytest.mark.parametrize("count", [3, *(pytest.param(count, marks=pytest.mark.long) for count in (1, 2, 5))])
def test_nothing_goes_wrong_where_nothing_fails(cluster_of: Callable[..., Cluster], count: int) -> None:
    cluster = cluster_of(*"abcde"[:count], options=options).start().wait_whole()
    with load(cluster, clients=6, seed="calm") as run:
        wait_for_load(run, cluster)
        time.sleep(2)
    check(cluster)


@pytest.mark.parametrize(
    "faults",
    [
        ("replace", "zombie"),
        ("freeze", "roll"),
        ("partition", "one_way", "slow"),
        pytest.param(("restart", "replace_elsewhere", "zombie", "freeze"), marks=pytest.mark.long),
    ],
    ids="-".join,
)
def test_no_promise_is_broken_by(cluster_of: Callable[..., Cluster], faults: tuple[str, ...]) -> None:
    relays = "partition" in faults
    cluster = cluster_of(options=options, with_relays=relays).start().wait_whole()
    with load(cluster, seed="faults") as run:
        wait_for_load(run, cluster)
        nemesis = Nemesis(cluster, run, random.Random(1))
        for fault in faults:
            getattr(nemesis, fault)()
    print(check(cluster).table())


def test_first_deliveries_are_in_order_where_all_use_one_node(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of(options=options).start().wait_whole()
    with load(cluster, habits=quiet_habits, quiet=True) as run:
        run.addresses[:] = cluster.places["a"].addresses
        wait_for_load(run, cluster)
        time.sleep(2)
        run.addresses[:] = cluster.addresses
    check(cluster)


def test_two_copies_of_three_survive_one_node(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of(options=(*options, "--copies=2")).start().wait_whole()
    with load(cluster, seed="two") as run:
        wait_for_load(run, cluster)
        Nemesis(cluster, run, random.Random(2)).replace_elsewhere()
    check(cluster)


def test_the_last_one_to_leave_says_what_it_takes_with_it(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of("a", "b", options=("--drain-timeout=3",)).start().wait_whole()
    for number in range(7):
        cluster.push("a", f"{number}")
        cluster.push("b", f"{number}")
    assert cluster.running.pop("b").stop() == 0
    last = cluster.running.pop("a")
    last.send_signal(signal.SIGTERM)
    assert last.wait() == 4
    lost = re.search(r"messages that end with this node: (\d+)", last.log)
    assert lost is not None
    assert int(lost[1]) == 14
