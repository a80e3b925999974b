"""A partition's own numbers for items: an item's is how many others its log named before it.

An index into the worker's item table means something in one process only: it depends on the
catalogue and on the other partitions. Numbers depend on the partition's log alone. So rows and
counters hold numbers, what is written to a checkpoint means the same in any worker, and so does
the order in which equals are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streams.histories.item_table import NO_ITEM, ItemTable
from streams.undo import Undo

MIN_CAPACITY = 1024
PAGE = 256

Items = npt.NDArray[np.int32]


class ItemNumbers:
    """Index in the worker's item table <-> number in one partition.

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
        self, items: ItemTable, undo: Undo | None = None, *, capacity: int = MIN_CAPACITY
    ) -> None:
        self._undo = undo or Undo()
        self._capacity = capacity  # at least
        self._items = items
        self._used = 0
        self._captured = 0
        self._homeless: dict[int, str] = {}  # restored, but the table has no room for them
        # The last entry of both is nobody's: it is where -1 points, and stays -1.
        self._numbers: Items = np.full(capacity, NO_ITEM, np.int32)
        self._indices: Items = np.full(capacity, NO_ITEM, np.int32)

    def __len__(self) -> int:
        return self._used

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._numbers.nbytes + self._indices.nbytes

    @property
    def all_indices(self) -> Items:
        """int32 (numbers + 1 or more,): index by number, -1 from the last number on."""
        return self._indices

    def give(self, indices: Items) -> Items:
        """The numbers of items (n,), -1 for `NO_ITEM`; who has none yet gets the next one."""
        if len(self._numbers) <= len(self._items):
            self._undo.attributes(self, "_numbers")
            self._numbers = _longer(self._numbers, len(self._items) + 1)
        numbers = self._numbers[indices]
        missing = indices[(numbers < 0) & (indices >= 0)]
        if not len(missing):
            return numbers
        new, first = np.unique(missing, return_index=True)
        self._number(new[np.argsort(first)])
        return self._numbers[indices]

    def of(self, indices: Items) -> Items:
        """The numbers of items, any shape; -1 where there is no item or it has none."""
        return self._numbers[np.minimum(indices, len(self._numbers) - 1)]

    def indices(self, numbers: Items) -> Items:
        """The items with these numbers, any shape; `NO_ITEM` for -1."""
        return self._indices[numbers]

    def capture(self) -> list[tuple[int, list[str]]]:
        """Pages with items that are new since the last capture: number, ids of its `PAGE` items.

        The last page ends with empty ids.
        """
        begin, self._captured = self._captured // PAGE, self._used
        return [
            (page, [self._id(number) for number in range(page * PAGE, (page + 1) * PAGE)])
            for page in range(begin, -(-self._used // PAGE))
        ]

    def touch(self, page: int) -> None:
        """The next capture holds this page, and those after it, again."""
        self._captured = min(self._captured, page * PAGE)

    def _id(self, number: int) -> str:
        if number >= self._used:
            return ""
        index = int(self._indices[number])
        return self._items.ids[index] if index >= 0 else self._homeless[number]

    def restore(self, ids: Sequence[str]) -> None:
        """Number items anew, from 0; the worker's table learns those that it doesn't know.

        An item for which the table has no room keeps its number and is nothing to show.
        """
        indices = self._items.indices(ids)
        self._homeless = {number: ids[number] for number in np.flatnonzero(indices < 0).tolist()}
        self._used = 0
        self._indices = np.full(max(self._capacity, len(ids) + 1), NO_ITEM, np.int32)
        self._numbers = np.full(max(self._capacity, len(self._items) + 1), NO_ITEM, np.int32)
        self._number(indices)
        self._numbers[-1] = NO_ITEM
        self._captured = self._used

    def _number(self, new: Items) -> None:
        end = self._used + len(new)
        self._undo.attributes(self, "_used", "_indices")
        self._undo.rows(self._numbers, new)
        if end >= len(self._indices):
            self._indices = _longer(self._indices, end + 1)
        self._undo.rows(self._indices, slice(self._used, end))
        self._indices[self._used : end] = new
        self._numbers[new] = np.arange(self._used, end)
        self._used = end


def _longer(column: Items, least: int) -> Items:
    more = max(least, 2 * len(column)) - len(column)
    return np.concatenate([column, np.full(more, NO_ITEM, np.int32)])
