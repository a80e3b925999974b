"""Pairs of items that a user went through one soon after the other, counted in place.

An item has room for a few neighbours. A newcomer weaker than the weakest wears that one down
instead (Misra-Gries), so that what keeps coming back gets in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from streams.counters.item_view import Part


@kernel
def lead(leaders: Items, most: int, touched: Items, row_of: Items, counts: Floats) -> Items:
    """The `most` items with the highest counts, best first, after those `touched` have grown.

    Untouched items keep their order, so only leaders and touched ones can lead now. Equal counts
    go by index.
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


Items = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


@kernel
def count(
    items: Items,
    before: Items,
    counted: tuple[Floats, Floats, Floats],
    window: int,
    part: Part,
) -> None:
    """Add events of these weights to the items that have a row.

    Parameters
    ----------
    items
        int32 (n,): in log order.
    before
        int32 (n, B): items of the user's events just before, newest first, -1 = none.
    counted
        float32 (n,) each: what an event adds to popularity, to what is hot, and to visits and
        pairs.
    window
        Items before an event that it pairs with.
    part
        Is changed.
    """
    popularity, hot, visits = counted
    row_of, item_popularity, item_hot, item_visits = part[0], part[1], part[2], part[3]
    neighbours, weights, forward = part[4], part[5], part[6]
    for i in range(len(items)):
        item = items[i]
        row = row_of[item]
        if row < 0:
            continue
        item_popularity[row] += popularity[i]
        item_hot[row] += hot[i]
        item_visits[row] += visits[i]
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
                weight, none = visits[i] / np.float32(distance), np.float32(0)
                _pair(neighbours[row], weights[row], forward[row], other, weight, none)
                there = neighbours[other_row], weights[other_row], forward[other_row]
                _pair(there[0], there[1], there[2], item, weight, weight)


@kernel
def _pair(
    neighbours: Items,
    weights: Floats,
    forward: Floats,
    item: int,
    weight: np.float32,
    after: np.float32,
) -> None:
    """Add a weighted pair, `after` of it forward, to one item's neighbours (K,)."""
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
    else:  # who stays out wears the weakest down
        left = weights[weakest] - weight
        forward[weakest] *= left / weights[weakest]
        weights[weakest] = left
