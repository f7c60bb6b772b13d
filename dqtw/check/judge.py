"""The judge of a history: what a cluster must never do, and whether this one did."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen

from dqtw.check.history import History, Operation
from dqtw.check.leases import Held, Leases, out_of_order, owner_of
from dqtw.check.owners import Owners

examples_max: Final = 10


@frozen
class Finding:
    """How often one thing came up.

    Attributes:
        forbidden: it must not, ever.
        examples: some of its occurrences, in words.
    """

    name: str
    count: int
    forbidden: bool = True
    examples: tuple[str, ...] = ()

    @property
    def is_violation(self) -> bool:
        """Whether the cluster broke a promise."""
        return self.forbidden and self.count > 0


@frozen
class Verdict:
    """All findings, and what a reader wants to know besides.

    Attributes:
        findings: each of them.
        untold: why the history does not tell whether the promises were kept; empty when it does.
        notes: figures.
    """

    findings: tuple[Finding, ...]
    untold: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def violations(self) -> tuple[Finding, ...]:
        """The findings that must not be."""
        return tuple(each for each in self.findings if each.is_violation)

    @property
    def status(self) -> int:
        """Return 0 when every promise was kept, 1 when one was broken, 2 when the history does not tell."""
        return 1 if self.violations else 2 if self.untold else 0

    def table(self) -> str:
        """All of it as a text."""
        lines = [f"{each.name:<44} {each.count:>7}  {_mark(each)}" for each in self.findings]
        lines += [f"    {each.name}: {example}" for each in self.violations for example in each.examples]
        lines += [f"CANNOT TELL: {reason}" for reason in self.untold]
        return "\n".join([*lines, *self.notes])


def _mark(finding: Finding) -> str:
    if not finding.forbidden:
        return "for information"
    return "VIOLATION" if finding.count else "ok"


def judge(history: History) -> Verdict:
    """Judge a run.

    First deliveries are in order where all clients use one node; a node that asks another for a message may give it
    back, because its client was served meanwhile, and a later message comes first.
    """
    case = _Case(history)
    order = out_of_order(history, case.leases) if history.quiet else ()
    is_ordered = len({owner_of(id) for id in case.bodies}) < 2
    lost, in_doubt = case.lost()
    resurrected, lawful = case.delivered_after_removal()
    duplicates, excepted = case.duplicates()
    unfinished = tuple(_unfinished(history))
    findings = (
        _finding("lost", lost, forbidden=not unfinished),
        _finding("unexpected", case.unexpected()),
        _finding("failed, but delivered", case.failed_but_delivered()),
        _finding("said to be unknown, but delivered", case.denied()),
        _finding("resurrected", resurrected),
        _finding("two leases at the same time", case.leases.overlapping(case.owners)),
        _finding("first deliveries out of order (quiet run)", order, forbidden=is_ordered),
        _finding("one push, two messages", duplicates),
        _finding("left after the drain", _left(history), forbidden=not unfinished),
        _finding("gone with a lost answer to ack=now", in_doubt, forbidden=False),
        _finding("acknowledged, again after a change of owner", lawful, forbidden=False),
        _finding("one key, two messages: the one exception", excepted, forbidden=False),
    )
    return Verdict(findings, (*unfinished, *_untested(history)), tuple(_notes(history)))


def _finding(name: str, found: Iterable[str], *, forbidden: bool = True) -> Finding:
    every = list(found)
    return Finding(name, len(every), forbidden, tuple(every[:examples_max]))


class _Case:
    """A history, sorted by message and by body."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.leases = Leases(history)
        self.owners = Owners(history.sights)
        self.pushes: dict[str, list[Operation]] = defaultdict(list)
        self.ids: dict[str, set[str]] = defaultdict(set)  # of a body
        self.bodies: dict[str, set[str]] = defaultdict(set)  # of an id
        self.removals: dict[str, list[Operation]] = defaultdict(list)
        for operation in history.operations:
            self._sort(operation)

    def _sort(self, operation: Operation) -> None:
        if operation.what == "push":
            self.pushes[operation.body].append(operation)
            if operation.result == "ok":
                self._name(operation.id, operation.body)
        elif operation.what == "ack":
            self.removals[operation.id].append(operation)
        for delivery in operation.deliveries:
            self._name(delivery.id, delivery.body)
            if operation.ack_now:
                self.removals[delivery.id].append(operation)

    def _name(self, id: str, body: str) -> None:
        self.ids[body].add(id)
        self.bodies[id].add(body)

    def lost(self) -> tuple[list[str], list[str]]:
        """Messages that nobody removed, and that nobody got at the end; those that an answer may have been lost with.

        A get with ``ack=now`` whose answer was lost may have taken as many messages with it as it asked for.
        """
        missing = [push for push in self._answered() if not self._is_removed(push.id)]
        doubtful = [each for each in self.history.operations if each.ack_now and each.result == "unknown"]
        rooms = sorted((get.ended, get.count_max) for get in doubtful)
        lost, gone = list[str](), list[str]()
        for push in sorted(missing, key=lambda push: push.begun, reverse=True):
            room = next((at for at, (ended, count) in enumerate(rooms) if ended > push.begun and count), None)
            text = f"{push.id} ({push.body}), pushed at {push.begun:.3f}"
            if room is None:
                lost.append(text)
            else:
                rooms[room] = (rooms[room][0], rooms[room][1] - 1)
                gone.append(text)
        return lost, gone

    def _is_removed(self, id: str) -> bool:
        return any(each.may_have_happened for each in self.removals[id])

    def _answered(self) -> Iterator[Operation]:
        """One successful push of each message."""
        yield from {push.id: push for each in self.pushes.values() for push in each if push.result == "ok"}.values()

    def unexpected(self) -> Iterator[str]:
        """Messages that nobody pushed, and ids that name two bodies."""
        for body, ids in self.ids.items():
            if body not in self.pushes:
                yield f"{', '.join(sorted(ids))} has the body {body!r}, which nobody pushed"
        for id, bodies in self.bodies.items():
            if len(bodies) > 1:
                yield f"{id} has the bodies {', '.join(sorted(bodies))}"
        for id, deliveries in self.leases.of.items():
            for body, begun in (
                (push.body, push.begun) for each in self.bodies[id] for push in self.pushes.get(each, [])[:1]
            ):
                first = min(deliveries, key=lambda held: held.get.ended)
                if first.get.ended < begun:
                    yield f"{first}, before {body} was pushed"

    def failed_but_delivered(self) -> Iterator[str]:
        """Messages of which every push was refused."""
        for body, pushes in self.pushes.items():
            delivered = [held for id in self.ids[body] for held in self.leases.of.get(id, [])]
            if delivered and not any(push.may_have_happened for push in pushes):
                yield f"{delivered[0]}, though {body} was refused: {', '.join(push.code for push in pushes)}"

    def denied(self) -> Iterator[str]:
        """Messages that were there, though a node had said that there is no such message."""
        for id, removals in self.removals.items():
            for ack in removals:
                if ack.code == "unknown" and not self._others_removed(ack, removals):
                    later = [held for held in self.leases.of[id] if held.get.begun > ack.ended]
                    if later:
                        yield f"{later[0]}, though {ack.address} had said at {ack.ended:.3f} that there is none"

    def _others_removed(self, ack: Operation, removals: list[Operation]) -> bool:
        return any(each is not ack and each.may_have_happened and each.begun < ack.ended for each in removals)

    def delivered_after_removal(self) -> tuple[list[str], list[str]]:
        """Deliveries asked for after the removal was answered: those that can't be excused, and the others."""
        resurrected, lawful = list[str](), list[str]()
        for id, removals in self.removals.items():
            done = [each for each in removals if each.result == "ok"]
            removal = min(done, key=lambda each: each.ended, default=None)
            for held in self.leases.of.get(id, []) if removal else []:
                if removal and held.get is not removal and held.get.begun > removal.ended:
                    text = f"{held}, removed at {removal.ended:.3f} by client {removal.client}"
                    excused = self._may_have_forgotten(owner_of(id), removal, held)
                    (lawful if excused else resurrected).append(text)
        return resurrected, lawful

    def _may_have_forgotten(self, owner: str, removal: Operation, held: Held) -> bool:
        """Whether the owner changed, and no peer that confirmed the removal could tell the new one."""
        if not self.owners.may_have_changed(owner, removal.begun, held.get.ended):
            return False
        change = self.owners.last_change(owner, held.get.ended)
        if change is None or change.ended >= held.get.begun:
            return True
        witnesses = self.owners.in_session(owner, removal.begun, removal.ended)
        return not any(
            self.owners.lived_through(peer, removal.begun, held.get.ended)
            and self.owners.has_met(owner, peer, change.ended, held.get.begun)
            for peer in witnesses
        )

    def duplicates(self) -> tuple[list[str], list[str]]:
        """Pushes that became two messages; those that `--copies` can't exclude."""
        found, excepted = list[str](), list[str]()
        for body, ids in self.ids.items():
            if len(ids) > 1 and body in self.pushes:
                pushes = self.pushes[body]
                keyed_in_doubt = pushes[0].key and any(push.result == "unknown" for push in pushes)
                ended = max([held.get.ended for id in ids for held in self.leases.of.get(id, [])], default=0.0)
                changed = all(self.owners.may_have_changed(owner_of(id), pushes[0].begun, ended) for id in ids)
                (excepted if keyed_in_doubt and changed else found).append(f"{body} is {', '.join(sorted(ids))}")
        return found, excepted


