"""Candidates without a model: own recent items, what is co-visited with them, what is popular.

Co-visitation at query time follows RECIPES: the last 10 distinct items, newest first, weigh
``.7 ** rank``; a neighbour's weight is divided by the source's visits to the .5 and its own to
the .25, so that neither busy sources nor busy neighbours drown the rest.

The last `LEADERS` places of a list are kept for what is popular and hot and not among the best.
Of the user's own items only the `OWN` newest are candidates.

The counters lag by a block, but what the user did before is known exactly: the pairs of the
user's own window count like one more block that is always there.
"""

from __future__ import annotations

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
FEW_VISITS = np.float32(1.0)  # an item seen less often is not lifted any further
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
def vote(
    rows: Ints,
    windows: tuple[Items, Bytes, Items],
    part: Part,
    out: tuple[Items, Floats, Bytes, Bytes],
    nearness: tuple[Floats, Floats, Floats, Floats],
    events: tuple[Floats, Floats, Floats],
) -> None:
    """`suggest`, on the arrays of its arguments."""
    # Arrays, not tuples, go into the inner loops: whole tuples there cost more than the work.
    items, kinds, lengths = windows
    row_of, popularity, hot, visits = part[0], part[1], part[2], part[3]
    neighbours, weights, forward, leaders, hottest = part[4], part[5], part[6], part[7], part[8]
    scale = part.visit_scale
    out_items, out_scores, out_sources, out_actions = out
    out_near, out_next_to, out_ahead, out_next_ahead = nearness
    out_popular, out_hot, out_usual = events
    k = max(out_items.shape[1] - LEADERS, 0)
    leaders = leaders[:k]
    most = RECENT * weights.shape[1] + items.shape[1] + RECENT + len(leaders)
    places = 16
    while places < 2 * most:
        places *= 2
    # Candidates as they are found; then a hash table: where an item is, there are its weights.
    listed, votes = np.empty(most, np.int32), np.empty((2, most), np.float32)
    weight, after = votes[0], votes[1]
    keys, found = np.full(places, NO_ITEM, np.int32), np.empty(most, np.int64)
    near, next_to = np.zeros(places, np.float32), np.zeros(places, np.float32)
    ahead, next_ahead = np.zeros(places, np.float32), np.zeros(places, np.float32)
    own = np.zeros(places, np.float32)
    popular, did = np.zeros(places, np.float32), np.zeros(places, np.uint8)
    recent, actions = np.empty(OWN, np.int32), np.empty(OWN, np.uint8)
    best, scores = np.empty(k, np.int64), np.empty(places, np.float32)
    top_leader = popularity[row_of[leaders[0]]] if len(leaders) else np.float32(1)
    for row in rows:
        seen = items[row, : lengths[row]]
        current = seen[-1]  # may be NO_ITEM
        owned = recent[: _recent(seen, kinds[row], recent, actions)]
        mine = owned[:RECENT]
        newest, near_end = _neighbours(
            mine, row_of, visits, scale, neighbours, weights, forward, listed, votes
        )
        near_end = _own_pairs(seen, mine, row_of, visits, scale, listed, votes, near_end)
        own_end = near_end + len(mine)
        listed[near_end:own_end] = mine
        end = own_end + len(leaders)
        listed[own_end:end] = leaders
        n, top = 0, np.float32(0)
        for j in range(end):
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
        share = COVISITED_WEIGHT / top if top > 0 else np.float32(0)
        for at in found[:n]:
            scores[at] = (near[at] + ahead[at]) * share + own[at] + popular[at]
        _forget(seen, owned, keys, scores)
        n_best = _best(keys, found[:n], scores, best)
        for j in range(n_best):
            out_items[row, j] = _LAST - (best[j] & _LAST)
        for j in range(_lead(leaders, hottest, current, out_items[row], n_best)):
            item = out_items[row, j]
            at, known = _find(keys, item), _row(row_of, item)
            out_scores[row, j] = scores[at] if keys[at] == item else 0
            out_near[row, j], out_next_to[row, j] = near[at], next_to[at]
            out_ahead[row, j], out_next_ahead[row, j] = ahead[at], next_ahead[at]
            out_actions[row, j] = did[at]
            if known >= 0:
                out_popular[row, j] = popularity[known] * part.popularity_scale
                out_hot[row, j] = hot[known] * part.hot_scale
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
    votes: Floats,
) -> tuple[int, int]:
    """List the neighbours of the recent items, and their weights both ways and forward.

    Returns
    -------
    tuple
        How many of the newest item, and of all.
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
                votes[0, n] = weights[source, j] * lifted
                votes[1, n] = forward[source, j] * lifted
                n += 1
    return (n if len(recent) == 1 else newest), n


@kernel
def _recent(seen: Items, kinds: Bytes, recent: Items, actions: Bytes) -> int:
    """The last distinct items of a row, newest first, and the last action on each -> how many."""
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
    votes: Floats,
    n: int,
) -> int:
    """List, after `n` others, what the user saw next to the recent items -> how many by then."""
    near, ahead = votes[0, n : n + len(seen)], votes[1, n : n + len(seen)]
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
            votes[0, n], votes[1, n] = near[place] * lifted, ahead[place] * lifted
            n += 1
    return n


@kernel
def _best(keys: Items, found: Ints, scores: Floats, best: Ints) -> int:
    """The places `found` with the best scores above 0, in order -> how many.

    `best` holds one number for each: the score's bits, which sort as floats from 0 up do, then
    the item, the lower index first.
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
def _forget(seen: Items, owned: Items, keys: Items, scores: Floats) -> None:
    """Take the user's older items, those not among the `owned`, out of the candidates."""
    if len(owned) < OWN:
        return
    for item in seen:
        known = False
        for one in owned:
            known |= one == item
        if not known and item >= 0:
            scores[_find(keys, item)] = 0


@kernel
def _lead(leaders: Items, hottest: Items, current: int, row: Items, n: int) -> int:
    """Add leaders in turn, popular and hot, to the `n` candidates of a row -> how many by then."""
    end = min(n + LEADERS, len(row))
    for place in range(2 * LEADERS):
        several = hottest if place % 2 else leaders
        if n < end and place // 2 < len(several):
            item = several[place // 2]
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
    """Where an item is in the hash table, or would be."""
    mask = len(keys) - 1
    at = ((int(item) * 0x9E3779B1) >> 15) & mask
    while keys[at] != item and keys[at] != NO_ITEM:
        at = (at + 1) & mask
    return at


__all__ = ["LEADERS", "OWN", "suggest"]


def suggest(windows: Windows, rows: npt.NDArray[np.int64], part: Part, out: Suggestions) -> None:
    """Fill `out` at `rows` with the best candidates that the counters of `part` know.

    The item of the triggering event itself is not suggested: the user is looking at it. Among
    equal scores the item known longer comes first.

    Parameters
    ----------
    windows, out
        Of the same D decision points; `out` is empty at `rows`.
    """
    vote(
        rows,
        (windows.items, windows.kinds, windows.lengths),
        part,
        (out.items, out.scores, out.sources, out.actions),
        (out.near, out.next_to, out.ahead, out.next_ahead),
        (out.popular, out.hot, out.usual),
    )
