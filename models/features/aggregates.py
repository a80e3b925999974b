"""Reductions of windows: everything that looks at the events themselves.

All of it reduces along L, over the full width and in one order, so a row's numbers don't depend
on its batch. Counts and times are integers, hence exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.elementwise import exp
from models.features.table import FEATURES, GROUPS, NEVER_S, RECENCY_KINDS, WINDOWS_S
from models.features.windows import A_NAMES, C_NAMES, DAY_GAPS, Windows
from models.sums import row_sums
from schemas.events.kinds import N_KINDS, Kind

SESSION_GAP_S = 1_800
DAY_S = 86_400
SPANS_S = (300, *WINDOWS_S.values())  # upper bounds of the age buckets
REST = len(GROUPS)  # the group of all kinds that are in no group

Columns = dict[str, npt.NDArray[Any]]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

DECAYS_D = {f"{what}_{days}d": days for what in ("visits", "spend") for days in (15, 45, 120)}
_RATES = 1.0 / (np.array(list(DECAYS_D.values())) * DAY_S)
_NEVER = {feature.name: feature.default for feature in FEATURES} | {"since_newest_s": 0.0}
_GAPS = [name for name in A_NAMES if name.startswith("day_gap_")]
_MONEY = np.zeros(N_KINDS, np.bool_)
_MONEY[[Kind.PURCHASE, Kind.PAYMENT]] = True
_GROUP_OF = np.full(N_KINDS, REST, np.int64)
for _number, _kinds in enumerate(GROUPS.values()):
    _GROUP_OF[list(_kinds)] = _number


def last_occurrences(values: npt.NDArray[np.integer[Any]]) -> Bools:
    """Mark the values of a row (D, L) that don't occur again further right -> bool (D, L).

    The distinct values of any suffix of a row are the marked values in it.
    """
    width = values.shape[1]
    key = values.astype(np.int64) * width + np.arange(width)
    key.sort(axis=1)
    value = key // width
    run_end = np.ones(values.shape, np.bool_)
    run_end[:, :-1] = value[:, 1:] != value[:, :-1]
    out = np.zeros(values.shape, np.bool_)
    rows = np.nonzero(run_end)[0]
    out[rows, (key - value * width)[run_end]] = True
    return out


def aggregate(windows: Windows) -> Columns:
    """Base columns (D,) by name: finished features, and the inputs of derived features."""
    place = np.arange(windows.length)
    inside = place < windows.lengths[:, None]  # (D, L)
    rows = np.arange(len(windows))
    last = windows.lengths.astype(np.int64) - 1
    age = np.maximum(windows.now_s[:, None] - windows.times_s, 0)
    bucket = np.where(inside, _bucket(age), len(SPANS_S) + 1)
    money = np.where(_MONEY[windows.kinds], windows.amounts, 0).astype(np.float64)
    start = _session_start(windows, inside)

    columns: Columns = {"window_events": windows.lengths, "now_s": windows.now_s}
    columns["first_in_window_s"] = windows.times_s[:, 0]
    columns["recency_s"] = np.maximum(windows.now_s - windows.times_s[rows, last], 0)
    columns |= _counts(windows, bucket)
    columns |= _gaps(windows, inside)
    columns |= _session(windows, start, last, money)
    columns |= _amounts(windows, money, bucket, last)
    columns |= _variety(windows, start, bucket, last)
    sums = {name: windows.accumulators[:, i] for i, name in enumerate(A_NAMES)}
    live = {name: windows.context[:, i] for i, name in enumerate(C_NAMES)}
    columns |= _since(windows, sums, live)
    columns |= {name: column for name, column in sums.items() if name not in DECAYS_D}
    columns |= live
    columns |= _decayed(windows, sums)
    columns |= _day_gaps(sums, columns["recency_s"])
    columns["span_days"] = sums["last_s"] // DAY_S - sums["first_s"] // DAY_S
    return columns


def _bucket(age: Ints) -> npt.NDArray[np.int64]:
    """Index of the first of `SPANS_S` that is at least the age; `len(SPANS_S)` = none."""
    bucket = np.zeros(age.shape, np.int64)
    for span in SPANS_S:
        bucket += age > span
    return bucket


def _counts(windows: Windows, bucket: Ints) -> Columns:
    """Events by group and span, from one histogram of (row, bucket, group)."""
    d, buckets = len(windows), len(SPANS_S) + 2
    cell = (np.arange(d)[:, None] * buckets + bucket) * (REST + 1) + _GROUP_OF[windows.kinds]
    counts = np.bincount(cell.reshape(-1), minlength=d * buckets * (REST + 1))
    within = np.cumsum(counts.reshape(d, buckets, REST + 1), axis=1)  # (D, buckets, groups)
    columns: Columns = {"events_5m": within[:, 0].sum(axis=1)}
    for i, span in enumerate(WINDOWS_S, start=1):
        columns[f"events_{span}"] = within[:, i].sum(axis=1)
        columns |= {f"{group}_{span}": within[:, i, g] for g, group in enumerate(GROUPS)}
    return columns


def _since(windows: Windows, sums: Columns, live: Columns) -> Columns:
    """Seconds since each of several times, never negative; the default where a time is 0."""
    times = {
        **_last_times(windows),
        "since_purchase_ever_s": sums["last_purchase_s"],
        "entity_run_age_s": live["entity_run_start_s"],
        "since_entity_fraud_s": live["entity_run_last_s"],
        "since_user_label_s": live["user_label_s"],
        "tenure_s": sums["first_s"],
        "since_newest_s": sums["last_s"],
        "entity_age_s": live["entity_first_s"],
    }
    table = np.stack(list(times.values()), axis=1).astype(np.float64)  # (D, n)
    never = np.array([_NEVER.get(name, NEVER_S) for name in times])
    passed = np.where(table > 0, np.maximum(windows.now_s[:, None] - table, 0.0), never)
    return dict(zip(times, np.ascontiguousarray(passed.T), strict=True))


def _decayed(windows: Windows, sums: Columns) -> Columns:
    """Decay the running sums from the user's newest event, where they stand, to now."""
    passed = np.maximum(windows.now_s - sums["last_s"], 0.0)
    decay = exp(-passed * _RATES[:, None])  # (n, D)
    return {name: sums[name] * decay[i] for i, name in enumerate(DECAYS_D)}


