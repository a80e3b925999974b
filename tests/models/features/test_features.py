"""Features of histories small enough to check by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.features import aggregates, features
from models.features.aggregates import BASE
from models.features.table import NEVER_S
from models.features.windows import A_NAMES, C_NAMES, Windows
from schemas.events.kinds import Kind
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from tests.streams.event_logs import START_S, Record, columns, numbered

HOUR_S, DAY_S = 3_600, 86_400
MIDNIGHT_S = START_S // DAY_S * DAY_S


def _windows(*events: tuple[float, Kind, str | None, float], entity: int = 0) -> Windows:
    """One user's events, seconds before the last; the window at the last."""
    end = MIDNIGHT_S + 60 * DAY_S + 12 * HOUR_S
    items = ItemTable()
    for name in "abc":
        items.upsert(name, category="letters")
    records = [
        Record(
            time_s=end - int(ago), kind=kind, items=(item,), amount=amount, entities=(entity, 0, 0)
        )
        for ago, kind, item, amount in events
    ]
    windows = Histories(items).apply(columns(numbered(records))).windows
    return windows.take(np.array([len(windows) - 1]))


def _features(windows: Windows) -> dict[str, float]:
    return features.as_frame(features.compute(windows)).row(0, named=True)


DAYS = (
    (40 * DAY_S, Kind.VIEW, "a", 0.0),
    (10 * DAY_S, Kind.PURCHASE, "a", 30.0),
    (10 * DAY_S - 60, Kind.VIEW, "b", 0.0),
    (2 * DAY_S, Kind.SUPPORT, None, 0.0),
    (1_200, Kind.PAYMENT, None, 10.0),
    (240, Kind.VIEW, "b", 0.0),
    (0, Kind.PAYMENT, None, 40.0),
)


def test_the_table_has_unique_names_and_at_least_thirty_features() -> None:
    assert len(set(features.NAMES)) == len(features.FEATURES) >= 30
    assert all(f.meaning and f.unit for f in features.FEATURES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("events_1h", 3),
        ("events_24h", 3),
        ("events_7d", 4),
        ("events_30d", 6),
        ("browse_1h", 1),
        ("browse_30d", 2),
        ("purchase_7d", 0),
        ("purchase_30d", 1),
        ("payment_1h", 2),
        ("trouble_24h", 0),
        ("trouble_7d", 1),
        ("events_5m", 2),
        ("since_view_s", 240),
        ("since_purchase_s", 10 * DAY_S),
        ("since_support_s", 2 * DAY_S),
        ("since_payment_s", 0),
        ("since_cart_s", NEVER_S),
        ("gap_last_s", 240),
        ("gap_mean_s", 40 * DAY_S / 6),
        ("gap_max_s", 30 * DAY_S),
        ("quiet_over_gap_max", 240 / (30 * DAY_S)),
        ("session_s", 1_200),
        ("session_events", 3),
        ("session_items", 1),
        ("session_spend", 50.0),
        ("sessions_window", 4),
        ("sessions_total", 4),
        ("session_events_mean", 7 / 4),
        ("amount_1h", 50.0),
        ("amount_30d", 80.0),
        ("amount_last", 40.0),
        ("amount_mean", 80 / 3),
        ("amount_max", 40.0),
        ("amount_last_over_mean", 40 / 20),
        ("amount_last_over_max", 40 / 30),
        ("paid_last_over_mean", 4.0),
        ("paid_last_over_max", 1.0),
        ("items_window", 2),
        ("items_24h", 1),
        ("categories_window", 1),
        ("item_repeats", 0),
        ("tenure_s", 40 * DAY_S),
        ("events_total", 7),
        ("purchases_total", 1),
        ("payments_total", 2),
        ("spend_total", 30.0),
        ("active_days", 4),
        ("active_share", 4 / 41),
        ("since_purchase_ever_s", 10 * DAY_S),
        ("gap_days_mean", 40 / 3),
        ("gap_days_max", 30),
        ("gap_days_last", 2),
        ("gap_days_second", 8),
        ("gap_days_third", 30),
        ("gap_days_median", 8),
        ("gap_days_longer", 1),
        ("order_days", 1),
        ("no_order_90d", (30 + 40) / (30 + 40 + 90)),
        ("gap_days_std", math.sqrt((30**2 + 8**2 + 2**2) / 3 - (40 / 3) ** 2)),
        ("visits_15d", sum(math.exp(-d / 15) for d in (40, 10, 2)) + math.exp(-1_200 / DAY_S / 15)),
        ("spend_45d", 30 * math.exp(-10 / 45)),
        ("velocity_1h", (3 / HOUR_S) / (7 / (40 * DAY_S))),
        ("quiet_90d", ((30 + 40) / (30 + 40 + 90)) ** 4),
        ("entity_new", 0),
        ("hour", 12),
        ("window_events", 7),
    ],
)
def test_a_known_history_gives_known_features(name: str, value: float) -> None:
    assert _features(_windows(*DAYS))[name] == pytest.approx(value, rel=1e-6)


