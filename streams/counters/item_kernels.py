"""Compiled loops of the item counters: leaders, and pairs of items that users visit in sequence.

An item has room for K neighbours. A new neighbour that is weaker than the weakest is not added, but
its weight is subtracted from the weakest (Misra-Gries), so that a recurring neighbour gets in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from streams.counters.item_view import Part


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
    """Count n events; items without a row are skipped.

    Parameters
    ----------
    items
        int32 (n,): in log order.
    before
        int32 (n, B): items of the user's preceding events, newest first, -1 = none.
    counted
        float32 (n,) each: an event's weight for `popularity`, for `hot`, and for visits and pairs.
    window
        Number of preceding items that an event's item pairs with.
    part
        The counters; changed in place.
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
