"""Streams between processes: real treq against the real resource, over connections that are memory."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from dqtw.core.links.frames import Applied, Backfill, Contents, Delta, Pair, Status
from dqtw.core.links.streams import Close, Reported, Send, StreamRefused
from dqtw.core.model.message import Message
from dqtw.net.http.limits import HttpLimits
from dqtw.net.peer.bounds import StreamLimits
from dqtw.wire.peer import codec
from dqtw.wire.peer.window import bytes_first
from tests.unit.net.stream_network import Net, Process, RawSite, open_stream, pair_on, url_of
from tests.unit.wire.frames import all_frames, incarnation
from tests.unit.wire.test_codec import plain

secret = b"a secret of the cluster"
secrets = pytest.mark.parametrize("secret", [None, secret], ids=["bare", "sealed"])


@pytest.fixture
def net() -> Net:
    return Net()


def backfill(number: int, body_bytes: int) -> Backfill:
    return Backfill(1, number, 1.5, Contents({incarnation: [(1, Message(b"b" * body_bytes))]}))


def delta(upto: int, body_bytes: int) -> Delta:
    contents = Contents({incarnation: [(1, Message(b"b" * body_bytes))]})
    return Delta(1, upto, 1.5, contents, is_synced=True, is_whole=True, changes_received=0, ready={})


def status(running_s: float = 1.0) -> Status:
    return Status("a", None, running_s, False, 0, 0, {}, [], {})


class TestAStream:
    """From a dial to the last frame."""

    @secrets
    def test_it_names_both_processes(self, net: Net, secret: bytes | None) -> None:
        pair = pair_on(net, secret)
        (request,) = pair.writer.port.asked
        assert (request.node, request.boot, request.to_node, request.url) == ("b", "boot-b", "a", url_of("b"))
        answer = pair.reader.port.answered[pair.read]
        assert (answer.node, answer.boot, answer.nonce) == ("a", "boot-a", "a101")

    @secrets
    def test_it_carries_frames_of_all_kinds(self, net: Net, secret: bytes | None) -> None:
        pair = pair_on(net, secret)
        pair.writer.send(pair.written, *all_frames)
        in_lanes = sorted(all_frames, key=lambda frame: frame.lane.value)
        assert list(map(plain, pair.frames)) == list(map(plain, in_lanes))

    @secrets
    def test_it_carries_long_frames_and_small_ones_overtake_them(self, net: Net, secret: bytes | None) -> None:
        pair = pair_on(net, secret)
        pair.cable.is_moving = False
        pair.writer.send(pair.written, delta(1, 3_000_000))
        pair.writer.send(pair.written, Pair("a", "b"))
        pair.cable.is_moving = True
        net.settle()
        assert [type(frame) for frame in pair.frames] == [Pair, Delta]
        assert plain(pair.frames[1]) == plain(delta(1, 3_000_000))

    def test_each_read_is_reported_even_if_it_completes_no_frame(self, net: Net) -> None:
        pair = pair_on(net)
        pair.writer.send(pair.written, delta(1, 500_000))
        reads = pair.reader.port.reads
        assert [count for _, count, *_ in reads].count(0) == len(reads) - 1 > 5
        assert sum(express for *_, express, _ in reads) > 500_000
        assert sum(bulk for *_, bulk in reads) == 0

    def test_frames_of_one_turn_leave_in_one_write(self, net: Net) -> None:
        pair = pair_on(net)
        before = len(pair.cable.server_end.writes)
        pair.writer.send(pair.written, *(Applied(1, upto, 0) for upto in range(100)))
        assert len(pair.cable.server_end.writes) == before + 1
        assert len(pair.frames) == 100

    def test_contents_for_several_peers_are_encoded_once(self, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
        a = Process(net, "a")
        pairs = [open_stream(a, Process(net, node)) for node in "bcd"]
        encoded: list[type] = []
        original = codec._encode

        def counting(value: Any) -> bytes:
            encoded.append(type(value))
            return original(value)

        monkeypatch.setattr(codec, "_encode", counting)
        contents = delta(1, 1000).contents
        frames = [Delta(n, 1, 1.5, contents, True, True, 0, {}) for n in range(3)]
        a.carry_out(*(Send(pair.written, frame) for pair, frame in zip(pairs, frames, strict=True)))
        net.settle()
        assert encoded.count(Contents) == 1
        assert [plain(pair.frames) for pair in pairs] == [[plain(frame)] for frame in frames]

    def test_nothing_encoded_is_kept(self, net: Net) -> None:
        pair = pair_on(net)
        pair.writer.send(pair.written, delta(1, 1000))
        assert pair.writer.streams._encoder._shared == {}

    def test_bulk_waits_until_the_peer_reports_what_it_has_read(self, net: Net) -> None:
        pair = pair_on(net)
        pair.writer.send(pair.written, backfill(1, 1_000_000))
        read = sum(bulk for *_, bulk in pair.reader.port.reads)
        assert bytes_first <= read < bytes_first + 70_000
        while not pair.frames:
            pair.writer.carry_out(Reported(pair.written, 0, read))
            net.settle()
            assert sum(bulk for *_, bulk in pair.reader.port.reads) > read
            read = sum(bulk for *_, bulk in pair.reader.port.reads)
        assert plain(pair.frames) == [plain(backfill(1, 1_000_000))]

    def test_frames_in_both_directions_need_two_streams(self, net: Net) -> None:
        pair = pair_on(net)
        back = open_stream(pair.reader, pair.writer)
        pair.writer.send(pair.written, Applied(1, 1, 0))
        back.writer.send(back.written, Applied(1, 2, 0))
        assert (pair.frames, back.frames) == ([Applied(1, 1, 0)], [Applied(1, 2, 0)])

    @pytest.mark.parametrize("interval", [1.0, 60.0])
    def test_it_lives_as_long_as_the_core_wants(self, net: Net, interval: float) -> None:
        pair = pair_on(net)
        for n in range(round(600 / interval)):
            pair.writer.send(pair.written, status(n))
            net.pass_time(interval, step=0.5)
        assert len(pair.frames) == round(600 / interval)
        assert not pair.reader.port.closed
        assert not pair.writer.port.closed

    @secrets
    def test_a_proxy_may_cut_and_join_its_bytes(self, net: Net, secret: bytes | None) -> None:
        pair = pair_on(net, secret)
        held = bytearray()

        def drip(data: bytes) -> bytes:
            held.extend(data)
            passed = bytes(held[:7])
            del held[:7]
            return passed

        pair.cable.change = drip
        pair.writer.send(pair.written, *all_frames)
        while held:
            pair.cable.client_end.bufferReceived(drip(b""))
        assert len(pair.frames) == len(all_frames)


class TestTheEndOfAStream:
    """Each side notices it once, unless it closed the stream itself."""

    def test_closing_the_read_stream_closes_exactly_one(self, net: Net) -> None:
        first = pair_on(net)
        second = open_stream(first.writer, first.reader)
        first.reader.close(first.read)
        assert first.reader.port.closed == {}
        assert first.writer.port.closed == {first.written: "the peer closed the stream"}
        second.writer.send(second.written, Applied(1, 1, 0))
        assert second.frames == [Applied(1, 1, 0)]

    def test_closing_the_written_stream_closes_exactly_one(self, net: Net) -> None:
        first = pair_on(net)
        second = open_stream(first.writer, first.reader)
        first.writer.close(first.written)
        assert first.writer.port.closed == {}
        assert first.reader.port.closed == {first.read: "the connection was lost"}
        second.writer.send(second.written, Applied(1, 1, 0))
        assert second.frames == [Applied(1, 1, 0)]

    def test_a_cut_is_noticed_on_both_sides(self, net: Net) -> None:
        pair = pair_on(net)
        pair.cable.cut()
        net.settle()
        assert pair.writer.port.closed == {pair.written: "the peer closed the stream"}
        assert pair.reader.port.closed == {pair.read: "the connection was lost"}

    def test_after_closing_nothing_of_the_same_read_is_reported(self, net: Net) -> None:
        pair = pair_on(net)
        pair.reader.port.on_received = pair.reader.streams._close
        pair.cable.is_moving = False
        pair.writer.send(pair.written, Applied(1, 1, 0))
        pair.writer.send(pair.written, Applied(1, 2, 0))
        pair.cable.is_moving = True
        net.settle()
        assert pair.frames == [Applied(1, 1, 0)]

    def test_effects_for_a_stream_that_is_gone_do_nothing(self, net: Net) -> None:
        pair = pair_on(net)
        pair.writer.close(pair.written)
        pair.writer.carry_out(
            Send(pair.written, Applied(1, 1, 0)),
            Reported(pair.written, 5, 5),
            Close(pair.written, "again"),
            Close(99, "no"),
        )
        net.settle()
        assert pair.writer.port.closed == {}

    def test_the_end_is_noticed_after_a_pause_too(self, net: Net) -> None:
        """The channel stops to read while it can't write, and without reading an idle connection never ends."""
        pair = pair_on(net)
        pair.writer.send(pair.written, delta(1, 300_000))
        assert pair.cable.server_end.is_reading
        pair.reader.close(pair.read)
        assert list(pair.writer.port.closed) == [pair.written]

    def test_a_peer_that_half_closes_its_connection_is_gone(self, net: Net) -> None:
        pair = pair_on(net)
        pair.cable.server_end.protocol.readConnectionLost()
        net.settle()
        assert pair.writer.port.closed == {pair.written: "the peer closed the stream"}

    def test_after_stop_all_is_closed_and_nothing_is_reported_or_done(self, net: Net) -> None:
        pair = pair_on(net)
        back = open_stream(pair.reader, pair.writer)
        pair.writer.start_dial("b")
        pair.writer.streams.stop()
        pair.writer.carry_out(Send(pair.written, Applied(1, 1, 0)))
        pair.writer.start_dial("b")
        net.pass_time(5)
        assert pair.writer.port.closed == {}
        assert pair.writer.port.failed == {}
        assert pair.reader.port.closed == {
            pair.read: "the connection was lost",
            back.written: "the peer closed the stream",
        }
        assert not any(cable.is_open for cable in net.cables)
        refused = pair.reader.dial("a")
        assert pair.reader.port.failed[refused] == ("this node is stopping", False)

    def test_stopping_leaves_no_timer(self, net: Net) -> None:
        pair = pair_on(net)
        pair.cable.is_moving = False
        pair.writer.send(pair.written, delta(1, 100_000))
        pair.writer.start_dial("b")
        pair.writer.streams.stop()
        pair.reader.streams.stop()
        pair.cable.is_moving = True
        net.settle()
        assert net.clock.getDelayedCalls() == []

    def test_a_stream_that_takes_nothing_is_closed(self, net: Net) -> None:
        pair = pair_on(net)
        pair.cable.is_moving = False
        pair.writer.send(pair.written, delta(1, 100_000))
        net.pass_time(2.9)
        assert pair.writer.port.closed == {}
        net.pass_time(0.2)
        assert pair.writer.port.closed == {pair.written: "nothing could be written for 3 s"}

    def test_a_stream_with_nothing_to_write_is_not(self, net: Net) -> None:
        pair = pair_on(net)
        pair.cable.is_moving = False
        net.pass_time(10)
        assert pair.writer.port.closed == {}

    def test_a_slow_stream_is_not(self, net: Net) -> None:
        pair = pair_on(net)
        pair.cable.is_moving = False
        pair.writer.send(pair.written, delta(1, 300_000))
        for _ in range(60):
            pair.cable.pump.pump(advanceClock=False)  # 16 KiB every two seconds
            net.pass_time(2, step=0.5)
        assert pair.writer.port.closed == {}
        assert plain(pair.frames) == [plain(delta(1, 300_000))]

    def test_a_stream_that_is_read_on_is_not(self, net: Net) -> None:
        pair = pair_on(net)
        pair.writer.send(pair.written, delta(1, 200_000))
        pair.cable.is_moving = False
        pair.writer.send(pair.written, delta(1, 200_000))
        for read in range(1000, 10_001, 1000):
            pair.writer.carry_out(Reported(pair.written, read, 0))
            net.pass_time(2.9, step=0.1)
        assert pair.writer.port.closed == {}
        for _ in range(2):
            pair.writer.carry_out(Reported(pair.written, 10_000, 0))
            net.pass_time(1)
        assert pair.writer.port.closed == {pair.written: "nothing could be written for 3 s"}

    def test_a_stream_on_which_too_much_waits_is_closed_and_harms_no_other(self, net: Net) -> None:
        limits = StreamLimits(waiting_bytes_max=1_000_000)
        pair = pair_on(net, limits=limits)
        other = open_stream(pair.writer, Process(net, "c"))
        pair.cable.is_moving = False
        for upto in range(20):
            pair.writer.carry_out(
                Send(pair.written, delta(upto, 100_000)),
                Send(other.written, Applied(1, upto, 0)),
                Send(pair.written, delta(upto, 100_000)),
            )
            assert sum(map(len, pair.cable.server_end.pending)) < 100_000
            net.settle()
        assert list(pair.writer.port.closed) == [pair.written]
        assert pair.writer.port.closed[pair.written].endswith("bytes wait, more than may")
        assert len(other.frames) == 20

    def test_a_single_frame_of_any_length_may_wait(self, net: Net) -> None:
        pair = pair_on(net, limits=StreamLimits(waiting_bytes_max=1_000_000))
        pair.writer.send(pair.written, delta(1, 3_000_000))
        assert len(pair.frames) == 1

    def test_the_report_of_a_full_stream_comes_later_and_not_at_all_if_the_core_closes_it(self, net: Net) -> None:
        pair = pair_on(net, limits=StreamLimits(waiting_bytes_max=1000))
        pair.cable.is_moving = False
        pair.writer.carry_out(*(Send(pair.written, delta(upto, 100_000)) for upto in range(3)))
        assert pair.writer.port.closed == {}
        pair.writer.carry_out(Close(pair.written, "the test says so"))
        net.settle()
        assert pair.writer.port.closed == {}


