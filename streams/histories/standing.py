"""A user's row as a window: what is known at a moment at which nothing happened.

At an event, histories make the window themselves; this asks between events, as a weekly look at
all users does. Both give the same at the moment of the user's newest event.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.features.windows import A_NAMES, C_NAMES, Windows
from streams.histories.item_table import NO_ITEM, ItemTable
from streams.histories.user_rows import SUMS, Rows


def windows_of(rows: Rows, items: ItemTable, now_s: int) -> Windows:
    """The windows of users' rows (D,) at `now_s`; live counters are an event's, so all are 0."""
    lengths = rows["length"].astype(np.int32)
    width = rows["item"].shape[1]
    inside = np.arange(width) < lengths[:, None]  # (D, L)
    item = np.where(inside, rows["item"], NO_ITEM).astype(np.int32)
    return Windows(
        items=item,
        kinds=np.where(inside, rows["kind"], 0).astype(np.uint8),
        times_s=np.where(inside, rows["time"], 0).astype(np.int64),
        amounts=np.where(inside, rows["amount"], 0).astype(np.float32),
        entities=np.where(inside, rows["entity"], 0).astype(np.uint32),
        categories=items.category_of(item),
        lengths=lengths,
        now_s=np.full(len(rows), now_s, np.int64),
        accumulators=_accumulators(rows),
        context=np.zeros((len(rows), len(C_NAMES)), np.float64),
    )


def _accumulators(rows: Rows) -> npt.NDArray[np.float64]:
    """`Windows.accumulators` (D, A), as `take` writes them."""
    out = np.empty((len(rows), len(A_NAMES)), np.float64)
    for column, name in enumerate(A_NAMES):
        if name in SUMS:
            out[:, column] = rows["sums"][:, SUMS.index(name)]
        elif name.startswith("day_gap_"):
            out[:, column] = rows["day_gaps"][:, int(name.removeprefix("day_gap_")) - 1]
        else:
            out[:, column] = rows[name]
    return out
