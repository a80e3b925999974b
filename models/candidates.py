"""What the ranker knows about each candidate of a decision.

`Pool` is what was gathered: from the live counters, the engine and the user's own history.
`candidate_features` turns it into numbers, for the worker, for fitting and for evaluation alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from models.aggregates import last_occurrences
from models.own import OWN_FEATURES, own_features
from models.windows import Windows
from schemas.kinds import Kind

Floats = npt.NDArray[np.float32]

CANDIDATE_FEATURES = {
    "near": "log co-visitation with the user's recent items, live",
    "near_share": "the same as a share of the row's strongest",
    "next_to": "log co-visitation with the newest item alone",
    "near_place": "1 / (1 + place by co-visitation)",
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
    "engine_near": "the product of engine_place and near_place",
}
"""Name -> meaning, in the order of the feature array's last axis."""

PARTS = {
    "network": ("engine", "engine_share", "engine_place", "known", "bias", "engine_near"),
    "covisitation": (
        "near",
        "near_share",
        "next_to",
        "near_place",
        "own_near",
        "engine_near",
    ),
    "popularity": ("popular",),
    "trend": ("hot", "usual"),
    "own items": (*OWN_FEATURES, "own_near", "own_after_purchase", "own_after_cart"),
}
"""What a list is made of, and the features that each part brings."""

NEAR_EPSILON = 1e-3
LOWEST = -15.0


@dataclass(frozen=True, slots=True)
class Pool:
    """C candidates of each of D decisions, any order, none twice in a row.

    Attributes
    ----------
    items
        int32 (D, C): the worker's item index, -1 = none.
    near, next_to
        float32 (D, C): live co-visitation with the recent items and with the newest alone, 0
        where the counters didn't offer it.
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
        uint8 (D, C): `streams.candidates.Source`.
    """

    items: npt.NDArray[np.int32]
    near: Floats
    next_to: Floats
    popular: Floats
    hot: Floats
    usual: Floats
    offered: npt.NDArray[np.bool_]
    engine: Floats
    engine_place: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    bias: Floats
    sources: npt.NDArray[np.uint8]

    def take(self, rows: npt.NDArray[Any]) -> Pool:
        """The candidates of the decisions `rows`."""
        return Pool(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @staticmethod
    def concat(parts: Sequence[Pool]) -> Pool:
        """The decisions of all `parts` in order; they must share C."""
        return Pool(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Pool)}
        )


def own_items(windows: Windows, most: int) -> npt.NDArray[np.int32]:
    """The user's last `most` distinct items, newest first, -1 beyond them: (D, most)."""
    last = last_occurrences(windows.items) & (windows.items >= 0)
    place = np.where(last, np.arange(windows.length), -1)
    place = np.sort(place, axis=1)[:, ::-1][:, :most]
    found = np.take_along_axis(windows.items, np.maximum(place, 0), axis=1)
    return np.where(place >= 0, found, -1).astype(np.int32)


def candidate_features(pool: Pool, windows: Windows) -> Floats:
    """Features (D, C, R) in the order of `CANDIDATE_FEATURES`; 0 where there is no candidate."""
    real = pool.items >= 0
    share = pool.near / np.maximum(pool.near.max(axis=1, initial=0, keepdims=True), 1e-9)
    near_place = _inverse_place(pool.near)
    listed = pool.engine_place >= 0
    engine_place = np.where(listed, 1.0 / (1.0 + np.maximum(pool.engine_place, 0)), 0.0)
    newest = windows.kinds[np.arange(len(windows)), windows.lengths - 1][:, None]
    own = own_features(pool.items, windows)
    columns: dict[str, npt.NDArray[Any]] = {
        "near": np.log(pool.near / NEAR_EPSILON + 1.0),
        "next_to": np.log(pool.next_to / NEAR_EPSILON + 1.0),
        "near_share": share,
        "near_place": near_place,
        "popular": np.log1p(pool.popular),
        "hot": np.log1p(pool.hot),
        "usual": np.log1p(pool.usual),
        "offered": pool.offered,
        "engine": pool.engine,
        "engine_share": np.exp(pool.engine),
        "engine_place": engine_place,
        "known": pool.known,
        "bias": pool.bias,
        **own,
        "own_near": own["own"] * share,
        "own_after_purchase": own["own"] & (newest == Kind.PURCHASE),
        "own_after_cart": own["own"] & (newest == Kind.CART),
        "engine_near": engine_place * near_place,
    }
    stacked = np.stack([columns[name] for name in CANDIDATE_FEATURES], axis=-1)
    features: Floats = np.where(real[:, :, None], stacked, 0.0).astype(np.float32)
    return features


def _inverse_place(values: Floats) -> npt.NDArray[np.float64]:
    """1 / (1 + place) of each positive value in its row, strongest first; 0 for the others."""
    order = np.argsort(-values, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(values.shape[1])[None, :], axis=1)
    return np.where(values > 0, 1.0 / (1.0 + place), 0.0)
