"""A file's events as the log that a worker would have read, without a broker.

Values are encoded as `hark replay` encodes them; the broker's time is the event's own, as it
would have been live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ops.archive.rerun import BATCH_RECORDS, Rerun, Step
from ops.event_files.adapters import Source
from ops.publish.feed import catalogue_records
from ops.publish.segment import records
from schemas.topics import EVENTS, ITEMS
from streams.settings import Settings


def rerun_file(
    source: Source,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
    *,
    suggest: bool = True,
    stops_ms: Sequence[int] = (),
    block_ms: int = 1,
) -> tuple[Rerun, Iterator[Step]]:
    """Run a file's events through the worker's own functions, as one partition.

    Parameters
    ----------
    progress
        Called with events taken in and events in all.
    suggest
        False leaves the counters' candidates out, where nobody reads them.
    stops_ms
        No batch holds events on both sides of one of these times.
    block_ms
        The broker's times are rounded down to multiples of this. Live counters then lag by up to
        as much (at least a second, as always), and a long sparse log takes a fraction of the time.

    Returns
    -------
    tuple
        The state, which advances as the steps are taken, and the steps.
    """
    state = Rerun(settings, suggest=suggest)
    if source.catalogue is not None:
        entries = catalogue_records(source.catalogue, ITEMS.name)
        state.take_catalogue(iter([entries.batch()]))
    return state, _steps(state, source, stops_ms, block_ms, progress or (lambda done, total: None))


def _steps(
    state: Rerun,
    source: Source,
    stops_ms: Sequence[int],
    block_ms: int,
    progress: Callable[[int, int], None],
) -> Iterator[Step]:
    total = len(source.events)
    times_ms = source.events["time_ms"].to_numpy()  # ascending
    stops = sorted({*np.searchsorted(times_ms, list(stops_ms)).tolist(), total} - {0})
    first = 0
    for stop in stops:
        while first < stop:
            size = min(BATCH_RECORDS, stop - first)
            part = records(source.events.slice(first, size), EVENTS.name)
            yield from state.feed(part.batch(first, block_ms=block_ms))
            first += size
            progress(first, total)
