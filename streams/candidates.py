"""Candidates without a model: own recent items, what is co-visited with them, what is popular.

Co-visitation at query time follows RECIPES: the last 10 distinct items, newest first, weigh
``.7 ** rank``; a neighbour's weight is divided by the source's visits to the .5 and its own to
the .25, so that neither busy sources nor busy neighbours drown the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from models.aggregates import last_occurrences
from models.windows import Windows
from schemas.kinds import N_KINDS, Kind
from streams.covisits import Covisits
from streams.items import NO_ITEM

RECENT = 10
RANK_DECAY = 0.7
COVISITED_WEIGHT, OWN_WEIGHT, POPULAR_WEIGHT = 1.0, 0.8, 0.05

_ACTION_WEIGHT = np.ones(N_KINDS, np.float32)
_ACTION_WEIGHT[[Kind.PURCHASE, Kind.REMOVE, Kind.CANCEL]] = 0.2
_ACTION_WEIGHT[Kind.CART] = 1.5

Items = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class Source(IntEnum):
    """Where a candidate came from; the strongest of them where there are several."""

    NONE = 0
    COVISITED = 1
    OWN_RECENT = 2
    POPULAR = 3
    MODEL = 4


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Candidates of D decision points, best first.

    Attributes
    ----------
    items
        int32 (D, K): index into the worker's item table, -1 = none.
    scores
        float32 (D, K): higher is better, comparable within a row; 0 where there is none.
    sources
        uint8 (D, K): `Source`.
    actions
        uint8 (D, K): what the user did to the item last (`Kind`), 0 = nothing in the window.
    """

    items: Items
    scores: Floats
    sources: npt.NDArray[np.uint8]
    actions: npt.NDArray[np.uint8]

    def take(self, rows: npt.NDArray[Any]) -> Suggestions:
        """The candidates of the decision points `rows`, order kept."""
        return Suggestions(
            self.items[rows], self.scores[rows], self.sources[rows], self.actions[rows]
        )

    def put(self, rows: npt.NDArray[np.int64], found: Suggestions) -> None:
        """Write `found` over the candidates of `rows`."""
        self.items[rows], self.scores[rows] = found.items, found.scores
        self.sources[rows], self.actions[rows] = found.sources, found.actions

    @staticmethod
    def none(rows: int, k: int) -> Suggestions:
        """No candidates for `rows` decision points."""
        return Suggestions(
            np.full((rows, k), NO_ITEM, np.int32),
            np.zeros((rows, k), np.float32),
            np.zeros((rows, k), np.uint8),
            np.zeros((rows, k), np.uint8),
        )


def recent_items(windows: Windows) -> tuple[Items, npt.NDArray[np.uint8]]:
    """The last `RECENT` distinct items and the last action on each -> (D, RECENT) both."""
    rows = np.arange(len(windows))[:, None]
    last = last_occurrences(windows.items) & (windows.items >= 0)
    place = np.where(last, np.arange(windows.length), -1)
    place = np.sort(place, axis=1)[:, ::-1][:, :RECENT]  # newest first
    items = np.where(place >= 0, windows.items[rows, place], NO_ITEM).astype(np.int32)
    return items, np.where(place >= 0, windows.kinds[rows, place], 0).astype(np.uint8)


def suggest(windows: Windows, parts: Sequence[Covisits], k: int = 50) -> Suggestions:
    """The `k` best candidates of D decision points from `parts`, whose counts add up.

    The item of the triggering event itself is not suggested: the user is looking at it.
    """
    d = len(windows)
    recent, actions = recent_items(windows)
    current = windows.items[np.arange(d), windows.lengths - 1]  # may be NO_ITEM
    rank = np.float32(RANK_DECAY) ** np.arange(recent.shape[1], dtype=np.float32)
    near, near_weight = _covisited(recent, rank, parts)
    own_weight = np.where(recent >= 0, rank * _ACTION_WEIGHT[actions], np.float32(0))
    leaders, leader_weight = _popular(parts)
    m = len(leaders)

    # One row of all candidates per point, by source: (D, C).
    items = np.concatenate([near, recent, np.broadcast_to(leaders, (d, m))], axis=1)
    weights = np.concatenate(
        [
            near_weight * np.float32(COVISITED_WEIGHT),
            own_weight * np.float32(OWN_WEIGHT),
            np.broadcast_to(leader_weight * np.float32(POPULAR_WEIGHT), (d, m)),
        ],
        axis=1,
    )
    sources = np.repeat(
        np.array([Source.COVISITED, Source.OWN_RECENT, Source.POPULAR], np.uint8),
        [near.shape[1], recent.shape[1], m],
    )
    weights = np.where((items >= 0) & (items != current[:, None]), weights, np.float32(0))
    best = _merge(items, weights, sources, k)
    mine = best.items[:, :, None] == recent[:, None, :]  # (D, K, RECENT)
    did = np.where(mine & (best.items >= 0)[:, :, None], actions[:, None, :], 0).max(axis=2)
    return Suggestions(best.items, best.scores, best.sources, did.astype(np.uint8))


