"""User id -> slot, for a million users in a third of a dict's memory.

A hash table of slots with linear probing; hashes are kept by slot in an array, ids in a list. The
hashes are Python's string hashes, which are keyed by a secret of the process, so nobody can choose
ids that collide. If two ids' hashes are equal by chance, the second id is kept in a dict.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

NO_SLOT = -1
_MIN_PLACES = 2048  # a power of 2

Ints = npt.NDArray[np.int64]
Slots = npt.NDArray[np.int32]


class UserIndex:
    """Finds the slots of users.

    Attributes
    ----------
    ids
        User id by slot, "" = free.

    Examples
    --------
    >>> index = UserIndex()
    >>> index.add(["ann", "bob"], np.array([0, 1]))
    >>> index.find(["bob", "cat"]).tolist()
    [1, -1]
    >>> index.remove([0])
    >>> index.find(["ann", "bob"]).tolist()
    [-1, 1]
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._used = 0
        self._places: Slots = np.full(_MIN_PLACES, NO_SLOT, np.int32)
        self._hashes: Ints = np.zeros(_MIN_PLACES, np.int64)  # by slot
        self._twins: dict[str, int] = {}  # slots of ids whose hash equals another user's

    def __len__(self) -> int:
        return self._used

    @property
    def nbytes(self) -> int:
        """Bytes held, ids included."""
        sample = self.ids[:1000]
        one_id = sum(map(sys.getsizeof, sample)) / max(1, len(sample))
        tables = self._places.nbytes + self._hashes.nbytes + sys.getsizeof(self.ids)
        return int(tables + one_id * len(self.ids))

    def find(self, user_ids: Sequence[str]) -> Ints:
        """The slot of each user -> int64 (n,), `NO_SLOT` if not known."""
        slots = np.empty(len(user_ids), np.int64)
        _find(_hashes(user_ids), self._places, self._hashes, slots)
        ids, found = self.ids, slots.tolist()
        if NO_SLOT not in found and list(map(ids.__getitem__, found)) == user_ids:
            return slots
        for i, (slot, user_id) in enumerate(zip(found, user_ids, strict=True)):
            if slot < 0 or ids[slot] != user_id:
                slots[i] = self._twins.get(user_id, NO_SLOT)
        return slots

    def add(self, user_ids: Sequence[str], slots: Ints) -> None:
        """Add distinct users (n,) who aren't known yet, at free slots (n,)."""
        self._make_room(len(user_ids), int(slots.max(initial=0)))
        twins = np.zeros(len(slots), np.bool_)
        self._hashes[slots] = _hashes(user_ids)
        _insert(slots, self._places, self._hashes, twins)
        for slot, user_id in zip(slots.tolist(), user_ids, strict=True):
            self.ids[slot] = user_id
        self._twins.update((user_ids[i], int(slots[i])) for i in np.flatnonzero(twins).tolist())
        self._used += len(slots)

    def remove(self, slots: Iterable[int]) -> None:
        """Forget the users at these slots, all of which must be in use."""
        in_table = []
        for slot in slots:
            if self._twins.pop(self.ids[slot], None) is None:
                in_table.append(slot)
            self.ids[slot] = ""
            self._used -= 1
        _remove(np.array(in_table, np.int64), self._places, self._hashes)

    def _make_room(self, more: int, last: int) -> None:
        self.ids.extend([""] * (last + 1 - len(self.ids)))
        if last >= len(self._hashes):
            hashes = np.zeros(max(last + 1, len(self._hashes) * 33 // 32), np.int64)
            hashes[: len(self._hashes)] = self._hashes
            self._hashes = hashes
        places = len(self._places)
        while 3 * (self._used + more) > 2 * places:
            places *= 2
        if places > len(self._places):
            known = self._places[self._places >= 0].astype(np.int64)
            self._places = np.full(places, NO_SLOT, np.int32)
            _insert(known, self._places, self._hashes, np.zeros(len(known), np.bool_))


def _hashes(user_ids: Sequence[str]) -> Ints:
    return np.fromiter(map(hash, user_ids), np.int64, len(user_ids))


@kernel
def _find(hashes: Ints, places: Slots, known: Ints, slots: Ints) -> None:
    mask = len(places) - 1
    for i in range(len(hashes)):
        at = hashes[i] & mask
        while places[at] >= 0 and known[places[at]] != hashes[i]:
            at = (at + 1) & mask
        slots[i] = places[at]


@kernel
def _insert(slots: Ints, places: Slots, known: Ints, twins: npt.NDArray[np.bool_]) -> None:
    """Insert the slots except `twins`, whose hash is in the table already."""
    mask = len(places) - 1
    for i in range(len(slots)):
        at = known[slots[i]] & mask
        while places[at] >= 0 and known[places[at]] != known[slots[i]]:
            at = (at + 1) & mask
        if places[at] >= 0:
            twins[i] = True
        else:
            places[at] = slots[i]


@kernel
def _remove(slots: Ints, places: Slots, known: Ints) -> None:
    """Delete slots, and move displaced slots back to their places (Knuth 6.4, algorithm R)."""
    mask = len(places) - 1
    for slot in slots:
        at = known[slot] & mask
        while places[at] != slot:
            at = (at + 1) & mask
        places[at] = -1
        following = (at + 1) & mask
        while places[following] >= 0:
            home = known[places[following]] & mask
            if ((following - home) & mask) >= ((following - at) & mask):
                places[at] = places[following]
                places[following] = -1
                at = following
            following = (following + 1) & mask
