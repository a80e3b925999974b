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
    NEVER_S,
    RECENCY_KINDS,
    Feature,
)
from models.windows import Windows

__all__ = ["FEATURES", "FEATURE_SET_HASH", "NAMES", "Feature", "compute"]

DAY_S = 86_400.0
PRIOR_DAYS = 30.0  # gamma prior of the rate of active days: one in 30 days, weight of half a day
PRIOR_COUNT = 1.0


def compute(windows: Windows) -> pl.DataFrame:
    """The features of D decision points -> frame (D, F), columns and types as in `FEATURES`."""
    return pl.DataFrame(aggregate(windows)).select(_EXPRESSIONS)


def _over(part: pl.Expr, whole: pl.Expr, default: float) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole).otherwise(default)


def _since(time: str, default: float = NEVER_S) -> pl.Expr:
    """Seconds from `time` to now, never negative; `default` where the time is 0."""
    passed = (pl.col("now_s") - pl.col(time)).clip(lower_bound=0).cast(pl.Float64)
    return pl.when(pl.col(time) > 0).then(passed).otherwise(default)


def _decayed(name: str, days: float) -> pl.Expr:
    """A running sum that stood at `last_s`, decayed to now."""
    return pl.col(name) * (-_since("last_s", 0.0) / (days * DAY_S)).exp()


def _quiet(horizon_days: float) -> pl.Expr:
    """Chance of no active day in the horizon under a gamma-Poisson rate of active days.

    Fader & Hardie's count model: with a gamma(r, a) prior, k active days after the first in T
    days give P(none in h) = ((a + T) / (a + T + h)) ** (r + k).
    """
    exposure = PRIOR_DAYS + _since("first_s", 0.0) / DAY_S
    shape = PRIOR_COUNT + (pl.col("active_days") - 1).clip(lower_bound=0)
    return ((exposure / (exposure + horizon_days)).log() * shape).exp()


def _derived() -> dict[str, pl.Expr]:
    """Features that are not columns of `aggregate` already."""
    col = pl.col
    recency = _since("newest_s", 0.0)
    quiet = pl.max_horizontal(recency, col("gap_last_s").cast(pl.Float64))
    own_span = (col("now_s") - col("first_in_window_s")).cast(pl.Float64)
    days = (col("active_days") - 1).clip(lower_bound=0)
    span_days = (col("last_s") / DAY_S).floor() - (col("first_s") / DAY_S).floor()
    gap_days = _over(span_days, days, 0.0)
    spread = (_over(col("gap_days_sumsq"), days, 0.0) - gap_days * gap_days).clip(lower_bound=0)
    paid_before = col("paid_sum") - col("amount_last")
    paying = (col("money_last") > 0) & (col("payments") > 1)
    labels = col("live_entity_labels_30d")
    visits, spend = _decayed("visits_120d", 120), _decayed("spend_120d", 120)
    return {
        **{f"since_{k.name.lower()}_s": _since(f"last_{k.name.lower()}_s") for k in RECENCY_KINDS},
        "recency_s": recency,
        "quiet_over_gap_mean": _over(quiet, col("gap_mean_s"), 0.0),
        "quiet_over_gap_max": _over(quiet, col("gap_max_s"), 0.0),
        "session_events_mean": col("n") / col("sessions_window"),
        "amount_mean": _over(col("money_sum"), col("money_count"), 0.0),
        "amount_last_over_mean": pl.when(col("money_last") > 0)
        .then(_over(col("money_last") * col("earlier_count"), col("earlier_sum"), 1.0))
        .otherwise(1.0),
        "amount_last_over_max": pl.when(col("money_last") > 0)
        .then(_over(col("money_last"), col("earlier_max"), 1.0))
        .otherwise(1.0),
        "paid_last_over_mean": pl.when(paying)
        .then(_over(col("amount_last") * (col("payments") - 1), paid_before, 1.0))
        .otherwise(1.0),
        "paid_last_over_max": pl.when(paying)
        .then(_over(col("amount_last"), col("paid_max"), 1.0))
        .otherwise(1.0),
        "velocity_5m": _rate(col("events_5m"), 300.0, col("n"), own_span),
        "velocity_1h": _rate(col("events_1h"), 3_600.0, col("n"), own_span),
        "velocity_24h": _rate(col("events_24h"), DAY_S, col("events"), _since("first_s", 0.0)),
        "tenure_s": _since("first_s", 0.0),
        "events_total": col("events"),
        "purchases_total": col("purchases"),
        "payments_total": col("payments"),
        "cancels_total": col("cancels"),
        "sessions_total": col("sessions"),
        "active_share": col("active_days") / (_since("first_s", 0.0) / DAY_S + 1.0),
        "spend_total": col("spend"),
        "since_purchase_ever_s": _since("last_purchase_s"),
        "gap_days_mean": gap_days,
        "gap_days_std": spread.sqrt(),
        "recency_over_gap_days": _over(recency / DAY_S, gap_days, 0.0),
        "recency_over_gap_days_max": _over(recency / DAY_S, col("gap_days_max"), 0.0),
        **{f"visits_{d}d": _decayed(f"visits_{d}d", d) for d in (15, 45, 120)},
        **{f"spend_{d}d": _decayed(f"spend_{d}d", d) for d in (15, 45, 120)},
        "visits_trend": _over(_decayed("visits_15d", 15) * 8.0, visits, 1.0),
        "spend_trend": _over(_decayed("spend_15d", 15) * 8.0, spend, 1.0),
        "quiet_30d": _quiet(30.0),
        "quiet_90d": _quiet(90.0),
        **{name: col(f"live_{name}") for name in NAMES if name in _LIVE},
        "entity_surge": _over(
            col("live_entity_count_1h") * 168.0, col("live_entity_count_7d"), 0.0
        ),
        "entity_amount_mean": _over(
            col("live_entity_amount_24h"), col("live_entity_count_24h"), 0.0
        ),
        "entity_label_share": labels / (labels + col("live_entity_count_7d") + 1.0),
        "entity_unexplained": col("live_entity_unexplained_30d"),
        "entity_run_age_s": _since("live_entity_run_start_s"),
        "entity_run_last_s": _since("live_entity_run_last_s"),
        "entity_age_s": _since("live_entity_first_s", 0.0),
        "since_user_label_s": _since("live_user_label_s"),
        "hour": col("now_s") % 86_400 // 3_600,
        "weekday": (col("now_s") // 86_400 + 3) % 7,  # 1970-01-01 was a Thursday
        "window_events": col("n"),
    }


def _rate(count: pl.Expr, span_s: float, whole: pl.Expr, whole_s: pl.Expr) -> pl.Expr:
    """Events per second in a span, over those of a longer one that holds it."""
    longer = pl.max_horizontal(whole_s, pl.lit(span_s))
    return count / span_s / (whole / longer)


_LIVE = frozenset(
    {
        "entity_count_1h",
        "entity_count_24h",
        "entity_count_7d",
        "entity_labels_30d",
        "entity_run",
        "entity_legit_since",
        "others_count_1h",
        "others_labels_30d",
        "user_labels",
    }
)
_DERIVED = _derived()
_EXPRESSIONS = [_DERIVED.get(f.name, pl.col(f.name)).cast(f.dtype).alias(f.name) for f in FEATURES]