def test_a_first_event_gives_the_defaults() -> None:
    found = _features(_windows((0, Kind.VIEW, None, 0.0)))
    moving = {"hour", "weekday", "window_events", "visits_trend"}
    told = {
        f"{what}_{span}" for what in ("browse", "events") for span in ("1h", "24h", "7d", "30d")
    }
    told |= {"since_view_s", "session_events", "sessions_window", "session_events_mean"}
    told |= {"events_5m", "events_total", "sessions_total", "active_days", "quiet_30d"}
    told |= {"visits_15d", "visits_45d", "visits_120d", "quiet_90d", "no_order_90d"}
    for feature in features.FEATURES:
        if feature.name not in moving | told:
            assert found[feature.name] == feature.default, feature.name


def test_recency_grows_when_now_is_later_than_the_last_event() -> None:
    windows = _windows(*DAYS)
    later = Windows(
        **{
            **{n: getattr(windows, n) for n in Windows.__slots__},
            "now_s": windows.now_s + 20 * DAY_S,
        }
    )
    found, was = _features(later), _features(windows)
    assert found["recency_s"] == 20 * DAY_S
    assert found["events_7d"] == 0
    assert found["recency_over_gap_days"] == pytest.approx(20 / (40 / 3))
    assert found["recency_over_gap_days_median"] == pytest.approx(20 / 8)
    assert found["gap_days_longer"] == pytest.approx(1 / 3)
    assert found["visits_15d"] == pytest.approx(was["visits_15d"] * math.exp(-20 / 15))
    assert found["quiet_over_gap_max"] == pytest.approx(20 / 30)


def test_an_entity_is_new_the_first_time_only() -> None:
    pay = (100, Kind.PAYMENT, None, 1.0)
    assert _features(_windows(pay, entity=5))["entity_new"] == 1
    twice = _windows(pay, (0, Kind.PAYMENT, None, 1.0), entity=5)
    assert _features(twice)["entity_new"] == 0
    assert _features(twice)["entities_window"] == 1


def test_live_counters_reach_the_features() -> None:
    windows = _windows(*DAYS)
    now_s = float(windows.now_s[0])
    context = np.zeros((1, len(C_NAMES)))
    told = {
        "entity_count_1h": 2.0,
        "entity_count_7d": 84.0,
        "entity_count_24h": 4.0,
        "entity_amount_24h": 100.0,
        "entity_labels_30d": 5.0,
        "entity_run": 3.0,
        "entity_run_last_s": now_s - 50,
        "user_label_s": now_s + 10,
    }
    for name, value in told.items():
        context[0, C_NAMES.index(name)] = value
    found = _features(windows.with_context(context))
    assert found["entity_surge"] == pytest.approx(4.0)
    assert found["entity_amount_mean"] == pytest.approx(25.0)
    assert found["entity_label_share"] == pytest.approx(5 / 90)
    assert found["entity_run"] == 3
    assert found["since_entity_fraud_s"] == 50
    assert found["entity_run_age_s"] == NEVER_S
    assert found["since_user_label_s"] == 0, "never negative"


