"""The other members, as reached from here: at which address, and whether they answer."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from dqtw.core.links.calls import Calls, call_timeout_s
from dqtw.core.links.peer_messages import (
    Addresses,
    Ask,
    Asked,
    Asking,
    Declined,
    Failed,
    InSession,
    NoSession,
    Open,
    Opened,
    PeerAnswer,
    PeerRequest,
)
from dqtw.core.model.health import Wait
from dqtw.core.model.settings import NodeSettings, SharedSettings

unreachable_after_s: Final = 3.0

Then = Callable[[float, PeerAnswer], None]


def is_encrypted(url: str) -> bool:
    """Return True if what is sent to this URL is encrypted."""
    return url.lower().startswith("https://")


class Peer:
    """One other member. Every request to it and every answer passes here, so this knows whether it answers.

    It is *up* when the last thing heard of it was an answer, and no request has waited for 3 s. It is *unreachable*
    when it was asked, and has been silent for 3 s. It may be neither: that is not known yet. Who *declines* answers,
    and does not speak with this node: it is up, and never counts as absent.

    Attributes:
        id: the member's node id.
        boot: the process that answered last.
        leaving: this process of it has said that it is about to stop.
        declined: why it does not speak with this node, and at which address it said so; empty: it did not.
        fault: what was wrong with its latest answer that ended a session; empty since one has begun.
        cannot_reach: why its own requests to this node fail at present, as it said; empty: they do not.
        last_request: the number of the latest one to it.
        rises: how many times it has come up: a new process, or an answer after a failure.
        members: the list of members that this process of it was told; empty: it has yet to say.
        members_before: what the process before it was told.
        settings_differ: those of its settings that should be the same as here and are not, in words.
    """

    def __init__(self, id: str, url: str, peers: "Peers", calls: Calls) -> None:
        self.id = id
        self.boot = ""
        self.leaving = False
        self.declined = ""
        self.fault = ""
        self.cannot_reach = ""
        self.settings_differ: tuple[str, ...] = ()
        self.members: tuple[str, ...] = ()
        self.members_before: tuple[str, ...] = ()
        self.rises = 0
        self._configured_url = url
        self._tries = 0
        self._failures: dict[str, str] = {}  # why the latest request to each address failed, since the last answer
        self._peers = peers
        self._calls = calls
        self._silent_since: float | None = None  # the first request, of those since the last answer, that has none
        self._heard = False
        self.last_request = 0  # they are numbered
        self._answered = 0  # the latest that was answered
        self._stays = 0  # the latest request in whose answer it said that it is not about to stop

    def ask(self, now: float, request: PeerRequest, then: Then, timeout_s: float = call_timeout_s) -> None:
        """Send a request; ``then`` gets a checked answer or `Failed`."""
        if self._silent_since is None and timeout_s <= call_timeout_s:  # who may wait there is no sign of silence
            self._silent_since = now
        self.last_request += 1
        url = self._url()
        take = partial(self._take, self.last_request, request, url, then)
        self._calls.start(now, self.id, url, request, take, timeout_s)

    def stays(self, now: float, since: int) -> bool:
        """Whether it answers, and has said, asked after request number ``since``, that it is not about to stop."""
        return self.is_up(now) and not self.leaving and self._stays > since

    def knows_member(self, id: str) -> bool:
        """Whether it may hold a copy of that node's queue."""
        return not self.members or id in self.members

    def may_take(self, queue: str) -> bool:
        """Whether it may be given a copy of that node's queue: it speaks with this node, and knows the other."""
        return not self.declined and self.knows_member(queue)

    @property
    def members_differ(self) -> bool:
        """Whether it was told another list of members than this node."""
        return bool(self.members) and self.members != self._peers.members

    @property
    def failure(self) -> str:
        """Why requests fail at present, and at which address; empty: the latest answer came after the last failure."""
        return "; ".join(f"{why} ({url})" for url, why in self._failures.items())

    @property
    def error(self) -> str:
        """What is wrong at present; empty when all is well."""
        return self.failure or self.declined or self.fault

    def trouble(self, now: float) -> Wait | None:
        """Return why it is of no use to this node; None if nothing is known to be wrong."""
        if self.declined:
            return Wait(f"{self.id} declines", self.declined)
        if self.unreachable(now):
            return Wait(f"{self.id} cannot be reached", self.failure or f"no answer in time ({self._url()})")
        if self.fault:
            return Wait(f"{self.id} sends what cannot be used", self.fault)
        return None

    def unreachable(self, now: float) -> bool:
        """Whether it has not answered for a while."""
        return self._silent_since is not None and now - self._silent_since >= unreachable_after_s

    def is_up(self, now: float) -> bool:
        """Whether it answered its last request, and has not left one waiting for long."""
        return self._heard and not self.unreachable(now)

    def forgive(self, now: float) -> None:
        """This process itself was not running: the silence since then proves nothing, nor does what was said before."""
        self.declined = ""
        if self._silent_since is not None:
            self._silent_since = now

    def moved(self) -> None:
        """It has told a new address: an older process may still answer at the one that was used until now."""
        self._tries = 0

    def _url(self) -> str:
        """Return the address it announced last; every second try after a failure the configured one.

        It may have moved back.
        """
        return self._configured_url if self._tries % 2 else self._announced_url()

    def _announced_url(self) -> str:
        """Return the address it announced last, if that may be used, or else the configured one.

        An address never weakens a link, whoever passed it on: where https is configured, plain http is not used.
        """
        announced = self._peers.addresses.get(self.id, ("", ""))[1]
        is_weaker = is_encrypted(self._configured_url) and not is_encrypted(announced)
        return self._configured_url if is_weaker or not announced else announced

    def _take(self, number: int, request: PeerRequest, url: str, then: Then, now: float, answer: PeerAnswer) -> None:
        fault = self._fault(answer)
        if fault:
            answer = Failed(fault)
        if not isinstance(answer, Failed):
            is_late = number < self._answered  # what it says of its process is out of date
            self._answered = max(self._answered, number)
            self._note(answer, url, is_late=is_late)
            if isinstance(answer, Asked | InSession) and answer.boot == self.boot:
                self._said_whether_it_stays(number, leaving=answer.leaving)
            elif isinstance(answer, NoSession) and isinstance(request, Ask | Open) and answer.boot == self.boot:
                self.leaving = True  # nobody else answers these so: it has handed everything over
        elif number > self._answered:  # else it has answered better since
            self._fail(now, url, answer.why)
        then(now, answer)

    def _said_whether_it_stays(self, number: int, *, leaving: bool) -> None:
        self.leaving |= leaving  # for good, in whatever order its answers come
        if not leaving:
            self._stays = max(self._stays, number)

    def _fail(self, now: float, url: str, why: str) -> None:
        self._tries += url == self._url()  # of requests that fail together one is enough
        self._heard = False
        self.declined = ""
        in_use = (self._announced_url(), self._configured_url)
        self._failures = {each: told for each, told in {**self._failures, url: why}.items() if each in in_use}
        if self._silent_since is None:
            self._silent_since = now

    def _note(self, answer: PeerAnswer, url: str, *, is_late: bool) -> None:
        boot = self.boot if is_late else getattr(answer, "boot", self.boot)
        self.rises += not self._heard or boot != self.boot
        if boot != self.boot:
            self._meet()
        self._heard = True
        self._silent_since = None
        self._failures = {}
        self.declined = f"{answer.why} ({url})" if isinstance(answer, Declined) else ""
        self.boot = boot
        if isinstance(answer, Asked | Opened):
            self._peers.learn(answer.addresses)
        if isinstance(answer, Opened):
            self._hear_members(answer.members)
            self._hear_settings(answer.settings)

    def _meet(self) -> None:
        """Another process answers: what the one before said of itself says nothing of this one."""
        self.members_before, self.members = self.members or self.members_before, ()
        self.leaving = False
        self._stays = 0
        self.cannot_reach = ""
        self.settings_differ = ()

    def _hear_members(self, members: tuple[str, ...]) -> None:
        was_told, self.members = self.members_differ, members
        if self.members_differ and not was_told:
            theirs, ours = ", ".join(members), ", ".join(self._peers.members)
            self._peers.note(
                "{peer} has other members: {theirs}; here: {ours}", "warn", peer=self.id, theirs=theirs, ours=ours
            )

    def _hear_settings(self, theirs: SharedSettings) -> None:
        before, self.settings_differ = self.settings_differ, self._peers.settings.differences(theirs)
        if self.settings_differ and self.settings_differ != before:
            differences = "; ".join(self.settings_differ)
            self._peers.note("{peer} has other settings: {differences}", "warn", peer=self.id, differences=differences)

    def _fault(self, answer: PeerAnswer) -> str:
        """Why an answer can't be trusted: it comes from another node, or from a process that is known as another."""
        node, boot = getattr(answer, "node", "") or self.id, getattr(answer, "boot", None)
        if node == self._peers.node:
            return "that is this node itself"
        if node != self.id:
            return f"that is the node {node}, not {self.id}"
        if boot is not None and boot in self._peers.boots_but(self.id):
            return "that is the same process as another member"
        return ""


