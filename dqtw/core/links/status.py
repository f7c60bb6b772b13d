"""What statuses say: checked when they come, and read by the processes of this node's own id."""

from collections.abc import Iterable
from math import isfinite

from attrs import frozen

from dqtw.core.links.frames import Status
from dqtw.core.model.message import is_incarnation


def fault_of(status: Status, node: str) -> str | None:
    """Return what is wrong with a status of that node's process; None if nothing is."""
    ages = [heard.age_s for report in status.nodes.values() for heard in report.processes]
    if status.node != node:
        return f"{node} sends the status of another node"
    if status.incarnation is not None and not is_incarnation(status.incarnation):
        return "the status names an incarnation that is not one, or of a time that is too late"
    if not all(isfinite(each) and each >= 0 for each in (status.running_s, *ages)):
        return "a time in the status is not one"
    if status.express_read < 0 or status.bulk_read < 0:
        return "a count in the status is not one"
    return None


@frozen
class Twin:
    """Another process of this node's own id, as a peer has heard it.

    Attributes:
        by: the peer.
        age_s: how long ago that peer has read a byte of it, as far as is known now.
    """

    by: str
    boot: str
    incarnation: str | None
    is_going: bool
    age_s: float


def twins(now: float, node: str, boot: str, statuses: Iterable[tuple[float, Status]]) -> list[Twin]:
    """Return the other processes of a node that these statuses, each with the time at which it came, report as heard.

    A status may be old, and its link gone: what it reports ages.
    """
    return [
        Twin(status.node, heard.boot, heard.incarnation, heard.is_going, heard.age_s + now - at)
        for at, status in statuses
        if node in status.nodes
        for heard in status.nodes[node].processes
        if heard.boot != boot
    ]
