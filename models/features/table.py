"""The feature set: one table of every feature with its type, unit, default and meaning.

The table's order is the order of the frame's columns and of the model's input. A change of a name,
a type, a unit, a default or the code behind a feature (`CODE_VERSION`) makes another feature set; a
model that was trained on the old set is refused.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import polars as pl

from schemas.events.kinds import Kind

Unit = Literal["count", "s", "money", "ratio", "probability", "flag", "hour", "day"]

CODE_VERSION = 2
NEVER_S = 10 * 365 * 86_400.0
"""Recency of something that never happened: ten years."""

WINDOWS_S = {"1h": 3_600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
GROUPS: dict[str, tuple[Kind, ...]] = {
    "browse": (Kind.VIEW, Kind.SEARCH, Kind.OTHER, Kind.RATE, Kind.IDENTIFY),
    "intent": (Kind.CART, Kind.REMOVE),
    "purchase": (Kind.PURCHASE,),
    "payment": (Kind.PAYMENT, Kind.LOGIN),
    "trouble": (Kind.SUPPORT, Kind.CANCEL),
}
RECENCY_KINDS = (
    Kind.VIEW,
    Kind.CART,
    Kind.PURCHASE,
    Kind.SEARCH,
    Kind.SUPPORT,
    Kind.CANCEL,
    Kind.PAYMENT,
    Kind.LOGIN,
)


class Feature(NamedTuple):
    """One feature of the set.

    Attributes
    ----------
    name
        Column name.
    dtype
        Polars type of the column.
    unit
        Unit of a value; it decides how the value is scaled for the network.
    default
        Value where there is nothing to compute the feature from.
    meaning
        One line; "window" means the user's last L events, "now" the moment of the decision.
    """

    name: str
    dtype: type[pl.DataType]
    unit: Unit
    default: float
    meaning: str


def _counts() -> list[Feature]:
    rows = [
        Feature(f"{group}_{span}", pl.UInt16, "count", 0, f"{group} events of the last {span}")
        for group in GROUPS
        for span in WINDOWS_S
    ]
    rows += [
        Feature(f"events_{span}", pl.UInt16, "count", 0, f"events of the last {span}")
        for span in WINDOWS_S
    ]
    return rows


def _recencies() -> list[Feature]:
    return [
        Feature(
            f"since_{kind.name.lower()}_s",
            pl.Float64,
            "s",
            NEVER_S,
            f"since the last {kind.name.lower()} of the window",
        )
        for kind in RECENCY_KINDS
    ]


F64, U16, U8 = pl.Float64, pl.UInt16, pl.UInt8
FEATURES: tuple[Feature, ...] = (
    *_counts(),
    *_recencies(),
    # gaps between neighbouring events of the window
    Feature("recency_s", F64, "s", 0, "since the user's newest event"),
    Feature("gap_last_s", F64, "s", 0, "between the last two events"),
    Feature("gap_mean_s", F64, "s", 0, "mean gap"),
    Feature("gap_max_s", F64, "s", 0, "longest gap"),
    Feature("gap_std_s", F64, "s", 0, "standard deviation of the gaps"),
    Feature("quiet_over_gap_mean", F64, "ratio", 0, "recency or last gap, over the mean gap"),
    Feature("quiet_over_gap_max", F64, "ratio", 0, "recency or last gap, over the longest gap"),
    # sessions: a new one starts after 30 minutes without an event
    Feature("session_s", F64, "s", 0, "length of the current session so far"),
    Feature("session_events", U16, "count", 0, "events of the current session so far"),
    Feature("session_items", U16, "count", 0, "distinct items of the current session so far"),
    Feature("session_spend", F64, "money", 0, "amounts of the current session so far"),
    Feature("sessions_window", U16, "count", 0, "sessions in the window"),
    Feature("session_events_mean", F64, "count", 0, "events per session in the window"),
    # amounts
    *(
        Feature(f"amount_{span}", F64, "money", 0, f"amounts of the last {span}")
        for span in WINDOWS_S
    ),
    Feature("amount_last", F64, "money", 0, "amount of the last event"),
    Feature("amount_mean", F64, "money", 0, "mean of the window's amounts above 0"),
    Feature("amount_max", F64, "money", 0, "largest amount of the window"),
    Feature("amount_max_7d", F64, "money", 0, "largest amount of the last 7 d"),
    Feature("amount_last_over_mean", F64, "ratio", 1, "last amount over the mean of those before"),
    Feature("amount_last_over_max", F64, "ratio", 1, "last amount over the largest before"),
    Feature("paid_last_over_mean", F64, "ratio", 1, "last payment over the mean of all before"),
    Feature("paid_last_over_max", F64, "ratio", 1, "last payment over the largest ever"),
    # variety
    Feature("items_window", U16, "count", 0, "distinct items in the window"),
    Feature("items_24h", U16, "count", 0, "distinct items of the last 24 h"),
    Feature("categories_window", U16, "count", 0, "distinct categories in the window"),
    Feature("item_repeats", U16, "count", 0, "earlier events of the window with the last item"),
    # velocity
    Feature("events_5m", U16, "count", 0, "events of the last 5 minutes"),
    Feature("velocity_5m", F64, "ratio", 1, "rate of the last 5 minutes over the window's own"),
    Feature("velocity_1h", F64, "ratio", 1, "rate of the last hour over the window's own"),
    Feature("velocity_24h", F64, "ratio", 1, "rate of the last 24 h over the lifetime's"),
    # the user's whole life, from the running sums
    Feature("tenure_s", F64, "s", 0, "since the first event ever"),
    Feature("events_total", F64, "count", 0, "events ever"),
    Feature("purchases_total", F64, "count", 0, "purchase rows ever (one per product)"),
    Feature("payments_total", F64, "count", 0, "payments ever"),
    Feature("cancels_total", F64, "count", 0, "cancellations ever"),
    Feature("sessions_total", F64, "count", 0, "sessions ever"),
    Feature("active_days", F64, "count", 0, "days with an event, ever"),
    Feature("active_share", F64, "ratio", 1, "active days over days of tenure"),
    Feature("spend_total", F64, "money", 0, "purchases ever"),
    Feature("since_purchase_ever_s", F64, "s", NEVER_S, "since the last purchase ever"),
    Feature("gap_days_mean", F64, "day", 0, "mean gap between active days"),
    Feature("gap_days_std", F64, "day", 0, "standard deviation of the gaps between active days"),
    Feature("gap_days_max", F64, "day", 0, "longest gap between active days"),
    Feature("gap_days_last", F64, "day", 0, "latest gap between active days"),
    Feature("gap_days_second", F64, "day", 0, "second latest gap between active days"),
    Feature("gap_days_third", F64, "day", 0, "third latest gap between active days"),
    Feature("gap_days_median", F64, "day", 0, "median of the latest 8 gaps between active days"),
    Feature("gap_days_longer", F64, "ratio", 0, "share of those 8 at least as long as the recency"),
    Feature("recency_over_gap_days_median", F64, "ratio", 0, "recency over gap_days_median"),
    Feature("recency_over_gap_days", F64, "ratio", 0, "recency over gap_days_mean"),
    Feature("recency_over_gap_days_max", F64, "ratio", 0, "recency over gap_days_max"),
    *(Feature(f"visits_{d}d", F64, "count", 0, f"sessions, decayed over {d} d") for d in (15, 45)),
    Feature("visits_120d", F64, "count", 0, "sessions, decayed over 120 d"),
    Feature("visits_trend", F64, "ratio", 1, "share of recent sessions: 15 d over 120 d, scaled"),
    *(Feature(f"spend_{d}d", F64, "money", 0, f"spend, decayed over {d} d") for d in (15, 45)),
    Feature("spend_120d", F64, "money", 0, "spend, decayed over 120 d"),
    Feature("spend_trend", F64, "ratio", 1, "share of recent spend: 15 d over 120 d, scaled"),
    Feature("quiet_30d", F64, "probability", 1, "gamma-Poisson chance of no active day in 30 d"),
    Feature("quiet_90d", F64, "probability", 1, "gamma-Poisson chance of no active day in 90 d"),
    Feature("order_days", F64, "count", 0, "days with a purchase, ever"),
    Feature("no_order_90d", F64, "probability", 1, "gamma-Poisson chance of no purchase in 90 d"),
    # the risk entity that the trigger names (terminal, device, ...), live over all its users
    Feature("entity_new", U8, "flag", 0, "1 if the entity is new in the user's window"),
    Feature("entities_window", U16, "count", 0, "distinct entities in the window"),
    Feature("entity_count_1h", F64, "count", 0, "events at the entity, decayed over 1 h"),
    Feature("entity_count_24h", F64, "count", 0, "events at the entity, decayed over 24 h"),
    Feature("entity_count_7d", F64, "count", 0, "events at the entity, decayed over 7 d"),
    Feature("entity_surge", F64, "ratio", 0, "the entity's rate of the last hour over its week's"),
    Feature("entity_amount_mean", F64, "money", 0, "mean amount at the entity over 24 h"),
    Feature("entity_labels_30d", F64, "count", 0, "confirmed frauds there, decayed over 30 d"),
    Feature("entity_label_share", F64, "ratio", 0, "confirmed frauds over events, both decayed"),
    Feature("entity_unexplained", F64, "count", 0, "frauds there of an amount usual for the user"),
    Feature("entity_run", F64, "count", 0, "length of the latest run of confirmed frauds there"),
    Feature("entity_run_age_s", F64, "s", NEVER_S, "since that run began"),
    Feature("since_entity_fraud_s", F64, "s", NEVER_S, "since the last fraud there"),
    Feature("entity_legit_since", F64, "count", 0, "later payments old enough to be known good"),
    Feature("entity_age_s", F64, "s", 0, "since the entity was first seen"),
    Feature("others_count_1h", F64, "count", 0, "busiest other entity, decayed over 1 h"),
    Feature("others_labels_30d", F64, "count", 0, "most confirmed frauds of another entity"),
    Feature("user_labels", F64, "count", 0, "the user's own confirmed frauds"),
    Feature("since_user_label_s", F64, "s", NEVER_S, "since the user's last confirmed fraud"),
    # the moment
    Feature("hour", U8, "hour", 0, "hour of the day of now, UTC"),
    Feature("weekday", U8, "day", 0, "day of the week of now, Monday = 0, UTC"),
    Feature("window_events", U16, "count", 0, "events in the window"),
)
"""The table. Times are in seconds, money in the product's own unit."""

NAMES = tuple(feature.name for feature in FEATURES)
FEATURE_SET_HASH = hashlib.sha256(
    "\n".join(
        [f"code {CODE_VERSION}"]
        + [f"{f.name} {f.dtype.__name__} {f.unit} {f.default}" for f in FEATURES]
    ).encode()
).hexdigest()
"""Hash of names, types, units, defaults and code version; a model stores that of its training."""
