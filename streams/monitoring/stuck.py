"""Whether a worker stands still: nothing is committed while records wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streams.monitoring.batch_counts import PartitionLag


class Stuck:
    """Watches each partition's commits: standing still with work in hand, or while more arrives.

    Parameters
    ----------
    limit_s
        How long a partition may have records waiting and commit nothing.
    doing
        What the worker is busy with, in words; empty if with nothing.

    Examples
    --------
    >>> stuck = Stuck(60, lambda: "scoring since 61 s")
    >>> stuck.observe({3: PartitionLag(10, 1.0, 120)}, now_s=0)
    >>> stuck.observe({3: PartitionLag(90, 1.0, 120)}, now_s=61)
    >>> stuck.problem(now_s=61)
    'partition 3 is at offset 120 since 61 s while 90 records wait: scoring since 61 s'
    """

    def __init__(self, limit_s: float, doing: Callable[[], str]) -> None:
        self._limit_s = limit_s
        self._doing = doing
        # Committed offset, since when, and how many records waited then.
        self._since: dict[int, tuple[int, float, int]] = {}
        self._waiting: dict[int, int] = {}
        self._observed_s: float | None = None

    def observe(self, lags: Mapping[int, PartitionLag], now_s: float) -> None:
        """Look at the partitions held; called once a second."""
        self._observed_s = now_s
        before, self._since = self._since, {}
        for number, lag in lags.items():
            known = before.get(number)
            if known is None or known[0] != lag.committed or not lag.records:
                known = lag.committed, now_s, lag.records
            self._since[number] = known
        self._waiting = {number: lag.records for number, lag in lags.items()}

    def problem(self, now_s: float) -> str:
        """One line, empty when all is well; may be asked from another thread."""
        if self._observed_s is not None and now_s - self._observed_s > self._limit_s:
            return f"the event loop has not answered for {now_s - self._observed_s:.0f} s"
        doing = self._doing()
        for number, (committed, since_s, waited) in self._since.items():
            waiting = self._waiting.get(number, 0)
            if now_s - since_s > self._limit_s and (doing or waiting > waited):
                return (
                    f"partition {number} is at offset {committed} since {now_s - since_s:.0f} s "
                    f"while {waiting:,} records wait: {doing or 'no batch arrives'}"
                )
        return ""
