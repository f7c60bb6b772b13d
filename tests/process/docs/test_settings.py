"""Configuration that the documents show has valid options; what cannot be run here is taken apart."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from dqtw.config.options import options
from dqtw.config.settings import Settings, read_settings
from tests.process.docs.blocks import Block, blocks
from tests.process.docs.place import Place
from tests.process.node import twistd

flags = {option.name for option in options if option.default_shown in ("yes", "no")}


def settings_of(words: Sequence[str], environment: dict[str, str] | None = None) -> Settings:
    """The settings that follow from the words behind `dqtw` on a command line."""
    given: dict[str, list[str]] = {}
    rest = iter(words)
    for word in rest:
        name, is_assigned, value = word.removeprefix("--").partition("=")
        assert word.startswith("--"), word
        given.setdefault(name, []).append(value if is_assigned else "yes" if name in flags else next(rest))
    return read_settings(given, environment or {})


def servers_in(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """The words behind `dqtw` of a command that starts a server."""
    if "dqtw" in words and any(word.endswith("twistd") for word in words):
        yield words[words.index("dqtw") + 1 :]


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.name)
def test_a_toml_file_is_one_of_options(block: Block, place: Place) -> None:
    file = place.directory / "dqtw.toml"
    file.write_text(place.here(block.text))
    node = [] if re.search(r"^node\b", block.text, re.MULTILINE) else ["--node=n"]
    settings_of([f"--config={file}", *node])


@pytest.mark.parametrize("block", blocks("ini"), ids=lambda block: block.name)
def test_a_unit_starts_a_server(block: Block, place: Place) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.text)
    assert {"Unit", "Service", "Install"} <= set(unit.sections())
    place.directory.joinpath("dqtw.toml").touch()
    environment = dict(word.split("=", 1) for word in shlex.split(unit["Service"].get("Environment", "")))
    text = place.here(unit["Service"]["ExecStart"].replace("/etc/dqtw.toml", f"{place.directory}/dqtw.toml"))
    (words,) = servers_in(shlex.split(re.sub(r"\$\{\w+\}|%\w", str(place.directory), text)))
    settings_of(words, environment)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("block", blocks("ini"), ids=lambda block: block.name)
def test_systemd_understands_a_unit(block: Block, tmp_path: Path) -> None:
    unit = tmp_path / "dqtw.service"
    unit.write_text(re.sub(r"/\S+/twistd", twistd, block.text))
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("block", blocks("dockerfile"), ids=lambda block: block.name)
def test_a_container_starts_a_server(block: Block, place: Place) -> None:
    known = {
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "RUN",
        "USER",
        "WORKDIR",
    }
    lines = [command.split(" ", 1) for command in block.commands if command and not command.startswith("#")]
    assert lines[0][0] == "FROM"
    assert {instruction for instruction, _ in lines} <= known
    environment = {
        name: value
        for instruction, rest in lines
        if instruction == "ENV"
        for name, value in (word.split("=", 1) for word in shlex.split(rest))
        if name.startswith("DQTW_")
    }
    words = [word for instruction, rest in lines if instruction in ("ENTRYPOINT", "CMD") for word in json.loads(rest)]
    (server,) = servers_in(words)
    assert settings_of(server, {name: place.here(value) for name, value in environment.items()})


def containers_in(found: Any) -> Iterator[dict[str, Any]]:
    """Each container of a manifest, however deep it stands."""
    if isinstance(found, dict):
        yield from (each for name in ("containers", "initContainers") for each in found.get(name, []))
        yield from (container for value in found.values() for container in containers_in(value))
    elif isinstance(found, list):
        yield from (container for value in found for container in containers_in(value))


def test_manifests_can_be_read_and_their_options_are_known() -> None:
    known = {option.variable for option in options}
    for block in blocks("yaml"):
        documents = list(yaml.safe_load_all(block.text))
        assert all(isinstance(each, dict) for each in documents), block.name
        for container in containers_in(documents):
            variables = {each["name"] for each in container.get("env", []) if each["name"].startswith("DQTW_")}
            names = {re.split(r"[= ]", word.removeprefix("--"))[0] for word in container.get("args", [])}
            assert variables <= known, block.name
            assert names <= {option.name for option in options}, block.name
            pod = f"{documents[-1]['metadata']['name']}-0"
            given = {each["name"]: each.get("value", pod) for each in container.get("env", [])}
            settings = settings_of(container.get("args", []), given)
            assert settings.node.node in (pod, "node")
            assert len(settings.node.members) in (1, documents[-1]["spec"]["replicas"])


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.name)
def test_json_can_be_read(block: Block) -> None:
    json.loads(block.text)
