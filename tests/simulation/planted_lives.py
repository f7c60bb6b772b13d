"""Planted faults: links, start, fencing, leaving, keys, forwarding (chapters 2, 5, 6, 7, 8)."""

from typing import Any

from dqtw.core import dispatch
from dqtw.core.effects import Departure, Status
from dqtw.core.forwarding.link_calls import Call
from dqtw.core.forwarding.outbound import Outbound
from dqtw.core.forwarding.remote_gets import Answered
from dqtw.core.lifecycle.handover import Handover
from dqtw.core.lifecycle.lifecycle import Lifecycle
from dqtw.core.lifecycle.ownership import Ownership
from dqtw.core.lifecycle.recovery import Recovery
from dqtw.core.links.cluster import Cluster
from dqtw.core.links.dialling import Dialling
from dqtw.core.links.frames import Stays
from dqtw.core.links.link import Link, LinkUp
from dqtw.core.links.members import Member
from dqtw.core.links.network import Network
from dqtw.core.links.pairing import Pairing
from dqtw.core.model import replica
from dqtw.core.model.dots import DotSet
from dqtw.core.model.errors import OwnerDown
from dqtw.core.model.incarnation import fresh_incarnation
from dqtw.core.model.key_memory import KeyMemory
from dqtw.core.node import Node
from dqtw.core.queue.queue import Queue
from dqtw.core.replication import holding
from dqtw.core.replication.anti_entropy import AntiEntropy
from dqtw.core.replication.replicator import Replicator
from dqtw.core.replication.session import Session
from tests.simulation.planting import Patch, no, nothing, planted, yes

# Chapter 2: links.


@planted("2", "a link that is silent is not closed")
def silence_is_fine() -> list[Patch]:
    return [(Link, "fault", lambda self, now: None)]


@planted("2", "a link is up as soon as both streams are there, whatever the peer names")
def pair_unchecked() -> list[Patch]:
    def compare(self: Any, now: float, theirs: Any) -> Any:

        link = self.link
        if link is None or link.is_up:
            return []
        link.is_up, link.up_at, self.process.link = True, now, link
        return [LinkUp(link)]

    return [(Pairing, "_compare", compare)]


@planted("2", "a stream of a pair that has ended stays open")
def half_a_pair() -> list[Patch]:
    return [(Pairing, "closed", lambda self, number, why: (self._streams.pop(number, None) and []) or [])]


@planted("2", "a process that was dialled does not dial back")
def no_dialling_back() -> list[Patch]:
    return [(Pairing, "must_dial_back", property(no))]


@planted("2", "an address that a peer has announced is not used")
def configured_addresses_only() -> list[Patch]:
    return [(Dialling, "address", lambda self, announced, configured: configured)]


@planted("2", "links and all times survive a pause")
def pause_keeps_links() -> list[Patch]:
    return [(Node, "_note_pause", lambda self, now: setattr(self, "_last_input_at", now))]


@planted("2", "absence is counted through a pause")
def absence_during_pause() -> list[Patch]:
    original = Network.resumed

    def resumed(self: Any, now: float) -> Any:
        before = {member: member.present_at for member in self.cluster.members.values()}
        events = original(self, now)
        for member, at in before.items():
            member.present_at = at
        return events

    return [(Network, "resumed", resumed)]


@planted("2", "a peer that was silent for a moment counts as unreachable")
def slow_is_unreachable() -> list[Patch]:
    return [(Member, "unreachable_from", property(lambda self: self.present_at + 0.01))]


@planted("2", "a node that refuses this one counts as unreachable")
def refused_is_unreachable() -> list[Patch]:
    return [(Member, "is_refused", no)]


@planted("3", "the session of a node is with its oldest process")
def oldest_process() -> list[Patch]:
    def current(self: Any) -> Any:
        linked = [link for link in self.links if link.process.status is not None and not link.process.is_going]
        return min(linked, key=lambda link: (link.process.incarnation or "", link.up_at), default=None)

    return [(Member, "current", property(current))]


# Chapter 5: start, service, end.


@planted("5.1", "a starting node serves without waiting for its peers")
def serve_at_once() -> list[Patch]:
    return [(Recovery, "advance", yes)]


@planted("5.1", "one complete replica is enough, however few copies a push needs")
def one_complete_is_enough() -> list[Patch]:
    return [(Recovery, "_enough", property(lambda self: 1))]


@planted("5.1", "each peer that answers counts as complete")
def all_are_complete() -> list[Patch]:

    original = Session.opened
    return [
        (
            Session,
            "opened",
            lambda self, now, *, was_complete, changes: original(self, now, was_complete=True, changes=changes),
        )
    ]


@planted("5.1", "a start is over after --start-wait, whatever a peer still sends")
def start_ends_by_the_clock() -> list[Patch]:
    return [(Recovery, "_is_silent", yes)]


@planted("5.1", "an incarnation is used again")
def reuse_incarnations() -> list[Patch]:
    original = Lifecycle.choose

    def choose(self: Any, now: float, cluster: Any) -> Any:
        fresh = original(self, now, cluster)
        return fresh and (cluster.greatest(self._settings.node) or fresh)

    return [(Lifecycle, "choose", choose)]


@planted("5.1", "the random part of an incarnation is always the same")
def greatest_plus_one() -> list[Patch]:
    original = Lifecycle.__init__

    def init(self: Any, now: float, settings: Any, fresh: Any) -> None:

        original(self, now, settings, lambda at, greatest: fresh_incarnation(0, bytes(10), greatest))

    return [(Lifecycle, "__init__", init)]


