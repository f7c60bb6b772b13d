"""Rule 16: any node answers; what another node must do is asked of it once."""

from typing import Any

from dqtw.core.links.peer_messages import Applied, Delta, Failed, Fetched, Forward, Forwarded
from dqtw.core.model.commands import Ack, Command, Complete, Delivered, Get, GiveBack, Inspect, Nack, Push, Touch
from dqtw.core.model.errors import Fenced
from dqtw.core.model.message import Message, MessageId, Receipt

from .cluster import Cluster, Gate, cluster, key_at
from .parts import Item


def forwards(world: Cluster, kind: type, by: str = "", at: str = "") -> list[Forward]:
    return [
        each.what
        for each in world.sent
        if isinstance(each.what, Forward)
        and isinstance(each.what.command, kind)
        and by in ("", each.asker.address)
        and at in ("", each.address)
    ]


def hold_command(world: Cluster, kind: type) -> Gate:
    return world.hold(Forward, when=lambda forward: isinstance(forward.command, kind))


def pushed(world: Cluster, at: str, body: bytes = b"x") -> MessageId:
    push = world.push(at, body)
    world.settle()
    return push.id


def send(world: Cluster, by: str, at: str, command: Command) -> object:
    """Let one node forward a command to another; what that answers."""
    number = 1_000_000 + len(world.sent)
    forward = Forward(by, "dqtw", world[by].incarnation, world[at].boot, number, command)
    world.deliver(Item(world.processes[by], at, 0, forward))
    world.settle()
    return world.sent[-1].what.outcome if isinstance(world.sent[-1].what, Forwarded) else None


def test_rule_16_a_command_is_forwarded_once_and_never_further() -> None:
    """Two nodes that disagree about a key's home do not send it in circles."""
    world = cluster("a", "b", "c")
    key = key_at("b", world)
    send(world, "c", "a", Push(b"here", key=key))
    assert len(forwards(world, Push)) == 0
    assert world.bodies("a", "a") == [b"here"]


def test_the_longest_lease_is_that_of_the_node_that_the_client_asks() -> None:
    """The owner may have another setting; what was promised to the client holds."""
    world = Cluster("a", "b", copies=1)
    world.start("a", max_lease_s=100.0)
    world.start("b", max_lease_s=10.0)
    world.settle()
    id = pushed(world, "b")
    got = world.get("a", lease_s=90.0)
    world.settle()
    (delivery,) = got.deliveries
    receipt = delivery.receipt
    assert (receipt.id, delivery.lease_s) == (id, 90.0)
    touched, refused = world.ask("a", Touch(receipt, 95.0)), world.ask("b", Touch(receipt, 95.0))
    world.settle()
    assert (touched.code, refused.code) == ("Done", "bad_request")


def test_rule_16_a_forwarded_command_for_a_third_node_is_unknown_here() -> None:
    """A confused peer gets an answer, not a loop."""
    world = cluster("a", "b", "c")
    id = pushed(world, "c")
    assert getattr(send(world, "b", "a", Ack(id)), "code", "") == "unknown"
    assert id in world.copy("c", "c").live


def test_rule_16_ack_nack_touch_and_inspect_go_to_the_owner_named_in_the_id() -> None:
    """Through any node, with the owner's own answer."""
    world = cluster("a", "b", "c")
    id = pushed(world, "a")
    get = world.get("b")
    world.settle()
    [delivery] = get.deliveries
    for command, code in (
        (Inspect(id), "Inspected"),
        (Touch(delivery.receipt), "Done"),
        (Nack(delivery.receipt), "Done"),
        (Nack(delivery.receipt), "lease_lost"),
        (Ack(id), "Done"),
        (Ack(id), "unknown"),
        (Inspect(id), "unknown"),
        (Ack(id._replace(node="x")), "unknown"),
    ):
        ticket = world.ask("c", command)
        world.settle()
        assert ticket.code == code, command


def test_rule_16_a_forwarded_get_never_waits_at_its_owner() -> None:
    """The client waits where it is; a peer is asked for what there is."""
    world = cluster("a", "b")
    assert isinstance(send(world, "b", "a", Get(wait_s=20)), Delivered)


