"""The table of options: the one place where an option is named.

The command line, the environment's names, the keys of the ``--config`` file, ``--help`` and the documents' table
all follow from it.
"""

from difflib import get_close_matches
from typing import Final

from attrs import frozen

from dqtw.config import values
from dqtw.config.values import Kind


class BadOption(Exception):
    """A node can't start with this option's value.

    Attributes:
        option: the option's name, with what it was called where it was given.
    """

    def __init__(self, option: str, why: str) -> None:
        super().__init__(f"{option}: {why}")
        self.option = option


@frozen
class Option:
    """One option.

    Attributes:
        name: as on the command line, without the dashes; the key in a file too.
        kind: what may be written for it.
        default: the values it has when nothing is given, as texts; none for no value.
        help: what it does, for ``--help`` and the documents.
        repeats: may be given several times; the values add up.
        default_words: the default for a reader, where the texts don't say it.
        example: one value, for ``--help``, where its form is not plain.
    """

    name: str
    kind: Kind
    default: tuple[str, ...]
    help: str
    repeats: bool = False
    default_words: str = ""
    example: str = ""

    @property
    def variable(self) -> str:
        """Return the name of its environment variable."""
        return "DQTW_" + self.name.upper().replace("-", "_")

    @property
    def default_shown(self) -> str:
        """Return the default, for a reader."""
        return self.default_words or " ".join(self.default) or "none"


closed: Final = "none"  # the word that closes a listener

groups: Final[dict[str, tuple[Option, ...]]] = {
    "The queue": (
        Option("size", values.count, ("4096",), "The bound of the queue, in messages."),
        Option(
            "max-bytes",
            values.byte_size,
            (),
            "The largest total of message bytes on this node's queue; reaching it is 'full' too.",
            default_words="half of the memory the process may use, divided by the members",
            example="4GiB",
        ),
        Option("max-message", values.byte_size, ("1MiB",), "The largest message, in bytes.", example="64KiB"),
        Option("max-waiting", values.count, ("10000",), "How many requests may wait for a message or a slot at once."),
        Option("lease", values.seconds, ("60",), "Seconds a delivery is hidden when its request names none."),
        Option(
            "max-lease",
            values.seconds,
            ("43200",),
            "Seconds that a lease, a touch or the delay of a nack may be long at most.",
        ),
        Option(
            "key-memory",
            values.seconds,
            ("600",),
            "Seconds an idempotency key is remembered after its message was removed.",
        ),
    ),
    "Clients": (
        Option(
            "http",
            values.endpoint,
            ("tcp:8080:interface=127.0.0.1",),
            "Where the REST listener listens: a Twisted endpoint string; none closes it.",
            repeats=True,
            example="tcp:8080",
        ),
        Option(
            "line",
            values.endpoint,
            ("tcp:7711:interface=127.0.0.1",),
            "Where the line protocol's listener listens: a Twisted endpoint string; none closes it.",
            repeats=True,
            example="tcp:7711",
        ),
        Option(
            "token-file",
            values.path,
            (),
            "A file of bearer tokens, one a line, that clients must show; read again on SIGHUP.",
        ),
        Option(
            "insecure-clients",
            values.flag,
            ("no",),
            "Serve clients without tokens on listeners that other machines can reach.",
        ),
        Option(
            "host",
            values.host,
            (),
            "A further Host name that a loopback listener without tokens serves; * for any.",
            repeats=True,
            default_words="localhost and loopback addresses",
            example="queue.example.com",
        ),
        Option("max-connections", values.count, ("5000",), "How many connections each listener holds at once."),
        Option("idle-timeout", values.seconds, ("75",), "Seconds an HTTP connection may stay open without a request."),
    ),
    "The cluster": (
        Option(
            "node", values.node_id, ("node",), "This node's id, unique in the cluster; needed with --peer.", example="a"
        ),
        Option("cluster", values.cluster_name, ("dqtw",), "The cluster's name; peers of another name are refused."),
        Option(
            "peer",
            values.peer,
            (),
            "One member and the URL of its peer listener: ID=URL. The node itself may be named; it is ignored.",
            repeats=True,
            example="b=http://10.0.0.2:8081",
        ),
        Option(
            "peer-listen",
            values.endpoint,
            (),
            "Where peers reach this node: a Twisted endpoint string.",
            default_words="none; tcp:8081:interface=127.0.0.1 when there are peers",
            example="tcp:8081",
        ),
        Option(
            "peer-secret-file",
            values.path,
            (),
            "A file with the secret that all nodes of the cluster share, at least 16 bytes; peers without it are "
            "refused. Read again on SIGHUP.",
        ),
        Option(
            "peer-ca",
            values.path,
            (),
            "A PEM file of the authorities that https peers are checked against; read again on SIGHUP.",
            default_words="the system's",
        ),
        Option(
            "insecure-peers",
            values.flag,
            ("no",),
            "Let peers come in without a secret, though --peer-listen can be reached from other machines.",
        ),
        Option(
            "advertise",
            values.url,
            (),
            "The URL at which peers reach this node.",
            default_words="the address of --peer-listen; nothing if that is all addresses, or TLS",
            example="http://10.0.0.1:8081",
        ),
        Option(
            "copies",
            values.copies,
            ("all",),
            "How many nodes, this one too, must hold a message before its push is answered: all, or a number.",
        ),
        Option("push-timeout", values.seconds, ("10",), "Seconds a push waits for its copies before it is uncertain."),
        Option("start-wait", values.seconds, ("30",), "Seconds a start waits for peers that do not answer."),
    ),
    "The process": (
        Option(
            "drain-notice",
            values.seconds_or_zero,
            ("0",),
            "Seconds between SIGTERM and the drain, in which /health/ready is 503 and everything is still served.",
        ),
        Option("drain-timeout", values.seconds, ("60",), "Seconds a stop may take to hand everything over."),
        Option("log-format", values.log_format, ("text",), "How log lines are written: text, or json."),
        Option("config", values.path, (), "A TOML file with any of the other options.", example="/etc/dqtw.toml"),
    ),
}
options: Final = tuple(option for group in groups.values() for option in group)
by_name: Final = {option.name: option for option in options}


def nearest(name: str) -> str:
    """Return the name of the option that a mistyped name may have meant; empty if none is near."""
    close = get_close_matches(name.lower().replace("_", "-"), by_name, 1)
    return close[0] if close else ""
