"""Candidates without a model: own recent items, what is co-visited with them, what is popular.

Co-visitation at query time follows RECIPES: the last 10 distinct items, newest first, weigh
``.7 ** rank``; a neighbour's weight is divided by the source's visits to the .5 and its own to
the .25, so that neither busy sources nor busy neighbours drown the rest.

The counters lag by a block, but what the user did before is known exactly: the pairs of the
user's own window count like one more block that is always there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
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
_SHAPES = ((3, 8), (6, 16))
"""Recent items and events of short histories; longer ones take the whole width."""
RANK_DECAY = 0.7
PAIR_WINDOW = 5  # as `Covisits.window`
FEW_VISITS = np.float32(1.0)  # an item seen less often is not lifted any further
COVISITED_WEIGHT, OWN_WEIGHT, POPULAR_WEIGHT = 1.0, 1.5, 0.05

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
    near
        float32 (D, K): the part of the score that is co-visitation with the recent items.
    popular
        float32 (D, K): decayed events of the item.
    """

    items: Items
    scores: Floats
    sources: npt.NDArray[np.uint8]
    actions: npt.NDArray[np.uint8]
    near: Floats
    popular: Floats

    def take(self, rows: npt.NDArray[Any]) -> Suggestions:
        """The candidates of the decision points `rows`, order kept."""
        return Suggestions(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def put(self, rows: npt.NDArray[np.int64], found: Suggestions) -> None:
        """Write `found` over the candidates of `rows`."""
        for column in fields(self):
            getattr(self, column.name)[rows] = getattr(found, column.name)

    @staticmethod
    def none(rows: int, k: int) -> Suggestions:
        """No candidates for `rows` decision points."""
        return Suggestions(
            np.full((rows, k), NO_ITEM, np.int32),
            np.zeros((rows, k), np.float32),
            np.zeros((rows, k), np.uint8),
            np.zeros((rows, k), np.uint8),
            np.zeros((rows, k), np.float32),
            np.zeros((rows, k), np.float32),
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
    Short histories, most of them, are worked on in short arrays; which shape a row has depends
    on that row alone.
    """
    d = len(windows)
    recent, actions = recent_items(windows)
    current = windows.items[np.arange(d), windows.lengths - 1]  # may be NO_ITEM
    count = (recent >= 0).sum(axis=1)
    best = Suggestions.none(d, k)
    left = np.ones(d, np.bool_)
    for most, length in (*_SHAPES, (recent.shape[1], windows.length)):
        rows = np.flatnonzero(left & (count <= most) & (windows.lengths <= length))
        if len(rows):
            left[rows] = False
            seen = windows.items[rows, :length]
            mine = recent[rows, :most], actions[rows, :most]
            best.put(rows, _suggest(seen, current[rows], *mine, parts, k))
    return best


def _suggest(
    seen: Items,
    current: Items,
    recent: Items,
    actions: npt.NDArray[np.uint8],
    parts: Sequence[Covisits],
    k: int,
) -> Suggestions:
    """`suggest` for rows of one shape: items (D, L), the trigger's (D,), recent ones (D, R)."""
    d = len(seen)
    rank = np.float32(RANK_DECAY) ** np.arange(recent.shape[1], dtype=np.float32)
    near, near_weight = _near(seen, current, recent, rank, parts)
    own = np.where(recent >= 0, rank * _ACTION_WEIGHT[actions], np.float32(0))
    own *= np.float32(OWN_WEIGHT)
    leaders, popular = _popular(parts, k)
    m = len(leaders)

    # One row of all candidates per point: (D, C).
    items = np.concatenate([near, recent, np.broadcast_to(leaders, (d, m))], axis=1)
    weights = np.concatenate([near_weight, own, np.broadcast_to(popular, (d, m))], axis=1)
    weights *= (items >= 0) & (items != current[:, None])
    best, scores = _merge(items, weights, k)

    from_own, did = np.zeros_like(scores), np.zeros(best.shape, np.uint8)
    for place in range(recent.shape[1]):
        mine = best == np.where(recent[:, place] >= 0, recent[:, place], -2)[:, None]  # (D, K)
        np.copyto(from_own, own[:, place, None], where=mine)
        np.copyto(did, actions[:, place, None], where=mine)
    from_popular = _lookup(leaders, popular, best)
    from_near = scores - from_own - from_popular
    sources = np.where(from_near >= from_popular, Source.COVISITED, Source.POPULAR)
    sources = np.where(did > 0, Source.OWN_RECENT, sources)
    sources = np.where(best >= 0, sources, Source.NONE)
    events = np.zeros_like(scores)
    for part in parts:
        events += np.where(best >= 0, part.popularity(best), np.float32(0))
    # A difference of sums keeps some rounding where there is no co-visitation at all.
    near_part = np.where(from_near > np.float32(1e-6), from_near, np.float32(0))
    return Suggestions(best, scores, sources.astype(np.uint8), did, near_part, events)


def _near(
    seen: Items, current: Items, recent: Items, rank: Floats, parts: Sequence[Covisits]
) -> tuple[Items, Floats]:
    """What is co-visited with the recent items, the strongest of a row at its weight -> (D, C)."""
    items, weights = _covisited(recent, rank, parts)
    items = np.concatenate([items, seen], axis=1)
    weights = np.concatenate([weights, _own_pairs(seen, recent, rank, parts)], axis=1)
    weights *= (items >= 0) & (items != current[:, None])
    top = weights.max(axis=1, initial=0, keepdims=True)
    weights *= np.float32(COVISITED_WEIGHT) / np.where(top > 0, top, np.float32(1))
    return items, weights


def _covisited(recent: Items, rank: Floats, parts: Sequence[Covisits]) -> tuple[Items, Floats]:
    """Neighbours of the recent items in the counters, and their weights -> (D, C) both."""
    found = [part.neighbours(recent) for part in parts]  # (D, RECENT, K) each
    items = np.concatenate([items for items, _ in found], axis=2)
    weights = np.concatenate([weights for _, weights in found], axis=2)
    # Square roots, not powers: they round the same wherever a number stands in an array.
    source, target = np.sqrt(_visits(recent, parts)), np.sqrt(np.sqrt(_visits(items, parts)))
    weights *= (rank / source)[:, :, None] / target
    return items.reshape(len(recent), -1), weights.reshape(len(recent), -1)


def _own_pairs(items: Items, recent: Items, rank: Floats, parts: Sequence[Covisits]) -> Floats:
    """The weight of the user's own events `items` (D, L) next to those of recent items."""
    visits = np.sqrt(_visits(items, parts))
    source = np.zeros(items.shape, np.float32)
    for place in range(recent.shape[1]):
        source[(items == recent[:, place, None]) & (items >= 0)] = rank[place]
    source /= visits
    weights = np.zeros_like(source)
    for distance in range(1, min(PAIR_WINDOW + 1, items.shape[1])):
        share = source / np.float32(distance)
        weights[:, distance:] += share[:, :-distance]
        weights[:, :-distance] += share[:, distance:]
    weights /= np.sqrt(visits)
    return weights


def _visits(items: Items, parts: Sequence[Covisits]) -> Floats:
    """Decayed visits of items of any shape over all parts, at least `FEW_VISITS`."""
    total = parts[0].visits(items)
    for part in parts[1:]:
        total = total + part.visits(items)
    return np.maximum(total, FEW_VISITS)


def _popular(parts: Sequence[Covisits], k: int) -> tuple[Items, Floats]:
    """The `k` most popular items of each part, by index, the strongest at its weight -> (m,)."""
    leaders = np.unique(np.concatenate([part.leaders[:k] for part in parts]))
    scores = np.zeros(len(leaders), np.float32)
    for part in parts:
        scores += part.popularity(leaders)
    top = scores.max(initial=0)
    return leaders, scores * np.float32(POPULAR_WEIGHT) / (top if top > 0 else np.float32(1))


def _lookup(keys: Items, values: Floats, wanted: Items) -> Floats:
    """The value of each of `wanted` (any shape) among `keys` (m,), 0 where it is not there."""
    table = np.zeros(max(keys.max(initial=0), wanted.max(initial=0)) + 2, np.float32)
    table[keys] = values
    return table[wanted]  # NO_ITEM reads the last entry, which is no item's


def _merge(items: Items, weights: Floats, k: int) -> tuple[Items, Floats]:
    """Add up the weights of equal items of a row (D, C), keep the `k` best -> (D, k) both.

    Rows are sorted as packed integers, (item, place), of 32 bits where they suffice: that is six
    times faster. Among equal scores the item found first in the row comes first.
    """
    d, width = items.shape
    shift, mask = width.bit_length(), (1 << width.bit_length()) - 1
    wide = int(items.max(initial=0)) >= 1 << (30 - shift)
    whole: npt.NDArray[Any] = items.astype(np.int64 if wide else np.int32)
    key = (whole << shift) | np.arange(width, dtype=whole.dtype)
    key.sort(axis=1)
    rows = np.arange(0, d * width, width, dtype=np.int32)[:, None]
    weight = weights.reshape(-1)[(key & mask) + rows].reshape(-1)
    item = key >> shift  # equal ones side by side
    first = np.ones((d, width), np.bool_)
    np.not_equal(item[:, 1:], item[:, :-1], out=first[:, 1:])
    runs = np.flatnonzero(first)
    total = np.zeros(d * width, np.float32)
    total[runs] = np.add.reduceat(weight, runs)
    order, scores = _top(total.reshape(d, width), k)
    found = item.reshape(-1)[order + rows].astype(np.int32)
    return np.where(scores > 0, found, np.int32(NO_ITEM)), scores


def _top(scores: Floats, k: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Places and values of the `k` largest of each row (D, C), none negative -> (D, k) both.

    Who is among them is decided by packed 32-bit integers, a score's leading bits and its place:
    two scores closer than that (1e-4 of their size) may stand in for each other at the end of
    the list. Ties go to the lower place. Where C < k, the rest are place 0 with value 0.
    """
    d, width = scores.shape
    kept, mask = min(k, width), (1 << width.bit_length()) - 1
    bits = scores.view(np.int32)  # of floats from 0 up: sorts as they do
    packed = (bits & np.int32(~mask)) | (np.int32(mask) - np.arange(width, dtype=np.int32))
    packed = np.sort(np.partition(packed, width - kept, axis=1)[:, width - kept :], axis=1)
    places = mask - (packed[:, ::-1] & np.int32(mask)).astype(np.int64)
    values = np.take_along_axis(scores, places, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    top, best = np.zeros((d, k), np.int64), np.zeros((d, k), np.float32)
    top[:, :kept] = np.take_along_axis(places, order, axis=1)
    best[:, :kept] = np.take_along_axis(values, order, axis=1)
    return top, best
