"""Forward decay: one number ages a whole table of counters.

Cormode et al. (2009): instead of shrinking every stored value as time passes, what is added grows,
``exp((t - landmark) / tau)``, and a value as of `now` is the stored one times `scale(now)`. Values
keep their order among each other while nothing is added, and once in a while the landmark moves
and the table is multiplied by one factor.
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

    def renew(self, newest_s: int) -> float:
        """Make ready for events up to `newest_s` -> the factor for the whole table, often 1."""
        if self.landmark_s is None:
            self.landmark_s = newest_s
            return 1.0
        exponent = (newest_s - self.landmark_s) / self.tau_s
        if exponent <= MAX_EXPONENT:
            return 1.0
        self.landmark_s = newest_s
        return math.exp(-exponent)

    def weights(self, times_s: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """What one event at each time (n,) adds -> float64 (n,)."""
        return exp((times_s - (self.landmark_s or 0)) / self.tau_s)

    def scale(self, now_s: int) -> float:
        """What stored values are multiplied by to be as of `now_s`."""
        return math.exp(((self.landmark_s or 0) - now_s) / self.tau_s)

    def scales(self, times_s: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The same for a time per value (n,) -> float64 (n,)."""
        return exp(((self.landmark_s or 0) - times_s) / self.tau_s)
