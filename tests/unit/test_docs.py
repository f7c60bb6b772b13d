"""The documents say what the code does."""

import ast
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from dqtw.config.options import Option, options
from dqtw.config.settings import read_settings
from dqtw.core.lifecycle.reports import states
from dqtw.core.model.health import Check
from dqtw.core.model.settings import NodeSettings
from dqtw.core.node import Node
from dqtw.driver import Driver
from dqtw.wire.rest.single import health_answer

root = Path(__file__).resolve().parents[2]


def rows(document: str) -> list[list[str]]:
    """The rows of all tables in a document, each as its cells."""
    lines = (root / "docs" / document).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| `--")]


def test_every_option_is_documented_in_the_order_of_the_table() -> None:
    documented = [row[0].split("`")[1] for row in rows("reference/options.md") if len(row) == 5]
    assert documented == [f"--{option.name}" for option in options]


@pytest.mark.parametrize("option", options, ids=lambda option: option.name)
def test_an_option_is_documented_as_it_is(option: Option, tmp_path: Path) -> None:
    (row,) = (
        row for row in rows("reference/options.md") if row[0].split("`")[1] == f"--{option.name}" and len(row) == 5
    )
    name, variable, in_file, default, meaning = row
    assert name.endswith("repeatable") == option.repeats
    assert variable == f"`{option.variable}`"
    assert default.strip("`") == option.default_shown
    assert meaning == option.help
    if option.name != "config":
        written = in_file.strip("`")
        assert list(tomllib.loads(written)) == [option.name]
        (tmp_path / "c").write_text(written)
        others = {name: text for name, text in (("node", ["a"]), ("peer", ["b=http://b"])) if name != option.name}
        read_settings({"config": [str(tmp_path / "c")], **others}, {})


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[\[>=<]", each)[0].lower() for each in wanted}
    table = (root / "docs/dependencies.md").read_text().split("## On the machine")[0]
    documented = {name.lower() for name in re.findall(r"^\| ([\w.-]+)", table, re.MULTILINE)} - {"package", "---"}
    assert documented == names


def documents() -> list[Path]:
    return [root / "README.md", root / "examples/README.md", *(root / "docs").rglob("*.md")]


def anchors(document: Path) -> set[str]:
    """What a link may name in a document: its headings, as the places that show Markdown write them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_documents_lead_somewhere() -> None:
    for document in documents():
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", document.read_text()):
            file = document.parent / target if target else document
            assert file.exists(), f"{document.name}: {target}"
            assert not anchor or anchor in anchors(file), f"{document.name}: {target}#{anchor}"


def test_every_document_is_in_the_index() -> None:
    index = (root / "docs/README.md").read_text()
    for document in (root / "docs").rglob("*.md"):
        assert document.name == "README.md" or f"({document.relative_to(root / 'docs')})" in index, document


def test_every_name_in_stats_and_health_is_documented() -> None:
    stats, health = (root / "docs/reference/stats.md").read_text().split("## Health")
    node = Node(0.0, NodeSettings(), os.urandom, wall_ms=0)
    driver = Driver(node, Clock())
    assert re.findall(r"^\| `(\w+)` \|", stats, re.MULTILINE) == list(driver.stats())
    answered = json.loads(health_answer(node.health(Check.PUSH)).body)
    assert re.findall(r"^\| `(\w+)` \|", health, re.MULTILINE) == list(answered)


def test_every_figure_of_a_peer_and_of_a_replica_is_documented() -> None:
    stats = (root / "docs/reference/stats.md").read_text()
    shown = Node(0.0, NodeSettings(node="a", peers={"b": "http://b"}), os.urandom, wall_ms=0).stats(0.0)
    of_peer = stats.partition("Of each peer in `peers`:")[2].partition("\n\nOf each replica")[0]
    of_replica = stats.partition("Of each replica in `copies`:")[2].partition("\n\n")[0]
    for part, name in ((of_peer, "peers"), (of_replica, "copies")):
        figures = shown[name]
        assert isinstance(figures, dict)
        for figure in figures["b"]:
            assert f"`{figure}`" in part, figure


def log_lines() -> Iterator[tuple[str, str]]:
    """Every text that the code logs as it stands, with the file it is in."""
    for path in (root / "dqtw").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=name) | ast.Name(id=name), args=[ast.Constant(value=str(text)), *_]
                ):
                    if name in ("info", "warn", "error", "critical", "failure", "log", "note", "_note", "Event"):
                        yield path.name, text


def is_documented(line: str, documented: Iterable[str]) -> bool:
    """Whether the words of a line stand in one of these, in order; what is in braces differs each time."""
    words = re.compile(".+".join(re.escape(part.strip()) for part in re.split(r"\{[^}]*\}", line)))
    return any(words.fullmatch(each.strip()) for each in documented)


def test_every_log_line_is_documented() -> None:
    documented = re.findall(r"`([^`]+)`", (root / "docs/reference/logs.md").read_text())
    lines = [(file, line) for file, line in log_lines() if re.sub(r"\{[^}]*\}", "", line).strip(": ")]
    lines += [("reports.py", f"{state}: {{waits}}") for state in states.values()]
    assert len(lines) > 20
    for file, line in lines:
        assert is_documented(line, documented), f"{file}: {line}"


def test_everything_that_can_be_wrong_with_a_peer_is_documented() -> None:
    """It is logged as it stands in `Member.trouble`, with the details behind it."""
    documented = re.findall(r"`([^`]+)`", (root / "docs/reference/logs.md").read_text())
    tree = ast.parse((root / "dqtw/core/links/members.py").read_text())
    waits = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Wait"]
    texts = [re.sub(r"^f.|.$", "", ast.unparse(node)) for wait in waits for node in texts_in(wait.args[0])]
    assert len(texts) == 4
    for text in texts:
        assert is_documented(text, documented) or is_documented(f"{text}: {{why}}", documented), text


def texts_in(tree: ast.AST) -> list[ast.JoinedStr]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]


@pytest.mark.parametrize("page", ["architecture", "replication", "simulation"])
def test_the_files_that_a_page_names_are_there(page: str) -> None:
    text = (root / f"docs/explanation/{page}.md").read_text()
    named = re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", text)
    assert named
    for name in named:
        assert any((root / place / name).exists() for place in ("dqtw", "dqtw/core", "tests/simulation", "")), name


def test_whoever_reads_the_core_in_the_order_of_the_architecture_has_read_all_of_it() -> None:
    page = (root / "docs/explanation/architecture.md").read_text()
    order = page.partition("## To read the core")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+)`", order))
    assert named == {path.stem for path in (root / "dqtw/core").rglob("*.py")} - {"__init__"}


def rules() -> dict[str, str]:
    """The chapters of the rules, by number: the text of each."""
    text = (root / "docs/explanation/replication.md").read_text().partition("## The rules")[2].partition("\n## ")[0]
    chapters = re.split(r"^### (\d) .*$", text, flags=re.MULTILINE)[1:]
    return dict(zip(chapters[::2], chapters[1::2], strict=True))


def test_every_rule_has_a_reason_and_a_file() -> None:
    assert list(rules()) == [str(chapter) for chapter in range(1, 10)]
    for chapter, text in list(rules().items())[:-1]:
        table = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
        assert table, chapter
        for rule, why, where in table:
            assert rule.strip()
            assert why.strip()
            assert re.fullmatch(r"(`[\w/]+(\.py)?`(, )?)+", where.strip()), where
            for name in re.findall(r"`([\w/.]+)`", where):
                assert any((root / "dqtw" / place / name).exists() for place in ("core", "")), name


def test_the_rule_in_the_name_of_a_test_is_on_the_page() -> None:
    numbered = {number for text in rules().values() for number in re.findall(r"\*\*(\d\.\d) ", text)}
    assert {"4.1", "5.7"} <= numbered
    named = [
        found
        for path in (root / "tests/rules").glob("test_*.py")
        for found in re.findall(r"def test_(\d)_(?:(\d+)_)?", path.read_text())
    ]
    assert named
    for chapter, section in named:
        is_section = chapter in ("4", "5") and section
        assert f"{chapter}.{section}" in numbered if is_section else chapter in rules(), (chapter, section)
