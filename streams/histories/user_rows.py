"""The memory of histories: a fixed-size row per user, which holds the user's whole state.

A row is an element of a structured numpy array. So a user's state is contiguous, is copied at once,
and can be written to a checkpoint as it lies in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from models.features.windows import DAY_GAPS
from streams.histories.user_index import NO_SLOT, UserIndex
from streams.undo import Undo

SUMS = (
    *(f"{what}_{days}d" for what in ("visits", "spend") for days in (15, 45, 120)),
    "spend",
    "paid_sum",
)
"""Columns of a row's `sums`."""
MIN_CAPACITY = 1024
EVICTED_SHARE = 16  # evict a 16th of the users at a time, so that the search is rare
SPARE_SHARE = 64  # grow by a 64th at a time: moving rows is cheap, holding spare rows is not

PER_EVENT = ("item", "time", "amount", "entity", "message", "kind")
"""Fields of a row with a value per event; they come first."""
PER_USER = (
    "applied", "first_s", "last_s", "last_purchase_s", "last_point_s", "events", "purchases",
    "payments", "sessions", "gap_days_sumsq", "sums", "paid_max", "cancels", "active_days",
    "gap_days_max", "order_days", "day_gaps", "length",
)  # fmt: skip
"""The other fields of a row, in order."""

Slots = npt.NDArray[np.int64]
Rows = npt.NDArray[Any]
"""Structured array of `row_type`."""
UserColumns = tuple[tuple[npt.NDArray[Any], ...], tuple[npt.NDArray[Any], ...]]
"""The fields `PER_EVENT`, each (users, L), and `PER_USER` of all rows, as a kernel reads them."""


def row_type(length: int) -> np.dtype[Any]:
    """The layout of a user's state: `length` events, oldest first, and the running sums.

    An event takes 21 bytes, the rest 106 bytes: 1,450 bytes with 64 events.
    """
    return np.dtype(
        [
            ("item", "<i4", length),
            ("time", "<u4", length),  # epoch seconds
            ("amount", "<f4", length),
            ("entity", "<u4", length),  # low half of the primary entity's hash
            ("message", "<u4", length),  # low half of the message id's hash
            ("kind", "u1", length),
            ("applied", "<i8"),  # offset of the user's last record
            ("first_s", "<u4"),
            ("last_s", "<u4"),
            ("last_purchase_s", "<u4"),
            ("last_point_s", "<u4"),
            ("events", "<u4"),
            ("purchases", "<u4"),
            ("payments", "<u4"),
            ("sessions", "<u4"),
            ("gap_days_sumsq", "<u4"),
            ("sums", "<f4", len(SUMS)),
            ("paid_max", "<f4"),
            ("cancels", "<u2"),
            ("active_days", "<u2"),
            ("gap_days_max", "<u2"),
            ("order_days", "<u2"),
            ("day_gaps", "<u2", DAY_GAPS),  # the latest first
            ("length", "<u2"),
        ]
    )


@dataclass(frozen=True, slots=True)
class Departure:
    """Users that a partition evicted, to make room for the event at `offset`.

    Attributes
    ----------
    offset, broker_ms
        Offset and broker timestamp (epoch ms) of the event that found no room.
    users
        Ids of the evicted users.
    """

    offset: int
    broker_ms: int
    users: Sequence[str]


