"""A user's row as bytes, for a checkpoint: as in memory, without unused places for events.

Version 1, little-endian::

    1   version
    4   `list_hashes` of the last list sent to the user, 0 = none
    4   event time of that list, epoch seconds
    .   the fields `user_rows.PER_USER`, in the order of `row_type`
    .   the fields `user_rows.PER_EVENT`, in the order of `row_type`, n values each

Items are the partition's numbers. Compiled loops copy all rows of a checkpoint at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from schemas.errors import StateError
from streams.histories.user_rows import PER_EVENT, Rows, row_type

VERSION = 1
_SENT = 8
_HEAD = 1 + _SENT

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class PackedRows:
    """The bytes of n rows, one after another.

    Attributes
    ----------
    data
        uint8 (bytes,): all rows.
    bounds
        int64 (n + 1,): where each row begins in `data`, and where the last row ends.
    """

    data: Bytes
    bounds: Ints

    def values(self) -> list[bytes]:
        """The bytes of each row."""
        whole, bounds = self.data.tobytes(), self.bounds.tolist()
        return [whole[a:b] for a, b in pairwise(bounds)]


def pack(rows: Rows, slots: Ints, sent: Words) -> PackedRows:
    """Pack the rows at `slots`.

    Parameters
    ----------
    rows
        `user_rows.row_type` (users,).
    slots
        int64 (n,).
    sent
        uint32 (n, 2): hash and event time of the last list sent to each user
        (`SentLists.of`).
    """
    widths, length = _widths(rows.dtype)
    lengths = rows["length"][slots].astype(np.int64)
    fixed = rows.dtype.itemsize - int(widths.sum()) * length
    bounds = np.zeros(len(slots) + 1, np.int64)
    np.cumsum(_HEAD + fixed + int(widths.sum()) * lengths, out=bounds[1:])
    data = np.empty(int(bounds[-1]), np.uint8)
    as_sent = np.ascontiguousarray(sent, "<u4").view(np.uint8)
    _pack(_as_bytes(rows), slots, lengths, as_sent, widths, length, bounds, data)
    return PackedRows(data, bounds)


def unpack(values: Sequence[bytes], length: int) -> tuple[Rows, Words]:
    """Unpack n rows.

    Parameters
    ----------
    values
        The bytes of each row.
    length
        L, most events per row.

    Returns
    -------
    tuple
        The rows, `row_type(length)` (n,), and `sent` as for `pack`, uint32 (n, 2).

    Raises
    ------
    StateError
        A value isn't a row of this version with up to `length` events.
    """
    rows: Rows = np.zeros(len(values), row_type(length))
    widths, _ = _widths(rows.dtype)
    sizes = np.fromiter(map(len, values), np.int64, len(values))
    bounds = np.append(0, np.cumsum(sizes))
    data = np.frombuffer(b"".join(values), np.uint8)
    fixed = rows.dtype.itemsize - int(widths.sum()) * length
    lengths, over = np.divmod(sizes - _HEAD - fixed, int(widths.sum()))
    if (over != 0).any() or (lengths < 0).any() or (lengths > length).any():
        raise StateError(f"user-state: a row doesn't hold up to {length} events of this layout")
    if (data[bounds[:-1]] != VERSION).any():
        raise StateError(f"user-state: a row is not of version {VERSION}")
    sent = np.empty((len(values), _SENT), np.uint8)
    _unpack(data, bounds, lengths, widths, length, sent, _as_bytes(rows))
    if (rows["length"] != lengths).any():
        raise StateError("user-state: a row's length field contradicts its size")
    return rows, sent.view("<u4")


def _widths(row: np.dtype[np.void]) -> tuple[Ints, int]:
    """Bytes per event of each `PER_EVENT` field, int64 (fields,), and L, a row's most events."""
    fields = [row[name] for name in PER_EVENT]
    return np.array([field.base.itemsize for field in fields], np.int64), fields[0].shape[0]


def _as_bytes(rows: Rows) -> Bytes:
    """A view of the same memory as uint8 (n, bytes of a row)."""
    return rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


@kernel
def _pack(
    rows: Bytes,
    slots: Ints,
    lengths: Ints,
    sent: Bytes,
    widths: Ints,
    length: int,
    bounds: Ints,
    data: Bytes,
) -> None:
    """Write the bytes of n rows to `data`, in the layout of this module.

    Parameters
    ----------
    rows
        uint8 (users, bytes of a row).
    slots, lengths
        int64 (n,): which rows, and the number of events of each.
    sent
        uint8 (n, 8): hash and event time of the last list.
    widths
        int64 (fields,): bytes per event of each `PER_EVENT` field.
    length
        L, the events that a row has room for.
    bounds
        int64 (n + 1,): where each row begins in `data`.
    data
        uint8 (bytes,): filled in place.
    """
    per_event = widths.sum()
    for i in range(len(slots)):
        row, at = rows[slots[i]], bounds[i]
        data[at] = VERSION
        at += 1
        data[at : at + _SENT] = sent[i]
        at += _SENT
        fixed = row[per_event * length :]
        data[at : at + len(fixed)] = fixed
        at += len(fixed)
        begin = 0
        for width in widths:
            size = width * lengths[i]
            data[at : at + size] = row[begin : begin + size]
            at += size
            begin += width * length


@kernel
def _unpack(
    data: Bytes,
    bounds: Ints,
    lengths: Ints,
    widths: Ints,
    length: int,
    sent: Bytes,
    rows: Bytes,
) -> None:
    """The reverse of `_pack`: fill `sent`, uint8 (n, 8), and `rows`, uint8 (n, bytes of a row)."""
    per_event = widths.sum()
    fixed = rows.shape[1] - per_event * length
    for i in range(len(lengths)):
        row, at = rows[i], bounds[i] + 1
        sent[i] = data[at : at + _SENT]
        at += _SENT
        row[per_event * length :] = data[at : at + fixed]
        at += fixed
        begin = 0
        for width in widths:
            size = width * lengths[i]
            row[begin : begin + size] = data[at : at + size]
            at += size
            begin += width * length
