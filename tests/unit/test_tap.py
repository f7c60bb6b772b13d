"""The command line of ``twistd dqtw``."""

import pytest

from dqtw.config.help import instead_of_option
from dqtw.config.options import options
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
        (["--bogus"], "dqtw: option --bogus not recognized: twistd dqtw --help lists all options"),
        (["--sise=5"], "dqtw: option --sise not recognized: did you mean --size?"),
        (
            ["-n"],
            "dqtw: option -n not recognized: dqtw's options have long names; those of twistd stand before dqtw, "
            "as in: twistd -n dqtw",
        ),
        (["--size"], "dqtw: option --size requires argument: write --size=…"),
        (
            ["--insecure-peers=yes"],
            "dqtw: option --insecure-peers must not have an argument: write --insecure-peers",
        ),
        (
            ["--size=1", "more"],
            "dqtw: 'more' is not an option: options are written --name=value; twistd dqtw --help lists them",
        ),
        (["size=1", "more"], "dqtw: 'size=1' is not an option: did you mean --size=1?"),
        (["size", "1"], "dqtw: 'size' is not an option: did you mean --size=…?"),
        (["\u2013size=1"], "dqtw: '\u2013size=1' is not an option: did you mean --size=1?"),
        (["insecure-peers"], "dqtw: 'insecure-peers' is not an option: did you mean --insecure-peers?"),
        (["--size=a\nb"], r"dqtw: --size: 'a\nb' is not a whole number of at least 1"),
    ],
)
def test_what_can_not_be_taken_is_named_on_one_line(arguments: list[str], message: str) -> None:
    assert refused(*arguments) == message


@pytest.mark.parametrize(
    ("word", "name"), [("nodaemon", "nodaemon"), ("nodeamon", "nodaemon"), ("log-file", "logfile")]
)
def test_options_of_twistd_stand_elsewhere(word: str, name: str) -> None:
    told = instead_of_option(word, {"nodaemon", "logfile", "pidfile"})
    assert told == f"options of twistd stand before dqtw: twistd --{name} dqtw"


def test_every_example_can_be_given() -> None:
    for option in options:
        if option.example:
            option.kind.read(option.example)


def test_help_lists_every_option_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert str(Options()).isascii()  # a terminal may be able to show no more
    lines = str(Options()).splitlines()
    for option in options:
        assert not option.example or f"--{option.name}={option.example}" in str(Options())
        (line,) = (line for line in lines if line.strip().startswith((f"--{option.name}=", f"--{option.name} ")))
        assert option.help in line
        assert ("May be repeated." in line) == option.repeats
        assert line.endswith(f"[default: {option.default_shown}]")
