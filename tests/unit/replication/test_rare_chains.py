"""Rules that take a chain of rare events to break: a late answer, a second process, a record behind its removal."""

from attrs import evolve

from dqtw.core.links.peer_messages import (
    Applied,
    Ask,
    Asked,
    Asking,
    Delta,
    FencedOff,
    Fetch,
    Fetched,
    Forward,
    Open,
    Opened,
    Page,
    Role,
)
from dqtw.core.links.peers import Peers
from dqtw.core.model.commands import Inspect, Push
from dqtw.core.model.id_set import IdSet
from dqtw.core.model.keys import KeyRecord, body_digest
from dqtw.core.model.message import Message, MessageId
from dqtw.core.model.settings import NodeSettings

from .cluster import Cluster, cluster, key_at
from .test_keys import meets_the_old_c, vouched_for


def replaced_without_b(world: Cluster) -> None:
    """Let a new process of a serve while b, which alone may have its last messages, stands still."""
    world.kill("a")
    world.heal()
    world.cut("b", "c")
    world.pause("b")
    world.start("a")
    world.settle(9)
    assert world["a"].life.is_serving, list(world["a"].life.waits(0))


def test_rule_12_a_late_answer_of_a_dead_process_makes_nobody_an_heir() -> None:
    """It has been replaced since, and the next one is empty."""
    world = cluster("a", "b", "c", copies=2)
    world.hold(Delta, by="a", at="c", when=lambda delta: delta.queue == "a")  # c never has it
    push = world.push("a", b"kept")
    world.settle(0.3)
    assert push.code == "Pushed"
    asked = world.hold(Asked, by="a", at="b")
    opened = world.hold(Opened, by="a", at="b")
    late = world.hold(Applied, by="a", at="b")
    world.drain("a")
    while not late.items:
        world.settle(0.02)
    world.kill("b")  # it has answered, and that is on its way
    asked.items.clear()
    opened.items.clear()
    world.gates.remove(asked)
    world.gates.remove(opened)
    world.start("b")
    world.settle(0.7)
    assert world["a"].peers["b"].boot == world["b"].boot, "a has heard from the new process"
    assert "a" not in world.departed
    world.deliver(late.items.pop(0))
    assert "a" not in world.departed, (world.bodies("b", "a"), world.bodies("c", "a"))


def test_rule_12_a_late_answer_does_not_turn_a_peer_that_is_leaving_into_an_heir() -> None:
    """Two nodes leave; what one said before it was asked to leave comes after what it said later."""
    world = cluster("a", "b")
    world.push("a", b"kept")
    world.settle(0.3)
    asked = world.hold(Asked, by="a", at="b")
    world.hold(Opened, by="a", at="b")
    world.drain("a")
    while not asked.items:
        world.settle(0.01)
    world.drain("b")
    while len(asked.items) < 2:
        world.settle(0.1)
    stays, leaves = asked.items
    assert (stays.what.leaving, leaves.what.leaving) == (False, True)
    world.deliver(leaves)
    world.deliver(stays)
    world.settle(0.1)
    assert world.departed == {}


def test_rule_12_that_a_dead_process_was_to_stay_says_nothing_of_the_next() -> None:
    """Nor that it was about to leave: each process says so itself."""
    sent: list[Asking] = []
    peers = Peers(NodeSettings(node="a", peers={"b": "http://b"}), "boot of a", sent.append, lambda *_, **__: None)
    peer = peers["b"]

    def asks(answer: Asked | FencedOff) -> None:
        peer.ask(0.0, Ask("a", "dqtw"), lambda *_: None)
        peers.calls.answered(0.0, sent[-1].call, answer)

    said = Asked("b", "first", "", "", 0.0, synced_once=True, in_sync=True, leaving=False, fenced=False, addresses={})
    met = FencedOff("b", "second", "")
    asks(said)
    assert peer.stays(0.0, since=0)
    asks(met)
    assert not peer.stays(0.0, since=0)
    asks(evolve(said, boot="second", leaving=True))
    assert peer.leaving
    asks(evolve(met, boot="third"))
    assert not peer.leaving
    assert not peer.stays(0.0, since=0)
    asks(evolve(said, boot="third"))
    assert peer.stays(0.0, since=0)


