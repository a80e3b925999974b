"""Live counters per risk entity (terminal, device, address, payment method), over all its users.

Decayed counts and amounts show how busy an entity is; confirmed frauds show whether it is bad. The
most informative numbers (measured on card payments) are the age and length of the entity's run of
confirmed frauds, the number of payments since then that are old enough to be known good, and frauds
with an amount that was usual for the user: these point at the entity and not at the card.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streams.counters.decay import Decay
from streams.counters.entity_kernels import label, read, see, settle
from streams.counters.label_queue import Payments
from streams.undo import Undo

HOUR_S, DAY_S = 3_600.0, 86_400.0
MIN_CAPACITY = 1024
EVICTED_SHARE = 8  # evict an eighth of the entities at a time
NONE = -1

DECAYED = {
    "count_1h": HOUR_S,
    "count_24h": DAY_S,
    "count_7d": 7 * DAY_S,
    "amount_24h": DAY_S,
    "labels_30d": 30 * DAY_S,
    "unexplained_30d": 30 * DAY_S,
}
"""Decayed columns and their time constants, seconds."""

_TAUS_S = np.array(list(DECAYED.values()))

ROW = np.dtype(
    [
        *((name, "<f4") for name in DECAYED),
        ("run", "<i4"),  # confirmed frauds in the latest run
        ("run_start_s", "<i8"),
        ("run_last_s", "<i8"),
        ("legit_since", "<i4"),  # settled good payments since the run's last fraud
        ("first_s", "<i8"),
        ("last_s", "<i8"),
        ("hash", "<u8"),
    ]
)

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


class Entities:
    """One partition's part of the entity counters.

    Parameters
    ----------
    max_entities
        Bound; beyond it the least recently seen entities are evicted and counted in `evicted`.
    undo
        Records every change.
    capacity
        Entities that there is room for at first.
    """

    def __init__(
        self,
        *,
        max_entities: int = 500_000,
        undo: Undo | None = None,
        capacity: int = MIN_CAPACITY,
    ) -> None:
        self._undo = undo or Undo()
        self.max_entities = max_entities
        self.evicted = 0
        self._decays = {name: Decay(tau_s) for name, tau_s in DECAYED.items()}
        self._slots: dict[int, int] = {}
        self._table: npt.NDArray[Any] = np.zeros(capacity, ROW)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def nbytes(self) -> int:
        """Bytes held, about: rows and index."""
        return int(self._table.nbytes + 150 * len(self._slots))

    def make_rows(self, used: int) -> None:
        """Make room for `used` rows; the caller fills the rows, then calls `index`."""
        self._undo.attributes(self, "_table")
        while used > len(self._table):
            self._table = np.concatenate([self._table, np.zeros_like(self._table)])

    def index(self, used: int) -> None:
        """Rebuild the index from the first `used` rows."""
        self._slots = {key: row for row, key in enumerate(self._table["hash"][:used].tolist())}

    def see(
        self, entities: Hashes, times_s: Ints, amounts: npt.NDArray[np.float32], clock_s: int
    ) -> None:
        """Count the watched events of a block.

        Parameters
        ----------
        entities
            uint64 (n, E): hashes, 0 = none.
        times_s, amounts
            int64, float32 (n,): event time in epoch seconds, money.
        clock_s
            Newest event time of the partition, epoch seconds.
        """
        self._renew(clock_s)
        rows = self._assign(entities)
        self._record(rows)
        see(self._table, rows, times_s, amounts, self._landmarks_s(), _TAUS_S)

    def label(self, payments: Payments, times_s: Ints) -> None:
        """Count n payments as confirmed frauds; `times_s` (n,) are the labels' event times."""
        rows = self.rows(payments.entities)
        self._record(rows)
        label(self._table, rows, payments.usual, times_s, self._landmarks_s(), _TAUS_S)

    def settle(self, payments: Payments) -> None:
        """Advance the runs of frauds by payments in order, each now known as fraud or good."""
        rows = self.rows(payments.entities)
        self._record(rows)
        settle(self._table, rows, payments.labelled, payments.times_s)

    def rows(self, hashes: Hashes) -> Ints:
        """Row of each hash -> int64 of the same shape, `NONE` if not known."""
        get = self._slots.get
        rows = [get(key, NONE) for key in hashes.reshape(-1).tolist()]
        return np.array(rows, np.int64).reshape(hashes.shape)

    def read(self, hashes: Hashes, times_s: Ints, out: npt.NDArray[np.float64]) -> None:
        """Write the counters of the entities that D events name.

        Parameters
        ----------
        hashes
            uint64 (D, E): the primary entity and the others, 0 = none.
        times_s
            int64 (D,): epoch seconds, the time that the counters are decayed to.
        out
            float64 (D, C), 0: `Windows.context`, of which the columns of entities are filled.
        """
        rows = self.rows(hashes)
        read(self._table, rows, times_s, self._landmarks_s(), _TAUS_S, out)

    def _landmarks_s(self) -> Ints:
        """The decays' landmarks, in the order of `DECAYED`; 0 before the first event."""
        return np.array([decay.landmark_s or 0 for decay in self._decays.values()], np.int64)

    def _record(self, rows: Ints) -> None:
        """Record rows, of which some may be `NONE`, for undo."""
        if self._undo.recording:
            self._undo.rows(self._table, rows[rows != NONE])

    def _renew(self, clock_s: int) -> None:
        for name, decay in self._decays.items():
            if decay.holds(clock_s):
                continue
            self._undo.attributes(decay, "landmark_s")
            if (factor := decay.renew(clock_s)) != 1.0:
                self._undo.rows(self._table[name], slice(None))
                self._table[name] *= np.float32(factor)

    def _assign(self, hashes: Hashes) -> Ints:
        """Rows of the hashes (n, E); new entities get rows while there is room."""
        rows = self.rows(hashes)
        missing = dict.fromkeys(hashes[rows == NONE].tolist())
        missing.pop(0, None)
        if not missing:
            return rows
        new = list(missing)
        if len(self._slots) + len(new) > self.max_entities:
            over = len(self._slots) + len(new) - self.max_entities
            self._evict(max(over, self.max_entities // EVICTED_SHARE))
            new = new[: self.max_entities - len(self._slots)]
        used = len(self._slots)
        self._undo.entries(self._slots, new)
        self.make_rows(used + len(new))
        self._undo.rows(self._table, slice(used, used + len(new)))
        self._table["hash"][used : used + len(new)] = new
        self._slots.update(zip(new, range(used, used + len(new)), strict=True))
        return self.rows(hashes)

    def _evict(self, count: int) -> None:
        used = len(self._slots)
        count = min(count, used)
        keep = np.ones(used, np.bool_)
        keep[np.argsort(self._table["last_s"][:used], kind="stable")[:count]] = False
        kept = self._table[:used][keep]
        self._undo.attributes(self, "_slots", "evicted")
        self._undo.rows(self._table, slice(0, used))
        self._table[: len(kept)] = kept
        self._table[len(kept) : used] = np.zeros((), ROW)
        self.index(len(kept))
        self.evicted += count
