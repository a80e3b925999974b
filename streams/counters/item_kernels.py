"""Compiled loops of the item counters: leaders, and pairs of items that users visit in sequence.

An item has room for K neighbours. A new neighbour that is weaker than the weakest is not added, but
its weight is subtracted from the weakest (Misra-Gries), so that a recurring neighbour gets in.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Ints = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


@kernel
def lead(leaders: Items, most: int, touched: Items, row_of: Items, counts: Floats) -> Items:
    """The `most` items with the highest counts, best first, after the counts of `touched` grew.

    Untouched items keep their order, so only leaders and touched items can lead now. Items with
    equal counts are in the order of their numbers.
    """
    best, n = np.empty(most, np.int32), 0
    for item in leaders:
        moves = row_of[item] < 0
        for other in touched:
            moves |= other == item
        if not moves:
            best[n] = item
            n += 1
    for item in touched:
        row = row_of[item]
        if row < 0 or counts[row] <= 0:
            continue
        place, known = n, False
        for j in range(n):
            known |= best[j] == item
        if known:
            continue
        while place:
            other = best[place - 1]
            count = counts[row_of[other]]
            if count > counts[row] or (count == counts[row] and other < item):
                break
            place -= 1
        if place == most:
            continue
        n = min(n + 1, most)
        for j in range(n - 1, place, -1):
            best[j] = best[j - 1]
        best[place] = item
    return best[:n]


@kernel
def all_known(items: Items, before: Items, row_of: Items) -> bool:
    """Whether all `items` (n,) and the items `before` (n, B), -1 = none, have a row.

    The last entry of `row_of` belongs to no item.
    """
    for i in range(len(items)):
        if items[i] >= len(row_of) - 1 or row_of[items[i]] < 0:
            return False
        for other in before[i]:
            if other >= 0 and (other >= len(row_of) - 1 or row_of[other] < 0):
                return False
    return True


@kernel
def touched(items: Items, before: Items, row_of: Items, used: int) -> Ints:
    """The rows of `items` (n,) and of the items `before` (n, B), each once, int64."""
    seen = np.zeros(used, np.bool_)
    rows, n = np.empty(min(items.size + before.size, used), np.int64), 0
    for i in range(len(items)):
        for j in range(-1, before.shape[1]):
            item = items[i] if j < 0 else before[i, j]
            row = row_of[item] if item >= 0 else -1
            if row >= 0 and not seen[row]:
                seen[row] = True
                rows[n] = row
                n += 1
    return rows[:n]


@kernel
def count(
    items: Items,
    before: Items,
    times_s: Ints,
    landmarks_s: tuple[int, int, int],
    taus_s: tuple[float, float, float],
    window: int,
    row_of: Items,
    counts: tuple[Floats, Floats, Floats],
    pairs: tuple[Items, Floats, Floats],
) -> None:
    """Count n events; items without a row are skipped.

    Parameters
    ----------
    items, times_s
        int32 and int64 (n,): in log order; epoch seconds.
    before
        int32 (n, B): items of the user's preceding events, newest first, -1 = none.
    landmarks_s, taus_s
        The decays of `popularity`, of `hot`, and of visits and pairs.
    window
        Number of preceding items that an event's item pairs with.
    row_of, counts, pairs
        The fields of `Part`: `row_of`; `popularity`, `hot` and `visits`; `neighbours`, `weights`
        and `forward`. Changed in place.
    """
    item_popularity, item_hot, item_visits = counts
    neighbours, weights, forward = pairs
    for i in range(len(items)):
        item = items[i]
        row = row_of[item]
        if row < 0:
            continue
        item_popularity[row] += _weight(times_s[i], landmarks_s[0], taus_s[0])
        item_hot[row] += _weight(times_s[i], landmarks_s[1], taus_s[1])
        visit = _weight(times_s[i], landmarks_s[2], taus_s[2])
        item_visits[row] += visit
        distance = 0
        for j in range(before.shape[1]):
            other = before[i, j]
            if other < 0:
                continue
            distance += 1
            if distance > window:
                break
            other_row = row_of[other]
            if other_row >= 0 and other != item:
                weight, none = visit / np.float32(distance), np.float32(0)
                _pair(neighbours[row], weights[row], forward[row], other, weight, none)
                there = neighbours[other_row], weights[other_row], forward[other_row]
                _pair(there[0], there[1], there[2], item, weight, weight)


@kernel
def _weight(time_s: int, landmark_s: int, tau_s: float) -> np.float32:
    """`Decay.weights` of one event."""
    return np.float32(math.exp((time_s - landmark_s) / tau_s))


@kernel
def _pair(
    neighbours: Items,
    weights: Floats,
    forward: Floats,
    item: int,
    weight: np.float32,
    after: np.float32,
) -> None:
    """Add a pair to an item's neighbours (K,): `weight` both ways, of which `after` is forward."""
    for j in range(len(neighbours)):
        if neighbours[j] == item:
            weights[j] += weight
            forward[j] += after
            return
    weakest = 0
    for j in range(1, len(weights)):
        if weights[j] < weights[weakest]:
            weakest = j
    if weight > weights[weakest]:
        neighbours[weakest], weights[weakest], forward[weakest] = item, weight, after
    else:  # not added: reduces the weakest neighbour instead
        left = weights[weakest] - weight
        forward[weakest] *= left / weights[weakest]
        weights[weakest] = left