class Peers:
    """All other members, and the addresses that nodes have announced.

    Attributes:
        node: this node's id.
        members: the ids of all members, this node too, in order.
        cluster: the cluster's name.
        settings: what peers should be told, too.
        boot: this node's own process.
        addresses: of every member that announced one, this node too.
    """

    def __init__(
        self,
        settings: NodeSettings,
        boot: str,
        send: Callable[[Asking], None],
        note: Callable[..., None],
    ) -> None:
        self.node = settings.node
        self.members = settings.members
        self.cluster = settings.cluster
        self.settings = settings.shared
        self.boot = boot
        self.addresses: Addresses = {}
        self.calls = Calls(send)
        self.note = note
        self._peers = {id: Peer(id, url, self, self.calls) for id, url in sorted(settings.peers.items())}

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def __len__(self) -> int:
        return len(self._peers)

    def __getitem__(self, id: str) -> Peer:
        return self._peers[id]

    def __contains__(self, id: str) -> bool:
        return id in self._peers

    def somebody_knows(self, id: str) -> bool:
        """Whether a peer was told of a member that this node was not: the list is being changed."""
        return any(id in (peer.members or peer.members_before) for peer in self)

    def learn(self, told: Addresses) -> None:
        """Take over what a node knows of the members' addresses."""
        for id, (incarnation, url) in told.items():
            if id in self.members and incarnation > self.addresses.get(id, ("", ""))[0]:
                self.addresses[id] = (incarnation, url)
                if id in self._peers:
                    self._peers[id].moved()

    def boots_but(self, id: str) -> set[str]:
        """The processes that are known, but for that member's."""
        return {self.boot, *(peer.boot for peer in self._peers.values() if peer.id != id and peer.boot)}
