"""The worker's items: id to dense index, with each item's catalogue entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
import xxhash

NO_ITEM = -1
MIN_CAPACITY = 1024
MIN_SWEEP = 65_536


class Holder(Protocol):
    """An object that refers to items by index, so that the table must keep these items."""

    def held_items(self) -> npt.NDArray[np.int32]:
        """The indices in use, int32 (n,); `NO_ITEM` is allowed."""


class ItemTable:
    """Item id -> dense int32 index, fed by events and by the `items` topic.

    An item keeps its index while the catalogue lists it or a holder refers to it. Afterwards the
    index may be reused for another item, between two batches. Partitions have separate bounds
    (`ItemNumbers`), so a partition's state doesn't depend on other partitions. The catalogue has a
    separate bound, too, so a flood of ids in events can't take its room.

    Parameters
    ----------
    max_items
        Bound on the items that the catalogue lists.
    max_known
        Bound on all items, where indices are never freed: beyond it new ids get `NO_ITEM`.
    min_sweep
        With fewer items than this, a sweep does nothing.

    Attributes
    ----------
    refused
        Number of events and catalogue entries whose item found no room; such an event is kept
        without its item.
    sweeps
        How often indices were freed.

    Examples
    --------
    >>> table = ItemTable()
    >>> table.indices(["shoe", None, "hat", "shoe"]).tolist()
    [0, -1, 1, 0]
    >>> table.ids[1]
    'hat'
    """

    def __init__(
        self,
        max_items: int = 1_000_000,
        *,
        max_known: int = 2**31 - 1,
        min_sweep: int = MIN_SWEEP,
    ) -> None:
        self.max_items = max_items
        self._max_known = max_known
        self.refused = self.sweeps = 0
        self.ids: list[str] = []  # "" = free
        self._min_sweep = self._sweep_at = min_sweep
        self._holders: WeakSet[Holder] = WeakSet()
        self._free: list[int] = []
        self._listed = np.zeros(MIN_CAPACITY, np.bool_)
        self._n_listed = 0
        self._index: dict[str, int] = {}
        self._category_index: dict[str, int] = {}
        self._categories = np.full(MIN_CAPACITY, -1, np.int32)
        self._prices = np.full(MIN_CAPACITY, np.nan, np.float32)
        self._available = np.ones(MIN_CAPACITY, np.bool_)
        self._hashes = np.zeros(MIN_CAPACITY, np.uint64)
        # Hashes of ids that the catalogue removed, known or not: a later event may name them.
        self._removed: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def known_items(self) -> int:
        """Number of items with an index."""
        return len(self._index)

    @property
    def categories(self) -> npt.NDArray[np.int32]:
        """int32 (items,): dense index of the category, -1 = unknown."""
        return self._categories[: len(self.ids)]

    @property
    def prices(self) -> npt.NDArray[np.float32]:
        """float32 (items,): catalogue price, NaN = unknown."""
        return self._prices[: len(self.ids)]

    @property
    def available(self) -> npt.NDArray[np.bool_]:
        """Bool (items,): whether the item may be recommended; True unless the catalogue says no."""
        return self._available[: len(self.ids)]

    @property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """uint64 (items,): XXH3-64 of the id, the same in every worker."""
        return self._hashes[: len(self.ids)]

    def index(self, item_id: str | None) -> int:
        """The item's index, a new index for a new item; `NO_ITEM` for none or beyond the bound."""
        if not item_id:
            return NO_ITEM
        known = self._index.get(item_id)
        return self._add(item_id) if known is None else known

    def indices(self, item_ids: Sequence[str | None]) -> npt.NDArray[np.int32]:
        """`index` of each id -> int32 (n,)."""
        get = self._index.get
        found = [get(item_id, -2) if item_id else NO_ITEM for item_id in item_ids]
        out = np.array(found, dtype=np.int32)
        if -2 in found:
            for position in np.flatnonzero(out == -2).tolist():
                out[position] = self.index(item_ids[position])
        return out

    def known(self, item_ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """The index of each id -> int32 (n,), `NO_ITEM` = unknown; adds no items."""
        return np.array([self._index.get(item_id, NO_ITEM) for item_id in item_ids], np.int32)

    def category_of(self, indices: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Categories of item indices of any shape, -1 = no item or no category."""
        if not self.ids:
            return np.full(indices.shape, -1, np.int32)
        return np.where(indices >= 0, self._categories[indices], np.int32(-1))

    def upsert(
        self,
        item_id: str,
        *,
        category: str | None = None,
        price: float | None = None,
        available: bool = True,
    ) -> int:
        """Replace an item's catalogue entry -> the item's index (`NO_ITEM` beyond the bound)."""
        self._removed.pop(_hash(item_id), None)
        index = self._index.get(item_id, NO_ITEM)
        full = self._n_listed >= self.max_items and not (index >= 0 and self._listed[index])
        self.refused += full
        if not full and index == NO_ITEM:
            index = self._add(item_id)
        if full or index == NO_ITEM:
            if not available:
                self._keep_out(item_id)
            if index >= 0:
                self._available[index] = available
            return NO_ITEM
        self._n_listed += not self._listed[index]
        self._listed[index] = True
        self._categories[index] = (
            -1
            if category is None
            else self._category_index.setdefault(category, len(self._category_index))
        )
        self._prices[index] = np.nan if price is None else price
        self._available[index] = available
        return index

    def remove(self, item_id: str) -> None:
        """Remove an item from the catalogue (a tombstone), so that it isn't recommended.

        It makes no difference whether events name the item before or after its removal.
        """
        self._keep_out(item_id)
        index = self._index.get(item_id)
        if index is not None:
            self._categories[index] = -1
            self._prices[index] = np.nan
            self._available[index] = False
            self._n_listed -= int(self._listed[index])
            self._listed[index] = False

    def hold(self, holder: Holder) -> None:
        """Keep the items that `holder` refers to, as long as the holder exists."""
        self._holders.add(holder)

    def sweep(self) -> None:
        """Free unused indices if there are many new items; must be called between two batches."""
        if len(self._index) < self._sweep_at:
            return
        held = np.append(self._listed[: len(self.ids)], False)  # the last entry is for `NO_ITEM`
        for holder in self._holders:
            held[holder.held_items()] = True
        gone = [index for index in np.flatnonzero(~held[:-1]).tolist() if self.ids[index]]
        for index in gone:
            del self._index[self.ids[index]]
            self.ids[index] = ""
        self._categories[gone], self._prices[gone], self._available[gone] = -1, np.nan, False
        self._hashes[gone] = 0
        self._free += gone
        self.sweeps += 1
        self._sweep_at = max(self._min_sweep, 2 * len(self._index))

    def _keep_out(self, item_id: str) -> None:
        self._removed[_hash(item_id)] = None
        if len(self._removed) > self.max_items:
            del self._removed[next(iter(self._removed))]

    def _add(self, item_id: str) -> int:
        if len(self._index) >= self._max_known:
            self.refused += 1
            return NO_ITEM
        if self._free:
            index = self._free.pop()
            self.ids[index] = item_id
        else:
            index = len(self.ids)
            if index == len(self._hashes):
                self._grow()
            self.ids.append(item_id)
        self._index[item_id] = index
        self._hashes[index] = _hash(item_id)
        self._available[index] = int(self._hashes[index]) not in self._removed
        return index

    def _grow(self) -> None:
        more = len(self._hashes)
        self._categories = np.concatenate([self._categories, np.full(more, -1, np.int32)])
        self._prices = np.concatenate([self._prices, np.full(more, np.nan, np.float32)])
        self._available = np.concatenate([self._available, np.ones(more, np.bool_)])
        self._listed = np.concatenate([self._listed, np.zeros(more, np.bool_)])
        self._hashes = np.concatenate([self._hashes, np.zeros(more, np.uint64)])


def _hash(item_id: str) -> int:
    return xxhash.xxh3_64_intdigest(item_id.encode())
