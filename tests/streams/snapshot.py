"""All that a partition's state holds, as plain values that can be compared.

Every attribute is walked, of what is added later too. `VIEWS` says what of a class means nothing
but in its own process or by chance: spare room, places, the order in which things were added.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from streams.counters.counters import Counters
from streams.counters.label_queue import LabelQueue, Payments
from streams.counters.pending import Pending
from streams.histories.histories import Histories
from streams.histories.item_numbers import ItemNumbers
from streams.histories.item_table import ItemTable
from streams.histories.user_index import UserIndex
from streams.histories.user_rows import UserRows
from streams.partition import PartitionState
from streams.undo import Undo

View = Callable[[Any], Any]
NOTHING: View = lambda _: None  # noqa: E731  (an entry of a table)


def snapshot(state: PartitionState) -> Any:
    """A deep copy without what means nothing."""
    return plain(state)


def _used(column: str) -> View:
    return lambda rows: getattr(rows, column)[: len(rows._index.ids)]


VIEWS: Mapping[type, Mapping[str, View]] = {
    Counters: {
        "labelled": lambda counters: list(counters.labelled.items()),  # the oldest news goes first
        "pending": lambda counters: _merged(counters.pending),
    },
    LabelQueue: {
        "_rows": lambda queue: queue._rows[queue._head : queue._tail],
        "_head": NOTHING,
        "_tail": NOTHING,
    },
    UserRows: {
        **{name: _used(name) for name in ("rows", "owners", "_touched", "_captured")},
        "leavers": lambda rows: sorted(rows.leavers),
        "columns": lambda rows: None,  # views of `rows`
    },
    UserIndex: {
        "_places": lambda index: index.find([user for user in index.ids if user]),
        "_hashes": NOTHING,
    },
    ItemNumbers: {
        "_indices": lambda numbers: [numbers._id(number) for number in range(len(numbers))],
        "_numbers": lambda numbers: sorted(
            (numbers._items.ids[index], number)
            for index, number in enumerate(numbers._numbers.tolist()[: len(numbers._items)])
            if number >= 0
        ),
    },
    Histories: {"items": NOTHING},  # the worker's, shared by its partitions
}


def plain(value: Any) -> Any:
    """A value and all that it holds, as what can be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape[1:], _without_room(value).tobytes()
    if isinstance(value, array):
        return value.tobytes().rstrip(b"\0")  # it grows without being asked to shrink
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, ItemTable | Undo | np.dtype):
        return None
    if hasattr(value, "__dict__") or hasattr(value, "__slots__"):
        views = VIEWS.get(type(value), {})
        names = getattr(value, "__dict__", None) or getattr(value, "__slots__", ())
        return {
            name: plain(views[name](value) if name in views else getattr(value, name))
            for name in names
        }
    return value


def _without_room(column: np.ndarray) -> np.ndarray:
    """The rows up to the last that isn't empty: tables grow in steps."""
    if not column.size:
        return column
    filler = -1 if column.dtype.kind == "i" else 0
    empty = np.zeros((), column.dtype) if column.dtype.names else np.array(filler, column.dtype)
    same = (column == empty).reshape(len(column), -1).all(axis=1)
    full = np.flatnonzero(~same)
    return column[: full[-1] + 1 if len(full) else 0]


def _merged(pending: list[Pending]) -> Any:
    """One block's events, which come in as many pieces as batches brought them."""
    if not pending:
        return []
    columns = ("items", "before", "item_times_s", "amounts", "references", "label_times_s")
    return {
        "clock_s": max(one.clock_s for one in pending),
        "payments": Payments.concat([one.payments for one in pending]),
        "label_users": [user for one in pending for user in one.label_users],
        **{name: np.concatenate([getattr(one, name) for one in pending]) for name in columns},
    }
