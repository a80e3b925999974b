"""The memory behind histories: one fixed-size row per user, all of a user's state in it.

A row is one element of a structured numpy array, so that a user's state is contiguous, is copied
in one go, and can be written to a checkpoint as it lies.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from models.windows import DAY_GAPS
from streams.undo import Undo

SUMS = (
    *(f"{what}_{days}d" for what in ("visits", "spend") for days in (15, 45, 120)),
    "spend",
    "paid_sum",
)
"""Columns of a row's `sums`."""
MIN_CAPACITY = 1024
EVICTED_SHARE = 16  # one in so many users goes at a time: the search is paid once for all of them
NO_SLOT = -1

Rows = npt.NDArray[Any]
"""Structured array of `row_type`."""


def row_type(length: int) -> np.dtype[Any]:
    """The layout of one user's state: `length` events, oldest first, and the running sums.

    21 bytes per event and 106 for the rest: 1,450 bytes at 64 events.
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


class UserRows:
    """User id -> slot -> row, growing by doubling up to `max_users`.

    Attributes
    ----------
    rows
        `row_type`, by slot.
    owners
        uint32, by slot: a number that each user gets with a slot, another one than anybody had
        before in this process; 0 = free.
    leavers
        Users who were captured once and are known no longer, since the last capture.
    """

    def __init__(self, length: int, max_users: int, undo: Undo | None = None) -> None:
        self.max_users = max_users
        self._undo = undo or Undo()
        self.evicted = 0
        capacity = min(MIN_CAPACITY, max_users)
        self.rows: Rows = np.zeros(capacity, row_type(length))
        self.owners = np.zeros(capacity, np.uint32)
        self.leavers: set[str] = set()
        self._given = 0  # owner numbers
        self._slots: dict[str, int] = {}
        self._ids: list[str] = []  # slot -> user id; "" = free
        self._free: list[int] = []
        # One more than there are slots: the last entry is where slot -1 points.
        self._touched = np.zeros(capacity + 1, np.bool_)
        self._captured = np.zeros(capacity, np.bool_)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def nbytes(self) -> int:
        """Bytes held: the rows with their spare capacity, the dict, its keys and slot numbers."""
        ids = sum(map(sys.getsizeof, self._ids[:1000])) / max(1, min(1000, len(self._ids)))
        index = sys.getsizeof(self._slots) + sys.getsizeof(self._ids) + sys.getsizeof(self._free)
        columns = self.rows, self.owners, self._touched, self._captured
        per_user = ids + sys.getsizeof(1 << 20)
        return int(sum(column.nbytes for column in columns) + index + len(self._slots) * per_user)

    def slot(self, user_id: str) -> int:
        """The user's slot, `NO_SLOT` if the user is not known."""
        return self._slots.get(user_id, NO_SLOT)

    def users(self) -> list[str]:
        """The ids of all known users."""
        return list(self._slots)

    def assign(self, user_ids: Sequence[str]) -> list[int]:
        """Slots of the leading `user_ids`, new users included, until one finds no room.

        Returns
        -------
        One slot per id; shorter than `user_ids` where the bound was reached: apply these, `evict`,
        and ask again for the rest.
        """
        get = self._slots.get
        slots = [get(user_id, NO_SLOT) for user_id in user_ids]
        new = [place for place, slot in enumerate(slots) if slot == NO_SLOT]
        if new:
            asked = [user_ids[position] for position in new]
            self._undo.attributes(self, "_given")
            self._undo.keep(partial(self._give_back, asked, len(self._ids)))
        for position in new:
            slots[position] = self._take(user_ids[position])
            if slots[position] == NO_SLOT:
                return slots[:position]
        return slots

    def evict(self) -> int:
        """Forget the least recently seen share of users -> how many.

        "Seen" is the offset of the user's last record, so who goes depends on the log alone.
        """
        used = np.fromiter(self._slots.values(), np.int64, len(self._slots))
        count = max(1, self.max_users // EVICTED_SHARE)
        seen = self.rows["applied"][used]
        oldest = used[np.argpartition(seen, count - 1)[:count]] if count < len(used) else used
        gone = np.sort(oldest)[::-1].tolist()
        self._undo.attributes(self, "evicted")
        self._release(gone)
        self.evicted += len(gone)
        return len(gone)

    def remove(self, user_ids: Sequence[str]) -> None:
        """Forget these users; the next capture says so, whether they were known or not."""
        self.discard(user_ids)
        self.leavers.update(user_ids)

    def discard(self, user_ids: Sequence[str]) -> None:
        """Forget these users, of whom a tombstone is there already."""
        self._release([self._slots[user_id] for user_id in user_ids if user_id in self._slots])
        self.leavers.difference_update(user_ids)

    def touch(self, slots: npt.NDArray[np.int64]) -> None:
        """The next capture holds the rows at `slots` (n,); `NO_SLOT` is passed over."""
        self._undo.rows(self._touched, slots)
        self._touched[slots] = True

    def touch_users(self, user_ids: Sequence[str]) -> None:
        """The next capture says again what became of these users."""
        self.touch(np.array([self.slot(user_id) for user_id in user_ids], np.int64))
        self.leavers.update(user_id for user_id in user_ids if user_id not in self._slots)

    def capture(self) -> tuple[npt.NDArray[np.int64], list[str], list[str]]:
        """Slots and ids of the users touched since the last capture, and who left."""
        slots = np.flatnonzero(self._touched[:-1])
        self._touched[:] = False
        self._captured[slots] = True
        leavers = [user_id for user_id in self.leavers if user_id not in self._slots]
        self.leavers = set()
        ids = self._ids
        return slots, [ids[slot] for slot in slots.tolist()], leavers

    def restore(self, rows: Rows, user_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Take over the rows of distinct users as captured -> their slots."""
        slots = np.array(self.assign(user_ids), np.int64)
        self.rows[slots] = rows
        self._captured[slots] = True
        return slots

    def _release(self, slots: list[int]) -> None:
        ids, touched, captured = self._ids, self._touched, self._captured
        if self._undo.recording:
            self._undo.keep(partial(self._take_back, slots, [ids[slot] for slot in slots]))
            self._undo.attributes(self, "leavers")
            self.leavers = set(self.leavers)
            gone = np.array(slots, np.int64)
            for column in (self.rows, self.owners, touched, captured):
                self._undo.rows(column, gone)
        for slot in slots:
            del self._slots[ids[slot]]
            if captured[slot]:
                self.leavers.add(ids[slot])
            ids[slot] = ""
        self.rows[slots] = np.zeros((), self.rows.dtype)
        self.owners[slots], touched[slots], captured[slots] = 0, False, False
        self._free.extend(slots)

    def _take(self, user_id: str) -> int:
        known = self._slots.get(user_id)  # new a moment ago, in the same call
        if known is not None:
            return known
        if self._free:
            slot = self._free.pop()
            self._ids[slot] = user_id
        else:
            slot = len(self._ids)
            if slot >= self.max_users:
                return NO_SLOT
            if slot == len(self.rows):
                self._grow()
            self._ids.append(user_id)
        self._slots[user_id] = slot
        self._given = self._given % 0xFFFFFFFF + 1
        self.owners[slot] = self._given
        return slot

    def _give_back(self, user_ids: list[str], slots: int) -> None:
        """Undo of `assign`: those of `user_ids` that got a slot go; `slots` were in use before."""
        for user_id in reversed(list(dict.fromkeys(user_ids))):
            slot = self._slots.pop(user_id, NO_SLOT)
            if slot == NO_SLOT:
                continue
            if slot < slots:
                self._ids[slot] = ""
                self._free.append(slot)
            self.owners[slot] = 0
        del self._ids[slots:]

    def _take_back(self, gone: list[int], user_ids: list[str]) -> None:
        """Undo of `evict`."""
        del self._free[len(self._free) - len(gone) :]
        for slot, user_id in zip(gone, user_ids, strict=True):
            self._ids[slot], self._slots[user_id] = user_id, slot

    def _grow(self) -> None:
        self._undo.attributes(self, "rows", "owners", "_captured", "_touched")
        capacity = min(2 * len(self.rows), self.max_users)
        self.rows = _longer(self.rows, capacity)
        self.owners = _longer(self.owners, capacity)
        self._captured = _longer(self._captured, capacity)
        self._touched[-1] = False
        self._touched = _longer(self._touched, capacity + 1)


def _longer(column: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    grown = np.zeros(length, column.dtype)
    grown[: len(column)] = column
    return grown
