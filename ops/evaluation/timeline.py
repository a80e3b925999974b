"""A file's events in the order of the log, cut in time, and the question behind each answer.

The protocol: every test event that goes to another item than the user's last one is a target.
It is asked for at the user's event just before it, with everything known up to that event; a
user's first event is a target too, and nobody can be asked about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.errors import ConfigError

ITEM = "properties.product_id"
TEST_FROM = 0.9
"""Quantile of the event times at which the test begins."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Timeline:
    """n events.

    Attributes
    ----------
    users, items
        int64 (n,): numbers of the user and of the item, -1 = none.
    times_s
        int64 (n,).
    targets
        bool (n,): goes to another item than the user's last one, or is the user's first.
    asked_at
        int64 (n,): row of the user's event before, -1 = none.
    cut
        Row of the first test event.
    """

    users: Ints
    items: Ints
    times_s: Ints
    targets: Bools
    asked_at: Ints
    cut: int

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of(cls, events: pl.DataFrame) -> Self:
        """The timeline of an event frame (`ops.event_files.adapters.Source.events`)."""
        if ITEM not in events.columns:
            raise ConfigError("lists need items: name their column with --map item=...")
        users, items = _numbers(events["user_id"]), _numbers(events[ITEM])
        times_s = events["time_ms"].cast(pl.Int64).to_numpy() // 1000
        cut = int(np.searchsorted(times_s, np.quantile(times_s, TEST_FROM))) if len(users) else 0
        if not cut:
            raise ConfigError(
                f"{len(users)} events that begin and end together can't be split in time"
            )
        n = len(users)
        before, last_item = _before(users, np.arange(n)), np.full(n, -1)
        with_item = np.flatnonzero(items >= 0)
        last = _before(users[with_item], with_item)
        last_item[with_item] = np.where(last >= 0, items[last], -1)
        return cls(users, items, times_s, (items >= 0) & (items != last_item), before, cut)

    def answers(self) -> Ints:
        """int64 (n,): the target that each event is the question for, -1 = none."""
        answer = np.full(len(self), -1)
        asked = np.flatnonzero(self.targets & (self.asked_at >= 0))
        answer[self.asked_at[asked]] = asked
        return answer

    def test(self, *, first: bool = True) -> Ints:
        """Rows of the test's targets, with the users' first events or without."""
        rows = self.cut + np.flatnonzero(self.targets[self.cut :])
        return rows if first else rows[self.asked_at[rows] >= 0]


def _numbers(column: pl.Series) -> Ints:
    """Dense number of each value, in order of appearance; -1 for null and empty."""
    ids = column.cast(pl.String).replace("", None)
    numbers = ids.rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1
    return numbers.astype(np.int64)


def _before(users: Ints, rows: Ints) -> Ints:
    """The row of the same user's event before each -> int64 (n,), -1 = none."""
    order = np.argsort(users, kind="stable")
    same = users[order][1:] == users[order][:-1]
    before = np.full(len(users), -1)
    before[order[1:][same]] = rows[order[:-1][same]]
    return before
