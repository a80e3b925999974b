"""What goes into `take`, and what comes out of it: arrays, as a kernel reads and fills them."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.features.windows import A_NAMES
from streams.histories.item_table import NO_ITEM

Ints = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


class Outcome(IntEnum):
    """What became of an event."""

    ACCEPTED = 0
    DUPLICATE = 1
    LATE = 2


class Events(NamedTuple):
    """A batch of n events as a kernel reads them.

    Attributes
    ----------
    slots
        int64 (n,): of the user's row, negative = the event enters no history.
    entities, messages
        uint32 (n,): low half of the primary entity's hash and of the message id's.
    """

    slots: Ints
    offsets: Ints
    times_s: Ints
    kinds: Bytes
    items: Items
    amounts: Floats
    entities: Words
    messages: Words
    ends: Bools


class Rules(NamedTuple):
    """When an event is late and when it asks for a decision (`points.PointPolicy`)."""

    late_s: int
    refresh_s: int
    watched: Bools
    asking: Bools


class Taken(NamedTuple):
    """What became of n events, and the windows of those that ask for a decision: D <= n of them.

    Attributes
    ----------
    outcomes, before, ratios
        (n,), (n, B), (n,): as `histories.Applied`.
    rows, tasks
        int64, uint8 (n,): the first D entries are the decision points.
    items, kinds, times_s, amounts, entities, lengths, now_s, accumulators
        As `models.features.windows.Windows`, with n rows of which D are filled.
    """

    outcomes: Bytes
    before: Items
    ratios: Floats
    rows: Ints
    tasks: Bytes
    items: Items
    kinds: Bytes
    times_s: Ints
    amounts: Floats
    entities: Words
    lengths: Items
    now_s: Ints
    accumulators: npt.NDArray[np.float64]

    @staticmethod
    def room(n: int, length: int, before: int) -> Taken:
        """Room for `n` events whose windows hold `length`."""
        shape = (n, length)
        return Taken(
            outcomes=np.zeros(n, np.uint8),
            before=np.full((n, before), NO_ITEM, np.int32),
            ratios=np.ones(n, np.float32),
            rows=np.empty(n, np.int64),
            tasks=np.empty(n, np.uint8),
            items=np.empty(shape, np.int32),
            kinds=np.empty(shape, np.uint8),
            times_s=np.empty(shape, np.int64),
            amounts=np.empty(shape, np.float32),
            entities=np.empty(shape, np.uint32),
            lengths=np.empty(n, np.int32),
            now_s=np.empty(n, np.int64),
            accumulators=np.empty((n, len(A_NAMES)), np.float64),
        )