def test_rule_15_a_keyed_push_that_waits_for_a_slot_waits_for_the_rescue_too() -> None:
    """The message of its key may be on its way here."""
    world = cluster("a", "b", "c", copies=2, size=2, start_wait_s=4)
    world.cut("a", "c")
    world.cut("b", "c")
    world.settle(6)
    key = key_at("a", world)
    first = world.push("a", b"once", key=key)
    world.settle(0.3)
    assert first.code == "Pushed"
    replaced_without_b(world)
    fill = [world.push("a", b"x"), world.push("a", b"y")]
    world.settle(0.3)
    assert [each.code for each in fill] == ["Pushed"] * 2
    retry = world.push("a", b"once", key=key, wait_s=30.0)
    fetch = world.hold(Fetch, by="a", at="b")
    world.resume("b")
    world.settle(1.5)
    assert fetch.items and "b" in world.in_session("a")
    for each in fill:
        world.ack("a", each.id)
    world.settle(0.3)
    fetch.open()
    world.settle(1)
    assert world.bodies("a", "a") == [b"once"], retry.outcome
    assert retry.code == "" or retry.id == first.id


def test_rule_15_an_ack_during_a_rescue_leaves_the_memory_of_the_key() -> None:
    """A retry after that is answered with the first id."""
    world = cluster("a", "b", "c", copies=2, start_wait_s=4)
    world.cut("a", "c")
    world.cut("b", "c")
    world.settle(6)
    key = key_at("a", world)
    first = world.push("a", b"once", key=key)
    world.settle(0.3)
    assert first.code == "Pushed"
    replaced_without_b(world)
    fetch = world.hold(Fetch, by="a", at="b")
    world.resume("b")
    world.settle(1.5)
    assert fetch.items and "b" in world.in_session("a")
    ack = world.ack("a", first.id)
    world.settle(0.1)
    fetch.open()
    world.settle(1)
    assert ack.code == "Done"
    retry = world.push("a", b"once", key=key)
    world.settle(1)
    assert retry.id == first.id
    assert world.bodies("a", "a") == []


def test_rule_15_no_removal_is_read_before_the_records_of_all_keys() -> None:
    """There are more than one page can tell."""
    world = cluster("a", "b", "c", copies=2, size=5000, start_wait_s=4)
    key = key_at("a", world)
    others = [world.push("a", b"o", key=f"o{n}") for n in range(4000)]
    once = world.push("a", b"once", key=key)
    world.settle(0.5)
    world.cut("a", "c")
    world.cut("b", "c")
    world.settle(6)
    for each in others:
        if each.id.node == "a":
            world.ack("a", each.id)
    world.settle(0.3)
    world.ack("a", once.id)
    world.settle(0.5)
    assert len(world["b"].holder.held["a"].keys) > 1001
    replaced_without_b(world)
    assert b"once" in world.bodies("a", "a")
    page = world.hold(Page, by="a", at="b", when=lambda p: p.queue == "a")
    world.resume("b")
    world.settle(1)
    assert page.items
    retry = world.push("a", b"once", key=key)
    world.settle(0.3)
    page.open()
    world.settle(1)
    assert b"once" not in world.bodies("a", "a")
    assert retry.code in ("starting", "uncertain") or retry.id == once.id


def test_rule_12_a_copy_that_its_owner_has_changed_since_is_not_held_by_who_was_equal_before() -> None:
    """The owner has died, and this node knows."""
    world = cluster("a", "b", "c", copies=2)
    world.cut("a", "b")
    world.settle(6)
    world.hold(Delta, by="c", at="a", when=lambda d: d.queue == "c")
    cb = world.hold(Delta, by="c", at="b", when=lambda d: d.queue == "c")
    own = world.push("c", b"own")
    world.settle(0.1)
    world.drain("c")
    world.settle(1.5)
    push = world.push("a", b"kept")
    world.settle(0.05)
    assert push.code == "Pushed"
    world.kill("a")
    assert world.bodies("c", "a") == [b"kept"] and world.bodies("b", "a") == []
    world.settle(0.7)
    peer = world["c"].peers["a"]
    assert not peer.is_up(world["c"]._last_step), "c knows that a does not answer"
    cb.open()
    world.settle(0.1)
    assert own.code == "Pushed"
    world.settle(2)
    assert "c" not in world.departed or world.bodies("b", "a") == [b"kept"]


def test_rule_11_an_ack_under_way_at_a_fenced_node_is_uncertain() -> None:
    """No peer has confirmed it."""
    world = cluster("a", "b", "c")
    world.push("a", b"kept")
    world.settle(0.3)
    delta = world.hold(Delta, by="a")
    [got] = world.get("a").deliveries
    ack = world.ack("a", got.receipt.id)
    world.settle(0.01)
    assert ack.code == ""
    greatest = "0" + "7" * 25
    for _item in delta.items:
        pass
    delta.answer(FencedOff("b", world["b"].boot, greatest))
    assert ack.code == "uncertain"