class UserRows:
    """User id -> slot -> row, growing in small steps up to `max_users`.

    Attributes
    ----------
    rows, columns
        `row_type`, by slot; and views of its fields.
    owners
        uint32, by slot: the owner number of the slot's user, 0 = free. Each assignment of a slot
        gets a new number, so a number from before tells that the slot has changed hands.
    leavers
        Users who left since the last capture and are in an earlier capture.
    """

    def __init__(
        self,
        length: int,
        max_users: int,
        undo: Undo | None = None,
        *,
        capacity: int = MIN_CAPACITY,
    ) -> None:
        self.max_users = max_users
        self._undo = undo or Undo()
        self.evicted = 0
        self._step = capacity  # least growth, in rows
        capacity = min(capacity, max_users)
        self.rows: Rows = np.zeros(capacity, row_type(length))
        self.columns = _columns(self.rows)
        self.owners = np.zeros(capacity, np.uint32)
        self.leavers: set[str] = set()
        self._last_owner = 0  # the latest owner number
        self._index = UserIndex()
        self._free: list[int] = []
        # One entry more than there are slots: slot -1 points at the last entry.
        self._touched = np.zeros(capacity + 1, np.bool_)
        self._captured = np.zeros(capacity, np.bool_)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """Bytes held: rows with their spare room, and the index."""
        columns = self.rows, self.owners, self._touched, self._captured
        return sum(column.nbytes for column in columns) + self._index.nbytes

    def slot(self, user_id: str) -> int:
        """The user's slot, `NO_SLOT` if the user isn't known."""
        return int(self._index.find([user_id])[0])

    def slots(self, user_ids: Sequence[str]) -> Slots:
        """The slot of each user -> int64 (n,), `NO_SLOT` for users not known."""
        return self._index.find(user_ids)

    def users(self) -> list[str]:
        """The ids of all known users."""
        return [user_id for user_id in self._index.ids if user_id]

    def assign(self, user_ids: Sequence[str]) -> Slots:
        """Slots of the leading `user_ids`, new users included, until a user finds no room.

        Returns
        -------
        int64 (m,)
            A slot per id. m is less than the number of ids if the bound was reached: apply these
            events, `evict`, and call again for the rest.
        """
        slots = self._index.find(user_ids)
        found = slots.tolist()
        if NO_SLOT not in found:
            return slots
        missing = [place for place, slot in enumerate(found) if slot == NO_SLOT]
        new = list(dict.fromkeys([user_ids[place] for place in missing]))
        new = new[: self.max_users - len(self)]
        assigned = dict(zip(new, self._allocate(new).tolist(), strict=True))
        for place in missing:
            slot = assigned.get(user_ids[place])
            if slot is None:
                return slots[:place]
            slots[place] = slot
        return slots

    def evict(self) -> list[str]:
        """Evict the least recently seen share of users -> their ids, sorted.

        "Seen" means the offset of the user's last record, so the choice depends on the log alone.
        """
        used = np.flatnonzero(self.owners)
        count = max(1, self.max_users // EVICTED_SHARE)
        seen = self.rows["applied"][used]
        oldest = used[np.argpartition(seen, count - 1)[:count]] if count < len(used) else used
        gone = np.sort(oldest)[::-1].tolist()
        names = sorted(self._index.ids[slot] for slot in gone)
        self._undo.attributes(self, "evicted")
        self._release(gone)
        self.evicted += len(gone)
        return names

    def remove(self, user_ids: Sequence[str]) -> None:
        """Forget these users; the next capture has a tombstone for each, known or not."""
        self.discard(user_ids)
        self.leavers.update(user_ids)

    def discard(self, user_ids: Sequence[str]) -> None:
        """Forget these users, whose tombstones are written already."""
        known = self._index.find(user_ids)
        self._release(known[known != NO_SLOT].tolist())
        self.leavers.difference_update(user_ids)

    def touch(self, slots: Slots) -> None:
        """Mark the rows at `slots` (n,), about to change, for the next capture; not `NO_SLOT`."""
        if self._undo.recording:
            changing = np.array([*{*slots.tolist()} - {NO_SLOT}], np.int64)
            self._undo.rows(self._touched, changing)
            self._undo.rows(self.rows, changing)
        self._touched[slots] = True

    def touch_users(self, user_ids: Sequence[str]) -> None:
        """Mark these users for the next capture: rows of known users, tombstones of others."""
        slots = self._index.find(user_ids)
        self.touch(slots)
        self.leavers.update(user_ids[i] for i in np.flatnonzero(slots == NO_SLOT).tolist())

    def capture(self) -> tuple[Slots, list[str], list[str]]:
        """Slots and ids of users touched since the last capture, and ids of users who left."""
        slots = np.flatnonzero(self._touched[:-1])
        self._touched[:] = False
        self._captured[slots] = True
        left, self.leavers = list(self.leavers), set()
        returned = self._index.find(left) != NO_SLOT
        leavers = [user_id for user_id, known in zip(left, returned, strict=True) if not known]
        ids = self._index.ids
        return slots, [ids[slot] for slot in slots.tolist()], leavers

    def restore(self, rows: Rows, user_ids: Sequence[str]) -> Slots:
        """Take over captured rows (n,) of distinct users -> their slots, int64 (n,)."""
        slots = self.assign(user_ids)
        self.rows[slots] = rows
        self._captured[slots] = True
        return slots

    def _release(self, slots: list[int]) -> None:
        ids, captured = self._index.ids, self._captured
        names = [ids[slot] for slot in slots]
        if self._undo.recording:
            self._undo.keep(partial(self._undo_release, slots, names))
            self._undo.attributes(self, "leavers")
            self.leavers = set(self.leavers)
            gone = np.array(slots, np.int64)
            for column in (self.rows, self.owners, self._touched, captured):
                self._undo.rows(column, gone)
        self.leavers.update(name for name, slot in zip(names, slots, strict=True) if captured[slot])
        self._index.remove(slots)
        self.rows[slots] = np.zeros((), self.rows.dtype)
        self.owners[slots], self._touched[slots], captured[slots] = 0, False, False
        self._free.extend(slots)

    def _allocate(self, new: list[str]) -> Slots:
        """Slots for distinct new users; there must be room for them."""
        reused = [self._free.pop() for _ in range(min(len(new), len(self._free)))]
        first = len(self._index.ids)
        end = first + len(new) - len(reused)
        if end > len(self.rows):
            self._grow(end)
        slots = np.array([*reused, *range(first, end)], np.int64)
        self._undo.attributes(self, "_last_owner")
        self._undo.keep(partial(self._undo_allocate, reused, slots, first))
        self._index.add(new, slots)
        self.owners[slots] = (self._last_owner + np.arange(len(new))) % 0xFFFFFFFF + 1
        self._last_owner = (self._last_owner + len(new)) % 0xFFFFFFFF
        return slots

    def _undo_allocate(self, reused: list[int], slots: Slots, first: int) -> None:
        """Undo of `_allocate`: there were `first` slots before, and `reused` were free."""
        self._index.remove(slots.tolist())
        del self._index.ids[first:]
        self._free.extend(reversed(reused))
        self.owners[slots] = 0

    def _undo_release(self, gone: list[int], user_ids: list[str]) -> None:
        """Undo of `_release`."""
        del self._free[len(self._free) - len(gone) :]
        self._index.add(user_ids, np.array(gone, np.int64))

    def _grow(self, least: int) -> None:
        capacity = max(least, len(self.rows) + max(self._step, len(self.rows) // SPARE_SHARE))
        capacity = min(capacity, self.max_users)
        # Resized in place: the system remaps large arrays instead of copying them.
        self._touched[-1] = False
        self._touched.resize(capacity + 1, refcheck=False)
        for column in (self.rows, self.owners, self._captured):
            column.resize(capacity, refcheck=False)
        self.columns = _columns(self.rows)  # the views of before point at freed memory


def _columns(rows: Rows) -> UserColumns:
    return tuple(rows[name] for name in PER_EVENT), tuple(rows[name] for name in PER_USER)
