"""Features: windows -> numbers in the feature set's fixed order.

Features are a pure function of (window, now), for serving, training, replay and explanation alike.
`aggregates` reduces the events; everything derived from its numbers is a line here, on whole
columns. A row's values are bit for bit the same in any batch.

The columns are numpy arrays: as 115 Polars expressions, or as 115 Polars series, the same numbers
took most of the time of a batch of one or two decisions (ADR 0010). `as_frame` makes a Polars frame
where somebody wants names and types.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from models.elementwise import exp, log
from models.features.aggregates import Columns, aggregate
from models.features.table import (
    FEATURE_SET_HASH,
    FEATURES,
    NAMES,
    Feature,
)
from models.features.windows import Windows

__all__ = ["FEATURES", "FEATURE_SET_HASH", "NAMES", "Feature", "as_frame", "compute"]

DAY_S = 86_400.0
PER_DAY = 1.0 / DAY_S
PRIOR_DAYS = 30.0  # gamma prior of the rate of active days: one in 30 days
PRIOR_COUNT = 1.0

Floats = npt.NDArray[np.float64]
Column = npt.NDArray[Any]

_NUMPY: dict[type[pl.DataType], npt.DTypeLike] = {
    pl.Float64: np.float64,
    pl.UInt16: np.uint16,
    pl.UInt8: np.uint8,
}
_TYPES = [(feature.name, _NUMPY[feature.dtype]) for feature in FEATURES]


def compute(windows: Windows) -> Floats:
    """Features of D decision points, float64 (D, F), in the order of `FEATURES`.

    A feature of an integer type is cut to that type's whole numbers.
    """
    columns = aggregate(windows)
    columns |= _derived(columns)
    out = np.empty((len(windows), len(_TYPES)))
    for at, (name, kind) in enumerate(_TYPES):
        out[:, at] = columns[name].astype(kind, copy=False)
    return out


def as_frame(features: Floats) -> pl.DataFrame:
    """Features (D, F) as a frame with the names and types of `FEATURES`."""
    frame = pl.from_numpy(features, schema=list(NAMES))
    return frame.select(pl.col(feature.name).cast(feature.dtype) for feature in FEATURES)


def _over(part: Column, whole: Column, default: float) -> Floats:
    """Part / whole (D,), `default` where whole isn't above 0."""
    out = np.full(part.shape, default)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _rate(count: Column, span_s: float, whole: Column, whole_s: Column) -> Floats:
    """Events per second in a span, over events per second in a longer span that contains it."""
    longer = np.maximum(whole_s, span_s)
    return _over(count * longer, whole * span_s, 0.0)


def _quiet(tenure_s: Column, days: Column, horizon_days: float) -> Floats:
    """Chance of no active (or order) day in the horizon, with a gamma-Poisson rate of such days.

    With a gamma(r, a) prior of the rate, k such days after the first in T days give
    P(none in h) = ((a + T) / (a + T + h)) ** (r + k).
    """
    exposure = tenure_s * PER_DAY + PRIOR_DAYS
    shape = np.maximum(days - 1, 0) + PRIOR_COUNT
    chance: Floats = exp(log(exposure / (exposure + horizon_days)) * shape)
    return chance


def _derived(of: Columns) -> Columns:
    """Features (D,) that are not columns of `aggregate` already."""
    quiet_s = np.maximum(of["recency_s"], of["gap_last_s"])
    own_span_s = of["now_s"] - of["first_in_window_s"]
    days = np.maximum(of["active_days"] - 1, 0)
    gap_days = _over(of["span_days"], days, 0.0)
    spread = np.maximum(_over(of["gap_days_sumsq"], days, 0.0) - gap_days * gap_days, 0.0)
    quiet_days = of["recency_s"] * PER_DAY
    money, paid = of["money_last"], of["paid_last"]
    paying = (paid > 0) & (of["payments"] > 1)
    labels, week = of["entity_labels_30d"], of["entity_count_7d"]
    last_over_mean = _over(money * of["earlier_count"], of["earlier_sum"], 1.0)
    paid_over_mean = _over(paid * (of["payments"] - 1), of["paid_sum"] - paid, 1.0)
    return {
        "quiet_over_gap_mean": _over(quiet_s, of["gap_mean_s"], 0.0),
        "quiet_over_gap_max": _over(quiet_s, of["gap_max_s"], 0.0),
        "session_events_mean": of["window_events"] / of["sessions_window"],
        "amount_mean": _over(of["money_sum"], of["money_count"], 0.0),
        "amount_last_over_mean": np.where(money > 0, last_over_mean, 1.0),
        "amount_last_over_max": np.where(money > 0, _over(money, of["earlier_max"], 1.0), 1.0),
        "paid_last_over_mean": np.where(paying, paid_over_mean, 1.0),
        "paid_last_over_max": np.where(paying, _over(paid, of["paid_max"], 1.0), 1.0),
        "velocity_5m": _rate(of["events_5m"], 300.0, of["window_events"], own_span_s),
        "velocity_1h": _rate(of["events_1h"], 3_600.0, of["window_events"], own_span_s),
        "velocity_24h": _rate(of["events_24h"], DAY_S, of["events"], of["tenure_s"]),
        "active_share": of["active_days"] / (of["tenure_s"] * PER_DAY + 1.0),
        "gap_days_mean": gap_days,
        "gap_days_std": np.sqrt(spread),
        "gap_days_last": of["day_gap_1"],
        "gap_days_second": of["day_gap_2"],
        "gap_days_third": of["day_gap_3"],
        "gap_days_longer": _over(of["gaps_longer"], of["gap_days_known"], 0.0),
        "recency_over_gap_days_median": _over(quiet_days, of["gap_days_median"], 0.0),
        "recency_over_gap_days": _over(quiet_days, gap_days, 0.0),
        "recency_over_gap_days_max": _over(quiet_days, of["gap_days_max"], 0.0),
        "visits_trend": _over(of["visits_15d"] * 8.0, of["visits_120d"], 1.0),
        "spend_trend": _over(of["spend_15d"] * 8.0, of["spend_120d"], 1.0),
        "quiet_30d": _quiet(of["tenure_s"], of["active_days"], 30.0),
        "quiet_90d": _quiet(of["tenure_s"], of["active_days"], 90.0),
        "no_order_90d": _quiet(of["tenure_s"], of["order_days"], 90.0),
        "entity_surge": _over(of["entity_count_1h"] * 168.0, week, 0.0),
        "entity_amount_mean": _over(of["entity_amount_24h"], of["entity_count_24h"], 0.0),
        "entity_label_share": labels / (labels + week + 1.0),
        "hour": of["now_s"] % 86_400 // 3_600,
        "weekday": (of["now_s"] // 86_400 + 3) % 7,  # 1970-01-01 was a Thursday
        **{f"{what}_total": of[what] for what in _LIFELONG},
        "entity_unexplained": of["entity_unexplained_30d"],
    }


_LIFELONG = ("events", "purchases", "payments", "cancels", "sessions", "spend")
