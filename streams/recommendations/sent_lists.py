"""The list that each user was last sent, so that only changed lists go out."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from streams.undo import Undo

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]
AnyInts = npt.NDArray[np.integer[Any]]
COUNTERS = "counters"
"""`model_version` of answers from the counters."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate items of D decision points, in any order.

    Attributes
    ----------
    items
        int32 (D, K): index in the worker's item table, -1 = none.
    scores
        float32 (D, K): higher is better, comparable within a row.
    sources
        uint8 (D, K): `streams.counters.counters.Source`, where the candidate came from.
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
    """What may be shown, and how often (`streams.settings.Recommend`)."""

    top_k: int
    min_interval_s: int
    ttl_s: int
    exclude_bought: bool


class SentLists:
    """The last list sent to each user, by history slot.

    Attributes
    ----------
    owners
        The owner number (`UserRows.owners`) of the user that an entry is about. If the slot has
        another owner by now, the entry means nothing.
    lists
        `list_hashes` of the list.
    sent_s
        Event time of the list, epoch seconds.
    """

    def __init__(self, undo: Undo | None = None) -> None:
        self._undo = undo or Undo()
        # `array` instead of numpy: single elements are read and written much faster.
        self.owners = array("I")
        self.lists = array("I")
        self.sent_s = array("I")

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(len(column) * column.itemsize for column in self._columns())

    def admit(self, slot: int, owner: int, time_s: int, shown: int, policy: Policy) -> str:
        """Whether a list goes out: `sent`, `unchanged`, `held` (too soon) or `empty`.

        Parameters
        ----------
        slot, owner
            Slot and owner number of the user's row at the event.
        time_s
            Event time, epoch seconds.
        shown
            The list's hash, 0 = an empty list.
        policy
            How often a list may be sent.
        """
        if not shown:
            return "empty"
        if slot >= len(self.owners):
            self.make_room(max(1024, slot + 1, len(self.owners) * 33 // 32))
        if self.owners[slot] == owner:
            if self.lists[slot] == shown:
                return "unchanged"
            if time_s - self.sent_s[slot] < policy.min_interval_s:
                return "held"
        before = slot, self.owners[slot], self.lists[slot], self.sent_s[slot]
        self._undo.keep(partial(self._set, *before))
        self._set(slot, owner, shown, time_s)
        return "sent"

    def _set(self, slot: int, owner: int, shown: int, sent_s: int) -> None:
        self.owners[slot], self.lists[slot], self.sent_s[slot] = owner, shown, sent_s

    def of(self, slots: Ints, owners: Words) -> Words:
        """The last lists sent to n users, given by slot and owner number (n,).

        Returns
        -------
        uint32 (n, 2)
            Hash of the list and its event time, 0 = none.
        """
        if not len(slots):
            return np.zeros((0, 2), np.uint32)
        self.make_room(int(slots.max()) + 1)
        entries = [np.frombuffer(column, np.uint32)[slots] for column in self._columns()]
        return np.where((entries[0] == owners)[:, None], np.stack(entries[1:], axis=1), 0)

    def restore(self, slots: Ints, owners: Words, lists: AnyInts, sent_s: AnyInts) -> None:
        """Take over the columns of the result of `of`; a list of 0 = none."""
        if not len(slots):
            return
        self.make_room(int(slots.max()) + 1)
        entries = np.where(lists != 0, owners, 0), lists, sent_s
        for column, values in zip(self._columns(), entries, strict=True):
            np.frombuffer(column, np.uint32)[slots] = values

    def clear(self, slot: int) -> None:
        """Drop the entry of a slot."""
        if slot < len(self.owners):
            self.owners[slot] = self.lists[slot] = self.sent_s[slot] = 0

    def make_room(self, slots: int) -> None:
        """Make room for at least `slots` entries."""
        for column in self._columns():
            column.frombytes(bytes(column.itemsize * max(0, slots - len(column))))

    def _columns(self) -> tuple[array[int], array[int], array[int]]:
        return self.owners, self.lists, self.sent_s


def list_hashes(items: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64]) -> Words:
    """A hash of each list, the same in every worker -> uint32 (D,), 0 for an empty list.

    Parameters
    ----------
    items
        int32 (D, K): indices in the worker's item table, best first, -1 after the last.
    hashes
        uint64 (items,): hashes of the item ids (`ItemTable.hashes`).

    Examples
    --------
    >>> two = np.array([7, 9], np.uint64)
    >>> same, other, empty = list_hashes(np.array([[0, 1], [1, 0], [-1, -1]], np.int32), two)
    >>> bool(same == other), int(empty)
    (False, 0)
    """
    out = np.zeros(len(items), np.uint32)
    if len(items) and len(hashes):
        _list_hashes(np.ascontiguousarray(items), hashes, out)
    return out


_ODD = np.uint64(0x9E3779B97F4A7C15)


@kernel
def _list_hashes(items: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64], out: Words) -> None:
    for d in range(len(items)):
        total, place, listed = np.uint64(0), np.uint64(1), False
        for item in items[d]:
            if item >= 0:
                total, listed = total + hashes[item] * place, True
            place *= _ODD
        if listed:
            out[d] = max(total >> np.uint64(32), np.uint64(1))