def test_no_decision_points_is_an_empty_frame_of_the_same_types() -> None:
    frame = features.as_frame(features.compute(Windows.empty(64)))
    assert frame.height == 0
    assert frame.dtypes == [f.dtype for f in features.FEATURES]


def _random_windows(rng: np.random.Generator, d: int, length: int) -> Windows:
    """Windows in which everything occurs."""
    lengths = rng.integers(1, length + 1, d).astype(np.int32)
    inside = np.arange(length) < lengths[:, None]
    shape = (d, length)
    times = START_S + np.cumsum((10 ** rng.uniform(0, 6, shape)).astype(np.int64), axis=1)
    now_s = times[np.arange(d), lengths - 1] + rng.integers(0, 2, d) * rng.integers(0, 9 * DAY_S, d)
    sums, live = (rng.uniform(1, 60, (d, len(names))) for names in (A_NAMES, C_NAMES))
    for names, values in ((A_NAMES, sums), (C_NAMES, live)):
        for i, name in enumerate(names):
            if name.endswith("_s"):
                values[:, i] = now_s - rng.integers(1, 99 * DAY_S, d)
    return Windows(
        items=np.where(inside, rng.integers(-1, 5, shape), -1).astype(np.int32),
        kinds=np.where(inside, rng.integers(1, max(Kind) + 1, shape), 0).astype(np.uint8),
        times_s=np.where(inside, times, 0),
        amounts=np.where(inside, rng.exponential(9, shape), 0).astype(np.float32),
        entities=np.where(inside, rng.integers(0, 5, shape), 0).astype(np.uint32),
        categories=np.where(inside, rng.integers(-1, 5, shape), -1).astype(np.int32),
        lengths=lengths,
        now_s=now_s,
        accumulators=sums,
        context=live,
    )


def test_every_column_is_written_and_no_two_features_are_the_same() -> None:
    windows = _random_windows(np.random.default_rng(0), d=300, length=60)
    base = aggregates.aggregate(windows)
    assert [name for name, used in zip(BASE, base.any(axis=0), strict=True) if not used] == []
    found = features.compute(windows)
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=1).T) == len(features.NAMES)


def test_a_count_is_cut_to_the_whole_numbers_of_its_type() -> None:
    one = Windows.empty(70_000)
    long = Windows(
        **{name: np.ones((1, *getattr(one, name).shape[1:]), getattr(one, name).dtype)
           for name in Windows.__slots__ if name != "lengths"},
        lengths=np.array([70_000], np.int32),
    )  # fmt: skip
    assert _features(long)["window_events"] == 70_000 - 65_536


def test_of_values_in_disorder_the_place_counts_and_not_the_time() -> None:
    """Of the two events with item 3, the later in the window is the older."""
    windows = _random_windows(np.random.default_rng(0), d=1, length=3)
    now_s = START_S + 9 * DAY_S
    told = Windows(
        **{name: getattr(windows, name) for name in Windows.__slots__}
        | {
            "items": np.array([[3, 3, 4]], np.int32),
            "kinds": np.full((1, 3), Kind.VIEW, np.uint8),
            "times_s": np.array([[now_s - 60, now_s - 2 * DAY_S, now_s]]),
            "lengths": np.array([3], np.int32),
            "now_s": np.array([now_s]),
        }
    )
    found = _features(told)
    assert (found["items_window"], found["items_24h"]) == (2, 1)
    assert found["gap_max_s"] == 2 * DAY_S


def test_refunds_are_the_largest_amounts_where_a_full_window_has_no_others() -> None:
    windows = _windows((60, Kind.PURCHASE, "a", -5.0), (0, Kind.PURCHASE, "a", -3.0))
    assert _features(windows)["amount_max"] == 0.0, "beside padding"
    full = Windows(**{
        name: value[:, :2].copy() if value.ndim == 2 and value.shape[1] == windows.length else value
        for name, value in ((name, getattr(windows, name)) for name in Windows.__slots__)
    })  # fmt: skip
    assert _features(full)["amount_max"] == -3.0
