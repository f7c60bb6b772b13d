"""How many bulk bytes may be under way to a peer."""

from dqtw.wire.peer.window import Window, bytes_first, bytes_min, bytes_usual

chunk = 32 * 1024


def transfer(window: Window, rate: float, delay_s: float, seconds: float, report_bytes: int = 64 * 1024) -> float:
    """Send bulk over a link of that rate, whose reader reports now and then; return the bytes per second read."""
    now, written, read, reported, last_report = 0.0, 0, 0.0, 0, 0.0
    on_way: list[tuple[float, int]] = []
    step = 0.005
    while now < seconds:
        now += step
        while window.is_open:
            window.wrote(now, chunk)
            written += chunk
        read = min(read + rate * step, written)
        if read - reported >= report_bytes or now - last_report >= 1.0:
            reported, last_report = int(read), now
            on_way.append((now + delay_s, reported))
        while on_way and on_way[0][0] <= now:
            window.reported(now, on_way.pop(0)[1])
    return read / seconds


def test_at_first_few_bytes_may_be_under_way() -> None:
    window = Window()
    assert window.size == bytes_first
    window.wrote(0.0, bytes_first - 1)
    assert window.is_open
    window.wrote(0.0, 1)
    assert not window.is_open
    window.reported(0.1, 1)
    assert window.is_open


def test_a_window_that_was_never_full_does_not_grow() -> None:
    window = Window()
    for n in range(100):
        window.wrote(n, 1000)
        assert window.is_open
        window.reported(n + 0.01, 1000 * (n + 1))
    assert window.size == bytes_first


def test_a_fast_link_gets_what_it_reads_in_a_second() -> None:
    window = Window()
    assert transfer(window, rate=100e6, delay_s=0.02, seconds=5) > 80e6
    assert bytes_usual < window.size <= 110e6


def test_a_long_link_is_filled() -> None:
    assert transfer(Window(), rate=10e6, delay_s=0.2, seconds=10) > 7e6


def test_on_a_slow_link_less_is_under_way() -> None:
    window = Window()
    assert transfer(window, rate=100e3, delay_s=0.02, seconds=30, report_bytes=16 * 1024) > 90e3
    assert window.size <= 64 * 1024


def test_a_peer_that_reports_once_a_second_only_is_not_taken_for_a_slow_link() -> None:
    window = Window()
    assert transfer(window, rate=100e6, delay_s=0.02, seconds=60, report_bytes=2**60) > 0.9 * bytes_usual
    assert window.size > 0.9 * bytes_usual


def test_a_little_that_is_reported_once_a_second_makes_no_link_slow() -> None:
    window, written, on_way = Window(), 0, list[tuple[float, int]]()
    for n in range(1, 3000):
        now = n / 100
        if n % 100 == 50:
            on_way.append((now + 0.02, written))
        if on_way and on_way[0][0] <= now:
            window.reported(now, on_way.pop(0)[1])
        window.wrote(now, 200)
        written += 200
    assert window.size == bytes_first


def test_reports_of_what_was_never_written_open_nothing() -> None:
    window = Window()
    window.wrote(0.0, 1000)
    window.reported(0.1, 2**53)
    window.reported(0.2, 0)
    window.wrote(0.3, bytes_usual)
    assert not window.is_open


def test_reports_cost_no_memory() -> None:
    window = Window()
    for n in range(100_000):
        window.wrote(n / 1000, 100)
        window.reported(n / 1000, 100 * n)
    assert len(window._reports) < 30
    assert window.size >= bytes_min
