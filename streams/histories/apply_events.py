"""How events change a history, event by event: duplicates, late events, disorder, running sums.

A record with several products has several rows but is a single event: its rows share user, kind
and time, and are accepted or refused together. The rules for each record, in log order:

1. Duplicate: the (message, item, kind) of any of its rows is among the user's last L events.
2. Late: the record is older than the user's newest event by more than `late_s`.
3. Otherwise each row is accepted and inserted by event time, after events of the same second. If
   there are more than L events then, the oldest is dropped, which may be the new event itself.
4. An accepted row advances the user's running sums, and may ask for a decision
   (`decision_points.py` says when). The decision sees the user's last L events up to and including
   the row, and the sums after it. The last row asks on behalf of its whole record.

The running sums reach back further than the last L events. Decayed sums are as of the user's newest
event: a newer event first decays them by the time passed, an older event is added already decayed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from schemas.events.kinds import Kind
from streams.histories.decision_points import Task
from streams.histories.event_arrays import Bools, Events, Items, Results, Rules, Tables
from streams.histories.item_table import NO_ITEM
from streams.histories.user_rows import UserColumns

_Event = tuple[int, int, np.float32, np.uint32, np.uint32, int]
"""Number of the item, seconds, amount, entity, message, kind: as a history holds an event."""


class Outcome(IntEnum):
    """What happened to an event."""

    ACCEPTED = 0
    DUPLICATE = 1
    LATE = 2


DAY_S = 86_400
SESSION_GAP_S = 1_800
_RATES = 1.0 / (np.array([15, 45, 120], np.float64) * DAY_S)  # decay per second of the sums
_PURCHASE, _PAYMENT, _CANCEL = int(Kind.PURCHASE), int(Kind.PAYMENT), int(Kind.CANCEL)
_RISK, _RECOMMEND, _CHURN = int(Task.RISK), int(Task.RECOMMEND), int(Task.CHURN)
_ACCEPTED, _DUPLICATE = int(Outcome.ACCEPTED), int(Outcome.DUPLICATE)
_LATE, _NEW = int(Outcome.LATE), -1


@kernel
def apply_events(
    users: UserColumns, events: Events, tables: Tables, rules: Rules, results: Results
) -> tuple[int, int]:
    """Apply n events to the users' rows by the rules 1 to 4 of this module.

    Parameters
    ----------
    users
        The users' rows: changed in place.
    events
        In log order; the rows of a record are adjacent.
    tables, rules
        Users and items; lateness and decision points.
    results
        From `Results.allocate`; filled in place.

    Returns
    -------
    tuple
        D, the number of decision points; and how many accepted records were older than their
        user's newest event.
    """
    histories, sums = users
    h_item, h_time, _, _, h_message, h_kind = histories
    applied, last_s, last_point_s, length = sums[0], sums[2], sums[4], sums[-1]
    slots, kinds, items, ends = events.slots, events.kinds, events.items, events.ends
    most, lookback = results.items.shape[1], results.before.shape[1]
    points = disordered = tasks = 0
    outcome = _NEW
    for i in range(len(slots)):
        slot = slots[i]
        results.outcomes[i], results.ratios[i], results.before[i, :] = _ACCEPTED, 1, NO_ITEM
        if slot < 0:
            continue
        t = max(events.times_ms[i] // 1000, 0)
        entity = np.uint32(events.entities[i, 0]) if events.entities.shape[1] else np.uint32(0)
        message = np.uint32(events.messages[i])
        event = (items[i], t, events.amounts[i], entity, message, kinds[i])
        applied[slot] = events.offsets[i]
        n = int(length[slot])
        newest = int(h_time[slot, n - 1]) if n else t
        if outcome == _NEW:  # the first row decides for the whole record
            outcome = _LATE if t < newest - rules.late_s else _ACCEPTED  # rule 2
            for j in range(n):  # rule 1
                same = h_message[slot, j] == message and h_kind[slot, j] == kinds[i]
                if same and _in_record(h_item[slot, j], items, ends, i):
                    outcome = _DUPLICATE
        results.outcomes[i] = outcome
        if outcome == _ACCEPTED:
            place = n  # rule 3
            while place and h_time[slot, place - 1] > t:
                place -= 1
            begin = max(0, place + 1 - most)
            for j in range(min(lookback, place - begin)):
                results.before[i, j] = h_item[slot, place - 1 - j]
            disordered += t < newest and ends[i]
            results.ratios[i] = _sum_up(  # rule 4
                sums, slot, t, kinds[i], events.amounts[i], results.accumulators[points]
            )
            point_s = int(last_point_s[slot])
            due = rules.asking[kinds[i]] or point_s == 0 or t - point_s >= rules.refresh_s
            tasks = _RISK if rules.watched[kinds[i]] else 0
            if due and t >= last_s[slot]:
                tasks |= _RECOMMEND | _CHURN
            if tasks:
                results.rows[points], results.tasks[points], results.now_s[points] = i, tasks, t
                results.owners[points] = tables.owners[slot]
                _fill_window(histories, slot, begin, place, event, tables, results, points)
            length[slot] = _insert(histories, slot, n, place, event)  # rule 3
        if ends[i]:
            outcome = _NEW
            if tasks:
                if tasks & _RECOMMEND:
                    last_point_s[slot] = results.now_s[points]
                points += 1
            tasks = 0
    return points, disordered


@kernel
def _in_record(item: int, items: Items, ends: Bools, first: int) -> bool:
    """Whether a row of the record that begins at `first` has this item."""
    i = first
    while items[i] != item and not ends[i]:
        i += 1
    return bool(items[i] == item)


@kernel
def _fill_window(
    histories: tuple[npt.NDArray[Any], ...],
    slot: int,
    begin: int,
    place: int,
    event: _Event,
    tables: Tables,
    results: Results,
    point: int,
) -> None:
    """Fill window `point`: the user's events `begin` to `place`, then `event`, then padding."""
    h_item, h_time, h_amount, h_entity, _, h_kind = histories
    numbers, last = results.numbers[point], place - begin
    results.lengths[point] = last + 1
    for j in range(last):
        numbers[j] = h_item[slot, begin + j]
        results.kinds[point, j] = h_kind[slot, begin + j]
        results.times_s[point, j] = h_time[slot, begin + j]
        results.amounts[point, j] = h_amount[slot, begin + j]
        results.entities[point, j] = h_entity[slot, begin + j]
    (
        numbers[last], results.times_s[point, last], results.amounts[point, last],
        results.entities[point, last], _, results.kinds[point, last],
    ) = event  # fmt: skip
    numbers[last + 1 :] = NO_ITEM
    results.kinds[point, last + 1 :] = 0
    results.times_s[point, last + 1 :] = 0
    results.amounts[point, last + 1 :] = 0
    results.entities[point, last + 1 :] = 0
    for j in range(len(numbers)):
        item = tables.indices[numbers[j]] if numbers[j] >= 0 else NO_ITEM
        results.items[point, j] = item
        results.categories[point, j] = tables.categories[item] if item >= 0 else -1


