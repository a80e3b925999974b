"""A file's events as the log that a worker would have read, without a broker.

Values are encoded as `hark replay` encodes them, and keys put them into partitions as Kafka's own
clients do; the broker's time is the event's own, as it would have been live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from ops.archive.rerun import BATCH_RECORDS, Rerun, Step
from ops.event_files.adapters import Source
from ops.publish.feed import catalogue_records
from ops.publish.publisher import key_hash
from ops.publish.segment import records
from schemas.topics import EVENTS, ITEMS
from streams.settings import Settings

Ints = npt.NDArray[np.int64]


def rerun_file(
    source: Source,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
    *,
    suggest: bool = True,
    stops_ms: Sequence[int] = (),
    block_ms: int = 1,
    partitions: int = 1,
) -> tuple[Rerun, Iterator[Step]]:
    """Run a file's events through the worker's own functions, partition by partition.

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
    partitions
        Each has its own state: a user's events are all in one of them, an item's or an entity's in
        several.

    Returns
    -------
    tuple
        The state, which advances as the steps are taken, and the steps.
    """
    state = Rerun(settings, suggest=suggest)
    if source.catalogue is not None:
        entries = catalogue_records(source.catalogue, ITEMS.name)
        state.take_catalogue(iter([entries.batch()]))
    places = by_partition(source.events, partitions)
    show = progress or (lambda done, total: None)
    return state, _steps(state, source, places, stops_ms, block_ms, show)


def by_partition(events: pl.DataFrame, partitions: int) -> list[Ints]:
    """Rows of an event frame in the order of each partition's offsets, by the user id's hash."""
    users = events["user_id"].unique(maintain_order=True)
    theirs = pl.Series([key_hash(user.encode()) % partitions for user in users], dtype=pl.Int64)
    of_event = events["user_id"].replace_strict(users, theirs, return_dtype=pl.Int64).to_numpy()
    return [np.flatnonzero(of_event == partition) for partition in range(partitions)]


def _steps(
    state: Rerun,
    source: Source,
    places: list[Ints],
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
            last = min(first + BATCH_RECORDS * len(places), stop)
            for partition, rows in enumerate(places):
                offset, end = np.searchsorted(rows, [first, last]).tolist()
                if offset < end:
                    part = records(source.events[rows[offset:end]], EVENTS.name)
                    yield from state.feed(
                        part.batch(offset, partition=partition, block_ms=block_ms)
                    )
            first = last
            progress(first, total)