def test_rule_16_what_can_only_be_said_of_a_message_that_is_here_is_starting_until_it_is() -> None:
    """Nack, touch and inspect of a message that is on its way here: neither 404 nor a guess."""
    world = Cluster("a", "b", copies=1, start_wait_s=4)
    world.start("a")
    world.settle(5)
    world.start("b")
    id = MessageId("a", "01HF0000000000000000000000", 1)
    world.copy("b", "a").put(id, Message(b"on its way"))
    gate = world.hold(Fetched, by="a", at="b")
    world.settle(1.5)
    receipt = Receipt(id, "0")
    for command in (Nack(receipt), Touch(receipt), Inspect(id)):
        assert world.ask("a", command).code == "starting"
    gate.open()
    assert world.ask("a", Inspect(id)).code == "Inspected"
    assert world.ask("a", Nack(receipt)).code == "lease_lost"


def test_rule_16_a_get_asks_the_peers_whose_copies_are_not_empty_one_after_the_other() -> None:
    """A get on a node with nothing ready finds what is ready anywhere; who has nothing is not asked."""
    world = cluster("a", "b", "c", "d")
    pushed(world, "b", b"leased already")
    world.get("b")
    pushed(world, "c", b"ready")
    get = world.get("a")
    world.settle()
    assert get.bodies == [b"ready"]
    assert not forwards(world, Get, at="d")
    asked = [forward.command for forward in forwards(world, Get)]
    assert all(isinstance(each, Get) and each.wait_s == 0 and not each.ack_now for each in asked)


def test_rule_16_a_get_that_finds_nothing_anywhere_is_empty_at_once() -> None:
    """No client waits that did not ask to."""
    world = cluster("a", "b", "c")
    pushed(world, "b")
    world.get("b")
    get = world.get("a")
    world.settle()
    assert get.bodies == []


def test_rule_16_a_get_does_not_wait_for_a_peer_that_does_not_answer() -> None:
    """The others are asked once that one has timed out."""
    world = cluster("a", "b", "c")
    pushed(world, "b", b"of b")
    pushed(world, "c", b"of c")
    gate = world.hold(Forwarded)
    get = world.get("a")
    world.settle(1)
    assert get.code == ""
    gate.items.clear()
    world.gates.clear()
    world.settle(4.5)
    assert len(get.bodies) == 1


def test_rule_16_ack_now_is_completed_by_the_node_that_talks_to_the_client() -> None:
    """Lease, removal answered by the owner, and only then the bytes: no bytes without a removal."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b", b"once")
    gate = hold_command(world, Complete)
    get = world.get("a", ack_now=True)
    world.settle()
    assert get.code == ""
    assert len(gate.items) == 1
    assert world.copy("b", "b").live
    gate.open()
    assert get.bodies == [b"once"]
    assert all(world.copy(at, "b").knows_removed(id) for at in world.members)


def test_rule_16_an_ack_now_whose_removal_can_not_be_known_hands_nothing_out() -> None:
    """At most once: `uncertain` rather than bytes that somebody else may get."""
    world = cluster("a", "b")
    pushed(world, "b", b"once")
    gate = hold_command(world, Complete)
    get = world.get("a", ack_now=True)
    world.settle(4.9)
    assert gate.items
    assert get.code == ""
    world.settle(0.2)
    assert get.code == "uncertain"


def test_rule_16_what_comes_for_a_client_that_has_gone_is_given_back() -> None:
    """Ready again at once, the attempt not counted."""
    world = cluster("a", "b")
    pushed(world, "b")
    gate = world.hold(Forwarded)
    poll = world.get("a", wait_s=20)
    world.settle()
    world.withdraw("a", poll)
    gate.open()
    assert poll.code == ""
    assert forwards(world, GiveBack, by="a", at="b")
    get = world.get("b")
    assert [(each.message.body, each.attempt) for each in get.deliveries] == [(b"x", 1)]


def test_rule_16_what_comes_for_a_poll_that_was_served_here_meanwhile_is_given_back() -> None:
    """A message pushed to this node came first."""
    world = cluster("a", "b")
    pushed(world, "b", b"there")
    gate = world.hold(Forwarded)
    poll = world.get("a", wait_s=20)
    world.settle()
    pushed(world, "a", b"here")
    assert poll.bodies == [b"here"]
    gate.open()
    assert world.get("b").bodies == [b"there"]


def test_rule_16_a_forwarded_push_or_ack_whose_answer_is_lost_is_uncertain() -> None:
    """The owner may have done it."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b")
    gate = world.hold(Forwarded)
    push, ack = world.push("a", b"keyed", key=key_at("b", world)), world.ack("a", id)
    inspect = world.ask("a", Inspect(id))
    world.settle(5.5)
    assert len(gate.items) == 3
    assert (ack.code, inspect.code) == ("uncertain", "owner_down")
    world.settle(11)
    assert push.code == "uncertain"


