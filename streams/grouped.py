"""A batch's events grouped by user, beside those users' stored rows.

A touched user's old events and the batch's new ones lie in one flat sequence, so that the window
at any event is a list of positions in it: nothing is written per event, and the state is stored
once per user and batch. Positions: old event p of user u is `u * L + p`, new event i is
`U * L + i`, padding is the last one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.columns import EventColumns
from streams.items import NO_ITEM
from streams.reorder import OpenHistory, Outcome
from streams.user_rows import Rows

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass
class Grouped:
    """The m behaviour events of a batch, by user, in log order within each.

    Attributes
    ----------
    old
        Rows (U,) of the users touched.
    rows
        int64 (m,): the event's row in the batch's columns.
    user
        int64 (m,): position of its user in `old`, not decreasing, none missing.
    start, counts
        int64 (U,): each user's first event here, and how many.
    times_s, items, kinds, amounts, entities, messages
        (m,): what the rows store, as int64, int32, uint8, float32, uint32, uint32.
    ends
        bool (m,): the last row of its record.
    outcomes
        uint8 (m,): `Outcome`, known after `take`.
    disordered
        Accepted records older than their user's newest event, known after `take`.
    """

    old: Rows
    rows: Ints
    user: Ints
    start: Ints
    counts: Ints
    times_s: Ints
    items: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.uint8]
    amounts: npt.NDArray[np.float32]
    entities: npt.NDArray[np.uint32]
    messages: npt.NDArray[np.uint32]
    ends: Bools
    outcomes: npt.NDArray[np.uint8]
    disordered: int = 0
    # Of the users taken in event by event: the window at each event, the history at the end.
    _windows: dict[int, list[int]] = field(default_factory=dict)
    _finals: dict[int, list[int]] = field(default_factory=dict)

    @staticmethod
    def of(columns: EventColumns, items: npt.NDArray[np.int32], slots: Ints, rows: Rows) -> Grouped:
        """Group the events that have a slot (n,) in `rows`, the partition's whole table."""
        present = np.flatnonzero(slots >= 0)
        touched, user = np.unique(slots[present], return_inverse=True)
        order = np.argsort(user, kind="stable")
        picked, user = present[order], user[order].astype(np.int64)
        counts = np.bincount(user, minlength=len(touched))
        primary = columns.entities[:, 0] if columns.entities.shape[1] else np.zeros(len(slots))
        old = rows[touched]
        old["item"][old["length"] == 0] = NO_ITEM  # what `store` pads with: rows stay comparable
        return Grouped(
            old=old,
            rows=picked,
            user=user,
            start=np.cumsum(counts) - counts,
            counts=counts,
            times_s=np.maximum(columns.time_ms[picked] // 1000, 0),
            items=items[picked],
            kinds=columns.kinds[picked],
            amounts=columns.amounts[picked],
            entities=primary[picked].astype(np.uint64).astype(np.uint32),
            messages=columns.message_hashes[picked].astype(np.uint32),
            ends=columns.ends[picked],
            outcomes=np.zeros(len(picked), np.uint8),
        )

    @property
    def length(self) -> int:
        """L."""
        return int(self.old.dtype["item"].shape[0])

    @property
    def touched(self) -> Ints:
        """int64 (U,): the batch row of each user's last event."""
        last: Ints = self.rows[self.start + self.counts - 1]
        return last

    def take(self, late_s: int) -> None:
        """Decide every event's outcome; irregular users go event by event."""
        for user in np.flatnonzero(self._irregular()).tolist():
            self._take_in_turn(user, late_s)

    def windows(self, events: Ints) -> tuple[Ints, npt.NDArray[np.int32]]:
        """Positions (D, L) and lengths (D,) of the windows that end with `events` (D,)."""
        user = self.user[events]
        total = self.old["length"][user] + events - self.start[user] + 1
        positions = self._last(user, total)
        lengths = np.minimum(total, self.length).astype(np.int32)
        if self._windows:
            for row, event in enumerate(events.tolist()):
                if (window := self._windows.get(event)) is not None:
                    positions[row] = self._padded(window)
                    lengths[row] = len(window)
        return positions, lengths

    def finals(self, events: Ints) -> Bools:
        """Bool (m,): whether an accepted event is the last accepted row of its record."""
        record: Ints = (np.cumsum(self.ends) - self.ends)[events]
        last = np.ones(len(events), np.bool_)
        np.not_equal(record[1:], record[:-1], out=last[:-1])
        return last

    def store(self) -> None:
        """Bring every user's events up to date in `old`."""
        total = self.old["length"].astype(np.int64) + self.counts
        grows = total <= self.length  # only these need no shift
        grows[list(self._finals)] = False
        new = np.flatnonzero(grows[self.user])
        user = self.user[new]
        place = self.old["length"][user] + new - self.start[user]
        moved = np.flatnonzero(~grows)
        positions = self._last(moved, total[moved])
        lengths = np.minimum(total, self.length)
        rows = dict(zip(moved.tolist(), range(len(moved)), strict=True))
        for irregular, history in self._finals.items():
            positions[rows[irregular]] = self._padded(history)
            lengths[irregular] = len(history)
        first_new = self._shift
        for name, flat in self.flat.items():
            self.old[name][user, place] = flat[first_new + new]
            self.old[name][moved] = flat[positions]
        self.old["length"] = lengths

    def before(self, events: Ints, count: int) -> npt.NDArray[np.int32]:
        """Items of the `count` events just before each of `events`, newest first -> (D, count)."""
        user = self.user[events]
        total = (self.old["length"][user] + events - self.start[user] + 1)[:, None]
        place = total - 2 - np.arange(count)
        known = place >= np.maximum(total - self.length, 0)
        positions = np.where(known, self._position(user[:, None], place), self._pad)
        if self._windows:
            for row, event in enumerate(events.tolist()):
                if (window := self._windows.get(event)) is not None:
                    earlier = window[-2 : -2 - count : -1]
                    positions[row] = self._pad
                    positions[row, : len(earlier)] = earlier
        return self.flat["item"][positions]

    @cached_property
    def flat(self) -> dict[str, npt.NDArray[Any]]:
        """The stored fields of old events, new events and padding, in order of position."""
        new: dict[str, npt.NDArray[Any]] = {
            "item": self.items,
            "kind": self.kinds,
            "time": self.times_s,
            "amount": self.amounts,
            "entity": self.entities,
            "message": self.messages,
        }
        return {name: self._flat(self.old[name], values) for name, values in new.items()}

    def _flat(self, old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
        flat = np.empty(old.size + len(new) + 1, old.dtype)
        flat[: old.size].reshape(old.shape)[:] = old
        flat[old.size : -1] = new
        flat[-1] = NO_ITEM if new is self.items else 0
        return flat

    @property
    def _shift(self) -> int:
        """Position of the first new event."""
        return len(self.old) * self.length

    @property
    def _pad(self) -> int:
        return self._shift + len(self.user)

    def _irregular(self) -> Bools:
        """Bool (U,): users with disorder, or with a message id that may have been seen."""
        times, user = self.times_s, self.user
        previous = np.empty_like(times)
        previous[1:] = times[:-1]
        previous[self.start] = self.old["last_s"]
        disordered = times < previous
        seen = (self.old["message"][user] == self.messages[:, None]).any(axis=1)
        key = np.sort((user << 32) | self.messages)
        repeated = key[1:][key[1:] == key[:-1]] >> 32
        irregular = np.zeros(len(self.old), np.bool_)
        irregular[user[disordered | seen]] = True
        irregular[repeated] = True
        return irregular

    def _take_in_turn(self, user: int, late_s: int) -> None:
        row, base = self.old[user], user * self.length
        kept = int(row["length"])
        history = OpenHistory(
            self.length,
            late_s,
            row["time"][:kept].tolist(),
            list(
                zip(
                    row["message"][:kept].tolist(),
                    row["item"][:kept].tolist(),
                    row["kind"][:kept].tolist(),
                    strict=True,
                )
            ),
            list(range(base, base + kept)),
        )
        first = int(self.start[user])
        new = slice(first, first + int(self.counts[user]))
        keys = zip(
            self.messages[new].tolist(),
            self.items[new].tolist(),
            self.kinds[new].tolist(),
            strict=True,
        )
        shift = self._shift
        for event, (time_s, key) in enumerate(
            zip(self.times_s[new].tolist(), keys, strict=True), start=first
        ):
            newest_s = history.newest_s
            outcome = history.take(time_s, key, shift + event)
            if outcome is Outcome.ACCEPTED:
                self._windows[event] = history.window
                if newest_s is not None and time_s < newest_s and self.ends[event]:
                    self.disordered += 1
            else:
                self.outcomes[event] = outcome
        self._finals[user] = history.marks

    def _last(self, user: Ints, total: Ints) -> Ints:
        """Positions (D, L) of the last L of a regular user's first `total` (D,) events."""
        place = np.maximum(total - self.length, 0)[:, None] + np.arange(self.length)
        inside = place < total[:, None]
        return np.where(inside, self._position(user[:, None], place), self._pad)

    def _position(self, user: Ints, place: Ints) -> Ints:
        """Position of the event at `place` in a regular user's sequence, old events first."""
        kept = self.old["length"].astype(np.int64)[user]
        new = self._shift + self.start[user] - kept
        return place + np.where(place < kept, user * self.length, new)

    def _padded(self, marks: list[int]) -> list[int]:
        return marks + [self._pad] * (self.length - len(marks))
