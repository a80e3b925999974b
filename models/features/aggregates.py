"""Reductions of windows: everything that looks at the events themselves.

Each window is reduced on its own, its events from the left, so a row's numbers don't depend on its
batch. Counts and times are integers, hence exact. The rows are records, so that the loops name
their columns: where a name moves, numba sees another type and compiles anew.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.features.table import GROUPS, NEVER_S, RECENCY_KINDS, WINDOWS_S
from models.features.windows import A_NAMES, C_NAMES, DAY_GAPS, Windows
from models.kernel import kernel
from schemas.events.kinds import N_KINDS, Kind

SESSION_GAP_S = 1_800
DAY_S = 86_400
WEEK_S = 7 * DAY_S

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Row = Any
"""A row of records: a number by the name of its column."""

_COUNTS = [[f"{what}_{span}" for what in (*GROUPS, "events")] for span in WINDOWS_S]
_AMOUNTS = [f"amount_{span}" for span in WINDOWS_S]
_SINCE = {kind: f"since_{kind.name.lower()}_s" for kind in RECENCY_KINDS}

BASE = (
    *A_NAMES,
    *C_NAMES,
    *(name for names in _COUNTS for name in names),
    *_AMOUNTS,
    *_SINCE.values(),
    *("events_5m", "window_events", "now_s", "first_in_window_s", "recency_s"),
    *("gap_last_s", "gap_mean_s", "gap_max_s", "gap_std_s", "sessions_window"),
    *("session_s", "session_events", "session_spend", "session_items"),
    *("amount_last", "money_last", "paid_last", "money_sum", "money_count"),
    *("amount_max", "amount_max_7d", "earlier_sum", "earlier_count", "earlier_max"),
    *("items_window", "items_24h", "item_repeats", "categories_window"),
    *("entities_window", "entity_new", "entity_age_s", "entity_run_age_s", "since_entity_fraud_s"),
    *("since_user_label_s", "since_purchase_ever_s", "tenure_s", "span_days"),
    *("gap_days_median", "gap_days_known", "gaps_longer"),
)
"""Base columns: finished features, and the inputs of derived features. The decayed sums of
`A_NAMES` are as of now here."""

_RECORD = np.dtype([(name, np.float64) for name in BASE])
_PURCHASE, _PAYMENT = int(Kind.PURCHASE), int(Kind.PAYMENT)
_RATE_15D, _RATE_45D, _RATE_120D = (1.0 / (days * DAY_S) for days in (15, 45, 120))  # per second


class _Places(NamedTuple):
    """What the loops take from the table, and the columns that they find by number.

    Attributes
    ----------
    spans_s
        int64 (S,): the spans that events and money are counted over.
    groups
        int64 (kinds,): a kind's group, -1 = none.
    counts, amounts
        int64 (S, groups + 1) and (S,): columns; the last of a span's counts is that of all events.
    since
        int64 (kinds,): column of the time since the last event of a kind, -1 = none.
    day_gaps
        int64 (`DAY_GAPS`,): columns, the latest gap first.
    """

    spans_s: Ints
    groups: Ints
    counts: Ints
    amounts: Ints
    since: Ints
    day_gaps: Ints


def aggregate(windows: Windows) -> Floats:
    """Base columns of D windows -> float64 (D, B), columns as in `BASE`."""
    base = np.zeros((len(windows), len(BASE)))
    _aggregate(
        windows.items, windows.kinds, windows.times_s, windows.amounts, windows.entities,
        windows.categories, windows.lengths, windows.now_s, windows.accumulators, windows.context,
        _PLACES, NEVER_S, base, records(base),
    )  # fmt: skip
    return base


def records(base: Floats) -> npt.NDArray[Any]:
    """The base columns (D, B) as D records: the same memory by name."""
    return base.view(_RECORD)[:, 0]


def _places() -> _Places:
    groups, since = np.full(N_KINDS, -1, np.int64), np.full(N_KINDS, -1, np.int64)
    for number, kinds in enumerate(GROUPS.values()):
        groups[list(kinds)] = number
    for kind, name in _SINCE.items():
        since[kind] = BASE.index(name)
    return _Places(
        spans_s=np.array(list(WINDOWS_S.values()), np.int64),
        groups=groups,
        counts=np.array([[BASE.index(name) for name in names] for names in _COUNTS], np.int64),
        amounts=np.array([BASE.index(name) for name in _AMOUNTS], np.int64),
        since=since,
        day_gaps=np.array([BASE.index(f"day_gap_{i}") for i in range(1, DAY_GAPS + 1)], np.int64),
    )


_PLACES = _places()


@kernel
def _aggregate(
    items: npt.NDArray[np.int32],
    kinds: npt.NDArray[np.uint8],
    times_s: Ints,
    amounts: npt.NDArray[np.float32],
    entities: npt.NDArray[np.uint32],
    categories: npt.NDArray[np.int32],
    lengths: npt.NDArray[np.int32],
    now_s: Ints,
    accumulators: Floats,
    context: Floats,
    places: _Places,
    never_s: float,
    base: Floats,
    rows: npt.NDArray[Any],
) -> None:
    """Fill `base` (D, B), which is 0 before; `rows` (D,) are its records."""
    width, sums = items.shape[1], accumulators.shape[1]
    ascending = np.empty(len(places.day_gaps))
    for d in range(len(lengths)):
        n, now, to = int(lengths[d]), now_s[d], rows[d]
        for i in range(sums):  # a slice would take seconds to compile
            base[d, i] = accumulators[d, i]
        for i in range(context.shape[1]):
            base[d, sums + i] = context[d, i]
        times = times_s[d, :n]
        to.now_s, to.window_events, to.first_in_window_s = now, n, times[0]
        to.recency_s = max(now - times[n - 1], 0)
        start = _gaps(times, to)
        _spans(kinds[d, :n], times, amounts[d, :n], now, places, base[d], to)
        for at in places.since:
            if at >= 0:
                base[d, at] = _since(now, base[d, at], never_s)
        _amounts(kinds[d, :n], times, amounts[d, :n], now, start, width, to)
        _variety(items[d, :n], times, categories[d, :n], entities[d, :n], now, start, to)
        _lifelong(now, never_s, to)
        _day_gaps(base[d], places.day_gaps, ascending, to)


@kernel
def _gaps(times: Ints, to: Row) -> int:
    """Gaps between neighbours, and sessions -> place of the current session's first event."""
    last = len(times) - 1
    start, sessions, longest = 0, 1, 0
    for place in range(1, len(times)):
        gap = times[place] - times[place - 1]
        longest = max(longest, gap)
        if gap > SESSION_GAP_S:
            start, sessions = place, sessions + 1
    count = max(last, 1)
    mean, squares = (times[last] - times[0]) / count, 0.0
    for place in range(1, len(times)):
        off = (times[place] - times[place - 1]) - mean
        squares += off * off
    to.gap_last_s = times[last] - times[max(last - 1, 0)]
    to.gap_mean_s, to.gap_max_s, to.gap_std_s = mean, longest, math.sqrt(squares / count)
    to.sessions_window, to.session_events = sessions, last - start + 1
    to.session_s = times[last] - times[start]
    return start


