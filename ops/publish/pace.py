"""When each record is due: schedules that don't wait for the broker (open loop).

A closed loop (send, wait, send) hides a slow receiver by asking less of it; a schedule fixed in
advance shows it as lateness. See Schroeder, Wierman and Harchol-Balter, NSDI 2006.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigError

Pace = Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.float64]]
"""(event times in ms (n,), index of the first record) -> seconds after the start (n,)."""


def at_rate(events_per_s: float) -> Pace:
    """Evenly spaced, whatever the events' own times say.

    Examples
    --------
    >>> at_rate(100.0)(np.array([5, 5, 9]), 10).tolist()
    [0.1, 0.11, 0.12]
    """
    if events_per_s <= 0:
        raise ConfigError(f"a rate must be above 0 events/s, not {events_per_s}")
    return lambda times_ms, first: (first + np.arange(len(times_ms))) / events_per_s


def at_speed(factor: float, start_ms: int) -> Pace:
    """As recorded since `start_ms`, `factor` times as fast.

    Examples
    --------
    >>> at_speed(100.0, 1000)(np.array([1000, 3000]), 0).tolist()
    [0.0, 0.02]
    """
    if factor <= 0:
        raise ConfigError(f"a speed must be above 0, not {factor}")
    return lambda times_ms, _first: (times_ms - start_ms) / 1000 / factor
