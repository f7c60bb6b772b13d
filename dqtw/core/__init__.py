"""The work queue as a deterministic machine: no Twisted, no clock, no randomness, no I/O."""
