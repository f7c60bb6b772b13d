"""What a server is told when it starts: by the command line over environment over file over default."""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from attrs import frozen

from dqtw.config.options import BadOption, Option, by_name, closed, nearest, options
from dqtw.config.values import shown, url_key
from dqtw.core.model.settings import NodeSettings
from dqtw.process.memory import memory_bytes_max

peer_listen_default: Final = "tcp:8081:interface=127.0.0.1"
message_bytes_limit: Final = 2**30  # the longest body that the line protocol can announce

# Kubernetes gives every container the addresses of the services around it, under the services'
# names; a service called dqtw, or dqtw-something, must not keep the server from starting.
_service_link = re.compile(r"DQTW_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)")


@frozen
class Settings:
    """A server's settings; the same names as the command line's options.

    Attributes:
        node: what the node itself is told.
        http: endpoint strings of the REST door; none: it is closed.
        line: endpoint strings of the line protocol's door.
        peer_listen: endpoint string where peers reach this node; empty for none.
        max_connections: how many connections each door holds at once.
        drain_notice_s: how long the node serves on after SIGTERM, with `/health/ready` at 503, before it drains.
        idle_timeout_s: how long an HTTP connection may stay open without a request.
        hosts: further `Host` names that a loopback listener without tokens serves; ``*`` for any.
        insecure_clients: clients may come without tokens from other machines.
        peer_secret_file: the cluster's secret; None: it has none.
        peer_ca: the authorities that https peers are checked against; None: the system's.
        insecure_peers: peers may come without a secret from other machines.
        token_file: the tokens that clients must show; None: anybody may come.
        log_format: how log lines are written.
    """

    node: NodeSettings
    http: tuple[str, ...]
    line: tuple[str, ...]
    peer_listen: str
    max_connections: int
    drain_notice_s: float
    idle_timeout_s: float
    hosts: tuple[str, ...]
    insecure_clients: bool
    token_file: Path | None
    peer_secret_file: Path | None
    peer_ca: Path | None
    insecure_peers: bool
    log_format: Literal["text", "json"]


@frozen
class Given:
    """An option's values as somebody wrote them, and how to name the option to that person."""

    option: Option
    name: str
    texts: tuple[str, ...]

    def read(self) -> list[Any]:
        """The values.

        Raises:
            BadOption: one of them can't be understood.
        """
        try:
            return [self.option.kind.read(text) for text in self.texts]
        except ValueError as error:
            raise BadOption(self.name, str(error)) from None


