"""All that a partition's state holds, as plain values that can be compared."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from streams.item_numbers import ItemNumbers
from streams.items import ItemTable
from streams.label_queue import LabelQueue, Payments
from streams.partition import PartitionState
from streams.pending import Pending
from streams.undo import Undo
from streams.user_rows import UserRows


def snapshot(state: PartitionState) -> Any:
    """A deep copy without what means nothing: spare room, free places, items known by index."""
    return _plain(state)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, array):
        return value.tobytes().rstrip(b"\0")  # it grows without being asked to shrink
    if isinstance(value, LabelQueue):
        kept = _fields(value)
        waiting = value._rows[value._head : value._tail].tobytes()
        return {**kept, "_rows": waiting, "_head": 0, "_tail": len(value)}
    if isinstance(value, list) and value and isinstance(value[0], Pending):
        return _plain(_merged(value))
    if isinstance(value, UserRows):
        used = len(value._index.ids)
        columns = (value.rows, value.owners, value._touched, value._captured)
        found = {user_id: value.slot(user_id) for user_id in value.users()}
        kept = [value._index.ids, value._free, sorted(value.leavers), value.evicted, value._given]
        return _plain([*(column[:used] for column in columns), found, kept])
    if isinstance(value, ItemNumbers):
        return [value._id(number) for number in range(len(value))]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, ItemTable | Undo):
        return None
    if hasattr(value, "__dict__") or hasattr(value, "__slots__"):
        return _fields(value)
    return value


def _merged(pending: list[Pending]) -> dict[str, Any]:
    """One block's events, which come in as many pieces as batches brought them."""
    columns = ("items", "before", "item_times_s", "amounts", "references", "label_times_s")
    return {
        "clock_s": max(one.clock_s for one in pending),
        "payments": Payments.concat([one.payments for one in pending]),
        "label_users": [user for one in pending for user in one.label_users],
        **{name: np.concatenate([getattr(one, name) for one in pending]) for name in columns},
    }


def _fields(value: Any) -> dict[str, Any]:
    names = getattr(value, "__dict__", None) or getattr(value, "__slots__", ())
    return {name: _plain(getattr(value, name)) for name in names}
