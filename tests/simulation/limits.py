"""The core's limits on one peer message, set small for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dqtw.core.model import copy
from dqtw.core.model.copy import Copy
from dqtw.core.replication import held_copy, holder, session
from dqtw.core.replication.session import Session
from tests.simulation.scenario import Limits


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Let the core speak in messages of this size; the constants that modules hold by name are set in each."""
    wanted = {
        (session, "chunk_bytes_max"): limits.chunk_bytes,
        (session, "chunk_messages_max"): limits.chunk_messages,
        (session, "chunk_ints_max"): limits.chunk_ints,
        (session, "keys_per_request_max"): limits.keys_per_request,
        (session, "removals_max"): limits.removals,
        (holder, "chunk_bytes_max"): limits.chunk_bytes,
        (holder, "chunk_messages_max"): limits.chunk_messages,
        (holder, "chunk_ints_max"): limits.chunk_ints,
        (held_copy, "keys_per_request_max"): limits.keys_per_request,
        (copy, "incarnations_kept"): limits.incarnations_kept,
    }
    before = {(module, name): getattr(module, name) for module, name in wanted}
    pages: tuple[Any, ...] = (Copy.page, Session.read)
    defaults = [page.__defaults__ for page in pages]
    try:
        for (module, name), value in wanted.items():
            setattr(module, name, value)
        for page in pages:
            page.__defaults__ = (limits.digest_ints,)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
        for page, values in zip(pages, defaults, strict=True):
            page.__defaults__ = values