class TestSecrets:
    """Who shows the cluster's secret, and who does not."""

    def pair(self, net: Net, of_a: tuple[bytes, ...], of_b: tuple[bytes, ...]) -> tuple[Process, Process]:
        return Process(net, "a", of_a), Process(net, "b", of_b)

    @pytest.mark.parametrize(
        ("of_a", "of_b", "why"),
        [
            ((secret,), (b"another",), "the MAC of the request is wrong: the peer secrets of the nodes differ"),
            ((secret,), (), "this node has a peer secret (--peer-secret-file), and the asker has none"),
            ((), (secret,), "the asker has a peer secret (--peer-secret-file), and this node has none"),
        ],
    )
    def test_without_the_secret_there_is_no_stream(
        self, net: Net, of_a: tuple[bytes, ...], of_b: tuple[bytes, ...], why: str
    ) -> None:
        a, b = self.pair(net, of_a, of_b)
        number = b.dial("a")
        assert b.port.failed == {number: (why, True)}
        assert a.port.asked == []
        assert a.port.refused == [("peers", "unauthorized")]
        assert a.port.refused_nodes == [("b", "unauthorized")]

    def test_a_secret_is_changed_while_streams_live_on(self, net: Net) -> None:
        new = b"a new secret of the cluster"
        a, b = self.pair(net, (secret,), (secret,))
        old = open_stream(a, b)
        assert a.secret is not None
        assert b.secret is not None
        for a_has, b_has in [((secret, new), (secret,)), ((secret, new), (new, secret)), ((new,), (new, secret))]:
            a.secret.secrets, b.secret.secrets = a_has, b_has
            for pair in (open_stream(a, b), open_stream(b, a), old):
                pair.writer.send(pair.written, Applied(1, 1, 0))
                assert pair.frames[-1] == Applied(1, 1, 0)

    def test_an_answer_of_a_process_without_the_secret_is_a_failure(self, net: Net) -> None:
        good = pair_on(net, secret)
        recorded = good.cable.answered
        net.listening[b"a.test"] = RawSite(recorded)
        number = good.reader.dial("a")
        why, is_lasting = good.reader.port.failed[number]
        assert (why, is_lasting) == ("the answer shows no knowledge of this cluster's secret", False)

    def test_a_repeated_request_gets_a_stream_of_which_it_knows_no_key(self, net: Net) -> None:
        """The core refuses it as replayed, or takes it for a stream in no pair; its pieces are not those recorded."""
        pair = pair_on(net, secret)
        pair.writer.send(pair.written, Applied(1, 1, 0))
        recorded = pair.cable.answered.partition(b"\r\n\r\n")[2]
        sink = net.stranger(b"a.test", pair.cable.asked)
        assert pair.writer.port.asked[0] == pair.writer.port.asked[1]
        pair.writer.send(pair.writer.port.accepted[-1], Applied(1, 1, 0))
        assert recorded
        assert recorded not in sink.received


