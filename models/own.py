"""What the user did with each candidate, out of the window: how often, how long ago, how.

In a shop most of what people go back to follows from what they did there: an item in the cart
waits to be bought, most of all while others are being bought; what was bought is done with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.aggregates import last_occurrences
from models.windows import Windows
from schemas.kinds import Kind

NOW_S = 1_800
REPEAT_PRIOR = (0.5, 5.0)
"""A user without moves goes back to own items once in ten times."""

Items = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]

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
"""Name -> meaning."""


def own_features(items: Items, windows: Windows) -> Columns:
    """`OWN_FEATURES` of candidates (D, C), by name, (D, C) each."""
    longest = int(windows.lengths.max(initial=1))
    history, kinds = windows.items[:, :longest], windows.kinds[:, :longest]  # (D, L)
    mine = (items[:, :, None] == history[:, None, :]) & (items >= 0)[:, :, None]  # (D, C, L)
    has = mine.any(axis=2)
    newest = longest - 1 - mine[:, :, ::-1].argmax(axis=2)  # (D, C)
    last = last_occurrences(windows.items)[:, :longest] & (history >= 0)
    later = last.sum(axis=1, keepdims=True) - np.cumsum(last, axis=1)  # distinct items after
    place = np.where(has, np.take_along_axis(later, newest, axis=1), -1)
    kind = np.where(has, np.take_along_axis(kinds, newest, axis=1), 0)
    age_s = windows.now_s[:, None] - np.take_along_axis(windows.times_s, newest, axis=1)
    age_s = np.maximum(age_s, 0)
    distinct = np.maximum(last.sum(axis=1, keepdims=True), 1)
    repeats, again, follower = _moves(history)
    return {
        "own": has,
        "own_place": np.where(has, 1.0 / (1.0 + np.maximum(place, 0)), 0.0),
        "own_decay": np.where(has, 0.7 ** np.maximum(place, 0), 0.0),
        "own_count": np.log1p(mine.sum(axis=2)),
        "own_view": kind == Kind.VIEW,
        "own_cart": kind == Kind.CART,
        "own_purchase": kind == Kind.PURCHASE,
        **_stages(mine, kinds, windows),
        "own_age": np.where(has, np.log1p(age_s / 3_600.0) / 8.0, 0.0),
        "own_now": has & (age_s <= NOW_S),
        "own_rare": np.where(has, 1.0 / np.log2(1.0 + distinct), 0.0),
        "own_repeat": has * repeats[:, None],
        "own_again": has & again[:, None],
        "own_follows": has & (items == follower[:, None]),
    }


def _stages(mine: npt.NDArray[np.bool_], kinds: npt.NDArray[np.uint8], windows: Windows) -> Columns:
    """How far the user came with each candidate, crossed with what the user is doing now."""
    viewed, carted, bought = (
        (mine & (kinds == kind)[:, None, :]).any(axis=2)
        for kind in (Kind.VIEW, Kind.CART, Kind.PURCHASE)
    )
    doing = windows.kinds[np.arange(len(windows)), windows.lengths - 1][:, None]
    looked, waits = viewed & ~carted & ~bought, carted & ~bought
    return {
        "own_viewed": viewed,
        "own_carted": carted,
        "own_bought": bought,
        "own_done": viewed & carted & bought,
        "own_looked_viewing": looked & (doing == Kind.VIEW),
        "own_looked_carting": looked & (doing == Kind.CART),
        "own_looked_buying": looked & (doing == Kind.PURCHASE),
        "own_waits_viewing": waits & (doing == Kind.VIEW),
        "own_waits_carting": waits & (doing == Kind.CART),
        "own_waits_buying": waits & (doing == Kind.PURCHASE),
    }


def _moves(history: Items) -> tuple[npt.NDArray[np.float64], Bools, Items]:
    """How the user moves between items, out of items (D, L), -1 = none.

    Returns
    -------
    tuple
        Share of moves to another item that went back to an own one (D,); whether the last one
        did (D,); where the user last went from the newest item (D,), -2 = nowhere yet.
    """
    d, length = history.shape
    rows, places = np.arange(d), np.arange(length)
    before = np.full_like(history, -1)  # the item before each event, events without one skipped
    for at in range(1, length):
        before[:, at] = np.where(history[:, at - 1] >= 0, history[:, at - 1], before[:, at - 1])
    moved = (history >= 0) & (before >= 0) & (history != before)
    earlier = np.tril(np.ones((length, length), np.bool_), -1)
    known = ((history[:, :, None] == history[:, None, :]) & earlier).any(axis=2)
    back = moved & known
    last_move = np.where(moved, places, 0).max(axis=1, initial=0)
    hits, tries = REPEAT_PRIOR
    share = (back.sum(axis=1) + hits) / (moved.sum(axis=1) + tries)
    newest = np.where(history >= 0, places, 0).max(axis=1, initial=0)
    left = moved & (before == history[rows, newest][:, None])  # moves away from the newest item
    arrived = np.where(left, places, -1).max(axis=1, initial=-1)
    follower = np.where(arrived >= 0, history[rows, np.maximum(arrived, 0)], np.int32(-2))
    return share, back[rows, last_move], follower.astype(np.int32)