def test_rule_16_an_owner_that_dies_while_it_is_asked_leaves_it_uncertain() -> None:
    """A connection that breaks says nothing of what was done."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b")
    gate = world.hold(Forwarded)
    ack = world.ack("a", id)
    world.settle()
    gate.answer(Failed("connection lost"))
    assert ack.code == "uncertain"


def test_rule_16_a_forward_that_was_refused_by_the_port_was_not_done() -> None:
    """The owner is down, and this node did not know it yet: nothing was changed."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b")
    world.kill("b")
    ack = world.ack("a", id)
    world.settle()
    assert ack.code == "owner_down"


def test_rule_16_an_owner_that_is_known_to_be_down_is_told_at_once() -> None:
    """`owner_down`, without a round trip; the keyed push is not on the queue."""
    world = cluster("a", "b", "c", copies=2)
    id = pushed(world, "b")
    world.kill("b")
    world.settle(2)
    ack, push = world.ack("a", id), world.push("a", key=key_at("b", world))
    assert (ack.code, push.code) == ("owner_down", "owner_down")
    world.cut("a", "c")
    world.settle(4)
    inspect = world.ask("a", Inspect(id._replace(node="c")))
    assert inspect.code == "owner_down"


def test_rule_16_an_owner_that_is_being_replaced_is_down_for_its_clients() -> None:
    """`fenced` is not for those who talk to another node."""
    world = cluster("a", "b", "c")
    id = pushed(world, "b")
    gate = world.hold(Forwarded)
    ack = world.ack("a", id)
    world.settle()
    gate.alter(outcome=Fenced("replaced"))
    assert ack.code == "owner_down"


def test_rule_16_a_keyed_push_may_wait_for_a_slot_at_its_home() -> None:
    """`wait` holds through a forward: the answer comes when there is room."""
    world = cluster("a", "b", size=1)
    id = pushed(world, "b")
    push = world.push("a", b"waits", key=key_at("b", world), wait_s=20)
    world.settle(10)
    assert push.code == ""
    world.ack("b", id)
    world.settle()
    assert push.id.node == "b"


# Waiting polls.


def test_rule_16_a_waiting_poll_is_woken_by_a_push_at_a_peer_within_a_round_trip() -> None:
    """No polling interval: the copy here got a new message, and its owner is asked."""
    world = cluster("a", "b", "c")
    poll = world.get("a", wait_s=30)
    world.settle(3.3)
    push = world.push("b", b"wake")
    world.settle()
    assert (push.code, poll.code) == ("Pushed", "Delivered")
    assert poll.bodies == [b"wake"]


def test_rule_16_a_waiting_poll_is_woken_by_a_nack_at_a_peer() -> None:
    """The owner's ready count rose from 0: it tells so at once."""
    world = cluster("a", "b", "c")
    pushed(world, "b")
    get = world.get("b")
    poll = world.get("a", wait_s=30)
    world.settle(3.3)
    assert poll.code == ""
    world.nack("b", get.deliveries[0].receipt)
    world.settle()
    assert poll.bodies == [b"x"]


def test_rule_16_a_waiting_poll_is_woken_by_a_nack_that_follows_soon_upon_the_push() -> None:
    """Also when the peer was told a moment ago that the message is ready, and found it taken."""
    world = cluster("a", "b", "c")
    world.settle(3.05)
    pushed(world, "b")
    get = world.get("b")
    world.settle(0.3)
    poll = world.get("a", wait_s=30)
    world.settle(0.1)
    assert (len(get.bodies), poll.code) == (1, "")
    world.nack("b", get.deliveries[0].receipt)
    world.settle(0.05)
    assert poll.bodies == [b"x"]


