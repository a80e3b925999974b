"""Live counters per item: how popular it is, and what is looked at around it.

Co-visitation: an event's item pairs with the items of the user's events just before it, with
weight 1 / distance, both ways, decayed in event time. An item keeps its strongest `neighbours`; a
newcomer weaker than the weakest wears that one down instead (Misra-Gries), so that what keeps
coming back gets in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streams.decay import Decay
from streams.items import NO_ITEM

DAY_S = 86_400.0
MIN_CAPACITY = 1024
EVICTED_SHARE = 8  # one in so many items goes at a time
NEWCOMERS = 8  # strongest new neighbours of an item that one block may bring

Ints = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class Covisits:
    """One partition's part of the item counters.

    Parameters
    ----------
    max_items
        Bound; beyond it the least popular go, and are counted in `evicted`.
    neighbours
        Most neighbours kept per item.
    window
        Items before an event that it pairs with.
    leaders
        How many of the most popular items are kept ready.
    popularity_tau_s, covisit_tau_s
        Decay of popularity, and of co-visitation and the visits that normalise it.
    """

    def __init__(
        self,
        *,
        max_items: int = 100_000,
        neighbours: int = 32,
        window: int = 5,
        leaders: int = 128,
        popularity_tau_s: float = 7 * DAY_S,
        covisit_tau_s: float = 90 * DAY_S,
    ) -> None:
        self.max_items = max_items
        self.window = window
        self.evicted = 0
        self.clock_s = 0  # newest event time taken in
        self.leaders: Items = np.empty(0, np.int32)  # most popular first
        self._n_leaders = leaders
        self._popularity_decay = Decay(popularity_tau_s)
        self._visit_decay = Decay(covisit_tau_s)
        self._used = 0
        self._row_of: Items = np.full(MIN_CAPACITY, -1, np.int32)  # item index -> row
        self._table = np.zeros(MIN_CAPACITY, _row_type(neighbours))

    def __len__(self) -> int:
        return self._used

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self._table.nbytes + self._row_of.nbytes)

    def add(self, items: Items, before: Items, times_s: Ints) -> None:
        """Take in the events of one block.

        Parameters
        ----------
        items, times_s
            int32, int64 (n,): item (never `NO_ITEM`) and time of each event.
        before
            int32 (n, B): items of the user's events just before, newest first.
        """
        if not len(items):
            return
        self._advance_clock(times_s)
        self._make_room(items, before)
        kept = self._row_of[items] >= 0  # all of them, but for a bound below one block's items
        items, before, times_s = items[kept], before[kept], times_s[kept]
        rows = self._row_of[items]
        np.add.at(self._table["popularity"], rows, self._popularity_decay.weights(times_s))
        weights = self._visit_decay.weights(times_s)
        np.add.at(self._table["visits"], rows, weights)
        self._lead(items)
        distance = np.cumsum(before >= 0, axis=1)  # (n, B)
        paired = (self._known(before) >= 0) & (before != items[:, None])
        paired &= distance <= self.window
        event, place = np.nonzero(paired)
        one, other = items[event], before[event, place]
        weight = weights[event] / distance[event, place]
        self._pair(np.r_[one, other], np.r_[other, one], np.r_[weight, weight])

    def popularity(self, items: Items) -> Floats:
        """Decayed events of each item, any shape, as of `clock_s`; 0 = unknown here."""
        return self._column("popularity", items, self._popularity_decay)

    def visits(self, items: Items) -> Floats:
        """The same with the slower decay of co-visitation."""
        return self._column("visits", items, self._visit_decay)

    def neighbours(self, items: Items) -> tuple[Items, Floats]:
        """Neighbours of each of `items` (...,) and their weights -> (..., K) each, 0 = none."""
        rows = self._known(items)
        found: Items = self._table["neighbour"][rows]
        weights: Floats = self._table["weight"][rows]
        weights *= np.float32(self._visit_decay.scale(self.clock_s))
        return np.where(weights > 0, found, NO_ITEM), weights

    def _column(self, name: str, items: Items, decay: Decay) -> Floats:
        values: Floats = self._table[name][self._known(items)]
        return values * np.float32(decay.scale(self.clock_s))

    def _advance_clock(self, times_s: Ints) -> None:
        self.clock_s = max(self.clock_s, int(times_s.max()))
        if (factor := self._popularity_decay.renew(self.clock_s)) != 1.0:
            self._table["popularity"] *= np.float32(factor)
        if (factor := self._visit_decay.renew(self.clock_s)) != 1.0:
            self._table["visits"] *= np.float32(factor)
            self._table["weight"] *= np.float32(factor)

    def _known(self, items: Items) -> Items:
        """Rows of items of any shape, -1 = none: so says the last entry, which is no item's."""
        return self._row_of[np.minimum(items, len(self._row_of) - 1)]

    def _make_room(self, items: Items, before: Items) -> None:
        """Give rows to the new items, forgetting the least popular beyond the bound."""
        mentioned = np.unique(np.concatenate([items, before.reshape(-1)]))
        mentioned = mentioned[mentioned >= 0]
        while len(self._row_of) <= mentioned[-1] + 1:
            more = np.full(len(self._row_of), -1, np.int32)
            self._row_of = np.concatenate([self._row_of, more])
        new = mentioned[self._row_of[mentioned] < 0]
        if self._used + len(new) > self.max_items:
            over = max(self._used + len(new) - self.max_items, self._used // EVICTED_SHARE)
            self._evict(min(over, max(1, self._used // 2)))  # a flood leaves the popular half
            new = mentioned[self._row_of[mentioned] < 0][: self.max_items - self._used]
        while self._used + len(new) >= len(self._table):  # the last row stays empty: row -1
            self._table = np.concatenate([self._table, np.zeros_like(self._table)])
        rows = np.arange(self._used, self._used + len(new))
        self._row_of[new] = rows
        self._table["item"][rows] = new
        self._table["neighbour"][rows] = NO_ITEM
        self._used += len(new)

    def _evict(self, count: int) -> None:
        popularity = self._table["popularity"][: self._used]
        count = min(count, self._used)
        keep = np.ones(self._used, np.bool_)
        keep[np.argsort(popularity, kind="stable")[:count]] = False
        self._row_of[self._table["item"][: self._used][~keep]] = -1
        kept = self._table[: self._used][keep]
        self._table[: len(kept)] = kept
        self._table[len(kept) : self._used] = np.zeros((), self._table.dtype)
        self._row_of[kept["item"]] = np.arange(len(kept))
        self._used = len(kept)
        self.evicted += count

    def _lead(self, touched: Items) -> None:
        """Untouched items keep their order, so only leaders and touched ones can lead now."""
        rivals = np.unique(np.concatenate([self.leaders, touched]))
        scores = self.popularity(rivals)
        order = np.argsort(-scores, kind="stable")[: self._n_leaders]
        self.leaders = rivals[order[scores[order] > 0]]

    def _pair(self, ones: Items, others: Items, weights: npt.NDArray[np.float64]) -> None:
        """Add weighted pairs one -> other, which may repeat."""
        if not len(ones):
            return
        key = (self._row_of[ones].astype(np.int64) << 32) | others
        order = np.argsort(key)  # unstable is fine, a block always comes in the same order
        key = key[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        weight = np.add.reduceat(weights[order], first).astype(np.float32)
        rows, items = (key[first] >> 32).astype(np.int32), key[first].astype(np.int32)
        match = self._table["neighbour"][rows] == items[:, None]  # (p, K)
        places = match.argmax(axis=1)
        known = match[np.arange(len(rows)), places]
        self._table["weight"][rows[known], places[known]] += weight[known]
        self._admit(rows[~known], items[~known], weight[~known])

    def _admit(self, rows: Items, items: Items, weights: Floats) -> None:
        """Offer new neighbours (p,), grouped by row, strongest first, one per row and turn."""
        # Floats from 0 up sort like their bits; a heavier one has the smaller complement.
        light = np.int64(0x7FFFFFFF) - weights.view(np.int32)
        order = np.argsort((rows.astype(np.int64) << 32) | light)
        rows, items, weights = rows[order], items[order], weights[order]
        start = np.flatnonzero(np.diff(rows, prepend=-1))
        turn = np.arange(len(rows)) - np.repeat(start, np.diff(start, append=len(rows)))
        for number in range(min(NEWCOMERS, int(turn.max(initial=-1)) + 1)):
            now = turn == number
            row, weight = rows[now], weights[now]
            held = self._table["weight"][row]  # (q, K)
            weakest = held.argmin(axis=1)
            least = held[np.arange(len(row)), weakest]
            enters = weight > least
            self._table["neighbour"][row[enters], weakest[enters]] = items[now][enters]
            # Who stays out wears the weakest down by its own weight.
            self._table["weight"][row, weakest] = np.where(enters, weight, least - weight)


def _row_type(neighbours: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("neighbour", "<i4", neighbours),
            ("weight", "<f4", neighbours),
            ("item", "<i4"),
            ("popularity", "<f4"),
            ("visits", "<f4"),
        ]
    )
