"""Log lines as JSON."""

import io
import json
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.base import ReactorBase
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure

from dqtw.process.logs import json_line, json_observer, open_log


def logged(file: io.StringIO) -> dict[str, Any]:
    """The one line in the file."""
    assert file.getvalue().count("\n") == 1
    return cast(dict[str, Any], json.loads(file.getvalue()))


@pytest.fixture
def file() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(file: io.StringIO) -> Logger:
    return Logger(namespace="here", observer=LogPublisher(json_observer(file)))


def test_a_line_tells_when_who_what_and_how_grave(log: Logger, file: io.StringIO) -> None:
    log.warn("it is {what}\nand so on", what="late")
    line = logged(file)
    assert line.pop("time").startswith("20")
    assert line == {"level": "warn", "system": "here", "message": "it is late\nand so on"}


def test_a_failure_is_a_field_of_its_line(log: Logger, file: io.StringIO) -> None:
    log.failure("it broke", failure=Failure(ValueError("why")))
    line = logged(file)
    assert line["message"] == "it broke"
    assert "ValueError: why" in line["failure"]


def test_a_failure_without_words_speaks_for_itself() -> None:
    line = json.loads(json_line({"log_failure": Failure(ValueError("why")), "log_level": LogLevel.critical}))
    assert line["message"] == "why"
    assert line["level"] == "critical"


def test_events_of_the_old_log_are_lines_too(file: io.StringIO) -> None:
    publisher = legacy.LogPublisher(publishPublisher=LogPublisher(json_observer(file)))
    publisher.msg("an old", "message", system="old")
    line = logged(file)
    assert (line["message"], line["system"], line["level"]) == ("an old message", "old", "info")


def test_whatever_is_logged_is_a_line(log: Logger, file: io.StringIO) -> None:
    log.info("{thing} {missing}", thing=object())
    assert "message" in logged(file)
    assert json.loads(json_line({"log_format": "\udcff", "log_time": 0.0}))["message"] == "\udcff"


def test_lines_go_where_twistd_would_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reactor = cast(ReactorBase, None)
    assert open_log(None, reactor, daemon=False) is sys.stdout
    assert open_log("-", reactor, daemon=False) is sys.stdout
    for path, daemon, name in ((None, True, "twistd.log"), ("x.log", False, "x.log")):
        opened = open_log(path, reactor, daemon=daemon)
        opened.close()
        assert (tmp_path / name).exists()
