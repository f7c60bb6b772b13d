"""A work queue server that does not lose work."""

__version__ = "0.1.0"
