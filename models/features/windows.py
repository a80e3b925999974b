"""Windows: what is known about a user at each decision point, as columns.

A window is a user's last L events up to and including the trigger, the event that needs a
decision; the user's running sums right after the trigger; and the live counters of the risk
entities that the trigger names. Serving, training and replay all hand windows to `features` and
`model_inputs`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from schemas.column_rows import Columns

DAY_GAPS = 8
"""Number of latest gaps between active days that a user's row keeps."""

A_NAMES = (
    "first_s",
    "last_s",
    "last_purchase_s",
    "events",
    "purchases",
    "payments",
    "cancels",
    "sessions",
    "active_days",
    "gap_days_max",
    "gap_days_sumsq",
    *(f"day_gap_{number}" for number in range(1, DAY_GAPS + 1)),
    "order_days",
    "spend",
    "paid_sum",
    "paid_max",
    "visits_15d",
    "visits_45d",
    "visits_120d",
    "spend_15d",
    "spend_45d",
    "spend_120d",
)
"""Columns of `Windows.accumulators`. Decayed sums are as of `last_s`, the time of the user's newest
event; day gaps are whole days, the latest first, 0 = none."""

C_NAMES = (
    "entity_count_1h",
    "entity_count_24h",
    "entity_count_7d",
    "entity_amount_24h",
    "entity_labels_30d",
    "entity_unexplained_30d",
    "entity_run",
    "entity_run_start_s",
    "entity_run_last_s",
    "entity_legit_since",
    "entity_first_s",
    "others_count_1h",
    "others_labels_30d",
    "user_labels",
    "user_label_s",
)
"""Columns of `Windows.context`: counters of the trigger's primary entity, the maximum over its
other entities, and the user's own confirmed labels. Times are epoch seconds, 0 = never."""


@dataclass(frozen=True, slots=True)
class Windows(Columns):
    """The histories of D decision points, oldest event first, padded on the right.

    Attributes
    ----------
    items
        int32 (D, L): index into the worker's item table, -1 = no item or padding.
    kinds
        uint8 (D, L): `schemas.events.kinds.Kind`, 0 = padding.
    times_s
        int64 (D, L): event time in epoch seconds, 0 = padding; never decreases along a row.
    amounts
        float32 (D, L): money of the event, 0 where it has none.
    entities
        uint32 (D, L): low half of the primary risk entity's hash, 0 = none.
    categories
        int32 (D, L): category of the item in the catalogue, -1 = unknown or none.
    lengths
        int32 (D,): events in the window, 1..L. The last event is the trigger.
    now_s
        int64 (D,): the moment the decision is for, at or after the last event's time.
    accumulators
        float64 (D, A): columns `A_NAMES`.
    context
        float64 (D, C): columns `C_NAMES`.
    """

    items: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.uint8]
    times_s: npt.NDArray[np.int64]
    amounts: npt.NDArray[np.float32]
    entities: npt.NDArray[np.uint32]
    categories: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    now_s: npt.NDArray[np.int64]
    accumulators: npt.NDArray[np.float64]
    context: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def length(self) -> int:
        """L, the most events that a window holds."""
        return int(self.items.shape[1])

    def with_context(self, context: npt.NDArray[np.float64]) -> Windows:
        """The same windows with the live counters (D, C) filled in."""
        return replace(self, context=context)

    @staticmethod
    def empty(length: int) -> Windows:
        """No windows (D = 0) of `length` events."""
        return Windows(
            items=np.empty((0, length), np.int32),
            kinds=np.empty((0, length), np.uint8),
            times_s=np.empty((0, length), np.int64),
            amounts=np.empty((0, length), np.float32),
            entities=np.empty((0, length), np.uint32),
            categories=np.empty((0, length), np.int32),
            lengths=np.empty(0, np.int32),
            now_s=np.empty(0, np.int64),
            accumulators=np.empty((0, len(A_NAMES)), np.float64),
            context=np.empty((0, len(C_NAMES)), np.float64),
        )
