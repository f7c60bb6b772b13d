"""What the documents show as typed is typed, and answered as they say."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby

import pytest

from tests.process.docs.blocks import Block, blocks, blocks_of
from tests.process.docs.place import Place
from tests.process.docs.shell import Shell, Transcript, steps
from tests.process.node import Nodes

pytestmark = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("bash", "curl", "nc")), reason="needs bash, curl and nc"
)

elsewhere = {"docs/how-to/cluster.md", "docs/how-to/stop-a-cluster.md", "docs/explanation/simulation.md"}
# What a page needs of its server; the queue of the REST reference is full when it says so.
options = {"docs/reference/rest.md": ("--size=2",)}


def typed() -> list[str]:
    """The pages with a transcript."""
    return [page for page, _ in groupby(blocks("console"), lambda block: block.page) if page not in elsewhere]


@pytest.fixture
def stopped(place: Place) -> Iterator[None]:
    """Ends a daemon that a page has started and left running."""
    yield
    for pid_file in place.directory.rglob("twistd.pid"):
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("page", typed())
@pytest.mark.usefixtures("stopped")
def test_every_command_of_a_page_is_answered_as_it_says(page: str, place: Place, nodes: Nodes) -> None:
    console = [block for block in blocks_of(page) if block.kind == "console"]
    if not any("twistd" in block.text for block in console):
        nodes.launch_on(place.port("", 8080), place.port("", 7711), *options.get(page, ())).wait_ready()
    transcript = Transcript()
    with closing(Shell(place.directory, place.environment(**place.default_listeners()))) as shell:
        for block in console:
            for command, answer in steps(place.here(block.text)):
                answered = shell.type_in(transcript.command(command))
                transcript.compare(answer, answered, may_have_more=" -i" in command or " -si" in command)


@pytest.mark.parametrize("block", blocks("dialogue"), ids=lambda block: block.name)
def test_a_dialogue_is_held(block: Block, nodes: Nodes) -> None:
    node, transcript = nodes.start(), Transcript()
    with node.line() as client:
        for line in block.text.splitlines():
            if line.startswith("> "):
                client.send(transcript.command(line[2:]))
            else:
                transcript.compare(line[2:], client.line())


def test_a_transcript_is_compared() -> None:
    """The comparison itself: what differs is found, and names are learned."""
    transcript, incarnation = Transcript(), "01M860GJ51TF8ST0EQA6DE8ABX"
    actual = "01M8Q9CSFW1XHTJJ3J9CY2PAV3"
    transcript.compare(f'{{"id":"node.{incarnation}.1",…}}', f'{{"id":"node.{actual}.1","copies":1}}')
    assert transcript.command(f"ack/node.{incarnation}.1") == f"ack/node.{actual}.1"
    transcript.compare(
        "HTTP/1.1 200 OK\nDqtw-Attempt: 1", "HTTP/1.1 200 OK\nDate: x\nDqtw-Attempt: 1", may_have_more=True
    )
    for documented, answered in (
        ("OK", "ERR"),
        ("OK", ""),
        ("", "OK"),
        (f"node.{incarnation}.1", "node.01M8Q9CSFW1XHTJJ3J9CY2PAV4.1"),
    ):
        with pytest.raises(AssertionError):
            transcript.compare(documented, answered)


@pytest.mark.parametrize("command", ["sleep 0.1; echo x", "(sleep 0.2; echo y) > later & wait; cat later"])
def test_the_shell_answers_each_command(place: Place, command: str) -> None:
    with closing(Shell(place.directory, place.environment())) as shell:
        begun = time.monotonic()
        assert shell.type_in(command).strip() in ("x", "y")
        assert shell.type_in("cd / && pwd") == "/\n"
        assert shell.type_in("pwd") == "/\n"
        assert time.monotonic() - begun < 10
