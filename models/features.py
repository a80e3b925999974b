"""Features: windows -> a Polars frame in the feature set's fixed order.

A pure function of (window, now), for serving, training, replay and explanation alike. What has to
look at the events is reduced in `aggregates`; everything derived from those numbers is a Polars
expression here. A row's values are the same, bit for bit, whatever rows it is computed with.
"""

from __future__ import annotations

import polars as pl

from models.aggregates import aggregate
from models.feature_table import (
    FEATURE_SET_HASH,
    FEATURES,
    NAMES,
    Feature,
)
from models.windows import Windows

__all__ = ["FEATURES", "FEATURE_SET_HASH", "NAMES", "Feature", "compute"]

# Never divide a column by a literal: Polars multiplies by the reciprocal, but not in frames of
# one row, so a row's last bit would depend on its company. Column by column is safe.
DAY_S = 86_400.0
PER_DAY = 1.0 / DAY_S
PRIOR_DAYS = 30.0  # gamma prior of the rate of active days: one in 30 days, weight of half a day
PRIOR_COUNT = 1.0


def compute(windows: Windows) -> pl.DataFrame:
    """The features of D decision points -> frame (D, F), columns and types as in `FEATURES`."""
    return pl.DataFrame(aggregate(windows)).select(_EXPRESSIONS)


def _over(part: pl.Expr, whole: pl.Expr, default: float) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole).otherwise(default)


def _rate(count: pl.Expr, span_s: float, whole: pl.Expr, whole_s: pl.Expr) -> pl.Expr:
    """Events per second in a span, over those of a longer one that holds it."""
    longer = pl.max_horizontal(whole_s, pl.lit(span_s))
    return count * longer / (whole * span_s)


def _quiet(days: str, horizon_days: float) -> pl.Expr:
    """Chance of no such day in the horizon under a gamma-Poisson rate of active or order days.

    With a gamma(r, a) prior of the rate, k active days after the first in T days give
    P(none in h) = ((a + T) / (a + T + h)) ** (r + k).
    """
    exposure = pl.col("tenure_s") * PER_DAY + PRIOR_DAYS
    shape = (pl.col(days) - 1).clip(lower_bound=0) + PRIOR_COUNT
    return ((exposure / (exposure + horizon_days)).log() * shape).exp()


def _derived() -> dict[str, pl.Expr]:
    """Features that are not columns of `aggregate` already."""
    col = pl.col
    quiet_s = pl.max_horizontal(col("recency_s"), col("gap_last_s"))
    own_span_s = col("now_s") - col("first_in_window_s")
    days = (col("active_days") - 1).clip(lower_bound=0)
    gap_days = _over(col("span_days"), days, 0.0)
    spread = (_over(col("gap_days_sumsq"), days, 0.0) - gap_days * gap_days).clip(lower_bound=0)
    quiet_days = col("recency_s") * PER_DAY
    money = col("money_last")
    paid = col("paid_last")
    paying = (paid > 0) & (col("payments") > 1)
    labels, week = col("entity_labels_30d"), col("entity_count_7d")
    return {
        "quiet_over_gap_mean": _over(quiet_s, col("gap_mean_s"), 0.0),
        "quiet_over_gap_max": _over(quiet_s, col("gap_max_s"), 0.0),
        "session_events_mean": col("window_events") / col("sessions_window"),
        "amount_mean": _over(col("money_sum"), col("money_count"), 0.0),
        "amount_last_over_mean": pl.when(money > 0)
        .then(_over(money * col("earlier_count"), col("earlier_sum"), 1.0))
        .otherwise(1.0),
        "amount_last_over_max": pl.when(money > 0)
        .then(_over(money, col("earlier_max"), 1.0))
        .otherwise(1.0),
        "paid_last_over_mean": pl.when(paying)
        .then(_over(paid * (col("payments") - 1), col("paid_sum") - paid, 1.0))
        .otherwise(1.0),
        "paid_last_over_max": pl.when(paying)
        .then(_over(paid, col("paid_max"), 1.0))
        .otherwise(1.0),
        "velocity_5m": _rate(col("events_5m"), 300.0, col("window_events"), own_span_s),
        "velocity_1h": _rate(col("events_1h"), 3_600.0, col("window_events"), own_span_s),
        "velocity_24h": _rate(col("events_24h"), DAY_S, col("events"), col("tenure_s")),
        "active_share": col("active_days") / (col("tenure_s") * PER_DAY + 1.0),
        "gap_days_mean": gap_days,
        "gap_days_std": spread.sqrt(),
        "gap_days_last": col("day_gap_1"),
        "gap_days_second": col("day_gap_2"),
        "gap_days_third": col("day_gap_3"),
        "gap_days_longer": _over(col("gaps_longer"), col("gap_days_known"), 0.0),
        "recency_over_gap_days_median": _over(quiet_days, col("gap_days_median"), 0.0),
        "recency_over_gap_days": _over(quiet_days, gap_days, 0.0),
        "recency_over_gap_days_max": _over(quiet_days, col("gap_days_max"), 0.0),
        "visits_trend": _over(col("visits_15d") * 8.0, col("visits_120d"), 1.0),
        "spend_trend": _over(col("spend_15d") * 8.0, col("spend_120d"), 1.0),
        "quiet_30d": _quiet("active_days", 30.0),
        "quiet_90d": _quiet("active_days", 90.0),
        "no_order_90d": _quiet("order_days", 90.0),
        "entity_surge": _over(col("entity_count_1h") * 168.0, week, 0.0),
        "entity_amount_mean": _over(col("entity_amount_24h"), col("entity_count_24h"), 0.0),
        "entity_label_share": labels / (labels + week + 1.0),
        "hour": col("now_s") % 86_400 // 3_600,
        "weekday": (col("now_s") // 86_400 + 3) % 7,  # 1970-01-01 was a Thursday
        **{f"{what}_total": col(what) for what in _LIFELONG},
        "entity_unexplained": col("entity_unexplained_30d"),
    }


_LIFELONG = ("events", "purchases", "payments", "cancels", "sessions", "spend")
_DERIVED = _derived()
_EXPRESSIONS = [_DERIVED.get(f.name, pl.col(f.name)).cast(f.dtype).alias(f.name) for f in FEATURES]
