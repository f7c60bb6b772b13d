"""What a balancer or an operator may ask: is this node well?"""

from enum import Enum

from attrs import frozen


class Check(Enum):
    """Which question is asked."""

    LIVE = "live"  # the process answers
    READY = "ready"  # it serves gets
    PUSH = "push"  # it would take a push now


@frozen
class Wait:
    """Something that a node waits for.

    Attributes:
        what: in words that anybody may read.
        why: the details, which may name addresses: for operators only; empty for none.
    """

    what: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" if self.why else self.what


@frozen
class Health:
    """The answer: well or not, and every reason why not, as the codes of `dqtw.core.model.errors`.

    Attributes:
        ok: well.
        reasons: one code for each thing that stands in the way.
        in_session: peers that are in session now.
        copies: how many nodes, this one included, would hold a message pushed now.
        members: how many nodes the cluster has.
        waiting_for: what the node waits for to become well, in words.
    """

    ok: bool
    reasons: tuple[str, ...]
    in_session: int
    copies: int
    members: int
    waiting_for: tuple[str, ...] = ()
