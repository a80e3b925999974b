"""Forward decay: a single factor ages a whole table of counters.

Cormode et al. (2009): stored values don't shrink as time passes; instead the added weights grow,
``exp((t - landmark) / tau)``. A value as of `now` is the stored value times `scale(now)`. Values
keep their order while nothing is added. Once in a while the landmark moves, and the table is
multiplied by a factor.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from models.elementwise import exp

MAX_EXPONENT = 30.0  # e**30 times a large count still fits float32


class Decay:
    """The clock of one table of decayed counters.

    Parameters
    ----------
    tau_s
        Seconds of event time after which a count has shrunk to 1/e.

    Examples
    --------
    >>> day = Decay(86_400.0)
    >>> day.renew(1_000)
    1.0
    >>> day.weights(np.array([1_000, 87_400])).round(3).tolist()
    [1.0, 2.718]
    >>> round(day.scale(87_400), 3)
    0.368
    """

    def __init__(self, tau_s: float) -> None:
        self.tau_s = tau_s
        self.landmark_s: int | None = None

    def holds(self, newest_s: int) -> bool:
        """Whether `renew` would change nothing."""
        landmark_s = self.landmark_s
        return landmark_s is not None and (newest_s - landmark_s) / self.tau_s <= MAX_EXPONENT

    def renew(self, newest_s: int) -> float:
        """Prepare for events up to `newest_s` -> the factor for the whole table, usually 1."""
        if self.holds(newest_s):
            return 1.0
        before_s, self.landmark_s = self.landmark_s, newest_s
        return 1.0 if before_s is None else math.exp(-(newest_s - before_s) / self.tau_s)

    def weights(self, times_s: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The weight of an event at each time (n,), epoch seconds -> float64 (n,)."""
        return exp((times_s - (self.landmark_s or 0)) / self.tau_s)

    def scale(self, now_s: int) -> float:
        """The factor that turns stored values into values as of `now_s`."""
        return math.exp(((self.landmark_s or 0) - now_s) / self.tau_s)

    def scales(self, times_s: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The factor for each value (n,) as of a time of its own (n,) -> float64 (n,)."""
        return exp(((self.landmark_s or 0) - times_s) / self.tau_s)
