"""Faults planted in the core on purpose, at least one for each rule of the protocol: the checker must catch each.

A planted fault replaces methods of core classes for a while; `rule` names the rule of `docs/explanation/replication.md`
that it breaks, or the promise of the queue itself.
"""

from tests.simulation import planted_copies, planted_lives
from tests.simulation.planting import Planted, catalogue, planting

__all__ = ["Planted", "catalogue", "planted_copies", "planted_lives", "planting"]