class TestBadBytes:
    """They close their stream, are logged in one line, and harm nothing else."""

    def warnings(self, call: Callable[[], object]) -> list[str]:
        seen: list[LogEvent] = []

        def observe(event: LogEvent) -> None:
            if event["log_level"].name in ("warn", "error", "critical"):
                seen.append(event)

        globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
        try:
            call()
        finally:
            globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]
        return [formatEvent(event) for event in seen]

    @secrets
    def test_changed_bytes(self, net: Net, secret: bytes | None) -> None:
        pair = pair_on(net, secret)
        other = open_stream(pair.writer, pair.reader)
        pair.cable.change = lambda data: data.replace(b"applied", b"bpplied")
        (line,) = self.warnings(lambda: pair.writer.send(pair.written, Applied(1, 1, 0)))
        assert line.startswith("a sent what it must not: ")
        assert pair.frames == []
        assert list(pair.reader.port.closed) == [pair.read]
        assert pair.writer.port.closed == {pair.written: "the peer closed the stream"}
        other.writer.send(other.written, Applied(1, 2, 0))
        assert other.frames == [Applied(1, 2, 0)]

    @pytest.mark.parametrize(
        "data",
        [
            b"5\r\n\x06\x00\x00\x01\xc0\r\n",
            b"100\r\n" + b"\xff" * 256 + b"\r\n",
            b"zz\r\n",
            b"0\r\n\r\n",
            b"ffffffffffffffffff\r\n",
            b"-1\r\n",
            b"5\r\n\x02\x00\x00\x01\xc1\r\n",
            b"8\r\n\x03\x00\x00\x05\xdd\xff\xff\xff\xff\r\n",
        ],
    )
    def test_anything_else_but_frames(self, net: Net, data: bytes) -> None:
        pair = pair_on(net)
        other = open_stream(pair.writer, pair.reader)
        pair.cable.server_end.write(data)
        net.settle()
        pair.cable.server_end.write(b"\xff" * 5000)
        net.settle()
        assert list(pair.reader.port.closed) == [pair.read]
        other.writer.send(other.written, Applied(1, 2, 0))
        assert other.frames == [Applied(1, 2, 0)]

    def test_a_frame_without_end(self, net: Net) -> None:
        pair = pair_on(net, limits=StreamLimits(frame_bytes_max=500_000))
        piece = b"\x02\x01\x00\x00" + b"\x90" * 65536
        for _ in range(10):
            if pair.cable.is_open:
                pair.cable.server_end.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
                net.settle()
        assert pair.reader.port.closed == {pair.read: "a frame is longer than 500000 bytes"}

    def test_a_chunk_header_without_end(self, net: Net) -> None:
        pair = pair_on(net)
        for _ in range(100):
            pair.cable.server_end.write(b"1;" + b"x" * 1000)
            net.settle()
        assert list(pair.reader.port.closed) == [pair.read]

    def test_a_defect_of_this_node_is_logged_and_closes_the_stream(
        self, net: Net, logged_failures: list[LogEvent]
    ) -> None:
        pair = pair_on(net)
        pair.reader.port.fault = ZeroDivisionError()
        pair.writer.send(pair.written, Applied(1, 1, 0))
        assert pair.reader.port.closed == {pair.read: "this node failed at a frame of the stream"}
        assert len(logged_failures) == 1
        logged_failures.clear()


