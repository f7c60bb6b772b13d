"""Planted faults: start, fencing, leaving, keys, forwarding, clocks (rules 9 to 18), and the queue itself."""

from itertools import count
from typing import Any

from attrs import evolve

from dqtw.core import node
from dqtw.core.effects import Departure, Status
from dqtw.core.forwarding.forwarding import Forwarding
from dqtw.core.forwarding.replays import ReplayWindow
from dqtw.core.lifecycle.leaving import Drain, HandOver
from dqtw.core.lifecycle.life import Life
from dqtw.core.lifecycle.start import Start
from dqtw.core.links.peer_messages import Asked, Failed
from dqtw.core.links.peers import Peer, Peers
from dqtw.core.model.commands import Ack, Delivered, Get
from dqtw.core.model.errors import OwnerDown
from dqtw.core.model.keys import KeyMemory
from dqtw.core.node import Node
from dqtw.core.queue.owner import Owner
from dqtw.core.queue.queue import Queue
from dqtw.core.replication.exchange import Exchanges
from dqtw.core.replication.held_copy import HeldCopy
from dqtw.core.replication.holder import Holder
from dqtw.core.replication.links import Links
from tests.simulation.planting import Patch, no, nothing, planted, yes

# Rule 9: start.


@planted("9", "a starting node serves without waiting for its peers")
def serve_at_once() -> list[Patch]:
    return [(Start, "may_serve", lambda self, now, links: bool(self.incarnation))]


@planted("9", "one peer that was in sync is enough, however few copies a push needs")
def one_in_sync_is_enough() -> list[Patch]:
    return [(Start, "_enough", lambda self: 1)]


@planted("9", "a peer that has lost its memory counts as one that was in sync")
def count_the_forgetful() -> list[Patch]:
    original = Start._answered

    def answered(self: Any, peer: Any, now: float, answer: Any) -> None:
        original(self, peer, now, evolve(answer, synced_once=True) if isinstance(answer, Asked) else answer)

    return [(Start, "_answered", answered)]


@planted("9", "an incarnation is used again")
def reuse_incarnations() -> list[Patch]:
    original = Start._choose

    def choose(self: Any, *arguments: Any) -> None:
        greatest = max((asked.greatest for asked in self._asked.values()), default="")
        original(self, *arguments)
        self.incarnation = greatest or self.incarnation

    return [(Start, "_choose", choose)]


@planted("9", "a peer that is slow counts as unreachable")
def slow_is_unreachable() -> list[Patch]:
    def unreachable(self: Any, now: float) -> bool:
        return self._silent_since is not None and now - self._silent_since >= 0.001

    return [(Peer, "unreachable", unreachable)]


@planted("9", "404 is said of an older id without asking the peers")
def unknown_without_asking() -> list[Patch]:
    return [(Links, "may_know", no)]


# Rule 10: twins.


@planted("10", "a starting node fences a process of its id that is alive")
def fence_the_living() -> list[Patch]:
    return [(Start, "_hears_twin", no)]


# Rule 11: fencing.


@planted("11", "after a gap, an owner goes on without asking whether it was replaced")
def no_gap_check() -> list[Patch]:
    return [(Links, "in_doubt", no)]


@planted("11", "a peer lets an older incarnation go on")
def ignore_the_greatest() -> list[Patch]:
    original = Holder._delta

    def delta(self: Any, now: float, delta: Any) -> Any:
        held = self.held.get(delta.queue)
        return original(self, now, delta if held is None else evolve(delta, incarnation="~"))

    def open_(self: Any, now: float, request: Any) -> Any:
        held = self.held.get(request.queue)
        if held is not None and held.greatest > request.incarnation:
            held.greatest = ""
        return open_before(self, now, request)

    open_before = Holder._open
    return [(Holder, "_delta", delta), (Holder, "_open", open_)]


@planted("11", "after a gap, a push is taken in without asking whether the owner was replaced")
def admit_after_a_gap() -> list[Patch]:
    return [(Links, "copies_in_doubt", no)]


# Rule 12: leaving.


@planted("12", "a node that was asked to leave goes at once")
def leave_at_once() -> list[Patch]:
    return [(Drain, "departure", lambda *_, **__: Departure(Status.DRAINED, 0))]


@planted("12", "a fenced node goes at once")
def fenced_leaves_at_once() -> list[Patch]:
    return [(HandOver, "departure", lambda *_: Departure(Status.FENCED, 0))]


@planted("12", "a node that leaves relies on peers that are leaving, too")
def rely_on_the_leaving() -> list[Patch]:
    return [(Drain, "_heirs", lambda self, now: (peer for peer in self._peers if peer.is_up(now)))]


@planted("12", "a node that leaves alone does not count what it takes with it")
def count_nothing() -> list[Patch]:
    return [(Drain, "only_here", lambda self, now: 0)]


# Rule 13: ready.


@planted("13", "a node is ready as soon as it serves")
def ready_at_once() -> list[Patch]:
    def look(self: Any, now: float) -> None:
        self.was_ready = self.was_ready or self.is_serving

    return [(Life, "look_for_readiness", look)]