def _unfinished(history: History) -> Iterator[str]:
    """Say what keeps this history from telling which messages were lost."""
    if not history.finished:
        yield "the history has no end"
    elif history.serving_after_s is None:
        yield "not every node served within a minute after the load"
    elif history.left is None:
        yield "not every node answered after the drain"


def _left(history: History) -> Iterator[str]:
    if history.left:
        yield f"messages left after the drain: {history.left}"


def _untested(history: History) -> Iterator[str]:
    """Say what never worked in this history, so that nothing of it was tested."""
    pushes = [each for each in history.operations if each.what == "push"]
    if not any(push.result == "ok" for push in pushes):
        refused = Counter(push.code for push in pushes).most_common()
        yield "no push was accepted: " + (", ".join(f"{code} {count}" for code, count in refused) or "none was made")
    elif not any(each.deliveries for each in history.operations):
        yield "no message was delivered"
    elif not any(each.result == "ok" and (each.what == "ack" or each.ack_now) for each in history.operations):
        yield "no message was acknowledged"


def _notes(history: History) -> Iterator[str]:
    counts = Counter(
        f"{each.what} {each.result}" + (f" ({each.code})" if each.code else "") for each in history.operations
    )
    yield "requests: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    yield f"messages delivered: {sum(len(each.deliveries) for each in history.operations)}"
    if history.faults:
        yield f"faults: {len(history.faults)}"
    if history.serving_after_s is not None:
        yield f"every node served {history.serving_after_s:.2f} s after the end of the load"