def test_rule_16_a_waiting_poll_is_woken_by_the_end_of_a_lease_at_a_peer() -> None:
    """A dead worker's message goes to who waits, on any node, when the lease ends."""
    world = cluster("a", "b", "c")
    pushed(world, "b")
    world.get("b", lease_s=3.5)
    poll = world.get("a", wait_s=30)
    world.settle(3.49)
    assert poll.code == ""
    world.settle(0.02)
    assert poll.bodies == [b"x"]


def test_rule_16_a_waiting_poll_is_woken_by_the_end_of_a_delay_at_a_peer() -> None:
    world = cluster("a", "b")
    pushed(world, "b")
    get = world.get("b")
    world.nack("b", get.deliveries[0].receipt, 3.5)
    poll = world.get("a", wait_s=30)
    world.settle(3.49)
    assert poll.code == ""
    world.settle(0.02)
    assert poll.bodies == [b"x"]


def test_rule_16_as_many_polls_are_sent_to_an_owner_as_it_has_messages_ready() -> None:
    """Two messages wake two of five polls; the other three wait on."""
    world = cluster("a", "b")
    polls = [world.get("a", wait_s=30) for _ in range(5)]
    world.settle(1.3)
    for body in (b"one", b"two"):
        world.push("b", body)
    world.settle(1)
    assert [poll.code for poll in polls].count("Delivered") == 2
    assert [poll.code for poll in polls].count("") == 3
    assert [poll.bodies for poll in polls[:2]] == [[b"one"], [b"two"]]
    assert len(forwards(world, Get)) <= 4


def test_rule_16_a_poll_is_not_lost_when_the_hint_was_out_of_date() -> None:
    """Somebody else got the message first: the poll stays in line."""
    world = cluster("a", "b", "c")
    poll = world.get("a", wait_s=30)
    gate = hold_command(world, Get)
    world.settle(1.3)
    pushed(world, "b", b"first")
    assert gate.items
    assert world.get("b").bodies == [b"first"]
    gate.open()
    assert poll.code == ""
    pushed(world, "c", b"second")
    world.settle()
    assert poll.bodies == [b"second"]


def test_rule_16_a_hint_that_comes_while_a_poll_is_out_elsewhere_is_kept() -> None:
    """It is asked at the peer of the hint as soon as it is back, and not with the next heartbeat."""
    world = cluster("a", "b", "c")
    pushed(world, "c", b"taken")
    world.settle(1.3)
    gate = world.hold(Forward, when=lambda forward: isinstance(forward.command, Get) and forward.node == "a")
    poll = world.get("a", wait_s=30)
    world.settle(0.1)
    assert world.get("c").bodies == [b"taken"]
    pushed(world, "b", b"fresh")
    world.settle(0.1)
    assert poll.code == ""
    gate.open()
    world.settle(0.1)
    assert poll.bodies == [b"fresh"]


def test_rule_16_a_poll_that_waits_in_vain_is_empty_when_its_time_is_over() -> None:
    """Also when a peer is being asked just then."""
    world = cluster("a", "b")
    poll = world.get("a", wait_s=2)
    world.settle(1.9)
    assert poll.code == ""
    world.settle(0.2)
    assert poll.bodies == []


def test_rule_16_pings_of_an_owner_with_nothing_ready_wake_nobody() -> None:
    """Ten idle seconds cost no forwarded gets."""
    world = cluster("a", "b", "c")
    world.get("a", wait_s=30)
    pushed(world, "b")
    world.settle(1)
    before = len(forwards(world, Get))
    world.get("a", wait_s=30)
    world.settle(10)
    assert len(forwards(world, Get)) <= before + 1
    assert all(delta.ready == 0 for delta in (e.what for e in world.sent[-20:]) if isinstance(delta, Delta))


def test_rule_16_a_drained_node_lets_nobody_wait_for_a_peer() -> None:
    """Polls that are on their way through the peers are answered empty, and what comes late is given back."""
    world = cluster("a", "b")
    pushed(world, "b")
    gate = world.hold(Forwarded)
    poll = world.get("a", wait_s=20)
    held = world.hold(Applied, by="a")
    world.push("a")
    world.settle()
    world.drain("a")
    assert poll.bodies == []
    gate.open()
    assert world.get("b").bodies == [b"x"]
    held.open()


