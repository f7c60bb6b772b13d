"""What a server is told, from each of the places that may say it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from dqtw.config import values
from dqtw.config.options import BadOption, options
from dqtw.config.settings import Settings, read_settings
from dqtw.core.model.settings import NodeSettings


def read(
    *arguments: str, file: str = "", tmp: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """The settings that follow from ``name=text`` arguments, a file's text, and variables."""
    given: dict[str, list[str]] = {}
    for argument in arguments:
        name, _, text = argument.partition("=")
        given.setdefault(name, []).append(text)
    if tmp is not None:
        (tmp / "dqtw.toml").write_text(file)
        given["config"] = [str(tmp / "dqtw.toml")]
    return read_settings(given, environment or {})


def refused(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Why these settings are refused; always one line."""
    with pytest.raises(BadOption) as caught:
        read(*arguments, environment=environment)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 300
    return line


def test_every_option_has_a_default() -> None:
    settings = read()
    assert settings == Settings(
        node=NodeSettings(max_bytes=settings.node.max_bytes),
        http=("tcp:8080:interface=127.0.0.1",),
        line=("tcp:7711:interface=127.0.0.1",),
        peer_listen="",
        max_connections=5_000,
        drain_notice_s=0,
        idle_timeout_s=75,
        hosts=(),
        insecure_clients=False,
        peer_ca=None,
        token_file=None,
        peer_secret_file=None,
        insecure_peers=False,
        log_format="text",
    )
    assert settings.node.max_bytes >= 2**20


def test_every_option_can_be_given() -> None:
    settings = read(
        "size=7", "node=n-1", "peer=n-1=http://h:1", "cluster=c.1", "copies=1", "http=tcp:1", "http=tcp:2", "line=none",
        "peer-listen=tcp:3", "advertise=http://h:1", "lease=0.5", "start-wait=1", "drain-timeout=2",
        "key-memory=3", "push-timeout=4", "max-message=2KiB", "max-bytes=1MiB", "max-waiting=5",
        "max-connections=6", "token-file=/t", "log-format=json",
        "peer-secret-file=/s", "insecure-peers=yes",
        "max-lease=60", "drain-notice=0", "idle-timeout=9", "host=q", "host=*", "insecure-clients=yes", "peer-ca=/c",
    )  # fmt: skip
    assert settings == Settings(
        node=NodeSettings(
            size=7, node="n-1", cluster="c.1", copies=1, max_message=2048, max_bytes=2**20, max_waiting=5,
            lease_s=0.5, push_timeout_s=4, key_memory_s=3, start_wait_s=1, drain_timeout_s=2,
            advertise="http://h:1", max_lease_s=60,
        ),
        http=("tcp:1", "tcp:2"),
        line=(),
        peer_listen="tcp:3",
        max_connections=6,
        drain_notice_s=0,
        idle_timeout_s=9,
        hosts=("q", "*"),
        insecure_clients=True,
        peer_ca=Path("/c"),
        token_file=Path("/t"),
        peer_secret_file=Path("/s"),
        insecure_peers=True,
        log_format="json",
    )  # fmt: skip


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = 'size = 1\nlease = 1.5\nnode = "file"\nhttp = ["tcp:1"]\n'
    environment = {"DQTW_SIZE": "2", "DQTW_LEASE": "2", "DQTW_HTTP": "tcp:2"}
    settings = read("size=3", "http=tcp:3", file=file, tmp=tmp_path, environment=environment)
    assert (settings.node.size, settings.node.lease_s, settings.node.node) == (3, 2.0, "file")
    assert settings.http == ("tcp:3",)  # a repeatable option is taken from one place, not from all


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("size = 9")
    assert read(environment={"DQTW_CONFIG": str(tmp_path / "c")}).node.size == 9
    assert "--config (DQTW_CONFIG): can't read" in refused(environment={"DQTW_CONFIG": str(tmp_path / "absent")})


def test_the_last_of_several_values_counts() -> None:
    assert read("size=1", "size=2").node.size == 2


def test_a_variable_may_hold_several_values() -> None:
    assert read(environment={"DQTW_LINE": " tcp:1  tcp:2"}).line == ("tcp:1", "tcp:2")


def test_the_file_may_write_numbers_and_sizes(tmp_path: Path) -> None:
    file = 'lease = 2\nmax-bytes = "64MiB"\nmax-message = 1024\ncopies = 1\nline = ["none"]'
    settings = read(file=file, tmp=tmp_path)
    assert (settings.node.lease_s, settings.node.max_bytes, settings.node.max_message) == (2.0, 2**26, 1024)
    assert settings.line == ()


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("sizes = 3", "--config: '{path}' has the key 'sizes', which is not an option of a file; did you mean size?"),
        (
            "max_message = 3",
            "--config: '{path}' has the key 'max_message', which is not an option of a file; did you mean max",
        ),
        ('config = "x"', "--config: '{path}' has the key 'config', which is not an option of a file"),
        ("size = 3.0", "--size ({path}): '3.0' is not written as an integer"),
        ('size = "3"', "--size ({path}): '3' is not written as an integer"),
        ("size = true", "--size ({path}): 'True' is not written as an integer"),
        ("size = [3]", "--size ({path}): '[3]' is not written as an integer"),
        ("size = 0", "--size ({path}): '0' is not a whole number of at least 1"),
        ("node = 3", "--node ({path}): '3' is not written as a string"),
        ("lease = nan", "--lease ({path}): 'nan' is not a number of seconds greater than 0"),
        ("lease = inf", "--lease ({path}): 'inf' is not a number of seconds greater than 0"),
        ("lease = 2024-01-01", "--lease ({path}): '2024-01-01' is not written as an integer or a number with a"),
        ('http = "tcp:1"', "--http ({path}): must be a list of strings"),
        ("http = [1]", "--http ({path}): '1' is not written as a string"),
        ("http = []", "--http ({path}): is an empty list; 'none' closes the listener"),
        ("[size]\na = 1", "--size ({path}): \"{{'a': 1}}\" is not written as an integer"),
        (
            "[dqtw]\nsize = 3",
            "--config: '{path}' has the key 'dqtw', which is not an option of a file; "
            "options stand at the top of the file",
        ),
        ("size = ", "--config: '{path}' is not TOML: "),
    ],
)
def test_a_bad_file_is_refused(file: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t").write_text(file)
    assert refused("config=t").startswith(why.format(path="t"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"\xff\xfe")
    assert "is not TOML" in refused(f"config={tmp_path / 'c'}")
    assert "can't read" in refused(f"config={tmp_path}")


def bad_values() -> Iterable[tuple[str, str]]:
    """For each kind of value, texts that are none."""
    yield from (("size", text) for text in ("0", "-1", "x", "", "1.5", "1_000", " 1", "+1", "\uff11", "9" * 5000))
    yield from (("max-message", text) for text in ("0", "-1", "x", "", "1XB", "1.5MiB", "MiB", "0MiB", "1 GB"))
    yield from (("lease", text) for text in ("0", "-1", "x", "", "nan", "inf", "1e999", "1_0", " 1", "1s"))
    yield from (("node", text) for text in ("", "a.b", "a b", "ä", "a" * 64, "a\n", "a/b"))
    yield from (("cluster", text) for text in ("", "a b", "a" * 64, "a\n", "a/b"))
    yield from (("copies", text) for text in ("0", "-1", "none", "", "2"))
    yield from (
        ("advertise", text) for text in ("", "x", "ftp://h", "http://", "http://h:x", "http://h:99999", "http:// h")
    )
    yield from (("peer", text) for text in ("", "b", "b=", "=http://h", "b=h:1", "a.b=http://h"))
    yield from (("http", text) for text in ("", "tcp:1\n"))
    yield from (("log-format", text) for text in ("", "xml", "JSON"))
    yield from ((name, "") for name in ("token-file", "config", "peer-listen", "line"))


@pytest.mark.parametrize(("name", "text"), list(bad_values()))
def test_a_bad_value_is_refused_by_name(name: str, text: str) -> None:
    assert refused(f"{name}={text}").startswith(f"--{name}: ")
    variable = "DQTW_" + name.upper().replace("-", "_")
    if text and text.strip() == text:
        assert refused(environment={variable: text}).startswith(f"--{name} ({variable}): ")


def test_options_that_contradict_each_other_are_refused() -> None:
    assert refused("http=none", "line=none").startswith("--http: ")
    assert (
        refused("http=none", "http=tcp:1") == "--http: 'none' closes the listener, so it can't stand beside an endpoint"
    )
    assert refused("max-bytes=1MiB", "max-message=2MiB") == (
        "--max-message: 2097152 is more than --max-bytes, which is 1048576"
    )
    assert refused("max-message=2GiB", "max-bytes=9GiB").startswith("--max-message: 2147483648 is more than 1GiB")
    assert refused("copies=2") == "--copies: 2 is more than the cluster's members, which are 1"
    assert refused("node=a", "peer=b=http://h:1", "peer=b=http://h:2") == "--peer: 'b' is given twice"
    for same in ("http://h:1", "https://H:1", "http://h.:1"):
        assert refused("node=a", "peer=b=http://h:1", f"peer=c={same}") == (
            f"--peer: 'b' and 'c' have the same URL, {same}"
        )
    assert refused("node=a", "peer=b=http://h:80", "advertise=http://h") == (
        "--peer: 'a' and 'b' have the same URL, http://h:80"
    )
    assert refused("node=a", "peer=a=http://h:1", "peer=b=http://h:1").startswith("--peer: 'a' and 'b' have the same")


def test_peers_are_understood() -> None:
    settings = read("peer=b=http://h:1", "peer=c=https://h", "copies=2", "node=a")
    assert settings.node.peers == {"b": "http://h:1", "c": "https://h"}
    assert settings.node.copies == 2
    assert read("node=a", "peer=b=http://h:1").node.copies == 2
    shared = ("peer=a=http://g:1", "peer=b=http://h:1")
    assert read(*shared, "node=a").node.peers == {"b": "http://h:1"}
    assert read(*shared, "node=b").node.members == ("a", "b")
    assert settings.node.max_bytes < read().node.max_bytes  # each node holds a copy of every queue


def test_an_unknown_variable_is_refused_by_name() -> None:
    why = "no option has this environment variable"
    assert refused(environment={"DQTW_SIZES": "3"}) == f"DQTW_SIZES: {why}; did you mean DQTW_SIZE?"
    assert refused(environment={"DQTW_MAXBYTES": ""}) == f"DQTW_MAXBYTES: {why}; did you mean DQTW_MAX_BYTES?"
    assert refused(environment={"DQTW_QWERTYUIOP": "3"}) == f"DQTW_QWERTYUIOP: {why}"


def test_an_empty_variable_counts_as_not_given() -> None:
    assert read(environment={option.variable: "" for option in options}) == read()
    assert read(environment={"DQTW_SIZE": "\n"}) == read()


def test_the_newline_behind_a_variable_does_not_count() -> None:
    assert read(environment={"DQTW_SIZE": "7\n", "DQTW_TOKEN_FILE": "/t\r\n"}).token_file == Path("/t")


def test_a_node_alone_refuses_what_only_peers_would_need() -> None:
    for given in ("advertise=http://h", "peer-ca=/c", "peer-secret-file=/s"):
        option = given.partition("=")[0]
        assert refused(given) == f"--{option}: does nothing without a --peer; name the other nodes, or leave it out"
        assert read(given, "node=a", "peer=a=http://h").node.peers == {}
    assert read("peer-secret-file=/s", "peer-listen=tcp:1").peer_secret_file == Path("/s")


def test_a_node_that_is_its_only_peer_is_a_node_alone() -> None:
    alone = read("node=a", "peer=a=http://h:1")
    assert (alone.node.members, alone.peer_listen) == (("a",), "")


def test_with_peers_a_node_says_which_one_it_is() -> None:
    why = "--node: is needed with --peer; write which member this node is, such as --node=a"
    assert refused("peer=b=http://h:1") == why
    assert refused("peer=node=http://h:1") == why
    assert read("peer=b=http://h:1", environment={"DQTW_NODE": "a"}).node.node == "a"


@pytest.mark.parametrize(
    "variable",
    ["DQTW_PORT", "DQTW_PORT_8080_TCP_ADDR", "DQTW_SERVICE_HOST", "DQTW_SERVICE_PORT_HTTP", "DQTW_A_SERVICE_HOST"],
)
def test_the_links_of_kubernetes_are_no_options(variable: str) -> None:
    assert read(environment={variable: "tcp://10.0.0.1:8080"}) == read()


def test_a_relative_token_file_stays_the_same_file_for_a_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read("token-file=tokens").token_file == tmp_path / "tokens"


def test_a_host_name_is_told_an_id_that_will_do() -> None:
    assert refused("node=n1.example.com").endswith("; write 'n1-example-com'")


def test_several_peers_are_not_separated_by_commas() -> None:
    assert refused(environment={"DQTW_PEER": "b=http://h:1,c=http://i:1"}).endswith(
        "has a comma; give the option once for each peer, or spaces in a variable"
    )


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("\ufeffsize = 7")
    assert read(f"config={tmp_path / 'c'}").node.size == 7


def test_sizes_may_have_units() -> None:
    assert [values.read_bytes(text) for text in ("5", "5B", "5KiB", "5 MiB", "5GiB", "1TiB")] == [
        5, 5, 5 * 2**10, 5 * 2**20, 5 * 2**30, 2**40,
    ]  # fmt: skip


def test_no_option_has_a_default_that_it_would_refuse() -> None:
    for option in options:
        for text in option.default:
            option.kind.read(text)


@pytest.mark.parametrize(
    "host", ["http://q.example.com", "q.example.com/", "q.example.com:8080", "*.example.com", "[::1]"]
)
def test_what_can_not_be_a_host_is_refused(host: str) -> None:
    """It would match no request, and say nothing about that."""
    assert "is not a host name or address" in refused(f"host={host}")


@pytest.mark.parametrize("host", ["Queue.example.com", "fd00::1", "10.0.0.1", "my_host", "*"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert read(f"host={host}").hosts == (host.lower(),)
