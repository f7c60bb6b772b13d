"""Stories about links as text: commands, and the transcript of what follows.

A script consists of blocks: commands, a line ``----``, and the transcript up to an empty line. With ``DQTW_UPDATE=1``
in the environment the transcripts are written anew. Times are in seconds since the script began.

    start NAME [of=NODES] [url=URL] [boot=BOOT] [cluster=NAME]     begin a process; the node's name is its first letter
    kill NAME · pause NAME SECONDS · anew NAME BOOT · become NAME INCARNATION|none [going]
    run SECONDS · say NAME TO
    cut WRITER READER at=writer|reader [kept=N]     end one stream at one end; N frames under way still arrive
    quiet on|off                                    whether the other end is not to learn of it
    stall WRITER READER                             let nothing arrive on a stream any more
    hang URL on|off                                 whether dials to a URL are not answered
    release                                         let requests of dials that hang arrive
    repeat N                                        let the N-th stream request arrive once more
    words NAME NODE · twins NAME
"""

from collections.abc import Iterator
from pathlib import Path

from attrs import evolve

from dqtw.core.links.frames import BootId, Interest, Pair
from dqtw.core.links.link import FrameReceived, Learned, LinkDown, LinkEvent, LinkUp
from dqtw.core.links.streams import Dial, LinkEffect, Send

from .stream_world import Proc, Wire, World, cluster_settings


class Script:
    """One run of a script."""

    def __init__(self) -> None:
        self.world = world = World()
        self.lines: list[str] = []
        self.hanging: set[str] = set()
        world.observe = self._observe
        world.trace = self._trace
        world.hangs = lambda asker, url: url in self.hanging

    def do(self, command: str, *args: str) -> None:
        given = dict(each.split("=", 1) for each in args if "=" in each)
        plain = [each for each in args if "=" not in each]
        getattr(self, f"do_{command}")(*plain, **given)

    def do_start(self, name: str, of: str = "ab", url: str = "", boot: str = "", cluster: str = "dqtw") -> None:
        settings = evolve(cluster_settings(name[0], of), cluster=cluster)
        self.world.start(name, evolve(settings, advertise=url or settings.advertise), boot or name)

    def do_kill(self, name: str) -> None:
        self.world.kill(name)

    def do_pause(self, name: str, seconds: str) -> None:
        self.world.pause(name, float(seconds))

    def do_anew(self, name: str, boot: str) -> None:
        proc = self.world.procs[name]

        def anew() -> list[LinkEvent]:
            proc.network, events = proc.network.anew(self.world.now, BootId(boot))
            return events

        self.world.input(proc, anew)

    def do_become(self, name: str, incarnation: str, going: str = "") -> None:
        whole = None if incarnation == "none" else incarnation.ljust(26, "0")
        self.world.become(name, whole, bool(going))

    def do_run(self, seconds: str) -> None:
        self.world.run(float(seconds))

    def do_say(self, name: str, to: str) -> None:
        self.world.say(name, to)

    def do_cut(self, writer: str, reader: str, at: str, kept: str = "0") -> None:
        self.world.cut(self.world.wire(writer, reader), at == "writer", int(kept))

    def do_quiet(self, switch: str) -> None:
        self.world.notice = lambda: None if switch == "on" else 0.01

    def do_stall(self, writer: str, reader: str) -> None:
        self.world.wire(writer, reader).is_dead = True

    def do_hang(self, url: str, switch: str) -> None:
        self.hanging = self.hanging | {url} if switch == "on" else self.hanging - {url}

    def do_release(self) -> None:
        self.world.release()

    def do_repeat(self, number: str) -> None:
        self.world.deliver(*self.world.requests[int(number) - 1], Wire(None, None))

    def do_words(self, name: str, node: str) -> None:
        member, now = self.world.procs[name].network.cluster.members[node], self.world.now
        words = {
            "present": member.is_present,
            "linked": member.is_linked,
            "refused": member.is_refused(now),
            "unreachable": member.is_unreachable(now),
        }
        said = " ".join(word for word, is_true in words.items() if is_true) or "none"
        self._say(self.world.procs[name], f"words for {node}: {said}; trouble: {member.trouble(now)}")

    def do_twins(self, name: str) -> None:
        cluster, now = self.world.procs[name].network.cluster, self.world.now
        for twin in cluster.twins(now):
            self._say(self.world.procs[name], f"{twin.by} heard {twin.boot} {twin.incarnation} {twin.age_s:.2f} s ago")
        in_the_way = cluster.twin_in_the_way(now)
        waits_for = in_the_way.boot if in_the_way else "nothing" if cluster.have_peers_run(now) else "its peers"
        self._say(self.world.procs[name], f"waits for {waits_for}")

    def _say(self, proc: Proc, what: str) -> None:
        self.lines.append(f"{self.world.now:.2f} {proc.name} {what}")

    def _observe(self, proc: Proc, event: LinkEvent) -> None:
        if isinstance(event, LinkUp):
            self._say(proc, f"link to {event.link.process.boot} up")
        elif isinstance(event, LinkDown):
            self._say(proc, f"link to {event.link.process.boot} down: {event.why}")
        elif isinstance(event, FrameReceived) and isinstance(event.frame, Interest):
            self._say(proc, f"frame {event.frame.queues[-1]} from {event.link.process.boot}")
        elif isinstance(event, Learned):
            self._say(proc, f"learns {event.node} {event.incarnation.rstrip('0')}")

    def _trace(self, proc: Proc, effect: LinkEffect) -> None:
        if isinstance(effect, Dial):
            self._say(proc, f"dials {effect.request.to_boot or 'any process'} at {effect.url}")
        elif isinstance(effect, Send) and isinstance(effect.frame, Pair):
            self._say(proc, "names the pair")


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
    return sorted((Path(__file__).parent / "scripts").glob("links_*.txt"))
