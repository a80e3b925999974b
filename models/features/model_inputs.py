"""Model inputs: windows and their features as arrays of fixed types, with no fitted statistics.

Arrays are padded on the right; `lengths` takes the place of a mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.elementwise import log1p
from models.features.table import FEATURES
from models.features.windows import Windows
from schemas.column_rows import Columns

N_GAPS = 34
"""Gap buckets: 0 = padding, 1 = the same second, then one per power of two up to 2**32 s."""

N_HOURS = 169
"""Hours of the week: 0 = padding, 1 = Monday 00:00 UTC."""

BUCKETS = (8, 16, 32, 64)
"""Lengths that inputs are padded to: most histories are short."""

HOUR_S, WEEK_HOURS = 3_600, 168
EPOCH_HOUR = 72  # the epoch was a Thursday

# A feature's unit decides its scale; all end up within a few units of 0.
_DIVISOR = {"s": 8.0, "count": 2.0, "money": 4.0, "ratio": 1.0, "day": 2.0}
_PLAIN = {"probability": 1.0, "flag": 1.0, "hour": 1 / 12}
_RATIO_TOP = 1e6

_LOGGED = np.array([f.unit in _DIVISOR for f in FEATURES])
_SCALE = np.array([1 / _DIVISOR.get(f.unit, 1.0) * _PLAIN.get(f.unit, 1.0) for f in FEATURES])
_TOP = np.array([_RATIO_TOP if f.unit == "ratio" else np.inf for f in FEATURES])


@dataclass(frozen=True, slots=True)
class ModelInputs(Columns):
    """An engine's input for B decision points.

    Attributes
    ----------
    item_rows
        int64 (B, L): row of the model's item table, 0 = unknown item, none or padding.
    kinds
        int64 (B, L): `schemas.events.kinds.Kind`, 0 = padding.
    gaps
        int64 (B, L): log2 bucket of the seconds to the next event; for the last event, to now.
    hours
        int64 (B, L): hour of the week, 1..168, 0 = padding.
    amounts
        float32 (B, L): sign(amount) * log(1 + |amount|).
    features
        float32 (B, F): finite and scaled, columns as in `FEATURES`.
    lengths
        int64 (B,): events of each row.
    """

    item_rows: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]
    gaps: npt.NDArray[np.int64]
    hours: npt.NDArray[np.int64]
    amounts: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)


def build(
    windows: Windows, features: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]
) -> ModelInputs:
    """Build the inputs of D decision points.

    Parameters
    ----------
    windows, features
        D decision points and their features (D, F) (`features.compute`).
    rows
        int64 (n_items,): model row of each of the worker's items, 0 = unknown to the model.
        Items numbered after `rows` was made are unknown too.
    """
    inside = np.arange(windows.length) < windows.lengths[:, None]  # (D, L)
    known = (windows.items >= 0) & (windows.items < len(rows))
    places = np.where(known, windows.items, 0)
    item_rows = np.where(known, rows[places], 0) if len(rows) else np.zeros_like(places, np.int64)
    return ModelInputs(
        item_rows=item_rows.astype(np.int64),
        kinds=windows.kinds.astype(np.int64),
        gaps=np.where(inside, gap_buckets(_to_next(windows)), 0),
        hours=np.where(inside, hours_of_week(windows.times_s), 0),
        amounts=log_amounts(windows.amounts),
        features=scale(features),
        lengths=windows.lengths.astype(np.int64),
    )


def scale(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Scale features (D, F) for the network: log(1 + |x|) where the unit has a long tail."""
    bounded = np.minimum(np.nan_to_num(features, nan=0.0), _TOP)
    logged = np.sign(bounded) * log1p(np.abs(bounded))
    scaled: npt.NDArray[np.float64] = np.where(_LOGGED, logged, bounded) * _SCALE
    return scaled.astype(np.float32)


def unscale(scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Raw feature values (..., F) of scaled values; a ratio above the bound comes back as it."""
    plain = scaled.astype(np.float64) / _SCALE
    raw: npt.NDArray[np.float64] = np.where(
        _LOGGED, np.sign(plain) * np.expm1(np.abs(plain)), plain
    )
    return raw


def hours_of_week(times_s: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Hour of the week of event times, 1..168."""
    return (times_s // HOUR_S + EPOCH_HOUR) % WEEK_HOURS + 1


def log_amounts(amounts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """log(1 + amount), the sign kept."""
    return (np.sign(amounts) * log1p(np.abs(amounts))).astype(np.float32)


def gap_buckets(seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Bucket of a gap: 1 for 0 s, else 2 + floor(log2(seconds)), at most `N_GAPS` - 1."""
    exponent = np.frexp(np.maximum(seconds, 0).astype(np.float64))[1]  # exact, unlike log2
    return np.minimum(exponent.astype(np.int64) + 1, N_GAPS - 1)


def bucket(lengths: npt.NDArray[np.int64], top: int = BUCKETS[-1]) -> npt.NDArray[np.int64]:
    """The shortest of `BUCKETS` (at most `top`) that holds each length -> int64 (B,)."""
    steps = np.array([step for step in BUCKETS if step < top] + [top], np.int64)
    return steps[np.minimum(np.searchsorted(steps, lengths), len(steps) - 1)]


def _to_next(windows: Windows) -> npt.NDArray[np.int64]:
    """Seconds from each event to the next, and from the last to now -> int64 (D, L)."""
    following = np.empty_like(windows.times_s)
    following[:, :-1] = windows.times_s[:, 1:]
    following[:, -1] = 0
    following[np.arange(len(windows)), windows.lengths - 1] = windows.now_s
    return following - windows.times_s
