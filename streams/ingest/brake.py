"""The brake: too many dead letters stop the worker, so that a bad release can't drain a topic."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import HarkError


class DeadLetterBrakeError(HarkError):
    """The share or the run of dead letters exceeded its limit; the batch stays uncommitted."""


@dataclass(slots=True)
class _Window:
    """Counts of one partition; `run` is the present number of dead letters in a row."""

    records: int = 0
    dead: int = 0
    run: int = 0


class Brake:
    """Watches the share of dead letters in a window of records, and their longest run.

    Each partition has its own limits: good records of other partitions hide nothing, and dead
    letters of several partitions don't add up.

    Parameters
    ----------
    max_share
        Highest share of dead letters in a window, 0-1.
    window
        Records of a partition per window; the share is checked when the window is full.
    max_consecutive
        Most dead letters in a row.

    Examples
    --------
    >>> brake = Brake(max_share=0.5, window=10, max_consecutive=100)
    >>> brake.observe(0, [True, False] * 5)
    >>> brake.observe(0, [False] * 4 + [True] * 6)
    Traceback (most recent call last):
    streams.ingest.brake.DeadLetterBrakeError: 6 of the last 10 records of partition 0 are...
    """

    def __init__(self, *, max_share: float, window: int, max_consecutive: int) -> None:
        self._max_share = max_share
        self._window = window
        self._max_consecutive = max_consecutive
        self._windows: dict[int, _Window] = {}

    def observe(self, partition: int, dead: list[bool]) -> None:
        """Count a batch of a partition.

        Parameters
        ----------
        dead
            For each record in log order, whether it became a dead letter.

        Raises
        ------
        DeadLetterBrakeError
            A limit is exceeded.
        """
        window = self._windows.setdefault(partition, _Window())
        if True not in dead:
            window.run = 0
        for is_dead in dead if True in dead else ():
            window.run = window.run + 1 if is_dead else 0
            if window.run > self._max_consecutive:
                raise DeadLetterBrakeError(
                    f"{window.run} dead letters in a row in partition {partition} (limit "
                    f"{self._max_consecutive}): look at them with `hark dead-letters list`; "
                    "limits.max_consecutive"
                )
        window.records += len(dead)
        window.dead += sum(dead)
        if window.records >= self._window:
            if window.dead > self._max_share * window.records:
                raise DeadLetterBrakeError(
                    f"{window.dead} of the last {window.records} records of partition {partition} "
                    f"are dead letters (limit {self._max_share:.0%}): look at them with "
                    "`hark dead-letters list`; limits.dead_letter_share"
                )
            window.records = window.dead = 0
