"""What the ranker knows about each candidate of a decision.

`Pool` holds what the live counters, the engine and the user's own history say about candidates.
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
    "near_share": "that co-visitation as a share of the decision's strongest",
    "next_to": "log co-visitation with the newest item alone",
    "near_place": "1 / (1 + place by co-visitation)",
    "ahead": "log of the part of near where the item came after the recent items",
    "ahead_share": "that part as a share of the decision's strongest",
    "next_ahead": "log of the part of next_to where the item came after the newest",
    "popular": "log of the item's events of the last days, decayed, live",
    "hot": "log of the item's events of the last hours, decayed, live",
    "usual": "log of the item's events of the last months, decayed, live",
    "offered": "1 if the counters offered it",
    "engine": "log-probability by the network, at least -15; -15 for items it doesn't know",
    "engine_share": "probability by the network",
    "engine_place": "1 / (1 + place by the network), 0 outside its list",
    "known": "1 if the network knows the item",
    "bias": "the network's own popularity of the item",
    **OWN_FEATURES,
    "own_near": "own times near_share",
    "own_after_purchase": "own, if the newest event is a purchase",
    "own_after_cart": "own, if the newest event is a cart",
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
"""The sources of a list and the features that each brings."""

NEAR_EPSILON = 1e-3
"""Scale of the logarithm of co-visitation."""
LOWEST = -15.0
"""Least log-probability."""


@dataclass(frozen=True, slots=True)
class Pool(Columns):
    """C candidates of each of D decisions, in any order, none twice in a decision.

    Attributes
    ----------
    items
        int32 (D, C): the worker's item index, -1 = none.
    near, next_to
        float32 (D, C): live co-visitation with the recent items, and with the newest alone; 0
        where the counters didn't offer the item.
    ahead, next_ahead
        float32 (D, C): the parts of `near` and `next_to` where the item came after.
    popular, hot, usual
        float32 (D, C): decayed events of the item in the last days, hours and months; 0 where
        the counters didn't offer the item.
    offered
        bool (D, C): whether the counters offered the item.
    engine
        float32 (D, C): log-probability by the network, `LOWEST` where it doesn't know the item.
    engine_place
        int64 (D, C): place in the engine's list from 0, -1 = not in it.
    known
        bool (D, C): whether the network knows the item.
    bias
        float32 (D, C): the network's bias of the item.
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
    """Compute the ranker's features.

    Returns
    -------
    float32 (D, C, R), in the order of `CANDIDATE_FEATURES`; 0 where there is no candidate.
    """
    features = np.zeros((*pool.items.shape, len(CANDIDATE_FEATURES)), np.float32)
    if not len(features):  # slices of an empty array are contiguous: another kernel would compile
        return features
    begin = list(CANDIDATE_FEATURES).index(next(iter(OWN_FEATURES)))
    end = begin + len(OWN_FEATURES)
    own_features(pool.items, windows, features[:, :, begin:end])
    newest = windows.kinds[np.arange(len(windows)), windows.lengths - 1]
    _fill(
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
def _fill(
    items: Items,
    nearness: tuple[Floats, Floats, Floats, Floats],
    events: tuple[Floats, Floats, Floats],
    network: tuple[Floats, Floats],
    flags: tuple[Bools, Bools],
    places: Ints,
    newest: Bytes,
    out: tuple[Floats, Floats, Floats],
) -> None:
    """Write all but the own features: those before them (D, C, 16) and those after (D, C, 3)."""
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
        at = 0  # place of the candidate in `strong`
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
            features = before[d, c]
            # Where the counters know nothing, these stay 0: no logarithms of 1.
            if near[c] > 0:
                features[0] = np.log(near[c] / NEAR_EPSILON + 1.0)
                features[1] = share
                features[4] = np.log(ahead[c] / NEAR_EPSILON + 1.0)
                features[5] = ahead[c] / furthest
            if next_tos[d, c] > 0:
                features[2] = np.log(next_tos[d, c] / NEAR_EPSILON + 1.0)
                features[6] = np.log(next_aheads[d, c] / NEAR_EPSILON + 1.0)
            features[3] = near_place
            if usuals[d, c] > 0 or populars[d, c] > 0 or hots[d, c] > 0:
                features[7] = np.log1p(populars[d, c])
                features[8] = np.log1p(hots[d, c])
                features[9] = np.log1p(usuals[d, c])
            features[10] = offered[d, c]
            features[11] = engines[d, c]
            features[12] = np.exp(engines[d, c]) if known[d, c] else lowest
            features[13] = engine_place
            features[14] = known[d, c]
            features[15] = biases[d, c]
            features = after[d, c]
            features[0] = own[d, c] * share
            features[1] = own[d, c] * (newest[d] == _PURCHASE)
            features[2] = own[d, c] * (newest[d] == _CART)
