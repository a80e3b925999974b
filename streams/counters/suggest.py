"""Candidates without a model: the user's recent items, items co-visited with them, popular items.

Co-visitation at query time follows RECIPES: the last 10 distinct items, newest first, have the
weight ``.7 ** rank``. A neighbour's weight is divided by (the source's visits) ** .5 and by (the
neighbour's visits) ** .25, so that neither busy sources nor busy neighbours dominate.

The last `LEADERS` places of a list are reserved for popular and hot items that are not among the
best candidates. Of the user's own items only the `OWN` newest are candidates.

The counters lag by a block, but the user's own window is exact: its pairs of items are added to the
counters' pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.features.windows import Windows
from models.kernel import kernel
from schemas.events.kinds import N_KINDS, Kind
from streams.counters.item_view import Part
from streams.counters.suggestions import Source, Suggestions
from streams.histories.item_table import NO_ITEM

RECENT = 10
OWN, LEADERS = 24, 32
PAIR_WINDOW = 5  # as `Covisits.window`
FEW_VISITS = np.float32(1.0)  # least number of visits to divide by
COVISITED_WEIGHT, OWN_WEIGHT, POPULAR_WEIGHT = np.float32(1.0), np.float32(1.5), np.float32(0.05)

_RANK = np.array([0.7**rank for rank in range(RECENT)], np.float32)
_ACTION_WEIGHT = np.ones(N_KINDS, np.float32)
_ACTION_WEIGHT[[Kind.PURCHASE, Kind.REMOVE, Kind.CANCEL]] = 0.2
_ACTION_WEIGHT[Kind.CART] = 1.5
_COVISITED, _OWN_RECENT, _POPULAR = map(int, (Source.COVISITED, Source.OWN_RECENT, Source.POPULAR))
_LAST = 2**31 - 1  # an item's index is at most this

Ints = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@kernel
def _suggest(
    rows: Ints,
    windows: tuple[Items, Bytes, Items],
    part: tuple[Any, ...],
    out: tuple[Items, Floats, Bytes, Bytes],
    nearness: tuple[Floats, Floats, Floats, Floats],
    events: tuple[Floats, Floats, Floats],
) -> None:
    """Suggest candidates for some decision points; L is the window's length, K the list's.

    For each of `rows`:

    1. list the candidates with their weights: neighbours of the recent items, pairs of the user's
       own window, the user's recent items, leaders;
    2. add up each item's weights in a hash table;
    3. score: co-visitation as a share of its maximum, plus the own and the popular weight;
    4. keep the best K - LEADERS items and append popular and hot ones;
    5. write the list, and clear the hash table.

    Parameters
    ----------
    rows
        int64 (n,): the decision points to fill.
    windows
        Items int32 (D, L), kinds uint8 (D, L) and lengths int32 (D,).
    part
        The fields of `Part` as a plain tuple, which costs less to hand over; not changed.
    out
        Items int32, scores float32, sources uint8 and actions uint8, (D, K) each: filled in place.
    nearness
        `near`, `next_to`, `ahead` and `next_ahead` of `Suggestions`, float32 (D, K): filled.
    events
        `popular`, `hot` and `usual` of `Suggestions`, float32 (D, K): filled.
    """
    # The inner loops get arrays: passing whole tuples to them costs more than their work.
    items, kinds, lengths = windows
    row_of, popularity, hot, visits = part[0], part[1], part[2], part[3]
    neighbours, weights, forward, leaders, hottest = part[4], part[5], part[6], part[7], part[8]
    popularity_scale, hot_scale, scale = part[9], part[10], part[11]
    out_items, out_scores, out_sources, out_actions = out
    out_near, out_next_to, out_ahead, out_next_ahead = nearness
    out_popular, out_hot, out_usual = events
    k = max(out_items.shape[1] - LEADERS, 0)
    leaders = leaders[:k]
    most = RECENT * weights.shape[1] + items.shape[1] + RECENT + len(leaders)
    places = 16
    while places < 2 * most:
        places *= 2
    # The listed candidates with their weights, both ways and forward.
    listed, list_weights = np.empty(most, np.int32), np.empty((2, most), np.float32)
    weight, after = list_weights[0], list_weights[1]
    # The hash table: an item's place in `keys` is also its place in the weights that follow.
    keys, found = np.full(places, NO_ITEM, np.int32), np.empty(most, np.int64)
    near, next_to = np.zeros(places, np.float32), np.zeros(places, np.float32)
    ahead, next_ahead = np.zeros(places, np.float32), np.zeros(places, np.float32)
    own = np.zeros(places, np.float32)
    popular, did = np.zeros(places, np.float32), np.zeros(places, np.uint8)
    recent, actions = np.empty(OWN, np.int32), np.empty(OWN, np.uint8)
    best, scores = np.empty(k, np.int64), np.empty(places, np.float32)
    top_leader = popularity[row_of[leaders[0]]] if len(leaders) else np.float32(1)
    for row in rows:
        seen = items[row, : lengths[row]]  # step 1
        current = seen[-1]  # may be NO_ITEM
        owned = recent[: _recent(seen, kinds[row], recent, actions)]
        origins = owned[:RECENT]  # items whose neighbours count
        newest, near_end = _neighbours(
            origins, row_of, visits, scale, neighbours, weights, forward, listed, list_weights
        )
        near_end = _own_pairs(seen, origins, row_of, visits, scale, listed, list_weights, near_end)
        own_end = near_end + len(origins)
        listed[near_end:own_end] = origins
        end = own_end + len(leaders)
        listed[own_end:end] = leaders
        n, top = 0, np.float32(0)
        for j in range(end):  # step 2
            item = listed[j]
            if item == current:
                continue
            at = _find(keys, item)
            if keys[at] == NO_ITEM:
                keys[at] = item
                found[n] = at
                n += 1
            if j < near_end:
                near[at] += weight[j]
                ahead[at] += after[j]
                if j < newest:
                    next_to[at] += weight[j]
                    next_ahead[at] += after[j]
                top = max(top, weight[j] + after[j])
            elif j < own_end:
                did[at] = actions[j - near_end]
                own[at] = OWN_WEIGHT * _RANK[j - near_end] * _ACTION_WEIGHT[did[at]]
            else:
                popular[at] = POPULAR_WEIGHT * popularity[row_of[item]] / top_leader
        share = COVISITED_WEIGHT / top if top > 0 else np.float32(0)  # step 3
        for at in found[:n]:
            scores[at] = (near[at] + ahead[at]) * share + own[at] + popular[at]
        _drop_older(seen, owned, keys, scores)
        n_best = _best(keys, found[:n], scores, best)  # step 4
        for j in range(n_best):
            out_items[row, j] = _LAST - (best[j] & _LAST)
        n_listed = _append_leaders(leaders, hottest, current, out_items[row], n_best)
        for j in range(n_listed):  # step 5
            item = out_items[row, j]
            at, known = _find(keys, item), _row(row_of, item)
            out_scores[row, j] = scores[at] if keys[at] == item else 0
            out_near[row, j], out_next_to[row, j] = near[at], next_to[at]
            out_ahead[row, j], out_next_ahead[row, j] = ahead[at], next_ahead[at]
            out_actions[row, j] = did[at]
            if known >= 0:
                out_popular[row, j] = popularity[known] * popularity_scale
                out_hot[row, j] = hot[known] * hot_scale
                out_usual[row, j] = visits[known] * scale
            if did[at]:
                out_sources[row, j] = _OWN_RECENT
            else:
                by_visits = near[at] > 0 and (near[at] + ahead[at]) * share >= popular[at]
                out_sources[row, j] = _COVISITED if by_visits else _POPULAR
        for at in found[:n]:
            keys[at] = NO_ITEM
            near[at], next_to[at], ahead[at], next_ahead[at] = 0, 0, 0, 0
            own[at], popular[at], did[at] = 0, 0, 0


@kernel
def _neighbours(
    recent: Items,
    row_of: Items,
    visits: Floats,
    scale: np.float32,
    neighbours: Items,
    weights: Floats,
    forward: Floats,
    listed: Items,
    list_weights: Floats,
) -> tuple[int, int]:
    """List the neighbours of the recent items, with their weights both ways and forward.

    Returns
    -------
    tuple
        Number of neighbours of the newest item, and of all recent items.
    """
    n, newest = 0, 0
    for rank in range(len(recent)):
        if rank == 1:
            newest = n
        source = _row(row_of, recent[rank])
        if source < 0:
            continue
        share = scale * _RANK[rank] / np.sqrt(_visits(visits, scale, source))
        for j in range(weights.shape[1]):
            if weights[source, j] > 0:
                listed[n] = neighbours[source, j]
                target = _visits(visits, scale, row_of[listed[n]])
                lifted = share / np.sqrt(np.sqrt(target))
                list_weights[0, n] = weights[source, j] * lifted
                list_weights[1, n] = forward[source, j] * lifted
                n += 1
    return (n if len(recent) == 1 else newest), n


@kernel
def _recent(seen: Items, kinds: Bytes, recent: Items, actions: Bytes) -> int:
    """Fill in the last distinct items of a row, newest first, with the last action on each -> n."""
    n = 0
    for place in range(len(seen) - 1, -1, -1):
        item = seen[place]
        known = item < 0
        for j in range(n):
            known |= recent[j] == item
        if not known:
            recent[n], actions[n] = item, kinds[place]
            n += 1
            if n == len(recent):
                break
    return n


@kernel
def _own_pairs(
    seen: Items,
    recent: Items,
    row_of: Items,
    visits: Floats,
    scale: np.float32,
    listed: Items,
    list_weights: Floats,
    n: int,
) -> int:
    """List the items that the user saw next to recent items, after `n` others -> the new `n`."""
    near, ahead = list_weights[0, n : n + len(seen)], list_weights[1, n : n + len(seen)]
    near[:], ahead[:] = 0, 0
    for place in range(len(seen)):
        for rank in range(len(recent)):
            if recent[rank] == seen[place]:
                source = _visits(visits, scale, _row(row_of, seen[place]))
                share = _RANK[rank] / np.sqrt(source)
                for distance in range(1, PAIR_WINDOW + 1):
                    if place >= distance:
                        near[place - distance] += share / np.float32(distance)
                    if place + distance < len(seen):
                        near[place + distance] += share / np.float32(distance)
                        ahead[place + distance] += share / np.float32(distance)
    for place in range(len(seen)):
        if seen[place] >= 0 and near[place] > 0:
            target = _visits(visits, scale, _row(row_of, seen[place]))
            listed[n], lifted = seen[place], np.float32(1) / np.sqrt(np.sqrt(target))
            list_weights[0, n], list_weights[1, n] = near[place] * lifted, ahead[place] * lifted
            n += 1
    return n


@kernel
def _best(keys: Items, found: Ints, scores: Floats, best: Ints) -> int:
    """Fill `best` with the candidates at `found` whose scores are the best above 0, in order -> n.

    Each entry packs two numbers: the score's bits, which sort like the (non-negative) score, and
    then the item, where the lower index sorts higher.
    """
    bits = scores.view(np.int32)
    n = 0
    for at in found:
        packed = (np.int64(bits[at]) << 32) | (_LAST - keys[at])
        if scores[at] <= 0 or (n == len(best) and packed < best[-1]):
            continue
        n = min(n + 1, len(best))
        place = n - 1
        while place > 0 and best[place - 1] < packed:
            best[place] = best[place - 1]
            place -= 1
        best[place] = packed
    return n


@kernel
def _drop_older(seen: Items, owned: Items, keys: Items, scores: Floats) -> None:
    """Set the score of the user's older items, those that aren't among `owned`, to 0."""
    if len(owned) < OWN:
        return
    for item in seen:
        known = False
        for recent in owned:
            known |= recent == item
        if not known and item >= 0:
            scores[_find(keys, item)] = 0


@kernel
def _append_leaders(leaders: Items, hottest: Items, current: int, row: Items, n: int) -> int:
    """Append popular and hot items by turns to the `n` candidates of a row -> the new `n`."""
    end = min(n + LEADERS, len(row))
    for place in range(2 * LEADERS):
        ranking = hottest if place % 2 else leaders
        if n < end and place // 2 < len(ranking):
            item = ranking[place // 2]
            known = item == current
            for j in range(n):
                known |= row[j] == item
            if not known:
                row[n] = item
                n += 1
    return n


@kernel
def _visits(visits: Floats, scale: np.float32, row: int) -> np.float32:
    """Decayed visits of the item at a row, at least `FEW_VISITS`."""
    return max(visits[row] * scale, FEW_VISITS) if row >= 0 else FEW_VISITS


@kernel
def _row(row_of: Items, item: int | np.int32) -> int:
    """The item's row, -1 = none."""
    return int(row_of[item]) if item < len(row_of) else -1


@kernel
def _find(keys: Items, item: int | np.int32) -> int:
    """The place of an item in the hash table, or the free place where it would go."""
    mask = len(keys) - 1
    at = ((int(item) * 0x9E3779B1) >> 15) & mask
    while keys[at] != item and keys[at] != NO_ITEM:
        at = (at + 1) & mask
    return at


__all__ = ["LEADERS", "OWN", "suggest"]


def suggest(windows: Windows, rows: npt.NDArray[np.int64], part: Part, out: Suggestions) -> None:
    """Fill `out` at `rows` with the best candidates that the counters of `part` know.

    The item of the triggering event isn't suggested, because the user is looking at it. Items with
    equal scores are in the order in which the partition's log first named them.

    Parameters
    ----------
    windows, out
        Of the same D decision points; `out` is empty at `rows`, and filled in place.
    rows
        int64 (n,): the decision points to fill.
    part
        The item counters.
    """
    _suggest(
        rows,
        (windows.items, windows.kinds, windows.lengths),
        part[:],
        (out.items, out.scores, out.sources, out.actions),
        (out.near, out.next_to, out.ahead, out.next_ahead),
        (out.popular, out.hot, out.usual),
    )
