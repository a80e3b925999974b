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
        event, place = np.nonzero(entities)
        rows = self._assign(entities[event, place])
        kept = rows != NONE
        event, rows = event[kept], rows[kept]
        self._undo.rows(self._table, rows)
        for name in ("count_1h", "count_24h", "count_7d"):
            np.add.at(self._table[name], rows, self._decays[name].weights(times_s)[event])
        spent = self._decays["amount_24h"].weights(times_s) * amounts
        np.add.at(self._table["amount_24h"], rows, spent[event])
        unseen = self._table["first_s"][rows] == 0
        self._table["first_s"][rows[unseen]] = np.iinfo(np.int64).max
        np.minimum.at(self._table["first_s"], rows, times_s[event])
        np.maximum.at(self._table["last_s"], rows, times_s[event])

    def label(self, payments: Payments, times_s: Ints) -> None:
        """Count n payments as confirmed frauds; `times_s` (n,) are the labels' event times."""
        event, place = np.nonzero(payments.entities)
        rows = self.rows(payments.entities[event, place])
        event, rows = event[rows != NONE], rows[rows != NONE]
        self._undo.rows(self._table, rows)
        for name, counts in (("labels_30d", None), ("unexplained_30d", payments.usual)):
            weights = self._decays[name].weights(times_s)
            weights = weights if counts is None else weights * counts
            np.add.at(self._table[name], rows, weights[event])

    def settle(self, payments: Payments) -> None:
        """Advance the runs of frauds by payments in order, each now known as fraud or good."""
        event, place = np.nonzero(payments.entities)
        rows = self.rows(payments.entities[event, place])
        event, rows = event[rows != NONE], rows[rows != NONE]
        self._undo.rows(self._table, rows)
        fraud = payments.labelled[event]
        with_fraud = np.isin(rows, rows[fraud])  # the order matters only in rows with a fraud
        np.add.at(self._table["legit_since"], rows[~with_fraud], 1)
        times_s = payments.times_s[event]
        for i in np.flatnonzero(with_fraud).tolist():
            self._advance_run(int(rows[i]), bool(fraud[i]), int(times_s[i]))

    def rows(self, hashes: Hashes) -> Ints:
        """Row of each hash -> int64 (n,), `NONE` if not known."""
        get = self._slots.get
        return np.array([get(key, NONE) for key in hashes.tolist()], np.int64)

    def read(self, rows: Ints, name: str, times_s: Ints) -> npt.NDArray[np.float64]:
        """The counter `name` of each of `rows` (n,) as of `times_s` (n,), 0 if a row is `NONE`."""
        values = np.where(rows != NONE, self._table[name][rows], 0).astype(np.float64)
        return values * self._decays[name].scales(times_s) if name in DECAYED else values

    def _advance_run(self, row: int, fraud: bool, time_s: int) -> None:
        table = self._table
        if not fraud:
            table["legit_since"][row] += 1
            return
        if table["legit_since"][row] > 0 or table["run"][row] == 0:
            table["run"][row], table["run_start_s"][row] = 0, time_s
        table["run"][row] += 1
        table["run_last_s"][row] = time_s
        table["legit_since"][row] = 0

    def _renew(self, clock_s: int) -> None:
        for name, decay in self._decays.items():
            self._undo.attributes(decay, "landmark_s")
            if (factor := decay.renew(clock_s)) != 1.0:
                self._undo.rows(self._table[name], slice(None))
                self._table[name] *= np.float32(factor)

    def _assign(self, hashes: Hashes) -> Ints:
        """Rows of the hashes; new entities get rows while there is room."""
        rows = self.rows(hashes)
        if not (missing := np.flatnonzero(rows == NONE)).size:
            return rows
        new = list(dict.fromkeys(hashes[missing].tolist()))
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
