"""The fixture that watches every test does catch what it watches for."""

import subprocess
import sys
from pathlib import Path

import pytest

watched = """
from twisted.internet import reactor
from twisted.internet.defer import fail
from twisted.logger import Logger

def test_timer():
    reactor.callLater(60, print)

def test_failed_deferred():
    fail(ValueError("nobody looks"))

def test_logged_failure():
    try:
        1 / 0
    except ZeroDivisionError:
        Logger().failure("oops")

def test_warning():
    import warnings
    warnings.warn("old")

def test_nothing():
    pass

def test_on_purpose(logged_failures):
    test_logged_failure()
    logged_failures.clear()
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("watched")
    (directory / "test_watched.py").write_text(watched)
    (directory / "conftest.py").write_text((Path(__file__).parents[1] / "conftest.py").read_text())
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "-W", "error", "-p", "no:cacheprovider", "."]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("name", ["timer", "failed_deferred", "logged_failure"])
def test_what_goes_wrong_unseen_fails_its_test(outcome: str, name: str) -> None:
    assert f"ERROR test_watched.py::test_{name}" in outcome


def test_a_warning_fails_its_test(outcome: str) -> None:
    assert "FAILED test_watched.py::test_warning" in outcome


@pytest.mark.parametrize("name", ["nothing", "on_purpose"])
def test_what_goes_well_passes(outcome: str, name: str) -> None:
    assert f"PASSED test_watched.py::test_{name}" in outcome
    assert f"ERROR test_watched.py::test_{name}" not in outcome
