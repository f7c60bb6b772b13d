"""The core's limits on one frame, set small for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from dqtw.core.model.replica import Replica
from dqtw.core.replication import holding, log, progress, session
from dqtw.wire.peer import lanes
from tests.simulation.scenario import Limits


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Let the core send frames of this size."""
    wanted = {
        (session, "contents_bytes_max"): limits.contents_bytes,
        (session, "contents_count_max"): limits.contents_count,
        (session, "fetch_messages_max"): limits.fetch_messages,
        (session, "fetch_records_max"): limits.fetch_records,
        (session, "backfills_under_way_max"): limits.backfills_under_way,
        (progress, "deltas_under_way_max"): limits.deltas_under_way,
        (log, "read_bytes_max"): limits.read_bytes,
        (log, "read_entries_max"): limits.read_entries,
        (holding, "changed_records_max"): limits.changed_records,
        (lanes, "piece_bytes_max"): limits.payload_bytes,
        (lanes, "piece_bytes_min"): min(limits.payload_bytes, lanes.piece_bytes_min),
    }
    before = {(module, name): getattr(module, name) for module, name in wanted}
    defaults = Replica.page.__defaults__
    try:
        for (module, name), value in wanted.items():
            setattr(module, name, value)
        Replica.page.__defaults__ = (limits.digest_ints,)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
        Replica.page.__defaults__ = defaults
