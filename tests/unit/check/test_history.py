"""What is written into a history comes out of it."""

import io
from math import inf

import pytest
from attrs import asdict

from dqtw.check.asking import Address
from dqtw.check.history import Delivery, History, Recorder, Sight
from dqtw.check.load import body_of, label_of


def test_a_history_is_read_as_it_was_written() -> None:
    file, seconds = io.StringIO(), iter(range(100))
    recorder = Recorder(file, quiet=True, clock=lambda: float(next(seconds)))
    delivery = Delivery("a.i.1", "a.i.1.t", 1, 2.0, "x")
    sight = Sight(1.0, 1.5, "a", "i", "serving", 3.0, {"b": 2.5})
    push = recorder.invoke("c", "push", "http://h:1", body="x", key="k")
    get = recorder.invoke("d", "get", "line://h:2", lease_s=2.0, ack_now=False, count_max=1)
    recorder.outcome(get, "ok", "", deliveries=[asdict(delivery)])
    recorder.outcome(push, "ok", "", id="a.i.1")
    unanswered = recorder.invoke("c", "ack", "http://h:1", id="a.i.1")
    recorder.sight(sight)
    recorder.fault("kill a")
    recorder.end(0.5, 0)
    history = History.read(file.getvalue().splitlines())
    assert [each.number for each in history.operations] == [push, get, unanswered]
    assert (history.operations[0].id, history.operations[0].begun, history.operations[0].ended) == ("a.i.1", 1, 4)
    assert history.operations[1].deliveries == [delivery]
    assert (history.operations[2].ended, history.operations[2].result) == (inf, "unknown")
    assert history.sights == [sight]
    assert [what for _, what in history.faults] == ["kill a"]
    assert (history.quiet, history.serving_after_s, history.left, history.finished) == (True, 0.5, 0, True)


@pytest.mark.parametrize("line", ["", "x", "[]", "{}", '{"at": 1, "outcome": 7, "result": "ok"}'])
def test_what_is_no_history_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="line 1 is not of a history"):
        History.read([line])


@pytest.mark.parametrize("length", [0, 5, 9, 10, 11, 1000])
def test_a_label_names_its_body(length: int) -> None:
    label = f"c-1-{length}"
    assert label_of(body_of(label)) == label
    assert label_of(body_of(label) + "y") != label
    assert label_of("something else") == "'something else'"


@pytest.mark.parametrize("text", ["", "host", "ftp://host:1", "http://host", "http://:1", "host:port"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(text, "http")


def test_addresses() -> None:
    assert str(Address.parse("127.0.0.1:7711", "line")) == "line://127.0.0.1:7711"
    assert str(Address.parse("http://node:8080", "http")) == "http://node:8080"