def _covisited(recent: Items, rank: Floats, parts: Sequence[Covisits]) -> tuple[Items, Floats]:
    """Neighbours of the recent items and their weights, the strongest of a row at 1 -> (D, C)."""
    found = [part.neighbours(recent) for part in parts]  # (D, RECENT, K) each
    near = np.concatenate([items for items, _ in found], axis=2)
    weight = np.concatenate([weights for _, weights in found], axis=2)
    source = _visits(recent, parts)
    weight = weight * (rank * np.maximum(source, 1e-6) ** np.float32(-0.5))[:, :, None]
    weight *= np.maximum(_visits(near, parts), 1e-6) ** np.float32(-0.25)
    weight = np.where(near >= 0, weight, np.float32(0)).reshape(len(recent), -1)
    top = weight.max(axis=1, initial=0, keepdims=True)
    shares = (weight / np.where(top > 0, top, np.float32(1))).astype(np.float32, copy=False)
    return near.reshape(len(recent), -1), shares


def _visits(items: Items, parts: Sequence[Covisits]) -> Floats:
    total = parts[0].visits(items)
    for part in parts[1:]:
        total = total + part.visits(items)
    return total


def _popular(parts: Sequence[Covisits]) -> tuple[Items, Floats]:
    """The most popular items over all parts, the first at 1 -> (m,) both."""
    leaders = np.unique(np.concatenate([part.leaders for part in parts]))
    scores = np.zeros(len(leaders), np.float32)
    for part in parts:
        scores += part.popularity(leaders)
    top = scores.max(initial=0)
    return leaders, scores / (top if top > 0 else np.float32(1))


def _merge(items: Items, weights: Floats, sources: npt.NDArray[np.uint8], k: int) -> Suggestions:
    """Add up the weights of equal items of a row (D, C) and keep the `k` best, best first."""
    d, width = items.shape
    key = items.astype(np.int64) * width + np.arange(width)
    key.sort(axis=1)
    item = key // width
    weight = np.take_along_axis(weights, key - item * width, axis=1)
    source = sources[key - item * width]
    starts = np.ones((d, width), np.bool_)
    starts[:, 1:] = item[:, 1:] != item[:, :-1]
    first = np.flatnonzero(starts)
    flat_weight, flat_source = weight.reshape(-1), source.reshape(-1)
    by_source = np.stack(
        [
            np.add.reduceat(np.where(flat_source == one, flat_weight, np.float32(0)), first)
            for one in (Source.COVISITED, Source.OWN_RECENT, Source.POPULAR)
        ]
    )  # (3, runs)
    total = np.zeros(d * width, np.float32)
    total[first] = by_source.sum(axis=0)
    main = np.zeros(d * width, np.uint8)
    main[first] = by_source.argmax(axis=0) + 1
    total, main = total.reshape(d, width), main.reshape(d, width)
    order = np.argsort(-total, axis=1, kind="stable")[:, :k]
    best = Suggestions.none(d, k)
    scores = np.take_along_axis(total, order, axis=1)
    some = scores > 0
    n = order.shape[1]
    best.scores[:, :n] = scores
    best.items[:, :n] = np.where(some, np.take_along_axis(item, order, axis=1), NO_ITEM)
    best.sources[:, :n] = np.where(some, np.take_along_axis(main, order, axis=1), 0)
    return best