@kernel
def _insert(
    histories: tuple[npt.NDArray[Any], ...], slot: int, n: int, place: int, event: _Event
) -> int:
    """Insert `event` at `place` into a history of `n` events -> its new number of events.

    Later events move up; in a full history earlier events move down instead.
    """
    h_item, h_time, h_amount, h_entity, h_message, h_kind = histories
    if n < h_item.shape[1]:
        step, first, last, n = -1, n, place, n + 1
    else:
        step, first, last = 1, 0, place - 1
    for j in range(first, last, step):
        h_item[slot, j] = h_item[slot, j + step]
        h_time[slot, j] = h_time[slot, j + step]
        h_amount[slot, j] = h_amount[slot, j + step]
        h_entity[slot, j] = h_entity[slot, j + step]
        h_message[slot, j] = h_message[slot, j + step]
        h_kind[slot, j] = h_kind[slot, j + step]
    if last >= 0:
        (
            h_item[slot, last], h_time[slot, last], h_amount[slot, last],
            h_entity[slot, last], h_message[slot, last], h_kind[slot, last],
        ) = event  # fmt: skip
    return n


@kernel
def _sum_up(
    sums: tuple[npt.NDArray[Any], ...],
    slot: int,
    t: int,
    kind: int,
    amount: np.float32,
    out: npt.NDArray[np.float64],
) -> np.float32:
    """Advance a user's running sums by an event, and write them to `out` in the order of `A_NAMES`.

    Returns
    -------
    float32
        The amount over the mean of the user's earlier payments, 1 if there are none.
    """
    (_, first_s, last_s, last_purchase_s, _, events, purchases, payments, sessions, gap_days_sumsq,
     decayed, paid_max, cancels, active_days, gap_days_max, order_days, day_gaps,
     _) = sums  # fmt: skip
    mean_paid = decayed[slot, 7] / np.float32(max(payments[slot], 1))
    ratio = amount / mean_paid if mean_paid > 0 else np.float32(1)
    newest = int(last_s[slot])
    first = events[slot] == 0
    passed = 0 if first else t - newest
    gap_days = 0 if first else max(0, t // DAY_S - newest // DAY_S)
    visit = first or passed > SESSION_GAP_S
    bought = amount if kind == _PURCHASE else np.float32(0)
    paid = amount if kind == _PAYMENT else np.float32(0)

    if gap_days:
        for j in range(day_gaps.shape[1] - 1, 0, -1):
            day_gaps[slot, j] = day_gaps[slot, j - 1]
        day_gaps[slot, 0] = min(gap_days, 2**16 - 1)
    if kind == _PURCHASE and t // DAY_S > int(last_purchase_s[slot]) // DAY_S:
        order_days[slot] = min(int(order_days[slot]) + 1, 2**16 - 1)
    first_s[slot] = t if first else min(t, int(first_s[slot]))
    last_s[slot] = max(t, newest)
    if kind == _PURCHASE:
        last_purchase_s[slot] = max(t, int(last_purchase_s[slot]))
    events[slot] += 1
    purchases[slot] += kind == _PURCHASE
    payments[slot] += kind == _PAYMENT
    sessions[slot] += visit
    gap_days_sumsq[slot] = min(int(gap_days_sumsq[slot]) + gap_days * gap_days, 2**32 - 1)
    # These fields have 16 bits: they saturate instead of wrapping.
    cancels[slot] = min(int(cancels[slot]) + (kind == _CANCEL), 2**16 - 1)
    active_days[slot] = min(int(active_days[slot]) + (first or gap_days > 0), 2**16 - 1)
    gap_days_max[slot] = min(max(int(gap_days_max[slot]), gap_days), 2**16 - 1)
    for j in range(len(_RATES)):
        keep = np.float32(np.exp(-max(passed, 0) * _RATES[j]))
        aged = np.exp(min(passed, 0) * _RATES[j])
        decayed[slot, j] = decayed[slot, j] * keep + np.float32(visit)
        decayed[slot, j + 3] = decayed[slot, j + 3] * keep + np.float32(bought * aged)
    decayed[slot, 6] += bought
    decayed[slot, 7] += paid
    paid_max[slot] = max(paid_max[slot], paid)

    out[0], out[1], out[2] = first_s[slot], last_s[slot], last_purchase_s[slot]
    out[3], out[4], out[5] = events[slot], purchases[slot], payments[slot]
    out[6], out[7], out[8] = cancels[slot], sessions[slot], active_days[slot]
    out[9], out[10] = gap_days_max[slot], gap_days_sumsq[slot]
    n = 11 + day_gaps.shape[1]
    out[11:n], out[n] = day_gaps[slot], order_days[slot]
    out[n + 1], out[n + 2], out[n + 3] = decayed[slot, 6], decayed[slot, 7], paid_max[slot]
    out[n + 4 : n + 10] = decayed[slot, :6]
    return ratio
