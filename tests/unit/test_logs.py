"""Where log lines go, as text and as JSON."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure

from dqtw.process.logs import Log, json_line


def logged(file: io.StringIO) -> dict[str, Any]:
    """The one line in the file."""
    assert file.getvalue().count("\n") == 1
    return cast(dict[str, Any], json.loads(file.getvalue()))


@pytest.fixture
def file() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(file: io.StringIO) -> Logger:
    return Logger(namespace="here", observer=LogPublisher(Log(file, "json").observer))


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
    publisher = legacy.LogPublisher(publishPublisher=LogPublisher(Log(file, "json").observer))
    publisher.msg("an old", "message", system="old")
    line = logged(file)
    assert (line["message"], line["system"], line["level"]) == ("an old message", "old", "info")


def test_whatever_is_logged_is_a_line(log: Logger, file: io.StringIO) -> None:
    log.info("{thing} {missing}", thing=object())
    assert "message" in logged(file)
    assert json.loads(json_line({"log_format": "\udcff", "log_time": 0.0}))["message"] == "\udcff"


def test_lines_go_where_twistd_would_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Log.open(None, "text", daemon=False).file is sys.stdout
    assert Log.open("-", "json", daemon=False).file is sys.stdout
    for path, daemon, name in ((None, True, "twistd.log"), ("x.log", False, "x.log")):
        Log.open(path, "json", daemon=daemon).file.close()
        assert (tmp_path / name).exists()


def opened(path: Path, form: Literal["text", "json"]) -> tuple[Log, Logger]:
    """A log file, and what logs to it."""
    log = Log.open(str(path), form, daemon=False)
    return log, Logger(namespace="here", observer=LogPublisher(log.observer))


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_file_that_was_moved_away_is_begun_anew(form: Literal["text", "json"], tmp_path: Path) -> None:
    path = tmp_path / "log"
    log, logger = opened(path, form)
    logger.info("one")
    path.rename(tmp_path / "log.1")
    logger.info("two")
    assert log.reopen()
    logger.info("three")
    log.file.close()
    assert [word in (tmp_path / "log.1").read_text() for word in ("one", "two", "three")] == [True, True, False]
    assert [word in path.read_text() for word in ("one", "two", "three")] == [False, False, True]


def test_a_file_that_nobody_moved_goes_on(tmp_path: Path) -> None:
    log, logger = opened(tmp_path / "log", "json")
    logger.info("one")
    assert log.reopen()
    logger.info("two")
    log.file.close()
    assert [json.loads(line)["message"] for line in (tmp_path / "log").read_text().splitlines()] == ["one", "two"]


def test_a_file_that_another_process_cuts_has_nothing_but_lines(tmp_path: Path) -> None:
    """As logrotate does with ``copytruncate``."""
    log = Log.open(str(tmp_path / "log"), "text", daemon=True)
    log.file.write(b"old\n")
    os.truncate(tmp_path / "log", 0)
    log.file.write(b"new\n")
    log.file.close()
    assert (tmp_path / "log").read_bytes() == b"new\n"


def test_a_file_that_can_not_be_opened_again_leaves_the_one_that_is_open(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log, logger = opened(folder / "log", "json")
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        log.reopen()
    logger.info("still here")
    log.file.close()
    assert "still here" in (tmp_path / "moved/log").read_text()


def test_standard_output_is_not_opened_again(file: io.StringIO) -> None:
    assert not Log(file, "text").reopen()


def test_what_twisted_says_of_ports_is_left_out(file: io.StringIO) -> None:
    publisher = legacy.LogPublisher(publishPublisher=LogPublisher(Log(file, "text").observer))
    publisher.msg("BoundedSite starting on 8080")
    publisher.msg("(TCP Port 8080 Closed)")
    assert not file.getvalue()
    publisher.msg("something else")
    assert "something else" in file.getvalue()
