"""Candidates that the counters suggest, with the facts about each and its source."""

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
    """Where a candidate came from; its strongest source if there are several."""

    NONE = 0
    COVISITED = 1
    OWN_RECENT = 2
    POPULAR = 3
    MODEL = 4


@dataclass(frozen=True, slots=True)
class Suggestions(Columns):
    """Candidates of D decision points: the best first, then further popular items.

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
        float32 (D, K): co-visitation with the recent items, and with the newest item alone; as
        weights, not as shares of the row's maximum.
    ahead, next_ahead
        float32 (D, K): the part of `near` and `next_to` from events in which the candidate came
        after the other item.
    popular, hot, usual
        float32 (D, K): events of the item, decayed over days, hours and months.
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
        scores, *numbers = np.zeros((8, rows, k), np.float32)
        sources, actions = np.zeros((2, rows, k), np.uint8)
        return Suggestions(
            np.full((rows, k), NO_ITEM, np.int32), scores, sources, actions, *numbers
        )