def test_rule_16_a_client_that_hangs_up_while_its_removal_is_under_way_is_still_waited_for() -> None:
    """Its poll was served here while a peer was asked for it, too: the answer comes, and somebody must take it."""
    world = cluster("a", "b", copies=1)
    pushed(world, "b", b"of b")
    hold_command(world, Get)
    held = world.hold(Applied, by="a", at="b")
    poll = world.get("a", ack_now=True)
    world.push("a", b"of a")
    world.settle()
    assert poll.code == ""
    assert not world.withdraw("a", poll)
    held.open()
    assert poll.bodies == [b"of a"]


def test_rule_16_two_gets_that_remove_at_delivery_do_not_both_get_the_message() -> None:
    """The first one's removal comes after its lease, while the second one's is under way."""
    world = cluster("a", "b", "c", copies=2, lease_s=1.0)
    pushed(world, "a", b"at most once")
    late = world.hold(Forward, by="b", at="a", when=lambda forward: isinstance(forward.command, Complete))
    first = world.get("b", ack_now=True)
    world.settle(1.2)
    assert late.items
    delta = world.hold(Delta, by="a", at="b", when=lambda delta: bool(delta.gone))
    second = world.get("c", ack_now=True)
    world.settle(0.1)
    assert delta.items
    late.open()
    delta.open()
    world.settle(1)
    assert (first.bodies, second.bodies) == ([], [b"at most once"])


def test_rule_16_a_get_that_removes_at_delivery_gets_nothing_that_another_worker_has_leased() -> None:
    """Its removal was so late that its lease was over; the message is in other hands, and stays there."""
    world = cluster("a", "b", "c", copies=2, lease_s=1.0)
    id = pushed(world, "a", b"in other hands")
    late = world.hold(Forward, by="b", at="a", when=lambda forward: isinstance(forward.command, Complete))
    first = world.get("b", ack_now=True)
    world.settle(1.2)
    second = world.get("c", lease_s=60)
    world.settle(0.1)
    late.open()
    world.settle(1)
    assert (first.bodies, second.bodies) == ([], [b"in other hands"])
    assert id in world.copy("a", "a").live


def test_rule_16_a_lease_that_the_client_names_does_not_limit_how_long_its_removal_may_take() -> None:
    """The message is removed at delivery: to the client its lease means nothing."""
    world = cluster("a", "b")
    pushed(world, "a", b"taken")
    late = hold_command(world, Complete)
    get = world.get("b", ack_now=True, lease_s=0.2)
    world.settle(1)
    late.open()
    world.settle(1)
    assert get.bodies == [b"taken"]


def test_rule_16_a_get_that_was_held_back_for_longer_than_its_asker_waits_leases_nothing() -> None:
    """A slow peer keeps the owner in doubt; meanwhile the node that has forwarded the get has given it up."""
    world = cluster("a", "b", "c", copies=2)
    pushed(world, "a", b"kept")
    slow = world.hold(Applied, by="a", at="c")
    world.settle(3)
    slow.let()
    world.settle(2)  # and the next answer takes longer still
    get = world.get("b")
    world.settle(0.2)
    assert get.code == ""
    world.settle(2.5)
    assert get.code == "Delivered"
    assert get.bodies == []
    world.settle(2)
    assert world["a"].owner.ready_count() == 1


def test_rule_16_a_hint_costs_one_look_at_each_poll_that_waits() -> None:
    """Thousands may wait, and be sent at once; that must not hold up the node."""
    looks = 0

    class Looked(dict[int, Any]):
        def __contains__(self, ticket: object) -> bool:
            nonlocal looks
            looks += 1
            return super().__contains__(ticket)

    world = cluster("a", "b")
    world.ask_all("b", [Get(wait_s=30.0)] * 300)
    world.settle()
    node = world["b"]
    node.holder.held["a"].ready = 300
    node.forwarding._hunts = Looked(node.forwarding._hunts)
    node.hinted(world.processes["b"].latest, "a")
    assert len(node.forwarding._hunts) == 300
    assert looks <= 2 * 300
