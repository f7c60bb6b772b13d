"""What happened, in short lines for a person, and a fingerprint of it all."""

from collections import Counter
from hashlib import blake2b
from typing import Protocol

from dqtw.core.links.peer_messages import (
    Applied,
    Ask,
    Asked,
    Declined,
    Delta,
    Failed,
    FencedOff,
    Fetch,
    Fetched,
    Forward,
    Forwarded,
    NoSession,
    Open,
    Opened,
    Page,
    Paged,
    PeerAnswer,
    PeerRequest,
)
from dqtw.core.model.commands import (
    Ack,
    Batch,
    Complete,
    Delivered,
    Forwardable,
    Get,
    GiveBack,
    Inspect,
    Nack,
    Outcome,
    Outcomes,
    Push,
    Pushed,
    Touch,
)
from dqtw.core.model.errors import Refusal
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.message import MessageId


class Time(Protocol):
    """What a trace needs of the clock."""

    now: float


class Trace:
    """The story of one seed.

    Attributes:
        counts: how often things happened, by name; kept whether the story is told or not.
    """

    def __init__(self, clock: Time, *, is_told: bool = False, is_hashed: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.is_on = is_told or is_hashed
        self._clock = clock
        self._is_told = is_told
        self._hash = blake2b(digest_size=16)

    def line(self, who: object, what: str) -> None:
        """Something happened."""
        if self.is_on:
            text = f"{self._clock.now:10.4f}  {who!s:<7} {what}"
            self._hash.update(text.encode())
            if self._is_told:
                print(text)

    @property
    def fingerprint(self) -> str:
        """The same for two runs that told the same story."""
        return self._hash.hexdigest()


def short(id: MessageId) -> str:
    """An id, without the part of the incarnation that is the same in a whole story."""
    return f"{id.node}.{id.incarnation[6:13]}.{id.n}"


def tell_ids(ids: IdSet) -> str:
    """A set of ids."""
    listed = [short(id) for id, _ in zip(ids, range(4), strict=False)]
    return f"[{' '.join(listed)}{' …' if len(ids) > 4 else ''}]" if listed else "[]"


def tell_command(command: Forwardable) -> str:
    """What a client asks for, or a peer for several."""
    match command:
        case Batch():
            return ", ".join(map(tell_command, command.commands))
        case Push():
            key = f" key={command.key}" if command.key else ""
            wait = f" wait={command.wait_s:.1f}" if command.wait_s else ""
            return f"push {command.body[:16]!r}{key}{wait}"
        case Get():
            now = " ack=now" if command.ack_now else ""
            return f"get max={command.count_max} wait={command.wait_s:.1f} lease={command.lease_s}{now}"
        case Ack() | Inspect():
            return f"{type(command).__name__.lower()} {short(command.id)}"
        case Nack() | Touch() | GiveBack() | Complete():
            return f"{type(command).__name__.lower()} {short(command.receipt.id)}.{command.receipt.token[-4:]}"


def tell_outcome(outcome: Outcome | Outcomes) -> str:
    """What that came to."""
    match outcome:
        case Outcomes():
            return f"each: {', '.join(map(tell_outcome, outcome.outcomes))}"
        case Refusal():
            return f"{outcome.code}: {outcome.detail}"
        case Pushed():
            return f"ok {short(outcome.id)} {outcome.copies}/{outcome.members}{' duplicate' * outcome.duplicate}"
        case Delivered():
            each = [f"{short(d.receipt.id)}.{d.receipt.token[-4:]} ({d.attempt})" for d in outcome.deliveries]
            return f"messages {' '.join(each)}" if each else "empty"
    return "ok"


def tell_request(request: PeerRequest) -> str:
    """What a node asks of another."""
    match request:
        case Ask():
            return f"ask {request.queue}"
        case Open():
            return f"open {request.queue} as {request.role.value} in {request.incarnation[6:13]}"
        case Page():
            return f"page {request.queue} #{request.request}"
        case Delta():
            put = " ".join(short(put.id) for put in request.put[:4])
            synced = " synced" if request.synced else ""
            gone = tell_ids(request.gone)
            return f"delta {request.queue} #{request.request} gone {gone} put [{put}] keys {len(request.keys)}{synced}"
        case Fetch():
            return f"fetch {request.queue} #{request.request} {tell_ids(request.ids)}"
        case Forward():
            return f"forward {tell_command(request.command)}"


def tell_answer(answer: PeerAnswer) -> str:
    """What a node answers another."""
    match answer:
        case Asked():
            heard = f"{answer.heard_s_ago:.1f} s ago" if answer.owner_boot else "never"
            flags = " synced_once" * answer.synced_once + " in_sync" * answer.in_sync + " leaving" * answer.leaving
            flags += " fenced" * answer.fenced
            return f"asked: greatest {answer.greatest[6:13]} heard {heard}{flags}"
        case Opened():
            return f"opened: seen {tell_ids(answer.digest.seen)} live {tell_ids(answer.digest.live)}"
        case Paged():
            return f"paged #{answer.request}"
        case Applied():
            return f"applied #{answer.request}{' shared' * answer.shared}{' leaving' * answer.leaving}"
        case Fetched():
            return f"fetched put {len(answer.put)} gone {tell_ids(answer.gone)}"
        case Forwarded():
            return f"forwarded: {tell_outcome(answer.outcome)}"
        case FencedOff():
            return f"fenced by {answer.greatest[6:13]}"
        case NoSession():
            return "no such session"
        case Declined() | Failed():
            return f"{type(answer).__name__.lower()}: {answer.why}"
