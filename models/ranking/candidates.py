"""What the ranker knows about each candidate of a decision.

`Pool` is what was gathered: from the live counters, the engine and the user's own history.
`candidate_features` turns it into numbers, for the worker, for fitting and for evaluation alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.features.windows import Windows
from models.kernel import kernel
from models.ranking.own_items import OWN_FEATURES, own_features
from schemas.column_rows import Columns
from schemas.events.kinds import Kind

_CART, _PURCHASE = int(Kind.CART), int(Kind.PURCHASE)

Items = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

CANDIDATE_FEATURES = {
    "near": "log co-visitation with the user's recent items, live",
    "near_share": "the same as a share of the row's strongest",
    "next_to": "log co-visitation with the newest item alone",
    "near_place": "1 / (1 + place by co-visitation)",
    "ahead": "log of the part of near where the item came after the recent ones",
    "ahead_share": "the same as a share of the row's strongest",
    "next_ahead": "log of the part of next_to where the item came after",
    "popular": "log of the item's decayed events, live",
    "hot": "log of those of the last hours",
    "usual": "log of those of the last months",
    "offered": "1 if the counters offered it",
    "engine": "log-probability by the network, -15 at least and for items it doesn't know",
    "engine_share": "that probability",
    "engine_place": "1 / (1 + place by the network), 0 beyond its list",
    "known": "1 if the network knows the item",
    "bias": "the network's own popularity of the item",
    **OWN_FEATURES,
    "own_near": "own and co-visited: the product of own and near_share",
    "own_after_purchase": "own, if the newest event was a purchase",
    "own_after_cart": "own, if the newest event was a cart",
}
"""Name -> meaning, in the order of the feature array's last axis."""

PARTS = {
    "network": ("engine", "engine_share", "engine_place", "known", "bias"),
    "covisitation": (
        "near",
        "near_share",
        "next_to",
        "near_place",
        "ahead",
        "ahead_share",
        "next_ahead",
        "own_near",
    ),
    "popularity": ("popular",),
    "trend": ("hot", "usual"),
    "own items": (*OWN_FEATURES, "own_near", "own_after_purchase", "own_after_cart"),
}
"""What a list is made of, and the features that each part brings."""

NEAR_EPSILON = 1e-3
LOWEST = -15.0


@dataclass(frozen=True, slots=True)
class Pool(Columns):
    """C candidates of each of D decisions, any order, none twice in a row.

    Attributes
    ----------
    items
        int32 (D, C): the worker's item index, -1 = none.
    near, next_to
        float32 (D, C): live co-visitation with the recent items and with the newest alone, 0
        where the counters didn't offer it.
    ahead, next_ahead
        float32 (D, C): the part of either where the item came after.
    popular, hot, usual
        float32 (D, C): events of the item in the last days, hours and months, likewise.
    offered
        bool (D, C).
    engine
        float32 (D, C): log-probability by the network, `LOWEST` where it doesn't know the item.
    engine_place
        int64 (D, C): place in the engine's list from 0, -1 = not in it.
    known
        bool (D, C).
    bias
        float32 (D, C).
    sources
        uint8 (D, C): `streams.counters.suggestions.Source`.
    """

    items: npt.NDArray[np.int32]
    near: Floats
    next_to: Floats
    ahead: Floats
    next_ahead: Floats
    popular: Floats
    hot: Floats
    usual: Floats
    offered: npt.NDArray[np.bool_]
    engine: Floats
    engine_place: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    bias: Floats
    sources: npt.NDArray[np.uint8]


def candidate_features(pool: Pool, windows: Windows) -> Floats:
    """Features (D, C, R) in the order of `CANDIDATE_FEATURES`; 0 where there is no candidate."""
    features = np.zeros((*pool.items.shape, len(CANDIDATE_FEATURES)), np.float32)
    if not len(features):  # of nothing a slice counts as contiguous: a kernel of its own, compiled
        return features
    begin = list(CANDIDATE_FEATURES).index(next(iter(OWN_FEATURES)))
    end = begin + len(OWN_FEATURES)
    own_features(pool.items, windows, features[:, :, begin:end])
    newest = windows.kinds[np.arange(len(windows)), windows.lengths - 1]
    _told(
        pool.items,
        (pool.near, pool.next_to, pool.ahead, pool.next_ahead),
        (pool.popular, pool.hot, pool.usual),
        (pool.engine, pool.bias),
        (pool.offered, pool.known),
        pool.engine_place,
        newest,
        (features[:, :, :begin], features[:, :, begin], features[:, :, end:]),
    )
    return features


@kernel
def _told(
    items: Items,
    nearness: tuple[Floats, Floats, Floats, Floats],
    events: tuple[Floats, Floats, Floats],
    network: tuple[Floats, Floats],
    flags: tuple[Bools, Bools],
    places: Ints,
    newest: Bytes,
    out: tuple[Floats, Floats, Floats],
) -> None:
    """All but the own features: those before them (D, C, 16) and those after (D, C, 3)."""
    nears, next_tos, aheads, next_aheads = nearness
    populars, hots, usuals = events
    engines, biases = network
    offered, known = flags
    before, own, after = out
    strong, lowest = np.empty(items.shape[1], np.float32), np.exp(LOWEST)
    for d in range(len(items)):
        near, n, top = nears[d], 0, np.float32(1e-9)
        ahead, furthest = aheads[d], np.float32(1e-9)
        for c in range(len(near)):
            if near[c] > 0:
                strong[n] = near[c]
                n += 1
                top, furthest = max(top, near[c]), max(furthest, ahead[c])
        at = 0  # of the candidate among the strong ones
        for c in range(len(near)):
            near_place, engine_place = 0.0, 0.0
            if near[c] > 0:
                stronger = 0
                for other in range(n):
                    stronger += strong[other] > near[c] or (strong[other] == near[c] and other < at)
                near_place = 1.0 / (1.0 + stronger)
                at += 1
            if items[d, c] < 0:
                continue
            share = near[c] / top
            if places[d, c] >= 0:
                engine_place = 1.0 / (1.0 + places[d, c])
            told = before[d, c]
            # Where the counters know nothing, all of this is 0: no logarithms of 1.
            if near[c] > 0:
                told[0] = np.log(near[c] / NEAR_EPSILON + 1.0)
                told[1] = share
                told[4] = np.log(ahead[c] / NEAR_EPSILON + 1.0)
                told[5] = ahead[c] / furthest
            if next_tos[d, c] > 0:
                told[2] = np.log(next_tos[d, c] / NEAR_EPSILON + 1.0)
                told[6] = np.log(next_aheads[d, c] / NEAR_EPSILON + 1.0)
            told[3] = near_place
            if usuals[d, c] > 0 or populars[d, c] > 0 or hots[d, c] > 0:
                told[7] = np.log1p(populars[d, c])
                told[8] = np.log1p(hots[d, c])
                told[9] = np.log1p(usuals[d, c])
            told[10] = offered[d, c]
            told[11] = engines[d, c]
            told[12] = np.exp(engines[d, c]) if known[d, c] else lowest
            told[13] = engine_place
            told[14] = known[d, c]
            told[15] = biases[d, c]
            told = after[d, c]
            told[0] = own[d, c] * share
            told[1] = own[d, c] * (newest[d] == _PURCHASE)
            told[2] = own[d, c] * (newest[d] == _CART)
