"""A peer is dead, or says nothing: pushes are answered soon and truly, and consuming goes on."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from attrs import define, field

from tests.cluster.cluster import Cluster, receipt_of, wait_for
from tests.process.node import HttpAnswer, RunningNode

noticed_s_max = 6.0  # a request to a peer each second at least, and its time-out


def push(node: RunningNode, body: str = "x") -> HttpAnswer:
    return node.request("POST", "/push", body.encode())


def code_of(answer: HttpAnswer) -> str:
    return "ok" if answer.status == 201 else str(answer.json["code"])


def lacks(peer: str, id: str, cluster: Cluster) -> bool:
    """Whether a node knows that it is not in session with a peer."""
    return bool(cluster.stats(id)["peers"][peer]["state"] != "in_session")


# Dead.


def test_a_push_with_a_peer_dead_is_refused_at_once(three: Cluster) -> None:
    three.kill("c")
    begun = time.monotonic()
    assert code_of(push(three["a"])) in ("unreplicated", "uncertain")  # maybe the one by which the death is noticed
    assert time.monotonic() - begun < noticed_s_max
    assert lacks("c", "a", three)
    begun = time.monotonic()
    assert code_of(push(three["a"])) == "unreplicated"
    assert time.monotonic() - begun < 1
    health = three.health("a", "push")
    assert (health["ok"], health["reasons"], health["in_session"]) == (False, ["unreplicated"], 1)


def test_a_dead_peer_is_noticed_without_a_push(three: Cluster) -> None:
    three.kill("c")
    assert wait_for(lambda: lacks("c", "a", three) and lacks("c", "b", three), "c is not missed") < noticed_s_max
    for id in "ab":
        assert code_of(push(three[id])) == "unreplicated"
        assert three.stats(id)["queueSize"] == 0


def test_consuming_goes_on_while_a_peer_is_dead(three: Cluster) -> None:
    for number in range(20):
        three.push("ab"[number % 2], f"{number}")
    three.kill("c")
    for _ in range(20):
        receipt, _ = receipt_of(three["b"])
        assert three["a"].request("POST", f"/ack/{receipt}").status == 204
    assert three["b"].request("POST", "/get").status == 204


# Frozen.


@define
class Pushers:
    """Pushes that are under way, each in a thread of its own.

    Attributes:
        answers: what they were answered, by body.
    """

    node: RunningNode
    answers: dict[str, str] = field(factory=dict)
    _threads: list[threading.Thread] = field(factory=list)

    def begin(self, bodies: Iterable[str]) -> None:
        for body in bodies:
            self._threads.append(threading.Thread(target=self._push, args=(body,)))
            self._threads[-1].start()

    def _push(self, body: str) -> None:
        self.answers[body] = code_of(push(self.node, body))

    def join(self) -> dict[str, str]:
        for thread in self._threads:
            thread.join()
        return self.answers


@contextmanager
def frozen(id: str, cluster: Cluster) -> Iterator[None]:
    cluster.pause(id)
    try:
        yield
    finally:
        cluster.go_on(id)


def test_a_push_waits_for_a_peer_that_is_frozen_for_a_moment(three: Cluster) -> None:
    pushers = Pushers(three["a"])
    with frozen("c", three):
        pushers.begin("123")
        wait_for(lambda: three.stats("a")["waiting"] == 3, "they do not wait", story=three.story)
        assert pushers.answers == {}
        assert three["a"].request("POST", "/get").status == 204  # nobody gets what has no copies yet
    assert set(pushers.join().values()) == {"ok"}
    assert three.stats("c")["copies"]["a"]["messages"] == 3


def test_a_push_with_a_peer_frozen_is_answered_truly(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of(options=("--push-timeout=2",)).start().wait_whole()
    pushers = Pushers(cluster["a"])
    with frozen("c", cluster):
        begun = time.monotonic()
        pushers.begin(f"early {number}" for number in range(5))
        early = dict(pushers.join())
        assert time.monotonic() - begun < noticed_s_max + 2
        wait_for(lambda: lacks("c", "a", cluster), "c is not missed", story=cluster.story)
        begun = time.monotonic()
        assert code_of(push(cluster["a"], "late")) == "unreplicated"
        assert time.monotonic() - begun < 1
    assert set(early.values()) <= {"uncertain", "unreplicated"}
    cluster.wait_whole()
    kept = list(early.values()).count("uncertain")  # they stay on the queue, and have their copies now
    wait_for(lambda: cluster.stats("a")["ready"] == kept, "they do not become ready", story=cluster.story)
    assert [cluster.stats(id)["copies"]["a"]["messages"] for id in "bc"] == [kept, kept]
