"""Live counters per item: its popularity, and the items that users visit around it.

Co-visitation: an event's item pairs with the items of the user's preceding events, with the weight
1 / distance, both ways, decayed in event time. The part of a weight from events in which the
neighbour came after the item is kept beside the weight. An item keeps its strongest neighbours
(`streams.counters.item_kernels`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streams.counters.decay import Decay
from streams.counters.item_kernels import all_known, count, lead, touched
from streams.counters.item_view import Part
from streams.histories.item_table import NO_ITEM
from streams.undo import Undo

DAY_S = 86_400.0
MIN_CAPACITY = 1024
EVICTED_SHARE = 8  # evict an eighth of the items at a time

Ints = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class Covisits:
    """One partition's part of the item counters.

    Parameters
    ----------
    max_items
        Bound; beyond it the least popular items are evicted and counted in `evicted`.
    neighbours
        K, most neighbours kept per item.
    window
        Number of preceding items that an event's item pairs with.
    leaders
        Length of the lists of the most popular and of the hottest items.
    popularity_tau_s, hot_tau_s, covisit_tau_s
        Time constants of `popularity`, of `hot`, and of co-visitation with the visits that
        normalise it.
    undo
        Records every change.
    capacity
        Items that there is room for at first.
    """

    def __init__(
        self,
        *,
        max_items: int = 100_000,
        neighbours: int = 32,
        window: int = 5,
        leaders: int = 128,
        popularity_tau_s: float = 7 * DAY_S,
        hot_tau_s: float = DAY_S / 12,
        covisit_tau_s: float = 90 * DAY_S,
        undo: Undo | None = None,
        capacity: int = MIN_CAPACITY,
    ) -> None:
        self._undo = undo or Undo()
        self.max_items = max_items
        self.window = window
        self.evicted = 0
        self.clock_s = 0  # newest event time counted
        self.leaders: Items = np.empty(0, np.int32)  # most popular first
        self.hottest: Items = np.empty(0, np.int32)
        self._n_leaders = leaders
        self._popularity_decay = Decay(popularity_tau_s)
        self._hot_decay = Decay(hot_tau_s)
        self._visit_decay = Decay(covisit_tau_s)
        self._used = 0
        self._row_of: Items = np.full(capacity, -1, np.int32)  # item index -> row
        self._items: Items = np.full(capacity, NO_ITEM, np.int32)
        self._popularity: Floats = np.zeros(capacity, np.float32)
        self._hot: Floats = np.zeros(capacity, np.float32)
        self._visits: Floats = np.zeros(capacity, np.float32)
        self._neighbours: Items = np.full((capacity, neighbours), NO_ITEM, np.int32)
        self._weights: Floats = np.zeros((capacity, neighbours), np.float32)
        self._forward: Floats = np.zeros((capacity, neighbours), np.float32)

    def __len__(self) -> int:
        return self._used

    @property
    def width(self) -> int:
        """K, most neighbours kept per item."""
        return int(self._neighbours.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._row_of.nbytes + sum(column.nbytes for column in self.columns())

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """The columns by row: number, three counts, neighbours, weights both ways, forward."""
        counts = self._popularity, self._hot, self._visits
        used = (self._items, *counts, self._neighbours, self._weights, self._forward)
        return tuple(column[: self._used] for column in used)

    def numbers(self) -> tuple[Items, Items]:
        """The numbers of the items that are counted, and of their neighbours, any shape."""
        return self._items[: self._used], self._neighbours[: self._used]

    def part(self) -> Part:
        """All counters as of `clock_s`, for a kernel; valid until the next `add`."""
        return Part(
            self._row_of,
            self._popularity,
            self._hot,
            self._visits,
            self._neighbours,
            self._weights,
            self._forward,
            self.leaders,
            self.hottest,
            np.float32(self._popularity_decay.scale(self.clock_s)),
            np.float32(self._hot_decay.scale(self.clock_s)),
            np.float32(self._visit_decay.scale(self.clock_s)),
        )

    def add(self, items: Items, before: Items, times_s: Ints) -> None:
        """Count n events in log order.

        Parameters
        ----------
        items, times_s
            int32, int64 (n,): item (never `NO_ITEM`) and time (epoch seconds) of each event.
        before
            int32 (n, B): items of the user's preceding events, newest first, -1 = none.
        """
        if not len(items):
            return
        self._undo.attributes(self, "clock_s", "leaders", "hottest")
        self._advance_clock(times_s)
        self._make_room(items, before)
        if self._undo.recording:
            rows = touched(items, before, self._row_of, self._used)
            for column in self.columns()[1:]:
                self._undo.rows(column, rows)
        popularity, hot, visits = self._popularity_decay, self._hot_decay, self._visit_decay
        count(
            items,
            before,
            times_s,
            (popularity.landmark_s or 0, hot.landmark_s or 0, visits.landmark_s or 0),
            (popularity.tau_s, hot.tau_s, visits.tau_s),
            self.window,
            self._row_of,
            (self._popularity, self._hot, self._visits),
            (self._neighbours, self._weights, self._forward),
        )
        most, rows = self._n_leaders, self._row_of
        self.leaders = lead(self.leaders, most, items, rows, self._popularity)
        self.hottest = lead(self.hottest, most, items, rows, self._hot)

    def popularity(self, items: Items) -> Floats:
        """Decayed events of each item, any shape, as of `clock_s`; 0 for items without a row."""
        return self._column(self._popularity, items, self._popularity_decay)

    def visits(self, items: Items) -> Floats:
        """As `popularity`, with the slower decay of co-visitation."""
        return self._column(self._visits, items, self._visit_decay)

    def neighbours(self, items: Items) -> tuple[Items, Floats]:
        """Neighbours (..., K) of items (...,), and their weights (..., K), 0 = no neighbour."""
        rows = self._known(items)
        weights: Floats = np.where((rows >= 0)[..., None], self._weights[rows], np.float32(0))
        weights *= np.float32(self._visit_decay.scale(self.clock_s))
        return np.where(weights > 0, self._neighbours[rows], NO_ITEM), weights

    def _column(self, values: Floats, items: Items, decay: Decay) -> Floats:
        rows = self._known(items)
        scale = np.float32(decay.scale(self.clock_s))
        return np.where(rows >= 0, values[rows] * scale, np.float32(0))

    def _advance_clock(self, times_s: Ints) -> None:
        self.clock_s = max(self.clock_s, int(times_s.max()))
        for decay, tables in (
            (self._popularity_decay, (self._popularity,)),
            (self._hot_decay, (self._hot,)),
            (self._visit_decay, (self._visits, self._weights, self._forward)),
        ):
            if decay.holds(self.clock_s):
                continue
            self._undo.attributes(decay, "landmark_s")
            if (factor := decay.renew(self.clock_s)) != 1.0:
                for table in tables:
                    self._undo.rows(table, slice(None))
                    np.multiply(table, np.float32(factor), out=table)

    def _known(self, items: Items) -> Items:
        """Rows of items of any shape, -1 = none; the last entry belongs to no item and is -1."""
        return self._row_of[np.minimum(items, len(self._row_of) - 1)]

    def _make_room(self, items: Items, before: Items) -> None:
        """Give rows to the new items; evict the least popular items beyond the bound."""
        if all_known(items, before, self._row_of):
            return
        mentioned = np.concatenate([items, before.reshape(-1)])
        self._undo.attributes(self, "_row_of", "_used")
        while len(self._row_of) <= mentioned.max() + 1:
            self._row_of = np.concatenate([self._row_of, np.full_like(self._row_of, -1)])
        new = self._unknown(mentioned)
        if not len(new):
            return
        if self._used + len(new) > self.max_items:
            over = max(self._used + len(new) - self.max_items, self._used // EVICTED_SHARE)
            self._evict(min(over, max(1, self._used // 2)))  # a flood can't evict the popular half
            new = self._unknown(mentioned)[: self.max_items - self._used]
        while self._used + len(new) > len(self._items):
            self._grow()
        rows = slice(self._used, self._used + len(new))
        self._undo.rows(self._row_of, new)
        self._undo.rows(self._items, rows)
        self._row_of[new] = np.arange(rows.start, rows.stop)
        self._items[rows] = new
        self._used = rows.stop

    def _unknown(self, items: Items) -> Items:
        """Which of `items` have no row, each once."""
        new = items[(self._row_of[items] < 0) & (items >= 0)]
        return np.unique(new) if len(new) else new

    def _grow(self) -> None:
        self._undo.attributes(self, "_items", "_popularity", "_hot", "_visits")
        self._undo.attributes(self, "_neighbours", "_weights", "_forward")
        self._items = np.concatenate([self._items, np.full_like(self._items, NO_ITEM)])
        self._popularity = np.concatenate([self._popularity, np.zeros_like(self._popularity)])
        self._hot = np.concatenate([self._hot, np.zeros_like(self._hot)])
        self._visits = np.concatenate([self._visits, np.zeros_like(self._visits)])
        more = np.full_like(self._neighbours, NO_ITEM)
        self._neighbours = np.concatenate([self._neighbours, more])
        self._weights = np.concatenate([self._weights, np.zeros_like(self._weights)])
        self._forward = np.concatenate([self._forward, np.zeros_like(self._forward)])

    def _evict(self, count: int) -> None:
        self._undo.attributes(self, "evicted", "_used")
        for column in (self._row_of, *self.columns()):
            self._undo.rows(column, slice(None))
        keep = np.ones(self._used, np.bool_)
        keep[np.argsort(self._popularity[: self._used], kind="stable")[:count]] = False
        self._row_of[self._items[: self._used][~keep]] = -1
        for column, empty in zip(self.columns(), (NO_ITEM, 0, 0, 0, NO_ITEM, 0, 0), strict=True):
            kept = column[keep]
            column[: len(kept)] = kept
            column[len(kept) :] = empty
        self._used = int(keep.sum())
        self._row_of[self._items[: self._used]] = np.arange(self._used)
        self.evicted += count
