"""Compiled loops of the entity counters; each goes through a batch once, in log order.

An entity's row is a record of `streams.counters.entities.ROW`. Sums are taken in float64 and
rounded to the row's float32 at every addition.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Table = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_NEVER = np.iinfo(np.int64).max


@kernel
def read(
    table: Table, rows: Ints, times_s: Ints, landmarks_s: Ints, taus_s: Floats, out: Floats
) -> None:
    """Write the counters of D events' entities, as `Entities.read` documents them.

    Parameters
    ----------
    table
        `ROW` (R,).
    rows
        int64 (D, E): row of each entity, negative = none.
    times_s
        int64 (D,): the time that the counters are decayed to.
    landmarks_s, taus_s
        int64 and float64 (6,): the decays, in the order of `DECAYED`.
    out
        float64 (D, 13 or more), 0: filled.
    """
    for i in range(rows.shape[0]):
        time_s = times_s[i]
        hour = math.exp((landmarks_s[0] - time_s) / taus_s[0])
        month = math.exp((landmarks_s[4] - time_s) / taus_s[4])
        if rows[i, 0] >= 0:
            of = table[rows[i, 0]]
            out[i, 0] = of.count_1h * hour
            out[i, 1] = of.count_24h * math.exp((landmarks_s[1] - time_s) / taus_s[1])
            out[i, 2] = of.count_7d * math.exp((landmarks_s[2] - time_s) / taus_s[2])
            out[i, 3] = of.amount_24h * math.exp((landmarks_s[3] - time_s) / taus_s[3])
            out[i, 4] = of.labels_30d * month
            out[i, 5] = of.unexplained_30d * math.exp((landmarks_s[5] - time_s) / taus_s[5])
            out[i, 6] = of.run
            out[i, 7] = of.run_start_s
            out[i, 8] = of.run_last_s
            out[i, 9] = of.legit_since
            out[i, 10] = of.first_s
        for place in range(1, rows.shape[1]):
            if rows[i, place] >= 0:
                of = table[rows[i, place]]
                out[i, 11] = max(out[i, 11], of.count_1h * hour)
                out[i, 12] = max(out[i, 12], of.labels_30d * month)


@kernel
def see(
    table: Table,
    rows: Ints,
    times_s: Ints,
    amounts: npt.NDArray[np.float32],
    landmarks_s: Ints,
    taus_s: Floats,
) -> None:
    """Count n watched events at the rows (n, E) of their entities, negative = none."""
    for i in range(rows.shape[0]):
        for place in range(rows.shape[1]):
            if rows[i, place] >= 0 and table[rows[i, place]].first_s == 0:
                table[rows[i, place]].first_s = _NEVER
    for i in range(rows.shape[0]):
        time_s = times_s[i]
        hour = math.exp((time_s - landmarks_s[0]) / taus_s[0])
        day = math.exp((time_s - landmarks_s[1]) / taus_s[1])
        week = math.exp((time_s - landmarks_s[2]) / taus_s[2])
        spent = math.exp((time_s - landmarks_s[3]) / taus_s[3]) * amounts[i]
        for place in range(rows.shape[1]):
            if rows[i, place] >= 0:
                of = table[rows[i, place]]
                of.count_1h += hour
                of.count_24h += day
                of.count_7d += week
                of.amount_24h += spent
                of.first_s = min(of.first_s, time_s)
                of.last_s = max(of.last_s, time_s)


@kernel
def label(
    table: Table, rows: Ints, usual: Bools, times_s: Ints, landmarks_s: Ints, taus_s: Floats
) -> None:
    """Count n confirmed frauds, labelled at `times_s`, at the rows (n, E) of their entities."""
    for i in range(rows.shape[0]):
        all_frauds = math.exp((times_s[i] - landmarks_s[4]) / taus_s[4])
        unexplained = math.exp((times_s[i] - landmarks_s[5]) / taus_s[5]) * usual[i]
        for place in range(rows.shape[1]):
            if rows[i, place] >= 0:
                table[rows[i, place]].labels_30d += all_frauds
                table[rows[i, place]].unexplained_30d += unexplained


@kernel
def settle(table: Table, rows: Ints, fraud: Bools, times_s: Ints) -> None:
    """Advance the runs of frauds at the rows (n, E) by n payments in order."""
    for i in range(rows.shape[0]):
        for place in range(rows.shape[1]):
            if rows[i, place] < 0:
                continue
            of = table[rows[i, place]]
            if not fraud[i]:
                of.legit_since += 1
                continue
            if of.legit_since > 0 or of.run == 0:
                of.run = 0
                of.run_start_s = times_s[i]
            of.run += 1
            of.run_last_s = times_s[i]
            of.legit_since = 0
