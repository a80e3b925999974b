"""A simulated shop's log, archived as `hark train` would find it."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import polars as pl

from ops.archive.files import PartitionArchive, Span
from ops.publish.feed import catalogue_records
from ops.publish.segment import Records, records
from ops.simulator.simulation import simulate_events
from streams.transport.record_batch import RecordBatch


def archive_shop(
    root: Path, events: int = 6_000, partitions: int = 2, seed: int = 3, disorder: int = 0
) -> None:
    """Write the events to `partitions` partitions by user, and the catalogue beside them.

    With `disorder` every fifth event arrives up to so many events late.
    """
    shop = simulate_events(seed, users=120, items=80, days=40, events=events)
    log = records(shop.events, "events")
    rng = np.random.default_rng(seed)
    delays = rng.integers(0, disorder + 1, len(log)) * (rng.random(len(log)) < 0.2)
    arrival = np.argsort(np.arange(len(log)) + delays, kind="stable").tolist()
    owner = [zlib.crc32(key) % partitions for key in log.keys]
    for number in range(partitions):
        _write(root, log, number, [i for i in arrival if owner[i] == number])
    catalogue = catalogue_records(shop.catalogue, "items")
    _write(root, catalogue, 0, list(range(len(catalogue))))


def archive_payments(root: Path, payments: int = 6_000, seed: int = 3) -> None:
    """Write card payments alone, no items: large ones turn out as fraud, known a week later."""
    rng = np.random.default_rng(seed)
    day_ms = 86_400_000
    start_ms = 1_750_000_000_000 - 70 * day_ms
    amounts = rng.gamma(2.0, 20.0, payments) * np.where(rng.random(payments) < 0.06, 6, 1)
    frame = pl.DataFrame(
        {
            "message_id": [f"pay-{i}" for i in range(payments)],
            "user_id": [f"card-{card}" for card in rng.integers(0, 80, payments)],
            "event": "Payment Made",
            "time_ms": start_ms + np.sort(rng.integers(0, 60 * day_ms, payments)),
            "properties.amount": amounts,
            "properties.payment_id": pl.Series([None] * payments, dtype=pl.String),
        }
    )
    confirmed = frame.filter(amounts > 180).with_columns(
        pl.col("message_id").alias("properties.payment_id"),
        pl.format("{}:fraud", "message_id").alias("message_id"),
        pl.lit("Fraud Confirmed").alias("event"),
        pl.col("time_ms") + 7 * day_ms,
    )
    log = records(pl.concat([frame, confirmed]).sort("time_ms", maintain_order=True), "events")
    _write(root, log, 0, list(range(len(log))))


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