def _day_gaps(sums: Columns, recency_s: Ints) -> Columns:
    """Median and counts of the latest gaps between active days, in whole days, hence exact."""
    gaps = np.stack([sums[name] for name in _GAPS], axis=1)  # (D, `DAY_GAPS`), 0 = none
    count = (gaps > 0).sum(axis=1)
    rows, none = np.arange(len(gaps)), DAY_GAPS - count
    ascending = np.sort(gaps, axis=1)
    low = np.minimum(none + np.maximum(count - 1, 0) // 2, DAY_GAPS - 1)
    high = np.minimum(none + count // 2, DAY_GAPS - 1)
    longer = (gaps > 0) & (gaps * DAY_S >= recency_s[:, None])
    return {
        "gap_days_median": (ascending[rows, low] + ascending[rows, high]) * 0.5,
        "gap_days_known": count,
        "gaps_longer": longer.sum(axis=1),
    }


def _last_times(windows: Windows) -> Columns:
    """Time of the last event of each kind, 0 = none; events are in order, so the last one wins."""
    cell = np.arange(len(windows))[:, None] * N_KINDS + windows.kinds
    times = np.zeros(len(windows) * N_KINDS, np.int64)
    times[cell.reshape(-1)] = windows.times_s.reshape(-1)
    by_kind = times.reshape(-1, N_KINDS)
    return {f"since_{kind.name.lower()}_s": by_kind[:, kind] for kind in RECENCY_KINDS}


def _gaps(windows: Windows, inside: Bools) -> Columns:
    gaps = np.where(inside[:, 1:], np.diff(windows.times_s, axis=1), 0)  # (D, L-1)
    count = np.maximum(windows.lengths.astype(np.int64) - 1, 1)
    mean = gaps.sum(axis=1) / count
    off = np.where(inside[:, 1:], gaps - mean[:, None], 0.0)
    last = np.maximum(windows.lengths.astype(np.int64) - 2, 0)
    return {
        "gap_last_s": gaps[np.arange(len(windows)), last],
        "gap_mean_s": mean,
        "gap_max_s": gaps.max(axis=1, initial=0),
        "gap_std_s": np.sqrt(row_sums(off * off) / count),
        "sessions_window": (gaps > SESSION_GAP_S).sum(axis=1) + 1,
    }


def _session_start(windows: Windows, inside: Bools) -> Ints:
    """Place of the first event of the current session -> int64 (D,)."""
    opens = inside[:, 1:] & (np.diff(windows.times_s, axis=1) > SESSION_GAP_S)
    places = opens * np.arange(1, windows.length)
    start: Ints = places.max(axis=1, initial=0)
    return start


def _session(windows: Windows, start: Ints, last: Ints, money: npt.NDArray[np.float64]) -> Columns:
    rows = np.arange(len(windows))
    current = np.arange(windows.length) >= start[:, None]
    return {
        "session_s": windows.times_s[rows, last] - windows.times_s[rows, start],
        "session_events": last - start + 1,
        "session_spend": row_sums(money * current),
    }


def _amounts(windows: Windows, money: npt.NDArray[np.float64], bucket: Ints, last: Ints) -> Columns:
    """Purchases and payments of the window; `earlier_*` leave the last event out."""
    rows = np.arange(len(windows))
    spent = money > 0
    earlier = money.copy()
    earlier[rows, last] = 0.0
    week = 1 + list(WINDOWS_S).index("7d")
    columns: Columns = {
        f"amount_{span}": row_sums(np.where(bucket <= i, money, 0.0))
        for i, span in enumerate(WINDOWS_S, start=1)
    }
    return columns | {
        "amount_last": windows.amounts[rows, last].astype(np.float64),
        "money_last": money[rows, last],
        "paid_last": np.where(windows.kinds[rows, last] == Kind.PAYMENT, money[rows, last], 0.0),
        "money_sum": row_sums(money),
        "money_count": spent.sum(axis=1),
        "amount_max": money.max(axis=1),
        "amount_max_7d": np.where(bucket <= week, money, 0.0).max(axis=1),
        "earlier_sum": row_sums(earlier),
        "earlier_count": (earlier > 0).sum(axis=1),
        "earlier_max": earlier.max(axis=1),
    }


def _variety(windows: Windows, start: Ints, bucket: Ints, last: Ints) -> Columns:
    rows = np.arange(len(windows))
    day = 1 + list(WINDOWS_S).index("24h")
    items = last_occurrences(windows.items) & (windows.items >= 0)
    categories = last_occurrences(windows.categories) & (windows.categories >= 0)
    entities = last_occurrences(windows.entities) & (windows.entities != 0)
    item = windows.items[rows, last]
    entity = windows.entities[rows, last]
    same_item = ((windows.items == item[:, None]) & (bucket <= len(SPANS_S))).sum(axis=1)
    same_entity = (windows.entities == entity[:, None]).sum(axis=1)
    return {
        "items_window": items.sum(axis=1),
        "items_24h": (items & (bucket <= day)).sum(axis=1),
        "session_items": (items & (np.arange(windows.length) >= start[:, None])).sum(axis=1),
        "categories_window": categories.sum(axis=1),
        "item_repeats": np.where(item >= 0, same_item - 1, 0),
        "entities_window": entities.sum(axis=1),
        "entity_new": (entity != 0) & (same_entity == 1),
    }
