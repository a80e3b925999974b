"""The items that lead by a count, kept ready while counts grow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Items = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


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
