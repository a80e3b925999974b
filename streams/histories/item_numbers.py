"""A partition's item numbers, in the order in which its log first named the items.

An index into the worker's item table is valid in a single process: it depends on the catalogue and
on other partitions. Numbers depend on the partition's log alone. So histories and counters hold
numbers; then checkpoints, and the order of items with equal scores, mean the same in every worker.
Freed numbers (`streams.item_sweep`) are reused, the lowest first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from streams.histories.item_table import NO_ITEM, ItemTable
from streams.undo import Undo

MIN_CAPACITY = 1024
MAX_ITEMS = 1_000_000
PAGE = 256

Items = npt.NDArray[np.int32]


class ItemNumbers:
    """Index in the worker's item table <-> number in one partition.

    Parameters
    ----------
    items
        The worker's table.
    undo
        Records every change.
    max_items
        Bound; events whose item gets no number are counted in the table's `refused`.
    capacity
        Items that there is room for at first.

    Examples
    --------
    >>> table = ItemTable()
    >>> hat, shoe = table.indices(["hat", "shoe"])
    >>> numbers = ItemNumbers(table)
    >>> numbers.give(np.array([shoe, NO_ITEM, hat, shoe])).tolist()
    [0, -1, 1, 0]
    >>> numbers.indices(np.array([[1, NO_ITEM]])).tolist()
    [[0, -1]]
    """

    def __init__(
        self,
        items: ItemTable,
        undo: Undo | None = None,
        *,
        max_items: int = MAX_ITEMS,
        capacity: int = MIN_CAPACITY,
    ) -> None:
        self._undo = undo or Undo()
        self.max_items = max_items
        self._capacity = capacity  # least number of rows
        self._items = items
        self._used = 0
        self._free: Items = np.empty(0, np.int32)  # numbers below `_used`, ascending
        self._changed: frozenset[int] = frozenset()  # pages since the last capture
        # The last entry of both arrays belongs to no item: -1 points at it, and it stays -1.
        self._numbers: Items = np.full(capacity, NO_ITEM, np.int32)
        self._indices: Items = np.full(capacity, NO_ITEM, np.int32)
        items.hold(self)

    def __len__(self) -> int:
        return self._used

    @property
    def taken(self) -> int:
        """Numbers that an item has."""
        return self._used - len(self._free)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._numbers.nbytes + self._indices.nbytes

    @property
    def all_indices(self) -> Items:
        """int32 (numbers + 1 or more,): index by number, -1 from the last number on."""
        return self._indices

    def give(self, indices: Items) -> Items:
        """The numbers of items (n,), new numbers while there are any; -1 for `NO_ITEM`."""
        if len(self._numbers) <= len(self._items):
            self._undo.attributes(self, "_numbers")
            self._numbers = _longer(self._numbers, len(self._items) + 1)
        numbers = np.empty(len(indices), np.int32)
        if not _look_up(indices, self._numbers, numbers):
            return numbers
        missing = indices[(numbers < 0) & (indices >= 0)]
        new, first = np.unique(missing, return_index=True)
        room = max(0, self.max_items - self.taken)
        self._number(new[np.argsort(first)][:room])
        numbers = self._numbers[indices]
        if len(new) > room:
            self._items.refused += int(((numbers < 0) & (indices >= 0)).sum())
        return numbers

    def of(self, indices: Items) -> Items:
        """The numbers of items, any shape; -1 for `NO_ITEM` and for items without a number."""
        return self._numbers[np.minimum(indices, len(self._numbers) - 1)]

    def indices(self, numbers: Items) -> Items:
        """The items with these numbers, any shape; `NO_ITEM` for -1."""
        return self._indices[numbers]

    def held_items(self) -> Items:
        """Indices in the worker's table that have a number here."""
        return np.flatnonzero(self._numbers >= 0).astype(np.int32)

    def keep(self, held: npt.NDArray[np.bool_]) -> None:
        """Free the numbers that aren't held; `held` is bool (numbers or more,)."""
        free = np.flatnonzero(~held[: self._used]).astype(np.int32)
        gone = free[self._indices[free] >= 0]
        self._undo.attributes(self, "_free")
        self._undo.rows(self._numbers, self._indices[gone])
        self._undo.rows(self._indices, gone)
        self._numbers[self._indices[gone]] = NO_ITEM
        self._indices[gone] = NO_ITEM
        self._free = free
        self._change(gone)

    def capture(self) -> list[tuple[int, list[str]]]:
        """Pages that changed since the last capture: page number, and ids of its `PAGE` items.

        A number without an item has the id "".
        """
        pages, self._changed = sorted(self._changed), frozenset()
        return [
            (page, [self._id(number) for number in range(page * PAGE, (page + 1) * PAGE)])
            for page in pages
        ]

    def touch(self, page: int) -> None:
        """Mark a page for the next capture."""
        self._changed |= {page}

    def touch_all(self) -> None:
        """Mark all pages for the next capture."""
        self._changed = frozenset(range(-(-self._used // PAGE)))

    def _id(self, number: int) -> str:
        index = int(self._indices[number]) if number < self._used else NO_ITEM
        return self._items.ids[index] if index >= 0 else ""

    def restore(self, ids: Sequence[str]) -> None:
        """Give the n ids the numbers 0 to n - 1, except ""; adds the ids to the worker's table."""
        indices = self._items.indices(ids)
        there = np.flatnonzero(indices >= 0)
        self._used = len(ids)
        self._free = np.flatnonzero(indices < 0).astype(np.int32)
        self._indices = np.full(max(self._capacity, len(ids) + 1), NO_ITEM, np.int32)
        self._numbers = np.full(max(self._capacity, len(self._items) + 1), NO_ITEM, np.int32)
        self._indices[: len(ids)] = indices
        self._numbers[indices[there]] = there
        self._changed = frozenset()

    def _number(self, new: Items) -> None:
        again = self._free[: len(new)]
        end = self._used + len(new) - len(again)
        numbers = np.concatenate([again, np.arange(self._used, end, dtype=np.int32)])
        self._undo.attributes(self, "_used", "_indices", "_free")
        self._undo.rows(self._numbers, new)
        if end >= len(self._indices):
            self._indices = _longer(self._indices, end + 1)
        self._undo.rows(self._indices, numbers)
        self._indices[numbers] = new
        self._numbers[new] = numbers
        self._used, self._free = end, self._free[len(again) :]
        self._change(numbers)

    def _change(self, numbers: Items) -> None:
        self._undo.attributes(self, "_changed")
        self._changed |= set(np.unique(numbers // PAGE).tolist())


@kernel
def _look_up(indices: Items, known: Items, numbers: Items) -> int:
    """Fill in the numbers of items (n,) -> how many items have none."""
    missing = 0
    for i in range(len(indices)):
        numbers[i] = known[indices[i]]
        missing += numbers[i] < 0 and indices[i] >= 0
    return missing


def _longer(column: Items, least: int) -> Items:
    more = max(least, 2 * len(column)) - len(column)
    return np.concatenate([column, np.full(more, NO_ITEM, np.int32)])
