"""What the user did with each candidate, out of the window: how often, how long ago, how.

In a shop most of what people go back to follows from what they did there: an item in the cart
waits to be bought, most of all while others are being bought; what was bought is done with.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.features.windows import Windows
from models.kernel import kernel
from schemas.events.kinds import Kind

NOW_S = 1_800
REPEAT_PRIOR = (0.5, 5.0)
"""A user without moves goes back to own items once in ten times."""

_VIEW, _CART, _PURCHASE = int(Kind.VIEW), int(Kind.CART), int(Kind.PURCHASE)

Items = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

OWN_FEATURES = {
    "own": "1 if the user had it in the window",
    "own_place": "1 / (1 + place by recency among the user's items)",
    "own_decay": "0.7 to the power of that place",
    "own_count": "log of the user's events on it",
    "own_view": "1 if the user's last action on it was a view",
    "own_cart": "1 if it was put into the cart",
    "own_purchase": "1 if it was bought",
    "own_viewed": "1 if it was ever viewed in the window",
    "own_carted": "1 if it was ever put into the cart",
    "own_bought": "1 if it was ever bought",
    "own_done": "1 if it was all three",
    "own_looked_viewing": "only looked at, and the newest event is a view",
    "own_looked_carting": "only looked at, and the newest event is a cart",
    "own_looked_buying": "only looked at, and the newest event is a purchase",
    "own_waits_viewing": "in the cart, not bought, and the newest event is a view",
    "own_waits_carting": "in the cart, not bought, and the newest event is a cart",
    "own_waits_buying": "in the cart, not bought, and the newest event is a purchase",
    "own_age": "log hours since the user's last action on it, / 8",
    "own_now": "1 if that was within 30 minutes",
    "own_rare": "own, over log2 of 1 + the user's items: few own items say more",
    "own_repeat": "own, times the share of the user's moves that went back to an own item",
    "own_again": "own, and the user's last move went back to an own item",
    "own_follows": "the user went there from the newest item the time before",
}
"""Name -> meaning, in the order of the columns; all are 0 where the user never had the item."""


def own_features(items: Items, windows: Windows, out: Floats) -> None:
    """`OWN_FEATURES` of candidates.

    Parameters
    ----------
    items
        int32 (D, C), -1 = none.
    windows
        Of the D decisions.
    out
        float32 (D, C, len(OWN_FEATURES)) of zeros, which is filled.
    """
    history = windows.items, windows.kinds, windows.times_s
    _own_features(items, *history, windows.lengths, windows.now_s, out)


@kernel
def _own_features(
    items: Items,
    history: Items,
    kinds: Bytes,
    times_s: Ints,
    lengths: Items,
    now_s: Ints,
    out: Floats,
) -> None:
    longest = history.shape[1]
    mine, newest = np.empty(longest, np.int32), np.empty(longest, np.int64)
    count, stages = np.empty(longest, np.int64), np.empty(longest, np.uint8)
    for d in range(len(items)):
        seen, did = history[d, : lengths[d]], kinds[d, : lengths[d]]
        n = _distinct(seen, did, mine, newest, count, stages)
        if n == 0:
            continue
        share, again, follower = _moves(seen, mine[0])
        for c in range(items.shape[1]):
            for place in range(n):
                if mine[place] == items[d, c]:
                    age_s = max(now_s[d] - times_s[d, newest[place]], 0)
                    kind, told = did[newest[place]], out[d, c]
                    told[0] = 1
                    told[1] = 1.0 / (1.0 + place)
                    told[2] = 0.7**place
                    told[3] = np.log1p(count[place])
                    told[4] = kind == _VIEW
                    told[5] = kind == _CART
                    told[6] = kind == _PURCHASE
                    _stages(stages[place], did[-1], told[7:17])
                    told[17] = np.log1p(age_s / 3_600.0) / 8.0
                    told[18] = age_s <= NOW_S
                    told[19] = 1.0 / np.log2(1.0 + n)
                    told[20] = share
                    told[21] = again
                    told[22] = items[d, c] == follower
                    break


@kernel
def _distinct(
    seen: Items, did: Bytes, mine: Items, newest: Ints, count: Ints, stages: Bytes
) -> int:
    """The distinct items of a history, newest first: their last events' places, how many events
    there were, and how far they came (1 viewed, 2 carted, 4 bought) -> how many items.
    """
    n = 0
    for at in range(len(seen) - 1, -1, -1):
        if seen[at] < 0:
            continue
        place = 0
        while place < n and mine[place] != seen[at]:
            place += 1
        if place == n:
            mine[n], newest[n], count[n], stages[n] = seen[at], at, 0, 0
            n += 1
        count[place] += 1
        if did[at] == _VIEW:
            stages[place] |= 1
        elif did[at] == _CART:
            stages[place] |= 2
        elif did[at] == _PURCHASE:
            stages[place] |= 4
    return n


@kernel
def _stages(stages: int, doing: int, told: Floats) -> None:
    """How far the user came with an item, crossed with what the user is doing now."""
    viewed, carted, bought = stages & 1 > 0, stages & 2 > 0, stages & 4 > 0
    looked, waits = viewed and not carted and not bought, carted and not bought
    told[0], told[1], told[2] = viewed, carted, bought
    told[3] = viewed and carted and bought
    told[4] = looked and doing == _VIEW
    told[5] = looked and doing == _CART
    told[6] = looked and doing == _PURCHASE
    told[7] = waits and doing == _VIEW
    told[8] = waits and doing == _CART
    told[9] = waits and doing == _PURCHASE


@kernel
def _moves(seen: Items, newest: int) -> tuple[float, bool, int]:
    """How the user moves between items.

    Returns
    -------
    tuple
        Share of moves to another item that went back to an own one; whether the last one did;
        where the user last went from the newest item, -2 = nowhere yet.
    """
    hits, tries = REPEAT_PRIOR
    before, again, follower = -1, False, -2
    for at in range(len(seen)):
        item = seen[at]
        if item < 0:
            continue
        if before >= 0 and item != before:
            again = False
            for earlier in range(at):
                again |= seen[earlier] == item
            tries += 1.0
            hits += again
            if before == newest:
                follower = item
        before = item
    return hits / tries, again, follower
