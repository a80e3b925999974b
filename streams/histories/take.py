"""The meaning of a history, event by event: duplicates, late events, disorder, running sums.

A record with several products has several rows, and is one event: all its rows have one user, kind
and time, and they stand or fall together. For each record in log order:

1. one of which any row's (message, item, kind) was among the user's last L events before it is a
   duplicate;
2. one that is older than the user's newest by more than `late_s` is late;
3. of any other each row is accepted and takes its place by event time, after those of the same
   second; beyond L events the oldest goes (which may be the new one itself);
4. an accepted row advances the user's running sums, and may ask for a decision: `points` says
   when. The decision sees the user's last L events up to and including it, and the sums after it;
   a record's last row asks for all of it.

The running sums reach back further than the last L events. The decayed ones stand at the user's
newest event: a newer event decays them by the time passed, an older one comes in decayed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.features.windows import A_NAMES
from models.kernel import kernel
from schemas.events.kinds import Kind
from streams.histories.decision_points import Task
from streams.histories.item_table import NO_ITEM
from streams.histories.user_rows import PER_EVENT, PER_USER

Ints = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


class Outcome(IntEnum):
    """What became of an event."""

    ACCEPTED = 0
    DUPLICATE = 1
    LATE = 2


class Events(NamedTuple):
    """A batch of n events as a kernel reads them.

    Attributes
    ----------
    slots
        int64 (n,): of the user's row, negative = the event enters no history.
    entities, messages
        uint32 (n,): low half of the primary entity's hash and of the message id's.
    """

    slots: Ints
    offsets: Ints
    times_s: Ints
    kinds: Bytes
    items: Items
    amounts: Floats
    entities: Words
    messages: Words
    ends: Bools


class Rules(NamedTuple):
    """When an event is late and when it asks for a decision (`points.PointPolicy`)."""

    late_s: int
    refresh_s: int
    watched: Bools
    asking: Bools


class Taken(NamedTuple):
    """What became of n events, and the windows of those that ask for a decision: D <= n of them.

    Attributes
    ----------
    outcomes, before, ratios
        (n,), (n, B), (n,): as `histories.Applied`.
    rows, tasks
        int64, uint8 (n,): the first D entries are the decision points.
    items, kinds, times_s, amounts, entities, lengths, now_s, accumulators
        As `models.features.windows.Windows`, with n rows of which D are filled.
    """

    outcomes: Bytes
    before: Items
    ratios: Floats
    rows: Ints
    tasks: Bytes
    items: Items
    kinds: Bytes
    times_s: Ints
    amounts: Floats
    entities: Words
    lengths: Items
    now_s: Ints
    accumulators: npt.NDArray[np.float64]

    @staticmethod
    def room(n: int, length: int, before: int) -> Taken:
        """Room for `n` events whose windows hold `length`."""
        shape = (n, length)
        return Taken(
            outcomes=np.zeros(n, np.uint8),
            before=np.full((n, before), NO_ITEM, np.int32),
            ratios=np.ones(n, np.float32),
            rows=np.empty(n, np.int64),
            tasks=np.empty(n, np.uint8),
            items=np.empty(shape, np.int32),
            kinds=np.empty(shape, np.uint8),
            times_s=np.empty(shape, np.int64),
            amounts=np.empty(shape, np.float32),
            entities=np.empty(shape, np.uint32),
            lengths=np.empty(n, np.int32),
            now_s=np.empty(n, np.int64),
            accumulators=np.empty((n, len(A_NAMES)), np.float64),
        )


DAY_S = 86_400
SESSION_GAP_S = 1_800
_RATES = 1.0 / (np.array([15, 45, 120], np.float64) * DAY_S)  # of the decayed sums
_PURCHASE, _PAYMENT, _CANCEL = int(Kind.PURCHASE), int(Kind.PAYMENT), int(Kind.CANCEL)
_RISK, _RECOMMEND, _CHURN = int(Task.RISK), int(Task.RECOMMEND), int(Task.CHURN)


_ACCEPTED, _DUPLICATE = int(Outcome.ACCEPTED), int(Outcome.DUPLICATE)
_LATE, _NEW = int(Outcome.LATE), -1


def take(rows: npt.NDArray[Any], events: Events, rules: Rules, taken: Taken) -> tuple[int, int]:
    """Take events into the users' `rows` (`user_rows.row_type`), say in `taken` what came of it.

    Returns
    -------
    D, and how many accepted records were older than their user's newest event.
    """
    points, disordered = _take(
        tuple(rows[name] for name in PER_EVENT),
        tuple(rows[name] for name in PER_USER),
        events,
        rules,
        taken,
    )
    return points, disordered


@kernel
def _take(
    histories: tuple[npt.NDArray[Any], ...],  # PER_EVENT, each (users, L)
    sums: tuple[npt.NDArray[Any], ...],  # PER_USER, each (users,) or (users, k)
    events: Events,
    rules: Rules,
    taken: Taken,
) -> tuple[int, int]:
    h_item, h_time, _, _, h_message, h_kind = histories
    applied, last_s, last_point_s, length = sums[0], sums[2], sums[4], sums[-1]
    slots, offsets, times_s = events.slots, events.offsets, events.times_s
    kinds, items, amounts = events.kinds, events.items, events.amounts
    messages, ends = events.messages, events.ends
    most, lookback = h_item.shape[1], taken.before.shape[1]
    points = disordered = asked = 0
    outcome = _NEW
    for i in range(len(slots)):
        slot, t = slots[i], times_s[i]
        if slot < 0:
            continue
        applied[slot] = offsets[i]
        n = int(length[slot])
        newest = int(h_time[slot, n - 1]) if n else t
        if outcome == _NEW:  # the record's first row speaks for all
            outcome = _LATE if t < newest - rules.late_s else _ACCEPTED  # 2
            for j in range(n):  # 1
                same = h_message[slot, j] == messages[i] and h_kind[slot, j] == kinds[i]
                if same and _in_record(h_item[slot, j], items, ends, i):
                    outcome = _DUPLICATE
        taken.outcomes[i] = outcome
        if outcome == _ACCEPTED:
            place = n  # 3
            while place and h_time[slot, place - 1] > t:
                place -= 1
            begin = max(0, place + 1 - most)
            for j in range(min(lookback, place - begin)):
                taken.before[i, j] = h_item[slot, place - 1 - j]
            disordered += t < newest and ends[i]
            taken.ratios[i] = _sum_up(  # 4
                sums, slot, t, kinds[i], amounts[i], taken.accumulators[points]
            )
            point_s = int(last_point_s[slot])
            due = rules.asking[kinds[i]] or point_s == 0 or t - point_s >= rules.refresh_s
            asked = _RISK if rules.watched[kinds[i]] else 0
            if due and t >= last_s[slot]:
                asked |= _RECOMMEND | _CHURN
            if asked:
                taken.rows[points], taken.tasks[points], taken.now_s[points] = i, asked, t
                _show(histories, slot, begin, place, events, i, taken, points)
            length[slot] = _insert(histories, n, place, slot, events, i)  # 3
        if ends[i]:
            outcome = _NEW
            if asked:
                if asked & _RECOMMEND:
                    last_point_s[slot] = taken.now_s[points]
                points += 1
            asked = 0
    return points, disordered


@kernel
def _in_record(
    item: int, items: npt.NDArray[np.int32], ends: npt.NDArray[np.bool_], first: int
) -> bool:
    """Whether a row of the record that begins at `first` has this item."""
    i = first
    while items[i] != item and not ends[i]:
        i += 1
    return bool(items[i] == item)


@kernel
def _show(
    histories: tuple[npt.NDArray[Any], ...],
    slot: int,
    begin: int,
    place: int,
    events: Events,
    i: int,
    taken: Taken,
    point: int,
) -> None:
    """Window number `point`: the user's events `begin` to `place`, then event `i`, then nothing."""
    h_item, h_time, h_amount, h_entity, _, h_kind = histories
    last = place - begin
    taken.lengths[point] = last + 1
    for j in range(last):
        taken.items[point, j] = h_item[slot, begin + j]
        taken.kinds[point, j] = h_kind[slot, begin + j]
        taken.times_s[point, j] = h_time[slot, begin + j]
        taken.amounts[point, j] = h_amount[slot, begin + j]
        taken.entities[point, j] = h_entity[slot, begin + j]
    taken.items[point, last], taken.kinds[point, last] = events.items[i], events.kinds[i]
    taken.times_s[point, last], taken.amounts[point, last] = events.times_s[i], events.amounts[i]
    taken.entities[point, last] = events.entities[i]
    taken.items[point, last + 1 :] = NO_ITEM
    taken.kinds[point, last + 1 :] = 0
    taken.times_s[point, last + 1 :] = 0
    taken.amounts[point, last + 1 :] = 0
    taken.entities[point, last + 1 :] = 0


@kernel
def _insert(
    histories: tuple[npt.NDArray[Any], ...], n: int, place: int, slot: int, events: Events, i: int
) -> int:
    """Put event `i` at `place` of a history of `n` events -> how many it holds then.

    Later events move up, or in a full history earlier ones down.
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
        h_item[slot, last], h_kind[slot, last] = events.items[i], events.kinds[i]
        h_time[slot, last], h_amount[slot, last] = events.times_s[i], events.amounts[i]
        h_entity[slot, last], h_message[slot, last] = events.entities[i], events.messages[i]
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
    """Advance one user's running sums by an event and write them to `out`, in order of `A_NAMES`.

    Returns
    -------
    The amount over the user's mean payment before it, 1 where there was none.
    """
    (_, first_s, last_s, last_purchase_s, _, events, purchases, payments, sessions, gap_days_sumsq,
     decayed, paid_max, cancels, active_days, gap_days_max, order_days, day_gaps,
     _) = sums  # fmt: skip
    total = decayed[slot, 7] / np.float32(max(payments[slot], 1))
    ratio = amount / total if total > 0 else np.float32(1)
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
    # These have 16 bits: they saturate rather than wrap.
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
