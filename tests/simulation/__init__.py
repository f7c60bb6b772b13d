"""Whole clusters in one process: nodes, network, clients and faults, all drawn from one seed.

``python -m tests.simulation --seeds 100`` runs a hundred histories; ``--seed 7 --trace`` tells one of them.
"""