@kernel
def _spans(
    kinds: npt.NDArray[np.uint8],
    times: Ints,
    amounts: npt.NDArray[np.float32],
    now: int,
    places: _Places,
    base: Floats,
    to: Row,
) -> None:
    """Events by group and money, by span, and the time of the last event of each kind."""
    for place in range(len(times)):
        age, kind = now - times[place], kinds[place]
        to.events_5m += age <= 300
        for i in range(len(places.spans_s)):
            if age <= places.spans_s[i]:
                base[places.counts[i, -1]] += 1
                if places.groups[kind] >= 0:
                    base[places.counts[i, places.groups[kind]]] += 1
                base[places.amounts[i]] += _money(kind, amounts[place])
        if places.since[kind] >= 0:
            base[places.since[kind]] = times[place]


@kernel
def _money(kind: int, amount: np.float32) -> float:
    """Amount of a purchase or a payment, 0 for other kinds."""
    return np.float64(amount) if kind in (_PURCHASE, _PAYMENT) else 0.0


@kernel
def _amounts(
    kinds: npt.NDArray[np.uint8],
    times: Ints,
    amounts: npt.NDArray[np.float32],
    now: int,
    start: int,
    width: int,
    to: Row,
) -> None:
    """Purchases and payments of the window; `earlier_*` leave the last event out."""
    last = len(times) - 1
    total, count, session, most, most_7d = 0.0, 0, 0.0, -np.inf, -np.inf
    money = 0.0
    for place in range(len(times)):
        money = _money(kinds[place], amounts[place])
        if place == last:
            to.earlier_sum, to.earlier_count, to.earlier_max = total, count, max(most, 0.0)
        total += money
        count += money > 0
        most = max(most, money)
        most_7d = max(most_7d, money if now - times[place] <= WEEK_S else 0.0)
        if place >= start:
            session += money
    if len(times) < width:  # amounts may be negative; those of a full window alone can be the most
        most, most_7d = max(most, 0.0), max(most_7d, 0.0)
    to.money_sum, to.money_count, to.session_spend = total, count, session
    to.amount_max, to.amount_max_7d = most, most_7d
    to.amount_last, to.money_last = amounts[last], money
    to.paid_last = money if kinds[last] == _PAYMENT else 0.0


