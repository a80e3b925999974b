"""How far the restore of a worker's partitions has come: in the log and as a metric."""

from __future__ import annotations

import time

import structlog

from streams.monitoring.checkpoint_metrics import CheckpointMetrics

log = structlog.get_logger(__name__)
TELL_EVERY_S = 5.0


class RestoreProgress:
    """Counts the records of checkpoints and logs that one rebalance has to read.

    Parameters
    ----------
    metrics
        Shows the share that is done.
    """

    def __init__(self, metrics: CheckpointMetrics) -> None:
        self._metrics = metrics
        self._began_s = self._told_s = time.monotonic()
        self._total = self._done = 0
        self.alerts = self.letters = 0  # records read back of what was published

    def expect(self, offsets: int) -> None:
        """So many more have to be read."""
        self._total += max(0, offsets)
        self._show()

    def advance(self, offsets: int) -> None:
        """So many more were read."""
        self._done += offsets
        self._show()

    def read_back(self, alerts: int, letters: int) -> None:
        """So many records of published alerts and dead letters were read."""
        self.alerts += alerts
        self.letters += letters

    def finish(self) -> float:
        """All is there -> how long it took, seconds."""
        seconds = time.monotonic() - self._began_s
        self._metrics.restored(seconds)
        return seconds

    def _show(self) -> None:
        ratio = min(1.0, self._done / self._total) if self._total else 1.0
        self._metrics.restoring(ratio)
        now_s = time.monotonic()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            log.info("state.restoring", done=f"{ratio:.0%}", seconds=round(now_s - self._began_s))
