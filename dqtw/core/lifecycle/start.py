"""How a node starts: it asks, joins what its peers hold of its queue, and serves when it can know every answered push.

Starting and replacing a dead node are the same thing, and a cluster's first start is no special case of it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from attrs import evolve

from dqtw.core.links.peer_messages import Ask, Asked, PeerAnswer
from dqtw.core.links.peers import Peer, Peers
from dqtw.core.model.health import Wait
from dqtw.core.model.settings import NodeSettings
from dqtw.core.replication.links import Links

ask_again_after_s: Final = 0.25
twin_silent_s: Final = 3.0


class Start:
    """The start of one owner.

    Attributes:
        incarnation: what this start has taken; empty before it could be chosen.
    """

    def __init__(
        self,
        now: float,
        settings: NodeSettings,
        boot: str,
        peers: Peers,
        fresh_incarnation: Callable[[str], str],
    ) -> None:
        self.incarnation = ""
        self._settings = settings
        self._boot = boot
        self._peers = peers
        self._fresh_incarnation = fresh_incarnation
        self._asked: dict[str, Asked] = {}
        self._asking: set[str] = set()
        self._ask_at: dict[str, float] = {}
        self._twin_heard_at: dict[str, float] = {}  # when each peer heard another process of this id last
        self._spent = ""  # the last incarnation there can be, if that is what a peer tells of
        self._serve_at = now + settings.start_wait_s

    def pump(self, now: float, links: Links) -> None:
        """Ask whoever has not answered yet, choose the incarnation, and open with those who have answered.

        Until then all are asked again and again: a twin that was silent may be heard by any of them.
        """
        waits = self._knows_twin(now) or not self.incarnation
        for peer in self._peers:
            must_ask = waits or peer.id not in self._asked
            if must_ask and peer.id not in self._asking and now >= self._ask_at.get(peer.id, now):
                self._asking.add(peer.id)
                peer.ask(now, Ask(self._settings.node, self._peers.cluster), partial(self._answered, peer))
        if not self.incarnation and self._may_choose(now):
            self._choose(links)
        elif self.incarnation and self.incarnation == links.incarnation():  # the owner was told of it
            self._open(now, links)

    def begin_again(self, now: float) -> None:
        """This process itself was not running: nobody could answer it, so the wait begins anew."""
        self._serve_at = now + self._settings.start_wait_s

    def fenced(self, now: float, links: Links) -> None:
        """A peer knows a greater incarnation. Nobody was served yet: ask again, and take one that is greater still."""
        links.end_all(now, "a peer knows a greater incarnation")
        self.incarnation = ""
        self._asked.clear()

    def may_serve(self, now: float, links: Links) -> bool:
        """Whether every answered push is here, as far as can be known, or waited for.

        Nobody may be missing who is not known to be unreachable; who declines is not. Then one of three is enough: all
        have joined; or as many as `_enough` that were in sync; or the wait is over, and the queue opens with what it
        has.
        """
        missing = [peer for peer in self._peers if not links[peer.id].is_joined]
        if not self.incarnation or any(not peer.unreachable(now) for peer in missing):
            return False
        return not missing or now >= self._serve_at or self._in_sync_count(links) >= self._enough()

    def waits(self, now: float, links: Links) -> Iterator[Wait]:
        """What the start waits for."""
        if self._spent:
            yield Wait(f"a peer reports the incarnation {self._spent}, and none is greater")
        for peer in self._peers:
            if self._hears_twin(now, peer.id):
                yield Wait(f"{peer.id} has heard from another process of this node's id just now")
            elif peer.declined or not links[peer.id].is_joined:
                yield peer.trouble(now) or Wait(f"{peer.id} has yet to give what it holds", peer.error)

    def _enough(self) -> int:
        """How many peers that were in sync are sure to know every answered push.

        Of M - 1 peers, K - 1 at least held it when it was answered; so of any M - K + 1 peers one did. If that has lost
        its memory since, it counts only once it was in sync again: then it was given all there was.
        """
        return max(1, len(self._settings.members) - self._settings.copies + 1)

    def _in_sync_count(self, links: Links) -> int:
        return sum(
            links[id].is_joined and asked.synced_once and asked.boot == self._peers[id].boot
            for id, asked in self._asked.items()
        )

    def _knows_twin(self, now: float) -> bool:
        return any(self._hears_twin(now, peer.id) for peer in self._peers)

    def _hears_twin(self, now: float, peer: str) -> bool:
        """Whether another process of this id is alive, as far as that peer has said: it is not to be fenced."""
        asked = self._asked.get(peer)
        said_so_last = asked is not None and asked.heard_s_ago < twin_silent_s and self._is_of_another(asked)
        return said_so_last or now - self._twin_heard_at.get(peer, -twin_silent_s) < twin_silent_s

    def _is_of_another(self, asked: Asked) -> bool:
        return asked.owner_boot not in ("", self._boot)

    def _answered(self, peer: Peer, now: float, answer: PeerAnswer) -> None:
        self._asking.discard(peer.id)
        self._ask_at[peer.id] = now + ask_again_after_s
        if isinstance(answer, Asked):
            self._asked[peer.id] = answer
            self._note_twin(now, peer.id, answer)
            if answer.greatest > self.incarnation:
                self.incarnation = ""
        elif peer.id in self._asked and peer.unreachable(now):  # whom it had heard just before says nothing of now
            self._asked[peer.id] = evolve(self._asked[peer.id], owner_boot="")

    def _note_twin(self, now: float, peer: str, answer: Asked) -> None:
        if self._is_of_another(answer):
            heard_at = now - answer.heard_s_ago
            self._twin_heard_at[peer] = max(heard_at, self._twin_heard_at.get(peer, heard_at))

    def _may_choose(self, now: float) -> bool:
        """Whether all who can be reached have said which incarnations they know, and nobody knows a living twin."""
        have_said = all(peer.id in self._asked or peer.unreachable(now) for peer in self._peers)
        return have_said and not self._knows_twin(now)

    def _choose(self, links: Links) -> None:
        told = [asked.greatest for asked in self._asked.values()]
        greatest = max([*told, *links.copy.seen.incarnations], default="")
        self.incarnation = self._fresh_incarnation(greatest)
        self._spent = "" if self.incarnation else greatest

    def _open(self, now: float, links: Links) -> None:
        for id in self._asked:
            if not self._hears_twin(now, id):
                links.want(id)
        links.pump(now)
