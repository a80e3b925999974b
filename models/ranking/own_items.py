"""What the user did with each candidate in the window: how often, how long ago, and what.

In a shop, that predicts most returns to an item: an item in the cart waits to be bought, most of
all while the user buys others; a bought item is done with.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.features.windows import Windows
from models.kernel import kernel
from schemas.events.kinds import Kind

NOW_S = 1_800
"""Age up to which an action counts as part of the current visit."""
REPEAT_PRIOR = (0.5, 5.0)
"""Returns and moves assumed before any is seen: one move in ten goes back to an own item."""

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
"""Name -> meaning, in column order; all are 0 where the window lacks the item."""


def own_features(items: Items, windows: Windows, out: Floats) -> None:
    """Write `OWN_FEATURES` of the candidates into `out`.

    Parameters
    ----------
    items
        int32 (D, C): candidates, -1 = none.
    windows
        Windows of the D decisions.
    out
        float32 (D, C, len(OWN_FEATURES)), zeros.
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
    own, newest = np.empty(longest, np.int32), np.empty(longest, np.int64)
    count, stages = np.empty(longest, np.int64), np.empty(longest, np.uint8)
    for d in range(len(items)):
        visited, actions = history[d, : lengths[d]], kinds[d, : lengths[d]]
        n = _distinct(visited, actions, own, newest, count, stages)
        if n == 0:
            continue
        share, again, follower = _moves(visited, own[0])
        for c in range(items.shape[1]):
            for place in range(n):
                if own[place] == items[d, c]:
                    age_s = max(now_s[d] - times_s[d, newest[place]], 0)
                    kind, features = actions[newest[place]], out[d, c]
                    features[0] = 1
                    features[1] = 1.0 / (1.0 + place)
                    features[2] = 0.7**place
                    features[3] = np.log1p(count[place])
                    features[4] = kind == _VIEW
                    features[5] = kind == _CART
                    features[6] = kind == _PURCHASE
                    _stages(stages[place], actions[-1], features[7:17])
                    features[17] = np.log1p(age_s / 3_600.0) / 8.0
                    features[18] = age_s <= NOW_S
                    features[19] = 1.0 / np.log2(1.0 + n)
                    features[20] = share
                    features[21] = again
                    features[22] = items[d, c] == follower
                    break


@kernel
def _distinct(
    visited: Items, actions: Bytes, own: Items, newest: Ints, count: Ints, stages: Bytes
) -> int:
    """Find the distinct items of a history, newest first, and return how many there are.

    It fills, per item: `own` with the item, `newest` with the place of its last event, `count`
    with its events, `stages` with what happened to it (bits: 1 viewed, 2 carted, 4 bought).
    """
    n = 0
    for at in range(len(visited) - 1, -1, -1):
        if visited[at] < 0:
            continue
        place = 0
        while place < n and own[place] != visited[at]:
            place += 1
        if place == n:
            own[n], newest[n], count[n], stages[n] = visited[at], at, 0, 0
            n += 1
        count[place] += 1
        if actions[at] == _VIEW:
            stages[place] |= 1
        elif actions[at] == _CART:
            stages[place] |= 2
        elif actions[at] == _PURCHASE:
            stages[place] |= 4
    return n


@kernel
def _stages(stages: int, current: int, features: Floats) -> None:
    """Write an item's stages, crossed with the kind of the newest event, `current`."""
    viewed, carted, bought = stages & 1 > 0, stages & 2 > 0, stages & 4 > 0
    looked, waits = viewed and not carted and not bought, carted and not bought
    features[0], features[1], features[2] = viewed, carted, bought
    features[3] = viewed and carted and bought
    features[4] = looked and current == _VIEW
    features[5] = looked and current == _CART
    features[6] = looked and current == _PURCHASE
    features[7] = waits and current == _VIEW
    features[8] = waits and current == _CART
    features[9] = waits and current == _PURCHASE


@kernel
def _moves(visited: Items, newest: int) -> tuple[float, bool, int]:
    """How the user moves between items.

    Returns
    -------
    tuple
        Share of moves to another item that went back to an own item; whether the last move did;
        the item after the last visit to `newest`, -2 = none yet.
    """
    hits, moves = REPEAT_PRIOR
    before, again, follower = -1, False, -2
    for at in range(len(visited)):
        item = visited[at]
        if item < 0:
            continue
        if before >= 0 and item != before:
            again = False
            for earlier in range(at):
                again |= visited[earlier] == item
            moves += 1.0
            hits += again
            if before == newest:
                follower = item
        before = item
    return hits / moves, again, follower
