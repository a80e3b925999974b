"""Payments awaiting their label.

A fraud is confirmed days after its payment, by a label record that names the payment's message.
Until then the payment waits here with the facts that its label will need: its entities, and whether
its amount was usual for its user. It leaves after `delay_s`, labelled as fraud or else known to be
good. A second label of the same payment changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.undo import Undo

MIN_CAPACITY = 1024

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Payments:
    """n payments, oldest record first.

    Attributes
    ----------
    messages
        uint64 (n,): hash of the message id.
    entities
        uint64 (n, E): hashes, 0 = none.
    times_s
        int64 (n,): event time.
    usual
        bool (n,): the amount was ordinary for its user.
    labelled
        bool (n,): confirmed as fraud.
    """

    messages: Hashes
    entities: Hashes
    times_s: Ints
    usual: Bools
    labelled: Bools

    def __len__(self) -> int:
        return len(self.messages)

    def part(self, begin: int, end: int) -> Payments:
        """The payments from `begin` to `end` (exclusive)."""
        rows = slice(begin, end)
        return Payments(
            self.messages[rows],
            self.entities[rows],
            self.times_s[rows],
            self.usual[rows],
            self.labelled[rows],
        )

    @staticmethod
    def concat(parts: Sequence[Payments]) -> Payments:
        """The payments of all `parts`, in order."""
        if len(parts) == 1:
            return parts[0]
        return Payments(
            *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Payments))
        )


def payment_type(entities: int) -> np.dtype[Any]:
    """The layout of a waiting payment with E `entities`."""
    return np.dtype(
        [
            ("message", "<u8"),
            ("entities", "<u8", (entities,)),
            ("time_s", "<i8"),
            ("usual", "?"),
            ("labelled", "?"),
        ]
    )


def with_width(entities: Hashes, width: int) -> Hashes:
    """Hashes (n, E) cut or padded with 0 to the first `width` entities."""
    n, e = entities.shape
    found = np.zeros((n, width), np.uint64)
    found[:, : min(e, width)] = entities[:, :width]
    return found


class LabelQueue:
    """Bounded first-in, first-out queue of payments, found by message.

    Parameters
    ----------
    entities
        E, entities per payment.
    max_payments
        Bound; beyond it the oldest payments leave early and are counted in `hurried`.
    delay_s
        Event time after which an unlabelled payment counts as good.
    undo
        Records every change.
    capacity
        Payments that there is always room for.
    """

    def __init__(
        self,
        entities: int,
        *,
        max_payments: int = 500_000,
        delay_s: int = 7 * 86_400,
        undo: Undo | None = None,
        capacity: int = MIN_CAPACITY,
    ) -> None:
        self._undo = undo or Undo()
        self._capacity = capacity
        self.entities = entities
        self.max_payments = max_payments
        self.delay_s = delay_s
        self.hurried = 0
        self.unmatched = 0  # labels of payments that are not waiting here
        self._row_type = payment_type(entities)
        self._rows: npt.NDArray[Any] = np.zeros(capacity, self._row_type)
        self._head = self._tail = 0  # positions in `_rows`
        self._gone = 0  # payments that left: position p is payment number `_gone - _head + p`
        self._numbers: dict[int, int] = {}

    def __len__(self) -> int:
        return self._tail - self._head

    @property
    def nbytes(self) -> int:
        """Bytes held, about: rows and index."""
        return int(self._rows.nbytes + 150 * len(self._numbers))

    def make_rows(self, waiting: int, gone: int) -> None:
        """Make `waiting` rows, after `gone` payments that left; fill them, then call `index`."""
        self._rows = np.zeros(max(self._capacity, waiting), self._row_type)
        self._head, self._tail, self._gone = 0, waiting, gone

    def index(self) -> None:
        """Rebuild the index; of several payments with the same message, the newest is found."""
        messages = self._rows["message"][self._head : self._tail].tolist()
        self._numbers = {message: number for number, message in enumerate(messages, self._gone)}

    def add(self, payments: Payments) -> None:
        """Add payments to the queue; their `labelled` is ignored."""
        n = len(payments.messages)
        self._undo.attributes(self, "_head", "_tail", "_rows")
        self._make_room(n)
        new = self._rows[self._tail : self._tail + n]
        new["message"], new["entities"] = payments.messages, payments.entities
        new["time_s"], new["usual"], new["labelled"] = payments.times_s, payments.usual, False
        self._undo.entries(self._numbers, payments.messages.tolist())
        first = self._gone + len(self)
        self._numbers.update(zip(payments.messages.tolist(), range(first, first + n), strict=True))
        self._tail += n

    def confirm(self, references: Hashes) -> tuple[Payments, Ints]:
        """Label the payments that `references`, uint64 (n,), name.

        Returns
        -------
        tuple
            The m payments that weren't labelled before, in the order of their labels; and the
            indices of these labels, int64 (m,).
        """
        found, labels = [], []
        self._undo.attributes(self, "unmatched")
        for label, reference in enumerate(references.tolist()):
            number = self._numbers.get(reference)
            if number is None:
                self.unmatched += 1
                continue
            position = number - self._gone + self._head
            if not self._rows["labelled"][position]:
                self._undo.rows(self._rows, slice(position, position + 1))
                self._rows["labelled"][position] = True
                found.append(position)
                labels.append(label)
        return self._payments(np.array(found, np.int64)), np.array(labels, np.int64)

    def due(self, clock_s: int) -> bool:
        """Whether `settle` would remove a payment."""
        if len(self) > self.max_payments:
            return True
        return len(self) > 0 and int(self._rows[self._head]["time_s"]) + self.delay_s <= clock_s

    def settle(self, clock_s: int) -> Payments:
        """Remove and return the payments old enough at `clock_s` or beyond the bound, in order."""
        ripe = self._ripe(clock_s)
        hurried = max(0, len(self) - self.max_payments - ripe)
        self._undo.attributes(self, "hurried", "_head", "_gone")
        self.hurried += hurried
        count = ripe + hurried
        left = self._payments(slice(self._head, self._head + count))
        self._undo.entries(self._numbers, left.messages.tolist())
        for number, message in enumerate(left.messages.tolist(), start=self._gone):
            if self._numbers.get(message) == number:
                del self._numbers[message]
        self._head += count
        self._gone += count
        return left

    def _ripe(self, clock_s: int) -> int:
        """Number of payments before the first young one; it is small, so the search is short."""
        waiting = self._rows["time_s"][self._head : self._tail]
        look = 64
        while True:
            young = waiting[:look] + self.delay_s > clock_s
            if young.any():
                return int(young.argmax())
            if look >= len(waiting):
                return len(waiting)
            look *= 8

    def _payments(self, positions: Ints | slice) -> Payments:
        rows = self._rows[positions]
        # Kernels read the columns: a copy has the same layout however many rows it has.
        return Payments(*(rows[name].copy() for name in self._row_type.names or ()))

    def _make_room(self, n: int) -> None:
        if self._tail + n <= len(self._rows):
            return
        waiting = self._rows[self._head : self._tail]
        rows = np.zeros(max(self._capacity, 2 * (len(waiting) + n)), self._row_type)
        rows[: len(waiting)] = waiting
        self._rows, self._head, self._tail = rows, 0, len(waiting)
