"""Bytes to values and back: total functions, nothing else."""