def read_settings(arguments: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> Settings:
    """The settings of a server.

    Args:
        arguments: what the command line gave, option name to texts.
        environment: the environment variables.

    Raises:
        BadOption: an option is unknown, can't be understood, or contradicts another.
    """
    given = {
        **_defaults(),
        **(from_environment := _from_environment(environment)),
        **(from_command_line := _from_command_line(arguments)),
    }
    config = given["config"].texts
    if config:
        given |= {**_from_file(given["config"].name, config[-1]), **from_environment, **from_command_line}
    return _Checked(given).settings()


def _defaults() -> dict[str, Given]:
    return {option.name: Given(option, f"--{option.name}", option.default) for option in options}


def _from_command_line(arguments: Mapping[str, Sequence[str]]) -> dict[str, Given]:
    return {name: Given(by_name[name], f"--{name}", tuple(texts)) for name, texts in arguments.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    ours = {name: text.rstrip("\r\n") for name, text in environment.items() if name.startswith("DQTW_")}
    variables = {option.variable: option for option in options}
    unknown = sorted(name for name in ours if name not in variables and not _service_link.fullmatch(name))
    if unknown:
        near = nearest(unknown[0].removeprefix("DQTW_"))
        instead = f"; did you mean {by_name[near].variable}?" if near else ""
        raise BadOption(unknown[0], f"no option has this environment variable{instead}")
    return {
        option.name: Given(option, f"--{option.name} ({variable})", _words(option, ours[variable]))
        for variable, option in variables.items()
        if ours.get(variable)  # an empty one counts as not given
    }


def _words(option: Option, text: str) -> tuple[str, ...]:
    return tuple(text.split()) or (text,) if option.repeats else (text,)


def _from_file(config: str, path: str) -> dict[str, Given]:
    table = _read_toml(config, path)
    unknown = sorted(table.keys() - by_name.keys() | table.keys() & {"config"})
    if unknown:
        near = nearest(unknown[0])
        instead = f"; did you mean {near}?" if near else ""
        if isinstance(table[unknown[0]], dict):
            instead = "; options stand at the top of the file, in no table"
        raise BadOption(
            config, f"{shown(path)} has the key {shown(unknown[0])}, which is not an option of a file{instead}"
        )
    return {name: _from_key(by_name[name], f"--{name} ({path})", value) for name, value in table.items()}


def _read_toml(config: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise BadOption(config, f"can't read {shown(path)}: {error.strerror}") from None
    except ValueError as error:  # no UTF-8, or no TOML
        raise BadOption(config, f"{shown(path)} is not TOML: {' '.join(str(error).split())}") from None


def _from_key(option: Option, name: str, value: object) -> Given:
    if option.repeats and not isinstance(value, list):
        raise BadOption(name, "must be a list of strings")
    items = value if isinstance(value, list) and option.repeats else [value]
    for item in items:
        if type(item) not in option.kind.written:  # exactly: to Python true is an int too
            raise BadOption(name, f"{shown(str(item))} is not written as {_type_names(option)}")
    return Given(option, name, tuple(str(item) for item in items))


def _type_names(option: Option) -> str:
    words = {bool: "a boolean", int: "an integer", float: "a number with a fraction", str: "a string"}
    return " or ".join(words[type_] for type_ in option.kind.written)


def _absolute(path: str | None) -> Path | None:
    """The file, wherever a daemon may change its directory to."""
    return None if path is None else Path(os.path.abspath(path))


class _Checked:
    """The values of all options, each by itself understood, checked against each other."""

    def __init__(self, given: Mapping[str, Given]) -> None:
        self._given = given
        self._values = {name: one.read() for name, one in given.items()}

    def _one(self, name: str) -> Any:
        values = self._values[name]
        return values[-1] if values else None

    def _bad(self, name: str, why: str) -> BadOption:
        return BadOption(self._given[name].name, why)

    def settings(self) -> Settings:
        token_file = self._one("token-file")
        http, line = self._door("http"), self._door("line")
        if not http and not line:
            raise self._bad("http", "--http and --line are both none, so no client could reach this node")
        node = self._node()
        peer_listen = self._one("peer-listen") or (peer_listen_default if node.peers else "")
        self._check_cluster(peer_listen)
        return Settings(
            node=node,
            http=http,
            line=line,
            peer_listen=peer_listen,
            max_connections=self._one("max-connections"),
            drain_notice_s=self._one("drain-notice"),
            idle_timeout_s=self._one("idle-timeout"),
            hosts=tuple(self._values["host"]),
            insecure_clients=self._one("insecure-clients"),
            token_file=_absolute(token_file),
            peer_secret_file=_absolute(self._one("peer-secret-file")),
            peer_ca=_absolute(self._one("peer-ca")),
            insecure_peers=self._one("insecure-peers"),
            log_format=self._one("log-format"),
        )

    def _node(self) -> NodeSettings:
        peers = self._peers()
        max_message, max_bytes = self._limits(members=1 + len(peers))
        return NodeSettings(
            node=self._one("node"),
            cluster=self._one("cluster"),
            peers=peers,
            copies=self._copies(members=1 + len(peers)),
            size=self._one("size"),
            max_message=max_message,
            max_bytes=max_bytes,
            max_waiting=self._one("max-waiting"),
            lease_s=self._lease(),
            max_lease_s=self._one("max-lease"),
            push_timeout_s=self._one("push-timeout"),
            key_memory_s=self._one("key-memory"),
            start_wait_s=self._one("start-wait"),
            drain_timeout_s=self._one("drain-timeout"),
            advertise=self._one("advertise") or "",
        )

    def _peers(self) -> dict[str, str]:
        pairs, own = self._values["peer"], self._one("node")
        if pairs and not self._is_given("node"):
            raise self._bad("node", "is needed with --peer; write which member this node is, such as --node=a")
        names: dict[str, str] = {}
        urls = {url_key(self._one("advertise")): own} if self._is_given("advertise") else {}
        for node, url in pairs:
            if node in names:
                raise self._bad("peer", f"{node!r} is given twice")
            known = urls.setdefault(url_key(url), node)
            if known != node:
                raise self._bad("peer", f"{known!r} and {node!r} have the same URL, {url}")
            names[node] = url
        return {node: url for node, url in names.items() if node != own}  # all nodes may share one list

    def _check_cluster(self, peer_listen: str) -> None:
        """Refuse options of a cluster that would do nothing."""
        if self._values["peer"]:
            return
        for name in ("advertise", "peer-ca", *([] if peer_listen else ["peer-secret-file"])):
            if self._is_given(name):
                raise self._bad(name, "does nothing without a --peer; name the other nodes, or leave it out")

    def _is_given(self, name: str) -> bool:
        return self._given[name].texts is not self._given[name].option.default

    def _copies(self, members: int) -> int:
        copies = self._one("copies")
        if copies == "all":
            return members
        if copies > members:
            raise self._bad("copies", f"{copies} is more than the cluster's members, which are {members}")
        return int(copies)

    def _lease(self) -> float:
        lease, max_lease = self._one("lease"), self._one("max-lease")
        if lease > max_lease:
            raise self._bad("lease", f"{lease:g} is more than --max-lease, which is {max_lease:g}")
        return float(lease)

    def _limits(self, members: int) -> tuple[int, int]:
        max_message, max_bytes = self._one("max-message"), self._one("max-bytes")
        if max_bytes is None:
            max_bytes = max(1, memory_bytes_max() // 2 // members)
        if max_message > message_bytes_limit:
            raise self._bad("max-message", f"{max_message} is more than 1GiB, which is the most a message may be")
        if max_message > max_bytes:
            raise self._bad("max-message", f"{max_message} is more than --max-bytes, which is {max_bytes}")
        return max_message, max_bytes

    def _door(self, name: str) -> tuple[str, ...]:
        endpoints = tuple(self._values[name])
        if not endpoints:
            raise self._bad(name, "is an empty list; 'none' closes the listener")
        if closed not in endpoints:
            return endpoints
        if len(endpoints) > 1:
            raise self._bad(name, "'none' closes the listener, so it can't stand beside an endpoint")
        return ()