class TestRefusals:
    """They are problem documents, and reach the asker as they are."""

    @pytest.mark.parametrize(
        ("code", "status", "is_lasting"),
        [
            ("wrong_cluster", 403, True),
            ("version", 400, True),
            ("unknown_member", 403, True),
            ("wrong_node", 421, False),
            ("wrong_boot", 421, False),
            ("too_many", 429, False),
            ("replayed", 409, False),
        ],
    )
    def test_of_the_core(self, net: Net, code: str, status: int, is_lasting: bool) -> None:
        a, b = Process(net, "a"), Process(net, "b")
        a.port.answer = StreamRefused(code, "so it is")
        number = b.dial("a")
        assert b.port.failed == {number: ("so it is", is_lasting)}
        assert a.port.refused == [("peers", code)]
        assert net.cables[-1].answered.startswith(b"HTTP/1.1 %d " % status)
        assert not net.cables[-1].is_open

    def test_too_many_streams_of_one_node(self, net: Net) -> None:
        limits = StreamLimits(streams_per_node_max=3)
        a, b = Process(net, "a", limits=limits), Process(net, "b")
        numbers = [b.dial("a") for _ in range(4)]
        assert list(b.port.answered) == numbers[:3]
        assert b.port.failed == {numbers[3]: ("the node b has as many streams here as it may", False)}
        assert len(a.port.asked) == 3
        open_stream(a, Process(net, "c"))
        b.close(numbers[0])
        open_stream(a, b)

    def test_too_many_processes_of_one_node(self, net: Net) -> None:
        a = Process(net, "a")
        processes = [Process(net, "b", boot=f"boot{n}") for n in range(5)]
        outcomes = [(process.dial("a"), process) for process in processes]
        assert [bool(process.port.answered) for _, process in outcomes] == [True] * 4 + [False]
        assert processes[4].port.failed[1] == ("too many processes of the node b have streams here", False)
        open_stream(a, processes[0])

    def test_too_many_streams(self, net: Net) -> None:
        Process(net, "a", limits=StreamLimits(streams_max=2))
        b, c = Process(net, "b"), Process(net, "c")
        b.dial("a"), c.dial("a")
        number = b.dial("a")
        assert b.port.failed == {number: ("this node has as many streams as it may", False)}

    def test_a_url_that_leads_to_this_process_itself(self, net: Net) -> None:
        a = Process(net, "a", (secret,))
        number = a.dial("b", url=url_of("a"))
        assert a.port.failed == {number: ("that is this node itself", False)}
        assert a.port.asked == []

    def test_thousands_of_requests(self, net: Net) -> None:
        a = Process(net, "a", (secret,))
        good = open_stream(a, Process(net, "b", (secret,)))
        forged = good.cable.asked.replace(b"Dqtw-Number: 1", b"Dqtw-Number: 2")
        assert forged != good.cable.asked
        for _ in range(1000):
            sink = net.stranger(b"a.test", forged)
            assert b'"unauthorized"' in sink.received
            assert sink.is_lost
            del net.cables[1:]
        assert a.site.connection_count == 1
        open_stream(a, Process(net, "c", (secret,)))
        good.writer.send(good.written, Applied(1, 1, 0))
        assert good.frames == [Applied(1, 1, 0)]

    def test_idle_connections_beyond_the_limit_do_not_end_streams(self, net: Net) -> None:
        a = Process(
            net, "a", http_limits=HttpLimits(connections_max=20, refused_connections_max=5, idle_seconds_max=10)
        )
        good = open_stream(a, Process(net, "b"))
        for _ in range(100):
            net.stranger(b"a.test", b"")
        number = Process(net, "c").dial("a")
        assert number == 1
        net.pass_time(20, step=0.5)
        assert a.site.connection_count == 1
        good.writer.send(good.written, Applied(1, 1, 0))
        assert good.frames == [Applied(1, 1, 0)]
