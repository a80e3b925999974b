"""Candidates that the counters suggest: what is known about each, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from schemas.column_rows import Columns
from streams.histories.item_table import NO_ITEM

Items = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


class Source(IntEnum):
    """Where a candidate came from; the strongest of them where there are several."""

    NONE = 0
    COVISITED = 1
    OWN_RECENT = 2
    POPULAR = 3
    MODEL = 4


@dataclass(frozen=True, slots=True)
class Suggestions(Columns):
    """Candidates of D decision points: the best first, then popular items not among them.

    Attributes
    ----------
    items
        int32 (D, K): index into the worker's item table, -1 = none.
    scores
        float32 (D, K): higher is better, comparable within a row; 0 where there is none.
    sources
        uint8 (D, K): `Source`.
    actions
        uint8 (D, K): what the user did to the item last (`Kind`), 0 = nothing in the window.
    near, next_to
        float32 (D, K): co-visitation with the recent items, and with the newest of them alone,
        as of now and not as a share of the row's.
    ahead, next_ahead
        float32 (D, K): the part of either where the candidate came after the item, not before.
    popular, hot, usual
        float32 (D, K): decayed events of the item, as of the last days, hours and months.
    """

    items: Items
    scores: Floats
    sources: Bytes
    actions: Bytes
    near: Floats
    next_to: Floats
    ahead: Floats
    next_ahead: Floats
    popular: Floats
    hot: Floats
    usual: Floats

    @staticmethod
    def none(rows: int, k: int) -> Suggestions:
        """No candidates for `rows` decision points."""
        numbers = (np.zeros((rows, k), np.float32) for _ in range(7))
        return Suggestions(
            np.full((rows, k), NO_ITEM, np.int32),
            np.zeros((rows, k), np.float32),
            np.zeros((rows, k), np.uint8),
            np.zeros((rows, k), np.uint8),
            *numbers,
        )
