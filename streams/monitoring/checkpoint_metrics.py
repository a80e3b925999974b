"""Metrics of saving and restoring state."""

from __future__ import annotations

from contextlib import suppress

from prometheus_client import Counter, Gauge
from prometheus_client.registry import CollectorRegistry

OUTCOMES = ("written", "failed", "fenced")


class CheckpointMetrics:
    """Shows age and cost of checkpoints, and the progress of a restore."""

    def __init__(self, registry: CollectorRegistry) -> None:
        checkpoints = Counter(
            "hark_checkpoints", "Checkpoints by outcome", ("outcome",), registry=registry
        )
        self._checkpoints = {outcome: checkpoints.labels(outcome) for outcome in OUTCOMES}
        self._rows = Counter("hark_checkpoint_rows", "Users' rows written", registry=registry)
        self._bytes = Counter(
            "hark_checkpoint_bytes", "Bytes of the checkpoints, uncompressed", registry=registry
        )
        self._newest = Gauge(
            "hark_checkpoint_timestamp_seconds",
            "As of when the partition's state is saved; when it was restored, before its first",
            ("partition",),
            registry=registry,
        )
        self._restore_ratio = Gauge(
            "hark_restore_ratio", "How far the restore has come, 1 = done", registry=registry
        )
        self._restore_seconds = Gauge(
            "hark_restore_seconds", "How long the last restore took", registry=registry
        )
        self._restore_ratio.set(1)

    def written(self, rows: int, size: int) -> None:
        """Count a checkpoint of `rows` users and `size` bytes."""
        self._checkpoints["written"].inc()
        self._rows.inc(rows)
        self._bytes.inc(size)

    def failed(self, outcome: str) -> None:
        """Count a checkpoint that wasn't written; `outcome` is `failed` or `fenced`."""
        self._checkpoints[outcome].inc()

    def as_of(self, partition: int, at_s: float) -> None:
        """Show that a partition's state is saved as of `at_s`, epoch seconds."""
        self._newest.labels(partition).set(at_s)

    def forget(self, partition: int) -> None:
        """Stop showing a partition."""
        with suppress(KeyError):  # never shown
            self._newest.remove(partition)

    def restoring(self, ratio: float) -> None:
        """Show the share of the restore that is done, 0-1."""
        self._restore_ratio.set(ratio)

    def restored(self, seconds: float) -> None:
        """Show that the restore is done, and how many seconds it took."""
        self._restore_ratio.set(1)
        self._restore_seconds.set(seconds)
