"""The latest gaps between a user's active days, in whole days: how often the user tends to come.

A shift register of `DAY_GAPS` gaps per user; like all running sums it is needed after every event
and must not depend on how the log is cut into batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.windows import A_NAMES, DAY_GAPS

NAMES = tuple(name for name in A_NAMES if name.startswith("day_gap_"))

Ints = npt.NDArray[np.int64]


def latest(stored: npt.NDArray[Any], user: Ints, start: Ints, gap_days: Ints) -> Ints:
    """The latest gaps after each of m events.

    Parameters
    ----------
    stored
        (V, `DAY_GAPS`): as they were before the events, latest first, 0 = none.
    user
        int64 (m,): 0..V-1, not decreasing, none missing.
    start
        int64 (V,): each user's first event.
    gap_days
        int64 (m,): days since the active day before, 0 where the event opens no new day.

    Returns
    -------
    int64 (m, `DAY_GAPS`), latest first.

    Examples
    --------
    >>> one = np.zeros(3, np.int64)
    >>> latest(np.array([[5] + [0] * 7]), one, one[:1], np.array([0, 2, 9]))[:, :3].tolist()
    [[5, 0, 0], [2, 5, 0], [9, 2, 5]]
    """
    gaps: Ints = stored[user].astype(np.int64)
    opens = gap_days > 0
    new: Ints = np.cumsum(opens)  # (m,) gaps of all users so far
    mine: Ints = new - (new[start] - opens[start])[user]  # of this user
    rows = np.flatnonzero(mine)  # few: most events are not of a day that the batch opened
    place = np.arange(DAY_GAPS)
    fresh = place < mine[rows, None]  # (r, DAY_GAPS)
    found = gap_days[opens]
    at = np.where(fresh, new[rows, None] - 1 - place, 0)
    kept = np.take_along_axis(gaps[rows], np.where(fresh, 0, place - mine[rows, None]), axis=1)
    gaps[rows] = np.where(fresh, found[at], kept)
    return gaps
