"""The core's limits on one peer message, set small for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from dqtw.core import copy, holder, session
from dqtw.core.copy import Copy
from tests.simulation.scenario import Limits


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Let the core speak in messages of this size; the constants that modules hold by name are set in each."""
    wanted = {
        (session, "chunk_bytes_max"): limits.chunk_bytes,
        (session, "chunk_messages_max"): limits.chunk_messages,
        (session, "chunk_ints_max"): limits.chunk_ints,
        (session, "keys_per_request_max"): limits.keys_per_request,
        (holder, "chunk_bytes_max"): limits.chunk_bytes,
        (holder, "chunk_messages_max"): limits.chunk_messages,
        (holder, "chunk_ints_max"): limits.chunk_ints,
        (holder, "keys_per_request_max"): limits.keys_per_request,
        (copy, "incarnations_kept"): limits.incarnations_kept,
    }
    before = {(module, name): getattr(module, name) for module, name in wanted}
    defaults = Copy.page.__defaults__
    try:
        for (module, name), value in wanted.items():
            setattr(module, name, value)
        Copy.page.__defaults__ = (limits.digest_ints,)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
        Copy.page.__defaults__ = defaults
