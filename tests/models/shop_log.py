"""A simulated shop's log, archived as `hark train` would find it."""

from __future__ import annotations

import zlib
from pathlib import Path

from ops.archive_files import PartitionArchive, Span
from ops.feed import catalogue_records
from ops.segment import Records, records
from ops.simulation import simulate_events
from streams.batches import RecordBatch


def archive_shop(root: Path, events: int = 6_000, partitions: int = 2, seed: int = 3) -> None:
    """Write the events to `partitions` partitions by user, and the catalogue beside them."""
    shop = simulate_events(seed, users=120, items=80, days=40, events=events)
    log = records(shop.events, "events")
    owner = [zlib.crc32(key) % partitions for key in log.keys]
    for number in range(partitions):
        _write(root, log, number, [i for i, at in enumerate(owner) if at == number])
    catalogue = catalogue_records(shop.catalogue, "items")
    _write(root, catalogue, 0, list(range(len(catalogue))))


def _write(root: Path, log: Records, partition: int, rows: list[int]) -> None:
    batch = RecordBatch(
        log.topic,
        partition,
        0,
        len(rows) - 1,
        list(range(len(rows))),
        [1_750_000_000_000 + 10 * row for row in rows],
        [log.keys[row] for row in rows],
        [log.values[row] for row in rows],
        [()] * len(rows),
    )
    PartitionArchive(root, log.topic, partition).write(Span(0, len(rows)), [batch])