def test_rule_06_a_message_of_its_own_incarnation_that_was_never_given_is_never_taken_in() -> None:
    """Also when a fetch brings it."""
    world = cluster("a", "b", "c", copies=2, start_wait_s=4)
    world.cut("a", "c")
    world.cut("b", "c")
    world.settle(6)
    world.push("a", b"once")
    world.settle(0.3)
    replaced_without_b(world)
    fetched = world.hold(Fetched, by="a", at="b")
    world.resume("b")
    world.settle(1.5)
    what = fetched.items[0].what
    bogus = MessageId("a", world["a"].incarnation, 7)
    fetched.alter(put=(*what.put, what.put[0]._replace(id=bogus, body=b"bogus")))
    assert b"bogus" not in world.bodies("a", "a")


def test_rule_12_an_owner_that_never_served_does_not_leave_with_what_it_rescued_since() -> None:
    """It was equal with a peer before."""
    world = cluster("a", "b", "c", copies=2)
    world.push("a", b"known to all")
    world.settle(0.3)
    world.cut("a", "b")
    world.cut("c", "b")
    world.settle(6)
    push = world.push("a", b"kept")
    world.settle(0.3)
    assert push.code == "Pushed"
    world.kill("a")
    world.heal()
    world.cut("c", "b")
    fetch = world.hold(Fetch, by="a", at="c", when=lambda f: f.queue == "a")
    world.hold(Open, by="a", at="c", when=lambda o: o.role is Role.COPY and o.queue == "a")
    world.settle(4)
    world.start("a", start_wait_s=100)
    world.settle(0.9)
    assert not world["a"].life.is_serving and fetch.items
    world.hold(Open, by="c", at="a")
    world.drain("c")  # no heir of anybody
    world.hold(Delta, by="a", at="b", when=lambda d: d.queue == "a")  # slow
    forward = world.hold(Forward, by="a", at="b")
    world.ask("a", Inspect(MessageId("b", world["b"].incarnation, 1)))  # as long as that is out, it stays
    world.drain("a")
    world.settle(2)
    node = world["a"]
    assert node.exchanges.was_equal("a", node.peers["b"])
    fetch.open()
    assert world.bodies("a", "a") == [b"known to all", b"kept"] and world.bodies("b", "a") == [b"known to all"]
    world.kill("c")
    forward.open()
    world.settle(0.3)
    assert "a" not in world.departed


def test_rule_05_withdrawals_in_doubt_cost_their_holes_and_not_their_number() -> None:
    """However long a member is away."""
    world = cluster("a", "b", "c", copies=2, size=50, push_timeout_s=2)
    world.kill("c")
    world.settle(6)
    for _ in range(4):
        world.pause("b")
        pushes = world.ask_all("a", [Push(b"x") for _ in range(50)])
        world.settle(8)
        assert {push.code for push in pushes} == {"uncertain"}
        world.resume("b")
        world.settle(3)
    assert world.bodies("a", "a") == world.bodies("b", "a") == []
    unsure = world["a"].owner.intake.pushes.unsure()
    assert getattr(unsure, "bounds_count", len(unsure)) <= 50


def test_rule_09_a_dead_process_that_was_in_sync_is_not_enough_to_serve() -> None:
    """Its answer comes late; the process that answers now has nothing."""
    world = cluster("a", "b", "c")
    push = world.push("a", b"kept")
    world.settle(0.3)
    assert push.code == "Pushed"
    world.kill("a")
    world.pause("c")
    world.settle(4)
    late = world.hold(Opened, by="a", at="b")
    world.start("a")
    world.settle(2)
    assert late.items
    world.kill("b")
    world.gates.remove(late)
    world.start("b")
    world.settle(2)
    assert world.in_session("a") == ["b"]
    assert not world["a"].life.is_serving
    world.deliver(late.items[0])
    assert not world["a"].life.is_serving


