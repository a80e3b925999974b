"""Recommendations: filter, cut to the top, send only what changed."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt

from streams.undo import Undo

Ints = npt.NDArray[np.int64]
COUNTERS = "counters"
"""`model_version` of answers that no model gave."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate items of D decision points, any order.

    Attributes
    ----------
    items
        int32 (D, K): index in the worker's item table, -1 = none.
    scores
        float32 (D, K): higher is better, comparable within a row.
    sources
        uint8 (D, K): `streams.counters.Source`, where the candidate came from.
    """

    items: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    sources: npt.NDArray[np.uint8]


class Trigger(msgspec.Struct, gc=False):
    """The event behind one decision point."""

    user_id: str
    message_id: str
    partition: int
    offset: int
    broker_ms: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be shown and how often (`streams.settings.Recommend`)."""

    top_k: int
    min_interval_s: int
    ttl_s: int
    exclude_bought: bool


class SentLists:
    """What each user was last sent and when, so that only news goes out; by history slot.

    Attributes
    ----------
    owners
        Whom the entry of a slot is about (`UserRows.owners`): not whose slot it is by now.
    lists
        `list_hashes` of what was sent.
    sent_ms
        Event time.
    """

    def __init__(self, undo: Undo | None = None) -> None:
        self._undo = undo or Undo()
        # Arrays of machine integers: read and written one by one, much faster than numpy's.
        self.owners = array("I")
        self.lists = array("q")
        self.sent_ms = array("q")

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(len(column) * column.itemsize for column in self._columns())

    def admit(self, slot: int, owner: int, time_ms: int, shown: int, policy: Policy) -> str:
        """Whether a list goes out: `sent`, `unchanged`, `held` (too soon) or `empty`.

        Parameters
        ----------
        slot, owner
            Of the user's row at the event; another owner means that the slot was somebody else's.
        shown
            The list's hash, 0 = there is nothing on it.
        """
        if not shown:
            return "empty"
        if slot >= len(self.owners):
            self.make_room(max(1024, slot + 1, 2 * len(self.owners)))
        if self.owners[slot] == owner:
            if self.lists[slot] == shown:
                return "unchanged"
            if time_ms - self.sent_ms[slot] < policy.min_interval_s * 1000:
                return "held"
        before = slot, self.owners[slot], self.lists[slot], self.sent_ms[slot]
        self._undo.keep(partial(self._set, *before))
        self._set(slot, owner, shown, time_ms)
        return "sent"

    def _set(self, slot: int, owner: int, shown: int, sent_ms: int) -> None:
        self.owners[slot], self.lists[slot], self.sent_ms[slot] = owner, shown, sent_ms

    def of(self, slots: Ints, owners: npt.NDArray[np.uint32]) -> tuple[Ints, Ints]:
        """Lists and times, int64 (n,) each, of the users whose slots and owners these are."""
        if not len(slots):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.make_room(int(slots.max()) + 1)
        mine = np.frombuffer(self.owners, np.uint32)[slots] == owners
        return (
            np.where(mine, np.frombuffer(self.lists, np.int64)[slots], 0),
            np.where(mine, np.frombuffer(self.sent_ms, np.int64)[slots], 0),
        )

    def restore(
        self, slots: Ints, owners: npt.NDArray[np.uint32], lists: Ints, sent_ms: Ints
    ) -> None:
        """Take over what `of` gave; 0 for a list = none."""
        if not len(slots):
            return
        self.make_room(int(slots.max()) + 1)
        np.frombuffer(self.owners, np.uint32)[slots] = np.where(lists != 0, owners, 0)
        np.frombuffer(self.lists, np.int64)[slots] = lists
        np.frombuffer(self.sent_ms, np.int64)[slots] = sent_ms

    def clear(self, slot: int) -> None:
        """Know nothing of a slot."""
        if slot < len(self.owners):
            self.owners[slot] = self.lists[slot] = self.sent_ms[slot] = 0

    def make_room(self, slots: int) -> None:
        """Have an entry for each of at least `slots` slots."""
        for column in self._columns():
            column.frombytes(bytes(column.itemsize * max(0, slots - len(column))))

    def _columns(self) -> tuple[array[int], array[int], array[int]]:
        return self.owners, self.lists, self.sent_ms


def list_hashes(
    items: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """One number for each list, the same in every worker -> int64 (D,), 0 for an empty one.

    Parameters
    ----------
    items
        int32 (D, K): indices in the worker's item table, best first, -1 after the last.
    hashes
        uint64 (items,): of the table.

    Examples
    --------
    >>> two = np.array([7, 9], np.uint64)
    >>> same, other, empty = list_hashes(np.array([[0, 1], [1, 0], [-1, -1]], np.int32), two)
    >>> bool(same == other), int(empty)
    (False, 0)
    """
    if not len(hashes):
        return np.zeros(len(items), np.int64)
    found = np.where(items >= 0, hashes[items], np.uint64(0))
    places = _ODD ** np.arange(items.shape[1], dtype=np.uint64)
    sums: npt.NDArray[np.uint64] = (found * places).sum(axis=1, dtype=np.uint64)
    return sums.view(np.int64)


_ODD = np.uint64(0x9E3779B97F4A7C15)
