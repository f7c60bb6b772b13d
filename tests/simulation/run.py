"""Running one seed, from its first moment to the last message taken out."""

from collections import Counter
from random import Random
from time import perf_counter
from traceback import format_exc

from attrs import fields, frozen

from tests.simulation.faults import Faults
from tests.simulation.limits import limited
from tests.simulation.liveness import Liveness
from tests.simulation.planted import planting
from tests.simulation.scenario import Scenario, draw
from tests.simulation.violation import Violation
from tests.simulation.world import World


@frozen
class Result:
    """What one seed came to.

    Attributes:
        wrong: what was wrong, in words; empty: nothing.
        fingerprint: of the whole story, if it was asked for.
        counts: how often things happened.
    """

    seed: int
    wrong: str
    fingerprint: str
    counts: Counter[str]

    @property
    def report(self) -> str:
        """What a person needs to know of a failure."""
        return f"seed {self.seed}: {self.wrong}\n  python -m tests.simulation --seed {self.seed} --trace"


def run(seed: int, *, planted: str = "", is_told: bool = False, is_hashed: bool = False) -> Result:
    """Run one seed, with a fault planted in the core if one is named."""
    scenario = draw(seed)
    world = World(scenario, is_told=is_told, is_hashed=is_hashed)
    faults = Faults(world, Random(f"{seed}/faults"))
    if is_told:
        print(*(f"{each.name} = {getattr(scenario, each.name)}" for each in fields(Scenario)), sep="\n")
    wrong, started_at = "", perf_counter()
    with limited(scenario.limits), planting(planted):
        try:
            world.begin()
            faults.begin()
            world.clock.run_until(scenario.duration_s)
            Liveness(world, faults).check()
        except Violation as violation:
            wrong = f"at {world.clock.now:.4f} s: {violation}"
        except Exception:
            wrong = f"at {world.clock.now:.4f} s the core failed:\n{format_exc(limit=-6)}"
    counts = world.trace.counts
    counts["events"], counts["simulated seconds"] = world.clock.steps, round(world.clock.now)
    counts["messages"] = len(world.checker.ledger.fates)
    counts["lost lawfully"] = world.checker.ledger.lost_lawfully
    counts["real milliseconds"] = round(1000 * (perf_counter() - started_at))
    return Result(seed, wrong, world.trace.fingerprint, counts)
