"""The protocol of lists: which events are targets, and what is asked when."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.evaluation import metrics
from ops.baselines import Counters, popularity_ranks
from ops.evaluation import baselines
from ops.evaluation.shop_lists import DAY_MS, settled, within_reach
from ops.evaluation.timeline import ITEM, Timeline
from ops.event_files.adapters import Source, load
from schemas.errors import ConfigError
from schemas.events.contract import Contract

RETAILROCKET = "retailrocket_mb.csv"


def events(rows: list[tuple[str, str | None, int]]) -> pl.DataFrame:
    """Of (user, item, second)."""
    frame = pl.DataFrame(rows, schema=["user_id", ITEM, "second"], orient="row")
    return frame.with_columns(
        pl.format("m{}", pl.int_range(pl.len())).alias("message_id"),
        pl.lit("Product Viewed").alias("event"),
        (pl.col("second") * 1000).alias("time_ms"),
    ).drop("second")


def test_a_target_is_another_item_than_the_users_last_one() -> None:
    timeline = Timeline.of(
        events(
            [
                ("a", "x", 1),  # a first event: nobody can be asked
                ("b", "y", 2),
                ("a", "x", 3),  # the same again
                ("a", None, 4),  # no item, but an event to ask at
                ("a", "z", 5),
                ("b", "y", 6),
                ("a", "x", 7),
                ("b", "x", 90),
            ]
        )
    )
    assert timeline.targets.tolist() == [True, True, False, False, True, False, True, True]
    assert timeline.answers().tolist() == [-1, -1, -1, 4, 6, 7, -1, -1]
    assert timeline.cut == 7
    assert timeline.test().tolist() == [7]


def test_events_that_begin_and_end_together_cant_be_split() -> None:
    with pytest.raises(ConfigError, match="split in time"):
        Timeline.of(events([("a", "x", 5), ("a", "y", 5)]))
    with pytest.raises(ConfigError, match="item"):
        Timeline.of(events([("a", "x", 5)]).drop(ITEM))


@pytest.mark.parametrize(("tau_s", "until"), [(20.0, None), (float("inf"), None), (20.0, 250)])
def test_popularity_by_the_book(tau_s: float, until: int | None) -> None:
    rng = np.random.default_rng(1)
    rows = [
        (f"u{rng.integers(9)}", f"i{int(12 * rng.random() ** 2)}", int(second))
        for second in np.sort(rng.integers(0, 300, 400))
    ]
    timeline = Timeline.of(events(rows))
    targets = np.flatnonzero(timeline.targets)[5:]
    number = {item: int(n) for (_, item, _), n in zip(rows, timeline.items, strict=True)}
    ranks = baselines.ranks(timeline, targets, tau_s, until=until)
    for target, rank in zip(targets.tolist(), ranks.tolist(), strict=True):
        at = int(timeline.asked_at[target])
        known = (rows[: at + 1] if at >= 0 else rows[:target])[:until]
        now = known[-1][2]
        counts: dict[str, float] = {}
        for _, item, second in known:
            counts[item] = counts.get(item, 0.0) + float(np.exp((second - now) / tau_s))
        own = counts.get(rows[target][1], 0.0)
        current = rows[at][1] if at >= 0 else None
        more = [i for i, n in counts.items() if n > own * (1 + 1e-12) and i != current]
        same = [
            i for i, n in counts.items()
            if abs(n - own) <= own * 1e-12 and i != current and number[i] < number[rows[target][1]]
        ]  # fmt: skip
        ahead = more + same
        assert rank == (1 + len(ahead) if own else metrics.MISSING)


def test_of_equally_popular_items_the_lower_id_comes_first() -> None:
    items = np.array([3, 1, 2, 1, 4, -1])
    times = np.zeros(6, np.int64)
    known, none = np.full(4, 6), np.full(4, -1)
    targets = np.array([1, 2, 3, 4])
    assert popularity_ranks(items, times, known, none, targets).tolist() == [1, 2, 3, 4]
    without = popularity_ranks(items, times, known, np.full(4, 2), targets)
    assert without[[0, 2, 3]].tolist() == [1, 2, 3], "the item at hand takes no place"
    unseen = popularity_ranks(items, times, known, none, np.array([0, 0, 0, 9]))
    assert (unseen == metrics.MISSING).all()
    assert metrics.popular_first(np.bincount(items[:5])).tolist() == [5, 1, 2, 3, 4]
    counters = Counters()
    for user, item in (("u", "c"), ("v", "a"), ("w", "b"), ("x", "a")):
        counters.add(user, item)
    assert counters.popular("nobody") == ["a", "b", "c"]


def test_a_clock_that_begins_at_zero_is_moved_by_whole_weeks() -> None:
    oldest_ms = Contract().oldest_ms
    source = Source(events([("a", "x", 0), ("a", "y", 86_400)]))
    moved = within_reach(source, oldest_ms).events["time_ms"]
    assert moved[0] >= oldest_ms
    assert moved[0] % (7 * DAY_MS) == 0
    assert moved[1] - moved[0] == DAY_MS
    assert (
        within_reach(Source(source.events.with_columns(time_ms=moved)), oldest_ms)
        .events["time_ms"]
        .equals(moved)
    )


def test_co_visitation_is_kept_as_long_as_the_events_span() -> None:
    week, years = (
        Source(events([("a", "x", 0), ("a", "y", days * 86_400)])) for days in (7, 2_000)
    )
    assert settled(week).state.covisit_days == 90
    assert settled(years).state.covisit_days == 2_000


def test_retailrocket_has_the_targets_of_the_protocol() -> None:
    file = Path(os.environ.get("HARK_DATA", "")) / RETAILROCKET
    if not file.is_file():
        pytest.skip(f"HARK_DATA has no {RETAILROCKET}")
    timeline = Timeline.of(load(file, "retailrocket").events)
    targets = timeline.test()
    assert len(targets) == 8_450
    assert int(timeline.times_s[timeline.cut]) == 1_441_134_717
    new = ~np.isin(timeline.items[targets], timeline.items[: timeline.cut])
    assert new.mean() == pytest.approx(0.314, abs=5e-4)
    assert int((timeline.asked_at[targets] < 0).sum()) == 172