@kernel
def _variety(
    items: npt.NDArray[np.int32],
    times: Ints,
    categories: npt.NDArray[np.int32],
    entities: npt.NDArray[np.uint32],
    now: int,
    start: int,
    to: Row,
) -> None:
    """Distinct values: of each value, the last place counts."""
    last = len(times) - 1
    same_item = same_entity = 0
    for place in range(len(times)):
        same_item += items[place] == items[last]
        same_entity += entities[place] == entities[last]
        if items[place] >= 0 and _is_last(items, place):
            to.items_window += 1
            to.items_24h += now - times[place] <= DAY_S
            to.session_items += place >= start
        if categories[place] >= 0 and _is_last(categories, place):
            to.categories_window += 1
        if entities[place] != 0 and _is_last(entities, place):
            to.entities_window += 1
    to.item_repeats = same_item - 1 if items[last] >= 0 else 0
    to.entity_new = entities[last] != 0 and same_entity == 1


@kernel
def _is_last(values: npt.NDArray[Any], place: int) -> bool:
    """Whether the value at a place doesn't occur again further right."""
    last = len(values) - 1
    while values[last] != values[place]:
        last -= 1
    return last == place


@kernel
def _since(now: int, time_s: float, never_s: float) -> float:
    """Seconds since a time, not negative; `never_s` if the time is 0."""
    return max(now - time_s, 0.0) if time_s > 0 else never_s


@kernel
def _lifelong(now: int, never_s: float, to: Row) -> None:
    """Times and sums that reach back further than the window."""
    to.tenure_s = _since(now, to.first_s, 0.0)
    to.since_purchase_ever_s = _since(now, to.last_purchase_s, never_s)
    to.entity_age_s = _since(now, to.entity_first_s, 0.0)
    to.entity_run_age_s = _since(now, to.entity_run_start_s, never_s)
    to.since_entity_fraud_s = _since(now, to.entity_run_last_s, never_s)
    to.since_user_label_s = _since(now, to.user_label_s, never_s)
    to.span_days = to.last_s // DAY_S - to.first_s // DAY_S
    passed = max(now - to.last_s, 0.0)  # decayed sums stand at the user's newest event
    decay_15d, decay_45d = math.exp(-passed * _RATE_15D), math.exp(-passed * _RATE_45D)
    decay_120d = math.exp(-passed * _RATE_120D)
    to.visits_15d, to.spend_15d = to.visits_15d * decay_15d, to.spend_15d * decay_15d
    to.visits_45d, to.spend_45d = to.visits_45d * decay_45d, to.spend_45d * decay_45d
    to.visits_120d, to.spend_120d = to.visits_120d * decay_120d, to.spend_120d * decay_120d


@kernel
def _day_gaps(base: Floats, columns: Ints, ascending: Floats, to: Row) -> None:
    """Median and counts of the latest gaps between active days, in whole days, hence exact."""
    known = longer = 0
    for column in columns:
        gap = base[column]
        if gap > 0:  # 0 = none
            longer += gap * DAY_S >= to.recency_s
            at = known
            while at > 0 and ascending[at - 1] > gap:
                ascending[at] = ascending[at - 1]
                at -= 1
            ascending[at] = gap
            known += 1
    if known:
        to.gap_days_median = (ascending[(known - 1) // 2] + ascending[known // 2]) * 0.5
    to.gap_days_known, to.gaps_longer = known, longer
