"""Faults planted in the core on purpose, at least one for each chapter of the protocol: the checker must catch each.

A planted fault replaces methods of core classes for a while; `rule` names the section of the protocol that it breaks
(see `docs/explanation/replication.md`), or the promise of the queue itself.
"""

from tests.simulation import planted_lives, planted_replication
from tests.simulation.planting import Planted, catalogue, planting

__all__ = ["Planted", "catalogue", "planted_lives", "planted_replication", "planting"]
