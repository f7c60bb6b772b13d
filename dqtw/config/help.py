"""What the command line tells a person: all options, and what a mistyped word may have meant."""

import textwrap
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from dqtw.config import values
from dqtw.config.options import Option, by_name, groups

_footer: Final = (
    "Each option can also come from an environment variable (--max-bytes: DQTW_MAX_BYTES; several values are separated "
    "by spaces) or from a TOML file named by --config. The command line wins over the environment, that over the file.",
    "Options of twistd stand before dqtw, as in: twistd -n --pidfile= dqtw. twistd --help lists them.",
)


def help_text(width: int) -> str:
    """Return the description of all options, in groups, for a terminal of this width."""
    column = max(len(_written(option)) for option in by_name.values()) + 4
    lines: list[str] = []
    for title, options in groups.items():
        lines += ["", f"{title}:"]
        for option in options:
            start = f"  {_written(option)}".ljust(column)
            lines += textwrap.wrap(
                _described(option), width, initial_indent=start, subsequent_indent=" " * column, break_on_hyphens=False
            )
    for paragraph in _footer:
        lines += ["", *textwrap.wrap(paragraph, width, break_on_hyphens=False)]
    return "\n".join([*lines, ""])


def instead_of_option(word: str, of_twistd: Collection[str]) -> str:
    """Return what to write instead of an option that can't be read.

    Args:
        word: the option, without its dashes.
        of_twistd: the long names of twistd's own options.
    """
    if word in by_name:
        return f"write {_written(by_name[word])}" + ("" if by_name[word].kind is values.flag else "…")
    if len(word) == 1:
        return "dqtw's options have long names; those of twistd stand before dqtw, as in: twistd -n dqtw"
    near = next(iter(get_close_matches(word, [*by_name, *of_twistd], 1)), "")
    if near in of_twistd:
        return f"options of twistd stand before dqtw: twistd --{near} dqtw"
    return f"did you mean --{near}?" if near else "twistd dqtw --help lists all options"


def instead_of_word(word: str) -> str:
    """Return what to write instead of a word that is no option."""
    name, equals, value = word.lstrip("-\u2013\u2014").partition("=")  # a page's dashes are often not the keyboard's
    if name in by_name and by_name[name].kind is values.flag:
        return f"did you mean --{name}?"
    if name in by_name:
        return f"did you mean --{name}={value if equals else '…'}?"
    return "options are written --name=value; twistd dqtw --help lists them"


def _written(option: Option) -> str:
    return f"--{option.name}" if option.kind is values.flag else f"--{option.name}="


def _described(option: Option) -> str:
    repeated = " May be repeated." if option.repeats else ""
    example = f" Example: --{option.name}={option.example}" if option.example else ""
    return f"{option.help}{repeated}{example} [default: {option.default_shown}]"
