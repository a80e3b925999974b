"""What the counters need of events whose block is not over yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.columns import EventColumns
from schemas.kinds import N_KINDS, Kind
from streams.histories import Applied
from streams.label_queue import Payments

USUAL_RATIO = 2.0  # an amount up to twice the user's mean is ordinary

_INTEREST = np.zeros(N_KINDS, np.bool_)
_INTEREST[[Kind.VIEW, Kind.CART, Kind.PURCHASE, Kind.SEARCH, Kind.RATE, Kind.OTHER]] = True

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pending:
    """What the counters need of some events of one block, in log order.

    Attributes
    ----------
    clock_s
        Newest event time among them.
    items, before, item_times_s
        int32 (a,), int32 (a, B), int64 (a,): events that show interest in an item.
    payments, amounts
        Watched events (w,) that name an entity, float32 (w,).
    references, label_times_s, label_users
        uint64 (l,), int64 (l,), l user ids: label events.
    """

    clock_s: int
    items: npt.NDArray[np.int32]
    before: npt.NDArray[np.int32]
    item_times_s: Ints
    payments: Payments
    amounts: npt.NDArray[np.float32]
    references: npt.NDArray[np.uint64]
    label_times_s: Ints
    label_users: list[str]

    @staticmethod
    def of(columns: EventColumns, applied: Applied, rows: slice, watched: Bools) -> Pending | None:
        """What is needed of the accepted events among `rows`, None if there are none."""
        accepted = applied.accepted[rows]
        if not accepted.any():
            return None
        kinds, items = columns.kinds[rows], applied.items[rows]
        entities = columns.entities[rows]
        times_s = np.maximum(columns.time_ms[rows] // 1000, 0)
        interest = np.flatnonzero(accepted & (items >= 0) & _INTEREST[kinds])
        paid = np.flatnonzero(accepted & watched[kinds] & (entities != 0).any(axis=1))
        labels = np.flatnonzero(accepted & (kinds == Kind.LABEL))
        first = rows.start
        return Pending(
            clock_s=int(times_s[accepted].max()),
            items=items[interest],
            before=applied.before[rows][interest],
            item_times_s=times_s[interest],
            payments=Payments(
                messages=columns.message_hashes[rows][paid],
                entities=entities[paid],
                times_s=times_s[paid],
                usual=applied.ratios[rows][paid] <= USUAL_RATIO,
                labelled=np.zeros(len(paid), np.bool_),
            ),
            amounts=columns.amounts[rows][paid],
            references=columns.references[rows][labels],
            label_times_s=times_s[labels],
            label_users=[columns.user_ids[first + i] for i in labels.tolist()],
        )