@planted("5.2", "a starting node takes the place of a living process of its id")
def fence_the_living() -> list[Patch]:
    return [(Cluster, "twin_in_the_way", lambda self, now: None)]


@planted("5.3", "a process ignores that a greater incarnation of its id exists")
def ignore_the_greatest() -> list[Patch]:
    return [(Node, "_fence", nothing)]


@planted("5.3", "a fenced process waits for its successor although that is dead")
def fenced_waits_for_the_dead() -> list[Patch]:
    return [(Lifecycle, "may_start_anew", no)]


@planted("5.4", "a process that was paused serves before its peers have answered it")
def serve_after_a_pause() -> list[Patch]:
    return [(Ownership, "resumed", nothing)]


@planted("5.5", "a process that was asked to leave goes at once")
def leave_at_once() -> list[Patch]:
    return [(Handover, "drained", lambda self, *_: Departure(Status.DRAINED, 0))]


@planted("5.5", "a fenced process goes at once")
def fenced_leaves_at_once() -> list[Patch]:
    return [(Handover, "replaced", lambda self, *_: Departure(Status.FENCED, 0))]


@planted("5.5", "a leaving process tells others that it stays")
def rely_on_the_leaving() -> list[Patch]:
    original = Link.send

    def send(self: Any, frame: Any) -> None:
        original(self, Stays(frame.call, yes=True) if isinstance(frame, Stays) else frame)

    return [(Link, "send", send)]


@planted("5.5", "a leaving process that cannot hand over reports that nothing is lost")
def count_nothing() -> list[Patch]:
    return [(Handover, "only_here", lambda self, *_: 0)]


@planted("5.5", "a leaving process does not go when its time is over")
def leave_never() -> list[Patch]:
    original = Handover.__init__
    return [(Handover, "__init__", lambda self, now, deadline: original(self, now, None))]


@planted("5.6", "a node is ready as soon as it serves")
def ready_at_once() -> list[Patch]:
    return [(Lifecycle, "waits_for_replicas", lambda self, *_: iter(()))]


@planted("5.7", "peers do not compare their replicas of a node that is away")
def no_exchange() -> list[Patch]:
    return [(AntiEntropy, "open_sessions", nothing)]


# Chapter 6: keys.


@planted("6", "a push with a key stays at the node to which it came")
def keys_stay_here() -> list[Patch]:
    return [(dispatch, "home_of", lambda key, members: "")]


@planted("6", "a keyed push does not wait for the peers that may know its key")
def keys_without_peers() -> list[Patch]:
    return [(Ownership, "takes_keys", yes)]


@planted("6", "a retry of a recovered message is answered at once")
def retry_old_index() -> list[Patch]:

    def repeat(self: Any, now: float, dot: Any, ticket: int) -> None:
        if dot in self.pushes:
            self.pushes.share(now, dot, ticket, answer=True)
        else:
            self.pushes.add(now, 0, (dot,), ticket, answer=True)

    return [(Replicator, "repeat", repeat)]


@planted("6", "the key of a removed message is forgotten")
def keys_of_live_only() -> list[Patch]:

    return [(KeyMemory, "_learn", nothing)]


# Chapter 7: forwarding.


@planted("7", "a call whose link failed is reported as never sent")
def lost_is_refused() -> list[Patch]:

    return [(Call, "lost", lambda self: OwnerDown("it was not sent"))]


@planted("7", "a get with ack=now delivers what it has not removed yet")
def hand_out_early() -> list[Patch]:

    original = Outbound._take

    def take(self: Any, now: float, calls: Any, number: int, outcome: Any, polls: Any) -> Any:
        call = calls.under_way.get(number)
        result = original(self, now, calls, number, outcome, polls)
        deliveries = getattr(outcome, "deliveries", ())
        if call is not None and result is None and deliveries:
            ticket = getattr(getattr(call.purpose, "poll", None), "ticket", None)
            if ticket is not None and self.withdraw(ticket):
                return Answered(ticket, outcome)
        return result

    return [(Outbound, "_take", take)]


@planted("7", "owners do not report what they have ready")
def no_reports() -> list[Patch]:
    return [(Outbound, "reported", nothing)]


@planted("7", "a delivery that reached no client is not given back")
def no_give_back() -> list[Patch]:
    return [(Node, "_undo", nothing)]


# Chapter 8, and the queue itself.


@planted("8", "what an owner has removed is pruned while its messages are live elsewhere")
def prune_too_much() -> list[Patch]:
    return [(holding, "incarnations_kept", -1), (replica, "incarnations_kept", 1)]


@planted("promise", "a message that is leased is leased again")
def lease_twice() -> list[Patch]:
    original = Queue.lease

    def lease(self: Any, *arguments: Any) -> Any:
        delivery = original(self, *arguments)
        if delivery is not None and delivery.attempt == 2:
            self.ready.add(*delivery.receipt.id[1:])
        return delivery

    return [(Queue, "lease", lease)]


@planted("promise", "a lease never ends")
def eternal_leases() -> list[Patch]:
    return [(Queue, "expire", lambda self, now: 0), (Queue, "next_deadline", lambda self: None)]


@planted("promise", "the newest message is delivered first")
def newest_first() -> list[Patch]:
    original = Queue.lease

    def lease(self: Any, *arguments: Any) -> Any:

        ready, dots = self.ready, sorted(self.ready)
        if not dots:
            return None
        self.ready = DotSet.of(dots[-1:])
        delivery = original(self, *arguments)
        ready.discard(*dots[-1])
        self.ready = ready
        return delivery

    return [(Queue, "lease", lease)]
