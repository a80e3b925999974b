"""A file's events as the log that a worker would have read, without a broker.

Values are encoded as `hark replay` encodes them; the broker's time is the event's own, as it
would have been live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ops.adapters import Source
from ops.feed import catalogue_records
from ops.rerun import BATCH_RECORDS, Rerun, Step
from ops.segment import Records, records
from schemas.topics import EVENTS, ITEMS
from streams.batches import RecordBatch
from streams.settings import Settings


def rerun_file(
    source: Source,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
    *,
    suggest: bool = True,
) -> tuple[Rerun, Iterator[Step]]:
    """Run a file's events through the worker's own functions, as one partition.

    Parameters
    ----------
    progress
        Called with events taken in and events in all.
    suggest
        False leaves the counters' candidates out, where nobody reads them.

    Returns
    -------
    tuple
        The state, which advances as the steps are taken, and the steps.
    """
    state = Rerun(settings, suggest=suggest)
    if source.catalogue is not None:
        entries = catalogue_records(source.catalogue, ITEMS.name)
        state.take_catalogue(iter([_batch(entries, 0)]))
    return state, _steps(state, source, progress or (lambda done, total: None))


def _steps(state: Rerun, source: Source, progress: Callable[[int, int], None]) -> Iterator[Step]:
    total = len(source.events)
    for first in range(0, total, BATCH_RECORDS):
        part = records(source.events.slice(first, BATCH_RECORDS), EVENTS.name)
        yield state.feed(_batch(part, first))
        progress(first + len(part), total)


def _batch(part: Records, first: int) -> RecordBatch:
    n = len(part)
    return RecordBatch(
        part.topic,
        0,
        first,
        first + n - 1,
        list(range(first, first + n)),
        part.times_ms.tolist(),
        list(part.keys),
        list(part.values),
        [()] * n,
    )
