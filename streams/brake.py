"""The brake: too many dead letters stop the worker, so that a bad deploy can't drain a topic."""

from __future__ import annotations

from schemas.errors import HarkError


class DeadLetterBrakeError(HarkError):
    """The share or the run of dead letters passed its limit; the batch stays uncommitted."""


class Brake:
    """Watches the share of dead letters in a window of records, and their longest run.

    Parameters
    ----------
    max_share
        Highest share of dead letters in a window, 0-1.
    window
        Records per window; a share counts only once a window is full.
    max_consecutive
        Most dead letters in a row.

    Examples
    --------
    >>> brake = Brake(max_share=0.5, window=10, max_consecutive=100)
    >>> brake.observe([True, False] * 5)
    >>> brake.observe([False] * 4 + [True] * 6)
    Traceback (most recent call last):
    streams.brake.DeadLetterBrakeError: 6 of the last 10 records are dead letters (limit 50%)...
    """

    def __init__(self, *, max_share: float, window: int, max_consecutive: int) -> None:
        self._max_share = max_share
        self._window = window
        self._max_consecutive = max_consecutive
        self._records = 0
        self._dead = 0
        self._run = 0

    def observe(self, dead: list[bool]) -> None:
        """Count one batch, in log order.

        Raises
        ------
        DeadLetterBrakeError
            When a limit is passed.
        """
        if True not in dead:
            self._run = 0
            self._records += len(dead)
        else:
            for is_dead in dead:
                self._run = self._run + 1 if is_dead else 0
                if self._run > self._max_consecutive:
                    raise DeadLetterBrakeError(
                        f"{self._run} dead letters in a row (limit {self._max_consecutive}): "
                        "look at them with `hark dead-letters list`; limits.max_consecutive"
                    )
            self._records += len(dead)
            self._dead += sum(dead)
        if self._records >= self._window:
            if self._dead > self._max_share * self._records:
                raise DeadLetterBrakeError(
                    f"{self._dead} of the last {self._records} records are dead letters (limit "
                    f"{self._max_share:.0%}): look at them with `hark dead-letters list`; "
                    "limits.dead_letter_share"
                )
            self._records = self._dead = 0