def test_rule_15_a_record_of_the_same_key_and_another_message_is_told() -> None:
    """The peer remembers an older one of that name."""
    """b remembers an older removal under this key; it must come to know the younger one."""
    world = cluster("a", "b", copies=1, key_memory_s=20)
    key = key_at("a", world)
    first = world.push("a", b"once", key=key)
    world.settle(0.3)
    slow = world.hold(Delta, by="a", at="b", when=lambda d: bool(d.keys))
    world.ack("a", first.id)
    world.settle(4)  # b learns of it late, and so forgets it late
    slow.open()
    world.settle(0.1)
    world.refuse("b")
    world.settle(16.2)
    assert len(world["a"].owner.keys) == 0
    assert len(world["b"].holder.held["a"].keys) == 1
    second = world.push("a", b"once", key=key)
    ack = world.ack("a", second.id)
    world.settle(0.5)
    assert (second.code, ack.code) == ("Pushed", "Done") and second.id != first.id
    world.heal()
    world.settle(1.5)
    assert world.in_session("a") == ["b"]
    assert len(world["b"].holder.held["a"].keys) == 1
    world.settle(5)  # the older record's time is over, the younger one's is not
    assert len(world["a"].owner.keys) == 1
    assert len(world["b"].holder.held["a"].keys) == 1


def test_rule_15_of_two_messages_of_one_key_each_keeps_it_alive() -> None:
    """The first try came back beside the second; one of them is removed."""
    """Both copies of a push that was taken back as uncertain and retried come back; then the first is known as gone."""
    world = Cluster("a", "b", "c", copies=1, start_wait_s=4)
    world.start("b")
    world.start("c")
    world.settle(5)
    key = key_at("a", world)
    old = "01HF0000000000000000000000"
    first, retried = MessageId("a", old, 1), MessageId("a", old, 2)
    world.copy("b", "a").put(first, Message(b"once", key=key))
    world.copy("b", "a").put(retried, Message(b"once", key=key))
    world.copy("c", "a").gone(IdSet.of("a", [first]))
    world.pause("c")
    world.cut("b", "c")
    world.start("a")
    world.settle(5)
    assert world["a"].life.is_serving and len(world.bodies("a", "a")) == 2
    world.resume("c")
    world.settle(3)
    assert list(world.copy("a", "a").live) == [retried]
    retry = world.push("a", b"once", key=key)
    world.settle(0.3)
    assert retry.id == retried


def test_rule_15_a_message_taken_in_again_is_told_to_a_retry_when_its_copies_are_there() -> None:
    """Not before: its owner may die."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    id = vouched_for(world, key)
    world.copy("c", "a").gone(IdSet.of("a", [id]))
    gate = world.hold(Delta, by="a", when=lambda delta: bool(delta.put) and delta.queue == "a")
    meets_the_old_c(world)
    [again] = world.copy("a", "a").live
    assert gate.items and again != id
    retry = world.push("a", b"once", key=key)
    told = retry.code
    world.kill("a")
    assert told == "" or world.bodies("b", "a") or world.bodies("c", "a"), (retry.outcome, "and nobody holds it")


def test_rule_15_a_record_that_comes_with_many_others_comes_before_the_removal() -> None:
    """Else the removal would look like a push that was taken back."""
    """An acknowledged message that a retry was told of is not taken in again when its record comes on a later page."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    id = vouched_for(world, key)
    held = world["c"].holder.held["a"]
    now = world.processes["c"].latest
    for n in range(1000):
        held.keys.learn(now, KeyRecord(f"other{n}", MessageId("a", id.incarnation, n + 2), b"d" * 16, 0.0))
    held.keys.learn(now, KeyRecord(key, id, body_digest(b"once"), 0.0))
    held.copy.gone(IdSet.of("a", [id]))
    meets_the_old_c(world)
    assert world.bodies("a", "a") == []


def test_rule_15_a_second_retry_that_waits_does_not_undo_what_the_first_was_told() -> None:
    """The withdrawal that a process brings back meets both."""
    world = cluster("a", "b", "c")
    key = key_at("a", world)
    id = vouched_for(world, key)  # a retry was told that it is there
    world.copy("c", "a").gone(IdSet.of("a", [id]))  # the old process of c, paused, knows otherwise
    world.kill("c2")
    world.settle(4)
    slow = world.hold(Delta, by="a", at="c3", when=lambda delta: bool(delta.put) and delta.queue == "a")
    [
        world.hold(Open, by=by, at=at, when=lambda o: o.role is Role.COPY and o.queue == "a")
        for by, at in (("b", "c3"), ("c3", "b"))
    ]
    world.start("c", at="c3")
    while not slow.items:
        world.settle(0.1)
    assert world.in_session("a") == ["b", "c"]
    again = world.push("a", b"once", key=key)  # waits until c has it, too
    world.settle(0.1)
    assert again.code == ""
    world.resume("c")
    world.settle(2)
    slow.open()
    world.settle(3)
    assert world.bodies("a", "a") == [b"once"], again.code
