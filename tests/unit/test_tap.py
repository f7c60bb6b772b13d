"""The command line of ``twistd dqtw``."""

import pytest

from dqtw.options import options
from dqtw.tap import Options


def parse(*arguments: str) -> Options:
    parsed = Options()
    parsed.parseOptions(list(arguments))
    return parsed


def refused(*arguments: str) -> str:
    """The message with which these arguments end the program; Python writes it to standard error, with status 1."""
    with pytest.raises(SystemExit) as caught:
        parse(*arguments)
    message = caught.value.code
    assert isinstance(message, str)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in options:
        monkeypatch.delenv(option.variable, raising=False)


def test_size_alone_is_enough() -> None:
    assert parse("--size=7").settings.node.size == 7
    assert parse("--size", "7").settings.node.size == 7
    assert parse().settings.node.size == 4096


def test_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DQTW_SIZE", "8")
    assert parse().settings.node.size == 8
    assert parse("--size=7").settings.node.size == 7


def test_values_of_a_repeated_option_add_up() -> None:
    assert parse("--http=tcp:1", "--http=tcp:2").settings.http == ("tcp:1", "tcp:2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size=0"], "dqtw: --size: '0' is not a whole number of at least 1"),
        (["--bogus"], "dqtw: option --bogus not recognized"),
        (["-x"], "dqtw: option -x not recognized"),
        (["--size"], "dqtw: option --size requires argument"),
        (["--size=1", "more"], "dqtw: 'more' is not an option"),
        (["size=1", "more"], "dqtw: 'size=1' is not an option"),
        (["--size=a\nb"], r"dqtw: --size: 'a\nb' is not a whole number of at least 1"),
    ],
)
def test_what_can_not_be_taken_is_named_on_one_line(arguments: list[str], message: str) -> None:
    assert refused(*arguments) == message


def test_help_lists_every_option_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    lines = str(Options()).splitlines()
    for option in options:
        (line,) = (line for line in lines if line.strip().startswith((f"--{option.name}=", f"--{option.name} ")))
        assert option.help in line
        assert line.endswith(f"[default: {option.default_shown}]")
