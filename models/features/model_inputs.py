"""Model inputs: windows and their features as arrays of fixed types, with no fitted statistics.

Arrays are padded on the right; `lengths` takes the place of a mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.features.table import FEATURES
from models.features.windows import Windows
from models.kernel import kernel
from schemas.column_rows import Columns

Ints = npt.NDArray[np.int64]
Amounts = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

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
_LARGEST = np.finfo(np.float64).max

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
    shape = windows.items.shape
    inputs = ModelInputs(
        item_rows=np.zeros(shape, np.int64),
        kinds=windows.kinds.astype(np.int64),
        gaps=np.zeros(shape, np.int64),
        hours=np.zeros(shape, np.int64),
        amounts=np.zeros(shape, np.float32),
        features=scale(features),
        lengths=windows.lengths.astype(np.int64),
    )
    _build(
        windows.items, windows.times_s, windows.amounts, inputs.lengths, windows.now_s, rows,
        inputs.item_rows, inputs.gaps, inputs.hours, inputs.amounts,
    )  # fmt: skip
    return inputs


def scale(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Scale features (D, F) for the network: log(1 + |x|) where the unit has a long tail."""
    plain = np.ascontiguousarray(features, np.float64)
    scaled = np.empty(plain.shape, np.float32)
    _scale(plain, _LOGGED, _SCALE, _TOP, scaled)
    return scaled


def unscale(scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Raw feature values (..., F) of scaled values; a ratio above the bound comes back as it."""
    plain = scaled.astype(np.float64) / _SCALE
    raw: npt.NDArray[np.float64] = np.where(
        _LOGGED, np.sign(plain) * np.expm1(np.abs(plain)), plain
    )
    return raw


def hours_of_week(times_s: Ints) -> Ints:
    """Hour of the week of event times (n,), 1..168."""
    hours = np.empty_like(times_s)
    _hours(times_s, hours)
    return hours


def log_amounts(amounts: Amounts) -> Amounts:
    """log(1 + amount) of amounts (n,), the sign kept."""
    logged = np.empty_like(amounts)
    _log_amounts(amounts, logged)
    return logged


def gap_buckets(seconds: Ints) -> Ints:
    """Bucket of gaps (n,): 1 for 0 s, else 2 + floor(log2(seconds)), at most `N_GAPS` - 1."""
    buckets = np.empty_like(seconds)
    _gap_buckets(seconds, buckets)
    return buckets


def bucket(lengths: npt.NDArray[np.int64], top: int = BUCKETS[-1]) -> npt.NDArray[np.int64]:
    """The shortest of `BUCKETS` (at most `top`) that holds each length -> int64 (B,)."""
    steps = np.array([step for step in BUCKETS if step < top] + [top], np.int64)
    return steps[np.minimum(np.searchsorted(steps, lengths), len(steps) - 1)]


@kernel
def _build(
    items: npt.NDArray[np.int32],
    times_s: Ints,
    amounts: Amounts,
    lengths: Ints,
    now_s: Ints,
    rows: Ints,
    item_rows: Ints,
    gaps: Ints,
    hours: Ints,
    logged: Amounts,
) -> None:
    """Fill the last four arrays (D, L), which are 0 before; padding keeps the 0."""
    for d in range(len(items)):
        last = lengths[d] - 1
        for place in range(last + 1):
            item, following = items[d, place], now_s[d]
            if place < last:
                following = times_s[d, place + 1]
            if 0 <= item < len(rows):
                item_rows[d, place] = rows[item]
            gaps[d, place] = _gap_bucket(following - times_s[d, place])
            hours[d, place] = _hour(times_s[d, place])
            logged[d, place] = _signed_log(np.float64(amounts[d, place]))


@kernel
def _scale(features: Doubles, logged: Bools, scale: Doubles, top: Doubles, scaled: Amounts) -> None:
    for d in range(features.shape[0]):
        for f in range(features.shape[1]):
            value = features[d, f]
            if math.isnan(value):
                value = 0.0
            value = min(max(value, -_LARGEST), top[f], _LARGEST)
            scaled[d, f] = (_signed_log(value) if logged[f] else value) * scale[f]


@kernel
def _hours(times_s: Ints, hours: Ints) -> None:
    for i in range(len(times_s)):
        hours[i] = _hour(times_s[i])


@kernel
def _log_amounts(amounts: Amounts, logged: Amounts) -> None:
    for i in range(len(amounts)):
        logged[i] = _signed_log(np.float64(amounts[i]))


@kernel
def _gap_buckets(seconds: Ints, buckets: Ints) -> None:
    for i in range(len(seconds)):
        buckets[i] = _gap_bucket(seconds[i])


@kernel
def _hour(time_s: int) -> int:
    return (time_s // HOUR_S + EPOCH_HOUR) % WEEK_HOURS + 1


@kernel
def _gap_bucket(seconds: int) -> int:
    bucket = 1
    while seconds > 0 and bucket < N_GAPS - 1:  # exact, unlike log2
        seconds, bucket = seconds >> 1, bucket + 1
    return bucket


@kernel
def _signed_log(value: float) -> float:
    """Sign of a value times log(1 + |value|), as `models.elementwise` computes it."""
    if value > 0:
        return math.log1p(value)
    return -math.log1p(-value) if value < 0 else 0.0
