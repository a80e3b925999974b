"""Whether a worker stalls: it commits nothing although records wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streams.monitoring.batch_counts import PartitionLag


class StallWatch:
    """Watches each partition's commits for a stall, with work in hand or while records arrive.

    Parameters
    ----------
    limit_s
        How long a partition may commit nothing while records wait, in seconds.
    doing
        Returns what the worker is busy with, in words; empty if it is idle.

    Examples
    --------
    >>> watch = StallWatch(60, lambda: "scoring for 61 s")
    >>> watch.observe({3: PartitionLag(10, 1.0, 120)}, now_s=0)
    >>> watch.observe({3: PartitionLag(90, 1.0, 120)}, now_s=61)
    >>> watch.problem(now_s=61)
    'partition 3 has been at offset 120 for 61 s while 90 records wait: scoring for 61 s'
    """

    def __init__(self, limit_s: float, doing: Callable[[], str]) -> None:
        self._limit_s = limit_s
        self._doing = doing
        # Committed offset, since when, and how many records waited then.
        self._since: dict[int, tuple[int, float, int]] = {}
        self._waiting: dict[int, int] = {}
        self._observed_s: float | None = None

    def observe(self, lags: Mapping[int, PartitionLag], now_s: float) -> None:
        """Note the lags of the partitions held; to be called once a second."""
        self._observed_s = now_s
        before, self._since = self._since, {}
        for number, lag in lags.items():
            known = before.get(number)
            if known is None or known[0] != lag.committed or not lag.records:
                known = lag.committed, now_s, lag.records
            self._since[number] = known
        self._waiting = {number: lag.records for number, lag in lags.items()}

    def problem(self, now_s: float) -> str:
        """One line, empty if nothing stalls; may be called from any thread."""
        if self._observed_s is not None and now_s - self._observed_s > self._limit_s:
            return f"the event loop has not answered for {now_s - self._observed_s:.0f} s"
        doing = self._doing()
        for number, (committed, since_s, waited) in self._since.items():
            waiting = self._waiting.get(number, 0)
            if now_s - since_s > self._limit_s and (doing or waiting > waited):
                return (
                    f"partition {number} has been at offset {committed} for "
                    f"{now_s - since_s:.0f} s while {waiting:,} records wait: "
                    f"{doing or 'no batch arrives'}"
                )
        return ""
