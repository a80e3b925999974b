"""Features: windows -> numbers in the feature set's fixed order.

Features are a pure function of (window, now), for serving, training, replay and explanation alike.
`aggregates` reduces the events; everything derived from its numbers is a line here, row by row. A
row's values are bit for bit the same in any batch.

Both are compiled loops: as 115 Polars expressions, or as 300 numpy calls, the same numbers took
most of the time of a batch of one or two decisions (ADR 0010). `as_frame` makes a Polars frame
where somebody wants names and types.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from models.features.aggregates import BASE, Row, aggregate, records
from models.features.table import (
    FEATURE_SET_HASH,
    FEATURES,
    NAMES,
    Feature,
)
from models.features.windows import Windows
from models.kernel import kernel

__all__ = ["FEATURES", "FEATURE_SET_HASH", "NAMES", "Feature", "as_frame", "compute"]

DAY_S = 86_400.0
PER_DAY = 1.0 / DAY_S
PRIOR_DAYS = 30.0  # gamma prior of the rate of active days: one in 30 days
PRIOR_COUNT = 1.0

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Records = npt.NDArray[Any]

_WHOLE: dict[type[pl.DataType], int] = {pl.UInt16: 0xFFFF, pl.UInt8: 0xFF}
_MASKS = np.array([_WHOLE.get(feature.dtype, 0) for feature in FEATURES], np.int64)  # 0 = a float
_RECORD = np.dtype([(name, np.float64) for name in NAMES])
_FROM_BASE = np.array([BASE.index(name) if name in BASE else -1 for name in NAMES], np.int64)


def compute(windows: Windows) -> Floats:
    """Features of D decision points, float64 (D, F), in the order of `FEATURES`.

    A feature of an integer type is cut to that type's whole numbers.
    """
    base = aggregate(windows)
    out = np.full((len(windows), len(NAMES)), np.nan)  # a feature without a line here shows
    _derive(records(base), out.view(_RECORD)[:, 0])
    _finish(base, _FROM_BASE, _MASKS, out)
    return out


def as_frame(features: Floats) -> pl.DataFrame:
    """Features (D, F) as a frame with the names and types of `FEATURES`."""
    frame = pl.from_numpy(features, schema=list(NAMES))
    return frame.select(pl.col(feature.name).cast(feature.dtype) for feature in FEATURES)


@kernel
def _finish(base: Floats, from_base: Ints, masks: Ints, out: Floats) -> None:
    """Copy the features that are base columns, and cut those of integer types."""
    for d in range(len(out)):
        for f in range(len(from_base)):
            if from_base[f] >= 0:
                out[d, f] = base[d, from_base[f]]
            if masks[f]:
                out[d, f] = int(out[d, f]) & masks[f]


@kernel
def _over(part: float, whole: float, default: float) -> float:
    """Part / whole, `default` where whole isn't above 0."""
    return part / whole if whole > 0 else default


@kernel
def _rate(count: float, span_s: float, whole: float, whole_s: float) -> float:
    """Events per second in a span, over events per second in a longer span that contains it."""
    return _over(count * max(whole_s, span_s), whole * span_s, 0.0)


@kernel
def _quiet(tenure_s: float, days: float, horizon_days: float) -> float:
    """Chance of no active (or order) day in the horizon, with a gamma-Poisson rate of such days.

    With a gamma(r, a) prior of the rate, k such days after the first in T days give
    P(none in h) = ((a + T) / (a + T + h)) ** (r + k).
    """
    exposure = tenure_s * PER_DAY + PRIOR_DAYS
    shape = max(days - 1, 0) + PRIOR_COUNT
    return math.exp(math.log(exposure / (exposure + horizon_days)) * shape)


@kernel
def _derive(base: Records, out: Records) -> None:
    """Write the features that are not base columns: D records of `BASE` -> D of `NAMES`."""
    for d in range(len(base)):
        _derive_row(base[d], out[d])


@kernel
def _derive_row(of: Row, to: Row) -> None:
    quiet_s = max(of.recency_s, of.gap_last_s)
    to.quiet_over_gap_mean = _over(quiet_s, of.gap_mean_s, 0.0)
    to.quiet_over_gap_max = _over(quiet_s, of.gap_max_s, 0.0)
    to.session_events_mean = of.window_events / of.sessions_window

    money, paid = of.money_last, of.paid_last
    spent, paying = money > 0, paid > 0 and of.payments > 1
    last_over_mean = _over(money * of.earlier_count, of.earlier_sum, 1.0)
    paid_over_mean = _over(paid * (of.payments - 1), of.paid_sum - paid, 1.0)
    to.amount_mean = _over(of.money_sum, of.money_count, 0.0)
    to.amount_last_over_mean = last_over_mean if spent else 1.0
    to.amount_last_over_max = _over(money, of.earlier_max, 1.0) if spent else 1.0
    to.paid_last_over_mean = paid_over_mean if paying else 1.0
    to.paid_last_over_max = _over(paid, of.paid_max, 1.0) if paying else 1.0

    own_span_s = of.now_s - of.first_in_window_s
    to.velocity_5m = _rate(of.events_5m, 300.0, of.window_events, own_span_s)
    to.velocity_1h = _rate(of.events_1h, 3_600.0, of.window_events, own_span_s)
    to.velocity_24h = _rate(of.events_24h, DAY_S, of.events, of.tenure_s)

    days = max(of.active_days - 1, 0)
    gap_days = _over(of.span_days, days, 0.0)
    spread = max(_over(of.gap_days_sumsq, days, 0.0) - gap_days * gap_days, 0.0)
    quiet_days = of.recency_s * PER_DAY
    to.active_share = of.active_days / (of.tenure_s * PER_DAY + 1.0)
    to.gap_days_mean = gap_days
    to.gap_days_std = math.sqrt(spread)
    to.gap_days_last = of.day_gap_1
    to.gap_days_second = of.day_gap_2
    to.gap_days_third = of.day_gap_3
    to.gap_days_longer = _over(of.gaps_longer, of.gap_days_known, 0.0)
    to.recency_over_gap_days_median = _over(quiet_days, of.gap_days_median, 0.0)
    to.recency_over_gap_days = _over(quiet_days, gap_days, 0.0)
    to.recency_over_gap_days_max = _over(quiet_days, of.gap_days_max, 0.0)
    to.visits_trend = _over(of.visits_15d * 8.0, of.visits_120d, 1.0)
    to.spend_trend = _over(of.spend_15d * 8.0, of.spend_120d, 1.0)
    to.quiet_30d = _quiet(of.tenure_s, of.active_days, 30.0)
    to.quiet_90d = _quiet(of.tenure_s, of.active_days, 90.0)
    to.no_order_90d = _quiet(of.tenure_s, of.order_days, 90.0)
    to.events_total = of.events
    to.purchases_total = of.purchases
    to.payments_total = of.payments
    to.cancels_total = of.cancels
    to.sessions_total = of.sessions
    to.spend_total = of.spend

    labels, week = of.entity_labels_30d, of.entity_count_7d
    to.entity_surge = _over(of.entity_count_1h * 168.0, week, 0.0)
    to.entity_amount_mean = _over(of.entity_amount_24h, of.entity_count_24h, 0.0)
    to.entity_label_share = labels / (labels + week + 1.0)
    to.entity_unexplained = of.entity_unexplained_30d

    to.hour = of.now_s % DAY_S // 3_600
    to.weekday = (of.now_s // DAY_S + 3) % 7  # 1970-01-01 was a Thursday
