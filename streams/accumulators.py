"""Running sums per user: O(1) state that reaches back further than the last L events.

They are needed after every single event (a decision point sees the sums as of its own event), and
must come out the same, bit for bit, however the log is cut into batches. Counts, moments of day
gaps and extremes are integers, so segmented cumulative sums and maxima are exact. The decayed sums
are not associative: they advance event by event, vectorised over the users instead, in float32
because that is what the rows keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from models.windows import A_NAMES
from schemas.kinds import Kind
from streams import day_gaps
from streams.points import PointPolicy, Task
from streams.user_rows import Rows

DAY_S = 86_400
SESSION_GAP_S = 1_800
DECAYS_D = (15, 45, 120)
SUMS = (
    *(f"visits_{d}d" for d in DECAYS_D),
    *(f"spend_{d}d" for d in DECAYS_D),
    "spend",
    "paid_sum",
)
"""Columns of a row's `sums`: decayed sessions, decayed and whole spend, whole payments."""

_RATES = 1.0 / (np.array(DECAYS_D, np.float64) * DAY_S)  # (3,)
_TOP = 2**32 - 1  # times are uint32 seconds

T = TypeVar("T", bound=np.generic)
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Steps:
    """Accepted events of V users, grouped by user, in log order within each.

    Attributes
    ----------
    user
        int64 (m,): 0..V-1, not decreasing, none missing.
    times_s, kinds, amounts
        int64, uint8, float32 (m,).
    finals
        bool (m,): the last accepted row of its record, which alone may ask for a decision.
    start, last
        int64 (V,): each user's first and last event.
    """

    user: Ints
    times_s: Ints
    kinds: npt.NDArray[np.uint8]
    amounts: Floats
    finals: npt.NDArray[np.bool_]
    start: Ints
    last: Ints


@dataclass(frozen=True, slots=True)
class Sums:
    """The running sums right after each of m events, and what the event asks for.

    Attributes
    ----------
    integers
        int64 (m,) by row field: counts, times, moments of day gaps.
    floats
        float32 (m, 8): columns `SUMS`.
    paid_max
        float32 (m,).
    day_gaps
        int64 (m, `DAY_GAPS`): latest first, 0 = none.
    points_s
        int64 (m,): time of the user's last RECOMMEND point.
    ratios
        float32 (m,): the amount over the user's mean payment before, 1 where there was none.
    tasks
        uint8 (m,): `Task` flags of the event.
    """

    integers: dict[str, Ints]
    floats: Floats
    paid_max: Floats
    day_gaps: Ints
    points_s: Ints
    ratios: Floats
    tasks: npt.NDArray[np.uint8]

    def accumulators(self, rows: Ints) -> npt.NDArray[np.float64]:
        """`Windows.accumulators` (D, A) after the events at `rows`."""
        out = np.empty((len(rows), len(A_NAMES)), np.float64)
        floats = self.floats[rows]
        for column, name in enumerate(A_NAMES):
            if name in self.integers:
                out[:, column] = self.integers[name][rows]
            elif name == "paid_max":
                out[:, column] = self.paid_max[rows]
            elif name in day_gaps.NAMES:
                out[:, column] = self.day_gaps[rows, day_gaps.NAMES.index(name)]
            else:
                out[:, column] = floats[:, SUMS.index(name)]
        return out

    def store(self, rows: Rows, users: Ints, last: Ints) -> None:
        """Write the sums after each user's last event, `last` (V,), into `rows[users]`."""
        for name, values in self.integers.items():
            top = np.iinfo(rows.dtype[name]).max  # saturate rather than wrap
            rows[name][users] = np.minimum(values[last], top)
        rows["sums"][users] = self.floats[last]
        rows["paid_max"][users] = self.paid_max[last]
        rows["day_gaps"][users] = np.minimum(self.day_gaps[last], 65_535)
        rows["last_point_s"][users] = self.points_s[last]


