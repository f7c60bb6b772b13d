"""Where time and Deferreds meet the core: turns, the one timer, and clients that leave."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.python.failure import Failure
from typing_extensions import override

from dqtw.core.effects import Departure, Status
from dqtw.core.links.frames import Pair
from dqtw.core.links.streams import Accepted, Close, Dial, LinkEffect, Send, StreamAnswer, StreamRefused, StreamRequest
from dqtw.core.model.commands import (
    Ack,
    Command,
    Delivered,
    Done,
    Get,
    Inspect,
    Inspected,
    Outcome,
    Push,
    Pushed,
    State,
    Success,
)
from dqtw.core.model.errors import Draining, Full, Refusal, Unknown
from dqtw.core.model.health import Check
from dqtw.core.model.message import MessageId
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.driver import Driver, timer_seconds_max

T = TypeVar("T")


class CountingClock(Clock):
    """A clock that counts what it was asked to call, and takes no negative delay, as a reactor takes none."""

    calls_made = 0

    @override
    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        assert delay >= 0
        self.calls_made += 1
        return super().callLater(delay, callable, *args, **kw)


class Transport:
    """What the transport was asked to do, turn by turn; it fails on demand."""

    def __init__(self) -> None:
        self.turns: list[list[LinkEffect]] = []
        self.fails = False

    def carry_out(self, effects: Sequence[LinkEffect]) -> None:
        """Note what is to be done."""
        if self.fails:
            raise ZeroDivisionError
        self.turns.append(list(effects))

    def all(self, kind: type[T]) -> list[T]:
        """Return all effects of a kind."""
        return [effect for turn in self.turns for effect in turn if isinstance(effect, kind)]


class Site:
    """A driver on a hand-run clock, and what it answered."""

    def __init__(self, settings: NodeSettings | None = None) -> None:
        self.clock = CountingClock()
        self.transport = Transport()
        node = Node(0.0, settings or NodeSettings(), Random(1).randbytes, 0)
        self.driver = Driver(node, self.clock, self.transport if node.settings.peers else None)
        self.outcomes: list[Outcome] = []

    def submit(self, command: Command) -> int:
        """Send a command whose outcome goes to the list."""
        return self.driver.submit(command, self.outcomes.append)

    def tell(self, command: Command) -> Outcome:
        """Send a command and end the turn; its outcome."""
        outcomes: list[Outcome] = []
        self.driver.submit(command, outcomes.append)
        self.turn()
        (outcome,) = outcomes
        return outcome

    def turn(self) -> None:
        """Let the reactor turn once."""
        self.clock.advance(0)

    def push(self, body: bytes = b"work") -> MessageId:
        """Push a message; its id."""
        pushed = self.tell(Push(body))
        assert isinstance(pushed, Pushed)
        return pushed.id

    def state(self, id: MessageId) -> State:
        """Where a message stands."""
        inspected = self.tell(Inspect(id))
        assert isinstance(inspected, Inspected)
        return inspected.state

    def bodies(self) -> list[bytes]:
        """What came with the outcomes."""
        return [
            delivery.message.body
            for outcome in self.outcomes
            if isinstance(outcome, Delivered)
            for delivery in outcome.deliveries
        ]


def result_of(asked: Deferred[Success]) -> Success:
    """What a Deferred that has fired brought."""
    results: list[Success] = []
    asked.addCallback(results.append)
    (result,) = results
    return result


def failure_of(asked: Deferred[Success], *kinds: type[Exception]) -> Exception:
    """What a Deferred failed with."""
    failures: list[Failure] = []
    asked.addErrback(failures.append)
    (failure,) = failures
    assert failure.check(*kinds), failure
    value = failure.value
    assert isinstance(value, Exception)
    return value


# Turns.


def test_an_answer_comes_in_a_later_turn_and_never_from_within_the_question() -> None:
    """A door may hold its ticket before the answer is there."""
    site = Site()
    site.submit(Push(b""))
    assert site.outcomes == []
    site.turn()
    (outcome,) = site.outcomes
    assert isinstance(outcome, Pushed)


def test_a_refusal_comes_in_a_later_turn_too() -> None:
    site = Site(NodeSettings(size=1))
    site.push()
    site.submit(Push(b""))
    assert site.outcomes == []
    site.turn()
    assert isinstance(site.outcomes[0], Full)


def test_what_one_turn_asks_is_answered_in_one_turn_in_order() -> None:
    """One read of a socket shares one write."""
    site = Site()
    for _ in range(3):
        site.submit(Push(b""))
    assert len(site.clock.getDelayedCalls()) == 1
    site.turn()
    assert [outcome.id.n for outcome in site.outcomes if isinstance(outcome, Pushed)] == [1, 2, 3]


def test_what_an_answer_asks_next_is_answered_after_it() -> None:
    """A client that answers each answer with a question meets no answer within its own."""
    site = Site()

    def ask_on(outcome: Outcome) -> None:
        site.outcomes.append(outcome)
        site.submit(Get())
        assert len(site.outcomes) == 1

    site.driver.submit(Push(b"a"), ask_on)
    site.turn()
    assert site.bodies() == [b"a"]


def test_each_question_has_a_ticket_of_its_own() -> None:
    site = Site()
    assert len({site.submit(Get()) for _ in range(5)}) == 5


def test_nothing_is_left_in_an_idle_reactor() -> None:
    site = Site()
    site.push()
    assert site.clock.getDelayedCalls() == []


def test_one_client_s_failure_does_not_cost_the_others_their_answers(logged_failures: list[LogEvent]) -> None:
    """The log says what went wrong; everybody else is served, and leases still end."""
    site = Site()
    id = site.push()

    def fail(_: Outcome) -> None:
        raise ZeroDivisionError

    site.driver.submit(Get(lease_s=5.0), fail)
    site.submit(Push(b""))
    site.turn()
    assert len(site.outcomes) == 1
    site.clock.advance(5.0)
    assert site.state(id) is State.READY
    assert len(logged_failures) == 1
    logged_failures.clear()


# The one timer.


def test_a_lease_ends_by_the_timer() -> None:
    site = Site()
    id = site.push()
    site.submit(Get(lease_s=5.0))
    site.turn()
    site.submit(Get(wait_s=30.0))
    site.turn()
    site.clock.advance(4.9)
    assert len(site.bodies()) == 1
    site.clock.advance(0.1)
    assert site.bodies() == [b"work", b"work"]
    assert site.state(id) is State.LEASED


def test_what_the_timer_brings_about_is_answered_at_once() -> None:
    site = Site()
    site.submit(Get(wait_s=5.0))
    site.turn()
    site.clock.advance(5.0)
    assert site.outcomes == [Delivered()]
    assert site.clock.getDelayedCalls() == []


def test_there_is_one_timer_for_everything_and_it_waits_for_the_first_deadline() -> None:
    """Ten thousand leases cost the reactor no more than one."""
    site = Site()
    for seconds in (9.0, 5.0, 7.0):
        site.push()
        site.submit(Get(lease_s=seconds))
        site.turn()
    for seconds in (12.0, 6.0):
        site.submit(Get(wait_s=seconds))
    site.turn()
    (timer,) = site.clock.getDelayedCalls()
    assert timer.getTime() == 5.0


def test_the_timer_follows_when_the_first_deadline_goes_away() -> None:
    site = Site()
    ids = [site.push(), site.push()]
    site.submit(Get(lease_s=5.0))
    site.submit(Get(lease_s=9.0))
    site.turn()
    site.tell(Ack(ids[0]))
    (timer,) = site.clock.getDelayedCalls()
    assert timer.getTime() == 9.0
    site.tell(Ack(ids[1]))
    assert site.clock.getDelayedCalls() == []


def test_a_deadline_ever_so_far_away_does_not_upset_the_reactor() -> None:
    """Where `--max-lease` allows a lease of a million years, the timer looks again every hour."""
    site = Site(NodeSettings(max_lease_s=3e13))
    id = site.push()
    site.submit(Get(lease_s=3e13))
    site.turn()
    for _ in range(3):
        (timer,) = site.clock.getDelayedCalls()
        assert timer.getTime() - site.clock.seconds() == timer_seconds_max
        site.clock.advance(timer_seconds_max)
    assert site.state(id) is State.LEASED


def test_a_timer_and_a_question_of_the_same_turn_get_along() -> None:
    site = Site()
    site.submit(Get(wait_s=5.0))
    site.turn()
    site.clock.advance(4.0)
    site.clock.rightNow += 1.0  # the reactor is late
    site.submit(Push(b""))
    site.turn()
    site.turn()
    assert site.outcomes[0] == Delivered()
    assert len(site.outcomes) == 2
    assert site.clock.getDelayedCalls() == []


def test_a_deadline_that_passed_before_the_turn_ended_is_met_at_once() -> None:
    site = Site()
    id = site.push()
    site.submit(Get(lease_s=1.0))
    site.clock.rightNow += 2.0  # the reactor is late
    site.turn()
    site.turn()
    assert site.state(id) is State.READY


# Deferreds.


def test_a_deferred_fires_with_the_answer() -> None:
    site = Site()
    asked = site.driver.ask(Push(b""))
    assert not asked.called
    site.turn()
    assert isinstance(result_of(asked), Pushed)


def test_a_deferred_fails_with_the_refusal() -> None:
    site = Site()
    asked = site.driver.ask(Ack(MessageId("node", "0" * 26, 1)))
    site.turn()
    refusal = failure_of(asked, Refusal)
    assert isinstance(refusal, Unknown)


def test_a_cancelled_poll_gets_no_message_leased() -> None:
    site = Site()
    asked = site.driver.ask(Get(wait_s=30.0))
    site.turn()
    asked.cancel()
    failure_of(asked, CancelledError)
    id = site.push()
    assert site.state(id) is State.READY
    assert site.clock.getDelayedCalls() == []


def test_a_poll_that_is_cancelled_when_its_message_is_already_leased_gives_it_back() -> None:
    """The message is at once there for others, and the attempt does not count."""
    site = Site()
    asked = site.driver.ask(Get(wait_s=30.0))
    site.turn()
    site.submit(Push(b"work"))
    asked.cancel()
    failure_of(asked, CancelledError)
    site.turn()
    site.turn()
    delivered = site.tell(Get())
    assert isinstance(delivered, Delivered)
    assert [each.attempt for each in delivered.deliveries] == [1]


def test_a_cancelled_push_goes_on() -> None:
    site = Site()
    asked = site.driver.ask(Push(b"work"))
    asked.cancel()
    failure_of(asked, CancelledError)
    site.turn()
    assert site.driver.messages_count == 1


def test_a_cancelled_ack_goes_on() -> None:
    site = Site()
    asked = site.driver.ask(Ack(site.push()))
    asked.cancel()
    failure_of(asked, CancelledError)
    site.turn()
    assert site.driver.messages_count == 0


def test_a_cancelled_push_that_waits_for_a_slot_is_forgotten() -> None:
    site = Site(NodeSettings(size=1))
    id = site.push()
    asked = site.driver.ask(Push(b"", wait_s=30.0))
    site.turn()
    asked.cancel()
    failure_of(asked, CancelledError)
    site.tell(Ack(id))
    assert site.driver.messages_count == 0


def test_cancelling_what_was_answered_changes_nothing() -> None:
    site = Site()
    asked = site.driver.ask(Push(b""))
    site.turn()
    asked.cancel()
    site.turn()
    assert isinstance(result_of(asked), Pushed)
    assert site.driver.messages_count == 1


# Clients that leave.


def test_who_withdraws_is_not_answered() -> None:
    site = Site()
    ticket = site.submit(Get(wait_s=5.0))
    site.turn()
    site.driver.withdraw(ticket)
    site.clock.advance(5.0)
    assert site.outcomes == []


def test_who_withdraws_in_the_turn_of_the_answer_is_not_answered_either() -> None:
    site = Site()
    ticket = site.submit(Push(b""))
    site.driver.withdraw(ticket)
    site.turn()
    assert site.outcomes == []
    assert site.driver.messages_count == 1


def test_withdrawing_twice_or_after_the_answer_does_nothing() -> None:
    site = Site()
    waiting, answered = site.submit(Get(wait_s=5.0)), site.submit(Push(b""))
    other = site.submit(Get(wait_s=5.0))
    site.turn()
    for ticket in (waiting, answered, other, other, 99):
        site.driver.withdraw(ticket)
    site.turn()
    assert site.driver.messages_count == 1


def test_clients_that_come_and_go_leave_nothing_behind() -> None:
    """Balancers and impatient workers do not fill the memory."""
    site = Site()
    for _ in range(100):
        site.driver.withdraw(site.submit(Get(wait_s=5.0)))
        site.driver.withdraw(site.submit(Push(b"")))
    site.turn()
    assert len(site.driver._answered) == 0


def test_who_waits_behind_one_that_withdraws_is_served() -> None:
    site = Site(NodeSettings(max_bytes=10))
    site.push(b"123456")
    large = site.submit(Push(b"1234567890", wait_s=30.0))
    site.submit(Push(b"x", wait_s=30.0))
    site.turn()
    site.driver.withdraw(large)
    site.turn()
    assert [type(outcome) for outcome in site.outcomes] == [Pushed]


@pytest.mark.parametrize("ack_now", [False, True])
def test_a_delivery_that_could_not_be_handed_over_is_given_back(ack_now: bool) -> None:
    """With ``ack=now`` it is gone: at most once is what the client asked for."""
    site = Site()
    site.push()
    delivered = site.tell(Get(ack_now=ack_now))
    assert isinstance(delivered, Delivered)
    site.driver.give_back(delivered)
    site.turn()
    again = site.tell(Get())
    assert isinstance(again, Delivered)
    assert [each.attempt for each in again.deliveries] == ([] if ack_now else [1])


def test_a_delivery_given_back_goes_to_who_waits() -> None:
    site = Site()
    site.push()
    delivered = site.tell(Get())
    assert isinstance(delivered, Delivered)
    site.submit(Get(wait_s=30.0))
    site.driver.give_back(delivered)
    site.turn()
    assert site.bodies() == [b"work"]


# What the driver tells of its node.


def test_a_drain_answers_all_who_wait_in_the_next_turn() -> None:
    site = Site()
    site.submit(Get(wait_s=30.0))
    site.turn()
    site.driver.drain()
    assert site.outcomes == []
    site.turn()
    assert site.outcomes == [Delivered()]
    assert isinstance(site.tell(Push(b"")), Draining)
    assert site.clock.getDelayedCalls() == []


def test_figures_and_health_are_the_node_s() -> None:
    site = Site(NodeSettings(size=1))
    site.push()
    site.clock.advance(3.0)
    assert site.driver.stats()["oldest_ready_s"] == 3.0
    assert site.driver.health(Check.PUSH).reasons == ("full",)
    assert site.driver.messages_count == 1


def test_an_ack_is_done() -> None:
    site = Site()
    assert site.tell(Ack(site.push())) == Done()


def test_a_thousand_questions_of_one_turn_cost_one_turn() -> None:
    site = Site()
    calls = site.clock.calls_made
    for _ in range(1000):
        site.submit(Push(b""))
        site.submit(Get(lease_s=5.0))
    site.turn()
    assert len(site.outcomes) == 2000
    assert site.clock.calls_made - calls == 2  # the turn, and the timer


# Peers.


def clustered() -> Site:
    """A node with one peer, which was not started."""
    return Site(NodeSettings(node="a", peers={"b": "http://b"}))


def request_of_b(number: int = 1, to_node: str = "a") -> StreamRequest:
    return StreamRequest(
        cluster="dqtw",
        node="b",
        boot="b" * 32,
        url="http://b",
        versions=(2,),
        nonce="0" * 32,
        number=number,
        to_node=to_node,
        to_boot=None,
    )


def error(site: Site) -> object:
    """What is wrong with the peer."""
    peers = site.driver.stats()["peers"]
    assert isinstance(peers, dict)
    return peers["b"]["error"]


def test_a_node_that_is_not_started_says_nothing_to_its_peers() -> None:
    """Its listener may not be open yet."""
    site = clustered()
    site.clock.advance(10.0)
    assert site.transport.turns == []


def test_a_start_dials_the_peers_and_names_the_address_of_this_node() -> None:
    site = clustered()
    site.driver.start("http://a:1")
    (dial,) = site.transport.all(Dial)
    assert (dial.url, dial.request.url) == ("http://b", "http://a:1")


def test_a_failed_dial_is_repeated_by_the_timer() -> None:
    site = clustered()
    site.driver.start()
    for seconds in range(1, 5):
        (*_, dial) = site.transport.all(Dial)
        site.driver.dial_failed(dial.stream, "connection refused", is_lasting=False)
        site.turn()
        assert len(site.transport.all(Dial)) == seconds
        site.clock.advance(1.0)
    assert error(site) == "connection refused (http://b)"


def test_a_stream_is_judged_at_once_and_what_follows_comes_in_a_later_turn() -> None:
    """The transport needs the answer for its response."""
    site = clustered()
    site.driver.start()
    count = len(site.transport.turns)
    assert isinstance(site.driver.stream_asked(request_of_b()), Accepted)
    refused = site.driver.stream_asked(request_of_b(2, to_node="c"))
    assert isinstance(refused, StreamRefused)
    assert len(site.transport.turns) == count


def test_two_streams_make_a_link_and_its_end_is_seen() -> None:
    site = clustered()
    site.driver.start()
    (dial,) = site.transport.all(Dial)
    accepted = site.driver.stream_asked(request_of_b())
    assert isinstance(accepted, Accepted)
    site.driver.dial_answered(dial.stream, StreamAnswer("b", "b" * 32, "1" * 32))
    site.turn()
    (send,) = site.transport.all(Send)
    assert send.stream == accepted.stream
    assert isinstance(send.frame, Pair)
    site.driver.received(dial.stream, [Pair(send.frame.read, send.frame.written)], 40, 0)
    site.turn()
    assert up(site)
    site.driver.stream_closed(dial.stream, "the connection was lost")
    assert not up(site)


def up(site: Site) -> object:
    peers = site.driver.stats()["peers"]
    assert isinstance(peers, dict)
    return peers["b"]["up"]


def test_what_one_turn_has_for_peers_is_handed_over_at_once() -> None:
    """So that it shares a write."""
    site = clustered()
    site.driver.start()
    (dial,) = site.transport.all(Dial)
    site.driver.stream_asked(request_of_b())
    site.driver.dial_answered(dial.stream, StreamAnswer("b", "b" * 32, "1" * 32))
    site.transport.turns.clear()
    site.turn()
    assert len(site.transport.turns) == 1


def test_a_refusal_by_the_listener_is_known_as_the_reason() -> None:
    site = clustered()
    site.driver.start()
    site.driver.request_refused("b", StreamRefused("unauthorized", "the peer secrets differ"))
    assert error(site) == "the peer secrets differ"


def test_a_transport_that_fails_does_not_stop_the_timer(logged_failures: list[LogEvent]) -> None:
    site = clustered()
    site.transport.fails = True
    site.driver.start()
    assert len(logged_failures) == 1
    site.transport.fails = False
    site.clock.advance(5.0)
    assert site.transport.all(Dial)
    logged_failures.clear()


def test_a_departure_is_reported_once() -> None:
    site = Site()
    site.push()
    departures: list[Departure] = []
    site.driver.departed.addCallback(departures.append)
    site.driver.drain()
    site.turn()
    site.tell(Get())
    assert departures == [Departure(Status.DRAINED, 1)]


@pytest.mark.parametrize(
    ("node", "words"), [("a", "that is another process of this node"), ("c", "that is the node c, not b")]
)
def test_a_url_that_leads_to_another_node_is_reported(node: str, words: str) -> None:
    site = clustered()
    site.driver.start()
    (dial,) = site.transport.all(Dial)
    site.driver.dial_answered(dial.stream, StreamAnswer(node, "c" * 32, "1" * 32))
    site.clock.advance(0.1)
    assert Close(dial.stream, words) in site.transport.all(Close)
    site.clock.pump([0.5] * 6)  # a longer step would be a pause of this process
    assert f"{words} (http://b)" in str(error(site))
