"""Which candidates may be shown: available items that the user hasn't bought yet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.features.windows import Windows
from models.kernel import kernel
from schemas.events.kinds import Kind
from streams.histories.item_table import ItemTable
from streams.recommendations.sent_lists import Candidates, Policy

_PURCHASE = int(Kind.PURCHASE)

Items = npt.NDArray[np.int32]


def top_allowed(
    candidates: Candidates, windows: Windows, items: ItemTable, policy: Policy
) -> npt.NDArray[np.int64]:
    """Columns of the `top_k` best candidates that may be shown, -1 if there are fewer.

    Parameters
    ----------
    candidates, windows
        Of the same D decision points.
    items
        The worker's item table, with each item's availability.
    policy
        `top_k`, and whether items that the user bought are left out.

    Returns
    -------
    int64 (D, top_k)
        Best first; ties keep the candidates' order. Scores that aren't finite are left out.
    """
    order = np.full((len(candidates.items), policy.top_k), -1, np.int64)
    _top_allowed(
        candidates.items,
        candidates.scores,
        windows.items,
        windows.kinds,
        items.available,
        policy.exclude_bought,
        order,
    )
    return order


@kernel
def _top_allowed(
    items: Items,
    scores: npt.NDArray[np.float32],
    seen: Items,
    kinds: npt.NDArray[np.uint8],
    available: npt.NDArray[np.bool_],
    exclude_bought: bool,
    order: npt.NDArray[np.int64],
) -> None:
    top_k = order.shape[1]
    bought = np.empty(seen.shape[1], np.int32)
    for row in range(len(items)):
        n_bought = 0
        for j in range(seen.shape[1]):
            if exclude_bought and kinds[row, j] == _PURCHASE:
                bought[n_bought] = seen[row, j]
                n_bought += 1
        n = 0
        for column in range(items.shape[1]):
            item, score = items[row, column], scores[row, column]
            if item < 0 or not available[item] or not np.isfinite(score):
                continue
            if n == top_k and score <= scores[row, order[row, n - 1]]:
                continue
            allowed = True
            for j in range(n_bought):
                allowed &= bought[j] != item
            if not allowed:
                continue
            n = min(n + 1, top_k)
            place = n - 1
            while place > 0 and scores[row, order[row, place - 1]] < score:
                order[row, place] = order[row, place - 1]
                place -= 1
            order[row, place] = column