# Rule 14: copies of others.


@planted("14", "peers do not bring their copies of others together")
def no_exchange() -> list[Patch]:
    return [(Exchanges, "_is_due", no)]


# Rule 15: keys.


@planted("15", "the keys of removed messages are not told to the peers")
def keys_stay_here() -> list[Patch]:
    return [(KeyMemory, "records", lambda self, now: []), (Links, "gone", _gone_without_key())]


def _gone_without_key() -> Any:
    original = Links.gone
    return lambda self, id, record=None: original(self, id)


@planted("15", "the key of a push that was taken back is remembered as if that had been removed")
def keys_from_removals() -> list[Patch]:
    return [(KeyMemory, "withdraw", nothing)]


@planted("15", "a keyed push does not wait for what is being recovered")
def keys_without_rescue() -> list[Patch]:
    return [(Links, "rescue_is_done", yes)]


@planted("15", "a key has another home on each try")
def homeless_keys() -> list[Patch]:
    turn = count()
    return [(node, "home_of", lambda key, members: sorted(members)[next(turn) % len(members)])]


# Rule 16: forwarding.


@planted("16", "a get that a peer has forwarded is forwarded further")
def forward_twice() -> list[Patch]:
    def get(self: Any, now: float, ticket: int, get: Get, *, is_cleared: bool) -> None:
        self._check_open()
        if self.owner.ready_count():
            self.owner.get(now, ticket, get)
        else:
            self.owner.stand_in_line(now, ticket, get, 5.0)
            self.forwarding.hunt(now, ticket, get)

    return [(Node, "_get", get)]


@planted("16", "what is to be removed at delivery is handed out before its removal is answered")
def hand_out_early() -> list[Patch]:
    def complete(self: Any, ticket: int, peer: Any, delivered: Delivered) -> None:
        self._answer(ticket, delivered)

    return [(Forwarding, "_complete", complete)]


@planted("16", "what is removed at delivery may be in another worker's hands")
def take_from_others() -> list[Patch]:
    return [(Owner, "complete", lambda self, now, ticket, each: self.ack(now, ticket, Ack(each.receipt.id)))]


@planted("16", "a forwarded request whose answer is lost is said not to have happened")
def lost_is_refused() -> list[Patch]:
    original = Forwarding._forwarded

    def forwarded(self: Any, ticket: int, command: Any, now: float, answer: Any) -> None:
        if isinstance(answer, Failed):
            self._answer(ticket, OwnerDown("the owner did not answer"))
        else:
            original(self, ticket, command, now, answer)

    return [(Forwarding, "_forwarded", forwarded)]


@planted("16", "a forward that comes a second time is carried out again")
def take_repeats() -> list[Patch]:
    return [(ReplayWindow, "take", yes)]


@planted("16", "waiting gets do not hear of messages that are ready elsewhere")
def no_hints() -> list[Patch]:
    return [(Forwarding, "hinted", nothing)]


# Rule 17: pruning, addresses.


@planted("17", "removals are forgotten with their incarnation, however new that is")
def prune_too_much() -> list[Patch]:
    original = HeldCopy.heard_of

    def heard_of(self: Any, incarnation: str) -> None:
        if incarnation > self.greatest:
            for idle in self.copy.seen.incarnations:
                if not self.copy.live_ids.of_incarnation(idle):
                    self.copy.seen.drop_incarnation(idle)
        original(self, incarnation)

    return [(HeldCopy, "heard_of", heard_of)]


@planted("17", "the addresses that nodes tell are not heeded")
def configured_addresses_only() -> list[Patch]:
    return [(Peers, "learn", nothing)]


# Rule 18: clocks.


@planted("18", "leases follow a wall clock that is set back and forth")
def leases_by_the_wall_clock() -> list[Patch]:
    original = Queue.lease

    def lease(self: Any, now: float, lease_s: float, token: str) -> Any:
        delivery = original(self, now, lease_s, token)
        if delivery is not None:
            self._deadlines.set(delivery.receipt.id, now + lease_s + (7.0 if int(now) % 2 else -0.9 * lease_s))
        return delivery

    return [(Queue, "lease", lease)]


# The queue's own promises.


@planted("promise", "a leased message is delivered to a second worker")
def lease_twice() -> list[Patch]:
    original = Queue.lease

    def lease(self: Any, now: float, lease_s: float, token: str) -> Any:
        delivery = original(self, now, lease_s, token)
        if delivery is not None:
            self.release(delivery.receipt.id)
        return delivery

    return [(Queue, "lease", lease)]


@planted("promise", "a lease never ends")
def eternal_leases() -> list[Patch]:
    return [(Queue, "expire", lambda self, now: len(self._deadlines.pop_due(now)) * 0)]


@planted("promise", "what was recovered is delivered out of order")
def newest_first() -> list[Patch]:
    def first_ready(self: Any) -> Any:
        ready = [id for id in self._ready if id in self._entries]
        self._ready = sorted(ready, reverse=True)
        return self._ready[0] if self._ready else None

    return [(Queue, "_first_ready", first_ready)]
