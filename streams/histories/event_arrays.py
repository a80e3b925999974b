"""The arrays that `apply_events` reads and fills."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.features.windows import A_NAMES

Ints = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]


class Events(NamedTuple):
    """A batch of n events as a kernel reads them.

    Attributes
    ----------
    slots
        int64 (n,): slot of the user's row; negative: the event enters no history.
    offsets, times_ms
        int64 (n,): record offset, event time in epoch ms.
    kinds
        uint8 (n,): `schemas.events.kinds.Kind`.
    items
        int32 (n,): the item's number in the partition, -1 = none.
    amounts
        float32 (n,): money or quantity.
    entities
        uint64 (n, E): hashes of the entities, the primary entity first.
    messages
        uint64 (n,): hash of the message id.
    ends
        bool (n,): whether the row is the last of its record.
    """

    slots: Ints
    offsets: Ints
    times_ms: Ints
    kinds: Bytes
    items: Items
    amounts: Floats
    entities: Hashes
    messages: Hashes
    ends: Bools


class Tables(NamedTuple):
    """What the results say about users and items.

    Attributes
    ----------
    owners
        uint32 (users,): `UserRows.owners`.
    indices
        int32 (numbers,): the item's index in the worker's table by its number in the partition.
    categories
        int32 (items,): the item's category by its index.
    """

    owners: Words
    indices: Items
    categories: Items


class Rules(NamedTuple):
    """When an event is late, and when it asks for a decision (`PointPolicy`).

    Attributes
    ----------
    late_s, refresh_s
        Seconds of event time.
    watched, asking
        bool (kinds,): kinds that ask for RISK, and for RECOMMEND and CHURN.
    """

    late_s: int
    refresh_s: int
    watched: Bools
    asking: Bools


class Results(NamedTuple):
    """The outcomes of n events, and the windows of the D <= n events that ask for a decision.

    Attributes
    ----------
    outcomes, before, ratios
        (n,), (n, B), (n,): as in `histories.Applied`.
    rows, tasks
        int64, uint8 (n,): the first D entries are the decision points.
    owners, numbers
        (n,), (n, L): as in `histories.Applied`, with n rows of which D are filled.
    items, kinds, times_s, amounts, entities, categories, lengths, now_s, accumulators
        As in `models.features.windows.Windows`, with n rows of which D are filled.
    """

    outcomes: Bytes
    before: Items
    ratios: Floats
    rows: Ints
    tasks: Bytes
    owners: Words
    numbers: Items
    items: Items
    kinds: Bytes
    times_s: Ints
    amounts: Floats
    entities: Words
    categories: Items
    lengths: Items
    now_s: Ints
    accumulators: npt.NDArray[np.float64]

    @staticmethod
    def allocate(n: int, length: int, before: int) -> Results:
        """Empty results of `n` events: windows of `length` events, `before` earlier items."""
        # Some arrays are slices of one: allocating is half the price of a small batch.
        numbers, items, categories = np.empty((3, n, length), np.int32)
        outcomes, tasks = np.empty((2, n), np.uint8)
        rows, now_s = np.empty((2, n), np.int64)
        return Results(
            outcomes=outcomes,
            before=np.empty((n, before), np.int32),
            ratios=np.empty(n, np.float32),
            rows=rows,
            tasks=tasks,
            owners=np.empty(n, np.uint32),
            numbers=numbers,
            items=items,
            kinds=np.empty((n, length), np.uint8),
            times_s=np.empty((n, length), np.int64),
            amounts=np.empty((n, length), np.float32),
            entities=np.empty((n, length), np.uint32),
            categories=categories,
            lengths=np.empty(n, np.int32),
            now_s=now_s,
            accumulators=np.empty((n, len(A_NAMES)), np.float64),
        )
