"""Stories about whole clusters as text: commands, and the transcript of what follows.

A script consists of blocks: commands, a line ``----``, and the transcript up to an empty line. With ``DQTW_UPDATE=1``
in the environment the transcripts are written anew. Times are in seconds since the cluster was ready; a frame is shown
when it is sent. ``a1`` is the first incarnation of node a that was seen, ``a1.3`` the third message pushed in it.

    cluster NODES [copies=N] [OPTION=NUMBER]    start a cluster, and wait until every node is ready
    push NODE BODY [key=KEY] · get NODE · ack NODE BODY      what clients do; their answers are shown when they come
    start NAME [of=NODE] · kill NAME · drain NAME · pause NAME · resume NAME
    cut ONE OTHER · heal                        nothing is noticed of a cut but silence
    run SECONDS · hide KIND · show NAME
"""

from collections.abc import Iterator
from pathlib import Path

from dqtw.core.links import frames as f
from dqtw.core.model.commands import Ack, Delivered, Get, Outcome, Push, Pushed
from dqtw.core.model.dots import DotSet
from dqtw.core.model.message import MessageId

from .lan import Lan, ready, word


class Script:
    """One run of a script."""

    def __init__(self) -> None:
        self.lan: Lan
        self.lines: list[str] = []
        self.names: dict[str, str] = {}  # of incarnations
        self.ids: dict[str, MessageId] = {}  # of messages, by their bodies
        self.asked: dict[int, str] = {}  # what clients have asked for and were not answered yet, by ticket
        self.hidden: set[str] = {"status", "pair", "interest", "readpage"}
        self.begin = 0.0
        self.frames_shown = self.events_shown = 0
        self.departed: set[str] = set()

    def do(self, command: str, *args: str) -> None:
        given = dict(each.split("=", 1) for each in args if "=" in each)
        getattr(self, f"do_{command}")(*(each for each in args if "=" not in each), **given)
        self.collect()

    def do_cluster(self, nodes: str, **options: str) -> None:
        self.lan = ready(*nodes, **{name: float(number) for name, number in options.items()} | self.whole(options))
        self.begin = self.lan.now
        for node in nodes:
            self.name(node, self.lan[node].replicator.incarnation)
        self.frames_shown, self.events_shown = len(self.lan.frames), len(self.lan.events)

    def whole(self, options: dict[str, str]) -> dict[str, int]:
        return {name: int(options[name]) for name in ("copies", "size") if name in options}

    def do_push(self, node: str, body: str, key: str | None = None) -> None:
        ticket = self.lan.ask(node, Push(body.encode(), key=key))
        self.asked[ticket] = f"{node} answers push {body}"

    def do_get(self, node: str) -> None:
        self.asked[self.lan.ask(node, Get(100))] = f"{node} answers get"

    def do_ack(self, node: str, body: str) -> None:
        self.asked[self.lan.ask(node, Ack(self.ids[body]))] = f"{node} answers ack {body}"

    def do_start(self, name: str, of: str = "") -> None:
        self.lan.start(name, node=of or name)

    def do_kill(self, name: str) -> None:
        self.lan.kill(name)

    def do_drain(self, name: str) -> None:
        self.lan.drain(name)

    def do_pause(self, name: str) -> None:
        self.lan.pause(name)

    def do_resume(self, name: str) -> None:
        self.lan.resume(name)

    def do_cut(self, one: str, other: str) -> None:
        self.lan.partition(one, other)

    def do_heal(self) -> None:
        self.lan.heal()

    def do_run(self, seconds: str) -> None:
        end = self.lan.now + float(seconds)
        while self.lan.now < end - 1e-9:
            self.lan.run(min(0.001, end - self.lan.now))
            self.collect()

    def do_hide(self, *kinds: str) -> None:
        self.hidden |= set(kinds)

    def do_show(self, name: str) -> None:
        held = (f"{owner}: {' '.join(self.bodies(name, owner)) or 'nothing'}" for owner in sorted(self.lan._members))
        self.say(f"{name} is {self.lan.phase(name)} and holds {', '.join(held)}")

    def bodies(self, name: str, owner: str) -> list[str]:
        return [body.decode() for body in self.lan.held(name, owner)]

    # The transcript.

    def say(self, what: str, at: float | None = None) -> None:
        self.lines.append(f"{(self.lan.now if at is None else at) - self.begin:.3f} {what}")

    def collect(self) -> None:
        for name, what in self.lan.events[self.events_shown :]:
            if "pushes are" not in what and "cannot be reached" not in what:
                self.say(f"{name}: {what}")
        self.events_shown = len(self.lan.events)
        for sent in self.lan.frames[self.frames_shown :]:
            if type(sent.frame).__name__.lower() not in self.hidden:
                self.say(f"{sent.by} -> {sent.to}  {self.describe(sent.frame)}", sent.at)
        self.frames_shown = len(self.lan.frames)
        for ticket in [each for each in self.asked if each in self.lan.answers]:
            self.say(f"{self.asked.pop(ticket)}: {self.outcome(self.lan.answers[ticket])}")
        for name in self.lan.departures.keys() - self.departed:
            self.departed.add(name)
            self.say(f"{name} exits with status {self.lan.departures[name].status.value}")

    def outcome(self, outcome: Outcome) -> str:
        match outcome:
            case Pushed(id, copies, members, is_duplicate):
                again = ", a duplicate" if is_duplicate else ""
                return f"{self.dot(id.incarnation, id.n)}, {copies} of {members} copies{again}"
            case Delivered(deliveries):
                return " ".join(each.message.body.decode() for each in deliveries) or "nothing"
            case _:
                return word(outcome).lower()

    def describe(self, frame: f.AnyFrame) -> str:
        match frame:
            case f.Open(_, owner, role, incarnation):
                return f"open {role.value} {owner} {self.name(owner, incarnation)}"
            case f.Opened(_, was_complete):
                return "opened" + ", was complete" * was_complete
            case f.Declined(_, why):
                return f"declined: {why}"
            case f.PageRead(_, seen, live, _, upto):
                last = "last page" if upto is None else "page"
                return f"{last}: live {self.dots(live)}, removed {self.dots(seen - live)}"
            case f.Fetch(_, messages, records):
                return f"fetch {self.dots(messages | records)}"
            case f.Fetched(_, _, contents, absent):
                return f"fetched {self.contents(contents)}" + f"; absent {self.dots(absent)}" * bool(absent)
            case f.Delta(_, upto, _, contents, is_synced, is_whole):
                flags = " synced" * is_synced + " whole" * is_whole
                return f"delta upto {upto}: {self.contents(contents)};{flags}"
            case f.Applied(_, upto, backfill):
                return f"applied upto {upto}" + f", backfill {backfill}" * bool(backfill)
            case _:
                return self.describe_rare(frame)

    def describe_rare(self, frame: f.AnyFrame) -> str:
        match frame:
            case f.Backfill(_, number, _, contents):
                return f"backfill {number}: {self.contents(contents)}"
            case f.Changed(_, number, _, live, removed):
                return f"changed {number}: live {self.dots(live)}, removed {self.dots(removed)}"
            case f.Fenced(node, greatest):
                return f"fenced by {self.name(node, greatest)}"
            case f.Stays(_, is_yes):
                return f"stays: {'yes' if is_yes else 'no'}"
            case _:
                return type(frame).__name__.lower()

    def contents(self, contents: f.Contents) -> str:
        parts = []
        for incarnation, messages in contents.puts.items():
            for n, message in messages:
                body = message.body.decode()
                node = self.name("", incarnation)[:1]
                self.ids[body] = MessageId(node, incarnation, n)
                parts.append(f"put {self.dot(incarnation, n)} {body}")
        if contents.removed:
            parts.append(f"remove {self.dots(contents.removed)}")
        parts += [f"key {record.key}" for record in contents.records]
        return ", ".join(parts) or "nothing"

    def name(self, node: str, incarnation: str | None) -> str:
        if incarnation is None:
            return "without incarnation"
        if incarnation not in self.names:
            count = sum(name.startswith(node) for name in self.names.values())
            self.names[incarnation] = f"{node}{count + 1}"
        return self.names[incarnation]

    def dot(self, incarnation: str, n: int) -> str:
        return f"{self.name('', incarnation)}.{n}"

    def dots(self, dots: DotSet) -> str:
        return " ".join(self.dot(incarnation, n) for incarnation, n in dots) or "nothing"


def run_script(text: str) -> Iterator[str]:
    """Return the script with the transcripts that follow now."""
    script = Script()
    for block in text.strip().split("\n\n"):
        commands = block.split("\n----")[0]
        for line in commands.splitlines():
            if line and not line.startswith("#"):
                script.do(*line.split())
        yield "\n".join([commands, "----", *script.lines]) if "\n----" in block else commands
        script.lines.clear()


def scripts() -> list[Path]:
    return sorted((Path(__file__).parent / "scripts").glob("cluster_*.txt"))