def advance(old: Rows, steps: Steps, policy: PointPolicy) -> Sums:
    """The running sums of `old` (V,) after each of `steps`; `old` is left as it is."""
    start = steps.start
    fresh = np.zeros(len(steps.user), np.bool_)  # the first event ever of its user
    fresh[start] = old["events"] == 0
    newest = _running_max(steps.times_s, old["last_s"], steps)
    passed = np.where(fresh, 0, steps.times_s - _before(newest, old["last_s"], start))
    visit = fresh | (passed > SESSION_GAP_S)
    paid = np.where(steps.kinds == Kind.PAYMENT, steps.amounts, np.float32(0))

    gap_days = np.where(fresh, 0, newest // DAY_S - _before(newest, old["last_s"], start) // DAY_S)
    integers = _counts(old, steps, fresh, visit, gap_days)
    integers["last_s"] = newest
    floats, points_s, asks = _in_turn(old, steps, policy, _terms(steps, passed, visit, paid))
    tasks = np.where(asks, np.uint8(Task.RECOMMEND | Task.CHURN), np.uint8(0))
    watched = policy.watched[steps.kinds] & steps.finals
    tasks |= np.where(watched, np.uint8(Task.RISK), np.uint8(0))
    return Sums(
        integers=integers,
        floats=floats,
        paid_max=_paid_max(old, steps, paid),
        day_gaps=day_gaps.latest(old["day_gaps"], steps.user, steps.start, gap_days),
        points_s=points_s,
        ratios=_ratios(old, steps, floats[:, -1], integers["payments"]),
        tasks=tasks,
    )


def _counts(
    old: Rows,
    steps: Steps,
    fresh: npt.NDArray[np.bool_],
    visit: npt.NDArray[np.bool_],
    gap_days: Ints,
) -> dict[str, Ints]:
    """Everything that is an integer: exact under any grouping of the additions."""
    bought_s = np.where(steps.kinds == Kind.PURCHASE, steps.times_s, 0)
    ordered_s = _running_max(bought_s, old["last_purchase_s"], steps)
    before_s = _before(ordered_s, old["last_purchase_s"], steps.start)
    adds = {
        "events": np.ones(len(fresh), np.int64),
        "purchases": steps.kinds == Kind.PURCHASE,
        "payments": steps.kinds == Kind.PAYMENT,
        "cancels": steps.kinds == Kind.CANCEL,
        "sessions": visit,
        "active_days": fresh | (gap_days > 0),
        "gap_days_sumsq": gap_days * gap_days,
        "order_days": ordered_s // DAY_S > before_s // DAY_S,
    }
    table = np.stack(list(adds.values()), axis=1).astype(np.int64)  # (m, 8)
    base = np.stack([old[name] for name in adds], axis=1).astype(np.int64)  # (V, 8)
    whole = np.cumsum(table, axis=0)
    whole += (base - whole[steps.start] + table[steps.start])[steps.user]
    counts = {name: whole[:, i] for i, name in enumerate(adds)}

    counts["last_purchase_s"] = ordered_s
    counts["gap_days_max"] = _running_max(gap_days, old["gap_days_max"], steps)
    earliest = np.where(old["events"] == 0, 0, _TOP - old["first_s"].astype(np.int64))
    counts["first_s"] = _TOP - _running_max(_TOP - steps.times_s, earliest, steps)
    return counts


def _terms(
    steps: Steps, passed: Ints, visit: npt.NDArray[np.bool_], paid: Floats
) -> tuple[Floats, Floats]:
    """What each event keeps of the sums and adds to them -> two float32 (m, 8).

    The decayed sums stand at the user's newest event: a newer event decays them by the time
    passed, an older one comes in already decayed.
    """
    n = len(passed)
    # Contiguous arrays only: numpy's exp rounds strided input differently.
    decay = np.exp(-np.maximum(passed, 0)[:, None] * _RATES)  # (m, 3)
    aged = np.exp(np.minimum(passed, 0)[:, None] * _RATES)
    bought = np.where(steps.kinds == Kind.PURCHASE, steps.amounts, np.float32(0))
    keep = np.ones((n, len(SUMS)), np.float32)
    keep[:, 0:3] = decay
    keep[:, 3:6] = decay
    add = np.empty((n, len(SUMS)), np.float32)
    add[:, 0:3] = visit[:, None]
    add[:, 3:6] = bought[:, None] * aged
    add[:, 6] = bought
    add[:, 7] = paid
    return keep, add


def _in_turn(
    old: Rows, steps: Steps, policy: PointPolicy, terms: tuple[Floats, Floats]
) -> tuple[Floats, Ints, npt.NDArray[np.bool_]]:
    """What depends on the event before, turn by turn: the k-th event of every user at once.

    Returns
    -------
    float32 (m, 8) sums, int64 (m,) time of the last RECOMMEND point, bool (m,) asks for one.
    """
    start, n = steps.start, len(steps.user)
    counts = np.diff(start, append=n)
    busiest = np.argsort(-counts, kind="stable")  # users still in turn k are a prefix of these
    place = np.empty(len(start), np.int64)
    place[busiest] = np.arange(len(start))
    turn = np.arange(n) - start[steps.user]
    order = np.lexsort((place[steps.user], turn))
    bounds = np.cumsum(np.bincount(turn)).tolist()

    keep, add = terms[0][order], terms[1][order]
    times = steps.times_s[order]
    newest = _running_max(steps.times_s, old["last_s"], steps)[order]
    # An event older than the user's newest asks for nothing.
    may = (times >= newest) & steps.finals[order]
    asking = policy.asking[steps.kinds][order]
    sums = old["sums"][busiest]
    point_s = old["last_point_s"][busiest].astype(np.int64)
    all_sums, all_points, all_asks = np.empty_like(add), np.empty_like(times), np.empty_like(may)
    begin = 0
    for end in bounds:
        turns, k = slice(begin, end), end - begin
        sums, point_s = sums[:k] * keep[turns], point_s[:k]
        sums += add[turns]
        t = times[turns]
        asks = may[turns] & (asking[turns] | (point_s == 0) | (t - point_s >= policy.refresh_s))
        point_s = np.where(asks, t, point_s)
        all_sums[turns], all_points[turns], all_asks[turns] = sums, point_s, asks
        begin = end
    back = np.empty(n, np.int64)
    back[order] = np.arange(n)
    return all_sums[back], all_points[back], all_asks[back]


def _ratios(old: Rows, steps: Steps, paid_sum: Floats, payments: Ints) -> Floats:
    """The amount over the user's mean payment before the event -> float32 (m,)."""
    total = _before(paid_sum, old["sums"][:, -1], steps.start)
    count = _before(payments, old["payments"], steps.start)
    mean = total / np.maximum(count, 1).astype(np.float32)
    known = mean > 0
    return np.where(known, steps.amounts / np.where(known, mean, 1), 1).astype(np.float32)


def _paid_max(old: Rows, steps: Steps, paid: Floats) -> Floats:
    # Floats from 0 up sort like their bits, so the integer maximum serves them too.
    bits = np.where(paid > 0, paid, np.float32(0)).view(np.int32)
    most = _running_max(bits, np.ascontiguousarray(old["paid_max"]).view(np.int32), steps)
    return most.astype(np.int32).view(np.float32)


def _running_max(
    values: npt.NDArray[np.integer[Any]], old: npt.NDArray[np.integer[Any]], steps: Steps
) -> Ints:
    """Maximum of `old` (V,) and a user's `values` (m,) up to each event; all in 0..2^32-1."""
    lifted = values.astype(np.int64)
    start = steps.start
    lifted[start] = np.maximum(lifted[start], old.astype(np.int64))
    lift = steps.user << 33  # a later user's values all lie above an earlier one's
    most: Ints = np.maximum.accumulate(lifted + lift) - lift
    return most


def _before(after: npt.NDArray[T], old: npt.NDArray[np.generic], start: Ints) -> npt.NDArray[T]:
    """The value just before each event, given the one after it (m,) and the stored (V,)."""
    before = np.empty_like(after)
    before[1:] = after[:-1]
    before[start] = old
    return before
